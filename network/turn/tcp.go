package turn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// allocateTime is what a TCP client has to make an allocation, from its connection on.
	allocateTime = 15 * time.Second
	// writeTime is how long a client may take nothing before its connection is cut.
	writeTime = 10 * time.Second
	// maxPending and maxPendingPerSource bound the connections without an allocation, of all and of one address (IPv6: one
	// /64 network).
	maxPending, maxPendingPerSource = 1024, 128
	// maxFrame is the largest message of a client in bytes: the stack's inbound MTU takes one byte less than 1600.
	maxFrame = 1599
)

var errFrame = errors.New("neither STUN nor ChannelData, or too large")

// listener bounds the TCP connections of clients, and ends them, which the stack does not.
type listener struct {
	net.Listener
	server *Server
	done   chan struct{} // closed by Close

	allocateTime time.Duration // guarded by mu

	mu      sync.Mutex
	conns   map[connKey]*conn    // guarded by mu
	pending int                  // guarded by mu; of conns, those without an allocation
	sources map[netip.Prefix]int // guarded by mu; the same by source
	closed  bool                 // guarded by mu
}

type connKey struct{ client, server netip.AddrPort }

func newListener(inner net.Listener, s *Server) *listener {
	return &listener{
		Listener: inner, server: s, done: make(chan struct{}), allocateTime: allocateTime,
		conns: make(map[connKey]*conn), sources: make(map[netip.Prefix]int),
	}
}

// Accept returns the next connection that is within the bounds. Its error ends the stack's loop, so it returns none that
// may pass, such as a lack of descriptors.
func (l *listener) Accept() (net.Conn, error) {
	var delay time.Duration
	for {
		inner, err := l.Listener.Accept()
		if err == nil {
			delay = 0
			if c := l.admit(inner); c != nil {
				return c, nil
			}
			_ = inner.Close()
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		delay = min(2*delay+5*time.Millisecond, time.Second)
		select {
		case <-l.done:
			return nil, net.ErrClosed
		case <-time.After(delay):
		}
	}
}

func (l *listener) admit(inner net.Conn) *conn {
	key := connKey{addrPortOf(inner.RemoteAddr()), addrPortOf(inner.LocalAddr())}
	c := &conn{Conn: inner, listener: l, key: key, source: sourceOf(key.client.Addr()), in: bufio.NewReaderSize(inner, 2*maxFrame)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !key.client.IsValid() || l.conns[key] != nil || l.pending >= maxPending || l.sources[c.source] >= maxPendingPerSource {
		return nil
	}
	l.conns[key] = c
	l.countPendingLocked(c, 1)
	_ = inner.SetReadDeadline(time.Now().Add(l.allocateTime))
	keepShort(inner)
	l.server.begin()
	return c
}

// sourceOf is what one person has of the network.
func sourceOf(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}

func (l *listener) countPendingLocked(c *conn, n int) {
	l.pending += n
	if l.sources[c.source] += n; l.sources[c.source] == 0 {
		delete(l.sources, c.source)
	}
}

// setAllocated lets the connection of a client with an allocation live for as long as that; the client renews it.
func (l *listener) setAllocated(client, server netip.AddrPort, allocated bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conns[connKey{client, server}]
	if c == nil || c.allocated == allocated {
		return
	}
	c.allocated = allocated
	if allocated {
		l.countPendingLocked(c, -1)
		_ = c.SetReadDeadline(time.Time{})
	} else {
		l.countPendingLocked(c, 1)
		_ = c.SetReadDeadline(time.Now().Add(l.allocateTime))
	}
}

// Close ends the listener and its connections.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.done)
		for _, c := range l.conns {
			_ = c.Conn.Close()
		}
	}
	return err
}

// forget is told when the stack is done with a connection.
func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[c.key] != c {
		return
	}
	delete(l.conns, c.key)
	if !c.allocated {
		l.countPendingLocked(c, -1)
	}
	l.server.end()
}

// conn is a client's TCP connection. Each Read returns one whole message: the stack would put messages together itself, but
// with a call of its own on the stack for every byte that comes alone.
type conn struct {
	net.Conn
	listener  *listener    // static
	key       connKey      // static
	source    netip.Prefix // static
	in        *bufio.Reader
	allocated bool // guarded by listener.mu
}

func (c *conn) Read(b []byte) (int, error) {
	head, err := c.in.Peek(4)
	if err != nil {
		return 0, err
	}
	size := frameSize([4]byte(head))
	if size == 0 || size > min(len(b), maxFrame) {
		return 0, errFrame
	}
	message, err := c.in.Peek(size)
	if err != nil {
		return 0, err
	}
	n := copy(b, message)
	_, err = c.in.Discard(n)
	return n, err
}

// frameSize is the length of a message in a stream (RFC 8656 sections 12.5 and 3.1), by its first bytes; 0: it is none.
func frameSize(head [4]byte) int {
	length := int(binary.BigEndian.Uint16(head[2:]))
	switch {
	case head[0] <= 0x3F && length%4 == 0:
		return 20 + length
	case head[0] >= 0x40 && head[0] <= 0x4F:
		return 4 + (length+3)&^3
	}
	return 0
}

// Write waits for the client, but not for long. A message that was cut off would make nonsense of the rest.
func (c *conn) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(writeTime))
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.Conn.Close()
	}
	return n, err
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.listener.forget(c)
	return err
}
