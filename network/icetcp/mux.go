// Package icetcp carries media over TCP: passive TCP candidates of ICE (RFC 6544), whose packets are framed as RFC 4571
// says. It takes the place of Pion's own mux, where one peer that does not read holds up all others.
package icetcp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"

	"skillsage/network"
)

// Options are a Mux's settings. The zero value of each field means its default.
type Options struct {
	// Addresses of this machine for which ICE agents get candidates; default: all but link-local ones.
	Addresses []netip.Addr
	Logger    *slog.Logger // default slog.Default
	// MaxConnections bounds those that belong to an agent, MaxPerAgent those of one of them (a browser opens one for
	// each of its interfaces and each candidate), MaxStrangers those that have not said to whom they belong: beyond
	// it the oldest of them goes. Defaults: 8192, 32, 512.
	MaxConnections, MaxPerAgent, MaxStrangers int
	// MaxQueued bounds the bytes that wait for all peers together, but for what is never dropped; default 256 MiB.
	MaxQueued int64
	// FirstPacketTimeout is how long a new connection may take to send its first connectivity check; default 5 s.
	FirstPacketTimeout time.Duration
	// IdleTimeout is how long a packet may take to come, from its predecessor to its last byte; default 60 s. Browsers
	// check a connection that they do not use every 25 s.
	IdleTimeout time.Duration
	// WriteTimeout is how long a peer may take nothing; default 15 s. A path that was dark for 8 s gets the next
	// repetition of TCP after 12.
	WriteTimeout time.Duration
	// HeadStart is how long an agent that is to choose the way does not hear of a connection, so that UDP is chosen
	// where it works; default 200 ms, negative: none. A client that chooses waits for nothing.
	HeadStart time.Duration
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	setDefault(&o.MaxConnections, 8192)
	setDefault(&o.MaxPerAgent, 32)
	setDefault(&o.MaxStrangers, 512)
	setDefault(&o.MaxQueued, 256<<20)
	setDefault(&o.FirstPacketTimeout, 5*time.Second)
	setDefault(&o.IdleTimeout, time.Minute)
	setDefault(&o.WriteTimeout, 15*time.Second)
	setDefault(&o.HeadStart, 200*time.Millisecond)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Mux tells the connections of one TCP port apart by the user name fragment (RFC 8445) of their first connectivity
// check and gives them to the ICE agents. It is safe for concurrent use.
//
// Each connection has two goroutines: one reads, and hands media to the connection's route itself; one writes what
// waits in the connection's own bounded queue. So a peer that does not read is nobody else's concern.
//
// Locks are taken in this order: Mux.mu, endpoint.mu, queue.mu.
type Mux struct {
	// Static.
	opts     Options
	log      *slog.Logger
	listener net.Listener
	port     uint16
	done     chan struct{}
	wg       sync.WaitGroup // the acceptor, and two for each connection

	count  counters
	queued atomic.Int64

	mu          sync.Mutex // guards the rest
	closed      bool
	fragments   map[string]*fragment
	strangers   map[*conn]struct{}
	bound       map[netip.AddrPort][]*conn // by the peer's address, in the order in which they came
	connections int                        // in bound
}

// fragment is one ICE agent, as long as it keeps its credentials. Guarded by Mux.mu.
type fragment struct {
	endpoints   []*endpoint // one for each local address
	connections int
}

var (
	_ ice.TCPMux         = (*Mux)(nil)
	_ ice.AllConnsGetter = (*Mux)(nil)
)

// New makes a Mux of the connections that a listener accepts. The listener's address must be an IP address and a port;
// Close ends it.
func New(listener net.Listener, opts Options) (*Mux, error) {
	opts.setDefaults()
	address, err := addressOf(listener.Addr())
	if err != nil {
		return nil, fmt.Errorf("icetcp: the listener: %w", err)
	}
	m := &Mux{
		opts: opts, log: opts.Logger, listener: listener, port: address.Port(), done: make(chan struct{}),
		fragments: make(map[string]*fragment), strangers: make(map[*conn]struct{}), bound: make(map[netip.AddrPort][]*conn),
	}
	m.wg.Go(m.accept)
	return m, nil
}

// addressOf is the plain form of a socket's address.
func addressOf(a net.Addr) (netip.AddrPort, error) {
	if tcp, ok := a.(*net.TCPAddr); ok {
		address := tcp.AddrPort()
		return netip.AddrPortFrom(address.Addr().Unmap(), address.Port()), nil
	}
	address, err := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port()), err
}

