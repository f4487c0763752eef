package sfu

import (
	"net/netip"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"skillsage/sfu/media"
)

// Route is the short way of one client's media: from the socket's reader to its
// port, and back.
type Route = interface {
	media.Wire
	Close()
}

// OpenRoute makes the Route of a client's address; nil: there is none for it.
type OpenRoute = func(local, remote netip.AddrPort, receive func(packet []byte) bool) Route

// routing keeps a connection's route to the address that ICE has selected. Its
// methods are safe for concurrent use.
type routing struct {
	udp, tcp OpenRoute // nil: there are no routes
	port     *media.Port

	mu       sync.Mutex // guards the rest
	protocol webrtc.ICEProtocol
	remote   netip.AddrPort
	route    Route // nil: none
	closed   bool
}

// follow makes the route that of a candidate pair. A pair that can't have one leaves the connection where it was:
// what is sent must go on somewhere.
func (r *routing) follow(pair *webrtc.ICECandidatePair) {
	if pair == nil || pair.Local == nil || pair.Remote == nil {
		return
	}
	protocol, open := pair.Local.Protocol, r.udp
	if protocol == webrtc.ICEProtocolTCP {
		open = r.tcp
	}
	if open == nil {
		return
	}
	remote, err := addressOf(pair.Remote)
	if err != nil {
		return
	}
	local, _ := addressOf(pair.Local) // an address that is nobody's stands for any
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.remote == remote && r.protocol == protocol {
		return
	}
	route := open(local, remote, r.port.Deliver)
	if route == nil {
		return
	}
	r.port.SetWire(route)
	if r.route != nil {
		r.route.Close()
	}
	r.route, r.remote, r.protocol = route, remote, protocol
}

// close ends the route for good.
func (r *routing) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.route != nil {
		r.route.Close()
		r.route = nil
	}
}

// addressOfStack is addressOf for a candidate of the ICE agent's; not valid if it has no IP address.
func addressOfStack(c ice.Candidate) netip.AddrPort {
	addr, err := netip.ParseAddr(c.Address())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(c.Port()))
}

func addressOf(c *webrtc.ICECandidate) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(c.Address)
	return netip.AddrPortFrom(addr.Unmap(), c.Port), err
}
