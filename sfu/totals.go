package sfu

import "sync"

// Class is what a counter is about.
type Class int

// The classes: every voice and sound, cameras, screens.
const (
	ClassAudio Class = iota
	ClassCamera
	ClassScreen
	Classes
)

func (c Class) String() string { return [Classes]string{"audio", "camera", "screen"}[c] }

// Counter names a sum over all streams that there are or ever were. "Received" is
// what clients send to the server, "sent" what it sends to viewers.
type Counter int

// The counters. Bytes are of payloads.
const (
	ReceivedPackets Counter = iota
	ReceivedBytes
	ReceivedExpected // sent by clients, by the sequence numbers
	ReceivedMissing  // found missing; repaired and reordered ones among them
	ReceivedRepaired // by retransmission
	ReceivedGivenUp  // missing, and not asked for any more
	ReceivedMalformed
	NACKsSent // packets that clients were asked for again
	KeyFramesReceived
	KeyFrameRequestsSent // to clients
	SentPackets          // without retransmissions
	SentBytes
	SentLost          // by the viewers' receiver reports
	SentRetransmitted // NACKs that the cache could serve
	SentRepeated      // of them: sent twice, because the viewer loses repairs too
	SentErrors        // packets that could not be written
	NACKsReceived     // packets that viewers asked for again
	NACKsMissed       // of them: not in the cache (any more, or yet)
	NACKsLimited      // of them: sent again too recently or too often
	KeyFramesSent
	KeyFrameRequestsReceived // of viewers, PLI and FIR
	Gaps                     // times over 500 ms without a packet of a running camera at a viewer
	LayerSwitches
	Replays // times a viewer began with packets of the cache
	Counters
)

// Counts are the counters of one class.
type Counts [Counters]uint64

// grow adds what has been counted since before. Counters of the media package
// only grow, but a simulcast layer that begins anew takes its part away.
func (c *Counts) grow(now, before *Counts) {
	for i := range c {
		if now[i] > before[i] {
			c[i] += now[i] - before[i]
		}
	}
}

// Distribution names a histogram. All but SetUp get a value of each connected leg
// about once a second.
type Distribution int

// The distributions.
const (
	RoundTrip      Distribution = iota // s
	ReceivedJitter                     // s, the worst stream of the leg
	SentJitter                         // s, likewise, as the client reports it
	ReceivedLoss                       // ratio, over the last three seconds
	SentLoss                           // ratio, as the client reports it
	Estimate                           // byte/s that go through to the client
	SetUp                              // s, from the answer to the connection, once for each leg
	Distributions
)

const maxBuckets = 14

var (
	secondBounds = []float64{.005, .01, .02, .05, .1, .15, .2, .3, .5, 1, 2, 5}
	ratioBounds  = []float64{0, .005, .01, .02, .05, .1, .2, .5}
	byteBounds   = []float64{4e3, 8e3, 16e3, 32e3, 64e3, 128e3, 256e3, 512e3, 1e6, 2e6, 4e6}
)

// Bounds are the upper bounds of a distribution's buckets, without the last one,
// which is infinite.
func (d Distribution) Bounds() []float64 {
	switch d {
	case ReceivedLoss, SentLoss:
		return ratioBounds
	case Estimate:
		return byteBounds
	}
	return secondBounds
}

// Histogram counts values by bucket.
type Histogram struct {
	Buckets [maxBuckets]uint64 // not cumulative; those behind the last bound are above it
	Count   uint64
	Sum     float64
}

func (h *Histogram) observe(d Distribution, value float64) {
	at := 0
	for bounds := d.Bounds(); at < len(bounds) && value > bounds[at]; {
		at++
	}
	h.Buckets[at]++
	h.Count++
	h.Sum += value
}

// Totals are sums over all legs that there are or ever were; none of its counts
// ever gets smaller.
type Totals struct {
	Media         [Classes]Counts
	Distributions [Distributions]Histogram
	// Connected counts the legs that are connected now.
	Connected map[Path]int
}

func (t *Totals) observe(d Distribution, value float64) { t.Distributions[d].observe(d, value) }

func (t *Totals) add(o *Totals) {
	for class := range t.Media {
		for i, n := range o.Media[class] {
			t.Media[class][i] += n
		}
	}
	for i := range t.Distributions {
		to, from := &t.Distributions[i], &o.Distributions[i]
		for b, n := range from.Buckets {
			to.Buckets[b] += n
		}
		to.Count += from.Count
		to.Sum += from.Sum
	}
}

// ledger keeps an Engine's Totals. Rooms add to it once in a while, never for a packet.
type ledger struct {
	mu     sync.Mutex
	totals Totals // guarded by mu
}

func (b *ledger) add(t *Totals) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.totals.add(t)
}

// move counts a connected leg under another path; the zero Path stands for none.
func (b *ledger) move(from, to Path) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.totals.Connected == nil {
		b.totals.Connected = make(map[Path]int)
	}
	if from != (Path{}) {
		b.totals.Connected[from]--
	}
	if to != (Path{}) {
		b.totals.Connected[to]++
	}
}

// Totals returns the present sums. They are at most about a second old.
func (e *Engine) Totals() Totals {
	b := &e.ledger
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.totals
	t.Connected = make(map[Path]int, len(b.totals.Connected))
	for path, n := range b.totals.Connected {
		t.Connected[path] = n
	}
	return t
}
