package media

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/rtpcache"
)

const (
	maxPayload      = 1500 // bytes of an RTP packet's payload that can be sent again
	videoCacheSlots = 512  // about 2 s of 2.5 Mbit/s
	audioCacheSlots = 128
	maxAudioPayload = 400
)

// Source is one published track with its simulcast layers, if it has any. One
// upstream at a time is its carrier; the packets of others are dropped. To its
// feeds each layer is one sequence of packets without breaks, whatever carries
// it. Safe for concurrent use.
type Source struct {
	// Static.
	kind   webrtc.RTPCodecType
	limits *keyLimits

	generation atomic.Uint32 // changes when feeds may have to choose another layer
	counters   struct {
		keyFrames, duplicates, padding, notCarrier, switches atomic.Uint64
	}
	taps   atomic.Pointer[taps]     // copied on write under mu; nil: none
	layers atomic.Pointer[[]*layer] // copied on write under mu; by index, grows only

	mu     sync.Mutex // guards the rest
	active *Upstream  // whose packets are forwarded
	// admitted counts the packets given to the feeds, so that a feed that has read
	// them from the cache recognises those.
	admitted   uint64
	bytes      uint64   // of their payloads
	lastPacket int64    // when the last of them came; 0: none has
	surveyed   int64    // when the layers were measured
	feeds      []*Feed  // copied on write
	order      []*layer // from the smallest to the biggest
	repairs    repairWait
	next       *Upstream // takes over with its first key frame (audio: packet)
	ended      bool      // there are no new taps
}

// SourceOptions says what a Source is of.
type SourceOptions struct {
	Kind webrtc.RTPCodecType // audio or video
	// Screen: a shared screen. Its key frames are big and its pictures may be
	// seconds apart, which the policy of asking for key frames allows for.
	Screen bool
}

// NewSource makes a source without a carrier.
func NewSource(opts SourceOptions) *Source {
	s := &Source{kind: opts.Kind, limits: &cameraKeyLimits}
	if opts.Screen {
		s.limits = &screenKeyLimits
	}
	first := newLayer(s, 0)
	s.layers.Store(&[]*layer{first})
	s.order = []*layer{first}
	return s
}

// Kind is audio or video.
func (s *Source) Kind() webrtc.RTPCodecType { return s.kind }

