package turn

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"skillsage/network"
	"skillsage/network/traffic"
)

// sockets counts the sockets of this process.
func sockets(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// Two clients reach each other through their relayed addresses, whatever their transports, and no socket is opened.
func TestRelayedToRelayed(t *testing.T) {
	for _, pair := range [][2]string{{"udp", "udp"}, {"udp", "tcp"}, {"tcp", "tcp"}} {
		t.Run(pair[0]+" "+pair[1], func(t *testing.T) {
			r := start(t, Options{})
			before := sockets(t)
			a, b := r.client(pair[0], "a"), r.client(pair[1], "b")
			// What the client holds, and the server's end of TCP connections, which the client's own are.
			held := 2
			for _, transport := range pair {
				if transport == "tcp" {
					held++
				}
			}
			r.eventually("sockets", func() bool { return sockets(t) == before+held })
			if a.LocalAddr().String() == b.LocalAddr().String() || addrPortOf(a.LocalAddr()).Addr() != localhost {
				t.Fatalf("at %s and %s", a.LocalAddr(), b.LocalAddr())
			}
			exchange(t, a, b)
			if n := sockets(t); n != before+held {
				t.Errorf("%d sockets more", n-before-held)
			}
			if s := r.Stats(); s.BytesReceived == 0 || s.BytesSent == 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// exchange sends packets of all sizes back and forth. The first ones are repeated: the other side may have no permission
// for them yet.
func exchange(t *testing.T, a, b net.PacketConn) {
	t.Helper()
	for _, size := range []int{1, 4, 5, 100, 1200, maxRelayed - 100} {
		for _, way := range [][2]net.PacketConn{{a, b}, {b, a}} {
			data := randomBytes(size)
			got := make(chan []byte, 1)
			go func() {
				buf := make([]byte, 2000)
				for {
					n, from, err := way[1].ReadFrom(buf)
					if err != nil {
						close(got)
						return
					}
					if bytes.Equal(buf[:n], data) && from.String() == way[0].LocalAddr().String() {
						got <- buf[:n]
						return
					}
				}
			}()
			_ = way[1].SetReadDeadline(time.Now().Add(patience))
			deadline := time.Now().Add(patience)
			for done := false; !done; {
				if _, err := way[1].WriteTo([]byte("open"), way[0].LocalAddr()); err != nil { // gives the permission
					t.Fatal(err)
				}
				if _, err := way[0].WriteTo(data, way[1].LocalAddr()); err != nil {
					t.Fatal(err)
				}
				select {
				case packet := <-got:
					done = true
					if packet == nil {
						t.Fatalf("%d bytes from %s did not come to %s", size, way[0].LocalAddr(), way[1].LocalAddr())
					}
				case <-time.After(20 * time.Millisecond):
					if time.Now().After(deadline) {
						t.Fatalf("%d bytes did not come", size)
					}
				}
			}
		}
	}
}

// Nobody gets packets of those for whom it has given no permission (RFC 8656 section 9), and they cost no bandwidth.
func TestStrangersDoNotGetThrough(t *testing.T) {
	r := start(t, Options{MaxBandwidthPerMember: 1000})
	// The other's address on a port without permissions: the media port's address is the same, so the permission goes.
	a, b := r.raw("udp", "a"), r.raw("tcp", "b")
	to, from := a.mustAllocate(), b.mustAllocate()
	if code, _ := b.do(stun.MethodCreatePermission, peer(to)); code != 0 {
		t.Fatal(code)
	}
	b.sendTo(to, make([]byte, 900))
	if code, _ := b.do(stun.MethodRefresh); code != 0 {
		t.Fatal(code)
	}
	if code, _ := a.do(stun.MethodCreatePermission, peer(from)); code != 0 {
		t.Fatal(code)
	}
	if s := r.Stats(); s.PacketsDropped != 1 || s.BytesSent != 0 {
		t.Errorf("%+v", s)
	}
	time.Sleep(time.Second) // b has its bandwidth again
	b.sendTo(to, make([]byte, 900))
	if data := a.receive(patience); !bytes.Contains(data, make([]byte, 900)) {
		t.Errorf("with a permission: %x", data)
	}
}

// What a member relays is bounded, in both directions together, and others are not.
func TestBandwidthPerMember(t *testing.T) {
	const perSecond = 100_000
	r := start(t, Options{MaxBandwidthPerMember: perSecond})
	a, b, c := r.raw("tcp", "a"), r.raw("tcp", "a"), r.raw("tcp", "c")
	to := a.mustAllocate()
	b.mustAllocate()
	c.mustAllocate()
	for _, client := range []*raw{b, c} {
		if code, _ := client.do(stun.MethodCreatePermission, peer(r.media())); code != 0 {
			t.Fatal(code)
		}
	}
	const packets, size = 300, 1000 // three seconds' worth, sent at once
	begin := time.Now()
	for range packets {
		b.sendTo(to, make([]byte, size)) // to nobody's permission: only the sender's side counts
	}
	if code, _ := b.do(stun.MethodRefresh); code != 0 {
		t.Fatal(code)
	}
	most := uint64(perSecond + time.Since(begin).Seconds()*perSecond + size)
	if s := r.Stats(); s.BytesReceived < perSecond/2 || s.BytesReceived > most || s.PacketsDropped == 0 {
		t.Errorf("at most %d bytes: %+v", most, s)
	}
	before := r.Stats().BytesReceived
	c.sendTo(to, make([]byte, size))
	if code, _ := c.do(stun.MethodRefresh); code != 0 {
		t.Fatal(code)
	}
	if n := r.Stats().BytesReceived - before; n != size {
		t.Errorf("another member: %d bytes", n)
	}
}

func TestQuotas(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{MaxAllocations: 5, MaxAllocationsPerMember: 3})
		var first *raw
		for i := range 3 {
			client := r.raw(transport, "a")
			client.mustAllocate()
			if i == 0 {
				first = client
			}
		}
		if _, code := r.raw(transport, "a").allocate(); code != 486 {
			t.Errorf("one too many of a member: %d", code)
		}
		r.raw(transport, "b").mustAllocate()
		r.raw(transport, "c").mustAllocate()
		if _, code := r.raw(transport, "d").allocate(); code != 508 {
			t.Errorf("one too many of all: %d", code)
		}
		if s := r.Stats(); s.Allocations != 5 || s.Refused["quota"] != 1 || s.Refused["capacity"] != 1 {
			t.Errorf("%+v", s)
		}
		if code, _ := first.do(stun.MethodRefresh, lifetime(0)); code != 0 {
			t.Fatal(code)
		}
		r.raw(transport, "a").mustAllocate()
	})
}

// A port that is taken is left out.
func TestPortsAreGivenOnce(t *testing.T) {
	r := start(t, Options{})
	before := r.nextPort.Load()
	first := r.raw("udp", "a").mustAllocate()
	second := r.raw("udp", "b").mustAllocate()
	r.nextPort.Store(before)
	third := r.raw("tcp", "c").mustAllocate()
	if first == second || third == first || third == second {
		t.Errorf("%s, %s, %s", first, second, third)
	}
}

// An allocation that is not renewed ends with its lifetime, and its address is free again.
func TestAllocationsExpire(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{MaxAllocationsPerMember: 1, MaxAllocations: 1})
		relayed := r.raw(transport, "a").mustAllocate(lifetime(1))
		r.eventually("expired", func() bool { return r.Stats().Allocations == 0 })
		r.eventually("a free address", func() bool {
			v, err := r.port.Virtual(relayed, func([]byte, netip.AddrPort) {})
			if err == nil {
				v.Close()
			}
			return err == nil
		})
		r.raw(transport, "a").mustAllocate()
	})
}

