package sfu

import (
	"slices"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/media"
)

const (
	sampleInterval = time.Second     // between two looks at a room's counters
	flowSamples    = 4               // looks over which rates are measured
	probeInterval  = 3 * time.Second // between two questions for round trip times
)

// roomMeter says what was done when for a room's figures. Owned by run.
type roomMeter struct {
	sampled time.Time
	probed  time.Time
	told    time.Time
	probing bool
}

// measure looks at all counters of the room, if it is time for that. It reads
// atomic counters and takes locks of single streams, each for a moment.
func (r *room) measure(now time.Time) {
	if now.Sub(r.meter.sampled) < sampleInterval {
		return
	}
	r.meter.sampled = now
	var t Totals
	for _, l := range r.order {
		l.measure(now, &t)
	}
	for _, m := range r.everyone {
		for _, s := range m.sources {
			s.measure(&t)
		}
	}
	r.engine.ledger.add(&t)
	r.probe(now)
	r.tellQuality(now)
}

// probe asks the stack for the round trip times of the legs on which no report of
// the client tells it, outside the room's goroutine.
func (r *room) probe(now time.Time) {
	if r.meter.probing || now.Sub(r.meter.probed) < probeInterval {
		return
	}
	var conns []*conn
	for _, l := range r.order {
		if l.connected && l.conn.port.RTT() == 0 {
			conns = append(conns, l.conn)
		}
	}
	if len(conns) == 0 {
		return
	}
	r.meter.probed, r.meter.probing = now, true
	r.spawn(func() func() {
		for _, c := range conns {
			c.link.probe(c.pc)
		}
		return func() { r.meter.probing = false }
	})
}

// flow measures one direction of a stream over its last samples.
type flow struct {
	samples [flowSamples]flowCount
	next    int
}

// flowCount are counts since the stream's beginning.
type flowCount struct {
	at                time.Time // zero: no sample
	bits              uint64    // of RTP packets without header extensions
	packets           uint64
	expected, arrived uint64
	loss              float64 // sum of what the receiver reported at each sample
	n                 int     // samples
}

const rtpHeader = 12 // bytes of an RTP header without extensions (RFC 3550 section 5.1)

// sample returns what has come since the oldest sample, over how long.
func (f *flow) sample(c flowCount) (since flowCount, span time.Duration) {
	newest := f.samples[(f.next+flowSamples-1)%flowSamples]
	c.loss += newest.loss
	c.n = newest.n + 1
	oldest := f.samples[f.next]
	for i := 1; oldest.at.IsZero() && i < flowSamples; i++ {
		oldest = f.samples[(f.next+i)%flowSamples]
	}
	f.samples[f.next] = c
	f.next = (f.next + 1) % flowSamples
	if oldest.at.IsZero() {
		return flowCount{}, 0
	}
	return flowCount{
		bits:     less(c.bits, oldest.bits),
		packets:  less(c.packets, oldest.packets),
		expected: less(c.expected, oldest.expected),
		arrived:  less(c.arrived, oldest.arrived),
		loss:     c.loss - oldest.loss,
		n:        c.n - oldest.n,
	}, c.at.Sub(oldest.at)
}

func less(a, b uint64) uint64 { return a - min(a, b) }

// upMeter and feedMeter are what was last seen of an upstream and of a feed. The
// figures are of the last sample.
type upMeter struct {
	up     *media.Upstream
	mid    string
	class  Class
	before Counts
	flow   flow

	bitrate uint64
	loss    float64 // -1: not known
}

type feedMeter struct {
	feed   *media.Feed
	class  Class
	before Counts
	flow   flow

	bitrate uint64
	loss    float64 // -1: not known
}

// figures are those of a leg at its last sample. Up is from the client to the server.
type figures struct {
	at                  time.Time
	rtt                 time.Duration // 0: not known
	lossUp, lossDown    float64       // -1: not known
	jitterUp            time.Duration
	jitterDown          time.Duration
	voiceJitter         time.Duration // the worst of both ways of the voices
	bitrateUp           uint64        // bit/s
	bitrateDown         uint64
	estimate            uint64 // bit/s; 0: not known
	limited             bool   // estimate is a limit, not only what has been proved
	remb                uint64
	level               Level
	hits, misses, asked uint64 // of the viewer's NACKs, since the connection's beginning
	gaps                uint64
}

// legMeter is what a leg's connection has been measured to do. Owned by run,
// until finish gets a copy of it.
type legMeter struct {
	ups   []*upMeter
	feeds []*feedMeter
	path  Path // under which it is counted as connected; the zero Path: it is not
	now   figures
}

