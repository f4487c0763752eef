package bwe

import "math"

const (
	lossInterval    = int64(500e6) // least length of an interval
	lossPackets     = 20           // and packets in it,
	lossIntervalMax = int64(2e9)   // or as long as this with a few
	lossIntervals   = 20           // that are remembered
	lossRecent      = 4            // that decide

	outage = int64(800e6) // how long nothing gets through that is no congestion but a dark link

	lossLow     = 0.02 // under which the estimate grows
	lossHigh    = 0.10 // over which it shrinks
	lossHeavy   = 0.25 // which is enough in a single interval
	lossDoubt   = 2.0  // standard deviations
	inherentMax = 0.25 // loss that is believed to have nothing to do with the rate
	lossQueue   = int64(30e6)

	learnPackets = 100  // on either side of a comparison
	learnRates   = 0.85 // the lower rate has to be at most this part of the higher one
	lossTold     = int64(30e9)
)

// lossSample is one interval.
type lossSample struct {
	rate          float64 // sent, bit/s
	lost, packets int
	queue         int64 // the longest standing delay, ns
}

// losses decides what loss says of the link. Loss from congestion falls when the
// rate falls; loss that does not (radio, a bad cable) is inherent, and not to be
// answered with a lower rate, which would not help. The rate varies enough to tell
// them apart, at the latest when the estimate has been lowered for loss.
type losses struct {
	samples [lossIntervals]lossSample
	next    int
	count   int

	// The present interval; a run of lost packets is added to it when something
	// arrives again.
	open            lossSample
	bytes           int64
	from, to        int64
	run             int
	runBytes        int64
	runFrom, runTo  int64
	inherent        float64
	congestive      bool // as last learned
	congestiveSince int64
}

func (l *losses) reset() {
	l.open, l.bytes, l.run, l.runBytes, l.runTo = lossSample{}, 0, 0, 0, 0
}

// add takes one packet; dark is set if it is the first after the link was dark.
func (l *losses) add(p *Packet) (dark bool) {
	if p.Late {
		if l.open.lost > 0 {
			l.open.lost--
		}
		return false
	}
	if p.Lost {
		if l.run == 0 {
			l.runFrom = p.Sent
		}
		l.run++
		l.runBytes += int64(p.Size)
		l.runTo = max(l.runTo, p.Sent)
		return false
	}
	if l.run > 0 {
		if l.runTo-l.runFrom >= outage {
			l.reset()
			dark = true
		} else {
			l.note(l.runFrom, l.runTo, l.runBytes, l.run, l.run)
			l.run, l.runBytes = 0, 0
		}
		l.runTo = 0
	}
	l.note(p.Sent, p.Sent, int64(p.Size), 0, 1)
	return dark
}

func (l *losses) note(from, to, bytes int64, lost, packets int) {
	if l.open.packets == 0 {
		l.from, l.to = from, to
	}
	l.from, l.to = min(l.from, from), max(l.to, to)
	l.bytes += bytes
	l.open.lost += lost
	l.open.packets += packets
}

// due closes the present interval when it is complete.
func (l *losses) due(now int64) bool {
	span := l.to - l.from
	if span < lossInterval || l.open.packets < lossPackets && (span < lossIntervalMax || l.open.packets < 5) {
		return false
	}
	l.open.rate = float64(l.bytes) * 8e9 / float64(span)
	l.put(l.open, now)
	l.open, l.bytes = lossSample{}, 0
	return true
}

// put remembers a complete interval and learns from it.
func (l *losses) put(s lossSample, now int64) {
	l.samples[l.next] = s
	l.next = (l.next + 1) % lossIntervals
	l.count = min(l.count+1, lossIntervals)
	if rate, packets := l.recent(lossRecent); packets >= learnPackets {
		l.inherent = min(l.inherent, rate+doubt(rate, packets))
	}
	l.learn(now)
	if l.congestive && now-l.congestiveSince > lossTold {
		l.congestive = false
	}
}

// recent is the part of the packets of the last intervals that was lost.
func (l *losses) recent(intervals int) (rate float64, packets int) {
	lost := 0
	for i := range min(intervals, l.count) {
		s := &l.samples[(l.next-1-i+2*lossIntervals)%lossIntervals]
		lost += s.lost
		packets += s.packets
	}
	if packets == 0 {
		return 0, 0
	}
	return float64(lost) / float64(packets), packets
}

// excess is the loss of the last intervals that is not inherent, and the least
// that it is in all likelihood.
func (l *losses) excess(intervals int) (excess, least float64) {
	rate, packets := l.recent(intervals)
	if packets == 0 {
		return 0, 0
	}
	above := func(rate float64) float64 { return max(0, (rate-l.inherent)/(1-l.inherent)) }
	return above(rate), above(rate - lossDoubt*doubt(rate, packets))
}

// doubt is the standard deviation of a measured loss.
func doubt(rate float64, packets int) float64 {
	return math.Sqrt(rate * (1 - rate) / float64(packets))
}

// high reports whether the estimate has to fall.
func (l *losses) high() bool {
	if _, least := l.excess(1); least > lossHeavy {
		return true
	}
	if l.count < lossRecent {
		return false
	}
	limit := lossHigh
	if l.congestive {
		limit = lossLow
	}
	_, least := l.excess(lossRecent)
	return least > limit
}

// learn compares the intervals in which little was sent with those in which much
// was: either they lose the same part, or what gets through is the same.
func (l *losses) learn(now int64) {
	var sorted [lossIntervals]lossSample
	n := 0
	for i := range l.count {
		s := l.samples[i]
		if s.queue > lossQueue {
			continue
		}
		at := n
		for ; at > 0 && sorted[at-1].rate > s.rate; at-- {
			sorted[at] = sorted[at-1]
		}
		sorted[at] = s
		n++
	}
	if n < 4 {
		return
	}
	third := max(2, n/3)
	low, high := pool(sorted[:third]), pool(sorted[n-third:n])
	if low.packets < learnPackets || high.packets < learnPackets || low.rate > learnRates*high.rate {
		return
	}
	lossLower, lossHigher := low.loss(), high.loss()
	if lossHigher < lossLow {
		return
	}
	capacity := high.rate * (1 - lossHigher)
	same := math.Abs(lossLower - lossHigher)
	capped := math.Abs(lossLower - max(0, 1-capacity/low.rate))
	switch {
	case same < capped/2 && lossLower > lossLow/2:
		both := pool([]lossSample{low, high})
		l.inherent = min(both.loss(), inherentMax)
		l.congestive = false
	case capped < same/2:
		l.congestive, l.congestiveSince = true, now
	}
}

// pool adds intervals up; the rate is their mean.
func pool(samples []lossSample) (sum lossSample) {
	for i := range samples {
		sum.rate += samples[i].rate / float64(len(samples))
		sum.lost += samples[i].lost
		sum.packets += samples[i].packets
	}
	return sum
}

func (s *lossSample) loss() float64 {
	if s.packets == 0 {
		return 0
	}
	return float64(s.lost) / float64(s.packets)
}
