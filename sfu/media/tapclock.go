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
	tapHold      = int64(3e9)    // how long the first packets of a stream wait for its sender report
	tapFarOff    = int64(10e9)   // of a capture time from the arrival: that can't be true
	tapSlew      = 20            // a correction of the capture time takes this times as long as it is big
	tapSlewBack  = 2             // one of more than tapStep, backwards
	tapStep      = int64(1e9)    // one of more than that, forwards, is made at once
	tapCorrected = int64(20e6)   // what is left of a correction that does not matter
	tapStreams   = 2 * maxLayers // whose clocks are remembered
)

// tapLine leads from a stream's timestamps to the publisher's clock, and that to the
// server's. The zero value stands for one that is not known.
type tapLine struct {
	instant
	clock *sharedClock
}

func (l *tapLine) known() bool { return l.clock != nil }

// capture is the server's time of a timestamp, in ns since 1900.
func (l *tapLine) capture(timestamp uint32) int64 {
	return l.ntp + int64(float64(int32(timestamp-l.timestamp))/l.rate) + l.clock.offset
}

// tapStream is what is known of the clock of a stream that fills the source.
type tapStream struct {
	stream *Upstream
	line   tapLine
	since  int64 // when its first packet came; 0: not yet
	waived bool  // packets no longer wait for a report
}

// tapClock works the capture times of a tap out. Times are in ns since 1900 by the server's
// clock.
type tapClock struct {
	streams []tapStream // the last ones, in order of their beginning
	guess   ntpOffset   // from timestamps to arrivals, where reports are missing

	began   bool
	by      tapBasis // of the last packet
	skew    int64    // what is added to what that says, less and less
	capture int64    // of the last packet
	media   int64    // the timestamp of that, ns
	exact   bool
}

// tapBasis is what a capture time was worked out from.
type tapBasis struct {
	stream *Upstream
	line   tapLine // not known: from the guess
	guess  int64
}

func (b *tapBasis) capture(timestamp uint32, media int64) int64 {
	if b.line.known() {
		return b.line.capture(timestamp)
	}
	return media + b.guess
}

// of is what is known of a stream. It is valid until the next call.
func (c *tapClock) of(u *Upstream) *tapStream {
	for i := range c.streams {
		if c.streams[i].stream == u {
			return &c.streams[i]
		}
	}
	if len(c.streams) == tapStreams {
		c.streams = slices.Delete(c.streams, 0, 1)
	}
	c.streams = append(c.streams, tapStream{stream: u})
	return &c.streams[len(c.streams)-1]
}

// report takes what a sender report says, or that earlier ones hold no longer.
func (c *tapClock) report(r *tapRecord) {
	s := c.of(r.stream)
	s.line = tapLine{r.line, r.clock}
	if r.clock == nil { // it is as good as another stream
		s.since, s.waived = 0, false
		c.by.stream = nil
	}
}

// arrived notes a packet that is in order. media is its timestamp in ns, which goes on over
// streams.
func (c *tapClock) arrived(r *tapRecord, media int64) {
	if len(r.payload) > 0 {
		c.guess.observe(media, r.arrival)
	}
	if s := c.of(r.stream); s.since == 0 {
		s.since = r.arrival
	}
}

// line is what a record's stream's last report says, with the offset that was known when the
// record came.
func (c *tapClock) line(r *tapRecord) tapLine {
	s := c.of(r.stream)
	if s.line.known() && r.clock != nil && r.clock.setting == s.line.clock.setting {
		s.line.clock = r.clock
	}
	return s.line
}

// at is when a packet, the next one, was captured.
func (c *tapClock) at(r *tapRecord, media int64) (capture int64, exact bool) {
	if c.began && media == c.media {
		return c.capture, c.exact
	}
	by := c.by
	if !r.late || r.stream != by.stream {
		by = tapBasis{stream: r.stream, line: c.line(r), guess: c.guess.offset}
		if by.line.known() && abs(by.line.capture(r.source)-ntpEpoch-r.arrival) > tapFarOff {
			by.line = tapLine{}
		}
	}
	says := by.capture(r.source, media)
	if c.began {
		c.correct(&by, r.source, says, media)
	}
	back := c.began && media < c.media // an encoder that reorders pictures
	if off := says + c.skew - ntpEpoch - r.arrival; !r.late && abs(off) > tapFarOff {
		c.skew -= off
		back = false
	}
	if c.began && !back {
		c.skew = max(c.skew, c.capture-says)
	}
	c.began = true
	c.by, c.media, c.capture = by, media, says+c.skew
	c.exact = by.line.known() && abs(c.skew) < tapCorrected
	return c.capture, c.exact
}

// correct makes times go on from those that have been handed out, and move slowly to what
// is true now.
func (c *tapClock) correct(by *tapBasis, timestamp uint32, says, media int64) {
	passed := max(0, media-c.media)
	switch {
	case by.stream == c.by.stream:
		if *by != c.by {
			c.skew += c.by.capture(timestamp, media) - says
		}
	case !by.line.known() || !c.by.line.known(): // else both are right
		c.skew = c.capture + passed - says
	}
	switch {
	case c.skew < -tapStep:
		c.skew = 0
	case c.skew > tapStep:
		c.skew -= passed / tapSlewBack
	default:
		c.skew -= min(max(c.skew, -passed/tapSlew), passed/tapSlew)
	}
}

// tapTime is a time of the server's clock, from ns since 1900; 0 stands for none.
func tapTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(ns - ntpEpoch))
}