// receive takes note of an upstream.
func (m *legMeter) receive(mid string, up *media.Upstream) {
	m.ups = append(m.ups, &upMeter{up: up, mid: mid, loss: -1})
}

// classOf is what a slot of the leg carries.
func (l *leg) classOf(slot int) Class {
	switch {
	case slot == slotAudio || slot == slotExtraAudio:
		return ClassAudio
	case l.key.screen || slot == slotExtraVideo:
		return ClassScreen
	}
	return ClassCamera
}

// measure looks at the leg's counters.
func (l *leg) measure(now time.Time, t *Totals) {
	m := &l.meter
	if l.conn == nil {
		return
	}
	m.count(l)
	for _, u := range m.ups {
		u.class = ClassCamera
		switch {
		case u.up.Kind() == webrtc.RTPCodecTypeAudio:
			u.class = ClassAudio
		case l.key.screen || l.pubs[slotExtraVideo].mid == u.mid:
			u.class = ClassScreen
		}
	}
	for _, s := range l.sections {
		if s.feed == nil {
			continue
		}
		i := slices.IndexFunc(m.feeds, func(f *feedMeter) bool { return f.feed == s.feed })
		if i < 0 {
			i = len(m.feeds)
			m.feeds = append(m.feeds, &feedMeter{feed: s.feed, loss: -1})
		}
		slot := s.slot
		if slot < 0 {
			slot = slotVideo
			if s.feed.Kind() == webrtc.RTPCodecTypeAudio {
				slot = slotAudio
			}
		}
		m.feeds[i].class = l.classOf(slot)
	}
	m.sample(now, l.conn.port, &l.conn.link, t)
	// What has ended is counted to its last packet now.
	m.ups = slices.DeleteFunc(m.ups, func(u *upMeter) bool {
		select {
		case <-u.up.Done():
			return true
		default:
			return false
		}
	})
	if l.connected {
		m.grade(l.lost(now))
		m.observe(t)
	}
}

// count keeps the number of connected legs of each path.
func (m *legMeter) count(l *leg) {
	path := Path{}
	if l.connected {
		path = Path{Transport: "udp", Local: "unknown", Remote: "unknown"}
		if known := l.conn.link.path.Load(); known != nil {
			path = *known
		}
	}
	if path != m.path {
		l.room.engine.ledger.move(m.path, path)
		m.path = path
	}
}

// sample reads all counters, adds what they have grown by and works the figures out.
func (m *legMeter) sample(now time.Time, port *media.Port, k *link, t *Totals) {
	stats := port.Stats()
	next := figures{at: now, lossUp: -1, lossDown: -1, level: m.now.level, remb: stats.REMB}
	next.estimate, next.limited = estimate(port)
	next.rtt = stats.RTT
	if next.rtt == 0 {
		next.rtt = time.Duration(k.rtt.Load())
	}
	var expected, arrived uint64
	for _, u := range m.ups {
		s := u.up.Stats()
		u.tally(t, &s)
		since, span := u.flow.sample(flowCount{at: now, bits: bitsOf(s.Packets, s.Bytes), packets: s.Packets, expected: s.Expected, arrived: s.Arrived})
		u.bitrate, u.loss = perSecond(since.bits, span), lossOf(since.expected, since.arrived)
		next.bitrateUp += u.bitrate
		expected, arrived = expected+since.expected, arrived+min(since.expected, since.arrived)
		if since.packets > 0 {
			next.jitterUp = max(next.jitterUp, s.Jitter)
			if u.class == ClassAudio {
				next.voiceJitter = max(next.voiceJitter, s.Jitter)
			}
		}
	}
	next.lossUp = lossOf(expected, arrived)
	var lost, packets float64
	for _, f := range m.feeds {
		s := f.feed.Stats()
		f.tally(t, &s)
		next.asked, next.hits, next.misses, next.gaps = next.asked+s.NACKed, next.hits+s.Retransmitted, next.misses+s.NACKMissed, next.gaps+s.Gaps
		since, span := f.flow.sample(flowCount{at: now, bits: bitsOf(s.Packets, s.Bytes), packets: s.Packets, loss: float64(s.FractionLost) / 256})
		f.bitrate, f.loss = perSecond(since.bits, span), -1
		next.bitrateDown += f.bitrate
		if since.packets == 0 || since.n == 0 {
			continue
		}
		f.loss = since.loss / float64(since.n)
		lost += f.loss * float64(since.packets)
		packets += float64(since.packets)
		next.jitterDown = max(next.jitterDown, s.Jitter)
		if f.class == ClassAudio {
			next.voiceJitter = max(next.voiceJitter, s.Jitter)
		}
	}
	if packets > 0 {
		next.lossDown = lost / packets
	}
	m.now = next
}

