package signaling

import "skillsage/signaling/socketio"

const joinEvent = "join-room"

type joinRequest struct {
	room  string
	role  string
	mode  []byte // JSON as it came, or nil
	stale bool   // the page may hold connections to members who think that it has left

	showsRecording bool
}

type joinAck struct {
	OK       bool      `json:"ok"`
	UserID   string    `json:"userId"`
	UserRole string    `json:"userRole"`
	Mode     Mode      `json:"mode"`
	Warning  *errorOut `json:"warning,omitempty"` // the join stands, but not in the mode that was asked for
}

var joinNames = []string{"interviewId", "userRole", "mode", "showsRecording"}

func parseJoin(payload []byte) (req joinRequest, why *refusal) {
	var f [4][]byte
	if why = fields(payload, joinNames, f[:]); why != nil {
		return req, why
	}
	if req.room, why = interviewID(f[0]); why != nil {
		return req, why
	}
	if req.role, why = parseRole(f[1]); why != nil {
		return req, why
	}
	req.mode = f[2]
	req.showsRecording = string(f[3]) == "true"
	return req, nil
}

func parseRole(raw []byte) (string, *refusal) {
	switch {
	case raw == nil:
		return "", missing("userRole")
	case !isString(raw):
		return "", badField("userRole", "a string")
	}
	switch role, _ := decodeString(raw); role {
	case roleRecruiter, roleCandidate:
		return role, nil
	default:
		return "", &refusal{code: codeUnknownRole, text: "userRole " + quote(role) + " is unknown; it must be recruiter or candidate"}
	}
}

func (c *conn) onJoin(ev *socketio.Event, payload []byte) (any, *refusal) {
	req, why := parseJoin(payload)
	if why == nil {
		// A page that comes back too late does so on a new socket: it was told of no leave, nor that it has left itself.
		req.stale = c.member.Load() == nil && c.socket.RecoveryFailed()
		var ack joinAck
		if ack, why = c.join(req); why == nil {
			if ack.Warning != nil {
				c.server.stats.fail(codeModeRefused)
				if !ev.WantsAck() {
					c.socket.Send(encodeError(ev.Name, ack.Warning.Code, ack.Warning.Message))
				}
			}
			return ack, nil
		}
	}
	c.refuseJoin(why)
	return nil, why
}

func (c *conn) refuseJoin(why *refusal) {
	c.socket.Send(mustEncode("join-error", errorOut{Code: why.code, Message: why.text}))
}

// join makes the socket a member of a room. From the one it is in, if any, it goes only when the other has taken it.
// Joining again where it is just repeats what a joiner is told.
func (c *conn) join(req joinRequest) (joinAck, *refusal) {
	s := c.server
	// The relay is asked before any lock is taken. A leg needs an offer, so none can come up unnoticed: see called.
	legs := req.mode != nil && s.relay != nil && s.relay.HasLegs(req.room)

	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return joinAck{}, ignoreNotJoined
	}
	r, why := s.enter(req.room)
	if why != nil {
		c.mu.Unlock()
		return joinAck{}, why
	}
	// r.mu is held.
	old := c.member.Load()
	m := old
	again := old != nil && old.room == r && !old.gone
	if !again && len(r.list) >= s.limits.MembersPerRoom && !r.evictLocked(req.role) {
		r.mu.Unlock()
		c.mu.Unlock()
		return joinAck{}, &refusal{code: codeRoomFull, text: "the room is full"}
	}
	opened := len(r.list) == 0
	warning := r.chooseModeLocked(req, legs)
	if !again || old.role != req.role {
		if again {
			r.removeLocked(old)
		}
		m = &member{conn: c, room: r, id: c.id, role: req.role, showsRecording: req.showsRecording}
		r.addLocked(m)
	}
	if req.stale {
		r.partLocked(m)
	}
	r.welcomeLocked(m)
	if req.stale && req.role == roleRecruiter {
		r.recallLocked(m)
	}
	ack := joinAck{OK: true, UserID: m.id, UserRole: m.role, Mode: r.mode, Warning: warning}
	told := r.chat.bytes + r.code.bytes
	r.mu.Unlock()
	c.charge(told)
	c.member.Store(m)
	if old != nil && old.room != r {
		old.moved = true
	}
	c.mu.Unlock()

	if old != nil && old.room != r {
		old.room.leave(old, "joined another room")
	}
	r.mu.Lock()
	r.deliverLocked()
	if m != old {
		if opened {
			s.log.Info("room opened", "room", r.id, "mode", ack.Mode)
		}
		s.log.Info("member joined", "room", r.id, "member", m.id, "role", m.role)
	}
	return ack, nil
}

// enter returns the room, locked and not gone.
func (s *Server) enter(id string) (*room, *refusal) {
	for {
		r, why := s.rooms.open(id, s.draining.Load(), func() *room { return newRoom(s, id) })
		if why != nil {
			return nil, why
		}
		r.mu.Lock()
		if !r.gone {
			return r, nil
		}
		r.mu.Unlock()
		s.rooms.remove(r) // its last member is about to do so
	}
}

// chooseModeLocked treats the mode that a join asks for. A refusal is no failure: the join stands in the room's mode.
func (r *room) chooseModeLocked(req joinRequest, legs bool) *errorOut {
	if req.mode == nil {
		return nil
	}
	refuse := func(text string) *errorOut {
		return &errorOut{Code: codeModeRefused, Message: text}
	}
	var want Mode
	switch string(req.mode) {
	case `"relay"`:
		want = ModeRelay
	case `"p2p"`:
		want = ModeP2P
	default:
		return refuse("mode must be relay or p2p; the room is in mode " + string(r.mode))
	}
	switch {
	case want == r.mode:
		return nil
	case r.server.roomMode != RoomModeRecruiter:
		return refuse("the mode is the server's: " + string(r.mode))
	case req.role != roleRecruiter:
		return refuse("only a recruiter may choose the mode; the room is in mode " + string(r.mode))
	case want == ModeRelay && r.server.relay == nil:
		return refuse("this server has no relay; the room is in mode p2p")
	case r.recorded:
		return refuse("the interview is recorded, which needs the relay")
	case r.called || legs:
		return refuse("the call has begun; the room stays in mode " + string(r.mode))
	}
	r.setModeLocked(want)
	return nil
}
