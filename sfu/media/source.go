package media

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/rtpcache"
)

const (
	maxPayload      = 1500 // bytes of an RTP packet's payload that can be sent again
	videoCacheSlots = 512  // about 2 s of 2.5 Mbit/s
	audioCacheSlots = 128
	maxAudioPayload = 400
)

// Source is one published track. One upstream at a time is its carrier; the
// packets of others are dropped. To its feeds a source is one sequence of
// packets without breaks, whatever carries it. Safe for concurrent use.
type Source struct {
	// Static.
	kind webrtc.RTPCodecType

	feeds      atomic.Pointer[[]*Feed] // copied on write under mu
	lastPacket atomic.Int64
	counters   struct {
		packets, bytes, keyFrames, duplicates, padding, notCarrier, switches atomic.Uint64
	}

	mu     sync.Mutex // guards the rest
	active *Upstream  // whose packets are forwarded
	next   *Upstream  // takes over with its first key frame (audio: packet)
	mapper sourceMapper
	cache  *rtpcache.Ring
	keys   keyRequests
	key    keyFrame // the last one
	// admitted counts the packets given to the feeds, so that a feed that has read
	// them from the cache recognises those.
	admitted uint64
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
	kind := opts.Kind
	s := &Source{kind: kind, keys: keyRequests{limits: &cameraKeyLimits}}
	if opts.Screen {
		s.keys.limits = &screenKeyLimits
	}
	s.feeds.Store(&[]*Feed{})
	if kind == webrtc.RTPCodecTypeVideo {
		s.cache = rtpcache.New(videoCacheSlots, maxPayload)
	} else {
		s.cache = rtpcache.New(audioCacheSlots, maxAudioPayload)
	}
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
	switch {
	case u == nil:
		s.release(s.next)
		s.release(s.active)
		s.active, s.next = nil, nil
		s.keys.passed() // nobody is there who could send one
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
		if s.kind == webrtc.RTPCodecTypeVideo {
			s.keys = keyRequests{limits: s.keys.limits} // the limits are those of one publisher's encoder
			s.keys.request(monotonic())
		}
	}
	s.mu.Unlock()
	if u != nil {
		u.port.poke()
	}
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
	}
	if s.next == u {
		s.next = nil
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
	s.mu.Lock()
	s.keys.request(monotonic())
	target := s.keyFrameTarget()
	s.mu.Unlock()
	if target != nil {
		target.port.poke()
	}
}

// keyFrameTarget is the upstream that is to send the next key frame. s.mu is
// held.
func (s *Source) keyFrameTarget() *Upstream {
	if s.next != nil {
		return s.next
	}
	return s.active
}

// pollKeyFrame tells the reporter of u's port whether to send a picture loss
// indication now, and when to ask again (0: not before a poke).
func (s *Source) pollKeyFrame(u *Upstream, now int64) (send bool, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keyFrameTarget() != u {
		return false, 0
	}
	return s.keys.poll(now)
}

// LastPacket is when the last packet was forwarded; the zero time before the
// first one.
func (s *Source) LastPacket() time.Time { return at(s.lastPacket.Load()) }

// Stats reads the source's counters.
func (s *Source) Stats() SourceStats {
	c := &s.counters
	return SourceStats{
		Packets: c.packets.Load(), Bytes: c.bytes.Load(), KeyFrames: c.keyFrames.Load(),
		Duplicates: c.duplicates.Load(), Padding: c.padding.Load(),
		NotCarrier: c.notCarrier.Load(), Switches: c.switches.Load(),
	}
}

// outgoing is a packet of a source on its way to the feeds. Its slices are valid
// only during the delivery.
type outgoing struct {
	sequence  uint64 // in the numbers of the source
	timestamp uint32 // likewise
	marker    bool
	key       bool   // the first packet of a key frame
	late      bool   // older than the last one
	serial    uint64 // counts the packets of the source
	format    *format
	payload   []byte // empty: a number that was kept free turned out to be padding
	level     []byte // audio level (RFC 6464), or nil
	arrival   int64
}

