// Package retry says how long to wait until something that has failed is tried again.
package retry

import (
	"math/rand/v2"
	"time"
)

// Policy waits twice as long after each failure in a row. It is plain data.
type Policy struct {
	First time.Duration // after one failure
	Most  time.Duration // after many
}

// After is the time to wait after so many failures in a row, at least one. It is drawn from the upper half of
// what the policy says, so that those that have failed together do not come back together.
func (p Policy) After(failures int) time.Duration {
	wait := min(p.First, p.Most)
	for ; failures > 1 && wait < p.Most; failures-- {
		wait = min(2*wait, p.Most)
	}
	return wait/2 + rand.N(wait/2+1)
}
