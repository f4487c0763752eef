package bwe

import "math"

const (
	burstTime     = int64(5e6)   // packets sent within it are one group
	burstLongest  = int64(100e6) // of a group that arrives in one burst
	delayJump     = int64(3e9)   // a difference of delays that no queue makes
	disorderLimit = 3            // groups that arrive before their predecessors

	trendWindow    = 20   // groups
	trendSmoothing = 0.9  // of the accumulated delay
	trendGain      = 4.0  // from a slope to the milliseconds of the threshold
	trendGroups    = 60   // from which on a slope has its full weight
	overuseTime    = 10.0 // ms for which the trend has to be above the threshold

	thresholdStart  = 12.5 // ms
	thresholdLeast  = 6.0
	thresholdMost   = 600.0
	thresholdUp     = 0.0087 // per ms
	thresholdDown   = 0.039
	thresholdOutlie = 15.0 // ms above the threshold from which on it does not adapt

	standingSlot  = int64(50e6) // the standing delay is the least of standingSlots of these
	standingSlots = 8
	baseSlot      = int64(5e9) // the delay without a queue is the least of baseSlots of these
	baseSlots     = 6
	overuseDelay  = int64(20e6) // standing delay under which no trend is overuse
)

// State is what the delay of the packets says of the link.
type State uint8

const (
	Normal   State = iota // the queue does not grow
	Overuse               // it grows: more is sent than gets through
	Underuse              // it drains
)

func (s State) String() string {
	switch s {
	case Overuse:
		return "overuse"
	case Underuse:
		return "underuse"
	}
	return "normal"
}

// delays watches the one-way delay of the packets, whose absolute value is
// unknown: the slope of the delay over groups of packets, against a threshold
// that adapts itself to the link's jitter (draft-ietf-rmcat-gcc-02 section 5), and
// the least delay of the last moments above the least of the last half minute,
// which is what stands in the queue all the time. Jitter and short stalls move the
// first, a queue moves both.
type delays struct {
	state    State
	group    group
	previous group
	disorder int

	points    [trendWindow]struct{ x, y float64 } // ms: arrival, smoothed delay
	next      int
	groups    int
	origin    int64 // of the arrivals
	sum       float64
	smoothed  float64
	trend     float64 // ms, scaled as the threshold
	threshold float64
	over      float64 // ms for which the trend has been above the threshold
	overs     int
	adapted   int64

	standing leastOf
	base     leastOf
}

// group is what was sent, or arrived, in one burst.
type group struct {
	started             bool
	firstSent, lastSent int64
	first, last         int64 // arrivals
}

func (d *delays) reset() {
	*d = delays{threshold: thresholdStart, standing: newLeast(standingSlot, standingSlots), base: newLeast(baseSlot, baseSlots)}
}

// add takes one received packet; they come in the order of their numbers.
func (d *delays) add(p *Packet) {
	d.standing.add(p.Received, p.Received-p.Sent)
	d.base.add(p.Received, p.Received-p.Sent)
	g := &d.group
	if !g.started {
		d.begin(p)
		return
	}
	if p.Sent < g.firstSent {
		return
	}
	if p.Sent-g.firstSent <= burstTime || d.burst(p) {
		g.lastSent = max(g.lastSent, p.Sent)
		g.last = max(g.last, p.Received)
		return
	}
	if before := &d.previous; before.started {
		sent, arrived := g.lastSent-before.lastSent, g.last-before.last
		switch {
		case arrived-sent > delayJump || sent-arrived > delayJump:
			d.reset()
			d.add(p)
			return
		case arrived < 0:
			if d.disorder++; d.disorder >= disorderLimit {
				d.reset()
				d.add(p)
				return
			}
		default:
			d.disorder = 0
			d.measure(sent, arrived, g.last)
		}
	}
	d.previous = *g
	d.begin(p)
}

func (d *delays) begin(p *Packet) {
	d.group = group{started: true, firstSent: p.Sent, lastSent: p.Sent, first: p.Received, last: p.Received}
}

