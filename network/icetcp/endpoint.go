package icetcp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5/deadline"

	"skillsage/network/traffic"
)

// inboxLimit bounds the packets that wait for an ICE agent: checks, the handshake, and media that has no route (yet).
const inboxLimit = 256

// inbound is a packet that waits for an ICE agent.
type inbound struct {
	data *[maxPacket]byte
	size int
	from netip.AddrPort
}

var packets = sync.Pool{New: func() any { return new([maxPacket]byte) }}

// endpoint is the end of one ICE agent at one local address. To the agent its connections look like one socket.
type endpoint struct {
	// Static.
	mux   *Mux
	ufrag string
	local netip.Addr
	addr  net.Addr      // with the mux's port
	ready chan struct{} // holds one token while something waits
	done  chan struct{} // closed when the endpoint is

	handles int // guarded by Mux.mu

	mu     sync.Mutex // guards the rest
	closed bool
	conns  map[netip.AddrPort]*conn
	routes map[netip.AddrPort]*route // outlive their connections
	inbox  []inbound
}

func newEndpoint(m *Mux, ufrag string, local netip.Addr) *endpoint {
	return &endpoint{
		mux: m, ufrag: ufrag, local: local, addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, m.port)),
		ready: make(chan struct{}, 1), done: make(chan struct{}),
		conns: make(map[netip.AddrPort]*conn), routes: make(map[netip.AddrPort]*route),
	}
}

// attach takes a connection. If it comes in the place of one that has ended, it gets that one's address and route: to
// the agent nothing has happened, whichever side chooses the way. A browser whose connection breaks makes another one
// at once. Mux.mu is held, and the endpoint open.
func (e *endpoint) attach(c *conn) {
	e.mu.Lock()
	r := e.routes[c.remote]
	for _, other := range e.routes {
		if before := other.conn.Load(); r == nil && before.name == c.name && before.ended() {
			r = other
		}
	}
	if r != nil {
		c.remote = r.remote
		c.route.Store(r)
		r.conn.Store(c)
	}
	old := e.conns[c.remote]
	e.conns[c.remote] = c
	e.mu.Unlock()
	if old != nil {
		old.close(superseded)
	}
}

// detach forgets a connection.
func (e *endpoint) detach(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conns[c.remote] == c {
		delete(e.conns, c.remote)
	}
}

// close ends the endpoint, and of its connections those that have no route. Mux.mu is held.
func (e *endpoint) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	close(e.done)
	for _, p := range e.inbox {
		packets.Put(p.data)
	}
	e.inbox = nil
	clear(e.routes)
	for _, c := range e.conns {
		if c.route.Load() == nil {
			c.finish()
		}
	}
}

// deliver gives a packet to the agent, if it has room.
func (e *endpoint) deliver(packet []byte, from netip.AddrPort) {
	e.mu.Lock()
	if e.closed || len(e.inbox) == inboxLimit {
		e.mu.Unlock()
		e.mux.count.unread.Add(1)
		return
	}
	p := inbound{data: packets.Get().(*[maxPacket]byte), from: from}
	p.size = copy(p.data[:], packet)
	e.inbox = append(e.inbox, p)
	e.mu.Unlock()
	e.rouse()
}

