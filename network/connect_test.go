package network

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// connection makes a peer connection without mDNS; on mux if there is one.
func connection(t *testing.T, mux ice.UDPMux) *webrtc.PeerConnection {
	t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetIncludeLoopbackCandidate(true)
	if mux != nil {
		settings.SetICEUDPMux(mux)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	return pc
}

// describe sets a local description and returns it with all candidates.
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

// Several whole connections (ICE, DTLS, SCTP) share the port, on a real address and on loopback.
func TestConnectionsShareThePort(t *testing.T) {
	const connections = 4
	for _, loopback := range []bool{false, true} {
		opts := Options{Loopback: LoopbackYes}
		if loopback {
			opts = Options{Addresses: []netip.Addr{localhost}}
		}
		p := open(t, opts)
		echoed := make(chan string, connections)
		for range connections {
			server, client := connection(t, p.Mux()), connection(t, nil)
			server.OnDataChannel(func(dc *webrtc.DataChannel) {
				dc.OnMessage(func(m webrtc.DataChannelMessage) { _ = dc.SendText(string(m.Data)) })
			})
			dc, err := client.CreateDataChannel("echo", nil)
			if err != nil {
				t.Fatal(err)
			}
			dc.OnOpen(func() { _ = dc.SendText("hello") })
			dc.OnMessage(func(m webrtc.DataChannelMessage) { echoed <- string(m.Data) })

			if err := server.SetRemoteDescription(describe(t, client, func() (webrtc.SessionDescription, error) { return client.CreateOffer(nil) })); err != nil {
				t.Fatal(err)
			}
			if err := client.SetRemoteDescription(describe(t, server, func() (webrtc.SessionDescription, error) { return server.CreateAnswer(nil) })); err != nil {
				t.Fatal(err)
			}
		}
		for range connections {
			select {
			case text := <-echoed:
				if text != "hello" {
					t.Errorf("echoed %q", text)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("no connection on %v; %+v", p.Addresses(), p.Stats())
			}
		}
		if s := p.Stats(); s.PacketsIn == 0 || s.PacketsOut == 0 || s.Dropped != 0 {
			t.Errorf("%+v", s)
		}
	}
}
