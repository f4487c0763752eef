package engineio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// writeChunk bounds one blocking write, so that WriteTimeout asks for progress and not for
	// the whole of a large backlog in time.
	writeChunk = 64 << 10
	// inlineRounds bounds how long a sender may be kept busy writing what others queued meanwhile.
	inlineRounds = 4
	// closeWait is how long a socket whose reading failed is kept open for the peer to read the
	// close frame: closing with unread input makes TCP send a reset, which discards it.
	closeWait = time.Second
	// burstGap is how soon after a write another frame makes it a burst. What is left of a burst is
	// written together, when the goroutine that sends it has let others run: a write per frame costs
	// several times what the rest of its way through the server does.
	burstGap = 20 * time.Microsecond
	// burstFrames and burstBytes end a burst: the sender writes what has gathered.
	burstFrames, burstBytes = 32, 16 << 10
)

// epoch is what lastWrite counts from.
var epoch = time.Now()

// conn is the TCP connection of one WebSocket, as gorilla/websocket sees it, together with the queue
// of frames that wait to be written.
//
// There is at most one flusher at a time: the goroutine that set flushing. A sender that finds none
// becomes it and writes without blocking; what the kernel doesn't take is left to a writer goroutine,
// which becomes the flusher in its stead and ends when the queue is empty. So frames go out whole and
// in order, no sender ever waits for the peer, and an idle socket has no goroutine but its reader.
//
// In a burst the flusher may be a goroutine that has been started and does not run yet (gathering).
// Any sender can step into its place.
type conn struct {
	net.Conn                    // static
	srv      *Server            // static
	direct   *nonBlockingWriter // static; nil when this kind of connection has none (TLS). Used by the flusher only

	// Owned by the reader goroutine.
	inMessage bool // between the first and the last byte of a message
	armed     bool // a read deadline for the present message is set
	probing   bool // the read deadline belongs to the upgrade
	goodbye   bool // the peer sent a close frame

	mu        sync.Mutex
	queue     [][]byte      // frames that wait, oldest first
	queued    int           // bytes in queue
	inflight  int           // bytes that the flusher has taken and not yet written
	flushing  bool          // there is a flusher
	gathering bool          // it has not begun: a goroutine in gather will, unless a sender is first
	lastWrite time.Duration // when the last frame was written at once, since epoch
	closing   bool          // a close frame is queued or written; nothing may follow it
	closed    bool          // the TCP connection is closed
	cause     Reason        // why we closed, if it was this side
}

// newConn wraps nc. Frames wait until uncork, so that the handshake's answer and the first packets
// leave in one write.
func newConn(srv *Server, nc net.Conn) *conn {
	return &conn{Conn: nc, srv: srv, direct: newNonBlockingWriter(nc), flushing: true}
}

// uncork starts the writing.
func (c *conn) uncork() {
	c.mu.Lock()
	if c.closed || len(c.queue) == 0 {
		c.flushing = false
		c.mu.Unlock()
		return
	}
	batch := c.takeLocked(nil)
	c.mu.Unlock()
	c.flush(batch)
}

// send writes frames, or queues them behind those that wait. It never blocks.
func (c *conn) send(frames []byte) error {
	c.mu.Lock()
	if c.closed || c.closing {
		c.mu.Unlock()
		return ErrClosed
	}
	if !c.flushing {
		now := time.Since(epoch)
		burst := now-c.lastWrite < burstGap && c.direct != nil
		c.flushing, c.lastWrite = true, now
		if !burst {
			c.inflight = len(frames)
			c.mu.Unlock()
			c.flush(frames)
			return nil
		}
		c.gathering = true
		c.queue = append(c.queue, frames)
		c.queued += len(frames)
		c.srv.wg.Add(1) // as in flush
		c.mu.Unlock()
		go c.gather()
		return nil
	}
	if c.gathering && (len(c.queue) >= burstFrames || c.queued+len(frames) > burstBytes) {
		c.gathering = false
		c.queue = append(c.queue, frames)
		c.queued += len(frames)
		batch := c.takeLocked(nil)
		c.mu.Unlock()
		c.flush(batch)
		return nil
	}
	waiting := c.queued + c.inflight
	if len(c.queue) >= c.srv.opts.QueuePackets || waiting > 0 && waiting+len(frames) > c.srv.opts.QueueBytes {
		c.mu.Unlock()
		c.cut(ReasonSlowReader)
		return ErrSlowReader
	}
	c.queue = append(c.queue, frames)
	c.queued += len(frames)
	c.mu.Unlock()
	return nil
}

