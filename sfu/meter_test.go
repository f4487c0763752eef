package sfu

import (
	"testing"
	"time"
)

func TestFlowMeasuresOverItsSamples(t *testing.T) {
	var f flow
	at := time.Unix(1000, 0)
	if since, span := f.sample(flowCount{at: at, bits: 500, packets: 5}); span != 0 || since.packets != 0 {
		t.Errorf("the first sample says %+v over %s", since, span)
	}
	for i := 1; i <= 6; i++ {
		loss := 0.0
		if i == 5 {
			loss = 0.4
		}
		since, span := f.sample(flowCount{at: at.Add(time.Duration(i) * time.Second), bits: 500 + 1000*uint64(i), packets: 5, loss: loss})
		want := time.Duration(min(i, flowSamples)) * time.Second
		if span != want || perSecond(since.bits, span) != 1000 || since.packets != 0 {
			t.Errorf("sample %d: %+v over %s, want %s", i, since, span, want)
		}
		if got := since.loss / float64(since.n); i == 6 && (got < 0.099 || got > 0.101) {
			t.Errorf("mean loss %v, want 0.1", got)
		}
	}
	// A counter that sinks (a simulcast layer has begun anew) measures nothing.
	if since, _ := f.sample(flowCount{at: at.Add(7 * time.Second), bits: 1}); since.bits != 0 {
		t.Errorf("%d bits since a larger count", since.bits)
	}
}

func TestLossOf(t *testing.T) {
	for _, c := range []struct {
		expected, arrived uint64
		want              float64
	}{{0, 0, -1}, {100, 100, 0}, {100, 95, 0.05}, {100, 0, 1}, {100, 104, 0}} {
		if got := lossOf(c.expected, c.arrived); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%d of %d: %v, want %v", c.arrived, c.expected, got, c.want)
		}
	}
}

func TestCountsOnlyGrow(t *testing.T) {
	var sum Counts
	before := Counts{SentPackets: 10, SentBytes: 1000}
	sum.grow(&before, &Counts{})
	sum.grow(&Counts{SentPackets: 4, SentBytes: 1500}, &before)
	if sum[SentPackets] != 10 || sum[SentBytes] != 1500 {
		t.Errorf("%v", sum)
	}
}

func TestHistogram(t *testing.T) {
	var all, other Totals
	for _, seconds := range []float64{0, .005, .0051, 5, 5.1, 60} {
		all.observe(RoundTrip, seconds)
	}
	other.observe(RoundTrip, .2)
	all.add(&other)
	h, bounds := all.Distributions[RoundTrip], RoundTrip.Bounds()
	if h.Count != 7 || h.Sum < 70.3 || h.Sum > 70.4 || h.Buckets[0] != 2 || h.Buckets[1] != 1 || h.Buckets[6] != 1 ||
		h.Buckets[len(bounds)-1] != 1 || h.Buckets[len(bounds)] != 2 {
		t.Errorf("%+v", h)
	}
	for d := range Distributions {
		if n := len(d.Bounds()); n >= maxBuckets {
			t.Errorf("distribution %d has %d bounds", d, n)
		}
	}
}

func TestLevels(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name string
		f    figures
		want Level
	}{
		{"nothing known", figures{lossUp: -1, lossDown: -1}, Good},
		{"near and clean", figures{rtt: 30 * ms, voiceJitter: 5 * ms, lossUp: 0, lossDown: 0.01}, Good},
		{"at the bounds of good", figures{rtt: 250 * ms, voiceJitter: 50 * ms, lossUp: 0.02, lossDown: 0.02}, Good},
		{"far", figures{rtt: 251 * ms}, Fair},
		{"jitter", figures{voiceJitter: 51 * ms}, Fair},
		{"loss up", figures{lossUp: 0.03}, Fair},
		{"loss down", figures{lossDown: 0.08, lossUp: -1}, Fair},
		{"very far", figures{rtt: 501 * ms}, Poor},
		{"much jitter", figures{voiceJitter: 121 * ms}, Poor},
		{"much loss", figures{lossDown: 0.081, lossUp: -1}, Poor},
	} {
		if got := levelOf(&c.f); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestLevelsDoNotFlicker(t *testing.T) {
	m := &legMeter{}
	step := func(loss float64, unreachable bool, want Level) {
		t.Helper()
		m.now = figures{lossUp: loss, lossDown: -1, level: m.now.level}
		if m.grade(unreachable); m.now.level != want {
			t.Errorf("%s, want %s", m.now.level, want)
		}
	}
	step(0, false, Good)
	step(0.2, false, Poor)
	step(0, false, Fair)
	step(0, false, Good)
	step(0, true, Lost)
	step(0, false, Fair)
	step(0.2, false, Poor)
}