// Many allocations at once keep within the bounds, and give everything back.
func TestAllocationsAreCountedUnderLoad(t *testing.T) {
	r := start(t, Options{MaxAllocations: 20, MaxAllocationsPerMember: 15})
	for range 3 {
		granted := make(chan *raw, 60)
		var all int
		for i := range 60 {
			client := r.raw([]string{"udp", "tcp"}[i%2], []string{"a", "b"}[i/30])
			go func() { // should it call Fatal, the test ends by its deadline
				if _, code := client.allocate(); code != 0 {
					client = nil
				}
				granted <- client
			}()
		}
		var open []*raw
		for range 60 {
			if client := <-granted; client != nil {
				open = append(open, client)
				all++
			}
		}
		if n := r.Stats().Allocations; all != 20 || n != 20 {
			t.Errorf("%d granted, %d there", all, n)
		}
		for _, client := range open {
			if code, _ := client.do(stun.MethodRefresh, lifetime(0)); code != 0 {
				t.Errorf("the end: %d", code)
			}
		}
		r.eventually("all given back", func() bool { return r.Stats().Allocations == 0 })
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) != 0 || len(r.clients) != 0 || r.reserved != 0 {
		t.Errorf("%d members, %d clients, %d reserved", len(r.members), len(r.clients), r.reserved)
	}
}

