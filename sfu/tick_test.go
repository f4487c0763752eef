package sfu

import (
	"testing"
	"time"
)

// Ticks of all rooms of a crowd fall together, never sooner than half an interval after the last.
func TestUntilTick(t *testing.T) {
	for _, shift := range []time.Duration{0, tickShift, 3 * tickShift} {
		for ns := int64(0); ns < int64(2*tickInterval); ns += int64(7 * time.Millisecond) {
			now := time.Unix(1_790_000_000, ns)
			wait := untilTick(now, shift)
			if wait < tickInterval/2 || wait >= tickInterval*3/2 {
				t.Fatalf("at %v: in %v", now, wait)
			}
			if off := (time.Duration(now.Add(wait).UnixNano()) - shift) % tickInterval; off != 0 {
				t.Fatalf("at %v, shift %v: %v off the grid", now, shift, off)
			}
		}
	}
}
