package bwe

import (
	"testing"
	"time"
)

// sharedLink is a link of some rate on which several connections send.
type sharedLink struct {
	rate  float64 // bit/s
	queue float64 // bits that wait
}

// pass sends for some time and returns what the connections see of it.
func (l *sharedLink) pass(sent []float64, seconds float64) []Estimate {
	total := 0.0
	for _, s := range sent {
		total += s
	}
	before := l.queue
	l.queue = min(max(0, l.queue+(total-l.rate)*seconds), l.rate) // a second of it fits
	out := total - (l.queue-before)/seconds
	all := make([]Estimate, len(sent))
	for i, s := range sent {
		e := Estimate{Known: true, Source: TransportWide, Sent: uint64(s), Acknowledged: uint64(s * min(out/total, l.rate/total+1))}
		e.QueueDelay = time.Duration(l.queue / l.rate * 1e9)
		switch {
		case l.queue > before:
			e.State, e.Limited, e.Bitrate = Overuse, true, e.Acknowledged/2
		case l.queue < before:
			e.State = Underuse
		}
		if total > l.rate && l.queue == l.rate {
			e.Acknowledged, e.Loss = uint64(s*l.rate/total), (total-l.rate)/total
			e.Limited, e.Bitrate = true, e.Acknowledged/2
		}
		all[i] = e
	}
	return all
}

// follow makes publishers of 800 kbit/s at most keep to an estimate, with some delay.
func follow(sent []float64, e *Estimate) {
	for i := range sent {
		want := 800_000.0
		if e.Limited {
			want = min(want, float64(e.Bitrate)/3)
		}
		sent[i] += (want - sent[i]) / 3
	}
}

// TestSharedLink has three connections share 600 kbit/s: what each gets of the
// estimate is sent, with some delay.
func TestSharedLink(t *testing.T) {
	const step = 0.2
	link := sharedLink{rate: 600_000}
	var s Shared
	sent := []float64{800_000, 800_000, 800_000}
	lowest, highest := 1e9, 0.0
	for now := step; now < 60; now += step {
		e := s.Update(int64(now*1e9), link.pass(sent, step))
		follow(sent, &e)
		if now > 15 {
			lowest, highest = min(lowest, float64(e.Bitrate)), max(highest, float64(e.Bitrate))
		}
	}
	t.Logf("%.0f to %.0f of 600000 bit/s", lowest, highest)
	if lowest < 380_000 || highest > 800_000 {
		t.Errorf("the estimate of a link of 600 kbit/s was between %.0f and %.0f", lowest, highest)
	}
	link.rate = 3_000_000
	last := Estimate{}
	for now := 60.0; now < 120; now += step {
		last = s.Update(int64(now*1e9), link.pass(sent, step))
		follow(sent, &last)
	}
	if sum := sent[0] + sent[1] + sent[2]; sum < 2_000_000 || last.Limited {
		t.Errorf("a minute after the link has become wide %.0f bit/s are sent, limited %v", sum, last.Limited)
	}
}

// TestSharedAfterDarkness: what arrives lately is nothing then, which says nothing
// of the link.
func TestSharedAfterDarkness(t *testing.T) {
	var s Shared
	own := Estimate{Known: true, Source: TransportWide, Sent: 300_000, Acknowledged: 300_000, Bitrate: 600_000}
	s.Update(1e9, []Estimate{own, own})
	after := own
	after.Acknowledged, after.State, after.QueueDelay = 20_000, Overuse, 500*time.Millisecond
	if got := s.Update(2e9, []Estimate{after, after}); got.Limited {
		t.Errorf("limited to %d though no connection is", got.Bitrate)
	}
	after.Limited, after.Bitrate = true, 400_000
	if got := s.Update(3e9, []Estimate{after, after}); got.Bitrate < 800_000 {
		t.Errorf("%d, less than the connections find themselves", got.Bitrate)
	}
}

func TestSharedOfOne(t *testing.T) {
	var s Shared
	own := Estimate{Bitrate: 300_000, Known: true, Limited: true, Source: TransportWide, Acknowledged: 280_000}
	if got := s.Update(1e9, []Estimate{own}); got != own {
		t.Errorf("the link of one connection is %+v, want %+v", got, own)
	}
}

func TestSharedFallsBack(t *testing.T) {
	var s Shared
	got := s.Update(1e9, []Estimate{
		{Bitrate: 250_000, Known: true, Limited: true, Source: REMB},
		{Bitrate: 900_000, Known: true, Source: TransportWide, Acknowledged: 100_000, Sent: 100_000},
	})
	if !got.Limited || got.Bitrate != 350_000 {
		t.Errorf("with a receiver's own limit of 250 kbit/s beside 100 kbit/s: %d, limited %v", got.Bitrate, got.Limited)
	}
}