// connection makes a peer connection on loopback.
func connection(t *testing.T, configure func(*webrtc.SettingEngine), config webrtc.Configuration) *webrtc.PeerConnection {
	t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetRelayAcceptanceMinWait(0) // there is nothing else to wait for
	if configure != nil {
		configure(&settings)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	return pc
}

func describe(t *testing.T, pc *webrtc.PeerConnection, make func() (webrtc.SessionDescription, error)) webrtc.SessionDescription {
	t.Helper()
	desc, err := make()
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(desc); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return *pc.LocalDescription()
}

// connect joins two connections by a data channel that echoes, and returns the pair that the first one has selected.
func connect(t *testing.T, a, b *webrtc.PeerConnection) *webrtc.ICECandidatePair {
	t.Helper()
	b.OnDataChannel(func(dc *webrtc.DataChannel) {
		dc.OnMessage(func(m webrtc.DataChannelMessage) { _ = dc.SendText(string(m.Data)) })
	})
	dc, err := a.CreateDataChannel("echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	echoed := make(chan string, 1)
	dc.OnOpen(func() { _ = dc.SendText("hello") })
	dc.OnMessage(func(m webrtc.DataChannelMessage) { echoed <- string(m.Data) })
	if err := b.SetRemoteDescription(describe(t, a, func() (webrtc.SessionDescription, error) { return a.CreateOffer(nil) })); err != nil {
		t.Fatal(err)
	}
	if err := a.SetRemoteDescription(describe(t, b, func() (webrtc.SessionDescription, error) { return b.CreateAnswer(nil) })); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-echoed:
		if text != "hello" {
			t.Errorf("echoed %q", text)
		}
	case <-time.After(patience):
		t.Fatal("no connection")
	}
	pair, err := a.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// iceServer is the server as a browser's page is told of it.
func (r *rig) iceServer(transport, member string) webrtc.Configuration {
	var reach Reach
	if transport == "udp" {
		reach.UDP = r.port.Addresses()
	} else {
		reach.TCP = []netip.AddrPort{addrPortOf(r.tcp)}
	}
	server := r.Account(reach.URLs()).For(member)
	return webrtc.Configuration{
		ICEServers:         []webrtc.ICEServer{{URLs: server.URLs, Username: server.Username, Credential: server.Credential}},
		ICETransportPolicy: webrtc.ICETransportPolicyRelay,
	}
}

// A whole connection (ICE, DTLS, SCTP) of a client that only relays, to the media port; and of two of them to each other, as
// in a peer-to-peer room.
func TestConnectionsThroughRelays(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{})
		client := connection(t, nil, r.iceServer(transport, "client"))
		server := connection(t, func(s *webrtc.SettingEngine) { s.SetICEUDPMux(r.port.Mux()) }, webrtc.Configuration{})
		if pair := connect(t, client, server); pair.Local.Typ != webrtc.ICECandidateTypeRelay || addrPort(pair.Remote) != r.media() {
			t.Errorf("%s", pair)
		}
		a, b := connection(t, nil, r.iceServer(transport, "a")), connection(t, nil, r.iceServer(transport, "b"))
		if pair := connect(t, a, b); pair.Local.Typ != webrtc.ICECandidateTypeRelay || r.relayAt(addrPort(pair.Remote)) == nil {
			t.Errorf("%s", pair)
		}
		if s := r.port.Stats(); s.Overrun != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func addrPort(c *webrtc.ICECandidate) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(c.Address), c.Port)
}

