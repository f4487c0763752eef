package signaling

import "sync"

// registry knows the living rooms by the interview's id. It is asked at joins, by the relay, and by sockets that
// speak to a room they are not in; a member's own events never touch it.
//
// Its lock is a leaf: no room is locked while it is held.
type registry struct {
	limit int // static

	mu   sync.RWMutex
	byID map[string]*room // guarded by mu
}

func (g *registry) find(id string) *room {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.byID[id]
}

func (g *registry) len() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.byID)
}

// open returns the room, made by create if there is none; while draining none is made.
func (g *registry) open(id string, draining bool, create func() *room) (*room, *refusal) {
	if r := g.find(id); r != nil {
		return r, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch r := g.byID[id]; {
	case r != nil:
		return r, nil
	case draining:
		return nil, &refusal{code: codeDraining, text: "the server is about to stop and opens no new room"}
	case len(g.byID) >= g.limit:
		return nil, &refusal{code: codeTooManyRooms, text: "the server has as many rooms as it may hold; try again later"}
	}
	r := create()
	g.byID[id] = r
	return r, nil
}

// remove forgets r, unless its place has been taken by a later room of the same id.
func (g *registry) remove(r *room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byID[r.id] == r {
		delete(g.byID, r.id)
	}
}
