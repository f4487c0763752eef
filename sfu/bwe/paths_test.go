package bwe

import (
	"math/rand/v2"
	"testing"
)

// wifi delivers what waits all at once when the station gets its turn, and stalls
// now and then for a fifth of a second.
func wifi(r *rand.Rand, t int64) int64 {
	const turn = 25 * milli
	if at := t % (3 * second); at < 200*milli {
		return 200*milli - at
	}
	return turn - t%turn + int64(r.Float64()*2e6)
}

func uniform(most int64) func(*rand.Rand, int64) int64 {
	return func(r *rand.Rand, _ int64) int64 { return int64(r.Float64() * float64(most)) }
}

// TestPaths proves the estimate over simulated paths in virtual time. With -v it
// prints what came out, with -args -trace the whole course.
func TestPaths(t *testing.T) {
	between := func(from, to int64, inside, outside float64) func(int64) float64 {
		return func(t int64) float64 {
			if t >= from*second && t < to*second {
				return inside
			}
			return outside
		}
	}
	camera := func(rate float64) sender { return sender{offered: steady(rate), follows: true} }
	stubborn := func(rate float64) sender { return sender{offered: steady(rate)} }
	within := func(from, to, least, most float64) func(*testing.T, []point) {
		return func(t *testing.T, trace []point) {
			low, _, high := bitrates(span(trace, from, to))
			if low < least || high > most {
				t.Errorf("from %.0f s on: %.0f to %.0f kbit/s, want %.0f to %.0f", from, low/1e3, high/1e3, least/1e3, most/1e3)
			}
		}
	}
	meanAtLeast := func(from, to, least float64) func(*testing.T, []point) {
		return func(t *testing.T, trace []point) {
			if _, mean, _ := bitrates(span(trace, from, to)); mean < least {
				t.Errorf("from %.0f s on: %.0f kbit/s on average, want %.0f", from, mean/1e3, least/1e3)
			}
		}
	}
	queueAtMost := func(from, to, most float64) func(*testing.T, []point) {
		return func(t *testing.T, trace []point) {
			if mean, _ := queues(span(trace, from, to)); mean > most {
				t.Errorf("from %.0f s on: the queue is %.0f ms on average, want %.0f at most", from, mean, most)
			}
		}
	}
	downBy := func(at, limit, to float64) func(*testing.T, []point) {
		return func(t *testing.T, trace []point) {
			when := first(span(trace, at, 1e9), func(p point) bool { return p.estimate.Known && float64(p.estimate.Bitrate) <= to })
			t.Logf("at %.0f kbit/s or less %.1f s after the change", to/1e3, when-at)
			if when < 0 || when > at+limit {
				t.Errorf("it took %.1f s to come down", when-at)
			}
		}
	}
	upBy := func(at, limit, to float64) func(*testing.T, []point) {
		return func(t *testing.T, trace []point) {
			when := first(span(trace, at, 1e9), func(p point) bool { return float64(p.estimate.Bitrate) >= to })
			t.Logf("at %.0f kbit/s or more %.1f s after the change", to/1e3, when-at)
			if when < 0 || when > at+limit {
				t.Errorf("it took %.1f s to go up", when-at)
			}
		}
	}
	neverLimited := func(t *testing.T, trace []point) {
		if at := first(trace, func(p point) bool { return p.estimate.Limited }); at >= 0 {
			t.Errorf("congestion was seen at %.1f s", at)
		}
	}
	fed := func(p path) path { p.feedback = 100 * milli; return p }

	for _, c := range []struct {
		name   string
		path   path
		sender sender
		length int64 // s
		checks []func(*testing.T, []point)
	}{
		{"500k link, 2.5M offered, follows", fed(path{rate: steady(500e3), queue: 60_000}), camera(2.5e6), 60,
			[]func(*testing.T, []point){within(2, 60, 340e3, 620e3), queueAtMost(8, 60, 150), downBy(0, 2, 500e3), meanAtLeast(5, 60, 350e3)}},
		{"500k link, 2.5M offered, ignores", fed(path{rate: steady(500e3), queue: 30_000}), stubborn(2.5e6), 60,
			[]func(*testing.T, []point){within(2, 60, 340e3, 500e3)}},
		{"500k link, short queue", fed(path{rate: steady(500e3), queue: 8_000}), camera(2.5e6), 60,
			[]func(*testing.T, []point){within(2, 60, 340e3, 750e3), meanAtLeast(5, 60, 350e3), queueAtMost(5, 60, 110)}},
		{"500k link, 100 ms each way", fed(path{rate: steady(500e3), queue: 60_000, delay: 100 * milli}), camera(2.5e6), 60,
			[]func(*testing.T, []point){within(3, 60, 340e3, 650e3), queueAtMost(10, 60, 150)}},
		{"2M, 500k, 2M", fed(path{rate: between(20, 40, 500e3, 2e6), queue: 60_000}), camera(2.5e6), 70,
			[]func(*testing.T, []point){downBy(20, 2, 500e3), within(22, 40, 300e3, 650e3), queueAtMost(28, 40, 150), upBy(40, 20, 1.5e6)}},
		{"2M, 500k, 2M, deep queue", fed(path{rate: between(20, 40, 500e3, 2e6), queue: 150_000}), camera(2.5e6), 70,
			[]func(*testing.T, []point){downBy(20, 2.5, 500e3), within(22, 40, 300e3, 650e3), upBy(40, 20, 1.5e6)}},
		{"500k, then 5M, 1M offered", fed(path{rate: between(0, 20, 500e3, 5e6), queue: 60_000}), camera(1e6), 80,
			[]func(*testing.T, []point){upBy(20, 15, 1e6), func(t *testing.T, trace []point) {
				if !span(trace, 10, 20)[0].estimate.Limited {
					t.Error("the limit is not seen")
				}
				at := first(span(trace, 20, 80), func(p point) bool { return !p.estimate.Limited })
				t.Logf("the limit is lifted %.1f s after the change", at-20)
				if at < 0 {
					t.Error("the limit stays")
				}
			}}},
		{"5 % loss, 100 ms each way, 3M", fed(path{rate: steady(3e6), queue: 100_000, loss: 0.05, lossBack: 0.05, delay: 100 * milli}), camera(2e6), 120,
			[]func(*testing.T, []point){within(1, 120, 2e6, 5e6), neverLimited}},
		{"8 % loss, 100 ms each way, 3M", fed(path{rate: steady(3e6), queue: 100_000, loss: 0.08, lossBack: 0.08, delay: 100 * milli}), camera(1.5e6), 120,
			[]func(*testing.T, []point){within(1, 120, 1e6, 5e6), meanAtLeast(30, 120, 1.5e6)}},
		{"15 % loss, 3M", fed(path{rate: steady(3e6), queue: 100_000, loss: 0.15, lossBack: 0.15}), camera(1.5e6), 120,
			[]func(*testing.T, []point){within(1, 120, 500e3, 5e6), meanAtLeast(30, 120, 1.5e6)}},
		{"5 % loss, 1M link, 2.5M offered", fed(path{rate: steady(1e6), queue: 60_000, loss: 0.05, lossBack: 0.05}), camera(2.5e6), 60,
			[]func(*testing.T, []point){within(3, 60, 600e3, 1.4e6), queueAtMost(10, 60, 150)}},
		{"30 ms of jitter, 3M", fed(path{rate: steady(3e6), queue: 100_000, jitter: uniform(30 * milli)}), camera(1.5e6), 120,
			[]func(*testing.T, []point){within(1, 120, 1.6e6, 5e6), neverLimited}},
		{"30 ms of jitter, in disorder, 3M", fed(path{rate: steady(3e6), queue: 100_000, jitter: uniform(30 * milli), reorders: true}), camera(1.5e6), 120,
			[]func(*testing.T, []point){within(1, 120, 1.6e6, 5e6), neverLimited}},
		{"Wi-Fi turns and stalls, 5M", fed(path{rate: steady(5e6), queue: 100_000, jitter: wifi}), camera(1.5e6), 120,
			[]func(*testing.T, []point){within(1, 120, 1.6e6, 6e6), neverLimited}},
		{"Wi-Fi turns and stalls, 1M link, 2.5M offered", fed(path{rate: steady(1e6), queue: 60_000, jitter: wifi}), camera(2.5e6), 60,
			[]func(*testing.T, []point){within(3, 60, 550e3, 1.5e6), queueAtMost(8, 60, 150)}},
		{"500k link, feedback each 250 ms", path{rate: steady(500e3), queue: 60_000, feedback: 250 * milli}, camera(2.5e6), 60,
			[]func(*testing.T, []point){downBy(0, 2.5, 500e3), within(3, 60, 300e3, 700e3), queueAtMost(8, 60, 200)}},
		{"500k link, feedback each 50 ms", path{rate: steady(500e3), queue: 60_000, feedback: 50 * milli}, camera(2.5e6), 60,
			[]func(*testing.T, []point){downBy(0, 2, 500e3), within(2, 60, 340e3, 650e3), queueAtMost(8, 60, 150)}},
		{"10 % loss, 3M", fed(path{rate: steady(3e6), queue: 100_000, loss: 0.10, lossBack: 0.10}), camera(1.5e6), 120,
			[]func(*testing.T, []point){within(1, 120, 800e3, 5e6), meanAtLeast(30, 120, 1.5e6)}},
		{"jitter on a 500k link", fed(path{rate: steady(500e3), queue: 60_000, jitter: uniform(30 * milli)}), camera(2.5e6), 60,
			[]func(*testing.T, []point){within(2, 60, 300e3, 700e3), queueAtMost(8, 60, 150)}},
		{"1M policer, follows", fed(path{rate: steady(1e6), policer: true}), camera(2.5e6), 60,
			[]func(*testing.T, []point){downBy(0, 2, 1.05e6), within(2, 60, 750e3, 1.5e6), meanAtLeast(5, 60, 850e3)}},
		{"1M policer, ignores", fed(path{rate: steady(1e6), policer: true}), stubborn(2.5e6), 60,
			[]func(*testing.T, []point){within(2, 60, 750e3, 1.1e6)}},
		{"100 kbit/s on 10M", fed(path{rate: steady(10e6), queue: 100_000}), camera(100e3), 60,
			[]func(*testing.T, []point){within(1, 60, 200e3, 700e3), neverLimited}},
		{"1.5M, then 100 kbit/s, on 10M", fed(path{rate: steady(10e6), queue: 100_000}), sender{offered: between(10, 70, 100e3, 1.5e6), follows: true}, 80,
			[]func(*testing.T, []point){within(5, 80, 1.5e6, 4.5e6), neverLimited}},
		{"dark for 8 s", fed(path{rate: steady(2e6), queue: 60_000, dark: func(t int64) bool { return t >= 20*second && t < 28*second }}), camera(1.5e6), 60,
			[]func(*testing.T, []point){upBy(28, 3, 1.3e6), within(31, 60, 1.3e6, 4e6)}},
		{"dark for 8 s at the limit", fed(path{rate: steady(1e6), queue: 60_000, dark: func(t int64) bool { return t >= 20*second && t < 28*second }}), camera(2.5e6), 60,
			[]func(*testing.T, []point){upBy(28, 3, 700e3), within(31, 60, 650e3, 1.4e6)}},
		{"17 % loss for 1 s", fed(path{rate: steady(3e6), queue: 100_000, losing: between(20, 21, 0.17, 0)}), stubborn(300e3), 40,
			[]func(*testing.T, []point){upBy(21, 2, 280e3), within(23, 40, 280e3, 2e6)}},
		{"17 % loss for 4 s", fed(path{rate: steady(3e6), queue: 100_000, losing: between(20, 24, 0.17, 0)}), stubborn(300e3), 40,
			[]func(*testing.T, []point){upBy(24, 2, 280e3), within(26, 40, 280e3, 2e6)}},
		{"40 % loss for 4 s", fed(path{rate: steady(3e6), queue: 100_000, losing: between(20, 24, 0.40, 0)}), stubborn(300e3), 40,
			[]func(*testing.T, []point){upBy(24, 2, 280e3), within(26, 40, 280e3, 2e6)}},
		{"others take half of 2M", fed(path{rate: steady(2e6), queue: 60_000, cross: between(20, 40, 1e6, 0)}), camera(2.5e6), 70,
			[]func(*testing.T, []point){downBy(20, 3, 1.2e6), within(24, 40, 500e3, 1.5e6), upBy(40, 20, 1.5e6)}},
		{"the receiver's clock is far off and runs fast", fed(path{rate: steady(500e3), queue: 60_000, clock: 1 << 50, drift: 200e-6}), camera(2.5e6), 60,
			[]func(*testing.T, []point){within(2, 60, 340e3, 620e3)}},
		{"a drifting clock on a good link", fed(path{rate: steady(5e6), queue: 60_000, drift: 300e-6}), camera(1.5e6), 120,
			[]func(*testing.T, []point){within(1, 120, 1.5e6, 4.5e6), neverLimited}},
		{"only REMB", path{rate: steady(5e6), queue: 60_000, remb: func(t int64, _ float64) uint64 { return 700_000 }}, camera(1.5e6), 20,
			[]func(*testing.T, []point){within(2, 20, 700e3, 700e3)}},
		{"only receiver reports, 500k", path{rate: steady(500e3), queue: 60_000, reports: true}, camera(2.5e6), 60,
			[]func(*testing.T, []point){downBy(0, 8, 500e3), within(5, 60, 250e3, 800e3), queueAtMost(15, 60, 400)}},
		{"only receiver reports, 5 % loss", path{rate: steady(3e6), queue: 100_000, loss: 0.05, reports: true}, camera(1.5e6), 120,
			[]func(*testing.T, []point){within(3, 120, 1.5e6, 5e6)}},
		{"only receiver reports, 1M policer", path{rate: steady(1e6), policer: true, reports: true}, camera(2.5e6), 60,
			[]func(*testing.T, []point){within(5, 60, 500e3, 1.6e6)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(*seeds) {
				trace := simulate(&c.path, c.sender, c.length*second, seed)
				if *verbose {
					dump(t, trace)
				}
				low, mean, high := bitrates(span(trace, 5, 1e9))
				queue, longest := queues(span(trace, 5, 1e9))
				t.Logf("from 5 s on: %.0f kbit/s (%.0f to %.0f), queue %.0f ms on average, %.0f at most", mean/1e3, low/1e3, high/1e3, queue, longest)
				for _, check := range c.checks {
					check(t, trace)
				}
			}
		})
	}
}
