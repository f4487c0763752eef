package media

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"skillsage/network/traffic"
)

// feedGap is how long no packet has to pass to be counted.
const feedGap = int64(500e6)

// Feed is one RTP stream that a Port sends: the webrtc.TrackLocal of one sender,
// for as long as that exists. What it sends, a Source, may change at any time;
// SSRC, sequence numbers and timestamps go on without a break. Payload types,
// SSRCs and header extension ids are those that this viewer has negotiated. Safe
// for concurrent use.
//
// What each packet touches stands together in the middle.
type Feed struct {
	moveMu sync.Mutex // serialises SetSource

	counters struct {
		writeErrors, unsupported, awaitingKey                             atomic.Uint64
		replays, layerSwitches, keyFrames, gaps, redundant                atomic.Uint64
		longestGap                                                        atomic.Int64
		nacked, retransmitted, resentBytes, nackMissed, nackLimited, plis atomic.Uint64
		repeated                                                          atomic.Uint64
		reportedLoss, reportedTotal, reportedJitter, rtt, reportsPending  atomic.Int64
		lossAverage                                                       atomic.Int64 // of reportedLoss, in 1/65536
	}

	// Static.
	port *Port
	kind webrtc.RTPCodecType

	replayDue atomic.Bool   // the port's reporter is to call sendReplay
	target    atomic.Uint32 // a packed Target
	ssrc      atomic.Uint32 // 0 until bound

	mu        sync.Mutex // guards the rest
	connected bool
	running   bool // packets of source are being forwarded
	// While replaying the port's reporter sends what the source has cached, and
	// what is delivered is left to it.
	replaying bool
	settled   uint64 // packets up to this one of the source were the reporter's
	source    *Source
	layer     *layer            // packets of this one are being forwarded
	format    *format           // of the packets of source, for which payload stands
	sequence  sequenceUnwrapper // numbers sent
	sentAt    int64             // when the last one was; 0: never
	captured  int64             // when its picture was taken, as outgoing.capture
	packets   uint64            // sent, retransmissions apart
	bytes     uint64            // of their payloads
	timestamp uint32            // the last one sent
	delay     uint32            // value of the playout delay that the viewer's own losses ask for; 0: none
	bound     bindingParameters
	payload   negotiatedFormat
	picture   picture
	resends   resendLimiter
	segments  segments // of source; the last one is being sent while running

	streamID string
	trackID  string
	refused  *format // the last one that the viewer cannot take
	cursor   uint64  // the source's number that a replay sends next

	wanted   *layer // the layer that is to be sent: by wantedBy (a packed Target),
	wantedBy uint32 // in that generation of the source
	wantedIn uint32

	repairs     repairWait    // of the viewer's own losses
	rtxIndex    uint64        // as outgoingHeader.index, of the next retransmission
	reports     [4]sentReport // the last sender reports, for the round trip time
	reportIndex int
	reported    uint32 // the highest number that the viewer has reported, with its cycles; 0: none yet
}

// bindingParameters is what Pion negotiated for the sender.
type bindingParameters struct {
	id      string
	formats []negotiatedFormat

	writer     webrtc.TrackLocalWriter // nil: not bound
	ssrc       uint32
	rtxSSRC    uint32 // 0: none
	audioLevel uint8  // ids of header extensions; 0: not negotiated
	transport  uint8  // the transport-wide sequence number
	delay      uint8  // the playout delay
}

// negotiatedFormat is a payload format that the viewer takes.
type negotiatedFormat struct {
	number uint8 // payload type
	rtx    uint8 // payload type of its retransmissions
	hasRTX bool
	red    uint8 // payload type of Opus with copies of earlier packets (RFC 2198)
	hasRED bool
	codec  webrtc.RTPCodecParameters
}

var _ webrtc.TrackLocal = (*Feed)(nil)

// ID is the track id in the viewer's msid.
func (f *Feed) ID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trackID
}

// StreamID is the stream id in the viewer's msid.
func (f *Feed) StreamID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streamID
}

// SetMSID changes the stream and track id. The viewer learns of it with the
// next description.
func (f *Feed) SetMSID(streamID, trackID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streamID, f.trackID = streamID, trackID
}

// RID is empty: a feed is never a simulcast layer.
func (f *Feed) RID() string { return "" }

// Kind is audio or video.
func (f *Feed) Kind() webrtc.RTPCodecType { return f.kind }

// traffic is what the feed's packets are on their way, those that are sent again apart.
func (f *Feed) traffic() traffic.Kind {
	if f.kind == webrtc.RTPCodecTypeAudio {
		return traffic.Audio
	}
	return traffic.Video
}

// SSRC is the synchronization source that the viewer sees; 0 until the sender
// has been negotiated.
func (f *Feed) SSRC() uint32 { return f.ssrc.Load() }

