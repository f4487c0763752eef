package signaling

import (
	"slices"
	"strconv"
	"sync"

	"skillsage/signaling/socketio"
)

const (
	roleRecruiter = "recruiter"
	roleCandidate = "candidate"
)

// room is one interview. It lives from its first member's join to its last member's leave.
//
// mu is taken after the conn.mu of the socket whose join or leave it is, and before no other lock.
type room struct {
	// Static.
	server *Server
	id     string

	mu         sync.Mutex
	gone       bool               // guarded by mu; the last member has left, and nobody may join any more
	mode       Mode               // guarded by mu
	called     bool               // guarded by mu; an offer has been forwarded or handed to the relay
	recorded   bool               // guarded by mu; a recording was begun, so the mode stays
	recording  RecordingStatus    // guarded by mu; as members are told
	members    map[string]*member // guarded by mu; by socket id
	list       []*member          // guarded by mu; the same, in order of joining
	departed   []string           // guarded by mu; ids of the last members who left, oldest first
	suspends   uint64             // guarded by mu; counts suspensions, to tell the oldest
	chat       chatHistory        // guarded by mu
	code       codeState          // guarded by mu
	delivering bool               // guarded by mu; a goroutine is handing out parcels
	queue      []parcel           // guarded by mu
	spare      []parcel           // guarded by mu
}

// member is one socket's stay in one room.
type member struct {
	// Static.
	conn *conn
	room *room
	id   string // the socket's
	role string

	showsRecording bool // its page shows recording-status itself

	moved     bool   // guarded by conn.mu; the socket is in another room
	gone      bool   // guarded by room.mu; has left
	suspended uint64 // guarded by room.mu; 0, or the number of the suspension that it is in
}

func newRoom(s *Server, id string) *room {
	return &room{
		server:  s,
		id:      id,
		mode:    s.mode(),
		members: make(map[string]*member),
		chat:    chatHistory{limits: &s.limits},
		code:    newCodeState(&s.limits),

		recording: s.recording.Idle,
	}
}

// addLocked makes m a member. The relay hears of it before anybody who could call m, and the others before m itself.
func (r *room) addLocked(m *member) {
	r.members[m.id] = m
	r.list = append(r.list, m)
	r.server.members.Store(m.id, m)
	r.server.stats.members.Add(1)
	r.server.stats.joined.Add(1)
	if r.mode == ModeRelay {
		r.relayJoinLocked(m)
	}
	r.recorderJoinLocked(m)
	r.postAll(m, encodeUserJoined(m))
}

// welcomeLocked tells a member what it has joined.
func (r *room) welcomeLocked(m *member) {
	r.post(m, r.encodeUsers())
	r.post(m, r.chat.encode())
	r.post(m, r.code.encode())
	r.tellICEServersLocked(m)
	r.tellRecordingLocked(m)
}

// partLocked has m's page close what it holds of an earlier stay. It goes out before room-users, and a page that holds
// nothing takes no notice.
func (r *room) partLocked(m *member) {
	for _, id := range r.departed {
		if r.members[id] == nil {
			r.post(m, encodeUserLeft(id))
		}
	}
	for _, other := range r.list {
		if other != m {
			r.post(m, encodeUserLeft(other.id))
		}
	}
}

// recallLocked has m's page call the candidates again: recruiters make the offers, and common pages make them to who
// joins, not to who is there. Other recruiters call m themselves.
func (r *room) recallLocked(m *member) {
	for _, other := range r.list {
		if other != m && other.role == roleCandidate {
			r.post(m, encodeUserJoined(other))
		}
	}
}

// maxDeparted bounds how many departed members a room remembers for pages that return late.
const maxDeparted = 32

func (r *room) noteDepartedLocked(id string) {
	if slices.Contains(r.departed, id) {
		return
	}
	if len(r.departed) == maxDeparted {
		r.departed = slices.Delete(r.departed, 0, 1)
	}
	r.departed = append(r.departed, id)
}

