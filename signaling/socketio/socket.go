package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"skillsage/signaling/engineio"
)

// Socket is one client in one namespace. With recovery on it outlives a broken
// connection and goes on when its client returns in time.
//
// All methods but the On… ones are safe for concurrent use, also from within handlers, and none
// blocks. Handlers of one socket run one at a time: events in the order of their arrival.
type Socket struct {
	// Data is the application's; the package never touches it.
	Data any

	// static
	id        string
	sessionID string // private session id; "" with recovery off
	returning bool   // the client asked for an earlier socket, and this is another one
	ns        *Namespace
	handshake Handshake

	// owned by whoever runs the socket's handlers
	handlers     []*handler
	onDisconnect []func(Reason)
	onSuspend    []func(Reason)
	onResume     []func()

	rooms    []string // guarded by ns.mu
	roomless bool     // guarded by ns.mu: the socket has ended

	mu      sync.Mutex // held while sending, so that offsets go out in order; sending never blocks
	state   socketState
	conn    *conn // nil unless connected
	reason  Reason
	acks    map[uint64]*pendingAck
	nextAck uint64
	replay  replayLog
	claim   *claim      // a connection that waits for the socket
	expiry  *time.Timer // runs while suspended
	expires time.Time
	ctx     context.Context // made when asked for
	cancel  context.CancelFunc
}

// socketState: connecting → connected → gone; with recovery also
// connected → suspending → suspended → resuming → connected, and gone from each.
type socketState byte

const (
	stateConnecting socketState = iota // the middleware is being asked
	stateConnected
	stateSuspending // the connection is gone; OnSuspend runs
	stateSuspended  // waits for the client
	stateResuming   // promised to a new connection
	stateGone
)

type handler struct {
	event string
	run   func(*Event)
}

// Handshake is what was known when the socket connected first.
type Handshake struct {
	// Auth is the payload of the client's CONNECT packet, an object.
	Auth json.RawMessage
	// RemoteAddr is the client's address, see engineio.Session.
	RemoteAddr netip.Addr
	Time       time.Time
	session    *engineio.Session
}

// Query parses the query string of the Engine.IO handshake; each call makes a new map.
func (h *Handshake) Query() url.Values { return h.session.Query() }

// Header returns a header of the Engine.IO handshake: Origin, User-Agent, Host, Cookie or Authorization.
func (h *Handshake) Header(name string) string { return h.session.Header(name) }

func newSocket(c *conn, ns *Namespace, creds credentials) *Socket {
	s := &Socket{id: newID(socketIDBytes), ns: ns, conn: c, returning: creds.sessionID != ""}
	s.handshake = Handshake{Auth: creds.auth, RemoteAddr: c.session.RemoteAddr(), Time: time.Now(), session: c.session}
	if ns.server.opts.Recovery > 0 {
		s.sessionID = newID(sessionIDBytes)
	}
	return s
}

// ID is the socket's id, the name that peers know it by. It survives a recovery.
func (s *Socket) ID() string { return s.id }

// Namespace is where the socket is.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Handshake tells about the client.
func (s *Socket) Handshake() *Handshake { return &s.handshake }

// RecoveryFailed reports whether the client asked to be the socket that it was before
// and could not be: too late, after its own goodbye, or after a restart of the server. It
// still holds what it had made of what that socket was told. Clients older than
// socket.io-client 4.6 never ask, and with recovery off none is heard.
func (s *Socket) RecoveryFailed() bool { return s.returning }

// Connected is false before the CONNECT was answered, while suspended, and after the end.
func (s *Socket) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateConnected
}

// On sets the handler of an event; a second one replaces the first. Call it in
// OnConnect or in a handler of the same socket. Events without a handler are ignored.
func (s *Socket) On(event string, run func(*Event)) {
	for _, h := range s.handlers {
		if h.event == event {
			h.run = run
			return
		}
	}
	s.handlers = append(s.handlers, &handler{event, run})
}