// Source is what the feed sends, or nil.
func (f *Feed) Source() *Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.source
}

// Sending reports whether packets of the present source are being forwarded: it
// is false until the first one and, for video, until a key frame.
func (f *Feed) Sending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// SetSource chooses what the feed sends from now on; nil: nothing. Video begins
// with a key frame, which is asked for. A source of the other kind is taken for
// nil.
func (f *Feed) SetSource(s *Source) {
	if s != nil && s.kind != f.kind {
		s = nil
	}
	f.moveMu.Lock()
	defer f.moveMu.Unlock()
	f.mu.Lock()
	old := f.source
	if old != s {
		f.source, f.settled = s, 0
		f.layer, f.wanted = nil, nil
		f.stop()
		f.segments.clear()
	}
	wanted := f.ready()
	f.mu.Unlock()
	if old == s {
		return
	}
	if old != nil {
		old.detach(f)
	}
	if s != nil {
		s.attach(f)
		if wanted {
			f.beginWith(s)
		}
	}
}

// beginWith makes the feed send a source's last key frame, or asks for a new one.
func (f *Feed) beginWith(s *Source) {
	if !s.replay(f, monotonic()) {
		s.RequestKeyFrame()
	}
}

// start and stop change whether packets are forwarded. f.mu is held.
func (f *Feed) start() {
	f.running, f.replaying = true, false
	f.counters.reportsPending.Store(1)
}

func (f *Feed) stop() { f.running, f.replaying = false, false }

// ready reports whether the feed can send. f.mu is held.
func (f *Feed) ready() bool { return f.connected && f.bound.writer != nil }

func (f *Feed) setConnected(connected bool) {
	f.mu.Lock()
	f.connected = connected
	f.stop()
	source, ready := f.source, f.ready()
	f.mu.Unlock()
	if ready && source != nil {
		f.beginWith(source)
	}
}

// Bind is called by Pion when the sender has been negotiated. It fails if the
// viewer takes no codec of the feed's kind.
func (f *Feed) Bind(context webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	b := bindingParameters{
		id:      context.ID(),
		writer:  context.WriteStream(),
		ssrc:    uint32(context.SSRC()),
		rtxSSRC: uint32(context.SSRCRetransmission()),
		formats: negotiatedFormats(context.CodecParameters()),
	}
	for _, extension := range context.HeaderExtensions() {
		if strings.EqualFold(extension.URI, audioLevelURI) && extension.ID < extensionOneByteLimit && f.kind == webrtc.RTPCodecTypeAudio {
			b.audioLevel = uint8(extension.ID)
		}
		if extension.URI == sdp.TransportCCURI && extension.ID < extensionOneByteLimit {
			b.transport = uint8(extension.ID)
		}
		if extension.URI == playoutDelayURI && extension.ID < extensionOneByteLimit && f.kind == webrtc.RTPCodecTypeVideo {
			b.delay = uint8(extension.ID)
		}
	}
	if len(b.formats) == 0 {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}

	chosen := b.formats[0].codec
	f.mu.Lock()
	source := f.source
	f.mu.Unlock()
	if source != nil {
		if carrier := source.Carrier(); carrier != nil {
			if match := matchFormat(b.formats, carrier.Codec().RTPCodecCapability); match != nil {
				chosen = match.codec
			}
		}
	}

	f.mu.Lock()
	f.bound = b
	if b.transport != 0 {
		f.port.numberPackets()
	}
	f.ssrc.Store(b.ssrc)
	f.format, f.refused = nil, nil
	f.stop()
	source, ready := f.source, f.ready()
	f.mu.Unlock()
	f.port.log.Debug("feed bound", "kind", f.kind.String(), "ssrc", b.ssrc, "codec", chosen.MimeType)
	if ready && source != nil {
		f.beginWith(source)
	}
	return chosen, nil
}

// Unbind is called by Pion when the sender is stopped.
func (f *Feed) Unbind(context webrtc.TrackLocalContext) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bound.id != context.ID() {
		return webrtc.ErrUnbindFailed
	}
	f.bound = bindingParameters{}
	f.ssrc.Store(0)
	f.format, f.refused = nil, nil
	f.stop()
	return nil
}

func negotiatedFormats(codecs []webrtc.RTPCodecParameters) []negotiatedFormat {
	var formats []negotiatedFormat
	for _, codec := range codecs {
		if isRTX(codec.RTPCodecCapability) || isRED(codec.RTPCodecCapability) {
			continue
		}
		n := negotiatedFormat{number: uint8(codec.PayloadType), codec: codec}
		for _, other := range codecs {
			if apt, ok := associatedPayloadType(other.RTPCodecCapability); ok && apt == codec.PayloadType {
				n.rtx, n.hasRTX = uint8(other.PayloadType), true
			}
			if isRED(other.RTPCodecCapability) && strings.EqualFold(codec.MimeType, webrtc.MimeTypeOpus) {
				n.red, n.hasRED = uint8(other.PayloadType), true
			}
		}
		formats = append(formats, n)
	}
	return formats
}

