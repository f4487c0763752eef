package impair

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Settings of one direction. The zero value lets everything pass at once.
type Settings struct {
	Loss   float64       // share of the packets lost at random, each for itself; 1 is a dead link
	Delay  time.Duration // of every packet
	Jitter time.Duration // each packet takes up to this much longer, all equally likely; packets keep their order
	Rate   int           // bits per second of whole IP packets; 0 is without limit
	// What waits because of Rate may be worth this much time and this many bytes; what comes then is
	// dropped. 0 means DefaultQueueTime, and no limit in bytes.
	QueueTime  time.Duration
	QueueBytes int
}

// DefaultQueueTime is about what the routers in homes hold.
const DefaultQueueTime = 200 * time.Millisecond

const (
	maxDelay = 10 * time.Second
	maxRate  = 10_000_000_000
)

func (s Settings) check() error {
	switch {
	case !(s.Loss >= 0 && s.Loss <= 1):
		return fmt.Errorf("loss is %v; it must be from 0 to 1", s.Loss)
	case s.Delay < 0 || s.Delay > maxDelay:
		return fmt.Errorf("delay is %v; it must be from 0 to %v", s.Delay, maxDelay)
	case s.Jitter < 0 || s.Jitter > maxDelay:
		return fmt.Errorf("jitter is %v; it must be from 0 to %v", s.Jitter, maxDelay)
	case s.Rate < 0 || s.Rate > maxRate:
		return fmt.Errorf("rate is %d; it must be from 0 to %d bits per second", s.Rate, maxRate)
	case s.QueueTime < 0 || s.QueueTime > maxDelay:
		return fmt.Errorf("queue time is %v; it must be from 0 to %v", s.QueueTime, maxDelay)
	case s.QueueBytes < 0:
		return fmt.Errorf("queue is %d bytes; it can't be negative", s.QueueBytes)
	}
	return nil
}

// checkBoth checks the settings of two directions.
func checkBoth(up, down Settings) error {
	for _, direction := range []struct {
		name     string
		settings Settings
	}{{"up", up}, {"down", down}} {
		if err := direction.settings.check(); err != nil {
			return fmt.Errorf("%s: %w", direction.name, err)
		}
	}
	return nil
}

type verdict int

const (
	pass verdict = iota
	lost
	full
)

// shaper decides what becomes of each packet of one direction. It knows no clock of its own and is not
// safe for concurrent use.
type shaper struct {
	settings Settings
	random   *rand.Rand
	free     time.Time // when the limited link has sent all that it was given
	last     time.Time // when the last packet that passed arrives
}

func newShaper(s Settings, seed, stream uint64) *shaper {
	return &shaper{settings: s, random: rand.New(rand.NewPCG(seed, stream))}
}

// admit takes an IP packet of size bytes that came at now and says when it arrives at the far end.
func (s *shaper) admit(now time.Time, size int) (time.Time, verdict) {
	if s.settings.Loss > 0 && s.random.Float64() < s.settings.Loss {
		return time.Time{}, lost
	}
	at := now
	if rate := s.settings.Rate; rate > 0 {
		wait := max(0, s.free.Sub(now))
		limit := s.settings.QueueTime
		if limit == 0 {
			limit = DefaultQueueTime
		}
		bytes := int(wait.Seconds() * float64(rate) / 8)
		if wait > limit || s.settings.QueueBytes > 0 && bytes+size > s.settings.QueueBytes {
			return time.Time{}, full
		}
		at = now.Add(wait + time.Duration(float64(size)*8/float64(rate)*float64(time.Second)))
		s.free = at
	}
	at = at.Add(s.settings.Delay)
	if s.settings.Jitter > 0 {
		at = at.Add(time.Duration(s.random.Int64N(int64(s.settings.Jitter))))
	}
	if at.Before(s.last) {
		at = s.last
	}
	s.last = at
	return at, pass
}