// OnDisconnect adds a handler for the socket's end, which it is told exactly once,
// as the last of its handlers, and never from within a call of [Socket.Disconnect].
// Where recovery does not apply it follows the end of the connection at once,
// else when the window has passed. Call it where On is called.
func (s *Socket) OnDisconnect(run func(Reason)) { s.onDisconnect = append(s.onDisconnect, run) }

// OnSuspend adds a handler for a connection that broke; OnResume or OnDisconnect follows.
func (s *Socket) OnSuspend(run func(Reason)) { s.onSuspend = append(s.onSuspend, run) }

// OnResume adds a handler for a client that came back in time; what it missed is on its way already.
func (s *Socket) OnResume(run func()) { s.onResume = append(s.onResume, run) }

// Context ends with the socket, also while a middleware is being asked about it.
func (s *Socket) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancel(context.Background())
		if s.state == stateGone {
			s.cancel()
		}
	}
	return s.ctx
}

// Emit sends an event, with arguments encoded as in [Encode]. While the socket is
// suspended the event is kept and sent when the client returns; if too much is
// kept, the socket ends. An error of another kind means that the socket has ended.
func (s *Socket) Emit(event string, args ...any) error {
	m, err := Encode(event, args...)
	if err != nil {
		return err
	}
	return s.Send(m)
}

// Send is Emit with an event that is encoded already.
func (s *Socket) Send(m *Message) error {
	s.mu.Lock()
	err := s.send(m)
	s.mu.Unlock()
	if err == ErrReplayOverflow {
		s.ns.server.stats.replayOverflows.Add(1)
		s.disconnect(ReasonReplayOverflow, false)
	}
	return err
}

// sendAck sends the answer to a client's event. It is kept for a replay like an event:
// a client that comes back still knows what it asked.
func (s *Socket) sendAck(m *Message) error {
	s.ns.server.stats.acksOut.Add(1)
	return s.Send(m)
}

// send: s.mu is held.
func (s *Socket) send(m *Message) error {
	switch s.state {
	case stateConnected:
	case stateConnecting:
		return ErrNotConnected
	case stateGone:
		return ErrDisconnected
	default:
		if !s.replay.keepAway(m, &s.ns.server.opts) {
			return ErrReplayOverflow
		}
		return nil
	}
	if m.ackID == "" {
		s.ns.server.stats.eventsOut.Add(1)
	}
	if s.sessionID == "" {
		return ended(s.conn.session.Send(m.packet(s.ns.name, "", nil)))
	}
	s.replay.keep(m, &s.ns.server.opts)
	err := s.conn.session.Send(s.replayPacket(m, s.replay.seq))
	if err == engineio.ErrClosed {
		return nil // the connection's end has not been dealt with yet; the event waits for the client
	}
	return ended(err)
}

// replayPacket makes a packet that tells the client its place in the sequence of events.
func (s *Socket) replayPacket(m *Message, seq uint64) engineio.Packet {
	if m.ackID != "" {
		return m.packet(s.ns.name, "", nil)
	}
	var buffer [16]byte
	return m.packet(s.ns.name, "", strconv.AppendUint(buffer[:0], seq, offsetBase))
}

func ended(err error) error {
	if err == engineio.ErrClosed {
		return ErrDisconnected
	}
	return err
}

// EmitVolatile sends an event if that is possible right now, else drops it: the
// socket is suspended or data waits for the client already.
func (s *Socket) EmitVolatile(event string, args ...any) error {
	m, err := Encode(event, args...)
	if err == nil {
		s.SendVolatile(m)
	}
	return err
}

// SendVolatile is EmitVolatile with an event that is encoded already. It reports
// whether the event was sent.
func (s *Socket) SendVolatile(m *Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateConnected || !s.conn.session.Writable() {
		s.ns.server.stats.volatileDropped.Add(1)
		return false
	}
	s.ns.server.stats.eventsOut.Add(1)
	if s.sessionID == "" {
		return s.conn.session.Send(m.packet(s.ns.name, "", nil)) == nil
	}
	// A client takes any string that comes last for its offset, so the present one is sent along.
	return s.conn.session.Send(s.replayPacket(m, s.replay.seq)) == nil
}

