package media

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Upstream is a track of the remote peer that a Port receives: one RTP stream or,
// with simulcast (RFC 8853), one for each layer. It forwards nothing by itself; a
// Source takes it as its carrier. It ends when its receiver is stopped or its
// peer connection is closed.
//
// Each stream is an Upstream inside this package; the first one of a track, its
// group, stands for all of them outside.
type Upstream struct {
	// Static.
	port       *Port
	group      *Upstream
	index      int // of the stream in its group
	track      trackRemote
	kind       webrtc.RTPCodecType
	ssrc       uint32
	mid        string
	streamID   string
	formats    [128]*format // by payload type
	associated [128]uint8   // payload type of what a retransmission format repeats; 0: none

	done    chan struct{}
	endOnce sync.Once

	retransmissionsBound atomic.Bool                 // written under port.mu
	streams              atomic.Pointer[[]*Upstream] // of a group, by index; copied on write under port.mu
	counters             struct {
		repaired, redundant, probes, malformed, unassigned, lost, nacked, givenUp, plis atomic.Uint64
	}
	source      atomic.Pointer[Source] // of a group; written under Source.mu of either source
	format      atomic.Pointer[format] // of the last packet
	transportCC uint8                  // ids of header extensions, static; 0: not negotiated
	audioLevel  uint8

	// What the last packet was. Guarded by port.inMu.
	recentType uint8
	recent     *format // of that type; nil: none was looked up yet
	fills      *layer  // of the source; nil: none was looked up yet

	mu         sync.Mutex // guards the rest
	packets    uint64
	bytes      uint64 // of their payloads
	lastPacket int64  // when the last one with a payload came; 0: none has
	receive    receiveStats
	missing    missingPackets
	report     senderReport // the last one received
	rate       rateMeasure
}

// trackRemote is what is needed of a *webrtc.TrackRemote.
type trackRemote interface {
	Kind() webrtc.RTPCodecType
	SSRC() webrtc.SSRC
	RtxSSRC() webrtc.SSRC
	StreamID() string
	ID() string
	RID() string
}

// format is one negotiated payload format. Immutable.
type format struct {
	describe  func(payload []byte) frame // nil for audio
	clockRate uint32                     // of codec
	red       bool                       // RFC 2198: other formats are inside
	codec     webrtc.RTPCodecParameters
}

func newFormat(codec webrtc.RTPCodecParameters) *format {
	return &format{describe: frameDescriber(codec.MimeType), clockRate: codec.ClockRate, red: isRED(codec.RTPCodecCapability), codec: codec}
}

func newUpstream(p *Port, track trackRemote, mid string, parameters webrtc.RTPParameters) *Upstream {
	u := &Upstream{
		port:     p,
		track:    track,
		kind:     track.Kind(),
		ssrc:     uint32(track.SSRC()),
		streamID: track.StreamID(),
		mid:      mid,
		done:     make(chan struct{}),
	}
	u.group = u
	u.streams.Store(&[]*Upstream{u})
	for _, codec := range parameters.Codecs {
		if apt, ok := associatedPayloadType(codec.RTPCodecCapability); ok {
			u.associated[codec.PayloadType&0x7f] = uint8(apt)
			continue
		}
		f := newFormat(codec)
		u.formats[codec.PayloadType&0x7f] = f
		if u.format.Load() == nil && !f.red {
			u.format.Store(f)
		}
	}
	for _, extension := range parameters.HeaderExtensions {
		switch {
		case strings.EqualFold(extension.URI, sdp.TransportCCURI):
			u.transportCC = uint8(extension.ID)
		case strings.EqualFold(extension.URI, audioLevelURI) && u.kind == webrtc.RTPCodecTypeAudio:
			u.audioLevel = uint8(extension.ID)
		}
	}
	u.receive.clockRate = u.clockRate()
	u.missing.enabled = u.kind == webrtc.RTPCodecTypeVideo
	return u
}

// Kind is audio or video.
func (u *Upstream) Kind() webrtc.RTPCodecType { return u.kind }

// SSRC is the synchronization source of the stream; of the first one with
// simulcast.
func (u *Upstream) SSRC() uint32 { return u.ssrc }

// MID is the identification tag of the stream's m-line (RFC 8843).
func (u *Upstream) MID() string { return u.mid }

// StreamID is the id of the media stream that the remote peer announced.
func (u *Upstream) StreamID() string { return u.streamID }

// TrackID is the id of the track that the remote peer announced. Firefox
// announces the same track under another id on each connection.
func (u *Upstream) TrackID() string { return u.track.ID() }

// Codec is the format of the last packet; before the first one, the format that
// was negotiated first; the zero value if there is none.
func (u *Upstream) Codec() webrtc.RTPCodecParameters {
	if f := u.format.Load(); f != nil {
		return f.codec
	}
	return webrtc.RTPCodecParameters{}
}