// removeLocked ends m's membership, once: the second call does nothing. The others are told, then the relay, then the
// recorder.
func (r *room) removeLocked(m *member) bool {
	if m.gone {
		return false
	}
	m.gone = true
	delete(r.members, m.id)
	r.server.members.CompareAndDelete(m.id, m) // unless it is in another room by now
	for i := range r.list {
		if r.list[i] == m {
			r.list = append(r.list[:i], r.list[i+1:]...)
			break
		}
	}
	r.noteDepartedLocked(m.id)
	r.server.stats.members.Add(-1)
	r.server.stats.left.Add(1)
	r.postAll(nil, encodeUserLeft(m.id))
	if r.mode == ModeRelay {
		r.relayLeaveLocked(m)
	}
	r.recorderLeaveLocked(m)
	return true
}

func (r *room) relayJoinLocked(m *member) {
	relay := r.server.relay
	r.postCall(func() { relay.Join(r.id, m.id, m.role) })
}

func (r *room) relayLeaveLocked(m *member) {
	relay := r.server.relay
	r.postCall(func() { relay.Leave(r.id, m.id) })
}

// evictLocked makes place in a full room for a member in the given role: the socket of that role whose connection has
// been broken the longest goes. The person who joins may be the very one whose connection broke.
func (r *room) evictLocked(role string) bool {
	var oldest *member
	for _, m := range r.list {
		if m.suspended != 0 && m.role == role && (oldest == nil || m.suspended < oldest.suspended) {
			oldest = m
		}
	}
	if oldest == nil {
		return false
	}
	r.removeLocked(oldest)
	r.server.stats.evicted.Add(1)
	// Its client, should it come back after all, must start afresh and join like any other.
	r.postCall(func() {
		if !oldest.conn.socket.Connected() {
			oldest.conn.socket.Disconnect(true)
		}
	})
	return true
}

// leave ends m's membership for good and the room with its last member.
func (r *room) leave(m *member, reason string) {
	r.mu.Lock()
	if !r.removeLocked(m) {
		r.mu.Unlock()
		return
	}
	empty := len(r.list) == 0
	if empty {
		r.gone = true
	}
	r.deliverLocked()
	r.server.log.Info("member left", "room", r.id, "member", m.id, "role", m.role, "reason", reason)
	if empty {
		r.server.rooms.remove(r)
		r.server.log.Info("room closed", "room", r.id)
	}
}

// setModeLocked changes the mode. In a room where somebody has called that is not all: see relayCallsLocked.
func (r *room) setModeLocked(mode Mode) {
	if mode == r.mode {
		return
	}
	r.mode = mode
	for _, m := range r.list {
		if mode == ModeRelay {
			r.relayJoinLocked(m)
		} else {
			r.relayLeaveLocked(m)
		}
	}
}

// suspend notes that m's connection has broken; resume, that its client is back on the same socket, and whether its place
// has been given away.
func (r *room) suspend(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspends++
	m.suspended = r.suspends
}

func (r *room) resume(m *member) (gone bool) {
	r.mu.Lock()
	m.suspended = 0
	gone = m.gone
	r.aliveLocked(m)
	r.deliverLocked()
	return gone
}

// aliveLocked tells the relay that a member's client has been heard of.
func (r *room) aliveLocked(m *member) {
	if r.mode == ModeRelay && !m.gone {
		relay := r.server.relay
		r.postCall(func() { relay.Alive(r.id, m.id) })
	}
}

// encodeUsers makes room-users: an object keyed by socket id. Ids and roles are the server's own words and need no
// escaping.
func (r *room) encodeUsers() *socketio.Message {
	b := []byte{'{'}
	for i, m := range r.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, m.id...)
		b = append(b, `":{"userRole":"`...)
		b = append(b, m.role...)
		b = append(b, `"}`...)
	}
	return socketio.EncodeRaw("room-users", append(b, '}'))
}

func encodeUserJoined(m *member) *socketio.Message {
	return socketio.EncodeRaw("user-joined", []byte(`{"userId":`+strconv.Quote(m.id)+`,"userRole":"`+m.role+`"}`))
}

func encodeUserLeft(id string) *socketio.Message {
	return socketio.EncodeRaw("user-left", []byte(`{"userId":`+strconv.Quote(id)+`}`))
}