// The outside addresses of the media port lead to it too, answer by their own names, and are those of relayed addresses.
func TestAdvertisedAddresses(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{})
		inner, outer := netip.MustParseAddrPort("10.9.9.9:443"), netip.MustParseAddrPort("203.0.113.9:443")
		r.Advertise([]netip.AddrPort{inner, outer, netip.MustParseAddrPort("[2001:db8::9]:443")})
		client := r.client(transport, "here")
		if got := addrPortOf(client.LocalAddr()).Addr(); got != outer.Addr() {
			t.Errorf("relayed address %s", got)
		}
		// ICE does not know the user, but its socket gets the question; so a peer is put there.
		from := addrPortOf(client.LocalAddr())
		got := make(chan []byte, 10)
		route := r.port.Route(r.media(), from, func(packet []byte) bool {
			got <- bytes.Clone(packet)
			return true
		})
		if route == nil {
			t.Skip("this system has no routes")
		}
		defer route.Close()
		buf := make([]byte, 100)
		_ = client.SetReadDeadline(time.Now().Add(patience))
		for _, to := range []netip.AddrPort{inner, outer, r.media(), outer} {
			media := append([]byte{0x80}, to.String()...)
			if _, err := client.WriteTo(media, net.UDPAddrFromAddrPort(to)); err != nil {
				t.Fatal(err)
			}
			if packet := <-got; !bytes.Equal(packet, media) {
				t.Errorf("to %s came %x", to, packet)
			}
			if err := route.Write(media, traffic.Video); err != nil {
				t.Fatal(err)
			}
			n, by, err := client.ReadFrom(buf)
			if err != nil || !bytes.Equal(buf[:n], media) || addrPortOf(by) != to {
				t.Fatalf("%x came back from %s: %v", buf[:n], by, err)
			}
		}
	})
}

// Close ends clients of both transports in the middle of their traffic, and leaves the media port open.
func TestClose(t *testing.T) {
	r := start(t, Options{})
	clients := []net.PacketConn{r.client("udp", "a"), r.client("tcp", "b"), r.client("tcp", "c")}
	idle := r.dial("tcp")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_, _ = clients[i%3].WriteTo(make([]byte, 500), clients[(i+1)%3].LocalAddr())
			}
		}
	}()
	r.eventually("traffic", func() bool { return r.Stats().BytesSent > 10_000 })
	r.close()
	if n := r.Stats().Allocations; n != 0 {
		t.Errorf("%d allocations", n)
	}
	_ = idle.SetReadDeadline(time.Now().Add(patience))
	if _, err := idle.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("an idle connection: %v", err)
	}
	close(stop)
	for _, c := range clients {
		_ = c.Close()
	}
	<-done
	if _, err := r.port.Virtual(netip.MustParseAddrPort("192.0.2.1:1024"), func([]byte, netip.AddrPort) {}); err != nil {
		t.Errorf("the media port: %v", err)
	}
	r.close() // again
}

// Open takes its listener over even where it fails.
func TestOpenOnAClosedPort(t *testing.T) {
	port, err := network.Open(network.Options{Addresses: []netip.Addr{localhost}})
	if err != nil {
		t.Fatal(err)
	}
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Port: port})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
