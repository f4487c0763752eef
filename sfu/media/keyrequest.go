package media

import "slices"

// keyLimits bound how often a publisher is asked for a key frame. Times in ns.
type keyLimits struct {
	interval int64   // least time between two requests
	pauses   []int64 // before a request for the same key frame is repeated; then it is given up
}

var (
	// While a request or the beginning of its key frame is lost, or the publisher's
	// line is dead for a second or two, everybody's picture stands.
	cameraKeyLimits = keyLimits{interval: 500e6, pauses: []int64{500e6, 500e6, 500e6, 500e6, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 2e9, 4e9, 8e9, 10e9}}
	// A screen's key frame may take a second to arrive, so that asking sooner
	// would only make another one. But who waits for one sees nothing at all, and
	// no later frame tells that it was lost: it is asked for long and without
	// growing pauses.
	screenKeyLimits = keyLimits{interval: 1e9, pauses: append(slices.Repeat([]int64{1500e6}, 4), slices.Repeat([]int64{3e9}, 56)...)}
)

// keyRequests decides when a publisher is asked for a key frame (RFC 4585
// section 6.3.1). It is a plain state machine over monotonic times in ns.
type keyRequests struct {
	limits  *keyLimits // static
	pending bool
	sent    bool  // sentAt is valid
	sentAt  int64 // last request
	due     int64 // next one, while pending
	tries   int
}

// request notes that somebody needs a key frame.
func (k *keyRequests) request(now int64) {
	due := now
	if k.sent {
		due = max(due, k.sentAt+k.limits.interval)
	}
	if !k.pending {
		k.pending, k.tries, k.due = true, 0, due
		return
	}
	k.due = min(k.due, due)
}

// expect notes that a packet has passed that was of no use to a feed that waits
// for a key frame. Unlike request it does not shorten the pause before the next
// attempt. It reports whether there is now something to poll for that was not
// there before.
func (k *keyRequests) expect(now int64) bool {
	if k.pending {
		return false
	}
	k.request(now)
	if k.sent {
		k.due = max(k.due, k.sentAt+k.limits.pauses[0])
	}
	return true
}

// passed notes that a key frame has begun.
func (k *keyRequests) passed() { k.pending = false }

// poll reports whether to send a request now and when to poll again; 0: not
// before the next request or expect.
func (k *keyRequests) poll(now int64) (send bool, next int64) {
	if !k.pending {
		return false, 0
	}
	if now < k.due {
		return false, k.due
	}
	if k.tries > len(k.limits.pauses) {
		k.pending = false
		return false, 0
	}
	k.sent, k.sentAt = true, now
	k.due = now + k.limits.pauses[min(k.tries, len(k.limits.pauses)-1)]
	k.tries++
	return true, k.due
}
