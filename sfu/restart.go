package sfu

import "time"

// A client that is not heard of any more may have another address (RFC 8445 calls the old pair failed), or its network
// is gone for a while. Most clients that were written for peer-to-peer calls do nothing about either, but every one
// answers an offer; one with new ICE credentials has it look for ways anew (RFC 8445 section 9). The stack gives its old
// pair up at once when it restarts, where browsers go on with theirs until there is a new one (section 9 again): a
// restart that the client does not hear of would take away the way on which it could have come back by itself.
// So the server restarts ICE only when the client's signaling has been found alive since.
const (
	// keepaliveInterval is the stack's pause between checks of the selected pair.
	keepaliveInterval = 2 * time.Second
	// disconnectedAfter is the silence, checks included, after which the stack calls a pair disconnected.
	disconnectedAfter = 5 * time.Second
	// roamAfter is the silence of the selected pair after which another one takes its place on which the client's checks
	// come. It is well above the 400 ms between packets of a voice that pauses.
	roamAfter = 1200 * time.Millisecond
	// maxChecks bounds the checks of a candidate pair that has not answered yet, of which the stack makes five a second:
	// until the next restart. The stack's own bound is over after one and a half seconds, and a pair of the server's
	// making is not tried again after that.
	maxChecks = 40

	probeWait   = time.Second      // between two questions whether a member's signaling is alive
	steadyAfter = 30 * time.Second // of a connection without a restart, until the pauses are short again
)

// restartWaits are the pauses before the next restart. The first is long: Firefox may send no more media after it has been asked
// for a second restart while the first one is still looking for a way. In one outage their number is bounded by
// Options.LostTimeout, at the end of which the call is made anew.
var restartWaits = []time.Duration{8 * time.Second, 8 * time.Second, 16 * time.Second}

// restarting is what the server has done about a client that it does not hear on a leg.
type restarting struct {
	dark  time.Time // since when it looks so; zero: it does not
	tries int       // restarts, whoever made them, since the connection was steady
	last  time.Time
}

// begun takes note of a restart.
func (r *restarting) begun(now time.Time) {
	r.last = now
	r.tries++
}

// due tells whether there may be another one.
func (r *restarting) due(now time.Time) bool {
	if r.tries == 0 {
		return true
	}
	return now.Sub(r.last) >= restartWaits[min(r.tries, len(restartWaits))-1]
}

// checkPath restarts ICE where the client is not heard of, though it is there.
func (l *leg) checkPath(now time.Time) {
	r := &l.restart
	if l.dropped || !l.lost(now) {
		r.dark, l.wantRestart = time.Time{}, false
		if now.Sub(r.last) > steadyAfter {
			r.tries = 0
		}
		return
	}
	if r.dark.IsZero() {
		r.dark = now
	}
	switch {
	case l.busy || l.out != nil || l.held != nil || !r.due(now):
	case l.client.alive.After(r.dark) && now.Sub(l.client.alive) < probeWait:
		l.wantRestart = true
	default:
		l.client.probe(now)
	}
}

// prove lets media go to an address that the client has come from, once that has answered.
func (l *leg) prove() {
	if l.conn == nil || l.proving || l.conn.link.waiting.Load() == nil {
		return
	}
	l.proving = true
	c := l.conn
	l.room.spawn(func() func() {
		c.link.prove(c.pc, &c.route)
		return func() { l.proving = false }
	})
}

// lost tells that the client, on a leg that was connected, cannot be reached, or has not been heard of where it was and has to be.
func (l *leg) lost(now time.Time) bool {
	if !l.connected {
		return false
	}
	return l.unreachable || l.hushed(now) && l.talks()
}

// hushed tells that the client has not been heard of for Options.RestartAfter.
func (l *leg) hushed(now time.Time) bool {
	patience := l.room.engine.opts.RestartAfter
	if waiting := l.conn.link.waiting.Load(); waiting != nil {
		return now.Sub(waiting.at) > patience
	}
	return now.Sub(l.conn.heardMedia()) > patience && now.Sub(l.conn.heard()) > patience
}

// probe asks whether the member's signaling is alive, once in a while.
func (m *member) probe(now time.Time) {
	if out := m.room.engine.outbox; out != nil && now.Sub(m.probed) >= probeWait {
		m.probed = now
		out.Probe(m.room.id, m.id)
	}
}

// onAlive takes the news that a member's signaling works.
func (r *room) onAlive(id string) {
	if m := r.members[id]; m != nil {
		m.alive = time.Now()
		r.checkPaths(m.alive)
		r.settle()
	}
}

func (r *room) checkPaths(now time.Time) {
	for _, l := range r.order {
		l.prove()
		l.checkPath(now)
	}
}
