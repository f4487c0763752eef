package bwe

import "time"

// Shared estimates what one access link carries on which several connections of
// a receiver end, from what is known of each: all of them see the same queue, and
// each for itself would give way to the others. It is not safe for concurrent use.
type Shared struct {
	bitrate     float64 // 0: unknown
	capacity    float64 // what got through at the last congestion; 0: there was none
	limited     bool
	decreasedAt int64
	steppedAt   int64
}

const (
	sharedLoss    = 0.10 // more than the inherent part
	sharedQueue   = 10 * time.Millisecond
	sharedWait    = int64(500e6) // between two decreases; while the queue stays high
	sharedWaitLow = int64(250e6)
	sharedGrow    = 0.08 // per second
)

// Update takes the present estimates of all connections and returns that of the
// link: with one connection it is that connection's own.
func (s *Shared) Update(now int64, all []Estimate) Estimate {
	if len(all) == 1 {
		*s = Shared{bitrate: float64(all[0].Bitrate), limited: all[0].Limited, steppedAt: now, decreasedAt: now}
		s.capacity = s.bitrate
		return all[0]
	}
	sum := s.sum(all)
	acknowledged, sent := float64(sum.Acknowledged), float64(sum.Sent)
	step := float64(min(now-s.steppedAt, stepMost)) / 1e9
	if s.steppedAt == 0 {
		step = 0
	}
	s.steppedAt = now
	bound := growth*acknowledged + float64(len(all))*allowance/2
	wait := sharedWait
	if sum.QueueDelay >= time.Duration(queueHigh) {
		wait = sharedWaitLow
	}
	switch overuse, loss := sum.State == Overuse && sum.QueueDelay >= sharedQueue, sum.Loss-sum.InherentLoss > sharedLoss; {
	case (overuse || loss) && acknowledged > 0 && sum.Limited:
		// Who sends far less than the link was known to carry is not what fills it.
		if s.decreasedAt != 0 && now-s.decreasedAt < wait || s.bitrate > 0 && sent < idlePart*s.bitrate {
			break
		}
		part := backOff
		if !overuse {
			part = backOffLoss
		}
		// What the connections find each for itself is too little, since each gives way
		// to the others, but after a dark time more than what has arrived lately.
		if target := max(part*acknowledged, alone(all), defaultMin); s.bitrate == 0 || target < s.bitrate {
			s.bitrate = target
		}
		s.capacity, s.limited, s.decreasedAt = acknowledged, true, now
	case s.bitrate == 0:
		s.bitrate = bound
	default:
		if s.limited && acknowledged >= s.capacity && s.bitrate >= 0.98*bound && now-s.decreasedAt > clearAfter {
			s.limited = false
		}
		if !s.limited {
			s.bitrate = max(bound, s.bitrate)
			break
		}
		if sum.State == Normal && sum.QueueDelay < sharedQueue {
			s.bitrate = max(s.bitrate, acknowledged) // it gets through, so it fits
		}
		speed := sharedGrow
		if s.bitrate < nearLow*s.capacity {
			speed = growFast
		}
		if grown := s.bitrate * (1 + speed*step); sum.State == Normal && sum.QueueDelay < time.Duration(queueHigh) && grown <= max(bound, s.capacity) {
			s.bitrate = grown
		}
	}
	sum.Bitrate, sum.Known, sum.Limited = uint64(s.bitrate), s.bitrate > 0, s.limited
	if fallback := s.fallback(all); fallback > 0 && (fallback <= sum.Bitrate || !s.limited) {
		sum.Bitrate, sum.Limited = fallback, true
	}
	return sum
}

// sum adds up what is sent and arrives; of the rest it takes the worst.
func (s *Shared) sum(all []Estimate) (sum Estimate) {
	sum.Source = TransportWide
	weight := 0.0
	sum.Age = all[0].Age
	for _, e := range all {
		sum.Age = min(sum.Age, e.Age)
		sum.Acknowledged += e.Acknowledged
		sum.Sent += e.Sent
		sum.Loss += e.Loss * float64(e.Sent)
		sum.InherentLoss += e.InherentLoss * float64(e.Sent)
		weight += float64(e.Sent)
		sum.Limited = sum.Limited || e.Limited
		if e.Age > time.Duration(feedbackStale) {
			continue
		}
		sum.QueueDelay = max(sum.QueueDelay, e.QueueDelay)
		if e.State == Overuse || e.State == Underuse && sum.State == Normal {
			sum.State = e.State
		}
	}
	if weight > 0 {
		sum.Loss /= weight
		sum.InherentLoss /= weight
	}
	return sum
}

// alone is the sum of what the connections estimate themselves.
func alone(all []Estimate) (rate float64) {
	for _, e := range all {
		if e.Limited {
			rate += float64(e.Bitrate)
		} else {
			rate += float64(max(e.Acknowledged, e.Sent))
		}
	}
	return rate
}

// fallback is the sum of what connections without transport-wide feedback carry
// and of what arrives on the others, if one of the former is limited; else 0.
func (s *Shared) fallback(all []Estimate) (rate uint64) {
	limited := false
	for _, e := range all {
		if e.Limited && e.Source != TransportWide {
			limited = true
			rate += e.Bitrate
		} else {
			rate += max(e.Acknowledged, e.Sent)
		}
	}
	if !limited {
		return 0
	}
	return rate
}
