package media

import "time"

// epoch is the zero of the monotonic times used inside this package, which are
// counts of nanoseconds (an int64 can be kept in an atomic). It is a full second of
// the wall clock, so that whoever else keeps to a grid of it wakes at the same
// instants.
var epoch = func() time.Time {
	now := time.Now()
	return now.Add(-time.Duration(now.Nanosecond()))
}()

func monotonic() int64 { return int64(time.Since(epoch)) }

// at turns a monotonic time into a wall clock time; 0, which means "never",
// becomes the zero time.
func at(monotonic int64) time.Time {
	if monotonic == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(monotonic))
}
