package media

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"

	"skillsage/network"
	"skillsage/network/traffic"
)

// directAPI makes connections on one UDP port.
func directAPI(t testing.TB) (*API, *network.Port) {
	t.Helper()
	port, err := network.Open(network.Options{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := port.Close(); err != nil {
			t.Error(err)
		}
	})
	settings := loopbackSettings()
	settings.SetICEUDPMux(port.Mux())
	if err := settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		t.Fatal(err)
	}
	api, err := NewAPI(settings)
	if err != nil {
		t.Fatal(err)
	}
	return api, port
}

// routed gives a leg the short way once it is connected.
func routed(t testing.TB, l *leg, port *network.Port) *leg {
	t.Helper()
	var mu sync.Mutex
	var route network.Route
	l.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		mu.Lock()
		defer mu.Unlock()
		if s == webrtc.PeerConnectionStateConnected && route == nil {
			pair, err := l.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
			if err != nil {
				t.Error(err)
				return
			}
			remote := netip.AddrPortFrom(netip.MustParseAddr(pair.Remote.Address), pair.Remote.Port)
			route = port.Route(netip.AddrPort{}, remote, l.port.Deliver)
			l.port.SetWire(route)
		}
		l.port.SetConnected(s == webrtc.PeerConnectionStateConnected)
	})
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if route != nil {
			route.Close()
		}
	})
	return l
}

// newClientWith makes a client whose transport differs.
func newClientWith(t testing.TB, change func(*webrtc.SettingEngine)) *client {
	t.Helper()
	settings := loopbackSettings()
	change(&settings)
	codecs := &webrtc.MediaEngine{}
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	registry := &interceptor.Registry{}
	c := &client{drop: &dropper{}}
	registry.Add(c.drop)
	if err := webrtc.RegisterDefaultInterceptors(codecs, registry); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(codecs, registry); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(
		webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(codecs), webrtc.WithInterceptorRegistry(registry),
	).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	c.PeerConnection = pc
	t.Cleanup(func() { _ = pc.Close() })
	return c
}

