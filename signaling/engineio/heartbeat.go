package engineio

import "time"

// phase is what a session's timer is waiting for.
type phase uint8

const (
	phaseQuiet   phase = iota // time for the next ping
	phaseAwaited              // a ping has been sent: time for the session to end
	phaseOver                 // the session has ended: time to give up on the closing handshake
)

// Values of Session.heart. The receiving path only reads it, but for the first packet after a ping.
const (
	heartQuiet   uint32 = iota // no ping is unanswered
	heartAwaited               // a ping is unanswered, and nothing has been received since
	heartHeard                 // a ping is unanswered, but something else has been received since
)

// startHeartbeat sets the first ping, PingInterval from now. Called before anyone else knows the session.
func (s *Session) startHeartbeat() {
	s.mu.Lock() // for the timer's goroutine
	defer s.mu.Unlock()
	s.deadline = time.Now().Add(s.srv.opts.PingInterval)
	s.timer = time.AfterFunc(s.srv.opts.PingInterval, s.onTimer)
}

// setTimerLocked lets the timer fire after d; zero stops it.
func (s *Session) setTimerLocked(p phase, d time.Duration) {
	s.phase = p
	if d == 0 {
		s.timer.Stop()
		return
	}
	s.deadline = time.Now().Add(d)
	s.timer.Reset(d)
}

func (s *Session) onTimer() {
	s.mu.Lock()
	// The deadline may have been moved while this call waited for the lock.
	if left := time.Until(s.deadline); left > 0 {
		s.timer.Reset(left)
		s.mu.Unlock()
		return
	}
	opts := &s.srv.opts
	switch s.phase {
	case phaseQuiet:
		s.phase = phaseAwaited
		s.heart.Store(heartAwaited)
		// Counted from when the ping was due, so that a silent session lasts exactly
		// PingInterval + PingTimeout however late this timer was.
		s.deadline = s.deadline.Add(opts.PingTimeout)
		s.timer.Reset(time.Until(s.deadline))
		s.mu.Unlock()
		s.send(packetPing.wire)
	case phaseAwaited:
		if s.heart.Load() != heartHeard {
			s.mu.Unlock()
			s.end(ReasonPingTimeout, endBroken)
			return
		}
		// No pong, but the client lives, e.g. its pong is behind a long upload. Keep the pings
		// going: its own watchdog counts nothing else.
		s.phase = phaseQuiet
		s.deadline = s.deadline.Add(max(0, opts.PingInterval-opts.PingTimeout))
		s.timer.Reset(time.Until(s.deadline))
		s.mu.Unlock()
	case phaseOver:
		s.mu.Unlock()
		s.drop()
	}
}

// Ping sends a ping out of turn, which every client answers, and has answered called when the client is next heard of,
// once. It may never be: the session's end does not tell, and a later Ping takes the place of an unanswered one. answered
// runs on the goroutine that reads and must not block. The session's life is left to the heartbeat.
func (s *Session) Ping(answered func()) {
	if s.ended.Load() {
		return
	}
	s.asked.Store(&answered)
	s.send(packetPing.wire)
}

// heard notes that the client sent something.
func (s *Session) heard() {
	if asked := s.asked.Load(); asked != nil && s.asked.CompareAndSwap(asked, nil) {
		(*asked)()
	}
	if s.heart.Load() == heartAwaited {
		s.heart.CompareAndSwap(heartAwaited, heartHeard)
	}
}

// pong takes the answer to a ping.
func (s *Session) pong() {
	if s.heart.Load() == heartQuiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseAwaited {
		s.heart.Store(heartQuiet)
		s.setTimerLocked(phaseQuiet, s.srv.opts.PingInterval)
	}
}

// drop gives up on a session that has ended: the client did not fetch its farewell, or did not complete
// the closing handshake.
func (s *Session) drop() {
	if ws := s.ws.Load(); ws != nil {
		ws.cut(ReasonTransportError)
		return // its reader goroutine removes the session
	}
	s.srv.remove(s)
}
