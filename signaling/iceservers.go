package signaling

import (
	"encoding/json"
	"net/http"
	"time"

	"skillsage/signaling/socketio"
)

const iceServersEvent = "ice-servers"

// ICEServer is an RTCIceServer of W3C's webrtc-pc, section 4.2.5.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// iceServersOut is the payload of `ice-servers`, and the answer at ICEServersPath.
type iceServersOut struct {
	ICEServers []ICEServer `json:"iceServers"`
	TTL        int64       `json:"ttl"` // seconds for which the credentials are good
}

type iceServersAck struct {
	ackOK
	iceServersOut
}

// SetICEServers has members told, when they join, which STUN and TURN servers they may use, with credentials of their own
// that are good for ttl. servers is given a member and the mode of its room; it must not block. It must be called before the first request is served.
func (s *Server) SetICEServers(ttl time.Duration, servers func(member string, mode Mode) []ICEServer) {
	s.iceServers = func(member string, mode Mode) iceServersOut {
		return iceServersOut{ICEServers: servers(member, mode), TTL: int64(ttl / time.Second)}
	}
}

// tellICEServersLocked goes out before anything that the join causes, offers above all; r.mu is held.
func (r *room) tellICEServersLocked(m *member) {
	if r.server.iceServers == nil {
		return
	}
	if out := r.server.iceServers(m.id, r.mode); len(out.ICEServers) > 0 {
		r.post(m, mustEncode(iceServersEvent, out))
	}
}

// onICEServers answers a member that asks, in the acknowledgement. It is also the cheapest event by which a client finds out whether
// its connection is alive.
func (c *conn) onICEServers(*socketio.Event, []byte) (any, *refusal) {
	mode, ok := c.server.MemberMode(c.id)
	if !ok {
		return nil, ignoreNotJoined
	}
	return iceServersAck{ackOK{OK: true}, c.server.iceServersFor(c.id, mode)}, nil
}

// iceServersFor is what a member is told; its list may be empty.
func (s *Server) iceServersFor(member string, mode Mode) iceServersOut {
	var out iceServersOut
	if s.iceServers != nil {
		out = s.iceServers(member, mode)
	}
	if out.ICEServers == nil {
		out.ICEServers = []ICEServer{}
	}
	return out
}

// ICEServersPath is where `ice-servers` can be asked for.
const ICEServersPath = "/ice-servers"

// serveICEServers answers GET ?id=ID, where ID is the socket id of a member of a room, with what `ice-servers` would tell
// that member. Nobody else gets credentials. Pages of the origins that the signaling is open to may read it.
func (s *Server) serveICEServers(w http.ResponseWriter, r *http.Request) {
	if s.cors.Answer(w, r) {
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD, OPTIONS")
		answer(w, http.StatusMethodNotAllowed, errorOut{Code: codeBadPayload, Message: "only GET is answered here"})
		return
	}
	id := r.URL.Query().Get("id")
	mode, ok := s.MemberMode(id)
	if !ok {
		answer(w, http.StatusForbidden, errorOut{Code: codeNotJoined, Message: "id must be the socket id of a member of a room"})
		return
	}
	answer(w, http.StatusOK, s.iceServersFor(id, mode))
}

func answer(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone away misses nothing
}

// MemberMode is the mode of the room that a socket is in; false: it is in none. It is cheap, and waits for no room's events.
func (s *Server) MemberMode(id string) (Mode, bool) {
	m, ok := s.members.Load(id)
	if !ok {
		return "", false
	}
	r := m.(*member).room
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mode, true
}
