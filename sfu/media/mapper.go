package media

// sourceMapper turns the sequence numbers and timestamps of whatever stream
// carries a source into one sequence without breaks: numbers of packets that
// are not forwarded (padding) are closed up, those of lost packets stay free,
// and a new carrier goes on where the old one was. The result starts anywhere;
// each feed adds an offset of its own.
//
// What each packet touches stands first.
type sourceMapper struct {
	in        sequenceUnwrapper // of the present carrier
	highest   uint64            // last number given out
	arrival   int64             // and when it was
	timestamp uint32            // the timestamp that went with it
	tsOffset  uint32            // added to the carrier's timestamps
	pending   int32             // what is still to be added to them, a part with each picture
	started   bool
	uncertain bool // the present carrier's timestamps were joined by arrival alone
	used      uint8
	transit   transit

	// offsets says what is subtracted from the carrier's numbers: the last entry
	// from its number on, the one before it from its own number up to there, and
	// so on, so that late packets get the number that was kept free for them. used
	// are there.
	offsets [16]sequenceOffset
	// clock is a moment by the publisher's NTP clock and by the timestamps given
	// out, which hold their relation over all carriers; unknown with a rate of 0.
	clock instant
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
	restarted bool // the carrier has begun anew, with other timestamps
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

// follow makes a packet of a new carrier follow upon the last packet: by sender
// reports of both carriers if they are known, since packets may be late, else by
// arrival until the new carrier's first report.
func (m *sourceMapper) follow(sequence uint16, timestamp, clockRate uint32, now int64, report senderReport) {
	last, before := m.timestamp, m.started
	m.anchor(sequence, timestamp, clockRate, now)
	m.pending, m.uncertain = 0, before
	if !report.received {
		m.transit.joined(now)
		return
	}
	if before && m.clock.rate != 0 {
		m.correct(report.instant, clockRate)
		if ahead := int32(timestamp + m.tsOffset + uint32(m.pending) - last); ahead > 0 {
			m.tsOffset += uint32(m.pending) // nothing has been given out yet
			m.pending = 0
		}
	}
	m.reported(report.instant, clockRate)
}

// correct sets pending to what brings the carrier's timestamps to where the
// publisher's clock has them, unless that is further away than any delay.
func (m *sourceMapper) correct(report instant, clockRate uint32) {
	m.uncertain = false
	apart := int32(m.clock.at(report.ntp) - report.timestamp - m.tsOffset)
	if apart < int32(clockRate) && apart > -int32(clockRate) {
		m.pending = apart
	}
}

// reported takes a sender report of the present carrier.
func (m *sourceMapper) reported(report instant, clockRate uint32) {
	if m.uncertain && m.clock.rate != 0 {
		m.correct(report, clockRate)
	}
	m.uncertain = false
	report.timestamp += m.timestampOffset()
	m.clock = report
}

// timestampOffset leads from the carrier's timestamps to those given out, when
// all that is pending has been added.
func (m *sourceMapper) timestampOffset() uint32 { return m.tsOffset + uint32(m.pending) }

// adjust adds what is pending, as far as timestamps do not go back: with the
// first packet of a picture, at most half of the time since the last one is taken.
func (m *sourceMapper) adjust(timestamp uint32) {
	since := int32(timestamp + m.tsOffset - m.timestamp)
	if m.pending == 0 || since <= 0 {
		return
	}
	step := max(m.pending, -since/2)
	m.tsOffset += uint32(step)
	m.pending -= step
}

// elapsedTicks is a time span in units of a clock, at least one.
func elapsedTicks(ns int64, clockRate uint32) uint32 {
	return uint32(max(1, ns/1000*int64(clockRate)/1_000_000))
}

// translate maps a packet. empty tells that it has no payload; such a packet is
// left out (ok is false) unless its number has already been kept free.
func (m *sourceMapper) translate(sequence uint16, timestamp uint32, empty bool, clockRate uint32, now int64) mapping {
	in := m.in.unwrap(sequence)
	ahead, restarted := in > m.in.highest, false
	if ahead && in-m.in.highest > maxDropout || !ahead && m.in.highest-in > maxDropout && now-m.arrival > staleAfter {
		before := m.tsOffset
		last := m.timestamp
		m.anchor(sequence, timestamp, clockRate, now)
		in, ahead = m.in.unwrap(sequence), true
		// Where the timestamps went on, only the numbers did not.
		if apart := int32(m.tsOffset - before); apart < int32(clockRate) && apart > -int32(clockRate) && int32(timestamp+before-last) > 0 {
			m.tsOffset = before
		} else {
			restarted, m.uncertain, m.pending = true, true, 0
		}
	}
	if !ahead {
		return m.translateLate(in, timestamp)
	}
	m.in.saw(in)
	offset := m.offsets[m.used-1].offset
	if empty {
		m.leaveOut(in, offset)
		return mapping{restarted: restarted}
	}
	if moved, known := m.transit.packet(timestamp+m.timestampOffset(), now, clockRate, m.uncertain); known {
		m.pending += moved
	}
	m.adjust(timestamp)
	m.highest = in - offset
	m.timestamp, m.arrival = timestamp+m.tsOffset, now
	return mapping{sequence: m.highest, timestamp: m.timestamp, restarted: restarted, ok: true}
}

// leaveOut closes the gap of a packet that is not forwarded.
func (m *sourceMapper) leaveOut(in, offset uint64) {
	last := &m.offsets[m.used-1]
	if last.from == in { // nothing has been mapped with that offset
		last.from, last.offset = in+1, offset+1
		return
	}
	if int(m.used) == len(m.offsets) {
		copy(m.offsets[:], m.offsets[1:])
		m.used--
	}
	m.offsets[m.used] = sequenceOffset{from: in + 1, offset: offset + 1}
	m.used++
}

func (m *sourceMapper) translateLate(in uint64, timestamp uint32) mapping {
	for i := int(m.used) - 1; i >= 0; i-- {
		segment := m.offsets[i]
		if in < segment.from {
			continue
		}
		out := in - segment.offset
		if i+1 < int(m.used) && out >= m.offsets[i+1].from-m.offsets[i+1].offset {
			return mapping{} // one that was left out, again
		}
		return mapping{sequence: out, timestamp: timestamp + m.tsOffset, late: true, ok: true}
	}
	return mapping{}
}
