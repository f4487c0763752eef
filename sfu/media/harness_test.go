package media

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func loopbackSettings() webrtc.SettingEngine {
	s := webrtc.SettingEngine{}
	s.SetIncludeLoopbackCandidate(true)
	s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	return s
}

// eventually polls until a condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// client is a Pion peer connection with the default codecs and interceptors,
// standing for a browser.
type client struct {
	*webrtc.PeerConnection
	drop *dropper
}

// dropper is a client's interceptor closest to the network. Its functions say
// which packets get lost there.
type dropper struct {
	interceptor.NoOp
	outgoing atomic.Pointer[func(*rtp.Header) bool]
	incoming atomic.Pointer[func(*rtp.Header) bool]
	// reports sees the RTCP that arrives.
	reports atomic.Pointer[func(rtcp.Packet)]
}

func (d *dropper) NewInterceptor(string) (interceptor.Interceptor, error) { return d, nil }

func (d *dropper) BindLocalStream(_ *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if drop := d.outgoing.Load(); drop != nil && (*drop)(h) {
			return len(payload), nil
		}
		return w.Write(h, payload, a)
	})
}

func (d *dropper) BindRemoteStream(_ *interceptor.StreamInfo, r interceptor.RTPReader) interceptor.RTPReader {
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		for {
			n, attributes, err := r.Read(b, a)
			var h rtp.Header
			if drop := d.incoming.Load(); err == nil && drop != nil {
				if _, bad := h.Unmarshal(b[:n]); bad == nil && (*drop)(&h) {
					continue
				}
			}
			return n, attributes, err
		}
	})
}

func (d *dropper) BindRTCPReader(r interceptor.RTCPReader) interceptor.RTCPReader {
	return interceptor.RTCPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, attributes, err := r.Read(b, a)
		if see := d.reports.Load(); err == nil && see != nil {
			if packets, bad := rtcp.Unmarshal(b[:n]); bad == nil {
				for _, packet := range packets {
					(*see)(packet)
				}
			}
		}
		return n, attributes, err
	})
}

