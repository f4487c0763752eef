package bwe

import (
	"sync"
	"testing"
)

func TestHistory(t *testing.T) {
	h := new(History)
	if _, ok := h.Report(1, true, 0); ok {
		t.Error("a number was reported before any was given")
	}
	for i := range 70_000 { // the numbers wrap around
		sent := int64(i) * milli
		n := h.Sent(sent, 1000+i%100)
		if n != uint16(i+1) {
			t.Fatalf("packet %d got number %d", i, n)
		}
		if _, ok := h.Report(n+1, true, 5); ok {
			t.Fatal("a packet was reported that has not been sent")
		}
		if i%3 == 0 {
			p, ok := h.Report(n, false, 0)
			if want := (Packet{Sent: sent, Size: int32(1000 + i%100), Lost: true}); !ok || p != want {
				t.Fatalf("packet %d: %+v, %v", i, p, ok)
			}
			if _, ok := h.Report(n, false, 0); ok {
				t.Fatal("lost twice")
			}
		}
		p, ok := h.Report(n, true, 7)
		if want := (Packet{Sent: sent, Received: 7, Size: int32(1000 + i%100), Late: i%3 == 0}); !ok || p != want {
			t.Fatalf("packet %d: %+v, %v", i, p, ok)
		}
		if _, ok := h.Report(n, true, 7); ok {
			t.Fatal("received twice")
		}
		if _, ok := h.Report(n, false, 0); ok {
			t.Fatal("lost after it was received")
		}
	}
	old := h.Sent(0, 100)
	for range 1 << slotBits {
		h.Sent(0, 100)
	}
	if _, ok := h.Report(old, true, 0); ok {
		t.Error("a packet that was overwritten was reported")
	}
	if p, _ := h.Report(h.Sent(1<<50, 1e6), true, 0); p.Size != maxSize || p.Sent != 1<<50/1000*1000 {
		t.Errorf("%+v", p)
	}
}

// TestHistoryByManyWriters: every number is given once, and reported with what it
// was given for or not at all.
func TestHistoryByManyWriters(t *testing.T) {
	h := new(History)
	var wg sync.WaitGroup
	const writers, each = 4, 10_000
	numbers := make([][]uint16, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				numbers[w] = append(numbers[w], h.Sent(int64(i)*1000, 100+w))
			}
		})
	}
	wg.Go(func() {
		for n := range uint16(writers * each) {
			if p, ok := h.Report(n, n%2 == 0, 1); ok && (p.Size < 100 || p.Size >= 100+writers || p.Sent >= each*1000) {
				t.Errorf("%+v", p)
				return
			}
		}
	})
	wg.Wait()
	seen := make(map[uint16]bool)
	for _, list := range numbers {
		for _, n := range list {
			if seen[n] {
				t.Fatalf("number %d was given twice", n)
			}
			seen[n] = true
		}
	}
}

func BenchmarkHistory(b *testing.B) {
	h := new(History)
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		now += 1000
		h.Report(h.Sent(now, 1200), true, now)
	}
}
