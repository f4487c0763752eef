package media

import (
	"time"

	"github.com/pion/rtcp"
)

// receiveStats keeps what a reception report says of a stream (RFC 3550
// section 6.4.1 and appendix A). Retransmissions do not count as received,
// because they come in a stream of their own (RFC 4588 section 6.3).
type receiveStats struct {
	sequence  sequenceUnwrapper
	received  uint64
	jitter    float64
	timestamp uint32
	transit   uint32 // of the last packet, in units of the clock
	measured  bool
	clockRate uint32

	first                          uint64
	expectedBefore, receivedBefore uint64 // at the last report
}

func (r *receiveStats) packet(sequence uint16, timestamp uint32, now int64) {
	n := r.sequence.unwrap(sequence)
	if !r.sequence.started {
		r.first = n
	}
	r.sequence.saw(n)
	r.received++

	// The packets of a frame have one timestamp but are sent over some time: only
	// the first says something about the network.
	if r.measured && timestamp == r.timestamp {
		return
	}
	transit := uint32(uint64(now/1000)*uint64(r.clockRate)/1_000_000) - timestamp
	if r.measured {
		d := int32(transit - r.transit)
		if d < 0 {
			d = -d
		}
		r.jitter += (float64(d) - r.jitter) / 16
	}
	r.transit, r.timestamp, r.measured = transit, timestamp, true
}

func (r *receiveStats) jitterDuration() time.Duration {
	return time.Duration(r.jitter / float64(max(r.clockRate, 1)) * float64(time.Second))
}

// expected is how many packets were sent, by their sequence numbers.
func (r *receiveStats) expected() uint64 {
	if !r.sequence.started {
		return 0
	}
	return r.sequence.highest - r.first + 1
}

// block fills a report block and starts the next interval. ok is false when
// nothing has been received yet.
func (r *receiveStats) block(ssrc uint32) (block rtcp.ReceptionReport, ok bool) {
	if !r.sequence.started {
		return block, false
	}
	expected := r.expected()
	lost := int64(expected) - int64(r.received)
	expectedNow := expected - r.expectedBefore
	lostNow := int64(expectedNow) - int64(r.received-r.receivedBefore)
	r.expectedBefore, r.receivedBefore = expected, r.received

	block = rtcp.ReceptionReport{
		SSRC:               ssrc,
		LastSequenceNumber: uint32(r.sequence.highest - 1<<16),
		TotalLost:          uint32(min(max(lost, 0), 0x7fffff)),
		Jitter:             uint32(r.jitter),
	}
	if expectedNow > 0 && lostNow > 0 {
		block.FractionLost = uint8(min(lostNow*256/int64(expectedNow), 255))
	}
	return block, true
}