func matchFormat(formats []negotiatedFormat, codec webrtc.RTPCodecCapability) *negotiatedFormat {
	i := slices.IndexFunc(formats, func(n negotiatedFormat) bool {
		return sameFormat(n.codec.RTPCodecCapability, codec)
	})
	if i < 0 {
		return nil
	}
	return &formats[i]
}

// forward writes a packet of a layer of the source to the viewer, on the
// goroutine that delivers it. It reports whether the feed waits for a key frame
// of this layer.
func (f *Feed) forward(l *layer, w *passage) (awaitingKey bool) {
	out, header := &w.out, &w.header
	f.mu.Lock()
	if f.source != l.source || !f.ready() || f.replaying || out.serial <= f.settled {
		f.mu.Unlock()
		return false
	}
	if f.format != out.format && !f.adopt(out.format) {
		f.stop()
		f.mu.Unlock()
		f.counters.unsupported.Add(1)
		return false
	}
	var segment *segment
	var sequence uint64
	if out.late {
		if f.running {
			segment, sequence = f.segments.ofSource(l, out.sequence)
		}
		if segment == nil {
			f.mu.Unlock()
			return false
		}
	} else {
		since := f.sentAt // 0: there is no gap
		if !f.running {
			since = 0
		}
		if !f.running || f.layer != l || out.restarts || f.target.Load()&targetPaused != 0 {
			if begun, waits := f.consider(l, out); !begun {
				if !f.running && waits {
					f.counters.awaitingKey.Add(1)
				}
				f.mu.Unlock()
				return waits
			}
		}
		if out.frame.layered || out.frame.continues && f.picture.started {
			begins := !f.picture.started || f.picture.timestamp != out.timestamp
			if !f.passes(out) {
				f.leaveOut(out, begins)
				f.mu.Unlock()
				return false
			}
		}
		segment = f.segments.last()
		sequence = segment.from + out.sequence - segment.first
		if since != 0 && out.arrival-since > feedGap {
			f.noteGap(l, out.arrival-since)
		}
		if out.key {
			f.counters.keyFrames.Add(1)
		}
	}
	f.sequence.saw(sequence)
	*header = outgoingHeader{
		marker: out.marker, payloadType: f.payload.number, index: rolled(sequence), ssrc: f.bound.ssrc,
		timestamp:   segment.timestamp(out.sequence, out.timestamp),
		transportID: f.transportID(),
	}
	if out.late {
		f.resends.sentLate(sequence, out.arrival)
	} else {
		f.resends.forwarded()
		f.timestamp, f.sentAt, f.captured = header.timestamp, out.arrival, out.capture
		f.sentPicture(segment, &out.frame)
	}
	payload := out.payload
	if out.late && f.leftOut(out, segment) {
		payload, header.transportID = nil, 0 // its number was kept free, and may have been asked for
	}
	changed := len(payload) > 0 && segment.rewrites(&out.frame)
	pictures, bases := segment.pictures, segment.bases
	if f.bound.audioLevel != 0 && len(out.level) == 1 {
		header.levelID, header.level = f.bound.audioLevel, out.level[0]
	}
	if wait := max(out.delay, f.delay); f.bound.delay != 0 && wait != 0 && len(payload) > 0 && f.usesRTX() { // the longer one is the bigger number
		header.delayID, header.delay = f.bound.delay, wait
	}
	writer := f.bound.writer
	if f.payload.hasRED && out.red.payload != nil {
		payload = out.red.named(header.payloadType)
		header.payloadType = f.payload.red
		f.counters.redundant.Add(1)
	}
	f.packets++
	f.bytes += uint64(len(payload))
	f.mu.Unlock()

	if changed { // in place: the payload is copied by the encryption, then the next feed's turn
		out.frame.rewrite(payload, out.frame.pictureID-pictures, out.frame.base-bases)
	}
	f.write(w, writer, payload, out.arrival)
	if changed {
		out.frame.rewrite(payload, out.frame.pictureID, out.frame.base)
	}
	return false
}

// usesRTX reports whether packets that are sent again go out in a stream of their own (RFC 4588). Where they do not,
// the same packet is encrypted with the same nonce again, and must not differ in anything (RFC 3711 section 9.1): it has
// no extension whose value does. f.mu is held.
func (f *Feed) usesRTX() bool { return f.payload.hasRTX && f.bound.rtxSSRC != 0 }

