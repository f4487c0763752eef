package media

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"skillsage/sfu/bwe"
)

// RTCPWriter sends RTCP packets as one compound; *webrtc.PeerConnection is one.
type RTCPWriter interface {
	WriteRTCP([]rtcp.Packet) error
}

// PortOptions configures a Port.
type PortOptions struct {
	// Logger gets one line per event in the life of a stream; nil: none.
	Logger *slog.Logger
	// OnCheck is called for each authentic connectivity check of the remote peer's, on the ICE agent's goroutine; true
	// makes the pair that it came on the selected one. username is that of the check (RFC 8445 section 7.2.2), which
	// changes when ICE is restarted. Nil: the stack decides alone.
	OnCheck func(username string, remote ice.Candidate, pair *ice.CandidatePair) (selectPair bool)
	// Publisher is who the remote peer is: the same for all connections of one page. Nil: nothing else is known of it.
	Publisher *Publisher
}

// Port is the media side of one peer connection: the upstreams it receives, the
// feeds it sends, and the reports on both. Its methods are
// safe for concurrent use, except where they say otherwise.
type Port struct {
	// Static.
	log  *slog.Logger
	ssrc uint32 // of the RTCP that no feed sends: receiver reports and feedback
	wg   sync.WaitGroup

	publisher *Publisher

	// Static after start.
	rtcp     RTCPWriter
	reporter *reporter // nil before
	slot     int       // in it
	shift    int64     // of the instants at which it sends, see together

	connected atomic.Bool
	upstreams atomic.Pointer[[]*Upstream] // copied on write under mu
	feeds     atomic.Pointer[[]*Feed]     // copied on write under mu
	shared    atomic.Pointer[sharedClock] // of the publisher; written under its mutex; nil: not known yet

	// Together, since each packet touches them.
	direct    atomic.Pointer[direct]        // nil: through the stack
	history   atomic.Pointer[bwe.History]   // of what is sent; nil: no viewer reports on it
	bound     atomic.Pointer[[]boundStream] // written under mu
	twice     uint64                        // packetID of the last one that went through the stack as well; guarded by inMu
	inMu      sync.Mutex                    // held while a packet of the peer is handled
	recent    recentStream                  // guarded by inMu
	twccID    atomic.Uint32                 // negotiated id of the transport-wide sequence number; 0: none
	lastHeard atomic.Int64
	arrivals  arrivals // of the peer's packets
	ahead     ahead

	estimate sendEstimate
	secrets  dtlsSecrets

	mu      sync.Mutex                    // guards the rest up to the next comment
	streams map[uint32]*rtpBuffer         // of the SSRCs that Pion has opened
	indexes map[uint32]*sequenceUnwrapper // of those that upstreams had; at most maxIndexes, with those that they have
	closed  bool
	wire    Wire // nil: none
	decided bool // whether packets go past the stack

	clockMu    sync.Mutex
	clock      ntpOffset // of the publisher at the other end
	reportedAt int64     // when its feeds last reported together

	limitMu sync.Mutex
	limit   receiveLimit // guarded by limitMu, a leaf

	todo atomic.Uint32 // tasks of the reporter

	// Owned by the reporter.
	due        [tasks]int64 // by task
	nextReport int64

	lastWired atomic.Int64
	rtt       atomic.Int64 // ns; 0: unknown
	remb      atomic.Uint64
	counters  struct{ twccFeedback, twccReceived, unbound, undecrypted, rtcpErrors atomic.Uint64 }
}

