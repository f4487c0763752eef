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
	virtual *Virtual               // nil: the peer is out there, in the network
	current atomic.Pointer[socket] // the one that packets leave by
}

// Route makes a route for the peer at remote, in the place of an older one for that address. Packets leave from
// local until some have come by another socket; a local that is no socket's stands for any. receive is called on
// the goroutine of whoever brings the packet, a reader's or that of a Virtual peer, and must not block; the packet is
// its own during the call. When it reports false the packet, then unchanged, goes the long way. Nil: there is no socket
// for that address, or on this system no short way.
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
	r.virtual = r.sockets[0].virtuals.get(remote)
	for _, s := range r.sockets {
		s.routes.set(remote, r)
	}
	return r
}

// Write takes no notice of the kind: a datagram that finds the socket's queue full is dropped, whatever it is.
func (r *route) Write(packet []byte, _ traffic.Kind) error {
	s := r.current.Load()
	if r.virtual != nil {
		r.virtual.receive(packet, s.addr)
		return nil
	}
	return s.write(packet, r.remote)
}

// cameBy makes s the socket that packets leave by.
func (r *route) cameBy(s *socket) {
	if r.current.Load() != s {
		r.current.Store(s)
	}
}

func (r *route) Close() {
	for _, s := range r.sockets {
		s.routes.remove(r.remote, r)
	}
}

// table is what one socket knows of the addresses of some of its peers. The zero value is empty.
type table[T any] struct {
	mu      sync.Mutex
	entries atomic.Pointer[map[netip.AddrPort]*T] // copied on write under mu: joins are rare, packets are not. Nil: empty
}

// any tells, at the price of one load, whether there is anything to get.
func (t *table[T]) any() bool { return t.entries.Load() != nil }

func (t *table[T]) get(addr netip.AddrPort) *T {
	entries := t.entries.Load()
	if entries == nil {
		return nil
	}
	return (*entries)[addr]
}

func (t *table[T]) set(addr netip.AddrPort, entry *T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := make(map[netip.AddrPort]*T)
	if old := t.entries.Load(); old != nil {
		entries = maps.Clone(*old)
	}
	entries[addr] = entry
	t.entries.Store(&entries)
}

// remove takes an entry away, unless another one has its place.
func (t *table[T]) remove(addr netip.AddrPort, entry *T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.get(addr) != entry {
		return
	}
	entries := maps.Clone(*t.entries.Load())
	delete(entries, addr)
	if len(entries) == 0 {
		t.entries.Store(nil)
		return
	}
	t.entries.Store(&entries)
}

// isMedia tells SRTP and SRTCP from STUN, DTLS and TURN (RFC 7983 section 7).
func isMedia(packet []byte) bool { return len(packet) > 1 && packet[0] >= 128 && packet[0] < 192 }