// TestDirect forwards sound and picture from one client to another with every cipher that DTLS can agree on, and
// with peers that can't have the short way. Losses are repaired, and reports and key frame requests arrive, either way.
func TestDirect(t *testing.T) {
	profile := func(p dtls.SRTPProtectionProfile) func(*webrtc.SettingEngine) {
		return func(s *webrtc.SettingEngine) { s.SetSRTPProtectionProfiles(p) }
	}
	suite := func(id dtls.CipherSuiteID) func(*webrtc.SettingEngine) {
		return func(s *webrtc.SettingEngine) { s.SetDTLSCipherSuites(id) }
	}
	for _, tt := range []struct {
		name   string
		client func(*webrtc.SettingEngine)
		direct bool
	}{
		{"AES-256-GCM", profile(dtls.SRTP_AEAD_AES_256_GCM), true},
		{"AES-128-GCM", profile(dtls.SRTP_AEAD_AES_128_GCM), true},
		{"AES-128-CM, SHA-1 80", profile(dtls.SRTP_AES128_CM_HMAC_SHA1_80), true},
		{"TLS AES-128-GCM SHA-256", suite(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), true},
		{"TLS AES-256-GCM SHA-384", suite(dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), true},
		{"TLS AES-256-CBC SHA-1", suite(dtls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA), true},
		{"TLS ChaCha20", suite(dtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), true},
		{"no extended master secret", func(s *webrtc.SettingEngine) { s.SetDTLSExtendedMasterSecret(dtls.DisableExtendedMasterSecret) }, true},
		{"the peer is the DTLS server", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api, port := directAPI(t)
			change := tt.client
			if change == nil {
				change = func(s *webrtc.SettingEngine) {
					if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
						t.Fatal(err)
					}
				}
			}
			publisher, viewer := newClientWith(t, change), newClientWith(t, change)
			in, out := routed(t, newLeg(t, api), port), routed(t, newLeg(t, api), port)

			camera := newCamera(t, webrtc.MimeTypeVP8, "camera").on(t, publisher)
			voice := newCamera(t, webrtc.MimeTypeOpus, "camera").on(t, publisher)
			if tt.direct {
				negotiate(t, publisher.PeerConnection, in.PeerConnection)
			} else { // the server offers, and the client answers as passive
				for _, kind := range []webrtc.RTPCodecType{video, audio} {
					if _, err := in.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
						t.Fatal(err)
					}
				}
				negotiate(t, in.PeerConnection, publisher.PeerConnection)
			}
			picture, sound := NewSource(SourceOptions{Kind: video}), NewSource(SourceOptions{Kind: audio})
			picture.SetCarrier(in.upstream(t, video))
			sound.SetCarrier(in.upstream(t, audio))
			videoFeed, audioFeed := addFeed(t, out, video, "camera"), addFeed(t, out, audio, "camera")
			videoFeed.SetSource(picture)
			audioFeed.SetSource(sound)
			var senderReports atomic.Int64
			see := func(p rtcp.Packet) {
				if _, ok := p.(*rtcp.SenderReport); ok {
					senderReports.Add(1)
				}
			}
			viewer.drop.reports.Store(&see)
			screens := watch(t, viewer)
			negotiate(t, out.PeerConnection, viewer.PeerConnection)
			var readers sync.WaitGroup
			t.Cleanup(func() { _ = viewer.Close(); readers.Wait() })
			for _, receiver := range viewer.GetReceivers() {
				readers.Go(func() { // what nobody reads the interceptors don't see
					for {
						if _, _, err := receiver.ReadRTCP(); err != nil {
							return
						}
					}
				})
			}
			camera.roll(t, publisher)
			voice.roll(t, publisher)
			eventually(t, "picture and sound", func() bool {
				return screens[video].count() > 100 && screens[audio].count() > 30
			})

			// Every 20th packet is lost on both ways, for its first time.
			lose := func() *func(h *rtp.Header) bool {
				seen := map[uint16]bool{}
				var mu sync.Mutex
				f := func(h *rtp.Header) bool {
					mu.Lock()
					defer mu.Unlock()
					first := !seen[h.SequenceNumber]
					seen[h.SequenceNumber] = true
					return first && h.SequenceNumber%20 == 7
				}
				return &f
			}
			publisher.drop.outgoing.Store(lose())
			viewer.drop.incoming.Store(lose())
			eventually(t, "repairs both ways, reports and requests", func() bool {
				return in.upstream(t, video).Stats().Repaired > 3 && videoFeed.Stats().Retransmitted > 3 &&
					senderReports.Load() > 0 && camera.plis.Load() > 0 && out.port.Stats().RTT > 0 && in.port.Stats().TWCCFeedback > 0
			})
			for name, l := range map[string]*leg{"publisher": in, "viewer": out} {
				if s := l.port.Stats(); s.Direct != tt.direct || s.Undecrypted != 0 || s.RTCPErrors != 0 || s.Unbound != 0 {
					t.Errorf("%s: %+v", name, s)
				}
			}
			if direct := port.Stats().Direct; (direct > 100) != tt.direct {
				t.Errorf("%d of %d packets took the short way", direct, port.Stats().PacketsIn)
			}
			if s := picture.Stats(); s.Duplicates > s.Packets/10 {
				t.Errorf("%d packets came twice of %d: what goes through the stack as well counts once", s.Duplicates, s.Packets)
			}
		})
	}
}

// recordingWire keeps what is written.
type recordingWire struct {
	mu      sync.Mutex
	packets [][]byte
	kinds   []traffic.Kind
}

func (w *recordingWire) Write(packet []byte, kind traffic.Kind) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kinds = append(w.kinds, kind)
	w.packets = append(w.packets, append([]byte(nil), packet...))
	return nil
}

type nullWire struct{}

func (nullWire) Write([]byte, traffic.Kind) error { return nil }

// goDirectWith makes a port direct without a handshake and returns the keys with which its peer sends.
func goDirectWith(t testing.TB, p *Port, w Wire) (peer *srtp.Context) {
	t.Helper()
	peer, _ = goDirectAs(t, p, w, srtp.ProtectionProfileAeadAes256Gcm)
	return peer
}

