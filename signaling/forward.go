package signaling

import (
	"bytes"

	"skillsage/signaling/socketio"
)

// An addressee is looked up by what the client wrote, but only among the members of the sender's own room; the sender
// is who its socket is. Only `to` and `from` are rebuilt on the way: the rest goes out byte for byte as it came in.

var (
	signalNames    = []string{"to", "signal", "type", "isScreenShare"}
	candidateNames = []string{"to", "candidate", "isScreenShare"}
	sdpNames       = []string{"type", "sdp"}
	statusNames    = []string{"interviewId", "isSharing"}
)

const (
	kindOffer  = "offer"
	kindAnswer = "answer"
)

// addressee finds a member by the JSON string that a client addressed; r.mu is held.
func (r *room) addressee(to []byte) *member {
	if inner, ok := plain(to); ok {
		return r.members[string(inner)]
	}
	id, _ := decodeString(to)
	return r.members[id]
}

func checkTo(to []byte) *refusal {
	switch {
	case to == nil:
		return missing("to")
	case !isString(to):
		return badField("to", "a string")
	}
	return nil
}

// candidateEvent is a checked ice-candidate payload; its slices point into it.
type candidateEvent struct {
	to, candidate   []byte
	screen, flagged bool // flagged: isScreenShare was there
}

func parseCandidate(payload []byte, limits *Limits) (e candidateEvent, why *refusal) {
	var f [3][]byte
	if why = fields(payload, candidateNames, f[:]); why != nil {
		return e, why
	}
	e.to, e.candidate = f[0], f[1]
	if e.screen, e.flagged, why = screenFlag(f[2]); why != nil {
		return e, why
	}
	if why = checkTo(e.to); why != nil {
		return e, why
	}
	switch {
	case e.candidate == nil:
		return e, missing("candidate")
	case !isObject(e.candidate) && !isNull(e.candidate): // null is how some clients say that there are no more
		return e, badField("candidate", "an object")
	case len(e.candidate) > limits.CandidateBytes:
		return e, tooLarge("candidate", limits.CandidateBytes)
	}
	return e, nil
}

func (c *conn) onCandidate(ev *socketio.Event, payload []byte) (any, *refusal) {
	e, why := parseCandidate(payload, &c.server.limits)
	if why != nil {
		return nil, why
	}
	m := c.member.Load()
	if m == nil {
		return nil, ignoreNotJoined
	}
	r := m.room
	r.mu.Lock()
	target := r.addressee(e.to)
	if why := r.maySend(m, target); why != nil {
		r.mu.Unlock()
		return nil, why
	}
	if r.mode == ModeRelay {
		if isNull(e.candidate) {
			r.mu.Unlock()
			return nil, nil
		}
		relay, kept := c.server.relay, bytes.Clone(e.candidate)
		c.server.stats.relayCandidates.Add(1)
		later := c.later(ev)
		r.postCall(func() { later(nil, unusable(relay.Candidate(r.id, m.id, target.id, e.screen, kept))) })
		r.deliverLocked()
		return nil, errLater
	}
	r.post(target, socketio.EncodeRaw("ice-candidate", partFrom, c.quotedID, partCandidate, e.candidate, partScreen(e.screen, e.flagged)))
	c.server.stats.candidates.Add(1)
	r.deliverLocked()
	return nil, nil
}

// signalEvent is a checked signal payload; its slices point into it. signal and kind are nil where they were absent.
type signalEvent struct {
	to, signal, kind []byte
	screen, flagged  bool // flagged: isScreenShare was there
}

func parseSignal(payload []byte, limits *Limits) (e signalEvent, why *refusal) {
	var f [4][]byte
	if why = fields(payload, signalNames, f[:]); why != nil {
		return e, why
	}
	e.to, e.signal, e.kind = f[0], f[1], f[2]
	if e.screen, e.flagged, why = screenFlag(f[3]); why != nil {
		return e, why
	}
	if why = checkTo(e.to); why != nil {
		return e, why
	}
	if why = optionalString("type", e.kind, maxShortText); why != nil {
		return e, why
	}
	described := string(e.kind) == `"offer"` || string(e.kind) == `"answer"`
	switch {
	case described && e.signal == nil:
		return e, missing("signal")
	case described && !isObject(e.signal):
		return e, badField("signal", "an object")
	case len(e.signal) > limits.SignalBytes:
		return e, tooLarge("signal", limits.SignalBytes)
	}
	return e, nil
}

func (c *conn) onSignal(ev *socketio.Event, payload []byte) (any, *refusal) {
	e, why := parseSignal(payload, &c.server.limits)
	if why != nil {
		return nil, why
	}
	m := c.member.Load()
	if m == nil {
		return nil, ignoreNotJoined
	}
	r := m.room
	r.mu.Lock()
	target := r.addressee(e.to)
	if why := r.maySend(m, target); why != nil {
		r.mu.Unlock()
		return nil, why
	}
	if r.mode == ModeRelay {
		r.mu.Unlock()
		return c.relaySignal(ev, m, target, e.screen, e.kind, e.signal)
	}
	r.post(target, socketio.EncodeRaw("signal", partFrom, c.quotedID, partIf(e.signal, partSignal), e.signal, partIf(e.kind, partType), e.kind,
		partScreen(e.screen, e.flagged)))
	r.called = r.called || string(e.kind) == `"offer"`
	c.server.stats.signals.Add(1)
	r.deliverLocked()
	return nil, nil
}

