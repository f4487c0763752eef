package sfu

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/impair"
)

func TestCandidateValues(t *testing.T) {
	at := netip.MustParseAddrPort
	got := candidateValues([]Candidate{
		{UDP, at("[2001:db8::1]:443")}, {UDP, at("203.0.113.1:443")}, {UDP, at("203.0.113.1:3478")},
		{TCP, at("203.0.113.1:443")}, {TCP, at("10.0.0.1:443")}, {SSLTCP, at("203.0.113.1:443")},
	})
	// As in RFC 8445 section 5.1.2.1: type preference, local preference, 255 for component 1.
	want := []string{
		" 1 udp 2130706431 2001:db8::1 443 typ host",
		" 1 udp 2130706175 203.0.113.1 443 typ host",
		" 1 udp 2130705919 203.0.113.1 3478 typ host",
		" 1 tcp 1520434431 203.0.113.1 443 typ host tcptype passive",
		" 1 tcp 1520434175 10.0.0.1 443 typ host tcptype passive",
		" 1 ssltcp 1503656703 203.0.113.1 443 typ host tcptype passive",
	}
	foundations := map[string]bool{}
	for i, value := range got {
		foundation, rest, _ := strings.Cut(value, " ")
		foundations[foundation] = true
		if i >= len(want) || " "+rest != want[i] {
			t.Errorf("%q, want %q", " "+rest, want[min(i, len(want)-1)])
		}
	}
	// One for each protocol and address: the two UDP ports of one address share theirs.
	if len(got) != len(want) || len(foundations) != len(want)-1 {
		t.Errorf("%d candidates of %d foundations", len(got), len(foundations))
	}
	if n := len(candidateValues(slices.Repeat([]Candidate{{UDP, at("203.0.113.1:443")}}, 1000))); n != maxOwnCandidates {
		t.Errorf("%d candidates", n)
	}
	if candidateValues(nil) != nil {
		t.Error("something was made of nothing")
	}
}

// TestAdvertisedAddress: clients are told an address that the stack has never heard of, since something on the way
// translates it, and hide their own. Legs that the server answers and those that it offers connect by it.
func TestAdvertisedAddress(t *testing.T) {
	t.Parallel()
	port := openPort(t)
	outside, err := impair.New(impair.Options{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Target: port.Addresses()[0]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { outside.Close() })
	c := newCall(t, Options{UDPMux: port.Mux(), Route: port.Route, Candidates: func() []Candidate { return []Candidate{{UDP, outside.Addr()}} }})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	pcs := []*webrtc.PeerConnection{r.connection(clientKey{"C", false}, true), k.connection(clientKey{"R", false}, true)}
	for _, pc := range pcs {
		pc.OnICECandidate(func(*webrtc.ICECandidate) {})
	}
	r.offer("C")
	r.gets("C")
	k.gets("R")
	if direct, stack := c.directs(); direct != 2 || stack != 0 {
		t.Errorf("%d legs take the short way, %d do not", direct, stack)
	}
	for _, pc := range pcs {
		told := parsed(t, pc.RemoteDescription().SDP).Candidates
		if want := candidateValues([]Candidate{{UDP, outside.Addr()}}); !slices.Equal(told, want) {
			t.Errorf("the client was told %q, want %q", told, want)
		}
	}
	for _, m := range c.snapshot()[0].Members {
		for _, l := range m.Legs {
			if l.Transport != "udp" || l.Local != "host" || l.Remote != "prflx" {
				t.Errorf("%s towards %s: %s from %s to %s", m.ID, l.Peer, l.Transport, l.Remote, l.Local)
			}
		}
	}
}
