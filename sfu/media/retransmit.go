package media

import (
	"encoding/binary"
	"math/bits"

	"github.com/pion/webrtc/v4"

	"skillsage/network/traffic"
)

const (
	resendHistory  = 256         // packets whose last retransmission is remembered
	resendInterval = int64(20e6) // least time between two retransmissions of a packet
	resendLimit    = 8           // retransmissions of a packet
	resendBurst    = 128         // retransmissions at once,
	resendPart     = 2           // and over time one for so many packets forwarded: more would only fill the queue that loses them
	resendLooks    = 512         // packets of one request that are looked for, as many as a cache has

	// From this round trip time on a repair that is lost in its turn makes the picture stand still, since asking
	// again takes as long again. Repairs then go out twice.
	repeatRTT = int64(60e6)
	// Shares of packets lost, in 1/256, between which that is worth it: below it is seldom needed, above the path
	// is more likely full than faulty.
	repeatLossLeast, repeatLossMost = 4, 38
	lossWeight                      = 8 // reports that the average of the loss goes over
)

// resendLimiter bounds what a viewer can make a feed send again.
type resendLimiter struct {
	spent  int                    // of resendBurst, in forwarded packets: each retransmission costs resendPart
	recent *[resendHistory]resent // nil: there was none yet
}

// resent is the last retransmission of a packet.
type resent struct {
	sequence uint64
	at       int64
	times    int
}

// last is where the last retransmission of a packet is noted, or of another one in its place.
func (l *resendLimiter) last(sequence uint64) *resent {
	if l.recent == nil {
		l.recent = new([resendHistory]resent)
	}
	return &l.recent[sequence%resendHistory]
}

// forwarded notes a packet that was sent for the first time.
func (l *resendLimiter) forwarded() { l.spent = max(l.spent-1, 0) }

// spentAll reports whether the budget has nothing left for a retransmission.
func (l *resendLimiter) spentAll() bool { return l.spent+resendPart > resendBurst*resendPart }

// pay takes one retransmission from the budget.
func (l *resendLimiter) pay() bool {
	if l.spentAll() {
		return false
	}
	l.spent += resendPart
	return true
}

// allow reports whether the packet may be sent again now, and notes that it is.
func (l *resendLimiter) allow(sequence uint64, now, rtt int64) bool {
	recent := l.last(sequence)
	again := recent.sequence == sequence && recent.times > 0
	// The viewer measures the round trip too, and a little differently.
	if again && (now-recent.at < max(rtt-rtt/8, resendInterval) || recent.times == resendLimit) {
		return false
	}
	if !l.pay() {
		return false
	}
	if !again {
		recent.times = 0
	}
	recent.sequence, recent.at = sequence, now
	recent.times++
	return true
}

// allowCopy reports whether a second copy may be sent of a packet that was just allowed.
func (l *resendLimiter) allowCopy() bool { return l.pay() }

// sentLate notes a packet that has just been forwarded late, so that a request
// for it that is on its way is not answered too.
func (l *resendLimiter) sentLate(sequence uint64, now int64) {
	*l.last(sequence) = resent{sequence: sequence, at: now, times: 1}
}

// resend answers the pairs of a generic NACK from the source's cache: as retransmissions
// (RFC 4588) where the viewer has negotiated them, else as the same packets.
func (f *Feed) resend(pairs []byte, now int64) {
	w := passages.Get().(*passage)
	defer passages.Put(w)
	looks := 0
	for ; len(pairs) > 0 && looks < resendLooks; pairs = pairs[nackPairSize:] {
		first, following := binary.BigEndian.Uint16(pairs), binary.BigEndian.Uint16(pairs[2:])
		f.resendOne(w, first, now)
		for bit := range uint16(nackSpan) {
			if following&(1<<bit) != 0 {
				f.resendOne(w, first+bit+1, now)
			}
		}
		looks += 1 + bits.OnesCount16(following)
	}
}

func (f *Feed) resendOne(w *passage, number uint16, now int64) {
	buffer := w.payload[:2+maxPayload]
	f.counters.nacked.Add(1)
	f.mu.Lock()
	sequence := nearest(f.sequence.highest, number)
	segment, inLayer := f.segments.ofFeed(sequence)
	possible := f.usesRTX() || f.kind == webrtc.RTPCodecTypeVideo // the level of a voice is not kept
	if segment == nil || !f.running || !f.ready() || sequence > f.sequence.highest || !possible {
		f.mu.Unlock()
		f.counters.nackMissed.Add(1)
		return
	}
	if f.resends.spentAll() { // before the packet is copied: a request may name hundreds
		f.mu.Unlock()
		f.counters.nackLimited.Add(1)
		return
	}
	source, layer := f.source, segment.layer
	f.mu.Unlock()

	info, size, ok := layer.cached(inLayer, buffer[2:])
	if !ok || size == 0 {
		f.counters.nackMissed.Add(1)
		return
	}

	f.mu.Lock()
	segment, still := f.segments.ofFeed(sequence)
	if f.source != source || !f.ready() || segment == nil || still != inLayer || segment.layer != layer {
		f.mu.Unlock()
		f.counters.nackMissed.Add(1)
		return
	}
	// A paused picture goes on with a key frame, on a link that has to recover until then.
	if f.target.Load()&targetPaused != 0 || !f.resends.allow(sequence, now, f.counters.rtt.Load()) {
		f.mu.Unlock()
		f.counters.nackLimited.Add(1)
		return
	}
	header := &w.header
	*header = outgoingHeader{
		marker: info.Marker, payloadType: f.payload.number, index: rolled(sequence), ssrc: f.bound.ssrc,
		timestamp:   segment.timestamp(inLayer, info.Timestamp),
		transportID: f.transportID(),
	}
	payload := buffer[2 : 2+size]
	if dropped, known := f.picture.fates.of(info.Timestamp); !known {
		payload = segment.rewrite(payload)
	} else if dropped {
		payload = nil
	}
	twice := false
	switch {
	case len(payload) == 0: // the number was kept for a packet that is not to be sent
		header.transportID = 0 // it may be asked for twice
	case f.usesRTX():
		binary.BigEndian.PutUint16(buffer, uint16(sequence))
		payload = buffer[:2+size]
		header.payloadType = f.payload.rtx
		header.ssrc = f.bound.rtxSSRC
		header.index = f.rtxIndex
		f.rtxIndex++
		if twice = f.losesRepairs() && f.resends.allowCopy(); twice {
			f.rtxIndex++
		}
	}
	writer := f.bound.writer
	f.mu.Unlock()

	if err := f.port.writeRTP(w, writer, payload, traffic.Repair, now); err != nil {
		f.counters.writeErrors.Add(1)
		return
	}
	f.counters.retransmitted.Add(1)
	f.counters.resentBytes.Add(uint64(len(payload)))
	if !twice {
		return
	}
	header.index++
	if err := f.port.writeRTP(w, writer, payload, traffic.Repair, now); err != nil {
		f.counters.writeErrors.Add(1)
		return
	}
	f.counters.repeated.Add(1)
	f.counters.resentBytes.Add(uint64(len(payload)))
}

// losesRepairs reports whether retransmissions to the viewer should go out twice.
func (f *Feed) losesRepairs() bool {
	loss := f.counters.lossAverage.Load()
	return f.counters.rtt.Load() >= repeatRTT && loss >= repeatLossLeast<<8 && loss <= repeatLossMost<<8
}
