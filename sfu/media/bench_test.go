package media

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// remote stands for a *webrtc.TrackRemote.
type remote struct {
	kind      webrtc.RTPCodecType
	ssrc, rtx webrtc.SSRC
	rid       string
}

func (r remote) Kind() webrtc.RTPCodecType { return r.kind }
func (r remote) SSRC() webrtc.SSRC         { return r.ssrc }
func (r remote) RtxSSRC() webrtc.SSRC      { return r.rtx }
func (r remote) StreamID() string          { return "camera" }
func (r remote) ID() string                { return r.kind.String() }
func (r remote) RID() string               { return r.rid }

// senderContext stands for what Pion negotiated for a sender.
type senderContext struct {
	ssrc, rtx  webrtc.SSRC
	codecs     []webrtc.RTPCodecParameters
	extensions []webrtc.RTPHeaderExtensionParameter
	writer     webrtc.TrackLocalWriter
}

func (c *senderContext) CodecParameters() []webrtc.RTPCodecParameters { return c.codecs }
func (c *senderContext) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter {
	return c.extensions
}
func (c *senderContext) SSRC() webrtc.SSRC                       { return c.ssrc }
func (c *senderContext) SSRCRetransmission() webrtc.SSRC         { return c.rtx }
func (c *senderContext) SSRCForwardErrorCorrection() webrtc.SSRC { return 0 }
func (c *senderContext) WriteStream() webrtc.TrackLocalWriter    { return c.writer }
func (c *senderContext) ID() string                              { return "sender" }
func (c *senderContext) RTCPReader() interceptor.RTCPReader      { return nil }

// sink takes what a feed writes.
type sink struct {
	keep    bool
	packets []rtp.Packet
	count   atomic.Int64
}

func (s *sink) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	s.count.Add(1)
	if s.keep {
		s.packets = append(s.packets, rtp.Packet{Header: h.Clone(), Payload: append([]byte(nil), payload...)})
	}
	return len(payload), nil
}

func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

type discardRTCP struct{}

func (discardRTCP) WriteRTCP([]rtcp.Packet) error { return nil }

var (
	vp8Codecs = []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, PayloadType: 96},
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=96"}, PayloadType: 97},
	}
	opusCodecs = []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, PayloadType: 111},
	}
	extensionsUp = []webrtc.RTPHeaderExtensionParameter{
		{URI: sdp.TransportCCURI, ID: 3}, {URI: audioLevelURI, ID: 1},
	}
)

// newTestUpstream makes an upstream of a port without a peer connection; its
// packets are to be given to port.received.
func newTestUpstream(t testing.TB, kind webrtc.RTPCodecType) (*Port, *binding) {
	t.Helper()
	port := newPort(PortOptions{})
	port.start(discardRTCP{}, new(reporters))
	t.Cleanup(func() { port.Close(); port.Wait() })
	codecs := vp8Codecs
	if kind == audio {
		codecs = opusCodecs
	}
	u := newUpstream(port, remote{kind: kind, ssrc: 1000, rtx: 1001}, "0",
		webrtc.RTPParameters{Codecs: codecs, HeaderExtensions: extensionsUp})
	port.upstreams.Store(&[]*Upstream{u})
	port.twccID.Store(uint32(u.transportCC))
	port.SetConnected(true)
	return port, &binding{upstream: u}
}

// newTestFeed makes a feed that writes to a sink. Its payload types and the id of
// its audio level differ from the publisher's. Its port has no reporter: what
// that would send, the tests take themselves.
func newTestFeed(t testing.TB, kind webrtc.RTPCodecType, keep bool) (*Feed, *sink) {
	t.Helper()
	port := newPort(PortOptions{})
	port.SetConnected(true)
	f := port.NewFeed(kind, "camera", "track")
	s := &sink{keep: keep}
	codecs := []webrtc.RTPCodecParameters{
		{RTPCodecCapability: opusCodecs[0].RTPCodecCapability, PayloadType: 112},
	}
	if kind == video {
		codecs = []webrtc.RTPCodecParameters{
			{RTPCodecCapability: vp8Codecs[0].RTPCodecCapability, PayloadType: 100},
			{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: "apt=100"}, PayloadType: 101},
		}
	}
	codec, err := f.Bind(&senderContext{ssrc: 5, rtx: 6, codecs: codecs, writer: s,
		extensions: []webrtc.RTPHeaderExtensionParameter{{URI: audioLevelURI, ID: 5}, {URI: sdp.TransportCCURI, ID: 4}}})
	if err != nil {
		t.Fatal(err)
	}
	if codec.PayloadType != codecs[0].PayloadType {
		t.Fatalf("Bind chose %v", codec)
	}
	return f, s
}