// relaySignal hands a signal to the relay, its description decoded outside the room's lock.
func (c *conn) relaySignal(ev *socketio.Event, m, target *member, screen bool, rawKind, signal []byte) (any, *refusal) {
	kind, sdp, kept, why := parseRelayed(rawKind, signal)
	if why != nil {
		return nil, why
	}
	r, relay := m.room, c.server.relay
	r.mu.Lock()
	if why := r.maySend(m, r.members[target.id]); why != nil {
		r.mu.Unlock()
		return nil, why
	}
	if r.mode != ModeRelay { // a recruiter has just chosen the other mode; the caller calls again after the join it sees
		r.mu.Unlock()
		return nil, ignoreNoMember
	}
	r.called = r.called || kind == kindOffer
	c.server.stats.relaySignals.Add(1)
	later := c.later(ev)
	r.postCall(func() { later(nil, unusable(relay.Signal(r.id, m.id, target.id, screen, kind, sdp, kept))) })
	r.deliverLocked()
	return nil, errLater
}

// parseRelayed reads a signal for the relay. The word of the event counts; a signal.type that says otherwise is an
// error, since the client would not mean what the relay did.
func parseRelayed(rawKind, signal []byte) (kind, sdp string, payload []byte, why *refusal) {
	var f [2][]byte
	if isObject(signal) {
		if err := scanObject(signal, sdpNames, f[:]); err != nil {
			return "", "", nil, &refusal{code: codeBadPayload, text: "signal " + err.Error()}
		}
	}
	if rawKind == nil || isNull(rawKind) {
		rawKind = f[0]
	}
	switch {
	case rawKind == nil:
		return "", "", nil, missing("type")
	case !isString(rawKind) || len(rawKind) > maxShortText:
		return "", "", nil, badField("type", "a short string")
	}
	kind, _ = decodeString(rawKind)
	if kind != kindOffer && kind != kindAnswer {
		return kind, "", bytes.Clone(signal), nil
	}
	if f[0] != nil {
		inner := ""
		if isString(f[0]) {
			inner, _ = decodeString(f[0])
		}
		if inner != kind {
			return "", "", nil, &refusal{code: codeBadPayload, text: "signal.type must be " + kind + " as type is"}
		}
	}
	switch {
	case f[1] == nil:
		return "", "", nil, missing("signal.sdp")
	case !isString(f[1]):
		return "", "", nil, badField("signal.sdp", "a string")
	}
	sdp, err := decodeString(f[1])
	if err != nil {
		return "", "", nil, badField("signal.sdp", "a string")
	}
	return kind, sdp, nil, nil
}

// later returns what answers an event when the relay or the recorder has taken or refused it, on any goroutine and after
// the handler, when only events that ask for an acknowledgement may still be touched. A nil ack is a bare {ok: true}.
func (c *conn) later(ev *socketio.Event) func(ack any, why *refusal) {
	name := ev.Name
	if !ev.WantsAck() {
		ev = nil
	}
	return func(ack any, why *refusal) {
		switch {
		case why != nil:
			c.refuse(name, ev, why)
		case ev == nil:
		case ack == nil:
			ev.Ack(ackOK{OK: true})
		default:
			ev.Ack(ack)
		}
	}
}

// unusable is what the relay's error is to the client; nil stays nil.
func unusable(err error) *refusal {
	if err == nil {
		return nil
	}
	return &refusal{code: codeBadDescription, text: err.Error()}
}

// maySend tells whether m may send to target, which may be nil; r.mu is held. What one sends oneself has no meaning
// for a relay; peer to peer it goes where it is addressed, as it did.
func (r *room) maySend(m, target *member) *refusal {
	switch {
	case m.gone:
		return ignoreNotJoined
	case target == nil:
		return ignoreNoMember
	case target == m && r.mode == ModeRelay:
		return ignoreSelf
	}
	return nil
}

// What stands between the parts of a forwarded payload.
var (
	partFrom        = []byte(`{"from":`)
	partCandidate   = []byte(`,"candidate":`)
	partSignal      = []byte(`,"signal":`)
	partType        = []byte(`,"type":`)
	partUserID      = []byte(`{"userId":`)
	partSharing     = []byte(`,"isSharing":`)
	partEnd         = []byte(`}`)
	partScreenTrue  = []byte(`,"isScreenShare":true}`)
	partScreenFalse = []byte(`,"isScreenShare":false}`)
)

// partIf is the name of a member if there is a value: what was absent stays absent.
func partIf(value, name []byte) []byte {
	if value == nil {
		return nil
	}
	return name
}

func partScreen(screen, present bool) []byte {
	switch {
	case !present:
		return partEnd
	case screen:
		return partScreenTrue
	default:
		return partScreenFalse
	}
}

func parseStatus(payload []byte) (interview, sharing []byte, why *refusal) {
	var f [2][]byte
	if why = fields(payload, statusNames, f[:]); why != nil {
		return nil, nil, why
	}
	switch string(f[1]) {
	case "true", "false":
		return f[0], f[1], nil
	case "":
		return nil, nil, missing("isSharing")
	}
	return nil, nil, badField("isSharing", "true or false")
}

func (c *conn) onScreenShareStatus(ev *socketio.Event, payload []byte) (any, *refusal) {
	interview, status, why := parseStatus(payload)
	if why != nil {
		return nil, why
	}
	r, m, why := c.visit(interview)
	if why != nil {
		return nil, why
	}
	// r.mu is held.
	r.postAll(m, socketio.EncodeRaw(ev.Name, partUserID, c.quotedID, partSharing, status, partEnd))
	r.saidLocked(c, ev.Name, partUserID, c.quotedID, partSharing, status, partEnd)
	if m != nil && r.mode == ModeRelay {
		relay, sharing := c.server.relay, string(status) == "true"
		r.postCall(func() { relay.ScreenShareStatus(r.id, m.id, sharing) })
	}
	r.deliverLocked()
	return nil, nil
}
