package media

import "slices"

const (
	missingLimit    = 256          // sequence numbers that are waited for at a time
	missingLifetime = int64(1e9)   // after which one is given up
	nackTries       = 10           // requests for one packet
	nackDelay       = int64(10e6)  // how long a packet may be merely reordered
	nackTick        = int64(20e6)  // requests are gathered for this long
	keptPause       = int64(250e6) // between requests for what only taps wait for
	defaultRTT      = int64(100e6)
)

// missingPackets finds the holes in a stream and decides when their packets are
// asked for again (generic NACK, RFC 4585 section 6.2.1). Times are monotonic,
// in ns.
type missingPackets struct {
	sequence sequenceUnwrapper
	enabled  bool
	list     []missingPacket // in order of their numbers
	next     int64           // when requests may be sent again
	// lossy makes every request go out twice if the publisher is far away: one that is lost costs a round trip more.
	lossy bool
	// keep is for how long a tap goes on waiting for a packet; 0: there is none.
	keep int64
	// unrepairable is set when a packet was given up, until it is asked for.
	unrepairable bool
}

type missingPacket struct {
	sequence uint64
	since    int64
	askedAt  int64
	tries    int
	again    bool // the request is to be repeated
	givenUp  bool // only taps wait for it
}

// packet notes a received packet, original or repaired, and returns how many
// were found missing by it.
func (m *missingPackets) packet(sequence uint16, now int64) int {
	n := m.sequence.unwrap(sequence)
	started, highest := m.sequence.started, m.sequence.highest
	m.sequence.saw(n)
	if !started || n == highest+1 {
		return 0
	}
	if n <= highest {
		if len(m.list) > 0 {
			if i, found := slices.BinarySearchFunc(m.list, n, func(p missingPacket, n uint64) int {
				return int(int64(p.sequence - n))
			}); found {
				m.list = slices.Delete(m.list, i, i+1)
			}
		}
		return 0
	}
	found := int(min(n-highest-1, 1<<15))
	if !m.enabled {
		return found
	}
	if found > missingLimit {
		m.list = m.list[:0]
		m.unrepairable = true
		return found
	}
	if over := len(m.list) + found - missingLimit; over > 0 {
		m.unrepairable = m.unrepairable || slices.ContainsFunc(m.list[:over], func(p missingPacket) bool { return !p.givenUp })
		m.list = slices.Delete(m.list, 0, over)
	}
	if len(m.list) == 0 {
		m.next = max(m.next, now+nackDelay)
	}
	for missing := highest + 1; missing < n; missing++ {
		m.list = append(m.list, missingPacket{sequence: missing, since: now})
	}
	return found
}

// due appends the numbers to ask for now to dst. givenUp is how many will not be
// asked for any more; next is when to call again, 0: not before a packet was
// found missing.
func (m *missingPackets) due(dst []uint16, now, rtt int64) (_ []uint16, givenUp int, next int64) {
	if len(m.list) == 0 {
		return dst, 0, 0
	}
	if now < m.next {
		return dst, 0, m.next
	}
	if rtt == 0 {
		rtt = defaultRTT
	}
	m.next = now + nackTick
	kept := m.list[:0]
	for _, p := range m.list {
		if !p.givenUp && (now-p.since > max(missingLifetime, 2*rtt) || p.tries == nackTries) {
			p.givenUp = true
			givenUp++
		}
		switch {
		case p.givenUp && now-p.since >= m.keep:
			continue
		case p.givenUp:
			if now-p.askedAt >= max(rtt, keptPause) {
				p.askedAt = now
				dst = append(dst, uint16(p.sequence))
			}
		case p.tries == 0 && now-p.since >= nackDelay, p.tries > 0 && now-p.askedAt >= retryPause(rtt, p.tries):
			p.tries++
			p.askedAt = now
			p.again = m.lossy && rtt >= repeatRTT
			dst = append(dst, uint16(p.sequence))
		case p.again:
			p.again = false
			dst = append(dst, uint16(p.sequence))
		}
		kept = append(kept, p)
	}
	m.list = kept
	if givenUp > 0 {
		m.unrepairable = true
	}
	if len(m.list) > 0 {
		next = m.next
	}
	return dst, givenUp, next
}

// retryPause is how long to wait for the answer to a request: a round trip and
// a little more, growing from the third on.
func retryPause(rtt int64, tries int) int64 {
	pause := max(rtt+rtt/8, nackTick)
	if tries > 2 {
		pause += pause * int64(tries-2) / 4
	}
	return pause
}

// takeUnrepairable reports, once, that packets have been given up.
func (m *missingPackets) takeUnrepairable() bool {
	lost := m.unrepairable
	m.unrepairable = false
	return lost
}
