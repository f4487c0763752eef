package media

// sourceMapper turns the sequence numbers and timestamps of whatever stream
// carries a source into one sequence without breaks: numbers of packets that
// are not forwarded (padding) are closed up, those of lost packets stay free,
// and a new carrier goes on where the old one was. The result starts anywhere;
// each feed adds an offset of its own.
type sourceMapper struct {
	in      sequenceUnwrapper // of the present carrier
	started bool

	// offsets says what is subtracted from the carrier's numbers: the last entry
	// from its number on, the one before it from its own number up to there, and
	// so on, so that late packets get the number that was kept free for them.
	offsets [16]sequenceOffset
	used    int

	highest   uint64 // last number given out
	timestamp uint32 // the timestamp that went with it
	arrival   int64  // and when it was
	tsOffset  uint32 // added to the carrier's timestamps
}

type sequenceOffset struct {
	from   uint64
	offset uint64 // wraps around; subtracted
}

// maxDropout is how far a carrier may jump ahead before it is taken for one
// that has started anew (RFC 3550 appendix A.1).
const maxDropout = 3000

// staleAfter is after how long without progress packets that look very old are
// taken for those of a sender that has started anew.
const staleAfter = int64(2e9)

type mapping struct {
	sequence  uint64
	timestamp uint32
	late      bool // older than a packet that has been mapped
	ok        bool
}

// anchor makes a packet of a new carrier follow upon the last packet, with the
// timestamp as far ahead as time has passed.
func (m *sourceMapper) anchor(sequence uint16, timestamp uint32, clockRate uint32, now int64) {
	m.in = sequenceUnwrapper{}
	first := m.in.unwrap(sequence)
	m.in.saw(first - 1)
	if !m.started {
		m.started = true
		m.highest = first - 1
		m.tsOffset = 0
		m.timestamp, m.arrival = timestamp-1, now
	} else {
		m.tsOffset = m.timestamp + elapsedTicks(now-m.arrival, clockRate) - timestamp
	}
	m.offsets[0] = sequenceOffset{from: first, offset: first - m.highest - 1}
	m.used = 1
}

// elapsedTicks is a time span in units of a clock, at least one.
func elapsedTicks(ns int64, clockRate uint32) uint32 {
	return uint32(max(1, ns/1000*int64(clockRate)/1_000_000))
}

// translate maps a packet. empty tells that it has no payload; such a packet is
// left out (ok is false) unless its number has already been kept free.
func (m *sourceMapper) translate(sequence uint16, timestamp uint32, empty bool, clockRate uint32, now int64) mapping {
	in := m.in.unwrap(sequence)
	ahead := in > m.in.highest
	if ahead && in-m.in.highest > maxDropout || !ahead && m.in.highest-in > maxDropout && now-m.arrival > staleAfter {
		m.anchor(sequence, timestamp, clockRate, now)
		in, ahead = m.in.unwrap(sequence), true
	}
	if !ahead {
		return m.translateLate(in, timestamp)
	}
	m.in.saw(in)
	offset := m.offsets[m.used-1].offset
	if empty {
		m.leaveOut(in, offset)
		return mapping{}
	}
	m.highest = in - offset
	m.timestamp, m.arrival = timestamp+m.tsOffset, now
	return mapping{sequence: m.highest, timestamp: m.timestamp, ok: true}
}

// leaveOut closes the gap of a packet that is not forwarded.
func (m *sourceMapper) leaveOut(in, offset uint64) {
	last := &m.offsets[m.used-1]
	if last.from == in { // nothing has been mapped with that offset
		last.from, last.offset = in+1, offset+1
		return
	}
	if m.used == len(m.offsets) {
		copy(m.offsets[:], m.offsets[1:])
		m.used--
	}
	m.offsets[m.used] = sequenceOffset{from: in + 1, offset: offset + 1}
	m.used++
}

func (m *sourceMapper) translateLate(in uint64, timestamp uint32) mapping {
	for i := m.used - 1; i >= 0; i-- {
		segment := m.offsets[i]
		if in < segment.from {
			continue
		}
		out := in - segment.offset
		if i+1 < m.used && out >= m.offsets[i+1].from-m.offsets[i+1].offset {
			return mapping{} // one that was left out, again
		}
		return mapping{sequence: out, timestamp: timestamp + m.tsOffset, late: true, ok: true}
	}
	return mapping{}
}