// goDirectAs is goDirectWith for any cipher. It returns the keys with which the peer receives, too.
func goDirectAs(t testing.TB, p *Port, w Wire, profile srtp.ProtectionProfile) (sends, receives *srtp.Context) {
	t.Helper()
	s := &p.secrets
	suite := uint16(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
	s.hello, s.suite, s.profile = true, suite, profile
	s.clientRandom, s.master = make([]byte, randomSize), make([]byte, 48)
	config := srtp.Config{Profile: s.profile}
	if err := config.ExtractSessionKeysFromDTLS(s, true); err != nil {
		t.Fatal(err)
	}
	sends, err := srtp.CreateContext(config.Keys.LocalMasterKey, config.Keys.LocalMasterSalt, profile)
	if err != nil {
		t.Fatal(err)
	}
	receives, err = srtp.CreateContext(config.Keys.RemoteMasterKey, config.Keys.RemoteMasterSalt, profile)
	if err != nil {
		t.Fatal(err)
	}
	p.SetWire(w)
	p.goDirect()
	if p.direct.Load() == nil {
		t.Fatal("not direct")
	}
	return sends, receives
}

// profiles are one cipher that leaves the index of a packet to the caller, of each size, and one that does not.
var profiles = []srtp.ProtectionProfile{
	srtp.ProtectionProfileAeadAes256Gcm, srtp.ProtectionProfileAeadAes128Gcm, srtp.ProtectionProfileAes128CmHmacSha1_80,
}

// openingWire opens what it is given, as a viewer's browser would.
type openingWire struct {
	keys    *srtp.Context
	packets []rtp.Packet
	failed  int
}

func (w *openingWire) Write(sealed []byte, _ traffic.Kind) error {
	var packet rtp.Packet
	plain, err := w.keys.DecryptRTP(nil, sealed, nil)
	if err == nil {
		err = packet.Unmarshal(plain)
	}
	if err != nil {
		w.failed++
		return nil
	}
	w.packets = append(w.packets, packet)
	return nil
}

// A viewer can open all that is sent, whatever the cipher, when sequence numbers begin another cycle: packets, late ones,
// and retransmissions of the cycle before.
func TestDirectOverCycles(t *testing.T) {
	for _, profile := range profiles {
		t.Run(profile.String(), func(t *testing.T) {
			port, to := newTestUpstream(t, video)
			port.decided = false
			peer, _ := goDirectAs(t, port, nullWire{}, profile)
			port.bound.Store(&[]boundStream{{1000, *to, new(sequenceUnwrapper)}})
			source := NewSource(SourceOptions{Kind: video})
			source.SetCarrier(to.upstream)
			feed, _ := newTestFeed(t, video, false)
			feed.port.decided = false
			feed.sequence.highest, feed.rtxIndex = 1<<16|65_000, 65_530
			wire := &openingWire{}
			_, wire.keys = goDirectAs(t, feed.port, wire, profile)
			feed.SetSource(source)

			raw := rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000}, 1, 0, keyPayload)
			const packets = 2000
			var late []byte
			for n := range packets {
				binary.BigEndian.PutUint16(raw[2:], uint16(n+64_000))
				binary.BigEndian.PutUint16(raw[17:], uint16(n))
				sealed, err := peer.EncryptRTP(nil, raw, nil)
				if err != nil {
					t.Fatal(err)
				}
				if n%100 == 35 {
					late = sealed
					continue
				}
				port.Deliver(sealed)
				if n%100 == 36 {
					port.Deliver(late)
				}
				if n%100 == 50 {
					feed.resend(binary.BigEndian.AppendUint32(nil, uint32(uint16(feed.sequence.highest)-20)<<16|3), monotonic())
				}
			}
			repaired := int(feed.Stats().Retransmitted)
			if len(wire.packets) != packets+repaired || wire.failed != 0 || repaired < 20 || port.Stats().Undecrypted != 0 {
				t.Errorf("%d packets and %d retransmissions came; %d could not be opened, here %d", len(wire.packets), repaired, wire.failed, port.Stats().Undecrypted)
			}
		})
	}
}

