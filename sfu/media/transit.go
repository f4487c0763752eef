package media

const (
	transitBucket  = int64(5e9)   // the least is that of the last one to two of these
	transitRecent  = 6            // buckets: what is older tells nothing any more, clocks drift
	transitJoining = int64(500e6) // after which the least of a new carrier counts
)

// transit watches how long a source's packets take from their timestamps to their
// arrival, up to a constant. The least of it hardly changes with jitter and queues,
// so that a new carrier whose clock is not known yet can be joined by it: its first
// packets, of a key frame, often take longer than those before.
type transit struct {
	began     bool
	last      uint32
	unwrapped int64
	buckets   [2]struct{ number, least int64 }

	joinedAt int64 // when the present carrier took over
	least    int64 // of the present carrier since then, while joining
	joining  bool
}

// joined begins with a new carrier.
func (t *transit) joined(now int64) {
	recent := max(t.buckets[0].number, t.buckets[1].number) >= now/transitBucket-transitRecent
	t.joining, t.joinedAt, t.least = t.began && recent, now, 1<<62
}

// packet takes a packet with the timestamp that it would be given. While a new
// carrier is joined, known tells that its timestamps are to be moved.
func (t *transit) packet(timestamp uint32, now int64, clockRate uint32, uncertain bool) (moved int32, known bool) {
	if !t.began {
		t.began, t.last = true, timestamp
	}
	t.unwrapped += int64(int32(timestamp - t.last))
	t.last = timestamp
	took := now - int64(float64(t.unwrapped)*1e9/float64(clockRate))
	t.joining = t.joining && uncertain
	if !t.joining {
		t.note(took, now)
		return 0, false
	}
	t.least = min(t.least, took)
	before := min(t.buckets[0].least, t.buckets[1].least)
	// Less than ever before: the first packets were late. More, after a while:
	// they were early.
	if apart := t.least - before; apart < 0 || now-t.joinedAt >= transitJoining {
		if now-t.joinedAt >= transitJoining {
			t.joining = false
		}
		if apart > -1e9 && apart < 1e9 {
			ticks := apart / 1000 * int64(clockRate) / 1_000_000
			t.unwrapped += ticks
			t.last += uint32(ticks)
			t.least -= apart
			return int32(ticks), true
		}
		t.joining = false
	}
	return 0, false
}

func (t *transit) note(took, now int64) {
	number := now/transitBucket + 1
	bucket := &t.buckets[number%2]
	if bucket.number != number {
		if other := &t.buckets[1-number%2]; other.number != number-1 {
			other.number, other.least = number-1, 1<<62 // nothing came for a while
		}
		bucket.number, bucket.least = number, took
	}
	bucket.least = min(bucket.least, took)
}
