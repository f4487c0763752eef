package engineio

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrClosed is returned by Send once the session is closed or closing.
	ErrClosed = errors.New("engineio: session closed")
	// ErrSlowReader is returned by the Send that passed the queue's bound; the session is closed.
	ErrSlowReader = errors.New("engineio: slow reader: queue bound passed")
	// ErrSeparator is returned by Send for a text that holds a raw 0x1e, the byte that separates
	// packets on polling: it could smuggle packets of the sender's choice to the receiver.
	ErrSeparator = errors.New("engineio: text holds the record separator 0x1e")
	// ErrEmpty is returned by Send for the zero Packet.
	ErrEmpty = errors.New("engineio: empty packet")
)

// Handler is called once per new session, before the client can send on it. What it sends follows
// the open packet. The Receiver it returns gets everything that the client sends; nil refuses.
type Handler func(*Session) Receiver

// Receiver gets what arrives on one session. Its methods are called in arrival order, by one
// goroutine at a time. A panic in one of them closes that session only.
type Receiver interface {
	// Message is called for every message. data is valid during the call only; text is valid UTF-8.
	Message(data []byte, binary bool)
	// Closed is called exactly once, as the last call.
	Closed(reason Reason)
}

// Session is one client's connection, over whichever transport it uses now. All methods are safe for
// concurrent use, also from within a Receiver.
type Session struct {
	// Static.
	srv    *Server
	id     string
	remote netip.Addr
	shake  handshake

	// rx is the right to call the Receiver: one goroutine at a time. It is held during the calls, so
	// nothing that a Receiver may call takes it.
	rx       sync.Mutex
	receiver Receiver // guarded by rx

	// ws is the WebSocket once that is the transport; nil means polling. It is set once, under mu.
	ws    atomic.Pointer[conn]
	ended atomic.Bool            // set once, under mu
	heart atomic.Uint32          // see heartbeat.go
	asked atomic.Pointer[func()] // what the last Ping is to call

	mu       sync.Mutex // locked before a conn's mu, never after
	queue    [][]byte   // frames waiting for a GET
	queued   int        // bytes in queue
	poll     *poll      // the GET that is held
	posting  bool       // a POST is being read or acted upon
	probe    *conn      // the WebSocket that tries to take over
	probed   bool       // it has been answered 3probe: polling is being flushed
	farewell []byte     // what a closed polling session still owes its next GET
	timer    *time.Timer
	phase    phase
	deadline time.Time // when timer is due
}

// handshake is what is kept of the request that opened a session. The request itself, with its
// buffers, is not: a session may last for hours.
type handshake struct {
	query                                   string
	origin, userAgent, host, cookie, bearer string
}

// maxHeaderValue bounds each header value that a session keeps, in bytes.
const maxHeaderValue = 8 << 10

func newHandshake(r *http.Request) handshake {
	keep := func(name string) string {
		if v := r.Header.Get(name); len(v) <= maxHeaderValue {
			return strings.Clone(v)
		}
		return ""
	}
	return handshake{
		query:     strings.Clone(r.URL.RawQuery),
		origin:    keep("Origin"),
		userAgent: keep("User-Agent"),
		host:      strings.Clone(r.Host),
		cookie:    keep("Cookie"),
		bearer:    keep("Authorization"),
	}
}

// ID is the session's id, a secret of the client: who knows it can read and write the session.
func (s *Session) ID() string { return s.id }

// RemoteAddr is the client's address at the handshake, taken from X-Forwarded-For behind a trusted proxy.
func (s *Session) RemoteAddr() netip.Addr { return s.remote }

// Query parses the query string of the handshake. Each call makes a new map.
func (s *Session) Query() url.Values {
	values, _ := url.ParseQuery(s.shake.query) // what can be parsed counts, as in net/http
	return values
}

// Header returns a header of the handshake: Origin, User-Agent, Host, Cookie or Authorization.
// Others, and values above 8 KB, are not kept.
func (s *Session) Header(name string) string {
	switch http.CanonicalHeaderKey(name) {
	case "Origin":
		return s.shake.origin
	case "User-Agent":
		return s.shake.userAgent
	case "Host":
		return s.shake.host
	case "Cookie":
		return s.shake.cookie
	case "Authorization":
		return s.shake.bearer
	}
	return ""
}

// Transport is the session's present transport, "polling" or "websocket".
func (s *Session) Transport() string {
	if s.ws.Load() != nil {
		return TransportWebSocket
	}
	return TransportPolling
}

// Send writes p if that can be done at once, else queues it. It never blocks. Packets arrive in the
// order of the calls.
func (s *Session) Send(p Packet) error {
	if len(p.wire) == 0 {
		return ErrEmpty
	}
	if p.splits {
		s.srv.count.unframable.Add(1)
		return ErrSeparator
	}
	if s.ended.Load() {
		return ErrClosed // the connection itself may take a moment longer
	}
	err := s.send(p.wire)
	if err == nil {
		s.srv.count.packetsOut.Add(1)
		s.srv.count.bytesOut.Add(uint64(len(p.wire)))
	}
	return err
}