// rtpBytes is a packet as it comes out of SRTP, with the header extensions that
// a browser sends.
func rtpBytes(t testing.TB, h rtp.Header, transport uint16, level byte, payload []byte) []byte {
	t.Helper()
	h.Version = 2
	if err := h.SetExtension(3, []byte{byte(transport >> 8), byte(transport)}); err != nil {
		t.Fatal(err)
	}
	if level != 0 {
		if err := h.SetExtension(1, []byte{level}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// forwarding prepares one source with some feeds and returns a function that
// delivers the next packet.
func forwarding(t testing.TB, feeds int) (deliver func(), sinks []*sink) {
	port, to := newTestUpstream(t, video)
	source := NewSource(SourceOptions{Kind: video})
	source.SetCarrier(to.upstream)
	for range feeds {
		f, s := newTestFeed(t, video, false)
		f.SetSource(source)
		sinks = append(sinks, s)
	}
	payload := make([]byte, 1150)
	payload[0], payload[1] = 0x10, 0x10 // VP8, the start of a key frame
	raw := rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: 65000}, 100, 0, payload)
	sequence, transport := uint16(65000), uint16(100)
	return func() {
		sequence++
		transport++
		raw[2], raw[3] = byte(sequence>>8), byte(sequence)
		raw[17], raw[18] = byte(transport>>8), byte(transport)
		port.received(raw, to)
		raw[rtpHeaderSize+8+1] = 0x11 // from now on no key frames
	}, sinks
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, feeds := range []int{1, 5} {
		deliver, sinks := forwarding(t, feeds)
		for range 3000 { // what is made once is there then
			deliver()
		}
		before := sinks[0].count.Load()
		if n := testing.AllocsPerRun(5000, deliver); n != 0 {
			t.Errorf("1 -> %d: %v allocations per packet", feeds, n)
		}
		for _, s := range sinks {
			if got := s.count.Load() - before; got < 5000 {
				t.Errorf("1 -> %d: only %d packets were written", feeds, got)
			}
		}
	}
}

// TestThinningDoesNotAllocate does the same where every viewer gets something
// else of three temporal layers, and targets change all the time.
func TestThinningDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := newFeeding(t, video)
	feeds := []*Feed{f.feed}
	f.sink.keep = false
	for range 3 {
		feed, _ := newTestFeed(t, video, false)
		feed.SetSource(f.source)
		feeds = append(feeds, feed)
	}
	e := encoder{}
	var packets [][]byte
	for i := range 400 {
		payloads, _ := e.next(i%40 == 0, 1)
		packets = append(packets, rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, Timestamp: e.timestamp}, 0, 0, payloads[0]))
	}
	n := uint16(0)
	deliver := func() {
		raw := packets[int(n)%len(packets)]
		n++
		raw[2], raw[3], raw[17], raw[18] = byte(n>>8), byte(n), byte(n>>8), byte(n)
		feeds[n%4].SetTarget(Target{Temporal: int8(n / 7 % 3)})
		f.port.received(raw, f.to)
	}
	for range 3000 {
		deliver()
	}
	if n := testing.AllocsPerRun(5000, deliver); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
	for _, feed := range feeds {
		if stats := feed.Stats(); stats.Packets < 1000 {
			t.Errorf("only %d packets were written", stats.Packets)
		}
	}
}

// BenchmarkForward is the relay's own work for each published packet: parse,
// transport-cc, loss detection, cache, headers. Encryption and the socket are not
// in it.
func BenchmarkForward(b *testing.B) {
	for _, feeds := range []int{1, 5} {
		b.Run(fmt.Sprintf("1to%d", feeds), func(b *testing.B) {
			deliver, _ := forwarding(b, feeds)
			b.ReportAllocs()
			for b.Loop() {
				deliver()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*feeds), "ns/forwarded")
		})
	}
}

