package signaling

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"skillsage/signaling/socketio"
)

// conn is what the server keeps of one socket.
type conn struct {
	// Static.
	server   *Server
	socket   *socketio.Socket
	id       string
	quotedID []byte // id as a JSON string
	limiter  *rate.Limiter

	slowed     time.Time     // owned by the handlers, which run one at a time; when the client was last told that it sends too much
	recordings *rate.Limiter // owned by the handlers; nil until the client has something to say about recordings

	member atomic.Pointer[member] // the present or last membership; written under mu

	mu    sync.Mutex // taken before room.mu; orders joins with the end of the socket and with what it receives
	ended bool       // guarded by mu
}

// handler treats one event. It returns what the acknowledgement says, nil for a bare {ok: true}, or why nothing was
// done, or errLater if it will answer by itself.
type handler func(c *conn, ev *socketio.Event, payload []byte) (ack any, why *refusal)

var errLater = &refusal{text: "answered later"}

var handlers = [...]struct {
	event string
	run   func(*socketio.Event)
}{
	{"ice-candidate", on((*conn).onCandidate)},
	{"signal", on((*conn).onSignal)},
	{"screen-share-status", on((*conn).onScreenShareStatus)},
	{joinEvent, on((*conn).onJoin)},
	{"chat-message", on((*conn).onChatMessage)},
	{"code-update", on((*conn).onCodeUpdate)},
	{"language-change", on((*conn).onLanguageChange)},
	{"question-change", on((*conn).onQuestionChange)},
	{"recording-start", on((*conn).onRecordingStart)},
	{"recording-stop", on((*conn).onRecordingStop)},
	{"recording-consent", on((*conn).onRecordingConsent)},
	{iceServersEvent, on((*conn).onICEServers)},
}

// on makes one function for all sockets of a handler; the event leads back to the conn.
func on(h handler) func(*socketio.Event) {
	return func(ev *socketio.Event) { ev.Socket().Data.(*conn).handle(ev, h) }
}

func (s *Server) connect(socket *socketio.Socket) {
	c := &conn{
		server:   s,
		socket:   socket,
		id:       socket.ID(),
		quotedID: []byte(`"` + socket.ID() + `"`),
		limiter:  rate.NewLimiter(rate.Limit(s.limits.EventRate), s.limits.EventBurst),
	}
	socket.Data = c
	for _, h := range handlers {
		socket.On(h.event, h.run)
	}
	socket.OnSuspend(func(socketio.Reason) { c.suspend() })
	socket.OnResume(c.resume)
	socket.OnDisconnect(func(reason socketio.Reason) { c.end(string(reason)) })
}

func (c *conn) handle(ev *socketio.Event, h handler) {
	var payload []byte
	if len(ev.Args) > 0 {
		payload = ev.Args[0]
	}
	c.pace(ev.Name, len(payload))
	var ack any
	why := refuseBinary
	if len(ev.Attachments) == 0 {
		ack, why = h(c, ev, payload)
	} else if ev.Name == joinEvent {
		c.refuseJoin(why)
	}
	switch {
	case why == errLater:
	case why != nil:
		c.refuse(ev.Name, ev, why)
	case ev.WantsAck():
		if ack == nil {
			ack = ackOK{OK: true}
		}
		ev.Ack(ack)
	}
}

// pace holds the socket's reader up while it is above its rate. Nothing is lost, and the flood waits in the sender's
// own connection instead of in the queues of those it is addressed to.
func (c *conn) pace(event string, size int) {
	units := 1
	if size > 1024 {
		units = min((size+1023)/1024, c.limiter.Burst())
	}
	now := time.Now()
	if c.limiter.AllowN(now, units) {
		return
	}
	c.server.stats.delayed.Add(1)
	if now.Sub(c.slowed) > slowedNotice {
		c.slowed = now
		c.server.stats.fail(codeRateLimited)
		c.socket.Send(encodeError(event, codeRateLimited, "this socket sends too much and is read more slowly"))
	}
	delay := c.limiter.ReserveN(now, units).DelayFrom(now)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.server.stopping:
	}
}

// charge counts what a join made the server send as if the client had sent it: a small event must not have large ones
// made at its own rate.
func (c *conn) charge(size int) {
	c.limiter.ReserveN(time.Now(), min(size/1024, c.limiter.Burst()))
}

// slowedNotice is how often a client is told that it sends too much.
const slowedNotice = time.Minute

// refuse answers an event that changed nothing: in the acknowledgement if the client asked for one, else in an
// error-message, unless it is one of those that are dropped silently. ev is nil where the handler has returned and
// there is nothing to acknowledge.
func (c *conn) refuse(event string, ev *socketio.Event, why *refusal) {
	if why.silent {
		c.server.stats.drop(why.drop)
	} else {
		c.server.stats.fail(why.code)
	}
	switch {
	case ev != nil && ev.WantsAck():
		ev.Ack(ackError{Code: why.code, Message: why.text})
	case !why.silent:
		c.socket.Send(encodeError(event, why.code, why.text))
	}
}

func (c *conn) suspend() {
	if m := c.member.Load(); m != nil {
		m.room.suspend(m)
	}
}

// resume has the relay told that a member is back, and makes one again of a member whose place was given away while its
// connection was broken: its client believes that it never left, and will not ask, but the others have closed their
// connections to it.
func (c *conn) resume() {
	m := c.member.Load()
	if m == nil || !m.room.resume(m) {
		return
	}
	if _, why := c.join(joinRequest{room: m.room.id, role: m.role, showsRecording: m.showsRecording, stale: true}); why != nil {
		c.refuseJoin(why)
	}
}

func (c *conn) end(reason string) {
	c.mu.Lock()
	c.ended = true
	m := c.member.Load()
	c.mu.Unlock()
	if m != nil {
		m.room.leave(m, reason)
	}
}
