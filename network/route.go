package network

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"

	"skillsage/network/traffic"
)

// Route is the short way of one peer's media: SRTP and SRTCP (RFC 7983) from its address go from the reader of
// the socket straight to a function, past ICE and the rest of the stack, which keep all else. It is safe for
// concurrent use. (An alias, so that a Port fits whoever names the same methods.)
type Route = interface {
	// Write sends a packet to the peer. It copies the packet and does not block; kind decides which
	// packets are given up where not all get through.
	Write(packet []byte, kind traffic.Kind) error
	// Close ends the route. A call of its function may still be going on.
	Close()
}

type route struct {
	remote  netip.AddrPort
	receive func(packet []byte) bool
	sockets []*socket              // of the peer's family of addresses
	current atomic.Pointer[socket] // the one that packets leave by
}

// Route makes a route for the peer at remote, in the place of an older one for that address. Packets leave from
// local until some have come by another socket; a local that is no socket's stands for any. receive is called on
// the reader's goroutine and must not block; the packet is its own during the call. When it reports false the
// packet, then unchanged, goes the long way. Nil: there is no socket for that address, or on this system no short way.
func (p *Port) Route(local, remote netip.AddrPort, receive func(packet []byte) bool) Route {
	if r := p.route(local, remote, receive); r != nil {
		return r
	}
	return nil
}

func (p *Port) route(local, remote netip.AddrPort, receive func(packet []byte) bool) *route {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	r := &route{remote: remote, receive: receive}
	if !hasRoutes {
		return nil
	}
	for i, s := range p.sockets {
		if p.addrs[i].Addr().Is4() != remote.Addr().Is4() {
			continue
		}
		r.sockets = append(r.sockets, s)
		if r.current.Load() == nil || p.addrs[i].Addr() == local.Addr().Unmap() {
			r.current.Store(s)
		}
	}
	if len(r.sockets) == 0 {
		return nil
	}
	for _, s := range r.sockets {
		s.routes.set(r)
	}
	return r
}

// Write takes no notice of the kind: a datagram that finds the socket's queue full is dropped, whatever it is.
func (r *route) Write(packet []byte, _ traffic.Kind) error {
	_, err := r.current.Load().WriteToAddrPort(packet, r.remote)
	return err
}

// cameBy makes s the socket that packets leave by.
func (r *route) cameBy(s *socket) {
	if r.current.Load() != s {
		r.current.Store(s)
	}
}

func (r *route) Close() {
	for _, s := range r.sockets {
		s.routes.remove(r)
	}
}

// routes are those of one socket.
type routes struct {
	mu    sync.Mutex
	table atomic.Pointer[map[netip.AddrPort]*route] // copied on write under mu: joins are rare, packets are not
}

func newRoutes() *routes {
	r := &routes{}
	r.table.Store(&map[netip.AddrPort]*route{})
	return r
}

func (r *routes) set(route *route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	table := maps.Clone(*r.table.Load())
	table[route.remote] = route
	r.table.Store(&table)
}

// remove takes a route away, unless another one has its place.
func (r *routes) remove(route *route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if (*r.table.Load())[route.remote] != route {
		return
	}
	table := maps.Clone(*r.table.Load())
	delete(table, route.remote)
	r.table.Store(&table)
}

// isMedia tells SRTP and SRTCP from STUN, DTLS and TURN (RFC 7983 section 7).
func isMedia(packet []byte) bool { return len(packet) > 1 && packet[0] >= 128 && packet[0] < 192 }