// Ping asks the client of a connected socket for a sign of life, and has answered called when there is one; see
// [engineio.Session.Ping].
func (s *Socket) Ping(answered func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateConnected {
		s.conn.session.Ping(answered)
	}
}

// Disconnect makes the client leave the namespace; stock clients do not come
// back by themselves then. With closeEngine the whole connection is closed after
// that, with all other namespaces on it.
func (s *Socket) Disconnect(closeEngine bool) { s.disconnect(ReasonServerDisconnect, closeEngine) }

func (s *Socket) disconnect(reason Reason, closeEngine bool) {
	s.mu.Lock()
	if s.state == stateConnected {
		text := appendNamespace([]byte{'0' + byte(packetDisconnect)}, s.ns.name)
		s.conn.session.Send(engineio.NewText(text)) // a closed session tells by Closed
	}
	before, c := s.leave(reason)
	s.mu.Unlock()
	switch before {
	case stateConnected:
		s.forget()
		c.exec.post(func() {
			c.remove(s, true)
			s.finish()
			if closeEngine {
				c.disconnectAll(reason)
			}
		})
	case stateSuspended:
		s.forget()
		s.ns.server.tracker.start(s.finish)
	case stateSuspending, stateResuming:
		s.forget() // who moves the socket on finishes it
	}
}

// end finishes the socket for something the client or its connection did. Within exec.
func (s *Socket) end(reason Reason) {
	s.mu.Lock()
	before, c := s.leave(reason)
	s.mu.Unlock()
	if before == stateConnected {
		c.remove(s, false)
		s.forget()
		s.finish()
	}
}

// leave moves the socket to its last state; s.mu is held. Who moved it there has to
// call forget and, in its turn among the handlers, finish.
func (s *Socket) leave(reason Reason) (before socketState, c *conn) {
	before, c = s.state, s.conn
	if before == stateGone {
		return before, nil
	}
	if before == stateSuspended || before == stateSuspending || before == stateResuming {
		s.ns.server.stats.suspended.Add(-1)
	}
	s.state, s.conn, s.reason = stateGone, nil, reason
	s.replay = replayLog{}
	if s.expiry != nil {
		s.expiry.Stop()
	}
	return before, c
}

// forget takes the socket out of everything that others find it by.
func (s *Socket) forget() {
	s.ns.remove(s)
	s.ns.server.forgetSession(s)
}

// finish tells the handlers that the socket has ended.
func (s *Socket) finish() {
	s.mu.Lock()
	reason, claim, cancel := s.reason, s.claim, s.cancel
	s.claim = nil
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	s.failAcks()
	for _, run := range s.onDisconnect {
		s.protect(func() { run(reason) })
	}
	s.ns.server.log.Info("socket disconnected", "namespace", s.ns.name, "socket", s.id, "reason", reason)
	if claim != nil {
		claim.settle(nil)
	}
}

// establish answers the CONNECT. False means that the socket was disconnected before. Within exec.
func (s *Socket) establish() bool {
	s.mu.Lock()
	if s.state != stateConnecting {
		s.mu.Unlock()
		return false
	}
	c := s.conn
	s.state = stateConnected
	s.ns.server.addSession(s)
	c.session.Send(connectAnswer(s.ns.name, s.id, s.sessionID)) // a closed session tells by Closed
	s.mu.Unlock()
	c.add(s)
	s.ns.add(s)
	return true
}

// abandon ends a socket that never was connected.
func (s *Socket) abandon() {
	s.mu.Lock()
	s.leave(ReasonForcedClose)
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// handler finds the handler of an event, or nil.
func (s *Socket) handler(name []byte) *handler {
	for _, h := range s.handlers {
		if h.event == string(name) {
			return h
		}
	}
	return nil
}

// protect runs application code; a panic in it ends this socket only.
func (s *Socket) protect(f func()) {
	defer func() {
		if p := recover(); p != nil {
			s.ns.server.stats.panics.Add(1)
			s.ns.server.log.Error("socket.io handler panicked", "namespace", s.ns.name, "socket", s.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.disconnect(ReasonPanic, false)
		}
	}()
	f()
}
