package sfu

import (
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
)

// Path is how a leg's packets travel. The words come from fixed lists.
type Path struct {
	Transport string // udp or tcp; empty: not known yet
	Local     string // type of the server's candidate: host, srflx, prflx or relay (RFC 8445 section 4)
	Remote    string // type of the client's
}

// link is what the stack tells of a connection's transport, kept so that nobody
// has to ask. Written by the stack's callbacks and by room.probe, read anywhere.
type link struct {
	path  atomic.Pointer[Path] // nil: no pair is selected
	state atomic.Int32         // a webrtc.PeerConnectionState
	rtt   atomic.Int64         // ns, of the last connectivity check; 0: not known
}

// watch follows the selected candidate pair, and so does the route.
func (k *link) watch(pc *webrtc.PeerConnection, route *routing) {
	pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		k.path.Store(&Path{Transport: transportOf(pair), Local: typeOf(pair.Local), Remote: typeOf(pair.Remote)})
		route.follow(pair)
	})
}

// probe asks the stack for the round trip time of its connectivity checks. It
// blocks on the ICE agent.
func (k *link) probe(pc *webrtc.PeerConnection) {
	stats, ok := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if ok && stats.CurrentRoundTripTime > 0 && stats.CurrentRoundTripTime < 10 {
		k.rtt.Store(int64(stats.CurrentRoundTripTime * float64(time.Second)))
	}
}

func (k *link) unreachable() bool {
	return webrtc.PeerConnectionState(k.state.Load()) == webrtc.PeerConnectionStateDisconnected
}

func transportOf(pair *webrtc.ICECandidatePair) string {
	if pair.Local != nil && pair.Local.Protocol == webrtc.ICEProtocolTCP {
		return "tcp"
	}
	return "udp"
}

func typeOf(c *webrtc.ICECandidate) string {
	if c == nil {
		return "unknown"
	}
	switch c.Typ {
	case webrtc.ICECandidateTypeHost, webrtc.ICECandidateTypeSrflx, webrtc.ICECandidateTypePrflx, webrtc.ICECandidateTypeRelay:
		return c.Typ.String()
	}
	return "unknown"
}
