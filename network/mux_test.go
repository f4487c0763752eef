package network

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/muxes"
)

// TestConnectionsAreCounted holds the count against the maps of Pion's own muxes: for connections that come up,
// are restarted, are given up before anything arrives, and end.
func TestConnectionsAreCounted(t *testing.T) {
	p := open(t, Options{Addresses: []netip.Addr{localhost, netip.MustParseAddr("127.0.0.2")}})
	holds := func(what string, legs int, anyAddresses bool) {
		t.Helper()
		var conns, addresses int
		deadline := time.Now().Add(10 * time.Second)
		for {
			var err error
			if conns, addresses, err = muxes.Entries(p.mux); err != nil {
				t.Fatal(err)
			}
			if s := p.Stats(); s.Connections == 2*legs && conns == 2*legs && (addresses > 0) == anyAddresses {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d connections counted, the muxes hold %d and %d addresses; want 2 for each of %d legs",
					what, p.Stats().Connections, conns, addresses, legs)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	holds("at first", 0, false)

	offered := connection(t, p.Mux())
	if _, err := offered.CreateDataChannel("data", nil); err != nil {
		t.Fatal(err)
	}
	describe(t, offered, func() (webrtc.SessionDescription, error) { return offered.CreateOffer(nil) })
	holds("an offer that nobody answers", 1, false)

	server, client := connection(t, p.Mux()), connection(t, nil)
	if _, err := client.CreateDataChannel("data", nil); err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{}, 8)
	server.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) {
		if state == webrtc.ICEConnectionStateConnected {
			up <- struct{}{}
		}
	})
	exchange := func(options *webrtc.OfferOptions) {
		t.Helper()
		if err := server.SetRemoteDescription(describe(t, client, func() (webrtc.SessionDescription, error) { return client.CreateOffer(options) })); err != nil {
			t.Fatal(err)
		}
		if err := client.SetRemoteDescription(describe(t, server, func() (webrtc.SessionDescription, error) { return server.CreateAnswer(nil) })); err != nil {
			t.Fatal(err)
		}
		select {
		case <-up:
		case <-time.After(30 * time.Second):
			t.Fatal("no connection")
		}
	}
	exchange(nil)
	holds("a connection that is up", 2, true)
	exchange(&webrtc.OfferOptions{ICERestart: true})
	holds("after an ICE restart", 2, true)
	for _, pc := range []*webrtc.PeerConnection{offered, server} {
		if err := pc.GracefulClose(); err != nil {
			t.Fatal(err)
		}
	}
	holds("after both were closed", 0, false)
}

// TestCloseForgetsConnections: a port that is closed under its agents holds nothing.
func TestCloseForgetsConnections(t *testing.T) {
	p, err := Open(Options{Addresses: []netip.Addr{localhost}})
	if err != nil {
		t.Fatal(err)
	}
	pc := connection(t, p.Mux())
	if _, err := pc.CreateDataChannel("data", nil); err != nil {
		t.Fatal(err)
	}
	describe(t, pc, func() (webrtc.SessionDescription, error) { return pc.CreateOffer(nil) })
	if n := p.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if n := p.Stats().Connections; n != 0 {
		t.Errorf("%d connections after Close", n)
	}
	if err := pc.GracefulClose(); err != nil {
		t.Error(err)
	}
	if n := p.Stats().Connections; n != 0 {
		t.Errorf("%d connections after their agent's end", n)
	}
}
