// Package engineio is an Engine.IO v4 server: sessions over HTTP long-polling and WebSocket, with the
// upgrade from one to the other, heartbeat and limits. It knows nothing of what is sent over it.
package engineio

import (
	"context"
	"net/http"
)

// Server is an http.Handler that serves Engine.IO sessions.
type Server struct{ opts Options }

// NewServer makes a server that hands each new session to handler.
func NewServer(opts Options, handler Handler) *Server { return &Server{opts: opts.withDefaults()} }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// Close refuses new sessions, closes all gracefully, and waits until every Closed has returned and every
// goroutine has ended. When ctx ends first, connections are cut and ctx's error is returned.
func (s *Server) Close(ctx context.Context) error { return nil }

// Stats returns the counters' present values.
func (s *Server) Stats() Stats { return Stats{} }
