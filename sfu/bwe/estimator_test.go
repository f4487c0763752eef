package bwe

import (
	"encoding/binary"
	"math"
	"testing"
)

// stream makes feedback about packets that arrive as they were sent.
type stream struct {
	e       *Estimator
	now     int64
	packets []Packet
}

// run reports on some seconds of 100 packets each, every 100 ms; each packet is
// changed by change, if that is not nil.
func (s *stream) run(seconds float64, size int32, change func(i int, p *Packet)) {
	for range int(seconds * 10) {
		s.packets = s.packets[:0]
		for i := range 10 {
			sent := s.now + int64(i)*10*milli
			s.packets = append(s.packets, Packet{Sent: sent, Received: sent + 20*milli, Size: size})
			if change != nil {
				change(i, &s.packets[i])
			}
		}
		s.now += 100 * milli
		s.e.Feedback(s.now+40*milli, true, s.packets)
	}
}

func (s *stream) estimate() Estimate { return s.e.Estimate(s.now + 40*milli) }

func TestUnknownUntilThereIsEvidence(t *testing.T) {
	s := stream{e: New(Options{})}
	if got := s.estimate(); got.Known || got.Bitrate != 0 || got.Source != None || got.Age != 0 {
		t.Errorf("%+v", got)
	}
	s.run(0.3, 1200, nil)
	if got := s.estimate(); got.Known {
		t.Errorf("0.3 s are said to prove %+v", got)
	}
	s.run(1, 1200, nil) // 960 kbit/s
	got := s.estimate()
	if !got.Known || got.Limited || got.Bitrate < 1_400_000 || got.Bitrate > 2_200_000 || got.Source != TransportWide {
		t.Errorf("%+v", got)
	}
	if got.Acknowledged < 900_000 || got.Acknowledged > 1_000_000 || got.Sent < 900_000 || got.Sent > 1_000_000 {
		t.Errorf("the rates are wrong: %+v", got)
	}
	before := got.Bitrate
	s.now += 60 * second // nothing is sent
	if got := s.estimate(); got.Bitrate != before {
		t.Errorf("idle, it went from %d to %d", before, got.Bitrate)
	}
	s.run(60, 100, nil)
	if got := s.estimate(); got.Bitrate != before {
		t.Errorf("with little sent, it went from %d to %d", before, got.Bitrate)
	}
}

func TestLimits(t *testing.T) {
	s := stream{e: New(Options{Min: 400_000, Max: 700_000})}
	s.run(5, 1200, nil)
	if got := s.estimate(); got.Bitrate != 700_000 {
		t.Errorf("it exceeds its maximum: %+v", got)
	}
	s.run(30, 1200, func(i int, p *Packet) { p.Lost = i > 0 })
	if got := s.estimate(); got.Bitrate != 400_000 || !got.Limited || got.Loss < 0.85 {
		t.Errorf("it does not fall to its minimum: %+v", got)
	}
}

// TestPacketsReportedTwice: feedback that first says lost, then received.
func TestPacketsReportedTwice(t *testing.T) {
	s := stream{e: New(Options{})}
	for range 200 {
		s.run(0.1, 1200, func(i int, p *Packet) { p.Lost = i == 5 })
		late := Packet{Sent: s.now - 50*milli, Received: s.now - 30*milli, Size: 1200, Late: true}
		s.e.Feedback(s.now+60*milli, true, []Packet{late})
	}
	if got := s.estimate(); got.Loss > 0.02 || got.Limited {
		t.Errorf("%+v", got)
	}
}

func TestREMBIsForThoseWithoutFeedback(t *testing.T) {
	s := stream{e: New(Options{})}
	s.e.REMB(second, 300_000)
	if got := s.e.Estimate(2 * second); !got.Known || got.Bitrate != 300_000 || got.Source != REMB || !got.Limited {
		t.Errorf("%+v", got)
	}
	if got := s.e.Estimate(30 * second); got.Known {
		t.Errorf("after 30 s: %+v", got)
	}
	s.now = 30 * second
	s.run(2, 1200, nil)
	s.e.REMB(s.now, 300_000)
	if got := s.estimate(); got.Bitrate < 1_000_000 || got.Source != TransportWide {
		t.Errorf("beside transport-wide feedback: %+v", got)
	}
	s.e.REMB(s.now+4*second, 300_000)
	if got := s.e.Estimate(s.now + 5*second); got.Bitrate != 300_000 || got.Source != REMB {
		t.Errorf("when that has ended: %+v", got)
	}
}

