package signaling

import "skillsage/signaling/socketio"

// Relay is what a room needs of a media server that ends the members' peer connections itself. It is given to the
// Server with SetRelay; a room in relay mode tells it everything that its members say about media, and the relay
// answers through Server.Send, Server.State, Server.Unsupported, Server.Quality, Server.MediaStatus and Server.Probe.
//
// No method may block or wait for a lock that is held during a call of Send or State: the calls come from whichever
// goroutine is handing out the room's messages, and that may be the one that just called Send. The calls of one room
// come one at a time and in one order: Join before anything the member says, Leave after it, and never a word from a
// member after its Leave. An id may Join again after its Leave. Ids are Socket.IO socket ids; role is "recruiter" or
// "candidate". Byte slices belong to the relay after the call.
type Relay interface {
	Join(room, member, role string)
	Leave(room, member string)

	// Signal hands over a `signal` event. kind is its `type` word, sdp the text of an offer or answer; for any other
	// kind payload is the raw JSON of its `signal` member, nil if there was none. screen tells the screen's peer
	// connection from the camera's. to was a member of the room when the event came in. An error means that the
	// payload was bad and nothing has changed; its text goes to the client.
	Signal(room, from, to string, screen bool, kind, sdp string, payload []byte) error

	// Candidate hands over an RTCIceCandidate in JSON (RFC 8838 trickle, an empty candidate string included).
	Candidate(room, from, to string, screen bool, candidate []byte) error

	ScreenShareStatus(room, member string, sharing bool)

	// Alive says that the member's client has just been heard of: after a Server.Probe, or because it has come back.
	Alive(room, member string)

	// HasLegs tells whether any peer connection of the room is alive.
	HasLegs(room string) bool
}

// The words that State understands.
const (
	stateRehome  = "rehome"
	stateRefused = "refused"
)

// SetRelay sets the media server for rooms in relay mode. It must be called before the first request is served;
// without a relay every room is peer to peer.
func (s *Server) SetRelay(relay Relay) { s.relay = relay }

// Send emits a description of the relay's to one member, in the name of another. It reaches the member after
// everything that was sent to it before, and not at all if either has left the room. It never blocks and may be
// called from any goroutine.
func (s *Server) Send(room, to, from string, screen bool, kind, sdp string) {
	r := s.rooms.find(room)
	if r == nil {
		s.stats.drop(dropNoRoom)
		return
	}
	msg, err := socketio.Encode("signal", signalOut{From: from, Signal: description{kind, sdp}, Type: kind, IsScreenShare: screen})
	if err != nil {
		s.log.Error("description not encoded", "room", room, "member", to, "error", err)
		return
	}
	r.mu.Lock()
	target, sender := r.members[to], r.members[from]
	if target == nil || sender == nil {
		r.mu.Unlock()
		s.stats.drop(dropNoMember)
		return
	}
	r.post(target, msg)
	s.stats.relaySent.Add(1)
	r.deliverLocked()
}

// State tells what became of the relay's connection to member for peer:
//
//   - "connected", "disconnected", "failed", "closed": counted;
//   - "rehome": the two must build their connection anew. member offered before and will again, peer will answer:
//     both see the other leave, then member sees peer join and peer gets a fresh room-users;
//   - "refused": something that member sent turned out to be unusable; reason is the text for it.
//
// It never blocks and may be called from any goroutine.
func (s *Server) State(room, member, peer string, screen bool, state, reason string) {
	s.stats.legState(state)
	switch state {
	case stateRehome:
		s.rehome(room, member, peer, reason)
	case stateRefused:
		if r := s.rooms.find(room); r != nil {
			r.mu.Lock()
			if m := r.members[member]; m != nil {
				s.stats.fail(codeBadDescription)
				r.post(m, encodeError("signal", codeBadDescription, reason))
			}
			r.deliverLocked()
		}
	}
}

// Unsupported tells member, with `media-unsupported`, that it and peer share no codec of that kind, "audio" or
// "video", and will not get it of each other. It reaches nobody if either has left the room. It never blocks and may
// be called from any goroutine.
func (s *Server) Unsupported(room, member, peer string, screen bool, kind, reason string) {
	r := s.rooms.find(room)
	if r == nil {
		s.stats.drop(dropNoRoom)
		return
	}
	msg, err := socketio.Encode("media-unsupported", unsupported{UserID: peer, Kind: kind, IsScreenShare: screen, Reason: reason})
	if err != nil {
		s.log.Error("event not encoded", "room", room, "member", member, "error", err)
		return
	}
	r.mu.Lock()
	if m := r.members[member]; m != nil && r.members[peer] != nil {
		r.post(m, msg)
	} else {
		s.stats.drop(dropNoMember)
	}
	r.deliverLocked()
}

// Probe asks a member's client for a sign of life; if there is one, the relay is told by Alive. It never blocks and may be
// called from any goroutine.
func (s *Server) Probe(room, member string) {
	r := s.rooms.find(room)
	if r == nil {
		s.stats.drop(dropNoRoom)
		return
	}
	r.mu.Lock()
	m := r.members[member]
	r.mu.Unlock()
	if m == nil {
		s.stats.drop(dropNoMember)
		return
	}
	m.conn.socket.Ping(func() {
		r.mu.Lock()
		r.aliveLocked(m)
		r.deliverLocked()
	})
}

func (s *Server) rehome(room, offerer, answerer, reason string) {
	r := s.rooms.find(room)
	if r == nil {
		return
	}
	r.mu.Lock()
	a, b := r.members[offerer], r.members[answerer]
	if a != nil && b != nil {
		r.post(a, encodeUserLeft(answerer))
		r.post(b, encodeUserLeft(offerer))
		r.post(a, encodeUserJoined(b))
		r.post(b, r.encodeUsers())
		s.log.Info("connection between two members is built anew", "room", room, "member", offerer, "peer", answerer, "reason", reason)
	}
	r.deliverLocked()
}

type unsupported struct {
	UserID        string `json:"userId"`
	Kind          string `json:"kind"`
	IsScreenShare bool   `json:"isScreenShare"`
	Reason        string `json:"reason"`
}

type description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

type signalOut struct {
	From          string      `json:"from"`
	Signal        description `json:"signal"`
	Type          string      `json:"type"`
	IsScreenShare bool        `json:"isScreenShare"`
}
