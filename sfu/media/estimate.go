package media

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/pion/rtcp"

	"skillsage/sfu/bwe"
)

// Bounds of a transport-wide feedback packet.
const (
	feedbackHeader  = 20   // bytes before the packet chunks
	feedbackNumbers = 4096 // packets that one may speak of
	feedbackKeep    = 512  // packets for which space is kept

	feedbackTick  = int64(64 * time.Millisecond)
	feedbackDelta = int64(250 * time.Microsecond)
)

// sendEstimate estimates what a port's connection carries in the direction of the
// viewer.
type sendEstimate struct {
	mu        sync.Mutex     // a leaf, not taken on the way of a packet; guards all
	estimator *bwe.Estimator // nil until something is known
	packets   []bwe.Packet   // scratch

	started   bool
	reference int64  // the last reference time, unwrapped, in feedbackTick
	next      uint16 // the number after the last one reported
}

// get is the estimator. s.mu is held.
func (s *sendEstimate) get() *bwe.Estimator {
	if s.estimator == nil {
		s.estimator = bwe.New(bwe.Options{})
	}
	return s.estimator
}

// Estimate says how much the connection carries towards the viewer, in bits on
// the wire: RTP with its header, SRTP tag, UDP and IPv4. It rests on transport-wide
// feedback where the viewer has negotiated that, else on the viewer's own estimate
// (REMB) and on receiver reports.
func (p *Port) Estimate() bwe.Estimate {
	s := &p.estimate
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.estimator == nil {
		return bwe.Estimate{}
	}
	return s.estimator.Estimate(monotonic())
}

// receivedTransportFeedback takes a transport-wide feedback packet
// (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1); false: it is malformed.
func (p *Port) receivedTransportFeedback(raw []byte, now int64) bool {
	history := p.history.Load()
	if history == nil {
		return true
	}
	s := &p.estimate
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.read(raw, history) {
		return false
	}
	p.counters.twccReceived.Add(1)
	base, count := binary.BigEndian.Uint16(raw[12:]), binary.BigEndian.Uint16(raw[14:])
	contiguous := s.next-base < 1<<15
	if next := base + count; !contiguous || next-s.next < 1<<15 {
		s.next = next
	}
	s.get().Feedback(now, contiguous, s.packets)
	if cap(s.packets) > feedbackKeep {
		s.packets = nil
	}
	return true
}

// read fills s.packets with what a feedback packet says of packets that have been
// sent; false: it is malformed. s.mu is held.
func (s *sendEstimate) read(raw []byte, history *bwe.History) bool {
	s.packets = s.packets[:0]
	if len(raw) < feedbackHeader {
		return false
	}
	number, count := binary.BigEndian.Uint16(raw[12:]), int(binary.BigEndian.Uint16(raw[14:]))
	if count == 0 || count > feedbackNumbers {
		return false
	}
	body := raw[feedbackHeader:]
	chunks := 0
	for told := 0; told < count; chunks += 2 {
		if len(body) < chunks+2 {
			return false
		}
		told += chunkLength(binary.BigEndian.Uint16(body[chunks:]))
	}
	deltas := body[chunks:]

	at := s.unwrap(binary.BigEndian.Uint32(raw[16:])>>8) * feedbackTick
	for ; count > 0; body = body[2:] {
		chunk := binary.BigEndian.Uint16(body)
		for i := range min(chunkLength(chunk), count) {
			var delta int64
			symbol := chunkSymbol(chunk, i)
			switch symbol {
			case rtcp.TypeTCCPacketReceivedSmallDelta:
				if len(deltas) < 1 {
					return false
				}
				delta, deltas = int64(deltas[0]), deltas[1:]
			case rtcp.TypeTCCPacketReceivedLargeDelta:
				if len(deltas) < 2 {
					return false
				}
				delta, deltas = int64(int16(binary.BigEndian.Uint16(deltas))), deltas[2:]
			}
			at += delta * feedbackDelta
			// Of one that came at an unknown time nothing can be learned.
			if symbol != rtcp.TypeTCCPacketReceivedWithoutDelta {
				if packet, ok := history.Report(number, symbol != rtcp.TypeTCCPacketNotReceived, at); ok {
					s.packets = append(s.packets, packet)
				}
			}
			number++
			count--
		}
	}
	return true
}

// unwrap continues the reference time, of which 24 bits are sent.
func (s *sendEstimate) unwrap(reference uint32) int64 {
	if !s.started {
		s.started, s.reference = true, int64(reference)
	} else {
		s.reference += int64(int32((reference-uint32(s.reference))<<8) >> 8)
	}
	return s.reference
}

// chunkLength is how many packets a packet status chunk speaks of.
func chunkLength(chunk uint16) int {
	switch chunk >> 14 {
	case 2: // one bit each
		return 14
	case 3: // two bits each
		return 7
	}
	return int(chunk & 0x1fff)
}

// chunkSymbol is what a packet status chunk says of one packet.
func chunkSymbol(chunk uint16, i int) uint16 {
	switch chunk >> 14 {
	case 2:
		return chunk >> (13 - i) & 1
	case 3:
		return chunk >> (12 - 2*i) & 3
	}
	return chunk >> 13 & 3
}

// reported takes what a receiver report says of a feed that the estimate can
// use: how many packets it tells of, how many of them were lost, and the round
// trip time; 0: not known.
func (s *sendEstimate) reported(p *Port, expected, lost uint32, rtt, now int64) {
	sent := p.wireBytes()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get()
	if rtt > 0 {
		e.SetRTT(now, rtt)
	}
	if expected > 0 {
		e.Report(now, expected, lost, sent)
	}
}

// receivedREMB takes the viewer's own estimate in bit/s.
func (s *sendEstimate) receivedREMB(bitrate uint64, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get().REMB(now, bitrate)
}