// SetCarrier chooses the upstream that carries the source from now on, or none.
// A present carrier goes on until the new one delivers a key frame (video,
// which it is asked for) or its first packet (audio). An upstream carries one
// source at most: it leaves the one it carried. An upstream of the other kind is
// ignored.
func (s *Source) SetCarrier(u *Upstream) {
	if u != nil && u.kind != s.kind {
		return
	}
	if u != nil {
		if other := u.source.Load(); other != nil && other != s {
			other.drop(u)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case u == nil:
		s.release(s.next)
		s.release(s.active)
		s.active, s.next = nil, nil
		for _, l := range s.order {
			l.live = false
			l.keys.passed() // nobody is there who could send one
		}
	case u == s.active:
		s.release(s.next)
		s.next = nil
		u.source.Store(s)
	case u == s.next:
		u.source.Store(s)
	default:
		s.release(s.next)
		s.next = u
		u.source.Store(s)
		s.ensureLayers(u)
		if s.kind == webrtc.RTPCodecTypeVideo {
			now := monotonic()
			for _, l := range s.order {
				l.keys = keyRequests{limits: s.limits} // they bound what one publisher is asked for
				l.keys.request(now)
			}
		}
	}
	s.pokeTarget()
}

// release makes an upstream forget the source. s.mu is held.
func (s *Source) release(u *Upstream) {
	if u != nil {
		u.source.CompareAndSwap(s, nil)
	}
}

// drop takes an upstream away that is to carry another source.
func (s *Source) drop(u *Upstream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(u)
	if s.active == u {
		s.active = nil
		for _, l := range s.order {
			l.live = false
		}
	}
	if s.next == u {
		s.next = nil
		s.pokeTarget()
	}
}

// Carrier is the upstream whose packets are being forwarded, or nil.
func (s *Source) Carrier() *Upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

// NextCarrier is the upstream that has been chosen but has not taken over yet,
// or nil.
func (s *Source) NextCarrier() *Upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// RequestKeyFrame asks the publisher for a key frame: now, or when some time has
// passed since the last request (500 ms; a screen: 1 s), and again until one has
// passed. It may be called before there is a viewer, who then begins with that
// key frame. It does nothing for audio.
func (s *Source) RequestKeyFrame() {
	if s.kind != webrtc.RTPCodecTypeVideo {
		return
	}
	now := monotonic()
	s.mu.Lock()
	defer s.mu.Unlock()
	running := slices.ContainsFunc(s.order, func(l *layer) bool { return l.active.Load() })
	for _, l := range s.order {
		if l.active.Load() || !running {
			l.keys.request(now)
		}
	}
	s.pokeTarget()
}

// requestKeyFrame is RequestKeyFrame for one layer.
func (l *layer) requestKeyFrame() {
	s := l.source
	if s.kind != webrtc.RTPCodecTypeVideo {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.keys.request(monotonic())
	s.pokeTarget()
}

// layerOf is the layer that a stream fills, or nil.
func (s *Source) layerOf(u *Upstream) *layer {
	if layers := *s.layers.Load(); u.index < len(layers) {
		return layers[u.index]
	}
	return nil
}

// layerOf is Source.layerOf, remembered. port.inMu is held.
func (u *Upstream) layerOf(s *Source) *layer {
	if u.fills == nil || u.fills.source != s {
		u.fills = s.layerOf(u)
	}
	return u.fills
}

// keyFrameTarget is the upstream that is to send the next key frame. s.mu is
// held.
func (s *Source) keyFrameTarget() *Upstream {
	if s.next != nil {
		return s.next
	}
	return s.active
}

// pokeTarget has the reporter of keyFrameTarget's port look whether a key frame is to be asked for. s.mu is held.
func (s *Source) pokeTarget() {
	if target := s.keyFrameTarget(); target != nil {
		target.port.poke(taskPLI)
	}
}

// pollKeyFrame tells the reporter of u's port whether to send a picture loss
// indication now, and when to ask again (0: not before a poke).
func (s *Source) pollKeyFrame(u *Upstream, now int64) (send bool, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.layerOf(u)
	if s.keyFrameTarget() != u.group || l == nil {
		return false, 0
	}
	return l.keys.poll(now)
}

// Stats reads the source's counters.
func (s *Source) Stats() SourceStats {
	s.mu.Lock()
	packets, bytes := s.admitted, s.bytes
	s.mu.Unlock()
	c := &s.counters
	return SourceStats{
		Packets: packets, Bytes: bytes, KeyFrames: c.keyFrames.Load(),
		Duplicates: c.duplicates.Load(), Padding: c.padding.Load(),
		NotCarrier: c.notCarrier.Load(), Switches: c.switches.Load(),
	}
}

// outgoing is a packet of a source on its way to the feeds. Its slices are valid
// only during the delivery.
type outgoing struct {
	sequence  uint64 // in the numbers of the source
	timestamp uint32 // likewise
	source    uint32 // the publisher's
	marker    bool
	key       bool // the first packet of a key frame
	late      bool // older than the last one
	restarts  bool // the first one of another encoder on this layer
	stale     bool // too late for feeds
	frame     frame
	serial    uint64 // counts the packets of the source
	format    *format
	payload   []byte // empty: a number that was kept free turned out to be padding
	red       redundancy
	missing   int    // packets in front of it that did not come, some of which red may repeat;
	before    uint32 // timestamp of the one before those
	level     []byte // audio level (RFC 6464), or nil
	delay     uint32 // value of the playout delay extension; 0: none
	arrival   int64
	capture   int64 // the server's time of the timestamp by sender reports, ns; 0: not known
}

// deliver takes a packet from one of the source's upstreams and writes it to all
// feeds. The inMu of the upstream's port is held.
func (s *Source) deliver(u *Upstream, f *format, w *passage, now int64) {
	in, out := &w.in, &w.out
	var d frame
	if f.describe != nil {
		d = f.describe(in.payload)
	}
	l := s.admit(u, f, w, &d, now)
	if l == nil {
		return
	}
	out.level, out.red = in.headerExtension(u.audioLevel), in.red
	awaitingKey := false
	if taps := s.taps.Load(); taps != nil {
		awaitingKey = taps.copied(l, u, out)
	}
	if out.stale {
		return
	}
	for _, feed := range w.feeds {
		if feed.forward(l, w) {
			awaitingKey = true
		}
	}
	if awaitingKey {
		s.mu.Lock()
		if l.keys.expect(now) {
			s.pokeTarget()
		}
		s.mu.Unlock()
	}
}

// admit decides whether a packet is forwarded, stores it and fills w.out and
// w.feeds. It returns the packet's layer, or nil.
func (s *Source) admit(u *Upstream, f *format, w *passage, d *frame, now int64) *layer {
	in, out := &w.in, &w.out
	s.mu.Lock()
	defer s.mu.Unlock()
	clockRate := f.clockRate
	l := u.layerOf(s)
	restarts := l != nil && (!l.live || s.active != u.group)
	if l == nil || restarts && !s.goLive(u, l, in, d.key, now) {
		s.counters.notCarrier.Add(1)
		if l != nil && s.keyFrameTarget() == u.group && s.kind == webrtc.RTPCodecTypeVideo && l.keys.expect(now) {
			s.pokeTarget()
		}
		return nil
	}
	m := l.mapper.translate(in.sequence, in.timestamp, len(in.payload) == 0, clockRate, now)
	if m.restarted {
		u.mu.Lock()
		u.report = senderReport{} // of other timestamps
		u.mu.Unlock()
		s.tellClocks(u)
	}
	if !m.ok {
		s.counters.padding.Add(1)
		return nil
	}
	if m.late && l.cache.Seen(m.sequence) {
		if s.taps.Load() != nil && l.cache.Forgot(m.sequence) {
			*out = outgoing{
				sequence: m.sequence, timestamp: m.timestamp, source: in.timestamp, marker: in.marker, late: true, stale: true,
				format: f, payload: in.payload, arrival: now,
			}
			return l
		}
		s.counters.duplicates.Add(1)
		return nil
	}
	l.cache.Put(m.sequence, rtpcache.Info{Timestamp: m.timestamp, Marker: in.marker}, in.payload)
	if l.key.format != nil && l.key.format != f {
		l.key = keyFrame{}
	}
	if d.key && !m.late {
		l.keys.passed()
		l.key = keyFrame{format: f, frame: *d, sequence: m.sequence, arrival: now}
		if width, height := pictureSize(f.codec.MimeType, in.payload); width != l.width || height != l.height {
			l.width, l.height = width, height
			s.surveyed = now - surveyInterval // is due
		}
		s.counters.keyFrames.Add(1)
	}
	s.admitted++
	s.bytes += uint64(len(in.payload))
	s.lastPacket, l.lastPacket = now, now
	temporal := min(int(d.temporal), maxTemporal-1)
	if d.continues {
		temporal = l.temporal
	}
	l.temporal = temporal
	if int32(temporal) > l.temporals.Load() {
		l.temporals.Store(int32(temporal))
	}
	l.rates.packet(temporal, rtpHeaderSize+len(in.payload))
	if now-s.surveyed >= surveyInterval || !l.active.Load() {
		s.survey(now)
	}
	*out = outgoing{
		sequence: m.sequence, timestamp: m.timestamp, source: in.timestamp, marker: in.marker, key: d.key, late: m.late, restarts: restarts,
		frame: *d, serial: s.admitted, format: f, payload: in.payload, arrival: now,
		delay: s.repairs.playoutDelay(),
	}
	if in.red.payload != nil && !m.late && s.taps.Load() != nil {
		out.missing, out.before = l.missingBefore(m.sequence)
	}
	if len(s.order) > 1 {
		out.capture = u.captured(in.timestamp, clockRate)
	}
	w.feeds = s.feeds
	return l
}

// goLive makes the packets of a stream those of its layer, if this can be the
// first one; it makes the stream's upstream the carrier, if it was chosen. s.mu is
// held.
func (s *Source) goLive(u *Upstream, l *layer, in *packet, key bool, now int64) bool {
	if len(in.payload) == 0 {
		return false
	}
	begins := key || s.kind == webrtc.RTPCodecTypeAudio
	if s.active != u.group {
		if s.next != u.group || !begins && (s.active != nil || l.used) {
			return false
		}
		s.takeOver(u.group, now)
	} else if !begins && l.used {
		return false
	}
	l.live, l.used = true, true
	u.mu.Lock()
	report := u.report
	u.mu.Unlock()
	l.mapper.follow(in.sequence, in.timestamp, u.clockRate(), now, report)
	s.tellClocks(u)
	return true
}

// takeOver makes an upstream the carrier: each of the layers goes on with a key
// frame of its own. s.mu is held.
func (s *Source) takeOver(group *Upstream, now int64) {
	s.release(s.active)
	s.active, s.next = group, nil
	for _, l := range s.order {
		l.live, l.key = false, keyFrame{}
	}
	s.surveyed = now - surveyInterval // is due
	s.repairs.lost = group.lost()
	s.counters.switches.Add(1)
}

// timestampAt is the layer's RTP timestamp at a time of the server's (ns since
// 1900), by the last sender report of the carrier.
func (l *layer) timestampAt(server int64) (timestamp uint32, ok bool) {
	s := l.source
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil || !l.live {
		return 0, false
	}
	streams := *s.active.streams.Load()
	if l.index >= len(streams) {
		return 0, false
	}
	u := streams[l.index]
	u.mu.Lock()
	r := u.report
	u.mu.Unlock()
	u.port.clockMu.Lock()
	offset, age := u.port.clock.offset, u.port.clock.age
	u.port.clockMu.Unlock()
	return r.at(server-offset) + l.mapper.timestampOffset(), r.received && r.clockAge == age
}

// reported takes note of a new sender report about u and, if due, tells the feeds.
func (s *Source) reported(u *Upstream, due bool) {
	l := s.layerOf(u)
	if l == nil {
		return
	}
	s.mu.Lock()
	live := s.active == u.group && l.live
	if live {
		u.mu.Lock()
		r := u.report
		u.mu.Unlock()
		l.mapper.reported(r.instant, u.clockRate())
		s.tellClocks(u)
	}
	s.mu.Unlock()
	if live && due {
		s.reportsDue()
	}
}

// reportsDue makes every feed report.
func (s *Source) reportsDue() {
	s.mu.Lock()
	feeds := s.feeds
	s.mu.Unlock()
	for _, feed := range feeds {
		feed.reportDue()
	}
}

// attach and detach are called by Feed.SetSource.
func (s *Source) attach(f *Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = append(slices.Clone(s.feeds), f)
}

func (s *Source) detach(f *Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeds = slices.DeleteFunc(slices.Clone(s.feeds), func(other *Feed) bool { return other == f })
}
