package icetcp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"skillsage/network"
	"skillsage/network/traffic"
)

// closeTime is how long a connection may take to hand over what still waits: the goodbye of DTLS.
const closeTime = 500 * time.Millisecond

// start is the origin of the times that queues know.
var start = time.Now()

// monotonic is the time in ns since start, never 0.
func monotonic() int64 { return int64(time.Since(start)) + 1 }

// conn is one TCP connection.
type conn struct {
	// Static.
	mux    *Mux
	net    net.Conn
	socket *net.TCPConn // below net, or nil
	local  netip.AddrPort
	since  time.Time
	done   chan struct{} // closed when the connection is

	queue queue
	// route takes media past the endpoint; nil: none. Changed under endpoint.mu.
	route   atomic.Pointer[route]
	greeted atomic.Bool  // a STUN message has been queued
	giveUp  atomic.Int64 // monotonic time after which a connection that finishes is cut; 0: it does not
	once    sync.Once

	frames frames // owned by serve

	// The peer's address, as its agent knows it: that of the connection in whose place this one comes, if it does.
	remote netip.AddrPort
	// Set once, with the final remote, under Mux.mu, by the goroutine of serve; nil: it is not known yet whose the
	// connection is.
	endpoint *endpoint
	fragment *fragment
	name     string // of the first check: the fragments of both sides
}

// ended tells whether the connection is closed.
func (c *conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func newConn(m *Mux, nc net.Conn) (*conn, error) {
	local, err := addressOf(nc.LocalAddr())
	if err != nil {
		return nil, err
	}
	remote, err := addressOf(nc.RemoteAddr())
	if err != nil {
		return nil, err
	}
	c := &conn{
		mux: m, net: nc, socket: socketOf(nc), local: local, remote: remote, since: time.Now(), done: make(chan struct{}),
		queue: newQueue(m), frames: newFrames(nc),
	}
	return c, nil
}

// serve reads the connection to its end.
func (c *conn) serve() {
	c.close(c.read())
	_ = c.net.Close()
	c.mux.remove(c)
}

// read takes packets and returns why there are no more.
func (c *conn) read() reason {
	m := c.mux
	_ = c.net.SetReadDeadline(c.since.Add(m.opts.FirstPacketTimeout))
	packet, err := c.frames.next()
	if err != nil {
		return readError(err, silent)
	}
	name, controlled, ok := parseCheck(packet)
	if !ok {
		return c.answer(packet)
	}
	if why, ok := m.bind(c, name); !ok {
		return why
	}
	if c.socket != nil {
		tune(c.socket, m.opts.WriteTimeout)
	}
	m.wg.Go(c.write)
	if controlled && m.opts.HeadStart > 0 {
		select {
		case <-time.After(m.opts.HeadStart):
		case <-c.done:
			return byAgent
		}
	}
	var until time.Time
	for {
		m.count.received.Add(1)
		c.deliver(packet)
		// Not for every packet: it costs as much as some of them.
		if next := time.Now().Add(m.opts.IdleTimeout); next.Sub(until) > m.opts.IdleTimeout/8 {
			until = next
			_ = c.net.SetReadDeadline(until)
		}
		if packet, err = c.frames.next(); err != nil {
			return readError(err, idle)
		}
	}
}

// answer is for who asks for its own address, as one would ask a STUN server (RFC 8489), so that everybody can see
// whether the port is reached.
func (c *conn) answer(packet []byte) reason {
	raw := network.AnswerBinding(packet, c.remote)
	if raw == nil {
		return notICE
	}
	_ = c.net.SetWriteDeadline(c.since.Add(c.mux.opts.FirstPacketTimeout))
	_, _ = c.net.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...))
	return asked
}

// deliver hands a packet to whom it is for.
func (c *conn) deliver(packet []byte) {
	if isMedia(packet) {
		if r := c.route.Load(); r != nil && r.receive(packet) {
			c.mux.count.direct.Add(1)
			return
		}
	}
	c.endpoint.deliver(packet, c.remote)
}