func (s *Session) send(frames []byte) error {
	c := s.ws.Load()
	if c == nil {
		s.mu.Lock()
		if c = s.ws.Load(); c == nil {
			err := s.queueLocked(frames)
			s.mu.Unlock()
			if err == ErrSlowReader {
				s.end(ReasonSlowReader, endBroken)
			}
			return err
		}
		s.mu.Unlock()
	}
	return c.send(frames)
}

// queueLocked queues frames for the next GET and wakes the one that is held.
func (s *Session) queueLocked(frames []byte) error {
	switch {
	case s.ended.Load():
		return ErrClosed
	case len(s.queue) >= s.srv.opts.QueuePackets, s.queued > 0 && s.queued+len(frames) > s.srv.opts.QueueBytes:
		return ErrSlowReader
	}
	s.queue = append(s.queue, frames)
	s.queued += len(frames)
	s.poll.wake()
	return nil
}

// Writable reports whether a packet sent now would leave at once, for packets that may be dropped.
func (s *Session) Writable() bool {
	if c := s.ws.Load(); c != nil {
		return c.writable()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil && len(s.queue) == 0 && !s.ended.Load()
}

// Close ends the session gracefully: what is queued is flushed, then a close packet (polling) or
// close frame (WebSocket) follows. It does not wait; Closed is called from another goroutine.
// An empty reason means [ReasonForcedClose].
func (s *Session) Close(reason Reason) {
	if reason == "" {
		reason = ReasonForcedClose
	}
	s.end(reason, endGraceful)
}

// ending says what the client still gets when its session ends.
type ending int

const (
	endGraceful ending = iota // what is queued, then the close packet or frame
	endFarewell               // it sent a close packet: a last noop, or the close frame
	endBroken                 // nothing more than a GET that is held can be told
	endRead                   // its WebSocket's reader goroutine has stopped, and does the rest
)

// end ends the session; only the first call counts.
func (s *Session) end(reason Reason, how ending) {
	s.mu.Lock()
	if s.ended.Load() {
		s.mu.Unlock()
		return
	}
	s.ended.Store(true)
	ws, probe := s.ws.Load(), s.probe
	s.probe, s.probed = nil, false
	var linger time.Duration
	if ws == nil {
		linger = s.endPollingLocked(reason, how)
	} else if how == endGraceful || how == endFarewell {
		linger = s.srv.opts.WriteTimeout
	}
	s.setTimerLocked(phaseOver, linger)
	s.mu.Unlock()

	if probe != nil {
		probe.cut(reason)
	}
	switch {
	case ws == nil && linger == 0:
		s.srv.remove(s)
	case ws != nil && how != endRead:
		// The reader goroutine sees the connection end, and removes the session.
		ws.sendClose(reason.closeCode(), "")
		if how == endBroken {
			ws.cut(reason)
		}
	}
	s.srv.countClosed(reason, ws == nil)
	s.srv.log.LogAttrs(context.Background(), slog.LevelDebug, "session closed", slog.String("session", s.shortID()), slog.String("reason", string(reason)))
	go s.finish(reason)
}

// abandon forgets a session whose handshake failed before the application knew of it.
func (s *Session) abandon() {
	s.mu.Lock()
	already := s.ended.Swap(true)
	s.setTimerLocked(phaseOver, 0)
	s.mu.Unlock()
	s.srv.remove(s)
	if !already {
		s.srv.countClosed(ReasonTransportError, true)
		s.srv.wg.Done()
	}
}

// finish tells the Receiver, after the call that may be running.
func (s *Session) finish(reason Reason) {
	defer s.srv.wg.Done() // counted since the session was opened
	s.rx.Lock()
	defer s.rx.Unlock()
	defer s.rescue()
	if s.receiver != nil {
		s.receiver.Closed(reason)
	}
}

// deliver hands a message to the Receiver unless the session has ended.
func (s *Session) deliver(data []byte, binary bool) {
	s.srv.count.messagesIn.Add(1)
	s.srv.count.bytesIn.Add(uint64(len(data)))
	s.rx.Lock()
	defer s.rx.Unlock()
	if s.ended.Load() {
		return
	}
	defer s.rescue()
	s.receiver.Message(data, binary)
}

// attach makes the application's Receiver. It reports false when the session is refused.
func (s *Session) attach() bool {
	s.rx.Lock()
	defer s.rx.Unlock()
	if s.ended.Load() {
		return false
	}
	defer s.rescue()
	s.receiver = s.srv.handler(s)
	return s.receiver != nil
}

// rescue, when deferred, turns a panic of the application into the end of this session.
func (s *Session) rescue() {
	v := recover()
	if v == nil {
		return
	}
	s.srv.count.panics.Add(1)
	s.srv.log.Error("panic in a session's receiver", "session", s.shortID(), "panic", v, "stack", string(debug.Stack()))
	s.end(ReasonServerError, endGraceful)
}

// shortID tells sessions apart in logs without giving the secret away.
func (s *Session) shortID() string { return s.id[:6] }