// What the header says is what a receiver reads, with every choice of extensions.
func TestOutgoingHeader(t *testing.T) {
	for choice := range 32 {
		h := outgoingHeader{index: 7<<16 | 65_534, timestamp: 1 << 31, ssrc: 0xfedcba98, payloadType: 127, level: 0x85, delay: 0x012345}
		h.marker, h.padding = choice&1 != 0, choice&2 != 0
		if choice&4 != 0 {
			h.transportID = 14
		}
		if choice&8 != 0 {
			h.levelID = 1
		}
		if choice&16 != 0 {
			h.delayID = 9
		}
		var b [headerRoom]byte
		for i := range b {
			b[i] = 0xff // of an earlier packet
		}
		n := h.put(&b)
		if h.transportID != 0 {
			binary.BigEndian.PutUint16(b[numberAt:], 0xabcd)
		}
		var got rtp.Header
		if size, err := got.Unmarshal(b[:n]); err != nil || size != n {
			t.Fatalf("%+v: %d of %d bytes, %v", h, size, n, err)
		}
		if got.Version != 2 || got.Marker != h.marker || got.Padding != h.padding || got.PayloadType != 127 || got.SequenceNumber != 65_534 ||
			got.Timestamp != h.timestamp || got.SSRC != h.ssrc {
			t.Errorf("%+v is read as %+v", h, got)
		}
		want := map[uint8]string{}
		if h.transportID != 0 {
			want[14] = "\xab\xcd"
		}
		if h.levelID != 0 {
			want[1] = "\x85"
		}
		if h.delayID != 0 {
			want[9] = "\x01\x23\x45"
		}
		if got.Extension != (len(want) > 0) || len(got.GetExtensionIDs()) != len(want) {
			t.Errorf("%+v has the extensions %v", h, got.GetExtensionIDs())
		}
		for id, value := range want {
			if string(got.GetExtension(id)) != value {
				t.Errorf("%+v: extension %d is %x", h, id, got.GetExtension(id))
			}
		}
	}
}

// directForwarding is forwarding with SRTP on both sides: next makes a packet, which is to be delivered to port.
func directForwarding(t testing.TB, feeds int) (next func() []byte, port *Port) {
	port, to := newTestUpstream(t, video)
	port.decided = false
	peer := goDirectWith(t, port, nullWire{})
	port.bound.Store(&[]boundStream{{1000, *to, new(sequenceUnwrapper)}})
	source := NewSource(SourceOptions{Kind: video})
	source.SetCarrier(to.upstream)
	for range feeds {
		f, _ := newTestFeed(t, video, false)
		f.port.decided = false
		goDirectWith(t, f.port, nullWire{})
		f.SetSource(source)
	}
	payload := make([]byte, 1150)
	payload[0], payload[1] = 0x10, 0x10 // VP8, the start of a key frame
	raw := rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: 65000}, 100, 0, payload)
	sequence, transport := uint16(65000), uint16(100)
	buffer, header := make([]byte, 2000), &rtp.Header{}
	return func() []byte {
		sequence++
		transport++
		raw[2], raw[3] = byte(sequence>>8), byte(sequence)
		raw[17], raw[18] = byte(transport>>8), byte(transport)
		sealed, err := peer.EncryptRTP(buffer, raw, header)
		if err != nil {
			t.Fatal(err)
		}
		raw[rtpHeaderSize+8+1] = 0x11 // from now on no key frames
		return sealed
	}, port
}

func TestDirectForwardingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	next, port := directForwarding(t, 5)
	for range 3000 {
		port.Deliver(next())
	}
	if n := testing.AllocsPerRun(5000, func() { port.Deliver(next()) }); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
	if s := port.Stats(); s.Undecrypted != 0 {
		t.Errorf("%+v", s)
	}
}

// BenchmarkDirect is the whole way of a packet but the system calls: decrypt, forward, encrypt for each viewer. The
// publisher's encryption is in it too.
func BenchmarkDirect(b *testing.B) {
	for _, feeds := range []int{1, 5} {
		b.Run(map[int]string{1: "viewers=1", 5: "viewers=5"}[feeds], func(b *testing.B) {
			next, port := directForwarding(b, feeds)
			for range 3000 {
				port.Deliver(next())
			}
			b.ReportAllocs()
			for b.Loop() {
				port.Deliver(next())
			}
		})
	}
}