// BenchmarkForwardToSockets has encryption and the socket in it: the feeds belong
// to peer connections over loopback, whose clients run in the same process and
// take part of its CPU.
func BenchmarkForwardToSockets(b *testing.B) {
	for _, feeds := range []int{1, 5} {
		b.Run(fmt.Sprintf("1to%d", feeds), func(b *testing.B) {
			deliver, _ := forwardingToSockets(b, feeds)
			b.ReportAllocs()
			for b.Loop() {
				deliver()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*feeds), "ns/forwarded")
		})
	}
}

func forwardingToSockets(b testing.TB, feeds int) (deliver func(), all []*Feed) {
	api := newTestAPI(b)
	port, to := newTestUpstream(b, video)
	source := NewSource(SourceOptions{Kind: video})
	source.SetCarrier(to.upstream)
	for range feeds {
		pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(loopbackSettings())).NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = pc.Close() })
		down := newLeg(b, api)
		feed := addFeed(b, down, video, "camera")
		feed.SetSource(source)
		negotiate(b, down.PeerConnection, pc)
		all = append(all, feed)
	}
	payload := make([]byte, 1150)
	payload[0], payload[1] = 0x10, 0x10
	raw := rtpBytes(b, rtp.Header{PayloadType: 96, SSRC: 1000}, 100, 0, payload)
	sequence := uint16(0)
	return func() {
		sequence++
		raw[2], raw[3] = byte(sequence>>8), byte(sequence)
		raw[17], raw[18] = byte(sequence>>8), byte(sequence)
		port.received(raw, to)
	}, all
}

// TestTappingDoesNotAllocate has one tap that is read and one that is not.
func TestTappingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := newFeeding(t, video)
	f.sink.keep = false
	f.report(0)
	read, stalled := newTapped(t, f, TapOptions{}), newTapped(t, f, TapOptions{})
	raw := rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000}, 0, 0, append(numbered(true, 0), make([]byte, 1100)...))
	n, packets := uint16(0), 0
	deliver := func() {
		n++
		raw[2], raw[3], raw[17], raw[18] = byte(n>>8), byte(n), byte(n>>8), byte(n)
		f.port.received(raw, f.to)
		raw[rtpHeaderSize+8+1] = 0x11 // from now on no key frames
		for {
			event, err := read.tap.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if event.Kind == TapPacket {
				packets++
				return
			}
		}
	}
	for range 8000 { // the other one is full then
		deliver()
	}
	if n := testing.AllocsPerRun(5000, deliver); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
	if packets < 13000 {
		t.Errorf("only %d packets were read", packets)
	}
	if free := stalled.tap.queue.record(1200); free != nil {
		t.Error("the stalled tap is not full")
	}
}

// BenchmarkTap is what taps add to BenchmarkForward for each packet: copying, and, on the
// goroutine of its reader elsewhere, reading.
func BenchmarkTap(b *testing.B) {
	for _, taps := range []int{0, 1, 2} {
		b.Run(fmt.Sprint(taps), func(b *testing.B) {
			f := newFeeding(b, video)
			f.sink.keep = false
			f.report(0)
			var all []*tapped
			for range taps {
				all = append(all, newTapped(b, f, TapOptions{}))
			}
			raw := rtpBytes(b, rtp.Header{PayloadType: 96, SSRC: 1000}, 0, 0, append(numbered(true, 0), make([]byte, 1100)...))
			n, read := uint16(0), 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				raw[2], raw[3], raw[17], raw[18] = byte(n>>8), byte(n), byte(n>>8), byte(n)
				f.port.received(raw, f.to)
				raw[rtpHeaderSize+8+1] = 0x11
				if n%16 != 0 {
					continue
				}
				for _, d := range all { // as much as there is
					for {
						d.tap.done()
						event, _, err := d.tap.step(monotonic())
						if err != nil {
							b.Fatal(err)
						}
						if event.Kind == 0 {
							break
						}
						read++
					}
				}
			}
			if taps > 0 && read < taps*(b.N-17) {
				b.Errorf("%d of %d packets were read", read, taps*b.N)
			}
		})
	}
}
