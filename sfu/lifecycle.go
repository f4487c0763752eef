package sfu

import (
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/media"
)

// Re-homing, the last resort, is bounded: a pair that cannot be helped by it is left alone for a while.
const (
	maxRehomes    = 3
	rehomeMemory  = 2 * time.Minute
	rehomeLongest = 10 * time.Minute // between two attempts, which come twice as late each time
	maxRestarts   = 3

	patienceWhileUp = 3 // times AnswerTimeout, where media goes on meanwhile
)

const recruiter = "recruiter" // the role that calls

const (
	callTimeout      = 500 * time.Millisecond // for a recruiter whom another one calls, to call by itself
	candidateTimeout = 3 * time.Second        // for a client that rolled its first offer back, to find an address
)

// rehoming counts how often the calls of one pair were made anew.
type rehoming struct {
	count int
	last  time.Time
	due   time.Time // for the next attempt with a pair that was left alone; zero: it was not
	pause time.Duration

	offerer, answerer string // who called, and who was called
}

// onState follows the connection of a leg.
func (l *leg) onState(state webrtc.PeerConnectionState) {
	r := l.room
	switch state {
	case webrtc.PeerConnectionStateConnected:
		if !l.connected {
			l.connected, l.connectedAt = true, time.Now()
			l.noteSetUp(l.connectedAt)
			r.engine.count.connected.Add(1)
			l.log.Info("leg connected")
			r.state(l, "connected", "")
		}
		l.connectBy = time.Time{}
		l.unreachable = false
	case webrtc.PeerConnectionStateDisconnected:
		l.unreachable = true
		r.state(l, "disconnected", "no connectivity checks from the client")
	case webrtc.PeerConnectionStateFailed:
		l.fail("ICE or DTLS failed")
	case webrtc.PeerConnectionStateClosed:
		// The client closed its connection without a word (DTLS close_notify).
		// Its viewers' legs stay: they are told by renegotiation.
		for slot := range l.pubs {
			if src := l.pubs[slot].source; src != nil && src.uploader == l {
				src.lost = time.Now()
			}
		}
		r.drop(l, "closed by the client")
	}
	r.settle()
}

// fail ends a leg that has no connection any more.
func (l *leg) fail(reason string) {
	r := l.room
	r.engine.count.failed.Add(1)
	l.log.Info("leg failed", "reason", reason)
	r.state(l, "failed", reason)
	l.failed = !l.key.screen // a share is offered again by itself
	l.startOver(reason)
}

// startOver gives a leg up: a share's viewer is offered another one, a call is made anew.
func (l *leg) startOver(reason string) {
	if l.key.screen {
		l.room.drop(l, reason)
		return
	}
	l.room.rehome(l, reason)
}

// rehome ends all legs between two members and has their clients call anew.
func (r *room) rehome(l *leg, reason string) {
	pair := pairOf(l.key.client, l.key.peer)
	h := r.rehomes[pair]
	if h == nil {
		h = &rehoming{}
		r.rehomes[pair] = h
	}
	now := time.Now()
	if now.Sub(h.last) > rehomeMemory {
		*h = rehoming{}
	}
	h.offerer, h.answerer = r.offerer(l)
	if h.count >= maxRehomes {
		if h.due.IsZero() { // else for the other half of the call
			h.pause = min(max(2*h.pause, rehomeMemory), rehomeLongest)
			h.due = now.Add(h.pause)
		}
		l.failed = true
		r.drop(l, reason)
		return
	}
	h.count++
	r.callAnew(h, now, reason)
}

// retryRehomes has those call anew, once in a while, who were left alone without a connection: their network may have
// changed, and their clients do not know of anything that they could do.
func (r *room) retryRehomes(now time.Time) {
	for _, h := range r.rehomes {
		if h.due.IsZero() || now.Before(h.due) {
			continue
		}
		h.due = time.Time{}
		key := legKey{h.offerer, h.answerer, false}
		if r.legs[key] == nil || r.legs[key.opposite()] == nil { // else they have called again
			r.callAnew(h, now, "another attempt")
		}
	}
}