// Hostile packets from the peer's address are counted; what may be somebody else's is left to the stack as it came.
func TestDirectHostilePackets(t *testing.T) {
	next, port := directForwarding(t, 1)
	port.Deliver(next())
	for name, packet := range map[string][]byte{
		"not authentic":      append([]byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 3, 232}, make([]byte, 40)...),
		"too short":          {0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 3, 232},
		"CSRCs beyond":       append([]byte{0x8f, 96, 0, 1, 0, 0, 0, 0, 0, 0, 3, 232}, make([]byte, 30)...),
		"extension beyond":   append([]byte{0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 3, 232, 0xbe, 0xde, 0xff, 0xff}, make([]byte, 30)...),
		"RTCP not authentic": append([]byte{0x80, 200, 0, 6}, make([]byte, 40)...),
		"RTCP too short":     {0x80, 201, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0},
	} {
		before, kept := port.Stats().Undecrypted, string(packet)
		if rtcp := isRTCP(packet); port.Deliver(packet) != rtcp || !rtcp && string(packet) != kept {
			t.Errorf("%s: %x", name, packet)
		}
		if n := port.Stats().Undecrypted - before; n != 1 {
			t.Errorf("%s: %d counted", name, n)
		}
	}
	unknown := []byte{0x80, 96, 0, 1, 0, 0, 0, 0, 9, 9, 9, 9, 1, 2, 3}
	kept := string(unknown)
	if port.Deliver(unknown) || string(unknown) != kept {
		t.Error("a stream that nobody knows was not left to the stack as it came")
	}
	if port.Deliver([]byte{0x80, 96}) {
		t.Error("a packet without a header was taken")
	}
}

// A stream of which the first cycles of the sequence numbers went by unseen is taken after a few packets.
func TestDirectGuessesTheRolloverCounter(t *testing.T) {
	for i := range len(profiles) * (maxGuess + 1) {
		profile, cycles := profiles[i%len(profiles)], uint32(i/len(profiles))
		port, to := newTestUpstream(t, video)
		port.decided = false
		peer, _ := goDirectAs(t, port, nullWire{}, profile)
		port.bound.Store(&[]boundStream{{1000, *to, new(sequenceUnwrapper)}})
		peer.SetROC(1000, cycles)
		taken := 0
		for i := range 100 {
			raw := rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: uint16(65500 + i)}, uint16(i), 0, []byte{0x10, 0x10, 1, 2})
			sealed, err := peer.EncryptRTP(nil, raw, nil)
			if err != nil {
				t.Fatal(err)
			}
			if port.Deliver(sealed) {
				taken++
			}
		}
		// Every packet that this misses, and one each second, goes through the stack.
		if s := to.upstream.Stats(); taken < 100-maxGuess-1 || s.Packets < 100-maxGuess || int(s.Packets) < taken {
			t.Errorf("%v, %d cycles: %d taken, %d packets, %d not decrypted", profile, cycles, taken, s.Packets, port.Stats().Undecrypted)
		}
	}
}

// Without a wire at the first connection, or without the keys, everything stays with the stack, for good.
func TestDirectIsDecidedOnce(t *testing.T) {
	p := newPort(PortOptions{})
	p.SetConnected(true)
	p.SetWire(nullWire{})
	p.SetConnected(false)
	p.SetConnected(true)
	if p.Stats().Direct || p.Deliver(make([]byte, 100)) {
		t.Error("became direct later")
	}
	q := newPort(PortOptions{})
	q.SetWire(nullWire{})
	q.SetConnected(true)
	if q.Stats().Direct {
		t.Error("direct without keys")
	}
}

// A new address gets the packets from the next one on, with the same keys and going on in their numbers.
func TestDirectChangesTheWire(t *testing.T) {
	f, _ := newTestFeed(t, video, false)
	f.port.decided = false
	first, second := &recordingWire{}, &recordingWire{}
	goDirectWith(t, f.port, first)
	w := &passage{header: outgoingHeader{payloadType: 100, ssrc: 5, index: 1}}
	for i := range 4 {
		if i == 2 {
			f.port.SetWire(second)
		}
		w.header.index++
		if err := f.port.writeRTP(w, nil, []byte{1, 2, 3}, traffic.Video, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.port.writeRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2}}); err != nil {
		t.Fatal(err)
	}
	if len(first.packets) != 2 || len(second.packets) != 3 {
		t.Fatalf("%d and %d packets", len(first.packets), len(second.packets))
	}
	for i, packet := range append(first.packets, second.packets[:2]...) {
		if n := binary.BigEndian.Uint16(packet[2:]); n != uint16(i+2) {
			t.Errorf("packet %d has number %d", i, n)
		}
	}
}

