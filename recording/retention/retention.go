// Package retention decides which recordings are kept no longer.
package retention

import (
	"slices"
	"time"
)

// Policy says how long recordings are kept. The zero value keeps them all.
type Policy struct {
	Age   time.Duration // after their end; 0: for ever
	Share float64       // of the disk that all together may take, from 0 to 1; 0: all of it
}

// Recording is one that is on the disk.
type Recording[T any] struct {
	It       T
	Size     int64     // bytes
	Finished time.Time // zero: it has to stay, since it is being made or waits for something
}

// Removal is a recording that is kept no longer.
type Removal[T any] struct {
	Recording[T]
	Reason Reason
}

// Reason is why a recording is kept no longer.
type Reason string

// The reasons.
const (
	ByAge   Reason = "age"
	ByShare Reason = "share"
)

// Removals lists what the policy does not keep of all recordings, on a disk of total bytes: what is too old, and then those that
// have finished first until the rest is small enough.
func Removals[T any](p Policy, all []Recording[T], total uint64, now time.Time) []Removal[T] {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Recording[T]) int {
		return a.Finished.Compare(b.Finished)
	})
	var used int64
	for _, r := range all {
		used += r.Size
	}
	most := int64(p.Share * float64(total))
	var removals []Removal[T]
	for _, r := range all {
		var reason Reason
		switch {
		case r.Finished.IsZero():
			continue
		case p.Age > 0 && now.Sub(r.Finished) > p.Age:
			reason = ByAge
		case p.Share > 0 && used > most:
			reason = ByShare
		default:
			continue
		}
		used -= r.Size
		removals = append(removals, Removal[T]{r, reason})
	}
	return removals
}