// waits tells whether a deadline is to be looked at although there may be no leg.
func (r *room) waits() bool {
	for _, h := range r.rehomes {
		if !h.due.IsZero() {
			return true
		}
	}
	return false
}

func (r *room) callAnew(h *rehoming, now time.Time, reason string) {
	h.last = now
	a, b := h.offerer, h.answerer
	for _, key := range []legKey{{a, b, false}, {b, a, false}, {a, b, true}, {b, a, true}} {
		if other := r.legs[key]; other != nil {
			r.drop(other, reason)
		}
		delete(r.troubles, key)
	}
	r.engine.count.rehomed.Add(1)
	r.log.Info("call re-homed", "member", a, "peer", b, "reason", reason)
	if r.engine.outbox != nil {
		r.engine.outbox.State(r.id, a, b, false, "rehome", reason)
	}
}

func pairOf(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// offerer tells who called in a pair: its client will call again.
func (r *room) offerer(l *leg) (offerer, answerer string) {
	a, b := l.key.client, l.key.peer
	camera := r.legs[legKey{a, b, false}]
	other := r.legs[legKey{b, a, false}]
	switch {
	case camera != nil && camera.clientOffered:
		return a, b
	case other != nil && other.clientOffered:
		return b, a
	case l.client.role == recruiter:
		return a, b
	}
	return b, a
}

// restarted counts a leg that the server has to open again.
func (l *leg) restarted() {
	l.restarts++
	if l.restarts > maxRestarts {
		l.wantFirst = false
		l.room.rehome(l, "the client keeps opening new connections")
	}
}

// checkDeadlines ends what has waited for too long.
func (l *leg) checkDeadlines(now time.Time) {
	if l.dropped || l.busy {
		return
	}
	opts := &l.room.engine.opts
	if l.out != nil {
		waited := now.Sub(l.out.sent)
		switch {
		case !l.client.proven && waited > opts.FirstAnswerTimeout:
			// Perhaps a socket that never answers, perhaps a camera prompt: the
			// connection goes, the place in the queue stays.
			l.room.engine.count.unanswered.Add(1)
			l.log.Info("leg parked", "reason", "no answer yet")
			l.disconnect()
			l.parked = true
			l.client.offering = l
			return
		case l.client.proven && l.held == nil && waited > l.patience():
			l.room.engine.count.unanswered.Add(1)
			l.startOver("offer not answered")
			return
		}
	}
	if l.rolledBack && l.established && !l.connected && l.candidatesAdded == 0 && now.Sub(l.establishedAt) > candidateTimeout {
		l.fail("no candidates since the client rolled its offer back")
		return
	}
	if !l.connectBy.IsZero() && now.After(l.connectBy) {
		l.connectBy = time.Time{}
		if !l.connected {
			l.fail("no connection in time")
		}
	}
}

// patience is how long a proven member may take to answer the open offer: longer
// where the call goes on meanwhile, because re-homing would interrupt it.
func (l *leg) patience() time.Duration {
	if l.connected && !l.out.first && !l.out.restart {
		return patienceWhileUp * l.room.engine.opts.AnswerTimeout
	}
	return l.room.engine.opts.AnswerTimeout
}

// onUpstream takes a track that began to arrive, or one of whose simulcast layers
// did.
func (l *leg) onUpstream(mid string, up *media.Upstream) {
	if l.upstreams[mid] == up {
		return
	}
	l.upstreams[mid] = up
	l.meter.receive(mid, up)
	r := l.room
	r.engine.count.ups.Add(1)
	r.spawn(func() func() {
		<-up.Done()
		return func() {
			if l.upstreams[mid] == up {
				delete(l.upstreams, mid)
			}
			r.settle()
		}
	})
	r.settle()
}
