// Package page has Pion behave as the browser of a page does, where the two differ and a server notices. Tests build
// their clients on it.
package page

import (
	"net"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"skillsage/sfu/jsep"
)

// NewConnection opens a connection that only has addresses of the loopback interface. codecs nil means the stack's own.
func NewConnection(codecs *webrtc.MediaEngine) (*webrtc.PeerConnection, error) {
	return NewConfigured(codecs, webrtc.Configuration{})
}

// NewConfigured is NewConnection for pages that know ICE servers, and with other networks than UDP over IPv4.
func NewConfigured(codecs *webrtc.MediaEngine, config webrtc.Configuration, networks ...webrtc.NetworkType) (*webrtc.PeerConnection, error) {
	if codecs == nil {
		codecs = &webrtc.MediaEngine{}
		if err := codecs.RegisterDefaultCodecs(); err != nil {
			return nil, err
		}
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetRelayAcceptanceMinWait(0) // browsers do not wait
	settings.SetDTLSRetransmissionInterval(50 * time.Millisecond)
	settings.SetICEMaxBindingRequests(75) // the stack's default gives an address up after a second and a half, a browser after 15
	if len(networks) == 0 {
		networks = []webrtc.NetworkType{webrtc.NetworkTypeUDP4}
	}
	settings.SetNetworkTypes(networks)
	return webrtc.NewAPI(webrtc.WithMediaEngine(codecs), webrtc.WithSettingEngine(settings)).NewPeerConnection(config)
}

// Alive changes a server's description so that the stack does not stop a transceiver for good because neither side
// sends in it for the moment.
func Alive(sdp string) string { return strings.ReplaceAll(sdp, "a=inactive", "a=recvonly") }

// Obey reads from a server's description in which sections (by mid) the server wants to receive: browsers send nowhere
// else, and the stack does. If that description was an offer, the client's answer is returned with directions that
// say so; an empty answer stays empty.
func Obey(remote, answer string) (wanted map[string]bool, own string, err error) {
	desc, err := jsep.Parse(remote)
	if err != nil {
		return nil, "", err
	}
	wanted = make(map[string]bool, len(desc.Sections))
	for _, s := range desc.Sections {
		wanted[s.MID] = s.Direction.Recv
	}
	if answer == "" {
		return wanted, "", nil
	}
	parsed, err := jsep.Parse(answer)
	if err != nil {
		return nil, "", err
	}
	own, err = jsep.Rewrite(answer, func(mid string) (jsep.Local, bool) {
		s, offered := parsed.Section(mid), desc.Section(mid)
		if s == nil || offered == nil || offered.Kind == jsep.Application || s.Rejected {
			return jsep.Local{}, false
		}
		local := jsep.Local{Send: s.Direction.Send && offered.Direction.Recv, Recv: s.Direction.Recv && offered.Direction.Send}
		if s.Kind == jsep.Audio {
			local.Opus = jsep.OpusOf(s)
		}
		return local, true
	}, nil)
	return wanted, own, err
}