func newPort(opts PortOptions) *Port {
	p := &Port{
		log:     opts.Logger,
		ssrc:    rand.Uint32(),
		streams: make(map[uint32]*rtpBuffer),
		indexes: make(map[uint32]*sequenceUnwrapper),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.publisher = opts.Publisher; p.publisher == nil {
		p.publisher = new(Publisher)
	}
	p.clock.age = int(clockSettings.Add(1))
	p.upstreams.Store(&[]*Upstream{})
	p.feeds.Store(&[]*Feed{})
	p.bound.Store(&[]boundStream{})
	for i := range p.due {
		p.due[i] = never
	}
	return p
}

// start gives the port a reporter, which works for it until Close.
func (p *Port) start(w RTCPWriter, rs *reporters) {
	p.rtcp = w
	rs.join(p)
}

// Receive makes an Upstream of a track. It is to be called once for each track
// that OnTrack gives; nothing else may read the track or its receiver. OnTrack
// fires when the track is negotiated, which can be long before its first packet.
// With simulcast it fires for each layer when that begins; the later ones join
// the Upstream of the first, which is returned again.
func (p *Port) Receive(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) *Upstream {
	mid := ""
	if transceiver := receiver.RTPTransceiver(); transceiver != nil {
		mid = transceiver.Mid()
	}
	u := newUpstream(p, track, mid, receiver.GetParameters())
	if !p.admit(u) {
		u.end()
		return u.group
	}
	if source := u.group.source.Load(); source != nil {
		source.joined(u.group, u.index)
	}
	p.log.Debug("receiving", "kind", u.kind.String(), "mid", u.mid, "rid", track.RID(), "ssrc", u.ssrc, "codec", u.Codec().MimeType)
	return u.group
}

// groupOf is the upstream that a simulcast layer belongs to, or nil. p.mu is held.
func (p *Port) groupOf(u *Upstream) *Upstream {
	if u.track.RID() == "" {
		return nil
	}
	for _, other := range *p.upstreams.Load() {
		if other.mid != u.mid || other.track.RID() == "" {
			continue
		}
		select {
		case <-other.group.done:
		default:
			return other.group
		}
	}
	return nil
}

// admit connects an upstream with its streams; false: they have been closed.
func (p *Port) admit(u *Upstream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.streams[u.ssrc]
	if p.closed || own == nil {
		return false
	}
	if group := p.groupOf(u); group != nil && !u.join(group) {
		return false
	}
	if u.transportCC != 0 {
		p.twccID.Store(uint32(u.transportCC))
	}
	upstreams := append(slices.Clone(*p.upstreams.Load()), u)
	p.upstreams.Store(&upstreams)
	own.bind(&binding{upstream: u})
	p.bindRetransmissions(u)
	p.listBound()
	p.poke(taskReceiverReport)
	return true
}

// bindRetransmissions connects the retransmission stream of an upstream once
// Pion knows it: at once when the description declares it, after its first
// packet for a simulcast layer. p.mu is held.
func (p *Port) bindRetransmissions(u *Upstream) {
	ssrc := uint32(u.track.RtxSSRC())
	if ssrc == 0 || u.retransmissionsBound.Load() {
		return
	}
	if b := p.streams[ssrc]; b != nil {
		b.bind(&binding{upstream: u, retransmission: true})
		u.retransmissionsBound.Store(true)
		p.listBound()
	}
}

// NewFeed makes a feed to be added to the port's peer connection, where it stays
// for good. Its stream and track id are what the viewer will see as msid.
func (p *Port) NewFeed(kind webrtc.RTPCodecType, streamID, trackID string) *Feed {
	f := &Feed{port: p, kind: kind, streamID: streamID, trackID: trackID, timestamp: rand.Uint32()}
	f.sequence.highest, f.sequence.started = 1<<16|uint64(rand.Uint32N(1<<15)), true
	f.connected = p.connected.Load()
	f.target.Store(HighestTarget.pack())
	p.mu.Lock()
	defer p.mu.Unlock()
	feeds := append(slices.Clone(*p.feeds.Load()), f)
	p.feeds.Store(&feeds)
	return f
}

// SetConnected says whether ICE and DTLS are up. Feeds send only then; when it
// becomes true the sources of video feeds are asked for a key frame.
func (p *Port) SetConnected(connected bool) {
	if connected {
		p.goDirect()
	}
	if p.connected.Swap(connected) == connected {
		return
	}
	for _, f := range *p.feeds.Load() {
		f.setConnected(connected)
	}
	p.poke(allTasks)
}

// Close ends the reports, all upstreams, and takes all feeds from their
// sources. It does not wait and may be called more than once. The peer
// connection is to be closed first, outside of Pion's callbacks.
func (p *Port) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	upstreams, feeds := *p.upstreams.Load(), *p.feeds.Load()
	p.mu.Unlock()
	for _, u := range upstreams {
		u.end()
	}
	for _, f := range feeds {
		f.SetSource(nil)
	}
	p.poke(taskEnd)
}

