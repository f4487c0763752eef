package sfu

import (
	"testing"
	"time"

	"skillsage/sfu/bwe"
)

// TestPause plays what a picture meets, a look every 200 ms, and expects when it is paused.
func TestPause(t *testing.T) {
	t.Parallel()
	type phase struct {
		seconds    float64
		need       need
		congestion congestion
	}
	type span struct{ from, to float64 } // s
	const end = 1000
	for name, c := range map[string]struct {
		phases []phase
		want   []span
	}{
		"a low limit alone is no reason": {[]phase{{60, nothing, uncongested}, {60, over, uncongested}}, nil},
		"nor is short congestion":        {[]phase{{1.8, nothing, losing}, {1, nothing, uncongested}, {1.8, nothing, losing}, {5, fits, losing}}, nil},
		"nothing left":                   {[]phase{{3.6, nothing, losing}, {30, nothing, uncongested}}, []span{{2, 3}}},
		"far too much":                   {[]phase{{4.6, over, losing}, {30, over, uncongested}}, []span{{4, 5}}},
		"room again":                     {[]phase{{2.2, nothing, losing}, {30, fits, uncongested}}, []span{{2, 2.2}}},
		"congestion that lasts": {[]phase{{60, nothing, losing}},
			[]span{{2, 3}, {3.8, 4.8}, {5.6, 6.6}, {7.4, 9.4}, {10.2, 14.2}, {15, 23}, {23.8, 38.8}, {39.6, 54.6}, {55.4, end}}},
		"a queue that lasts": {[]phase{{60, nothing, queueing}},
			[]span{{2, 3.6}, {4.4, 6}, {6.8, 8.4}, {9.2, 12.2}, {13, 19}, {19.8, 31.8}, {32.6, 47.6}, {48.4, end}}},
		"a pause that was right once does not count for ever": {[]phase{{6.5, nothing, losing}, {20, nothing, uncongested}, {3.5, nothing, losing}},
			[]span{{2, 3}, {3.8, 4.8}, {5.6, 6.6}, {28.6, 29.6}}},
	} {
		t.Run(name, func(t *testing.T) {
			var p pause
			var got []span
			begin, paused := time.Unix(1e9, 0), false
			step, at := 200*time.Millisecond, time.Duration(0)
			note := func(now bool) {
				switch seconds := at.Seconds(); {
				case now && !paused:
					got = append(got, span{seconds, end})
				case !now && paused:
					got[len(got)-1].to = seconds
				}
				paused = now
			}
			until := time.Duration(0)
			for _, phase := range c.phases {
				until += time.Duration(phase.seconds * 1e9)
				for ; at < until; at += step {
					note(p.look(begin.Add(at), phase.need, phase.congestion))
				}
			}
			same := len(got) == len(c.want)
			for i := range min(len(got), len(c.want)) {
				for _, apart := range []float64{got[i].from - c.want[i].from, got[i].to - c.want[i].to} {
					same = same && apart < 0.3 && apart > -0.3
				}
			}
			if !same {
				t.Errorf("paused %v, want %v", got, c.want)
			}
		})
	}
}

func TestCongestionOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		link bwe.Estimate
		want congestion
	}{
		"a low limit": {bwe.Estimate{Source: bwe.TransportWide, Limited: true, Bitrate: 50_000}, uncongested},
		"a queue":     {bwe.Estimate{Source: bwe.TransportWide, QueueDelay: 100 * time.Millisecond}, queueing},
		"overuse":     {bwe.Estimate{Source: bwe.TransportWide, State: bwe.Overuse}, queueing},
		"overuse, then darkness": {bwe.Estimate{Source: bwe.TransportWide, State: bwe.Overuse, Loss: 0.5, Age: 1500 * time.Millisecond},
			uncongested},
		"loss":                {bwe.Estimate{Source: bwe.TransportWide, Loss: 0.17}, losing},
		"loss as always":      {bwe.Estimate{Source: bwe.TransportWide, Loss: 0.17, InherentLoss: 0.15}, uncongested},
		"loss by reports":     {bwe.Estimate{Source: bwe.ReceiverReports, Loss: 0.17, Age: 2 * time.Second}, losing},
		"loss by old reports": {bwe.Estimate{Source: bwe.ReceiverReports, Loss: 0.17, Age: 6 * time.Second}, uncongested},
	} {
		if got := congestionOf(&c.link); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		loss, inherent float64
		want           uint64
	}{{0, 0, 300_000}, {0.3, 0, 300_000}, {0.3, 0.1, 270_000}, {0.5, 0.5, 225_000}} {
		if got := budget(&bwe.Estimate{Bitrate: 300_000, Loss: c.loss, InherentLoss: c.inherent}); got != c.want {
			t.Errorf("%d of 300000 with %v lost, %v of it inherent; want %d", got, c.loss, c.inherent, c.want)
		}
	}
}
