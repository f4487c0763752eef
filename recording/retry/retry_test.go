package retry

import (
	"testing"
	"time"
)

func TestAfter(t *testing.T) {
	p := Policy{First: time.Second, Most: time.Minute}
	for _, c := range []struct {
		failures int
		most     time.Duration
	}{
		{1, time.Second}, {2, 2 * time.Second}, {6, 32 * time.Second}, {7, time.Minute}, {1000, time.Minute},
	} {
		seen := make(map[time.Duration]bool)
		for range 1000 {
			wait := p.After(c.failures)
			if wait < c.most/2 || wait > c.most {
				t.Fatalf("%s after %d failures", wait, c.failures)
			}
			seen[wait] = true
		}
		if len(seen) < 100 {
			t.Errorf("%d failures: the same times again and again", c.failures)
		}
	}
	if wait := (Policy{First: time.Hour, Most: time.Second}).After(1); wait > time.Second {
		t.Errorf("%s is more than the bound", wait)
	}
}
