package socketio

import (
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio/jsonraw"
)

// conn is one Engine.IO connection with the sockets, one per namespace, that share it.
type conn struct {
	// static
	server  *Server
	session *engineio.Session
	exec    executor

	connectTimer *time.Timer
	joined       atomic.Bool // a namespace has accepted the client at least once

	// owned by exec
	sockets  []*Socket
	left     []*Namespace // namespaces that the server made the client leave, until it connects again
	deciding *Socket      // the middleware is being asked about it
	closing  bool         // the server ends the connection
	partial  *partial
	event    Event // reused for events that ask for no acknowledgement
	args     [8]json.RawMessage
}

var (
	errInvalidState    = errors.New("packet does not fit the state of its namespace")
	errAttachmentsLate = errors.New("attachments did not arrive in time")
	errQueueFull       = errors.New("too many packets before the connection was decided")
	errAuthSize        = errors.New("CONNECT payload too large")
	errDepth           = errors.New("payload nested too deeply")
)

func newConn(server *Server, session *engineio.Session) *conn {
	c := &conn{server: server, session: session}
	c.exec.tracker = &server.tracker
	c.exec.handle = c.handle
	c.exec.limit.packets, c.exec.limit.bytes = server.opts.MaxWaitingPackets, server.opts.MaxWaitingBytes
	c.connectTimer = time.AfterFunc(server.opts.ConnectTimeout, func() {
		if !c.joined.Load() {
			server.stats.connectTimeouts.Add(1)
			session.Close(engineio.ReasonForcedClose)
		}
	})
	server.stats.connections.Add(1)
	return c
}

// Message implements engineio.Receiver.
func (c *conn) Message(data []byte, binary bool) {
	if !c.exec.packet(data, binary) {
		c.exec.stop()
		c.exec.run(func() { c.fail(errQueueFull) })
	}
}

// Closed implements engineio.Receiver.
func (c *conn) Closed(reason engineio.Reason) {
	c.connectTimer.Stop()
	c.exec.finish(func() { c.closed(reason) })
}

// handle takes one message; it runs within exec.
func (c *conn) handle(data []byte, binary bool) {
	var err error
	switch {
	case c.closing:
	case binary:
		err = c.addBinary(data)
	case c.partial != nil:
		err = errBinaryExpected
	default:
		err = c.handleText(data)
	}
	if err != nil {
		c.fail(err)
	}
}

func (c *conn) handleText(data []byte) error {
	if len(data) > 0 && (data[0] == '5' || data[0] == '6') {
		return c.beginBinary(data)
	}
	p, err := parsePacket(data, 0)
	if err != nil {
		return err
	}
	return c.dispatch(p, nil)
}

// dispatch acts on a complete packet. An error closes the connection.
func (c *conn) dispatch(p packet, attachments [][]byte) error {
	if p.kind == packetConnect {
		return c.connect(p)
	}
	s := c.socketIn(p.namespace)
	if s == nil {
		if p.kind != packetConnectError && c.hasLeft(p.namespace) {
			c.server.stats.packetsLate.Add(1)
			return nil
		}
		return errInvalidState
	}
	switch p.kind {
	case packetEvent, packetBinaryEvent:
		return c.onEvent(s, p, attachments)
	case packetAck, packetBinaryAck:
		return c.onAck(s, p, attachments)
	case packetDisconnect:
		if p.payload != nil {
			return errPayload
		}
		s.end(ReasonClientDisconnect)
		return nil
	default:
		return errInvalidState
	}
}

func (c *conn) onEvent(s *Socket, p packet, attachments [][]byte) error {
	if p.payload == nil {
		return nil // the reference server ignores it, too
	}
	name, args, err := parseEvent(p.payload, c.args[:0])
	defer clear(c.args[:])
	if err != nil {
		return err
	}
	c.server.stats.eventsIn.Add(1)
	h := s.handler(name)
	if h == nil {
		c.server.stats.eventsUnknown.Add(1)
		return nil
	}
	event := &c.event
	if p.ackDigits != nil {
		event = &Event{ackID: string(p.ackDigits)} // may outlive the handler
	}
	event.Name, event.Args, event.Attachments, event.socket = h.event, args, attachments, s
	s.protect(func() { h.run(event) })
	if event == &c.event {
		c.event.Args, c.event.Attachments, c.event.socket = nil, nil, nil
	}
	return nil
}

func (c *conn) onAck(s *Socket, p packet, attachments [][]byte) error {
	var args []json.RawMessage
	if p.payload != nil {
		var err error
		if args, err = jsonraw.Elements(nil, p.payload, maxArguments); err != nil {
			return errors.Join(errPayload, err)
		}
	}
	if p.ackDigits != nil {
		id, _ := ackNumber(p.ackDigits)
		s.onAck(id, &Reply{Args: args, Attachments: attachments})
	}
	return nil
}

// fail ends the connection because of what the client sent.
func (c *conn) fail(err error) {
	if c.closing {
		return
	}
	c.server.stats.countViolation(err)
	c.server.log.Debug("socket.io connection closed for a protocol error", "remote", c.session.RemoteAddr(), "error", err)
	c.end(engineio.ReasonParseError)
	for _, s := range slices.Clone(c.sockets) {
		s.end(ReasonParseError)
	}
}

// end closes the connection for a reason of the server's; its sockets can't recover. Within exec.
func (c *conn) end(reason engineio.Reason) {
	c.closing = true
	c.dropPartial()
	c.exec.stop()
	c.session.Close(reason)
}

// closed runs within exec when the connection is gone.
func (c *conn) closed(reason engineio.Reason) {
	c.server.stats.connections.Add(-1)
	c.dropPartial()
	mayReturn := !c.closing && c.server.recoverable(reason)
	c.closing = true
	if c.deciding != nil {
		c.deciding.abandon()
	}
	for _, s := range slices.Clone(c.sockets) {
		if mayReturn {
			s.suspend(Reason(reason))
		} else {
			s.end(Reason(reason))
		}
	}
	c.sockets = nil
}

// socketIn returns the socket in a namespace (nil stands for "/") or nil.
func (c *conn) socketIn(namespace []byte) *Socket {
	for _, s := range c.sockets {
		if string(namespace) == s.ns.name || namespace == nil && s.ns.name == rootNamespace {
			return s
		}
	}
	return nil
}

func (c *conn) hasLeft(namespace []byte) bool {
	return slices.ContainsFunc(c.left, func(ns *Namespace) bool {
		return string(namespace) == ns.name || namespace == nil && ns.name == rootNamespace
	})
}

// add makes s the connection's socket of its namespace. Within exec.
func (c *conn) add(s *Socket) {
	c.sockets = append(c.sockets, s)
	c.left = slices.DeleteFunc(c.left, func(ns *Namespace) bool { return ns == s.ns })
	if !c.joined.Swap(true) {
		c.connectTimer.Stop()
	}
}

// remove takes s off the connection. The client may not know yet if byServer. Within exec.
func (c *conn) remove(s *Socket, byServer bool) {
	i := slices.Index(c.sockets, s)
	if i < 0 {
		return
	}
	c.sockets = slices.Delete(c.sockets, i, i+1)
	if byServer {
		c.left = append(c.left, s.ns)
	}
}

// disconnectAll closes the connection after telling every namespace on it. Within exec.
func (c *conn) disconnectAll(reason Reason) {
	if c.closing {
		return
	}
	for _, s := range slices.Clone(c.sockets) {
		s.disconnect(reason, false)
	}
	c.exec.run(func() { c.end(engineio.ReasonForcedClose) })
}