// adopt queues the frames that waited on another transport. The caller must call uncork when it
// returns true, and may hold a lock until then.
func (c *conn) adopt(queue [][]byte, bytes int) (flush bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.closing || len(queue) == 0 {
		return false
	}
	c.queue = append(c.queue, queue...)
	c.queued += bytes
	if c.flushing {
		return false
	}
	c.flushing = true
	return true
}

// sendClose queues a close frame as the last frame, regardless of the queue's bounds.
func (c *conn) sendClose(code int, text string) {
	body := websocket.FormatCloseMessage(code, text)
	c.sendLast(append(appendHeader(make([]byte, 0, 2+len(body)), frameClose, len(body)), body...))
}

func (c *conn) sendLast(frame []byte) {
	c.mu.Lock()
	if c.closed || c.closing {
		c.mu.Unlock()
		return
	}
	c.closing = true
	if c.flushing {
		c.queue = append(c.queue, frame)
		c.queued += len(frame)
		c.mu.Unlock()
		return
	}
	c.flushing, c.inflight = true, len(frame)
	c.mu.Unlock()
	c.flush(frame)
}

// Write takes what gorilla/websocket writes by itself: the answer to the handshake, and a close frame
// when it finds the peer to violate the protocol or the read limit.
func (c *conn) Write(p []byte) (int, error) {
	if p[0] == frameClose {
		c.mu.Lock()
		if c.cause == "" && !c.closing {
			c.cause = ReasonParseError
		}
		c.mu.Unlock()
		c.sendLast(bytes.Clone(p))
		return len(p), nil
	}
	if err := c.send(bytes.Clone(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetWriteDeadline does nothing: deadlines of writes belong to the flusher.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// flush writes batch and then what was queued meanwhile, as far as that goes without blocking. The
// caller is the flusher; when flush returns, it no longer is.
func (c *conn) flush(batch []byte) {
	for round := 0; c.direct != nil && round < inlineRounds; round++ {
		n, err := c.direct.write(batch)
		if err != nil {
			c.broken()
			return
		}
		if batch = batch[n:]; len(batch) > 0 {
			break
		}
		c.mu.Lock()
		c.inflight = 0
		if c.closed || len(c.queue) == 0 {
			c.flushing = false
			c.mu.Unlock()
			return
		}
		batch = c.takeLocked(nil)
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	// The reader goroutine holds the server's wait group until after it has set closed, so the
	// count is not zero here.
	c.srv.wg.Add(1)
	c.srv.count.writesDeferred.Add(1)
	c.inflight = len(batch)
	go c.drain(batch)
}

// gather writes what a burst has left, unless a sender has done it already.
func (c *conn) gather() {
	defer c.srv.wg.Done()
	c.mu.Lock()
	if c.closed || !c.gathering {
		c.mu.Unlock()
		return
	}
	c.gathering = false
	batch := c.takeLocked(nil)
	c.mu.Unlock()
	c.flush(batch)
}

// drain is the writer goroutine: it writes batch and all that is queued, blocking, then ends.
func (c *conn) drain(batch []byte) {
	defer c.srv.wg.Done()
	var buf []byte
	for {
		for len(batch) > 0 {
			chunk := batch[:min(len(batch), writeChunk)]
			c.Conn.SetWriteDeadline(time.Now().Add(c.srv.opts.WriteTimeout))
			if _, err := c.Conn.Write(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
				c.cut(ReasonTransportError)
				return
			} else if err != nil {
				c.broken()
				return
			}
			batch = batch[len(chunk):]
		}
		c.mu.Lock()
		c.inflight = 0
		if c.closed || len(c.queue) == 0 {
			c.flushing = false
			c.mu.Unlock()
			return
		}
		batch = c.takeLocked(&buf)
		c.mu.Unlock()
	}
}

// takeLocked takes frames off the queue, one as it is or several joined to about writeChunk bytes. They
// are joined in *buf where buf is not nil; frames themselves are shared and never written to.
func (c *conn) takeLocked(buf *[]byte) []byte {
	size, n := 0, 0
	for n < len(c.queue) && (n == 0 || size+len(c.queue[n]) <= writeChunk) {
		size += len(c.queue[n])
		n++
	}
	batch := c.queue[0]
	if n > 1 {
		if buf == nil {
			buf = new([]byte)
		}
		*buf = slices.Grow((*buf)[:0], size)
		for _, frames := range c.queue[:n] {
			*buf = append(*buf, frames...)
		}
		batch = *buf
	}
	clear(c.queue[:n])
	if c.queue = c.queue[n:]; len(c.queue) == 0 {
		c.queue = nil
	}
	c.queued -= size
	c.inflight = size
	return batch
}

// writable reports whether a packet sent now would be written at once.
func (c *conn) writable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.flushing && !c.closing && !c.closed
}

// cut closes the TCP connection at once; why is kept for the reader, which ends by it.
func (c *conn) cut(why Reason) {
	c.stopWriting(why)
	c.Conn.Close()
}

// broken ends the writing after it failed, but leaves the connection to the reader: the peer's close
// frame may be waiting there, and is the difference between a goodbye and a lost network.
func (c *conn) broken() {
	c.stopWriting("")
	c.Conn.SetReadDeadline(time.Now().Add(closeWait))
}

func (c *conn) stopWriting(why Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	if c.cause == "" {
		c.cause = why
	}
	c.queue, c.queued = nil, 0
}

// release closes the connection. It first gives the peer a moment to read a close frame that it has not
// answered. Called by the reader goroutine when it has stopped reading messages.
func (c *conn) release() {
	c.mu.Lock()
	wait, drained := c.closing && !c.closed && !c.goodbye, !c.flushing
	c.mu.Unlock()
	if wait {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && drained {
			half.CloseWrite()
		}
		c.Conn.SetReadDeadline(time.Now().Add(closeWait))
		io.Copy(io.Discard, c.Conn)
	}
	c.cut("")
}

// Read sets a deadline when a message has begun and its rest must be waited for. Messages that come in
// one segment, nearly all, cost nothing.
func (c *conn) Read(p []byte) (int, error) {
	if c.inMessage && !c.armed && !c.probing {
		c.armed = true
		c.Conn.SetReadDeadline(time.Now().Add(c.srv.opts.ReadTimeout))
	}
	return c.Conn.Read(p)
}

func (c *conn) beginMessage() { c.inMessage = true }

func (c *conn) endMessage() {
	c.inMessage = false
	if c.armed {
		c.armed = false
		c.Conn.SetReadDeadline(time.Time{})
	}
}

// pong answers a WebSocket ping. The protocol makes no use of them, but proxies do.
func (c *conn) pong(data string) error {
	frame := appendHeader(make([]byte, 0, 2+len(data)), framePong, len(data))
	c.send(append(frame, data...))
	return nil // a failure ends the reader by itself
}

// peerClosed answers a close frame (RFC 6455, section 5.5.1).
func (c *conn) peerClosed(code int, _ string) error {
	c.goodbye = true
	c.sendClose(code, "")
	return nil
}
