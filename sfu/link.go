package sfu

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
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
	path     atomic.Pointer[Path]              // nil: no pair is selected
	rtt      atomic.Int64                      // ns, of the last connectivity check; 0: not known
	selected atomic.Pointer[selection]         // nil: no pair has been
	checks   atomic.Pointer[ice.CandidatePair] // on which the client's checks of the selected pair come; nil: none have
	waiting  atomic.Pointer[selection]         // a pair that has yet to answer a check before media go there; nil: none
}

// selection is a candidate pair that the stack has selected.
type selection struct {
	pair   *webrtc.ICECandidatePair
	remote netip.AddrPort
	ufrag  string // the server's, which a restart of ICE changes; empty: not known
	at     time.Time
}

// watch follows the selected candidate pair, and so does the route.
func (k *link) watch(pc *webrtc.PeerConnection, route *routing) {
	pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) {
		k.path.Store(&Path{Transport: transportOf(pair), Local: typeOf(pair.Local), Remote: typeOf(pair.Remote)})
		k.follow(pc, route, pair)
	})
}

// follow takes note of the selected pair and has the route go there, unless its address has yet to answer a check of the
// server's (see conn.onCheck). It blocks on the ICE agent.
func (k *link) follow(pc *webrtc.PeerConnection, route *routing, pair *webrtc.ICECandidatePair) {
	if pair == nil {
		return
	}
	s := &selection{pair: pair, at: time.Now()}
	var err error
	if s.remote, err = addressOf(pair.Remote); err != nil {
		return
	}
	if own, err := pc.SCTP().Transport().ICETransport().GetLocalParameters(); err == nil {
		s.ufrag = own.UsernameFragment
	}
	if old := k.selected.Load(); old != nil && old.remote == s.remote {
		s.at = old.at
	} else {
		k.checks.Store(nil)
	}
	k.selected.Store(s)
	if !answered(pc) {
		k.waiting.Store(s)
		return
	}
	k.waiting.Store(nil)
	route.follow(pair)
}

// prove has the route go to the selected address if that has answered by now. It blocks on the ICE agent.
func (k *link) prove(pc *webrtc.PeerConnection, route *routing) {
	waiting := k.waiting.Load()
	if waiting != nil && k.selected.Load().remote == waiting.remote && answered(pc) && k.waiting.CompareAndSwap(waiting, nil) {
		route.follow(waiting.pair)
	}
}

// answered tells whether a check of the server's has been answered on the selected pair.
func answered(pc *webrtc.PeerConnection) bool {
	stats, ok := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	return ok && stats.ResponsesReceived > 0
}

// checked is when a connectivity check of the selected pair last succeeded, in either direction, or the pair was
// selected; the zero time if none has been.
func (k *link) checked() time.Time {
	selected, pair := k.selected.Load(), k.checks.Load()
	if selected == nil {
		return time.Time{}
	}
	if pair == nil {
		return selected.at
	}
	return latest(selected.at, pair.LastRequestReceivedAt(), pair.LastResponseReceivedAt())
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// probe asks the stack for the round trip time of its connectivity checks. It
// blocks on the ICE agent.
func (k *link) probe(pc *webrtc.PeerConnection) {
	stats, ok := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if ok && stats.CurrentRoundTripTime > 0 && stats.CurrentRoundTripTime < 10 {
		k.rtt.Store(int64(stats.CurrentRoundTripTime * float64(time.Second)))
	}
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