func newClient(t testing.TB) *client {
	t.Helper()
	codecs := &webrtc.MediaEngine{}
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	registry := &interceptor.Registry{}
	c := &client{drop: &dropper{}}
	registry.Add(c.drop) // first: closest to the network
	if err := webrtc.RegisterDefaultInterceptors(codecs, registry); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(codecs, registry); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.ConfigureSimulcastExtensionHeaders(codecs); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(
		webrtc.WithSettingEngine(loopbackSettings()), webrtc.WithMediaEngine(codecs), webrtc.WithInterceptorRegistry(registry),
	).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	c.PeerConnection = pc
	t.Cleanup(func() {
		if err := pc.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// leg is the server's end of a connection.
type leg struct {
	*webrtc.PeerConnection
	port *Port

	mu        sync.Mutex
	upstreams []*Upstream
}

func newLeg(t testing.TB, api *API) *leg {
	t.Helper()
	pc, port, err := api.NewPeerConnection(webrtc.Configuration{}, PortOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := &leg{PeerConnection: pc, port: port}
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		u := port.Receive(track, receiver)
		l.mu.Lock()
		l.upstreams = append(l.upstreams, u)
		l.mu.Unlock()
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		port.SetConnected(s == webrtc.PeerConnectionStateConnected)
	})
	t.Cleanup(func() {
		if err := pc.Close(); err != nil {
			t.Error(err)
		}
		port.Close()
		port.Close()
		port.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, u := range l.upstreams {
			select {
			case <-u.Done():
			default:
				t.Error("an upstream outlived its port")
			}
		}
	})
	return l
}

func (l *leg) upstream(t testing.TB, kind webrtc.RTPCodecType) *Upstream {
	t.Helper()
	var found *Upstream
	eventually(t, "a received "+kind.String()+" track", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, u := range l.upstreams {
			if u.Kind() == kind {
				found = u // the newest
			}
		}
		return found != nil
	})
	return found
}

func newTestAPI(t testing.TB) *API {
	t.Helper()
	api, err := NewAPI(loopbackSettings())
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// negotiate makes from offer and to answer, and waits for the connection.
func negotiate(t testing.TB, from, to *webrtc.PeerConnection) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	offer, err := from.CreateOffer(nil)
	check(err)
	gathered := webrtc.GatheringCompletePromise(from)
	check(from.SetLocalDescription(offer))
	<-gathered
	check(to.SetRemoteDescription(*from.LocalDescription()))
	answer, err := to.CreateAnswer(nil)
	check(err)
	gathered = webrtc.GatheringCompletePromise(to)
	check(to.SetLocalDescription(answer))
	<-gathered
	check(from.SetRemoteDescription(*to.LocalDescription()))
	for _, pc := range []*webrtc.PeerConnection{from, to} {
		eventually(t, "connected", func() bool { return pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
	}
}

// camera sends synthetic media: frames of three packets (video) or one (audio)
// whose payloads carry a serial number, with a key frame when it is asked for one
// and each 10 s.
type camera struct {
	track    *webrtc.TrackLocalStaticRTP
	video    bool
	h264     bool
	interval time.Duration

	wantKey atomic.Bool
	plis    atomic.Int64
	keys    atomic.Int64
	serial  atomic.Uint32 // the last sent
	stop    chan struct{}
	wg      sync.WaitGroup
}

func newCamera(t testing.TB, mime string, streamID string) *camera {
	t.Helper()
	c := &camera{stop: make(chan struct{}), video: mime != webrtc.MimeTypeOpus, h264: mime == webrtc.MimeTypeH264}
	capability := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90000}
	c.interval = 20 * time.Millisecond
	if !c.video {
		capability = webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 48000, Channels: 2}
	}
	if c.h264 {
		capability.SDPFmtpLine = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
	}
	track, err := webrtc.NewTrackLocalStaticRTP(capability, mime[:5], streamID)
	if err != nil {
		t.Fatal(err)
	}
	c.track = track
	return c
}

// on adds the camera to a client, before the negotiation.
func (c *camera) on(t testing.TB, to *client) *camera {
	t.Helper()
	transceiver, err := to.AddTransceiverFromTrack(c.track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	sender := transceiver.Sender()
	c.wg.Go(func() {
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, packet := range packets {
				if _, ok := packet.(*rtcp.PictureLossIndication); ok {
					c.plis.Add(1)
					c.wantKey.Store(true)
				}
			}
		}
	})
	return c
}

// roll sends until the test ends. It is to be called after the negotiation.
func (c *camera) roll(t testing.TB, from *client) *camera {
	t.Cleanup(func() {
		close(c.stop)
		_ = from.Close()
		c.wg.Wait()
	})
	c.wg.Go(func() {
		ticker := time.NewTicker(c.interval)
		defer ticker.Stop()
		sequence, began := uint16(65500), time.Now()
		packet := &rtp.Packet{Header: rtp.Header{Version: 2}}
		for frame := 0; ; frame++ {
			select {
			case <-c.stop:
				return
			case <-ticker.C:
			}
			key := c.video && (c.wantKey.Swap(false) || frame%500 == 0)
			if key {
				c.keys.Add(1)
			}
			packets := 1
			if c.video {
				packets = 3
			}
			ticks := time.Since(began).Microseconds() * int64(c.track.Codec().ClockRate) / 1_000_000
			timestamp := uint32(1<<32-9000) + uint32(ticks) // wraps around soon
			for i := range packets {
				packet.SequenceNumber, packet.Timestamp, packet.Marker = sequence, timestamp, i == packets-1
				packet.Payload = c.payload(key, i == 0, c.serial.Add(1))
				sequence++
				if err := c.track.WriteRTP(packet); err != nil {
					return
				}
			}
		}
	})
	return c
}

// payload ends with the serial number.
func (c *camera) payload(key, first bool, serial uint32) []byte {
	var b []byte
	switch {
	case !c.video:
		b = []byte{0x78}
	case c.h264 && key && first:
		b = []byte{24, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce} // STAP-A: SPS, PPS
	case c.h264:
		b = []byte{0x61} // a slice that is no IDR
	case first && key:
		b = []byte{0x10, 0x10, 0, 0, 0x9d, 1, 0x2a}
	case first:
		b = []byte{0x10, 0x11}
	default:
		b = []byte{0x00}
	}
	return binary.BigEndian.AppendUint32(append(b, make([]byte, 400)...), serial)
}

// screen collects what a viewer gets on one track.
type screen struct {
	mu      sync.Mutex
	packets []rtp.Packet
	serials []uint32
}

// watch collects the tracks of a kind; to be called before the negotiation.
func watch(t testing.TB, c *client) map[webrtc.RTPCodecType]*screen {
	screens := map[webrtc.RTPCodecType]*screen{
		webrtc.RTPCodecTypeAudio: {}, webrtc.RTPCodecTypeVideo: {},
	}
	c.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		screens[track.Kind()].collect(track)
	})
	return screens
}

// collect reads a track until it ends.
func (s *screen) collect(track *webrtc.TrackRemote) {
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if len(packet.Payload) < 4 {
			continue
		}
		s.mu.Lock()
		s.packets = append(s.packets, *packet)
		s.serials = append(s.serials, binary.BigEndian.Uint32(packet.Payload[len(packet.Payload)-4:]))
		s.mu.Unlock()
	}
}

func (s *screen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.packets)
}

// last is the highest serial number received.
func (s *screen) last() (highest uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, serial := range s.serials {
		highest = max(highest, serial)
	}
	return highest
}

func (s *screen) snapshot() ([]rtp.Packet, []uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]rtp.Packet(nil), s.packets...), append([]uint32(nil), s.serials...)
}

// addFeed puts a feed on a leg that has not been negotiated yet.
func addFeed(t testing.TB, l *leg, kind webrtc.RTPCodecType, streamID string) *Feed {
	t.Helper()
	feed := l.port.NewFeed(kind, streamID, kind.String())
	_, err := l.AddTransceiverFromTrack(feed, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	return feed
}
