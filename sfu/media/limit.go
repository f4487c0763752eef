package media

import "github.com/pion/rtcp"

const (
	limitInterval = int64(1e9) // between two messages that say the same
	limitChange   = 20         // a change by one part in so many is told at once
	limitLifted   = 100e6      // bit/s that stand for no limit: the last one said stays in force
	liftRepeats   = 3          // times that it is said, since a message may be lost
)

// receiveLimit is what a remote peer is asked not to exceed.
type receiveLimit struct {
	bitrate uint64 // 0: nothing (any more)
	told    uint64 // the last one sent; 0: none
	toldAt  int64
	lifts   int // messages to be sent that there is no limit
}

// SetReceiveLimit asks the remote peer to send at most so many bit/s on the whole
// connection, by receiver estimated maximum bitrate messages
// (draft-alvestrand-rmcat-remb-03), which browsers take for an upper bound of
// their own estimate; 0: no limit. A peer that was never limited gets no message.
func (p *Port) SetReceiveLimit(bitrate uint64) {
	p.limitMu.Lock()
	l := &p.limit
	before := l.bitrate
	l.bitrate = bitrate
	if bitrate == 0 && before != 0 {
		l.lifts = liftRepeats
	}
	changed := l.changed()
	p.limitMu.Unlock()
	if changed || (bitrate == 0) != (before == 0) {
		p.poke(taskLimit)
	}
}

// ReceiveLimit is what SetReceiveLimit was last called with.
func (p *Port) ReceiveLimit() uint64 {
	p.limitMu.Lock()
	defer p.limitMu.Unlock()
	return p.limit.bitrate
}

func (l *receiveLimit) changed() bool {
	if l.bitrate == 0 || l.told == 0 {
		return l.bitrate != l.told && (l.bitrate != 0 || l.lifts > 0)
	}
	apart := max(l.bitrate, l.told) - min(l.bitrate, l.told)
	return apart > l.told/limitChange
}

// due is what to tell the peer now, 0: nothing, and when to look again (0: not
// before a change).
func (l *receiveLimit) due(now int64) (bitrate uint64, next int64) {
	switch {
	case l.bitrate == 0 && l.lifts == 0:
		return 0, 0
	case now-l.toldAt < limitInterval && l.told != 0 && !l.changed():
		return 0, l.toldAt + limitInterval
	case l.bitrate != 0:
		l.told, l.toldAt = l.bitrate, now
		return l.bitrate, now + limitInterval
	}
	if now-l.toldAt < limitInterval && l.lifts < liftRepeats {
		return 0, l.toldAt + limitInterval
	}
	l.lifts--
	l.toldAt = now
	if l.lifts == 0 {
		l.told = 0
		return limitLifted, 0
	}
	return limitLifted, now + limitInterval
}

// sendReceiveLimit tells the remote peer what it may send, on the reporter's
// goroutine.
func (p *Port) sendReceiveLimit(now int64) (next int64) {
	p.limitMu.Lock()
	bitrate, next := p.limit.due(now)
	p.limitMu.Unlock()
	if bitrate == 0 {
		return next
	}
	message := &rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: p.ssrc, Bitrate: float32(bitrate)}
	for _, u := range *p.upstreams.Load() {
		if len(message.SSRCs) < 255 {
			message.SSRCs = append(message.SSRCs, u.ssrc)
		}
	}
	p.send(message)
	return next
}
