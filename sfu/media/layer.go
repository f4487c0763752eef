package media

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/rtpcache"
)

const (
	maxLayers      = 3          // simulcast layers of a source; further ones are dropped
	maxTemporal    = 4          // temporal layers of each
	layerSilence   = int64(2e9) // without packets, after which a layer is not active
	surveyInterval = int64(200e6)
	rateSamples    = 5 // of surveyInterval each, over which bitrates are measured
)

// LayerInfo is what has been measured of one layer of a Source.
type LayerInfo struct {
	Spatial  int8 // 0 is the smallest picture
	Temporal int8 // 0 is the lowest frame rate
	// Bitrate of this spatial layer up to this temporal layer, over about the last
	// second, in bit/s of RTP packets without header extensions.
	Bitrate uint64
	Active  bool // packets came within the last two seconds
	Width   int  // of the picture; 0: not known
	Height  int
}

// layer is one simulcast layer of a source: a stream of its own with a mapper, a
// ring and key frames. A source without simulcast has one.
type layer struct {
	// Static.
	source *Source
	index  int // of the carrier's stream that fills it

	rank      atomic.Int32 // its place in the order of sizes, 0 is the smallest
	active    atomic.Bool
	temporals atomic.Int32 // the highest temporal layer seen

	// Guarded by the source's mutex. What each packet touches stands first.
	live          bool // packets of the present carrier are being forwarded
	used          bool // packets of any carrier were
	cache         *rtpcache.Ring
	lastPacket    int64
	temporal      int      // temporal layer of the last packet
	key           keyFrame // the last one
	mapper        sourceMapper
	rates         rateMeter
	keys          keyRequests
	width, height int
}

func newLayer(s *Source, index int) *layer {
	l := &layer{source: s, index: index, keys: keyRequests{limits: s.limits}}
	l.rank.Store(int32(index))
	if s.kind == webrtc.RTPCodecTypeVideo {
		l.cache = rtpcache.New(videoCacheSlots, maxPayload)
	} else {
		l.cache = rtpcache.New(audioCacheSlots, maxAudioPayload)
	}
	return l
}

// cached copies a stored packet to dst.
func (l *layer) cached(sequence uint64, dst []byte) (rtpcache.Info, int, bool) {
	l.source.mu.Lock()
	defer l.source.mu.Unlock()
	return l.cache.Get(sequence, dst)
}

// bigger reports whether l shows clearly more than other. The source's mutex is
// held.
func (l *layer) bigger(other *layer) bool {
	if l.height > 0 && other.height > 0 {
		return l.width*l.height > other.width*other.height
	}
	return l.active.Load() && other.active.Load() && 2*l.rates.upTo(maxTemporal-1) > 3*other.rates.upTo(maxTemporal-1)
}

// rateMeter measures the bitrate of each temporal layer.
type rateMeter struct {
	bytes   [maxTemporal]uint64 // received ever
	samples [rateSamples]struct {
		at    int64
		bytes [maxTemporal]uint64
	}
	next  int                 // sample to be overwritten: the oldest
	rates [maxTemporal]uint64 // bit/s
}

func (r *rateMeter) packet(temporal, bytes int) {
	r.bytes[temporal] += uint64(bytes)
}

// sample measures the time since the oldest sample, if that is long enough.
func (r *rateMeter) sample(now int64) {
	oldest := &r.samples[r.next]
	since := oldest
	if oldest.at == 0 { // it has just begun
		since = &r.samples[0]
	}
	if span := now - since.at; since.at != 0 && span >= 2*surveyInterval {
		for i := range r.rates {
			r.rates[i] = (r.bytes[i] - since.bytes[i]) * 8_000_000 / uint64(span/1000)
		}
	}
	oldest.at, oldest.bytes = now, r.bytes
	r.next = (r.next + 1) % rateSamples
}

// upTo is the bitrate of a temporal layer and those below.
func (r *rateMeter) upTo(temporal int) (rate uint64) {
	for _, one := range r.rates[:temporal+1] {
		rate += one
	}
	return rate
}

// survey measures the layers, each surveyInterval and when one of them shows
// something new, and makes the feeds choose anew when another one is active or in
// another place. s.mu is held.
func (s *Source) survey(now int64) {
	s.surveyed = now
	changed := false
	for _, l := range s.order {
		l.rates.sample(now)
		active := l.live && now-l.lastPacket < layerSilence
		if l.active.Swap(active) != active {
			changed = true
		}
	}
	for range s.order { // of which there are at most maxLayers
		for i := range s.order[1:] {
			if s.order[i].bigger(s.order[i+1]) {
				s.order[i], s.order[i+1] = s.order[i+1], s.order[i]
				changed = true
			}
		}
	}
	if s.active != nil && s.kind == webrtc.RTPCodecTypeVideo {
		s.repairs.look(s.active.lost(), s.active.port.rtt.Load(), now)
		for _, stream := range *s.active.streams.Load() {
			stream.mu.Lock()
			stream.missing.lossy = s.repairs.wait > 0
			stream.missing.keep = s.taps.Load().longestWait()
			stream.mu.Unlock()
		}
	}
	if changed {
		for i, l := range s.order {
			l.rank.Store(int32(i))
		}
		s.generation.Add(1)
	}
}

// Layers appends what has been measured of the source's layers, from the
// smallest on: one entry for each spatial and temporal layer that has been seen.
// The numbers of spatial layers change when a layer turns out to be bigger than
// was thought.
func (s *Source) Layers(dst []LayerInfo) []LayerInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := monotonic(); now-s.surveyed >= surveyInterval {
		s.survey(now)
	}
	for i, l := range s.order {
		if !l.used {
			continue
		}
		for temporal := range l.temporals.Load() + 1 {
			dst = append(dst, LayerInfo{
				Spatial: int8(i), Temporal: int8(temporal), Bitrate: l.rates.upTo(int(temporal)),
				Active: l.active.Load(), Width: l.width, Height: l.height,
			})
		}
	}
	return dst
}

// ensureLayers makes a layer for each stream that an upstream has. s.mu is held.
func (s *Source) ensureLayers(u *Upstream) {
	layers := *s.layers.Load()
	wanted := len(*u.streams.Load())
	if len(layers) >= wanted {
		return
	}
	layers = slices.Clone(layers)
	for len(layers) < wanted {
		l := newLayer(s, len(layers))
		layers = append(layers, l)
		s.order = append(s.order, l)
		l.rank.Store(int32(len(s.order) - 1))
	}
	s.layers.Store(&layers)
	s.generation.Add(1)
}

// joined tells the source that its carrier has got another stream.
func (s *Source) joined(u *Upstream, index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == u || s.next == u {
		s.ensureLayers(u)
		(*s.layers.Load())[index].keys.request(monotonic())
		s.pokeTarget()
	}
}

// LastPacket is when the last packet was forwarded; the zero time before the
// first one.
func (s *Source) LastPacket() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return at(s.lastPacket)
}
