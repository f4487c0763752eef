// Package socketio is a Socket.IO v5 server on Engine.IO v4: namespaces, events
// and acknowledgements in both directions, binary attachments, rooms, middleware
// and connection state recovery, for the stock clients of the 3.x and 4.x lines.
// It knows nothing of what the events mean.
package socketio

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"skillsage/signaling/engineio"
)

// Server is an http.Handler that serves Socket.IO clients. All methods are safe for concurrent use.
type Server struct {
	// static
	opts   Options
	log    *slog.Logger
	engine *engineio.Server

	stats   counters
	tracker tracker
	closing atomic.Bool

	mu         sync.RWMutex
	namespaces map[string]*Namespace // guarded by mu
	sessions   map[string]*Socket    // guarded by mu; what can be recovered, by private session id
}

// NewServer makes a server. Register its namespaces before it serves.
func NewServer(opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{opts: opts, log: opts.Logger, namespaces: make(map[string]*Namespace), sessions: make(map[string]*Socket)}
	s.engine = engineio.NewServer(opts.Engine, func(session *engineio.Session) engineio.Receiver {
		return newConn(s, session)
	})
	return s
}

// ServeHTTP serves the path of Options.Engine.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// Of returns the namespace of that name ("/" is the one clients join by default)
// and registers it if it is new. Clients that ask for a namespace that was never
// registered are refused.
func (s *Server) Of(name string) *Namespace {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ns := s.namespaces[name]
	if ns == nil {
		ns = newNamespace(s, name)
		s.namespaces[name] = ns
	}
	return ns
}

// namespace finds a registered namespace by the name in a packet; nil stands for "/".
func (s *Server) namespace(name []byte) *Namespace {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if name == nil {
		return s.namespaces[rootNamespace]
	}
	return s.namespaces[string(name)]
}

// Close refuses new clients, ends every socket with [ReasonShutdown], and waits
// until every handler has returned and every goroutine has ended. When ctx ends
// first, connections are cut and ctx's error is returned.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Store(true)
	err := s.engine.Close(ctx)
	for {
		left := s.resumable()
		for _, socket := range left {
			socket.disconnect(ReasonShutdown, false)
		}
		waitErr := s.tracker.wait(ctx)
		if err == nil {
			err = waitErr
		}
		if len(left) == 0 || waitErr != nil {
			return err
		}
	}
}

// newID returns n random bytes from the system's generator in the URL-safe base64 alphabet.
func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

const (
	socketIDBytes  = 15 // 120 bits, 20 characters; shown to peers
	sessionIDBytes = 18 // 144 bits, 24 characters; known to its client only
)