const (
	acceptRetryLeast = 5 * time.Millisecond
	acceptRetryMost  = time.Second
)

// accept takes connections until the listener ends.
func (m *Mux) accept() {
	retry := acceptRetryLeast
	for {
		conn, err := m.listener.Accept()
		if err == nil {
			retry = acceptRetryLeast
			m.take(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// The process has no file left, or the peer has gone already.
		m.log.Warn("a TCP connection for media was not accepted", "error", err)
		select {
		case <-m.done:
			return
		case <-time.After(retry):
		}
		retry = min(2*retry, acceptRetryMost)
	}
}

// take begins to read a new connection.
func (m *Mux) take(nc net.Conn) {
	m.count.accepted.Add(1)
	c, err := newConn(m, nc)
	if err != nil {
		_ = nc.Close()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		_ = nc.Close()
		return
	}
	if len(m.strangers) >= m.opts.MaxStrangers {
		m.dropStranger()
	}
	m.strangers[c] = struct{}{}
	m.wg.Go(c.serve)
}

// dropStranger closes the oldest connection of which nobody knows yet whose it is: who means well sends a check at
// once. mu is held.
func (m *Mux) dropStranger() {
	var oldest *conn
	for c := range m.strangers {
		if oldest == nil || c.since.Before(oldest.since) {
			oldest = c
		}
	}
	delete(m.strangers, oldest)
	oldest.close(crowded)
}

// bind gives a connection to the agent that is named first; false: to none, for that reason.
func (m *Mux) bind(c *conn, name string) (reason, bool) {
	ufrag, _, _ := strings.Cut(name, ":")
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fragments[ufrag]
	switch {
	case m.closed:
		return byAgent, false
	case f == nil:
		return unknown, false
	case m.connections >= m.opts.MaxConnections || f.connections >= m.opts.MaxPerAgent:
		return crowded, false
	}
	if _, there := m.strangers[c]; !there {
		return crowded, false // it was dropped just now
	}
	delete(m.strangers, c)
	c.name, c.fragment, c.endpoint = name, f, f.choose(c.local.Addr())
	c.endpoint.attach(c)
	m.bound[c.remote] = append(m.bound[c.remote], c)
	m.connections++
	f.connections++
	return 0, true
}

// choose finds the endpoint for a connection that came to a local address. Behind a port mapping or an address that is
// shared by machines that can be none of the agent's; then any will do, since its address is never sent.
func (f *fragment) choose(local netip.Addr) *endpoint {
	best := f.endpoints[0]
	for _, e := range f.endpoints {
		if e.local == local {
			return e
		}
		if best.local.Is4() != local.Is4() && e.local.Is4() == local.Is4() {
			best = e
		}
	}
	return best
}

// remove forgets a connection that has ended.
func (m *Mux) remove(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.strangers, c)
	if c.endpoint == nil {
		return
	}
	m.connections--
	c.fragment.connections--
	c.endpoint.detach(c)
	rest := slices.DeleteFunc(m.bound[c.remote], func(other *conn) bool { return other == c })
	if len(rest) == 0 {
		delete(m.bound, c.remote)
		return
	}
	m.bound[c.remote] = rest
}

// Route makes a route for the connection that the peer has made from remote to the agent's candidate at local, in the
// place of an older one. receive is called on the connection's own goroutine and must not block; the packet is its
// own during the call. When it reports false the packet, then unchanged, goes the long way. What is written is sent as
// far as the peer takes it; see queue. Nil: there is no such connection.
//
// A connection that has a route outlives its agent's credentials: while ICE restarts, media goes on (RFC 8445 section 9).
func (m *Mux) Route(local, remote netip.AddrPort, receive func(packet []byte) bool) network.Route {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	m.mu.Lock()
	defer m.mu.Unlock()
	var found *conn
	for _, c := range m.bound[remote] {
		if found == nil || c.endpoint.local == local.Addr().Unmap() || found.endpoint.local != local.Addr().Unmap() {
			found = c
		}
	}
	if found == nil {
		return nil
	}
	if r := found.endpoint.route(found, receive); r != nil {
		return r
	}
	return nil
}

// Number is the port's number.
func (m *Mux) Number() int { return int(m.port) }

// LocalAddr is where the port is open. (ICE agents look for it: a port that is open on one address alone is a
// candidate there alone.)
func (m *Mux) LocalAddr() net.Addr { return m.listener.Addr() }

// GetConnByUfrag implements ice.TCPMux: the end of an agent at one of the machine's addresses. It is an error to ask for
// an address that carries no media.
func (m *Mux) GetConnByUfrag(ufrag string, _ bool, local net.IP) (net.PacketConn, error) {
	addr, _ := netip.AddrFromSlice(local)
	addr = addr.Unmap()
	if !m.carries(addr) {
		return nil, fmt.Errorf("icetcp: %s carries no media", addr)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, net.ErrClosed
	}
	f := m.fragments[ufrag]
	if f == nil {
		f = &fragment{}
		m.fragments[ufrag] = f
	}
	i := slices.IndexFunc(f.endpoints, func(e *endpoint) bool { return e.local == addr })
	if i < 0 {
		i = len(f.endpoints)
		f.endpoints = append(f.endpoints, newEndpoint(m, ufrag, addr))
	}
	return newHandle(f.endpoints[i]), nil
}

// GetAllConns implements ice.AllConnsGetter: like GetConnByUfrag, but none for an address that carries no media.
func (m *Mux) GetAllConns(ufrag string, isIPv6 bool, local net.IP) ([]net.PacketConn, error) {
	if addr, _ := netip.AddrFromSlice(local); !m.carries(addr.Unmap()) {
		return nil, nil
	}
	conn, err := m.GetConnByUfrag(ufrag, isIPv6, local)
	if err != nil {
		return nil, err
	}
	return []net.PacketConn{conn}, nil
}

func (m *Mux) carries(addr netip.Addr) bool {
	if !addr.IsValid() || addr.IsLinkLocalUnicast() {
		return false
	}
	return len(m.opts.Addresses) == 0 || slices.Contains(m.opts.Addresses, addr)
}

// RemoveConnByUfrag implements ice.TCPMux. An agent calls it when it is closed, and with its old fragment when it is
// restarted.
func (m *Mux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.fragments[ufrag]; f != nil {
		for _, e := range slices.Clone(f.endpoints) {
			m.end(e)
		}
	}
}

// end takes an endpoint from its agent. mu is held.
func (m *Mux) end(e *endpoint) {
	if f := m.fragments[e.ufrag]; f != nil {
		f.endpoints = slices.DeleteFunc(f.endpoints, func(other *endpoint) bool { return other == e })
		if len(f.endpoints) == 0 {
			delete(m.fragments, e.ufrag)
		}
	}
	e.close()
}

// Close ends the listener and all connections, after they have sent what waits, for at most closeTime. It is
// idempotent, and must not be called by a route's function.
func (m *Mux) Close() error {
	m.mu.Lock()
	first := !m.closed
	m.closed = true
	if first {
		close(m.done)
		for _, f := range m.fragments {
			for _, e := range slices.Clone(f.endpoints) {
				m.end(e)
			}
		}
		for c := range m.strangers {
			c.close(byAgent)
		}
		for _, cs := range m.bound {
			for _, c := range cs {
				c.finish()
			}
		}
	}
	m.mu.Unlock()
	var err error
	if first {
		err = m.listener.Close()
	}
	m.wg.Wait()
	return err
}
