// Package signaling holds interviews: who is in which room, and what the sockets of a room say to each other. It
// speaks the thirteen events of the original Socket.IO server, described in docs/protocol.md, validates what clients
// send, and either forwards the descriptions and candidates of their peer connections (p2p mode) or hands them to a
// Relay (relay mode).
package signaling

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio"
)

// Server is the signaling server. Its methods are safe for concurrent use, SetRelay, SetRecorder and SetICEServers excepted.
type Server struct {
	// Static once the first request is served.
	log       *slog.Logger
	limits    Limits
	preset    Mode
	roomMode  RoomMode
	relay     Relay    // nil: peer to peer only
	recorder  Recorder // nil: nothing is recorded
	recording Recording
	io        *socketio.Server
	cors      engineio.CORS

	iceServers func(member string, mode Mode) iceServersOut // nil: members are told of none

	rooms    registry
	members  sync.Map // *member by socket id; the present stays
	stats    counters
	draining atomic.Bool
	stopOnce sync.Once
	stopping chan struct{} // closed by Close
}

// New returns a server that is ready to serve.
func New(o Options) *Server {
	s := &Server{
		log:      o.Logger,
		limits:   o.Limits.withDefaults(),
		preset:   o.Mode,
		roomMode: o.RoomMode,
		cors:     o.SocketIO.Engine.CORS,
		stopping: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.rooms = registry{limit: s.limits.Rooms, byID: make(map[string]*room)}
	s.io = socketio.NewServer(o.SocketIO)
	s.io.Of("/").OnConnect(s.connect)
	return s
}

// ServeHTTP is the Socket.IO endpoint, and ICEServersPath. It answers 404 outside the paths of the two.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == ICEServersPath {
		s.serveICEServers(w, r)
		return
	}
	s.io.ServeHTTP(w, r)
}

// Drain makes the server open no new rooms. Living rooms go on, and their members may come back to them.
func (s *Server) Drain() { s.draining.Store(true) }

// Close ends all sockets, and with them all rooms, and waits for their goroutines until ctx is done. It is idempotent.
func (s *Server) Close(ctx context.Context) error {
	s.Drain()
	s.stopOnce.Do(func() { close(s.stopping) })
	return s.io.Close(ctx)
}

// mode is the mode in which a room starts.
func (s *Server) mode() Mode {
	if s.relay != nil && s.preset == ModeRelay {
		return ModeRelay
	}
	return ModeP2P
}