// burst reports whether a packet came out of some buffer together with the
// group: right behind it, and faster than it was sent.
func (d *delays) burst(p *Packet) bool {
	gap := p.Received - d.group.last
	return gap <= burstTime && gap >= -burstTime && gap < p.Sent-d.group.lastSent && p.Received-d.group.first < burstLongest
}

// measure takes how far two groups were apart when they were sent, and when they
// arrived.
func (d *delays) measure(sent, arrived, at int64) {
	if d.groups == 0 {
		d.origin = at
	}
	d.groups = min(d.groups+1, 1<<20)
	d.sum += float64(arrived-sent) / 1e6
	d.smoothed = trendSmoothing*d.smoothed + (1-trendSmoothing)*d.sum
	point := &d.points[d.next]
	point.x, point.y = float64(at-d.origin)/1e6, d.smoothed
	d.next = (d.next + 1) % trendWindow
	before := d.trend
	if d.groups >= trendWindow {
		d.trend = d.slope() * trendGain * float64(min(d.groups, trendGroups))
	}
	d.detect(before, float64(sent)/1e6, at)
}

// slope is that of the line through the points by least squares.
func (d *delays) slope() float64 {
	var x, y float64
	for i := range d.points {
		x += d.points[i].x
		y += d.points[i].y
	}
	x /= trendWindow
	y /= trendWindow
	var xy, xx float64
	for i := range d.points {
		dx := d.points[i].x - x
		xy += dx * (d.points[i].y - y)
		xx += dx * dx
	}
	if xx < 1e-6 {
		return 0
	}
	return xy / xx
}

func (d *delays) detect(before, sent float64, at int64) {
	switch {
	case d.trend > d.threshold:
		d.over += sent
		d.overs++
		if d.over > overuseTime && d.overs > 1 && d.trend >= before {
			d.over, d.overs = 0, 0
			d.state = Normal
			if d.queue() >= overuseDelay {
				d.state = Overuse
			}
		}
	case d.trend < -d.threshold:
		d.over, d.overs, d.state = 0, 0, Underuse
	default:
		d.over, d.overs, d.state = 0, 0, Normal
	}
	elapsed := min(max(float64(at-d.adapted)/1e6, 0), 100)
	d.adapted = at
	size := math.Abs(d.trend)
	if size > d.threshold+thresholdOutlie {
		return
	}
	speed := thresholdUp
	if size < d.threshold {
		speed = thresholdDown
	}
	d.threshold = min(max(d.threshold+speed*(size-d.threshold)*elapsed, thresholdLeast), thresholdMost)
}

// queue is the standing delay in ns.
func (d *delays) queue() int64 {
	standing, ok := d.standing.least()
	base, known := d.base.least()
	if !ok || !known {
		return 0
	}
	return min(max(0, standing-base), 2*delayJump)
}

// leastOf is the least of what was measured in the last slots of time.
type leastOf struct {
	slot  int64
	count int
	at    int64 // when the present slot began
	next  int
	value [standingSlots]int64
	used  [standingSlots]bool

	started bool
}

func newLeast(slot int64, slots int) leastOf { return leastOf{slot: slot, count: slots} }

func (l *leastOf) add(at, value int64) {
	if !l.started {
		l.started, l.at = true, at
	}
	if steps := (at - l.at) / l.slot; steps > 0 {
		l.at += steps * l.slot
		for range min(steps, int64(l.count)) {
			l.next = (l.next + 1) % l.count
			l.used[l.next] = false
		}
	}
	if !l.used[l.next] || value < l.value[l.next] {
		l.value[l.next], l.used[l.next] = value, true
	}
}

func (l *leastOf) least() (least int64, ok bool) {
	for i := range l.count {
		if l.used[i] && (!ok || l.value[i] < least) {
			least, ok = l.value[i], true
		}
	}
	return least, ok
}
