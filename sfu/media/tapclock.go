package media

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Publisher is who is at the far end of one or more ports: its connections tell the
// time by the same clock, so that what is said on one holds for the others. Taps of all
// its sources then move by the same when the estimate of that clock does, whichever
// connections they come by. Safe for concurrent use; the zero value is ready.
type Publisher struct {
	mu    sync.Mutex
	heard []heardClock // guarded by mu
}

// heardClock is what one port's sender reports tell.
type heardClock struct {
	port    *Port
	offset  int64
	setting int
	at      int64
}

// sharedClock leads from a publisher's NTP clock to the server's. Immutable.
type sharedClock struct {
	setting int   // of the publisher's clock, as senderReport.clockAge
	offset  int64 // added to its times, ns
}

// clockSettings numbers the settings of all publishers' clocks, so that those of
// different ports are not mistaken for each other.
var clockSettings atomic.Int64

// observe takes what the reports of a port tell of the clock. Of connections that agree but
// for their delay, the one with the least holds for all.
func (p *Publisher) observe(port *Port, offset int64, setting int, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = slices.DeleteFunc(p.heard, func(h heardClock) bool {
		return h.port == port || now-h.at > offsetWindow
	})
	p.heard = append(p.heard, heardClock{port, offset, setting, now})
	for _, h := range p.heard {
		least := h.offset
		for _, other := range p.heard {
			if abs(other.offset-h.offset) < offsetStep {
				least = min(least, other.offset)
			}
		}
		if now := h.port.shared.Load(); now == nil || now.offset != least || now.setting != h.setting {
			h.port.shared.Store(&sharedClock{h.setting, least})
		}
	}
}

const (
	tapHold      = int64(3e9) // how long the first packets wait for a sender report
	tapFarOff    = int64(5e9) // of a capture time from the arrival: the reports can't be true
	tapSlew      = 20         // a correction of the capture time takes this times as long as it is big
	tapSlewBack  = 2          // one of more than tapStep, backwards
	tapStep      = int64(1e9) // one of more than that, forwards, is made at once
	tapCorrected = int64(5e6) // what is left of a correction that does not matter
)

// tapLine leads from the timestamps of a layer to the publisher's clock, and that to
// the server's.
type tapLine struct {
	instant
	clock *sharedClock
}

func (l *tapLine) known() bool { return l.clock != nil }

// follow goes on with a later offset of the same setting of the clock.
func (l *tapLine) follow(clock *sharedClock) {
	if l.clock != nil && clock != nil && clock.setting == l.clock.setting {
		l.clock = clock
	}
}

// capture is the server's time of a timestamp, in ns since 1900.
func (l *tapLine) capture(timestamp uint32) int64 {
	return l.ntp + int64(float64(int32(timestamp-l.timestamp))/l.rate) + l.clock.offset
}

// tapClock works the capture times of a tap out. Times in ns since 1900 by the server's
// clock.
type tapClock struct {
	lines [maxLayers]tapLine
	guess ntpOffset // from timestamps to arrivals, where reports are missing

	began   bool
	by      tapSource // the last
	skew    int64     // what is added to what they say, less and less
	capture int64     // the last one
	media   int64     // the timestamp of that, ns
	exact   bool
}

// tapSource is what a capture time was worked out from.
type tapSource struct {
	line  tapLine // not known: from the guess
	guess int64
	layer *layer
}

// report takes what a sender report says.
func (c *tapClock) report(r *tapRecord) {
	c.lines[r.layer.index] = tapLine{r.line, r.clock}
}

// knows tells whether a report speaks of a record's layer.
func (c *tapClock) knows(r *tapRecord) bool { return c.lines[r.layer.index].known() }

// arrived notes when a packet arrived that is in order.
func (c *tapClock) arrived(media, arrival int64) { c.guess.observe(media, arrival) }

// at is when a packet, the next one, was captured. media is its timestamp in ns, which
// goes on over layers.
func (c *tapClock) at(r *tapRecord, media int64) (capture int64, exact bool) {
	if c.began && media == c.media {
		return c.capture, c.exact
	}
	by := c.by
	if !r.late || r.layer != by.layer {
		c.lines[r.layer.index].follow(r.clock)
		by = tapSource{line: c.lines[r.layer.index], guess: c.guess.offset, layer: r.layer}
		if by.line.known() && abs(by.line.capture(r.timestamp)-ntpEpoch-r.arrival) > tapFarOff {
			by.line = tapLine{}
		}
	}
	says := by.capture(r.timestamp, media)
	if !c.began {
		c.began = true
	} else {
		// What was handed out goes on, and then moves to what is true now.
		if by.layer == c.by.layer && by != c.by {
			c.skew += c.by.capture(r.timestamp, media) - says
		} else if by.layer != c.by.layer {
			c.skew += c.capture + media - c.media - (says + c.skew)
		}
		passed := media - c.media
		switch {
		case c.skew < -tapStep:
			c.skew = 0
		case c.skew > tapStep:
			c.skew -= max(0, passed/tapSlewBack)
		default:
			c.skew -= min(max(c.skew, -max(0, passed)/tapSlew), max(0, passed)/tapSlew)
		}
	}
	c.by, c.media, c.capture = by, media, says+c.skew
	c.exact = by.line.known() && abs(c.skew) < tapCorrected
	return c.capture, c.exact
}

func (s *tapSource) capture(timestamp uint32, media int64) int64 {
	if s.line.known() {
		return s.line.capture(timestamp)
	}
	return media + s.guess
}

// tapTime is a time of the server's clock, from ns since 1900.
func tapTime(ns int64) time.Time { return epoch.Add(time.Duration(ns - ntpEpoch)) }