func (e *endpoint) rouse() {
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

// take moves the packet that has waited longest into b.
func (e *endpoint) take(b []byte) (n int, from netip.AddrPort, ok bool) {
	e.mu.Lock()
	if len(e.inbox) == 0 {
		e.mu.Unlock()
		return 0, netip.AddrPort{}, false
	}
	p := e.inbox[0]
	e.inbox = slices.Delete(e.inbox, 0, 1)
	more := len(e.inbox) > 0
	e.mu.Unlock()
	if more {
		e.rouse()
	}
	n = copy(b, p.data[:p.size])
	packets.Put(p.data)
	return n, p.from, true
}

// send gives a packet of the agent to the connection of a peer.
func (e *endpoint) send(packet []byte, to netip.AddrPort) error {
	e.mu.Lock()
	c := e.conns[netip.AddrPortFrom(to.Addr().Unmap(), to.Port())]
	e.mu.Unlock()
	if c == nil {
		return fmt.Errorf("icetcp: no connection to %s: %w", to, net.ErrClosed)
	}
	return c.send(packet, kindOf(packet))
}

// kindOf sorts what comes from the agent. Whether media is sound can't be seen.
func kindOf(packet []byte) traffic.Kind {
	if isMedia(packet) && !isRTCP(packet) {
		return traffic.Video
	}
	return traffic.Control
}

// handle is an endpoint as an agent holds it, once or several times.
type handle struct {
	*endpoint
	read     *deadline.Deadline
	released chan struct{} // closed by Close
	once     sync.Once
}

var _ ice.AddrPortReaderWriter = (*handle)(nil)

// newHandle is called with Mux.mu held.
func newHandle(e *endpoint) *handle {
	e.handles++
	return &handle{endpoint: e, read: deadline.New(), released: make(chan struct{})}
}

// ReadFromAddrPort returns one packet. What does not fit into b is cut off, as with a UDP socket. The end of a
// connection is no error: the peer may make another one.
func (h *handle) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		select {
		case <-h.released:
			return 0, netip.AddrPort{}, net.ErrClosed
		case <-h.read.Done():
			return 0, netip.AddrPort{}, h.read.Err()
		default:
		}
		if n, from, ok := h.take(b); ok {
			return n, from, nil
		}
		select {
		case <-h.ready:
		case <-h.done:
			return 0, netip.AddrPort{}, net.ErrClosed
		case <-h.released:
		case <-h.read.Done():
		}
	}
}

// ReadFrom is ReadFromAddrPort for those who need a net.Addr.
func (h *handle) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := h.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.TCPAddrFromAddrPort(from), nil
}

// WriteToAddrPort queues a packet for the peer that has connected from that address. It never blocks.
func (h *handle) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if err := h.send(b, to); err != nil {
		return 0, err
	}
	return len(b), nil
}

// WriteTo is WriteToAddrPort for those who have a net.Addr.
func (h *handle) WriteTo(b []byte, to net.Addr) (int, error) {
	address, err := addressOf(to)
	if err != nil {
		return 0, err
	}
	return h.WriteToAddrPort(b, address)
}

func (h *handle) LocalAddr() net.Addr { return h.addr }

// SetDeadline sets the deadline of reads.
func (h *handle) SetDeadline(t time.Time) error { return h.SetReadDeadline(t) }

// SetReadDeadline sets the deadline of reads.
func (h *handle) SetReadDeadline(t time.Time) error {
	h.read.Set(t)
	return nil
}

// SetWriteDeadline does nothing: a write never blocks.
func (*handle) SetWriteDeadline(time.Time) error { return nil }

// Close gives the endpoint back; with its last handle it ends. It is idempotent and does not wait.
func (h *handle) Close() error {
	h.once.Do(func() {
		close(h.released)
		m := h.mux
		m.mu.Lock()
		defer m.mu.Unlock()
		if h.handles--; h.handles == 0 {
			m.end(h.endpoint)
		}
	})
	return nil
}

// route is the short way of one connection's media.
type route struct {
	endpoint *endpoint
	remote   netip.AddrPort
	receive  func(packet []byte) bool
	conn     atomic.Pointer[conn] // the last one from remote
}

// route gives a connection a route, in the place of an older one; nil: it has ended.
func (e *endpoint) route(c *conn, receive func(packet []byte) bool) *route {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.conns[c.remote] != c {
		return nil
	}
	r := &route{endpoint: e, remote: c.remote, receive: receive}
	r.conn.Store(c)
	c.route.Store(r)
	e.routes[c.remote] = r
	return r
}

func (r *route) Write(packet []byte, kind traffic.Kind) error {
	return r.conn.Load().send(packet, kind)
}

// Close ends the route, and its connection if that has no agent any more.
func (r *route) Close() {
	e := r.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.routes[r.remote] == r {
		delete(e.routes, r.remote)
	}
	if c := r.conn.Load(); c.route.CompareAndSwap(r, nil) && e.closed {
		c.finish()
	}
}
