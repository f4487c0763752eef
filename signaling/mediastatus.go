package signaling

// MediaStatus is whether the media between a member and the server flow, as `media-status` tells it to that member and to
// the one at the far side.
type MediaStatus struct {
	UserID        string `json:"userId"` // the member at the far side
	IsScreenShare bool   `json:"isScreenShare"`
	Own           bool   `json:"own"`    // it is the receiver's own connection or media, else that of UserID
	State         string `json:"state"`  // no-connection, no-media or ok
	Reason        string `json:"reason"` // a word for the state; empty with ok
}

// MediaStatus tells member, with `media-status`. It reaches nobody if either has left the room. It never blocks and may
// be called from any goroutine.
func (s *Server) MediaStatus(room, member string, status MediaStatus) {
	r := s.rooms.find(room)
	if r == nil {
		s.stats.drop(dropNoRoom)
		return
	}
	r.mu.Lock()
	if m := r.members[member]; m != nil && r.members[status.UserID] != nil {
		r.post(m, mustEncode("media-status", status))
	} else {
		s.stats.drop(dropNoMember)
	}
	r.deliverLocked()
}