// send queues a packet. It never blocks. Before the agent has spoken to the peer on this connection all else is
// dropped: Chromium gives a connection up on which anything comes before the answer to its check.
func (c *conn) send(packet []byte, kind traffic.Kind) error {
	greeted := c.greeted.Load()
	if !greeted && !isSTUN(packet) {
		c.mux.count.dropped[kind].Add(1)
		return nil
	}
	err := c.queue.push(packet, kind, monotonic())
	if err == errOverflow {
		c.close(stalled)
	}
	if !greeted {
		c.greeted.Store(true) // what others send comes behind it
	}
	return err
}

// write sends what waits, until the connection ends.
func (c *conn) write() {
	for {
		// Let those who are about to send do it first.
		runtime.Gosched()
		chunk, last := c.queue.take(monotonic())
		if chunk == nil && last {
			c.close(byAgent)
			return
		}
		if chunk == nil {
			<-c.queue.wake
			continue
		}
		_ = c.net.SetWriteDeadline(time.Now().Add(c.mux.opts.WriteTimeout))
		c.hurry()
		packets := chunk.packets
		_, err := c.net.Write(chunk.data[:chunk.size])
		c.queue.release(chunk, monotonic())
		if err != nil {
			c.close(writeError(err))
			return
		}
		c.mux.count.sent.Add(uint64(packets))
		c.mux.count.writes.Add(1)
	}
}

// finish closes the connection when it has sent what waits. It does not wait.
func (c *conn) finish() {
	c.giveUp.CompareAndSwap(0, monotonic()+int64(closeTime))
	c.hurry()
	c.queue.finish()
}

// hurry shortens a write that is going on or about to, if the connection is finishing.
func (c *conn) hurry() {
	if at := c.giveUp.Load(); at != 0 {
		_ = c.net.SetWriteDeadline(start.Add(time.Duration(at)))
	}
}

// close ends the connection at once. It does not wait for its goroutines.
func (c *conn) close(why reason) {
	c.once.Do(func() {
		if c.giveUp.Load() != 0 {
			why = byAgent
		}
		c.mux.count.closed[why].Add(1)
		close(c.done)
		c.queue.close()
		if c.socket == nil {
			_ = c.net.Close()
			return
		}
		// What is wrapped around a socket may want to say goodbye first, and wait for that.
		_ = c.socket.Close()
	})
}

// parseCheck reads a connectivity check (RFC 8445 section 7.1): the user name fragments of both agents, the receiver's
// first, and whether the sender leaves the choice of a way to the receiver.
func parseCheck(packet []byte) (name string, controlled, ok bool) {
	if !isSTUN(packet) {
		return "", false, false
	}
	m := &stun.Message{Raw: packet}
	if m.Decode() != nil || m.Type != stun.BindingRequest {
		return "", false, false
	}
	value, err := m.Get(stun.AttrUsername)
	if err != nil {
		return "", false, false
	}
	return string(value), m.Contains(stun.AttrICEControlled), true
}

func readError(err error, late reason) reason {
	switch {
	case errors.Is(err, errFrame):
		return malformed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return late
	}
	return byPeer
}

func writeError(err error) reason {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return stalled
	}
	return byPeer
}

// isSTUN tells STUN from all else (RFC 8489 section 5).
func isSTUN(packet []byte) bool { return stun.IsMessage(packet) && packet[0] < 4 }

// isMedia tells SRTP and SRTCP from STUN and DTLS (RFC 7983 section 7).
func isMedia(packet []byte) bool { return len(packet) > 1 && packet[0] >= 128 && packet[0] < 192 }

// isRTCP tells SRTCP from SRTP (RFC 5761 section 4).
func isRTCP(packet []byte) bool { return packet[1] >= 192 && packet[1] <= 223 }
