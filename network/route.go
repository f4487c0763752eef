package network

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Route is the short way of one peer's media: SRTP and SRTCP (RFC 7983) from its address go from the reader of
// the socket straight to a function, past ICE and the rest of the stack, which keep all else. It is safe for
// concurrent use.
type Route struct {
	remote  netip.AddrPort
	receive func(packet []byte) bool
	sockets []*socket              // of the peer's family of addresses
	current atomic.Pointer[socket] // the one that packets leave by
}

// Route makes a route for the peer at remote, in the place of an older one for that address. Packets leave from
// local until some have come by another socket; a local that is no socket's stands for any. receive is called on
// the reader's goroutine and must not block; the packet is its own during the call. When it reports false the
// packet, then unchanged, goes the long way. Nil: there is no socket for that address, or on this system no short way.
func (p *Port) Route(local, remote netip.AddrPort, receive func(packet []byte) bool) *Route {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	r := &Route{remote: remote, receive: receive}
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

// Write sends a packet to the peer. It copies the packet and does not block.
func (r *Route) Write(packet []byte) error {
	_, err := r.current.Load().WriteToAddrPort(packet, r.remote)
	return err
}

// cameBy makes s the socket that packets leave by.
func (r *Route) cameBy(s *socket) {
	if r.current.Load() != s {
		r.current.Store(s)
	}
}

// Close ends the route. A call of receive may still be going on.
func (r *Route) Close() {
	for _, s := range r.sockets {
		s.routes.remove(r)
	}
}

// routes are those of one socket.
type routes struct {
	mu    sync.Mutex
	table atomic.Pointer[map[netip.AddrPort]*Route] // copied on write under mu: joins are rare, packets are not
}

func newRoutes() *routes {
	r := &routes{}
	r.table.Store(&map[netip.AddrPort]*Route{})
	return r
}

func (r *routes) set(route *Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	table := maps.Clone(*r.table.Load())
	table[route.remote] = route
	r.table.Store(&table)
}

// remove takes a route away, unless another one has its place.
func (r *routes) remove(route *Route) {
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
