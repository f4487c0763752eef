package socketio

import "slices"

// Join puts the socket into a room; being in it already is no error.
func (s *Socket) Join(room string) error {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	switch {
	case s.roomless:
		return ErrDisconnected
	case slices.Contains(s.rooms, room):
		return nil
	case len(s.rooms) >= s.ns.server.opts.MaxRooms:
		return ErrTooManyRooms
	}
	s.rooms = append(s.rooms, room)
	members := s.ns.rooms[room]
	if members == nil {
		members = make(map[*Socket]struct{})
		s.ns.rooms[room] = members
	}
	members[s] = struct{}{}
	return nil
}

// Leave takes the socket out of a room.
func (s *Socket) Leave(room string) {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if i := slices.Index(s.rooms, room); i >= 0 {
		s.rooms = slices.Delete(s.rooms, i, i+1)
		s.ns.leave(s, room)
	}
}

// Rooms lists the rooms that the socket has joined.
func (s *Socket) Rooms() []string {
	s.ns.mu.RLock()
	defer s.ns.mu.RUnlock()
	return slices.Clone(s.rooms)
}

// Broadcast addresses the sockets of some rooms, or of a whole namespace.
type Broadcast struct {
	ns     *Namespace
	rooms  []string
	except []string
}

// To addresses the sockets that are in any of the rooms; without rooms, all
// sockets. The id of a socket counts as a room with that socket alone in it.
func (ns *Namespace) To(rooms ...string) *Broadcast { return &Broadcast{ns: ns, rooms: rooms} }

// To addresses the other sockets in any of the rooms; without rooms, all others.
func (s *Socket) To(rooms ...string) *Broadcast { return s.ns.To(rooms...).Except(s.id) }

// Except leaves out the sockets with these ids and those in rooms of these names.
func (b *Broadcast) Except(ids ...string) *Broadcast {
	b.except = append(slices.Clip(b.except), ids...)
	return b
}

// Emit encodes an event once and sends it to every addressed socket. The error is
// one of encoding; sockets that can't take the event end as described at [Socket.Emit].
func (b *Broadcast) Emit(event string, args ...any) error {
	m, err := Encode(event, args...)
	if err == nil {
		b.Send(m)
	}
	return err
}

// Send is Emit with an event that is encoded already.
func (b *Broadcast) Send(m *Message) {
	for _, s := range b.sockets() {
		s.Send(m) // an error means that the socket has ended; its OnDisconnect says so
	}
}

// sockets takes a snapshot, so that no lock is held while sending.
func (b *Broadcast) sockets() []*Socket {
	b.ns.mu.RLock()
	defer b.ns.mu.RUnlock()
	var out []*Socket
	if len(b.rooms) == 0 {
		out = make([]*Socket, 0, len(b.ns.sockets))
		for _, s := range b.ns.sockets {
			if !b.excluded(s) {
				out = append(out, s)
			}
		}
		return out
	}
	var seen map[*Socket]struct{}
	if len(b.rooms) > 1 {
		seen = make(map[*Socket]struct{})
	}
	take := func(s *Socket) {
		if b.excluded(s) {
			return
		}
		if seen != nil {
			if _, ok := seen[s]; ok {
				return
			}
			seen[s] = struct{}{}
		}
		out = append(out, s)
	}
	for _, room := range b.rooms {
		for s := range b.ns.rooms[room] {
			take(s)
		}
		if s := b.ns.sockets[room]; s != nil && !slices.Contains(s.rooms, room) {
			take(s)
		}
	}
	return out
}

// excluded: b.ns.mu is held.
func (b *Broadcast) excluded(s *Socket) bool {
	for _, name := range b.except {
		if name == s.id || slices.Contains(s.rooms, name) {
			return true
		}
	}
	return false
}
