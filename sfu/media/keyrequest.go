package media

// keyLimits bound how often a publisher is asked for a key frame. Times in ns.
type keyLimits struct {
	interval     int64 // least time between two requests
	retryFirst   int64 // pause before a request is repeated; doubles each time
	retryLongest int64
	retries      int // requests for the same key frame
}

var (
	cameraKeyLimits = keyLimits{interval: 500e6, retryFirst: 1e9, retryLongest: 10e9, retries: 8}
	// A screen's key frame may take a second to arrive, so that asking sooner
	// would only make another one. But who waits for one sees nothing at all, and
	// no later frame tells that it was lost: it is asked for long and without
	// growing pauses.
	screenKeyLimits = keyLimits{interval: 1e9, retryFirst: 1500e6, retryLongest: 3e9, retries: 60}
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
		k.due = max(k.due, k.sentAt+k.limits.retryFirst)
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
	if k.tries == k.limits.retries {
		k.pending = false
		return false, 0
	}
	k.sent, k.sentAt = true, now
	k.due = now + min(k.limits.retryFirst<<min(k.tries, 16), k.limits.retryLongest)
	k.tries++
	return true, k.due
}
