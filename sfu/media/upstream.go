package media

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Upstream is one RTP stream that a Port receives: a track of the remote peer.
// It forwards nothing by itself; a Source takes it as its carrier. It ends when
// its receiver is stopped or its peer connection is closed.
type Upstream struct {
	// Static.
	port        *Port
	track       trackRemote
	kind        webrtc.RTPCodecType
	ssrc        uint32
	mid         string
	streamID    string
	formats     [128]*format // by payload type
	associated  [128]uint8   // payload type of what a retransmission format repeats; 0: none
	transportCC uint8        // ids of header extensions; 0: not negotiated
	audioLevel  uint8

	done    chan struct{}
	endOnce sync.Once

	retransmissionsBound atomic.Bool // written under port.mu

	// Owned by the goroutine of the SRTP session.
	out    outgoing
	header rtp.Header

	source     atomic.Pointer[Source] // written under Source.mu of either source
	format     atomic.Pointer[format] // of the last packet
	lastPacket atomic.Int64
	counters   struct {
		packets, bytes, repaired, probes, malformed, unassigned, lost, nacked, givenUp, plis atomic.Uint64
	}

	mu      sync.Mutex // guards the rest
	receive receiveStats
	missing missingPackets
	report  senderReport // the last one received
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
	codec webrtc.RTPCodecParameters
	// startsKeyFrame reports whether a payload is the first of a key frame; nil
	// for audio.
	startsKeyFrame func(payload []byte) bool
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
	for _, codec := range parameters.Codecs {
		if apt, ok := associatedPayloadType(codec.RTPCodecCapability); ok {
			u.associated[codec.PayloadType&0x7f] = uint8(apt)
			continue
		}
		f := &format{codec: codec, startsKeyFrame: keyFrameDetector(codec.MimeType)}
		u.formats[codec.PayloadType&0x7f] = f
		if u.format.Load() == nil {
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

// SSRC is the synchronization source of the stream.
func (u *Upstream) SSRC() uint32 { return u.ssrc }

// MID is the identification tag of the stream's m-line (RFC 8843).
func (u *Upstream) MID() string { return u.mid }

// StreamID is the id of the media stream that the remote peer announced.
func (u *Upstream) StreamID() string { return u.streamID }

// TrackID is the id of the track that the remote peer announced. Firefox
// announces the same track under another id on each connection.
func (u *Upstream) TrackID() string { return u.track.ID() }

// RID is the simulcast layer (RFC 8851), or "".
func (u *Upstream) RID() string { return u.track.RID() }

// Codec is the format of the last packet; before the first one, the format that
// was negotiated first; the zero value if there is none.
func (u *Upstream) Codec() webrtc.RTPCodecParameters {
	if f := u.format.Load(); f != nil {
		return f.codec
	}
	return webrtc.RTPCodecParameters{}
}

// LastPacket is when the last packet with a payload arrived; the zero time
// before the first one.
func (u *Upstream) LastPacket() time.Time { return at(u.lastPacket.Load()) }

// Done is closed when the stream has ended for good: its receiver was stopped,
// or its peer connection or Port closed.
func (u *Upstream) Done() <-chan struct{} { return u.done }

// Stats reads the upstream's counters.
func (u *Upstream) Stats() UpstreamStats {
	u.mu.Lock()
	jitter := u.receive.jitterDuration()
	u.mu.Unlock()
	c := &u.counters
	return UpstreamStats{
		Packets: c.packets.Load(), Bytes: c.bytes.Load(), Repaired: c.repaired.Load(),
		Probes: c.probes.Load(), Malformed: c.malformed.Load(), Unassigned: c.unassigned.Load(),
		Lost: c.lost.Load(), NACKed: c.nacked.Load(), GivenUp: c.givenUp.Load(),
		PLIs: c.plis.Load(), Jitter: jitter,
	}
}

func (u *Upstream) end() { u.endOnce.Do(func() { close(u.done) }) }

func (u *Upstream) clockRate() uint32 {
	if f := u.format.Load(); f != nil && f.codec.ClockRate > 0 {
		return f.codec.ClockRate
	}
	return 90000
}

// received handles a packet on the goroutine of the SRTP session. A
// retransmission is turned into the packet that it repeats (RFC 4588 section 4).
func (u *Upstream) received(in *packet, retransmission bool, now int64) {
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
	f := u.formats[in.payloadType]
	if f == nil {
		u.counters.malformed.Add(1)
		return
	}
	if len(in.payload) > 0 {
		u.lastPacket.Store(now)
		if u.format.Load() != f {
			u.format.Store(f)
		}
	}
	u.counters.packets.Add(1)
	u.counters.bytes.Add(uint64(len(in.payload)))
	if retransmission {
		u.counters.repaired.Add(1)
	}

	u.mu.Lock()
	if !retransmission {
		u.receive.packet(in.sequence, in.timestamp, now)
	}
	found := u.missing.packet(in.sequence, now)
	u.mu.Unlock()
	if found > 0 {
		u.counters.lost.Add(uint64(found))
		if u.kind == webrtc.RTPCodecTypeVideo {
			u.port.poke()
		}
	}

	source := u.source.Load()
	if source == nil {
		u.counters.unassigned.Add(1)
		return
	}
	source.deliver(u, f, in, now)
}