// Wait returns when nothing works for a closed Port any more.
func (p *Port) Wait() { p.wg.Wait() }

// LastHeard is when anything last came from the remote peer that is encrypted
// with the connection's media keys: RTP of any stream, or RTCP, as exactly as a
// twentieth of a second; the zero time if nothing has yet.
func (p *Port) LastHeard() time.Time { return at(p.lastHeard.Load()) }

// LastWired is when anything last came from where the Wire leads to, past the stack, as exactly as a quarter of a
// second; the zero time if nothing has yet.
func (p *Port) LastWired() time.Time { return at(p.lastWired.Load()) }

// Direct reports whether packets go past the stack.
func (p *Port) Direct() bool { return p.direct.Load() != nil }

// RTT is the round trip time by the remote peer's last report; 0: not known.
func (p *Port) RTT() time.Duration { return time.Duration(p.rtt.Load()) }

// Stats reads the port's counters.
func (p *Port) Stats() PortStats {
	return PortStats{
		RTT:          p.RTT(),
		REMB:         p.remb.Load(),
		TWCCFeedback: p.counters.twccFeedback.Load(),
		TWCCReceived: p.counters.twccReceived.Load(),
		Unbound:      p.counters.unbound.Load(),
		Direct:       p.Direct(),
		Undecrypted:  p.counters.undecrypted.Load(),
		RTCPErrors:   p.counters.rtcpErrors.Load(),
	}
}

// Feeds are the feeds ever made for the port. The slice must not be changed.
func (p *Port) Feeds() []*Feed { return *p.feeds.Load() }

// forget drops a closed buffer and the upstream that it fed.
func (p *Port) forget(b *rtpBuffer) {
	to := b.upstream.Load()
	last := to != nil && !to.retransmission
	p.mu.Lock()
	if p.streams[b.ssrc] == b {
		delete(p.streams, b.ssrc)
		p.listBound()
	}
	if last {
		upstreams := slices.Clone(*p.upstreams.Load())
		upstreams = slices.DeleteFunc(upstreams, func(u *Upstream) bool { return u == to.upstream })
		p.upstreams.Store(&upstreams)
	}
	p.mu.Unlock()
	if last {
		to.upstream.end()
		p.log.Debug("received no more", "kind", to.upstream.kind.String(), "mid", to.upstream.mid, "ssrc", b.ssrc)
	}
}

// received handles one decrypted RTP packet; to is nil for a stream without an
// upstream. inMu is held.
func (p *Port) received(raw []byte, to *binding) {
	w := passages.Get().(*passage)
	defer passages.Put(w)
	start, ok := w.in.parseHeader(raw)
	if !ok {
		if to != nil {
			to.upstream.counters.malformed.Add(1)
		}
		return
	}
	p.take(w, raw[start:], to, monotonic())
}

// heard notes that something came.
func (p *Port) heard(now int64) {
	if now-p.lastHeard.Load() >= heardInterval {
		p.lastHeard.Store(now)
	}
}

// take is received for a packet whose header has been read into w.in.
func (p *Port) take(w *passage, payload []byte, to *binding, now int64) {
	in := &w.in
	if !in.setPayload(payload) {
		if to != nil {
			to.upstream.counters.malformed.Add(1)
		}
		return
	}
	p.heard(now)
	if id := uint8(p.twccID.Load()); id != 0 {
		if value := in.headerExtension(id); len(value) == 2 {
			p.recordArrival(in.ssrc, uint16(value[0])<<8|uint16(value[1]), now)
		}
	}
	if to == nil {
		p.counters.unbound.Add(1)
		return
	}
	to.upstream.received(w, to.retransmission, now)
}