// TestClockJumps: the receiver's clock jumps by hours while the link is good.
func TestClockJumps(t *testing.T) {
	s := stream{e: New(Options{})}
	for _, offset := range []int64{0, 3600 * second, -3600 * second, 1 << 59, -1 << 59, 10 * second} {
		s.run(5, 1200, func(_ int, p *Packet) { p.Received += offset })
		if got := s.estimate(); !got.Known || got.Limited || got.Bitrate < 1_000_000 || got.Bitrate > 3_000_000 {
			t.Errorf("after a jump to %d s: %+v", offset/second, got)
		}
	}
	s.run(3, 1200, func(_ int, p *Packet) { p.Received += p.Sent })
	if got := s.estimate(); !got.Limited {
		t.Errorf("congestion is not seen any more: %+v", got)
	}
}

func TestNoFeedbackForPacketsFromTheFuture(t *testing.T) {
	s := stream{e: New(Options{})}
	s.run(3, 1200, func(_ int, p *Packet) { p.Sent += 3600 * second })
	if got := s.estimate(); got.Known || got.Acknowledged != 0 {
		t.Errorf("%+v", got)
	}
}

func TestFeedbackDoesNotAllocate(t *testing.T) {
	s := stream{e: New(Options{})}
	s.run(5, 1200, nil)
	if n := testing.AllocsPerRun(200, func() {
		s.run(0.1, 1200, func(i int, p *Packet) { p.Lost = i == 3 })
		s.e.SetRTT(s.now, 50*milli)
		s.e.Report(s.now, 100, 3, uint64(s.now/1000))
		s.e.REMB(s.now, 1e6)
		_ = s.estimate()
	}); n != 0 {
		t.Errorf("%v allocations per feedback", n)
	}
}

// FuzzEstimator gives an Estimator whatever it gets, in whatever order.
func FuzzEstimator(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19})
	f.Add([]byte("feedback of a receiver that says what it likes, and then some more of it"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := New(Options{Min: 30_000, Max: 50_000_000})
		now := int64(0)
		number := func(bytes int) int64 {
			var b [8]byte
			n := copy(b[:min(bytes, 8)], data)
			data = data[n:]
			return int64(binary.LittleEndian.Uint64(b[:]))
		}
		var packets []Packet
		for len(data) > 0 {
			op := number(1)
			switch op & 0x3f {
			case 0:
				now = number(8)
			case 1:
				e.Report(now, uint32(number(4)), uint32(number(4)), uint64(number(8)))
			case 2:
				e.SetRTT(now, number(5))
			case 3:
				e.REMB(now, uint64(number(8)))
			default:
				packets = packets[:0]
				sent, received := now-number(4), number(int(op&8))
				for range number(1) & 31 {
					kind := number(1)
					sent += number(int(kind & 3))
					received += int64(int32(number(4)))
					packets = append(packets, Packet{
						Sent: sent, Received: received, Size: int32(number(2)) - 100, Lost: kind&4 != 0, Late: kind&8 != 0,
					})
				}
				now += number(4)
				e.Feedback(now, op&0x40 != 0, packets)
			}
			got := e.Estimate(now)
			if got.Known != (got.Bitrate != 0) || got.Known && (got.Bitrate < 30_000 || got.Bitrate > 50_000_000) {
				t.Fatalf("%+v", got)
			}
			if got.Acknowledged > 50_000_000 || got.Sent > 50_000_000 || got.QueueDelay < 0 {
				t.Fatalf("%+v", got)
			}
			for _, v := range []float64{got.Loss, got.InherentLoss} {
				if !(v >= 0 && v <= 1) {
					t.Fatalf("%+v", got)
				}
			}
			if math.IsNaN(got.Trend) || math.IsInf(got.Trend, 0) || !(got.Threshold > 0 || got.Source != TransportWide) {
				t.Fatalf("%+v", got)
			}
		}
	})
}

// BenchmarkFeedback is one feedback of 50 packets, what a viewer of 1.5 Mbit/s
// and voice sends about each 250 ms.
func BenchmarkFeedback(b *testing.B) {
	e := New(Options{})
	packets := make([]Packet, 50)
	now := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range packets {
			sent := now + int64(i)*5*milli
			packets[i] = Packet{Sent: sent, Received: sent + 20*milli, Size: 1200, Lost: i == 17}
		}
		now += 250 * milli
		e.Feedback(now+40*milli, true, packets)
	}
}
