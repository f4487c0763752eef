package front

import (
	"net"
	"net/netip"
	"sync"
)

// pending are the connections that are being told apart.
type pending struct {
	// Static.
	max    int
	shared []netip.Prefix

	mu     sync.Mutex
	left   sync.Cond // somebody left, or closed was set
	conns  map[net.Conn]netip.Addr
	from   map[netip.Addr]int // how many of conns, without the shared addresses
	closed bool
}

func (p *pending) open(limit int, shared []netip.Prefix) {
	p.max, p.shared = limit, shared
	p.left.L = &p.mu
	p.conns = make(map[net.Conn]netip.Addr)
	p.from = make(map[netip.Addr]int)
}

// enter waits for a place. It refuses a connection whose address has as many places as are free: so one address gets half
// of all, n addresses n/(n+1), and somebody new always finds one. After close it refuses all.
func (p *pending) enter(conn net.Conn) error {
	addr := p.address(conn)
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.conns) >= p.max && !p.closed {
		p.left.Wait()
	}
	if p.closed {
		return net.ErrClosed
	}
	if addr.IsValid() {
		if p.from[addr] >= p.max-len(p.conns) {
			return refused(reasonShare)
		}
		p.from[addr]++
	}
	p.conns[conn] = addr
	return nil
}

// leave gives the place back.
func (p *pending) leave(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	addr := p.conns[conn]
	delete(p.conns, conn)
	if p.from[addr]--; p.from[addr] <= 0 {
		delete(p.from, addr)
	}
	p.left.Signal()
}

// address is what a connection counts for: the network for IPv6, where one host has many addresses; nothing for shared ones.
func (p *pending) address(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, prefix := range p.shared {
		if prefix.Contains(addr) {
			return netip.Addr{}
		}
	}
	if addr.Is6() {
		network, _ := addr.Prefix(64) // fails for no length up to 128
		return network.Addr()
	}
	return addr
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// close closes all connections, which ends the goroutines that wait for them.
func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.left.Broadcast()
}
