package media

import "github.com/pion/rtcp"

// senderReport is a sender report (RFC 3550 section 6.4.1) of a publisher.
type senderReport struct {
	received bool
	compact  uint32 // middle 32 bits of its NTP timestamp, for LSR
	arrival  int64  // monotonic
	clockAge int    // which of the settings of its publisher's clock it was made with
	instant
}

// instant is one moment by two clocks: a publisher's NTP clock and the RTP clock
// of a stream of its, which may be wrong by some parts per million.
type instant struct {
	ntp       int64   // ns since 1900
	timestamp uint32  // RTP
	rate      float64 // of the RTP clock, in ticks per ns of the NTP clock
}

// at is the RTP timestamp at another time of the NTP clock.
func (i instant) at(ntp int64) uint32 {
	return i.timestamp + uint32(int64(float64(ntp-i.ntp)*i.rate))
}

const (
	rateBase   = int64(30e9)  // reports this far apart tell the rate of a clock,
	rateRebase = int64(300e9) // and are then compared with younger ones
	rateLimit  = 500e-6       // deviation beyond which the stream was restarted
)

// rateMeasure tells how fast a stream's RTP clock is by the publisher's NTP
// clock: where reports fail to come for minutes, the nominal rate would be wrong by
// tens of milliseconds.
type rateMeasure struct {
	base, next instant // earlier reports; known from their rate
	rate       float64
}

func (c *rateMeasure) observe(ntp int64, timestamp uint32, nominal float64) float64 {
	now := instant{ntp, timestamp, nominal}
	if c.base.rate != nominal || ntp < c.base.ntp {
		*c = rateMeasure{now, now, nominal}
		return nominal
	}
	if span := ntp - c.base.ntp; span >= rateBase {
		deviation := float64(int32(timestamp-c.base.at(ntp))) / (float64(span) * nominal)
		if deviation > rateLimit || deviation < -rateLimit {
			*c = rateMeasure{now, now, nominal}
			return nominal
		}
		c.rate = nominal * (1 + deviation)
	}
	if ntp-c.next.ntp >= rateRebase {
		c.base, c.next = c.next, now
	}
	return c.rate
}

// sentReport remembers when a feed sent a report, by the middle 32 bits of the
// NTP timestamp that its receiver will quote.
type sentReport struct {
	compact uint32
	at      int64
}

// ntpEpoch is the package's epoch in ns since 1900-01-01.
var ntpEpoch = epoch.UnixNano() + 2_208_988_800*1e9

// ntpToNanoseconds turns a 32.32 NTP timestamp into ns since 1900.
func ntpToNanoseconds(ntp uint64) int64 {
	return int64(ntp>>32)*1e9 + int64((ntp&0xffffffff)*1e9>>32)
}

// nanosecondsToNTP is the inverse of ntpToNanoseconds.
func nanosecondsToNTP(ns int64) uint64 {
	return uint64(ns/1e9)<<32 | uint64(ns%1e9)<<32/1e9
}

const (
	offsetWindow = int64(30e9)      // over which the least delay is looked for
	offsetBucket = int64(5e9)       // in pieces of
	offsetSlew   = int64(4_000_000) // ns per second by which the offset follows,
	offsetSettle = int64(10e9)      // once it is this old
	offsetStep   = int64(1e9)       // difference from which on it jumps,
	offsetLate   = 4                // if this many reports in a row have it
)

// ntpOffset estimates what is to be added to a publisher's clock to get the
// server's: the least difference between arrival and NTP time of its sender
// reports over a window, which is the clock offset plus the least delay. There
// is one for each connection of a publisher, so that its audio and video are
// moved by the same amount and stay in sync whatever the jitter. It changes
// slowly, because a receiver takes many reports into account, and not the same
// number of them for audio as for video.
type ntpOffset struct {
	buckets [offsetWindow / offsetBucket]struct {
		used   bool
		number int64
		least  int64
	}
	known  bool
	offset int64
	since  int64
	at     int64
	age    int // which setting of the publisher's clock it is for, of all publishers
	late   int // reports in a row that came too late for the offset
}