// Whoever carries the packets is told what they are.
func TestDirectTellsTheKind(t *testing.T) {
	kinds := func(kind webrtc.RTPCodecType, do func(f *feeding)) []traffic.Kind {
		f := newFeeding(t, kind)
		f.feed.port.decided = false
		wire := &recordingWire{}
		goDirectWith(t, f.feed.port, wire)
		do(f)
		return wire.kinds
	}
	for _, tt := range []struct {
		name string
		got  []traffic.Kind
		want []traffic.Kind
	}{
		{"sound", kinds(audio, func(f *feeding) {
			f.port.received(rtpBytes(t, rtp.Header{PayloadType: 111, SSRC: 1000, SequenceNumber: 1}, 1, 0, []byte{1}), f.to)
		}), []traffic.Kind{traffic.Audio}},
		{"a picture that is asked for again", kinds(video, func(f *feeding) {
			f.video(1, keyPayload)
			f.feed.mu.Lock()
			number := uint16(f.feed.sequence.highest)
			f.feed.mu.Unlock()
			f.nack(number)
		}), []traffic.Kind{traffic.Video, traffic.Repair}},
		{"a report", kinds(video, func(f *feeding) {
			f.feed.port.send(&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2})
		}), []traffic.Kind{traffic.Control}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

// Lines of a key log that are no secrets of DTLS 1.2 change nothing.
func FuzzKeyLog(f *testing.F) {
	f.Add([]byte("CLIENT_RANDOM 00 11\n"))
	f.Add([]byte("CLIENT_HANDSHAKE_TRAFFIC_SECRET 00 11\n"))
	f.Add([]byte("CLIENT_RANDOM zz"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s := &dtlsSecrets{}
		s.serverHello(handshake.MessageServerHello{})
		if n, err := s.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
		if _, _, ok := s.take(); ok {
			t.Fatal("keys without a server's hello")
		}
	})
}

// BenchmarkDirectCold is BenchmarkDirect with nothing in the processor's caches, as it is at the load of a few
// interviews, when there is a pause before each packet. The median is reported: a neighbour takes no part in it.
func BenchmarkDirectCold(b *testing.B) {
	for _, feeds := range []int{1, 5} {
		b.Run(map[int]string{1: "viewers=1", 5: "viewers=5"}[feeds], func(b *testing.B) {
			next, port := directForwarding(b, feeds)
			for range 3000 {
				port.Deliver(next())
			}
			other := make([]uint64, 4<<20)
			var spent []time.Duration
			var sum uint64
			for b.Loop() {
				packet := next()
				for i := 0; i < len(other); i += 8 {
					sum += other[i]
					other[i] = sum
				}
				begin := time.Now()
				port.Deliver(packet)
				spent = append(spent, time.Since(begin))
			}
			slices.Sort(spent)
			b.ReportMetric(float64(spent[len(spent)/2].Nanoseconds()), "cold-ns/packet")
		})
	}
}

// A new address may come in the middle of packets. Proved by the race detector.
func TestDirectChangesTheWireWhileSending(t *testing.T) {
	for range 50 {
		p := newPort(PortOptions{})
		goDirectWith(t, p, nullWire{})
		var wg sync.WaitGroup
		var sent, done atomic.Int64
		wg.Go(func() {
			w := &passage{header: outgoingHeader{ssrc: 5}}
			for done.Load() == 0 {
				w.header.index++
				if err := p.writeRTP(w, nil, []byte{1}, traffic.Video, 0); err != nil {
					t.Error(err)
				}
				sent.Add(1)
			}
		})
		eventually(t, "packets", func() bool { return sent.Load() > 10 })
		last := &recordingWire{}
		p.SetWire(nullWire{})
		p.SetWire(last)
		eventually(t, "a packet at the last address", func() bool {
			last.mu.Lock()
			defer last.mu.Unlock()
			return len(last.packets) > 0
		})
		done.Store(1)
		wg.Wait()
	}
}