// deliver takes a packet from one of the source's upstreams, on the goroutine of
// that upstream's SRTP session, and writes it to all feeds.
func (s *Source) deliver(u *Upstream, f *format, in *packet, now int64) {
	key := f.startsKeyFrame != nil && f.startsKeyFrame(in.payload)
	if !s.admit(u, f, in, key, now) {
		return
	}
	u.out.level = in.headerExtension(u.audioLevel)
	// What was admitted here is in order of arrival, repaired and without
	// duplicates: the place for whoever wants to have a copy.
	awaitingKey := false
	for _, feed := range *s.feeds.Load() {
		if feed.forward(s, &u.out, &u.header) {
			awaitingKey = true
		}
	}
	if awaitingKey {
		s.mu.Lock()
		asked := s.keys.expect(now)
		s.mu.Unlock()
		if asked {
			u.port.poke()
		}
	}
}

// admit decides whether a packet is forwarded, stores it and fills u.out.
func (s *Source) admit(u *Upstream, f *format, in *packet, key bool, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	clockRate := f.codec.ClockRate
	if s.active != u {
		takesOver := s.next == u && len(in.payload) > 0 && (key || s.kind == webrtc.RTPCodecTypeAudio || s.active == nil)
		if !takesOver {
			s.counters.notCarrier.Add(1)
			if s.next == u && s.keys.expect(now) {
				u.port.poke()
			}
			return false
		}
		s.release(s.active)
		s.active, s.next = u, nil
		s.key = keyFrame{}
		s.mapper.anchor(in.sequence, in.timestamp, clockRate, now)
		s.counters.switches.Add(1)
	}
	m := s.mapper.translate(in.sequence, in.timestamp, len(in.payload) == 0, clockRate, now)
	if !m.ok {
		s.counters.padding.Add(1)
		return false
	}
	if m.late && s.cache.Seen(m.sequence) {
		s.counters.duplicates.Add(1)
		return false
	}
	s.cache.Put(m.sequence, rtpcache.Info{Timestamp: m.timestamp, Marker: in.marker}, in.payload)
	if s.key.format != nil && s.key.format != f {
		s.key = keyFrame{}
	}
	if key && !m.late {
		s.keys.passed()
		s.key = keyFrame{format: f, sequence: m.sequence, arrival: now}
		s.counters.keyFrames.Add(1)
	}
	s.admitted++
	s.counters.packets.Add(1)
	s.counters.bytes.Add(uint64(len(in.payload)))
	s.lastPacket.Store(now)
	u.out = outgoing{
		sequence: m.sequence, timestamp: m.timestamp, marker: in.marker, key: key, late: m.late,
		serial: s.admitted, format: f, payload: in.payload, arrival: now,
	}
	return true
}

// cached copies a stored packet to dst.
func (s *Source) cached(sequence uint64, dst []byte) (rtpcache.Info, int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache.Get(sequence, dst)
}

// lastReport is the carrier's last sender report in the source's timeline: the
// server's time and the source's RTP timestamp of the same instant.
func (s *Source) lastReport() (r senderReport, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil {
		return senderReport{}, false
	}
	s.active.mu.Lock()
	r = s.active.report
	s.active.mu.Unlock()
	r.timestamp += s.mapper.tsOffset
	return r, r.received
}

// reported tells the feeds of a new sender report of u.
func (s *Source) reported(u *Upstream) {
	if s.Carrier() != u {
		return
	}
	for _, feed := range *s.feeds.Load() {
		feed.reportDue()
	}
}

// attach and detach are called by Feed.SetSource.
func (s *Source) attach(f *Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	feeds := append(slices.Clone(*s.feeds.Load()), f)
	s.feeds.Store(&feeds)
}

func (s *Source) detach(f *Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	feeds := slices.DeleteFunc(slices.Clone(*s.feeds.Load()), func(other *Feed) bool { return other == f })
	s.feeds.Store(&feeds)
}
