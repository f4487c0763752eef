package media

const (
	keyRequestInterval = int64(500e6) // least time between two requests
	keyRetryFirst      = int64(1e9)   // pause before a request is repeated; doubles each time
	keyRetryLongest    = int64(10e9)
	keyRetryLimit      = 8 // requests for the same key frame
)

// keyRequests decides when a publisher is asked for a key frame (RFC 4585
// section 6.3.1). It is a plain state machine over monotonic times in ns.
type keyRequests struct {
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
		due = max(due, k.sentAt+keyRequestInterval)
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
		k.due = max(k.due, k.sentAt+keyRetryFirst)
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
	if k.tries == keyRetryLimit {
		k.pending = false
		return false, 0
	}
	k.sent, k.sentAt = true, now
	k.due = now + min(keyRetryFirst<<k.tries, keyRetryLongest)
	k.tries++
	return true, k.due
}
