package bwe

const (
	reportInterval = int64(1e9)   // least time that is evaluated
	reportPause    = int64(10e9)  // after which the reports begin anew
	rttHigh        = int64(100e6) // above the least: a queue
	rttSlots       = 6
	rttSlot        = int64(5e9)
)

// reports makes intervals out of receiver reports on all streams of a connection,
// and sees a queue in the round trip time.
type reports struct {
	open, closed struct{ expected, lost uint64 }
	at           int64 // when the present interval began; 0: not yet
	sent         uint64

	rtt, rttBefore int64 // of this interval and the one before; 0: not known
	base           leastOf
	slope          float64 // seconds by which the round trip grew per second
}

func (r *reports) reset() { *r = reports{} }

func (r *reports) round(now, rtt int64) {
	if r.base.count == 0 {
		r.base = newLeast(rttSlot, rttSlots)
	}
	r.base.add(now, rtt)
	r.rtt = rtt
}

// add takes one report and tells, when an interval is complete, the rate at which
// was sent in it, in bit/s, and whether the queue grew.
func (r *reports) add(now int64, expected, lost uint32, sent uint64) (rate float64, overuse, ok bool) {
	elapsed := now - r.at
	if r.at == 0 || elapsed > reportPause || sent < r.sent {
		r.at, r.sent, r.rttBefore = now, sent, r.rtt
		r.open.expected, r.open.lost = 0, 0
		return 0, false, false
	}
	r.open.expected += uint64(expected)
	r.open.lost += uint64(min(lost, expected))
	if elapsed < reportInterval || r.open.expected < lossPackets && elapsed < 4*reportInterval {
		return 0, false, false
	}
	r.closed = r.open
	r.open.expected, r.open.lost = 0, 0
	rate = float64(sent-r.sent) * 8e9 / float64(elapsed)
	r.slope = 0
	if r.rtt > 0 && r.rttBefore > 0 {
		r.slope = min(max(float64(r.rtt-r.rttBefore)/float64(elapsed), 0), 10)
	}
	overuse = r.queue() > rttHigh && r.slope > 0.02
	r.at, r.sent, r.rttBefore = now, sent, r.rtt
	return rate, overuse, r.closed.expected > 0
}

// queue is the round trip time above its least of the last half minute, in ns.
func (r *reports) queue() int64 {
	if r.base.count == 0 {
		return 0
	}
	least, ok := r.base.least()
	if !ok {
		return 0
	}
	return max(0, r.rtt-least)
}
