package bwe

import (
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

const (
	second = int64(1e9)
	milli  = int64(1e6)
)

var (
	verbose = flag.Bool("trace", false, "print the course of each simulation")
	seeds   = flag.Int("seeds", 3, "times that each simulation is run, with other random numbers")
)

// path is a simulated way from the sender to the receiver and back.
type path struct {
	rate      func(t int64) float64 // of the bottleneck, bit/s
	queue     int                   // bytes; beyond that packets are dropped
	policer   bool                  // what exceeds the rate is dropped at once, nothing waits
	delay     int64                 // each way
	loss      float64               // of packets, at random
	losing    func(t int64) float64 // the same, where it changes
	lossBack  float64               // of feedback
	jitter    func(r *rand.Rand, t int64) int64
	reorders  bool // jitter changes the order
	dark      func(t int64) bool
	cross     func(t int64) float64 // bit/s of others in the same queue
	clock     int64                 // of the receiver, against the sender's
	drift     float64               // of the receiver's clock
	feedback  int64                 // interval; 0: there is none
	reports   bool                  // receiver reports each second
	remb      func(t int64, arriving float64) uint64
	history   *History
	estimator *Estimator
}

func steady(rate float64) func(int64) float64 { return func(int64) float64 { return rate } }

// sender is a camera of 30 frames per second with a key frame each 10 s, and
// voice, as a relay forwards them.
type sender struct {
	offered func(t int64) float64 // what the encoder makes at most, bit/s
	follows bool                  // is capped at the estimate, a second later
}

// point is the state at some time.
type point struct {
	t        int64
	estimate Estimate
	queue    int64   // ns that a packet waits in the bottleneck
	sent     float64 // bit/s over the last second
	arrived  float64
	lost     float64
}

type flight struct {
	number uint16
	sent   int64
	size   int
	at     int64
}

// simulate runs a sender over a path and samples each 100 ms.
func simulate(p *path, s sender, length int64, seed uint64) []point {
	const audioSize, audioEvery, headers = 140, 20 * milli, 60
	random := rand.New(rand.NewPCG(seed, 99))
	p.estimator, p.history = New(Options{}), new(History)
	if p.delay == 0 {
		p.delay = 20 * milli
	}
	type due struct {
		at   int64
		size int
	}
	var (
		trace    []point
		outbox   []due
		arriving []flight // sorted by arrival
		got      []flight
		back     []func(now int64)
		backAt   []int64
		targets  []float64
		busyTo   int64
		lastAt   int64
		tokens   float64
		total    uint64
		base     = uint16(1)
		reported uint16
		counts   = make([][3]float64, length/(100*milli)+1) // sent, arrived bytes, lost packets
		packets  = make([]float64, len(counts))
		expected uint32
		missing  uint32
	)
	crossCredit := 0.0
	target := math.Inf(1)
	for t := int64(0); t < length; t += milli {
		slot := t / (100 * milli)
		rate := p.rate(t)
		if p.cross != nil { // packets of 1,200 bytes
			crossCredit += p.cross(t) / 8e3
			for crossCredit >= 1200 {
				crossCredit -= 1200
				if float64(max(busyTo-t, 0))*rate/8e9 < float64(p.queue) {
					busyTo = max(busyTo, t) + int64(1200*8e9/rate)
				}
			}
		}
		if t%(33*milli) == 0 {
			video := max(min(s.offered(t), target)-56_000, 20_000)
			size := video / 8 * 0.033 * (0.85 + 0.3*random.Float64())
			if t%(10*second) < 33*milli {
				size *= 5
			}
			spacing := int64(1100 * 8e9 / (max(video, 100e3) * 2.5))
			for at := t; size > 0; at += spacing {
				n := min(size, 1100)
				outbox = append(outbox, due{at, int(n) + headers})
				size -= n
			}
		}
		if t%audioEvery == 0 {
			outbox = append(outbox, due{t, audioSize})
		}
		slices.SortStableFunc(outbox, func(a, b due) int { return int(a.at - b.at) })
		for len(outbox) > 0 && outbox[0].at <= t {
			size := outbox[0].size
			outbox = outbox[1:]
			f := flight{number: p.history.Sent(t, size), sent: t, size: size}
			total += uint64(size)
			expected++
			counts[slot][0] += float64(size)
			packets[slot]++
			loss := p.loss
			if p.losing != nil {
				loss = p.losing(t)
			}
			lose := p.dark != nil && p.dark(t) || random.Float64() < loss
			switch {
			case lose:
			case p.policer:
				if lose = tokens < float64(size); !lose {
					tokens -= float64(size)
					f.at = t + p.delay
				}
			default:
				if lose = float64(max(busyTo-t, 0))*rate/8e9+float64(size) > float64(p.queue); !lose {
					busyTo = max(busyTo, t) + int64(float64(size)*8e9/rate)
					f.at = busyTo + p.delay
				}
			}
			if lose {
				missing++
				counts[slot][2]++
				continue
			}
			if p.jitter != nil {
				f.at += p.jitter(random, t)
			}
			if !p.reorders {
				f.at = max(f.at, lastAt)
				lastAt = f.at
			}
			at, _ := slices.BinarySearchFunc(arriving, f.at+1, func(a flight, b int64) int { return int(a.at - b) })
			arriving = slices.Insert(arriving, at, f)
		}
		if p.policer {
			tokens = min(tokens+rate/8e3, 15_000)
		}
		for len(arriving) > 0 && arriving[0].at <= t {
			counts[slot][1] += float64(arriving[0].size)
			got = append(got, arriving[0])
			arriving = arriving[1:]
		}
		dark := p.dark != nil && p.dark(t)
		if p.feedback > 0 && t%p.feedback == 0 && len(got) > 0 {
			slices.SortFunc(got, func(a, b flight) int { return int(int16(a.number - b.number)) })
			first, last := got[0].number, got[len(got)-1].number
			if int16(base-first) < 0 {
				first = base
			}
			if !dark && random.Float64() >= p.lossBack {
				list := got
				contiguous := int16(first-reported) <= 1
				reported = last
				back = append(back, func(now int64) {
					var feedback []Packet
					for n, i := first, 0; int16(n-last) <= 0; n++ {
						received, at := i < len(list) && list[i].number == n, int64(0)
						if received {
							at = p.clock + int64(float64(list[i].at)*(1+p.drift))
							at -= at % 250_000
							i++
						}
						if packet, ok := p.history.Report(n, received, at); ok {
							feedback = append(feedback, packet)
						}
					}
					p.estimator.Feedback(now, contiguous, feedback)
				})
				backAt = append(backAt, t+p.delay)
			}
			got, base = nil, last+1
		}
		if p.reports && t%second == 0 && t > 0 && !dark {
			due, lost, sent := expected, missing, t
			expected, missing = 0, 0
			back = append(back, func(now int64) {
				p.estimator.SetRTT(now, now-sent+p.delay+max(busyTo-now, 0))
				p.estimator.Report(now, due, lost, total)
			})
			backAt = append(backAt, t+p.delay)
		}
		if p.remb != nil && t%second == 0 && !dark {
			bitrate := p.remb(t, rateOf(counts, slot, 1))
			back = append(back, func(now int64) { p.estimator.REMB(now, bitrate) })
			backAt = append(backAt, t+p.delay)
		}
		for len(back) > 0 && backAt[0] <= t {
			back[0](t)
			back, backAt = back[1:], backAt[1:]
		}
		if t%(100*milli) == 99*milli {
			now := p.estimator.Estimate(t)
			if s.follows {
				next := math.Inf(1)
				if now.Known {
					next = float64(now.Bitrate)
				}
				targets = append(targets, next)
				if len(targets) > 10 {
					target, targets = targets[0], targets[1:]
				}
			}
			queue := max(busyTo-t, 0)
			lost, all := 0.0, 0.0
			for i := max(slot-9, 0); i <= slot; i++ {
				lost += counts[i][2]
				all += packets[i]
			}
			trace = append(trace, point{t, now, queue, rateOf(counts, slot, 0), rateOf(counts, slot, 1), lost / max(all, 1)})
		}
	}
	return trace
}

func rateOf(counts [][3]float64, slot int64, which int) float64 {
	sum := 0.0
	from := max(slot-9, 0)
	for i := from; i <= slot; i++ {
		sum += counts[i][which]
	}
	return sum * 8 / (float64(slot-from+1) / 10)
}

// span is the part of a trace between two times in seconds.
func span(trace []point, from, to float64) []point {
	var out []point
	for _, p := range trace {
		if s := float64(p.t) / 1e9; s >= from && s < to {
			out = append(out, p)
		}
	}
	return out
}

func bitrates(trace []point) (least, mean, most float64) {
	least = math.Inf(1)
	for _, p := range trace {
		b := float64(p.estimate.Bitrate)
		least, most = min(least, b), max(most, b)
		mean += b / float64(len(trace))
	}
	return least, mean, most
}

func queues(trace []point) (mean, most float64) {
	for _, p := range trace {
		q := float64(p.queue) / 1e6
		mean += q / float64(len(trace))
		most = max(most, q)
	}
	return mean, most
}

// first is the time in seconds when a condition holds first, or -1.
func first(trace []point, condition func(point) bool) float64 {
	for _, p := range trace {
		if condition(p) {
			return float64(p.t) / 1e9
		}
	}
	return -1
}

func dump(t *testing.T, trace []point) {
	t.Helper()
	for i, p := range trace {
		if i%5 != 4 {
			continue
		}
		e := p.estimate
		t.Logf("%5.1f s: estimate %5.0f (%v %v) acked %5.0f sent %5.0f | true: queue %4.0f ms sent %5.0f arrived %5.0f lost %4.1f %% | seen: queue %3.0f ms trend %6.1f/%4.1f %-8v loss %4.1f %% inherent %4.1f %%",
			float64(p.t)/1e9, float64(e.Bitrate)/1e3, e.Source, e.Limited, float64(e.Acknowledged)/1e3, float64(e.Sent)/1e3,
			float64(p.queue)/1e6, p.sent/1e3, p.arrived/1e3, p.lost*100,
			float64(e.QueueDelay)/1e6, e.Trend, e.Threshold, e.State, e.Loss*100, e.InherentLoss*100)
	}
}