// observe takes the NTP time (ns since 1900) of a report and its arrival
// (monotonic), and returns that NTP time by the server's clock.
func (o *ntpOffset) observe(ntp, arrival int64) int64 {
	difference := ntpEpoch + arrival - ntp
	// A report from the future means that the publisher's clock was set. One from
	// the past may have been delayed; several in a row mean the same.
	switch {
	case !o.known || difference-o.offset <= offsetStep:
		o.late = 0
	default:
		o.late++
	}
	if o.known && (difference-o.offset < -offsetStep || o.late == offsetLate) {
		*o = ntpOffset{age: int(clockSettings.Add(1))}
	}
	number := arrival / offsetBucket
	bucket := &o.buckets[int(number%int64(len(o.buckets)))]
	if !bucket.used || bucket.number != number {
		bucket.used, bucket.number, bucket.least = true, number, difference
	}
	bucket.least = min(bucket.least, difference)
	least := difference
	for _, b := range o.buckets {
		if b.used && b.number > number-int64(len(o.buckets)) {
			least = min(least, b.least)
		}
	}
	if !o.known {
		o.known, o.offset, o.since = true, least, arrival
	} else if arrival-o.since < offsetSettle {
		o.offset = least
	} else {
		most := (arrival - o.at) / 1000 * offsetSlew / 1_000_000
		o.offset += min(max(least-o.offset, -most), most)
	}
	o.at = arrival
	return ntp + o.offset
}

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

// reported takes a sender report about the upstream.
func (u *Upstream) reported(sr *rtcp.SenderReport, now int64) {
	ntp := ntpToNanoseconds(sr.NTPTime)
	u.port.clockMu.Lock()
	u.port.clock.observe(ntp, now)
	age := u.port.clock.age
	u.port.publisher.observe(u.port, u.port.clock.offset, age, now)
	// Feeds of one publisher report together, whoever's report has come: a viewer
	// then sees all of them move when the offset does.
	all := now-u.port.reportedAt >= reportTogether
	if all {
		u.port.reportedAt = now
	}
	u.port.clockMu.Unlock()
	u.mu.Lock()
	first := !u.report.received
	u.report = senderReport{
		received: true, compact: uint32(sr.NTPTime >> 16), arrival: now, clockAge: age,
		instant: instant{ntp, sr.RTPTime, u.rate.observe(ntp, sr.RTPTime, float64(u.clockRate())/1e9)},
	}
	u.mu.Unlock()
	if source := u.group.source.Load(); source != nil {
		source.reported(u, all || first)
	}
	if !all {
		return
	}
	for _, other := range *u.port.upstreams.Load() {
		if source := other.group.source.Load(); source != nil && other.group != u.group {
			source.reportsDue()
		}
	}
}

// reportTogether is how often at most the feeds of a publisher report (ns).
const reportTogether = int64(500e6)

// reportDue makes the reporter send a sender report for the feed, together with what else it has to send.
func (f *Feed) reportDue() {
	f.counters.reportsPending.Store(1)
	f.port.pokeBy(taskSenderReport, f.port.together(monotonic()))
}

// takeReport translates the carrier's last sender report for the viewer, carried
// on to now: the server's time, the feed's timestamp of the same instant by the
// publisher's clock and the feed's own counts. name is the CNAME that the description
// gives its SSRC: the stream id. ok is false if there is nothing to report.
func (f *Feed) takeReport(now int64) (sr rtcp.SenderReport, name string, ok bool) {
	if f.counters.reportsPending.Load() == 0 {
		return sr, "", false
	}
	f.counters.reportsPending.Store(0)
	f.mu.Lock()
	layer := f.layer
	f.mu.Unlock()
	if layer == nil {
		return sr, "", false
	}
	server := ntpEpoch + now
	timestamp, ok := layer.timestampAt(server)
	if !ok {
		return sr, "", false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.layer != layer || !f.running {
		return sr, "", false
	}
	sr = rtcp.SenderReport{
		SSRC:        f.bound.ssrc,
		NTPTime:     nanosecondsToNTP(server),
		RTPTime:     timestamp + f.segments.last().tsOffset,
		PacketCount: uint32(f.packets),
		OctetCount:  uint32(f.bytes),
	}
	f.reports[f.reportIndex] = sentReport{compact: uint32(sr.NTPTime >> 16), at: now}
	f.reportIndex = (f.reportIndex + 1) % len(f.reports)
	return sr, f.streamID, true
}
