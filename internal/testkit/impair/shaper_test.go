package impair

import (
	"math"
	"strings"
	"testing"
	"time"
)

var start = time.Unix(1_000_000_000, 0)

func TestLossIsTheShareAskedForAndTheSameForASeed(t *testing.T) {
	const packets = 100_000
	decide := func(seed uint64) (decisions []verdict, share float64) {
		s := newShaper(Settings{Loss: 0.05}, seed, 1)
		n := 0
		for i := range packets {
			_, v := s.admit(start.Add(time.Duration(i)*time.Millisecond), 1000)
			decisions = append(decisions, v)
			if v == lost {
				n++
			}
		}
		return decisions, float64(n) / packets
	}
	first, share := decide(7)
	// The standard deviation is 0.0007.
	if math.Abs(share-0.05) > 0.005 {
		t.Errorf("%.4f lost", share)
	}
	again, _ := decide(7)
	other, _ := decide(8)
	differ := 0
	for i := range first {
		if first[i] != again[i] {
			t.Fatalf("packet %d: the same seed decided differently", i)
		}
		if first[i] != other[i] {
			differ++
		}
	}
	if differ == 0 {
		t.Error("another seed decided the same")
	}
}

func TestAllOrNothing(t *testing.T) {
	open, dead := newShaper(Settings{}, 1, 1), newShaper(Settings{Loss: 1}, 1, 1)
	for i := range 1000 {
		now := start.Add(time.Duration(i))
		if at, v := open.admit(now, 1200); v != pass || !at.Equal(now) {
			t.Fatalf("without settings: %v after %v", v, at.Sub(now))
		}
		if _, v := dead.admit(now, 1200); v != lost {
			t.Fatalf("a dead link: %v", v)
		}
	}
}

// 1,000 bytes take 8 ms at 1 Mbit/s; what comes faster waits, and beyond the queue is dropped.
func TestRate(t *testing.T) {
	const size = 1000
	for _, c := range []struct {
		name     string
		settings Settings
		fits     int
	}{
		{"time", Settings{Rate: 1_000_000, QueueTime: 80 * time.Millisecond}, 11},
		{"default time", Settings{Rate: 1_000_000}, 26},
		{"bytes", Settings{Rate: 1_000_000, QueueTime: time.Second, QueueBytes: 5000}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShaper(c.settings, 1, 1)
			passed := 0
			for range 100 {
				at, v := s.admit(start, size)
				if v == full {
					continue
				}
				passed++
				if want := time.Duration(passed) * 8 * time.Millisecond; at.Sub(start) != want {
					t.Fatalf("packet %d arrives after %v, want %v", passed, at.Sub(start), want)
				}
			}
			if passed != c.fits {
				t.Errorf("%d packets fitted, want %d", passed, c.fits)
			}
			// When the queue has run empty the link is free again.
			later := start.Add(time.Minute)
			if at, v := s.admit(later, size); v != pass || at.Sub(later) != 8*time.Millisecond {
				t.Errorf("later: %v after %v", v, at.Sub(later))
			}
		})
	}
}

// At twice the rate half of the packets pass, and those at the rate.
func TestRateOverTime(t *testing.T) {
	s := newShaper(Settings{Rate: 500_000, Delay: 50 * time.Millisecond}, 1, 1)
	const size = 1250 // 20 ms
	var last time.Time
	passed := 0
	for i := range 1000 {
		now := start.Add(time.Duration(i) * 10 * time.Millisecond)
		at, v := s.admit(now, size)
		if v != pass {
			continue
		}
		passed++
		if !last.IsZero() && at.Sub(last) < 20*time.Millisecond {
			t.Fatalf("two packets arrive within %v", at.Sub(last))
		}
		if at.Sub(now) > 50*time.Millisecond+DefaultQueueTime+20*time.Millisecond {
			t.Fatalf("a packet waits for %v", at.Sub(now))
		}
		last = at
	}
	if passed < 500 || passed > 500+int(DefaultQueueTime/(20*time.Millisecond))+1 {
		t.Errorf("%d of 1000 packets passed", passed)
	}
}

func TestJitterKeepsOrderAndItsBounds(t *testing.T) {
	s := newShaper(Settings{Delay: 100 * time.Millisecond, Jitter: 30 * time.Millisecond}, 1, 1)
	var last time.Time
	var least, most time.Duration = math.MaxInt64, 0
	for i := range 10_000 {
		now := start.Add(time.Duration(i) * 10 * time.Millisecond)
		at, _ := s.admit(now, 100)
		if at.Before(last) {
			t.Fatal("a packet overtakes another")
		}
		last = at
		least, most = min(least, at.Sub(now)), max(most, at.Sub(now))
	}
	if least < 100*time.Millisecond || most >= 130*time.Millisecond {
		t.Errorf("delays from %v to %v", least, most)
	}
	if most-least < 20*time.Millisecond {
		t.Errorf("delays only from %v to %v", least, most)
	}
}

// A change takes effect at once, and what comes after it does not overtake what came before.
func TestChange(t *testing.T) {
	s := newShaper(Settings{Delay: time.Second}, 1, 1)
	before, _ := s.admit(start, 100)
	s.settings = Settings{}
	if after, _ := s.admit(start.Add(time.Millisecond), 100); after.Before(before) {
		t.Error("overtaken")
	}
	later := start.Add(time.Minute)
	if at, v := s.admit(later, 100); v != pass || !at.Equal(later) {
		t.Errorf("later: %v after %v", v, at.Sub(later))
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for want, s := range map[string]Settings{
		"loss":       {Loss: 1.1},
		"loss is -":  {Loss: -0.1},
		"loss is Na": {Loss: math.NaN()},
		"delay":      {Delay: -1},
		"jitter":     {Jitter: time.Hour},
		"rate":       {Rate: -1},
		"queue time": {QueueTime: -1},
		"queue is":   {QueueBytes: -1},
	} {
		if err := s.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if err := (Settings{Loss: 1, Delay: time.Second, Jitter: time.Second, Rate: 500_000, QueueTime: time.Second, QueueBytes: 1}).check(); err != nil {
		t.Error(err)
	}
}
