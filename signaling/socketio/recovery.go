package socketio

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"skillsage/signaling/engineio"
)

// recoverable reports whether a connection that ended so may be followed by another of the same client.
func (s *Server) recoverable(reason engineio.Reason) bool {
	if s.opts.Recovery <= 0 || s.closing.Load() {
		return false
	}
	switch reason {
	case engineio.ReasonTransportError, engineio.ReasonPingTimeout:
		return true
	default:
		return s.opts.RecoverAfterClose && reason.Goodbye()
	}
}

func (s *Server) addSession(socket *Socket) {
	if socket.sessionID == "" {
		return
	}
	s.mu.Lock()
	s.sessions[socket.sessionID] = socket
	s.mu.Unlock()
}

func (s *Server) forgetSession(socket *Socket) {
	if socket.sessionID == "" {
		return
	}
	s.mu.Lock()
	delete(s.sessions, socket.sessionID)
	s.mu.Unlock()
}

func (s *Server) session(id string) *Socket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sessions[id]
}

// resumable lists the sockets that are connected or wait for their clients.
func (s *Server) resumable() []*Socket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*Socket, 0, len(s.sessions))
	for _, socket := range s.sessions {
		all = append(all, socket)
	}
	return all
}

// claim is a connection's wait for a socket that another connection still holds.
type claim struct {
	conn  *conn
	ns    *Namespace
	creds credentials
}

// settle ends the wait: with the socket, or with nil if it can't be had. It may be called from anywhere.
func (cl *claim) settle(s *Socket) {
	cl.conn.exec.post(func() {
		c := cl.conn
		c.exec.release()
		if !(s != nil && c.resume(s, cl.creds)) && !c.closing {
			c.admit(cl.ns, cl.creds)
		}
	})
}

// reclaim tries to give a returning client its socket. False means that it needs
// a new one. Within exec.
func (c *conn) reclaim(ns *Namespace, creds credentials) bool {
	stats := &c.server.stats
	s := c.server.session(creds.sessionID)
	if s == nil || s.ns != ns {
		stats.recoveryUnknown.Add(1)
		return false
	}
	if !bytes.Equal(s.handshake.Auth, creds.auth) {
		// The session belongs to who opened it; the middleware decides about this one.
		stats.recoveryRefused.Add(1)
		return false
	}
	s.mu.Lock()
	switch {
	case s.state == stateSuspended:
		s.expiry.Stop()
		s.state = stateResuming
		s.mu.Unlock()
		return c.resume(s, creds)
	case s.state != stateConnected && s.state != stateSuspending, s.claim != nil:
		s.mu.Unlock()
		stats.recoveryUnknown.Add(1)
		return false
	}
	// The old connection seems to be alive; its client knows better.
	s.claim = &claim{conn: c, ns: ns, creds: creds}
	c.exec.hold()
	old := s.conn
	s.mu.Unlock()
	if old != nil {
		old.exec.post(old.giveUp)
	}
	return true
}

// giveUp ends a connection whose client is back on another. Within exec.
func (c *conn) giveUp() {
	if c.closing {
		return
	}
	sockets := c.sockets
	c.sockets = nil
	for _, s := range slices.Clone(sockets) {
		s.suspend(ReasonTakenOver)
	}
	c.end(engineio.ReasonForcedClose)
}

// suspend parts the socket from its connection. Within exec.
func (s *Socket) suspend(reason Reason) {
	s.mu.Lock()
	if s.state != stateConnected {
		s.mu.Unlock()
		return
	}
	s.state, s.conn, s.reason = stateSuspending, nil, reason
	s.expires = time.Now().Add(s.ns.server.opts.Recovery)
	s.ns.server.stats.suspended.Add(1)
	s.mu.Unlock()
	s.ns.server.log.Info("socket suspended", "namespace", s.ns.name, "socket", s.id, "reason", reason)
	s.failAcks()
	for _, run := range s.onSuspend {
		s.protect(func() { run(reason) })
	}
	s.mu.Lock()
	if s.state != stateSuspending {
		s.mu.Unlock()
		s.finish()
		return
	}
	if claim := s.claim; claim != nil {
		s.claim = nil
		s.state = stateResuming
		s.mu.Unlock()
		claim.settle(s)
		return
	}
	s.waitForReturn()
	s.mu.Unlock()
}

// waitForReturn: s.mu is held.
func (s *Socket) waitForReturn() {
	s.state = stateSuspended
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(s.expires), func() {
		s.mu.Lock()
		if s.state != stateSuspended || s.expiry != timer {
			s.mu.Unlock()
			return
		}
		s.leave(s.reason)
		s.mu.Unlock()
		s.ns.server.stats.recoveryExpired.Add(1)
		s.forget()
		s.ns.server.tracker.start(s.finish)
	})
	s.expiry = timer
}

// resume attaches a socket in stateResuming. False means that the client needs a
// new socket, unless the connection is closing. Within exec.
func (c *conn) resume(s *Socket, creds credentials) bool {
	offset := uint64(0) // a client that has received no event has no offset
	var err error
	if creds.offset != "" {
		offset, err = strconv.ParseUint(creds.offset, offsetBase, 64)
	}
	s.mu.Lock()
	if s.state != stateResuming {
		s.mu.Unlock()
		s.finish() // it was ended on the way
		return false
	}
	if c.closing {
		s.waitForReturn()
		s.mu.Unlock()
		return false
	}
	if err != nil || !s.replay.confirm(offset) {
		s.leave(ReasonReplayGone)
		s.mu.Unlock()
		c.server.stats.recoveryGone.Add(1)
		s.forget()
		s.finish()
		return false
	}
	s.state, s.conn = stateConnected, c
	c.session.Send(connectAnswer(s.ns.name, s.id, s.sessionID)) // a closed session tells by Closed
	for _, e := range s.replay.entries {
		c.session.Send(s.replayPacket(e.message, e.seq))
	}
	replayed := len(s.replay.entries)
	s.mu.Unlock()
	c.add(s)
	c.server.stats.suspended.Add(-1)
	c.server.stats.recovered.Add(1)
	c.server.stats.replays.Add(uint64(replayed))
	c.server.log.Info("socket resumed", "namespace", s.ns.name, "socket", s.id, "replayed", replayed, "remote", c.session.RemoteAddr())
	for _, run := range s.onResume {
		s.protect(run)
	}
	return true
}
