package socketio

import "time"

// offsetBase is the base that offsets are written in.
const offsetBase = 36

// replayLog keeps what a socket has sent and its client may have missed. Events are
// numbered from 1; the number is the offset that clients return with. An
// acknowledgement has the number of the event before it: whether it arrived is not
// known then, and a client ignores an answer that it has already.
type replayLog struct {
	entries  []replayEntry
	bytes    int
	seq      uint64 // of the last event
	lost     uint64 // of the last event that was dropped
	away     int    // entries made since the connection ended
	awaySize int    // bytes of these
}

type replayEntry struct {
	message *Message
	seq     uint64
	at      time.Time
}

// keep records what is being sent. The oldest entries make room.
func (l *replayLog) keep(m *Message, opts *Options) {
	l.push(m)
	// Nothing older can be missing at a client whose connection still counts as alive.
	old := l.entries[len(l.entries)-1].at.Add(-opts.Engine.PingInterval - opts.Engine.PingTimeout - opts.Recovery)
	for n := len(l.entries); n > 1 && (n > opts.RecoveryPackets || l.bytes > opts.RecoveryBytes || l.entries[0].at.Before(old)); n = len(l.entries) {
		l.dropOldest()
	}
}

// keepAway records what is emitted while the client is away. False means that there is no room.
func (l *replayLog) keepAway(m *Message, opts *Options) bool {
	if l.away+1 > opts.RecoveryPackets || l.awaySize+m.size() > opts.RecoveryBytes {
		return false
	}
	l.push(m)
	l.away++
	l.awaySize += m.size()
	return true
}

func (l *replayLog) push(m *Message) {
	if m.ackID == "" {
		l.seq++
	}
	l.bytes += m.size()
	l.entries = append(l.entries, replayEntry{m, l.seq, time.Now()})
}

func (l *replayLog) dropOldest() {
	e := &l.entries[0]
	if e.message.ackID == "" {
		l.lost = e.seq
	}
	l.bytes -= e.message.size()
	*e = replayEntry{}
	l.entries = l.entries[1:]
}

// confirm drops what a client that has received everything up to offset can't miss.
// False means that it misses something that is no longer kept, or makes no sense.
func (l *replayLog) confirm(offset uint64) bool {
	if offset < l.lost || offset > l.seq {
		return false
	}
	for len(l.entries) > 0 {
		e := &l.entries[0]
		if e.seq > offset || e.message.ackID != "" && e.seq == offset {
			break
		}
		l.dropOldest()
	}
	l.away, l.awaySize = 0, 0
	return true
}