// LastPacket is when the last packet with a payload arrived on any stream; the
// zero time before the first one.
func (u *Upstream) LastPacket() time.Time {
	last := int64(0)
	for _, stream := range *u.streams.Load() {
		stream.mu.Lock()
		last = max(last, stream.lastPacket)
		stream.mu.Unlock()
	}
	return at(last)
}

// Done is closed when the stream has ended for good: its receiver was stopped,
// or its peer connection or Port closed.
func (u *Upstream) Done() <-chan struct{} { return u.done }

// Stats reads the upstream's counters, the sums over all streams.
func (u *Upstream) Stats() UpstreamStats {
	var sum UpstreamStats
	for _, stream := range *u.streams.Load() {
		stream.addStats(&sum)
	}
	return sum
}

func (u *Upstream) addStats(sum *UpstreamStats) {
	u.mu.Lock()
	sum.Jitter = max(sum.Jitter, u.receive.jitterDuration())
	sum.Expected += u.receive.expected()
	sum.Arrived += u.receive.received
	sum.Packets += u.packets
	sum.Bytes += u.bytes
	u.mu.Unlock()
	c := &u.counters
	sum.Repaired += c.repaired.Load()
	sum.Redundant += c.redundant.Load()
	sum.Probes += c.probes.Load()
	sum.Malformed += c.malformed.Load()
	sum.Unassigned += c.unassigned.Load()
	sum.Lost += c.lost.Load()
	sum.NACKed += c.nacked.Load()
	sum.GivenUp += c.givenUp.Load()
	sum.PLIs += c.plis.Load()
}

// lost is how many packets of all streams were ever found missing.
func (u *Upstream) lost() (sum uint64) {
	for _, stream := range *u.streams.Load() {
		sum += stream.counters.lost.Load()
	}
	return sum
}

// join makes a stream one of a track that is there already, in the place of an
// earlier stream of the same layer if there is one; false: there are too many.
// port.mu is held.
func (u *Upstream) join(group *Upstream) bool {
	u.group = group
	streams := slices.Clone(*group.streams.Load())
	u.index = slices.IndexFunc(streams, func(other *Upstream) bool { return other.track.RID() == u.track.RID() })
	if u.index < 0 {
		if u.index = len(streams); u.index == maxLayers {
			return false
		}
		streams = append(streams, u)
	} else {
		streams[u.index] = u
	}
	u.formats, u.associated = group.formats, group.associated
	group.streams.Store(&streams)
	return true
}

// captured is the publisher's time of a timestamp by the last sender report (ns); 0
// before the first one.
func (u *Upstream) captured(timestamp, clockRate uint32) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.report.received || clockRate == 0 {
		return 0
	}
	return u.report.ntp + int64(int32(timestamp-u.report.timestamp))*1_000_000_000/int64(clockRate)
}

func (u *Upstream) end() { u.endOnce.Do(func() { close(u.done) }) }

func (u *Upstream) clockRate() uint32 {
	if f := u.group.format.Load(); f != nil && f.codec.ClockRate > 0 {
		return f.codec.ClockRate
	}
	return 90000
}

// formatOf is the format of a payload type, or nil. port.inMu is held.
func (u *Upstream) formatOf(payloadType uint8) *format {
	if u.recent == nil || u.recentType != payloadType {
		u.recentType, u.recent = payloadType, u.formats[payloadType]
	}
	return u.recent
}

// received handles a packet. A retransmission is turned into the packet that it
// repeats (RFC 4588 section 4). port.inMu is held.
func (u *Upstream) received(w *passage, retransmission bool, now int64) {
	in := &w.in
	if retransmission {
		if len(in.payload) < 2 {
			u.counters.probes.Add(1)
			return
		}
		in.sequence = uint16(in.payload[0])<<8 | uint16(in.payload[1])
		in.payload = in.payload[2:]
		in.payloadType = u.associated[in.payloadType]
		in.ssrc = u.ssrc
	}
	f, size := u.formatOf(in.payloadType), len(in.payload)
	if f != nil && f.red {
		f = u.unwrapRED(in)
		u.counters.redundant.Add(1)
	}
	if f == nil {
		u.counters.malformed.Add(1)
		return
	}
	if len(in.payload) > 0 && u.group.format.Load() != f {
		u.group.format.Store(f)
	}
	if retransmission {
		u.counters.repaired.Add(1)
	}

	u.mu.Lock()
	u.packets++
	u.bytes += uint64(size)
	if len(in.payload) > 0 {
		u.lastPacket = now
	}
	if !retransmission {
		u.receive.packet(in.sequence, in.timestamp, now)
	}
	found := u.missing.packet(in.sequence, now)
	u.mu.Unlock()
	if found > 0 {
		u.counters.lost.Add(uint64(found))
		if u.kind == webrtc.RTPCodecTypeVideo {
			u.port.poke(taskNACK)
		}
	}

	source := u.group.source.Load()
	if source == nil {
		u.counters.unassigned.Add(1)
		return
	}
	source.deliver(u, f, w, now)
}
