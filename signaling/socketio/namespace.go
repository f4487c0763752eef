package socketio

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
)

// Namespace is a separate set of sockets, rooms and handlers, multiplexed with others over each
// connection. All methods are safe for concurrent use.
type Namespace struct {
	// static
	server *Server
	name   string

	mu         sync.RWMutex
	middleware []func(*Socket) error           // guarded by mu
	onConnect  []func(*Socket)                 // guarded by mu
	sockets    map[string]*Socket              // guarded by mu; by socket id
	rooms      map[string]map[*Socket]struct{} // guarded by mu; a room exists as long as it has members
}

func newNamespace(server *Server, name string) *Namespace {
	return &Namespace{server: server, name: name, sockets: make(map[string]*Socket), rooms: make(map[string]map[*Socket]struct{})}
}

// Name is the namespace's name, with its leading slash.
func (ns *Namespace) Name() string { return ns.name }

// Use adds a middleware: it is asked, in order of registration, before a socket
// is accepted. An error refuses the socket; its text goes to the client, with
// data if it is a [*ConnectError]. It may block: what the client sends meanwhile
// waits, and ConnectTimeout goes on. It is not asked again for a recovered socket.
func (ns *Namespace) Use(middleware func(*Socket) error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.middleware = append(slices.Clip(ns.middleware), middleware)
}

// OnConnect adds a handler that runs for every accepted socket, after its CONNECT
// has been answered and before its first event. It is the place for [Socket.On].
func (ns *Namespace) OnConnect(handler func(*Socket)) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.onConnect = append(slices.Clip(ns.onConnect), handler)
}

// Socket returns the socket with that id, or nil.
func (ns *Namespace) Socket(id string) *Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.sockets[id]
}

// Len is the number of sockets, the suspended ones included.
func (ns *Namespace) Len() int {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return len(ns.sockets)
}

func (ns *Namespace) middlewares() []func(*Socket) error {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.middleware
}

func (ns *Namespace) connectHandlers() []func(*Socket) {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.onConnect
}

// decide asks the middleware about s. A panic refuses the socket.
func (ns *Namespace) decide(s *Socket, middleware []func(*Socket) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			ns.server.stats.panics.Add(1)
			ns.server.log.Error("socket.io middleware panicked", "namespace", ns.name, "socket", s.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = &ConnectError{Message: "Internal error"}
		}
	}()
	for _, m := range middleware {
		if err := m(s); err != nil {
			return err
		}
	}
	return nil
}

func (ns *Namespace) add(s *Socket) {
	ns.mu.Lock()
	ns.sockets[s.id] = s
	ns.mu.Unlock()
	ns.server.stats.sockets.Add(1)
}

// remove takes s out of the namespace and its rooms.
func (ns *Namespace) remove(s *Socket) {
	ns.mu.Lock()
	_, known := ns.sockets[s.id]
	delete(ns.sockets, s.id)
	for _, room := range s.rooms {
		ns.leave(s, room)
	}
	s.rooms, s.roomless = nil, true
	ns.mu.Unlock()
	if known {
		ns.server.stats.sockets.Add(-1)
	}
}

// leave takes s out of a room's member list; ns.mu is held.
func (ns *Namespace) leave(s *Socket, room string) {
	members := ns.rooms[room]
	if delete(members, s); len(members) == 0 {
		delete(ns.rooms, room)
	}
}
