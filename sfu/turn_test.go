package sfu

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/network/turn"
)

// TestCallThroughTURN: clients who can send nothing but TURN, by UDP or TCP, get their call through the relayed addresses
// that lead to the media port inside the process, on the short way and after an ICE restart too.
func TestCallThroughTURN(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			port := openPort(t)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server, err := turn.Open(turn.Options{Port: port, Listener: listener, Realm: "test", CredentialTTL: time.Hour, MaxAllocations: 100, MaxAllocationsPerMember: 50})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { // after the clients' end, before the port's
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				if err := server.Close(ctx); err != nil {
					t.Error(err)
				}
			})
			c := newCall(t, Options{UDPMux: port.Mux(), Route: port.Route})
			reach := turn.Reach{UDP: port.Addresses()}
			if transport == "tcp" {
				reach = turn.Reach{TCP: []netip.AddrPort{listener.Addr().(*net.TCPAddr).AddrPort()}}
			}
			join := func(id, role string) *client {
				p := c.join(id, role)
				account := server.Account(reach.URLs()).For(id)
				p.config = webrtc.Configuration{
					ICETransportPolicy: webrtc.ICETransportPolicyRelay,
					ICEServers:         []webrtc.ICEServer{{URLs: account.URLs, Username: account.Username, Credential: account.Credential}},
				}
				return p
			}
			r, k := join("R", "recruiter"), join("C", "candidate")
			r.offer("C")
			r.gets("C")
			k.gets("R")
			if direct, stack := c.directs(); direct != 2 || stack != 0 {
				t.Errorf("%d legs take the short way, %d do not", direct, stack)
			}
			if s := server.Stats(); s.Allocations < 2 || s.BytesReceived == 0 || s.BytesSent == 0 {
				t.Errorf("%+v", s)
			}
			c.restartICE(r.connection(clientKey{"C", false}, false))
			r.gets("C")
			k.gets("R")
		})
	}
}