// estimate is what the connection carries towards the client, in bit/s, 0 if that is
// not known; limited tells that it is a limit, and not only what has been proved.
func estimate(port *media.Port) (bitrate uint64, limited bool) {
	e := port.Estimate()
	if !e.Known {
		return 0, false
	}
	return e.Bitrate, e.Limited
}

func bitsOf(packets, bytes uint64) uint64 { return (bytes + rtpHeader*packets) * 8 }

func perSecond(n uint64, span time.Duration) uint64 {
	if span <= 0 {
		return 0
	}
	return uint64(float64(n) / span.Seconds())
}

func lossOf(expected, arrived uint64) float64 {
	if expected == 0 {
		return -1
	}
	return float64(less(expected, arrived)) / float64(expected)
}

func (u *upMeter) tally(t *Totals, s *media.UpstreamStats) {
	now := Counts{
		ReceivedPackets: s.Packets, ReceivedBytes: s.Bytes, ReceivedExpected: s.Expected, ReceivedMissing: s.Lost,
		ReceivedRepaired: s.Repaired, ReceivedGivenUp: s.GivenUp, ReceivedMalformed: s.Malformed,
		NACKsSent: s.NACKed, KeyFrameRequestsSent: s.PLIs,
	}
	t.Media[u.class].grow(&now, &u.before)
	u.before = now
}

func (f *feedMeter) tally(t *Totals, s *media.FeedStats) {
	now := Counts{
		SentPackets: s.Packets, SentBytes: s.Bytes, SentLost: uint64(s.TotalLost), SentRetransmitted: s.Retransmitted, SentRepeated: s.Repeated, SentErrors: s.WriteErrors,
		NACKsReceived: s.NACKed, NACKsMissed: s.NACKMissed, NACKsLimited: s.NACKLimited,
		KeyFramesSent: s.KeyFrames, KeyFrameRequestsReceived: s.PLIs,
		Gaps: s.Gaps, LayerSwitches: s.LayerSwitches, Replays: s.Replays,
	}
	// A viewer's word on its losses may sink, when late packets come, and rise again.
	now[SentLost] = max(now[SentLost], f.before[SentLost])
	t.Media[f.class].grow(&now, &f.before)
	f.before = now
}

// observe puts the figures into the distributions.
func (m *legMeter) observe(t *Totals) {
	f := &m.now
	if f.rtt > 0 {
		t.observe(RoundTrip, f.rtt.Seconds())
	}
	if f.lossUp >= 0 {
		t.observe(ReceivedLoss, f.lossUp)
		t.observe(ReceivedJitter, f.jitterUp.Seconds())
	}
	if f.lossDown >= 0 {
		t.observe(SentLoss, f.lossDown)
		t.observe(SentJitter, f.jitterDown.Seconds())
	}
	if f.estimate > 0 {
		t.observe(Estimate, float64(f.estimate)/8)
	}
}

// detach takes the meter off a leg whose connection is given up.
func (l *leg) detach() *legMeter {
	m := l.meter
	l.meter = legMeter{}
	l.room.engine.ledger.move(m.path, Path{})
	return &m
}

// finish adds what a closed connection has counted since its last sample.
func (m *legMeter) finish(b *ledger) {
	var t Totals
	for _, u := range m.ups {
		s := u.up.Stats()
		u.tally(&t, &s)
	}
	for _, f := range m.feeds {
		s := f.feed.Stats()
		f.tally(&t, &s)
	}
	b.add(&t)
}

// measure looks at the source's counters.
func (s *source) measure(t *Totals) {
	now := Counts{KeyFramesReceived: s.media.Stats().KeyFrames}
	t.Media[s.class()].grow(&now, &s.before)
	s.before = now
}

func (s *source) class() Class {
	switch {
	case s.key.kind == webrtc.RTPCodecTypeAudio:
		return ClassAudio
	case s.screen:
		return ClassScreen
	}
	return ClassCamera
}

// retire ends a source that is forgotten, and adds what it has counted since its last sample.
func (r *room) retire(s *source) {
	var t Totals
	s.measure(&t)
	r.engine.ledger.add(&t)
	s.media.End()
	r.hideTap(s)
}

// noteSetUp notes how long a leg took to connect after its answer.
func (l *leg) noteSetUp(now time.Time) {
	if l.connectBy.IsZero() {
		return // connected before the room has heard of the answer's end
	}
	var t Totals
	t.observe(SetUp, max(0, now.Sub(l.connectBy)+l.room.engine.opts.ConnectTimeout).Seconds())
	l.room.engine.ledger.add(&t)
}
