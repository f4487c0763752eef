// Package engineio is an Engine.IO v4 server: sessions over HTTP long-polling and WebSocket, with the
// upgrade from one to the other, heartbeat and limits. It knows nothing of what is sent over it.
//
// A session lives in one process: with several behind a load balancer, all requests of a polling
// session must reach the same one, or clients must be told to use WebSocket only.
package engineio

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Server is an http.Handler that serves Engine.IO sessions. Its methods are safe for concurrent use.
type Server struct {
	opts     Options // static, defaults filled in
	handler  Handler // static
	log      *slog.Logger
	upgrader websocket.Upgrader // static
	count    counters

	// wg counts open sessions, until their Receivers have returned from Closed, and the goroutines that
	// read and write WebSockets.
	wg sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]*Session // open ones, and closed ones that the client has not left yet
	perAddr  map[netip.Addr]int  // sessions by addressKey
	closing  bool
}

// NewServer makes a server that hands each new session to handler.
func NewServer(opts Options, handler Handler) *Server {
	s := &Server{
		opts:     opts.withDefaults(),
		handler:  handler,
		sessions: make(map[string]*Session),
		perAddr:  make(map[netip.Addr]int),
	}
	s.log = s.opts.Logger
	s.upgrader = s.newUpgrader()
	return s
}

// ServeHTTP serves one request. Held polls and WebSockets outlive timeouts that the http.Server has
// for requests; deadlines of their own bound them.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.servesPath(r.URL.Path) {
		http.NotFound(w, r)
		return
	}
	if s.opts.CORS.Answer(w, r) {
		return
	}
	query := r.URL.RawQuery
	transport, sid := queryValue(query, "transport"), queryValue(query, "sid")
	switch {
	case !slices.Contains(s.opts.Transports, transport):
		s.refuse(w, refTransport)
	case hasControls(r.Header.Get("Origin")):
		s.refuse(w, refOriginControls)
	case sid != "":
		s.serveSession(w, r, transport, sid)
	default:
		s.serveHandshake(w, r, transport)
	}
}

// serveSession serves a request that names a session.
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request, transport, sid string) {
	s.mu.Lock()
	session := s.sessions[sid]
	s.mu.Unlock()
	if session == nil {
		s.refuse(w, refUnknownSession)
		return
	}
	if websocket.IsWebSocketUpgrade(r) {
		switch {
		case transport != TransportWebSocket || s.opts.DisableUpgrades:
			s.refuse(w, refOtherTransport)
		case !s.originAllowed(r):
			s.refuse(w, refOrigin)
		default:
			s.openProbe(w, r, session)
		}
		return
	}
	switch {
	case transport != session.Transport():
		s.refuse(w, refOtherTransport)
	case r.Method == http.MethodGet && transport == TransportPolling:
		session.serveGet(w, r)
	case r.Method == http.MethodPost && transport == TransportPolling:
		session.servePost(w, r)
	default:
		w.Header().Set("Allow", "GET, POST, OPTIONS")
		s.refuse(w, refMethod)
	}
}

// serveHandshake serves a request for a new session.
func (s *Server) serveHandshake(w http.ResponseWriter, r *http.Request, transport string) {
	upgrade := websocket.IsWebSocketUpgrade(r)
	switch {
	case r.Method != http.MethodGet:
		s.refuse(w, refHandshakeMethod)
		return
	case upgrade != (transport == TransportWebSocket):
		s.refuse(w, refNoUpgrade)
		return
	case upgrade && !s.originAllowed(r):
		s.refuse(w, refOrigin)
		return
	case len(r.URL.RawQuery) > maxQuery:
		s.refuse(w, refQuery)
		return
	}
	if s.opts.AllowRequest != nil {
		if err := s.opts.AllowRequest(r); err != nil {
			refused := refForbidden
			if text := err.Error(); text != "" {
				refused = refused.saying(text)
			}
			s.refuse(w, refused)
			return
		}
	}
	switch {
	case queryValue(r.URL.RawQuery, "EIO") != "4":
		s.refuse(w, refProtocol)
	case upgrade:
		s.openWebSocket(w, r)
	default:
		s.openPolling(w, r)
	}
}

func (s *Server) servesPath(path string) bool {
	return strings.HasPrefix(path, s.opts.Path) ||
		s.opts.OptionalSlash && path == strings.TrimSuffix(s.opts.Path, "/")
}

// openPacket is the frame with the open packet, which tells the client about its session.
func (s *Server) openPacket(session *Session, transport string) []byte {
	upgrades := []string{} // never null: clients filter the array without a look
	if transport == TransportPolling && !s.opts.DisableUpgrades && slices.Contains(s.opts.Transports, TransportWebSocket) {
		upgrades = append(upgrades, TransportWebSocket)
	}
	body, err := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}{session.id, upgrades, s.opts.PingInterval.Milliseconds(), s.opts.PingTimeout.Milliseconds(), s.opts.MaxPayload})
	if err != nil {
		panic(err) // strings and numbers can be marshalled
	}
	return textPacket(string(typeOpen) + string(body)).wire
}

// newSessionID makes an unguessable id: 120 random bits.
func newSessionID() string {
	var b [15]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Close refuses new sessions, closes all gracefully, and waits until every Closed has returned and every
// goroutine has ended. When ctx ends first, connections are cut and ctx's error is returned. It may
// be called again.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	for _, session := range s.list() {
		session.end(ReasonShutdown, endGraceful)
		if session.ws.Load() == nil {
			session.drop() // also what lingers for a last GET
		}
	}
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for _, session := range s.list() {
		session.drop()
	}
	// Cut connections end their goroutines at once, but for a Receiver that does not return.
	select {
	case <-done:
	case <-time.After(closeWait):
	}
	return ctx.Err()
}

// list copies the sessions, so that no lock is held while something is done to them.
func (s *Server) list() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		list = append(list, session)
	}
	return list
}