// transportID is the id of the transport-wide sequence number, 0 where packets do not have one. f.mu is held.
func (f *Feed) transportID() uint8 {
	if f.kind == webrtc.RTPCodecTypeVideo && !f.usesRTX() {
		return 0
	}
	return f.bound.transport
}

// write sends a packet. One without a payload stands for a number that turned
// out to be padding.
func (f *Feed) write(w *passage, writer webrtc.TrackLocalWriter, payload []byte, now int64) {
	if err := f.port.writeRTP(w, writer, payload, f.traffic(), now); err != nil {
		f.counters.writeErrors.Add(1)
	}
}

// adopt looks up what the viewer calls the format that the source has from now
// on. f.mu is held.
func (f *Feed) adopt(to *format) bool {
	if f.refused == to {
		return false
	}
	match := matchFormat(f.bound.formats, to.codec.RTPCodecCapability)
	if match == nil {
		f.format, f.refused = nil, to
		return false
	}
	f.format, f.refused, f.payload = to, nil, *match
	f.stop() // another codec begins with a key frame
	return true
}

// noteGap counts a time in which the viewer's picture stood still. That of a
// screen may do so. f.mu is held.
func (f *Feed) noteGap(l *layer, gap int64) {
	if f.kind != webrtc.RTPCodecTypeVideo || l.source.limits == &screenKeyLimits {
		return
	}
	f.counters.gaps.Add(1)
	f.counters.longestGap.Store(max(f.counters.longestGap.Load(), gap))
}

// consider decides what to do with a packet of a layer that the feed does not
// send: begun tells that it does from now on, waits that it would like to, but
// this is no key frame. f.mu is held.
func (f *Feed) consider(l *layer, out *outgoing) (begun, waits bool) {
	if f.target.Load()&targetPaused != 0 {
		f.stop()
		return false, false
	}
	wanted := f.wants(l.source)
	if len(out.payload) == 0 || f.kind == webrtc.RTPCodecTypeVideo && !out.key {
		return false, l == wanted && f.kind == webrtc.RTPCodecTypeVideo
	}
	if !f.accepts(l, wanted) {
		return false, false
	}
	f.begin(l, out)
	return true, false
}

// begin goes on with a packet of a layer. f.mu is held.
func (f *Feed) begin(l *layer, out *outgoing) {
	next := f.timestamp
	if f.sentAt != 0 {
		elapsed := elapsedTicks(out.arrival-f.sentAt, out.format.codec.ClockRate)
		if f.running && f.captured != 0 && out.capture != 0 {
			elapsed = capturedTicks(out.capture-f.captured, elapsed, out.format.codec.ClockRate)
		}
		next += elapsed
	}
	if f.running && f.layer != l {
		f.counters.layerSwitches.Add(1)
	}
	f.layer = l
	s := segment{
		layer: l, from: f.sequence.highest + 1, first: out.sequence, tsOffset: next - out.timestamp,
		describe: out.format.describe, limit: limitOf(f.target.Load()),
	}
	f.follow(&s, &out.frame)
	f.picture.limit = s.limit
	f.push(s)
	f.start()
	f.port.poke(taskSenderReport)
}

// capturedTicks is the time between two pictures of different layers by their
// sender reports, unless those are far from what their arrival says; at least
// one.
func capturedTicks(ns int64, elapsed, clockRate uint32) uint32 {
	ticks := ns / 1000 * int64(clockRate) / 1_000_000
	if apart := ticks - int64(elapsed); apart > int64(clockRate) || apart < -int64(clockRate) {
		return elapsed
	}
	return uint32(max(1, ticks))
}

// sent is how many packets were sent, retransmissions apart, and how many bytes of payload.
func (f *Feed) sent() (packets, bytes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.packets, f.bytes
}

// Stats reads the feed's counters.
func (f *Feed) Stats() FeedStats {
	c := &f.counters
	packets, bytes := f.sent()
	return FeedStats{
		Packets: packets, Bytes: bytes, Redundant: c.redundant.Load(), WriteErrors: c.writeErrors.Load(),
		Unsupported: c.unsupported.Load(), AwaitingKey: c.awaitingKey.Load(), Replays: c.replays.Load(), LayerSwitches: c.layerSwitches.Load(), KeyFrames: c.keyFrames.Load(),
		Gaps: c.gaps.Load(), LongestGap: time.Duration(c.longestGap.Load()),
		NACKed: c.nacked.Load(), Retransmitted: c.retransmitted.Load(), Repeated: c.repeated.Load(),
		NACKMissed: c.nackMissed.Load(), NACKLimited: c.nackLimited.Load(), PLIs: c.plis.Load(),
		FractionLost: uint8(c.reportedLoss.Load()), TotalLost: uint32(c.reportedTotal.Load()),
		Jitter: time.Duration(c.reportedJitter.Load()), RTT: time.Duration(c.rtt.Load()),
	}
}
