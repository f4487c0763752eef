package media

import (
	"math"
	"testing"
	"time"
)

func TestReceiverReportCounts(t *testing.T) {
	r := receiveStats{clockRate: 90000}
	if _, ok := r.block(1); ok {
		t.Fatal("a report before the first packet")
	}
	send := func(from, to int, lose func(int) bool) {
		for i := from; i < to; i++ {
			if !lose(i) {
				r.packet(uint16(65000+i), uint32(i*3000), int64(i)*33_333_333)
			}
		}
	}
	send(0, 100, func(i int) bool { return i%10 == 5 })
	block, ok := r.block(7)
	if !ok || block.SSRC != 7 || block.TotalLost != 10 || block.FractionLost != 25 {
		t.Fatalf("10 of 100 lost: %+v", block)
	}
	if block.LastSequenceNumber != 65099 {
		t.Fatalf("highest number is %d", block.LastSequenceNumber)
	}
	send(100, 1000, func(int) bool { return false })
	block, _ = r.block(7)
	if block.FractionLost != 0 || block.TotalLost != 10 {
		t.Fatalf("nothing more lost: %+v", block)
	}
	if want := uint32(1<<16 | (65000+999)&0xffff); block.LastSequenceNumber != want { // wrapped around once
		t.Fatalf("highest number is %#x, want %#x", block.LastSequenceNumber, want)
	}
	// A packet that comes twice must not make the loss negative.
	for range 20 {
		r.packet(uint16((65000+999)&0xffff), 0, 0)
	}
	block, _ = r.block(7)
	if block.FractionLost != 0 || block.TotalLost > 10 {
		t.Fatalf("after repetitions: %+v", block)
	}
}

func TestJitter(t *testing.T) {
	for _, c := range []struct {
		name string
		late func(frame int) time.Duration
		want time.Duration
	}{
		{"none", func(int) time.Duration { return 0 }, 0},
		{"a constant delay", func(int) time.Duration { return time.Second }, 0},
		{"every second frame 10 ms late", func(f int) time.Duration { return time.Duration(f%2) * 10 * time.Millisecond }, 10 * time.Millisecond},
	} {
		r := receiveStats{clockRate: 90000}
		sequence := uint16(0)
		for frame := range 500 {
			at := time.Duration(frame)*20*time.Millisecond + c.late(frame)
			for i := range 3 { // packets of one frame are sent over 4 ms
				r.packet(sequence, uint32(frame*1800), int64(at)+int64(i)*2e6)
				sequence++
			}
		}
		if got := r.jitterDuration(); math.Abs(float64(got-c.want)) > float64(200*time.Microsecond) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
