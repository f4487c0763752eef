package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"skillsage/network/internal/packets"
)

// Virtual is a peer of a Port that is inside this process: packets go between the two without the kernel, though the
// peer has an address as any other. A TURN server's relayed addresses (RFC 8656) are such peers, so that what they
// relay to this server needs no socket. It is safe for concurrent use.
type Virtual struct {
	// Static.
	addr    netip.AddrPort
	receive func(packet []byte, from netip.AddrPort)
	sockets []*socket // of the family of addresses
}

// ErrAddressTaken is the error of Virtual for an address that another peer or the port itself has.
var ErrAddressTaken = errors.New("address is taken")

// Virtual makes a peer at addr, which need not be an address of this machine. receive gets what the port sends to it,
// and from which of the port's addresses, on the goroutine of whoever sends: it must copy what it keeps, and not block.
func (p *Port) Virtual(addr netip.AddrPort, receive func(packet []byte, from netip.AddrPort)) (*Virtual, error) {
	v := &Virtual{addr: plainAddr(addr), receive: receive}
	for _, s := range p.sockets {
		if s.addr.Addr().Is4() == v.addr.Addr().Is4() {
			v.sockets = append(v.sockets, s)
		}
	}
	if len(v.sockets) == 0 {
		return nil, fmt.Errorf("%s: the media port has no address of that family", addr)
	}
	p.virtualMu.Lock()
	defer p.virtualMu.Unlock()
	if p.socketAt(v.addr) != nil || v.sockets[0].virtuals.get(v.addr) != nil {
		return nil, fmt.Errorf("%s: %w", addr, ErrAddressTaken)
	}
	for _, s := range v.sockets {
		s.virtuals.set(v.addr, v)
	}
	return v, nil
}

// Send hands the port a packet as if it had come from the network to one of its Addresses; false: to is none of them. It
// does not block. The packet is the port's during the call, which may change it.
func (v *Virtual) Send(packet []byte, to netip.AddrPort) bool {
	for _, s := range v.sockets {
		if s.addr == to {
			s.take(packet, v.addr)
			return true
		}
	}
	return false
}

// Close takes the peer away. A call of its function may still be going on.
func (v *Virtual) Close() {
	for _, s := range v.sockets {
		s.virtuals.remove(v.addr, v)
	}
}

// take treats a packet of a virtual peer as the reader treats those of the network, but for the TURN server: there is no
// TURN inside TURN.
func (s *socket) take(packet []byte, from netip.AddrPort) {
	if isMedia(packet) {
		if to := s.routes.get(from); to != nil && to.receive(packet) {
			to.cameBy(s)
			s.count.direct.Add(1)
			return
		}
	}
	if !s.answer(packet, from) {
		s.inside.put(packet, from)
	}
}

// insideLimit bounds the packets of virtual peers that wait for the reader of a socket: DTLS flights and
// connectivity checks of many peers at once, and media that has no route yet.
const insideLimit = 256

// inside is a second source of packets for the reader of a socket, who waits for the kernel meanwhile: a deadline in the
// past wakes it.
type inside struct {
	queue *packets.Queue

	mu       sync.Mutex
	set      func(time.Time) error // of the descriptor; called under mu, so that the last call is the one that holds
	deadline time.Time             // guarded by mu; what the caller of SetReadDeadline wants
}

func newInside(set func(time.Time) error, dropped *atomic.Uint64) *inside {
	return &inside{queue: packets.NewQueue(insideLimit, 0, dropped), set: set}
}

var past = time.Unix(1, 0)

func (in *inside) put(packet []byte, from netip.AddrPort) {
	in.queue.Put(packet, from)
	in.mu.Lock()
	defer in.mu.Unlock()
	_ = in.set(past) // fails when the socket is closed
}

// woke tells whether the error of a read only says that there may be something in the queue.
func (in *inside) woke(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.set(in.deadline) == nil && (in.deadline.IsZero() || time.Now().Before(in.deadline))
}

func (in *inside) setDeadline(t time.Time) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.deadline = t
	if in.queue.Len() > 0 { // the reader has not seen it yet
		t = past
	}
	return in.set(t)
}
