package signaling

import "slices"

// ConnectionQuality is how one of a member's media connections does, as `connection-quality` tells it. Up is from the
// member to the server. A nil pointer, null in JSON, stands for what is not known.
type ConnectionQuality struct {
	UserID        string   `json:"userId"` // the member at the far side
	IsScreenShare bool     `json:"isScreenShare"`
	Quality       string   `json:"quality"`       // good, fair, poor or lost
	PeerQuality   *string  `json:"peerQuality"`   // of the far member's own connection
	RTT           *float64 `json:"rtt"`           // ms
	LossUp        *float64 `json:"lossUp"`        // 0 to 1, before repair
	LossDown      *float64 `json:"lossDown"`      // likewise
	BitrateUp     uint64   `json:"bitrateUp"`     // bit/s
	BitrateDown   uint64   `json:"bitrateDown"`   // bit/s
	Transport     string   `json:"transport"`     // udp or tcp
	CandidateType string   `json:"candidateType"` // of the member's side: host, srflx, prflx, relay or unknown
	Estimate      *uint64  `json:"estimate"`      // bit/s that go through to the member at least
}

// Quality tells member, with `connection-quality`, how all of its media connections do; those to members who have left
// are left out. It is dropped if the member's socket has anything waiting. It never blocks and may be called from any
// goroutine. It may change connections.
func (s *Server) Quality(room, member string, connections []ConnectionQuality) {
	r := s.rooms.find(room)
	if r == nil {
		s.stats.drop(dropNoRoom)
		return
	}
	r.mu.Lock()
	if m := r.members[member]; m != nil {
		connections = slices.DeleteFunc(connections, func(c ConnectionQuality) bool { return r.members[c.UserID] == nil })
		if len(connections) > 0 {
			r.postVolatile(m, mustEncode("connection-quality", connections))
		}
	} else {
		s.stats.drop(dropNoMember)
	}
	r.deliverLocked()
}
