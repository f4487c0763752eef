package engineio

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
)

// open makes a session and enters it, if the limits allow.
func (s *Server) open(r *http.Request) (*Session, *refusal) {
	session := &Session{srv: s, id: newSessionID(), remote: s.clientAddr(r), shake: newHandshake(r)}
	session.startHeartbeat()
	if refused := s.enter(session); refused != nil {
		session.timer.Stop()
		return nil, refused
	}
	s.count.opened.Add(1)
	s.count.sessions.Add(1)
	s.count.polling.Add(1)
	s.log.LogAttrs(r.Context(), slog.LevelDebug, "session opened", slog.String("session", session.shortID()), slog.Any("address", session.remote))
	return session, nil
}

func (s *Server) enter(session *Session) *refusal {
	key := addressKey(session.remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return refClosing
	case len(s.sessions) >= s.opts.MaxSessions:
		return refFull
	case s.opts.MaxSessionsPerAddress > 0 && s.perAddr[key] >= s.opts.MaxSessionsPerAddress:
		return refAddressFull
	}
	s.sessions[session.id] = session
	s.perAddr[key]++
	s.wg.Add(1) // until the session's Closed has returned
	return nil
}

// track counts a goroutine that is to be waited for, unless the server is closing.
func (s *Server) track() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.wg.Add(1)
	return true
}

// remove forgets a session: its id is unknown from now on, and its place is free.
func (s *Server) remove(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[session.id] != session {
		return
	}
	delete(s.sessions, session.id)
	key := addressKey(session.remote)
	if s.perAddr[key]--; s.perAddr[key] <= 0 {
		delete(s.perAddr, key)
	}
}

// addressKey is what counts as one address: all of an IPv6 /64, which is what one subscriber gets.
func addressKey(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// maxForwarded bounds how many entries of X-Forwarded-For are looked at.
const maxForwarded = 16

// clientAddr is the address the request comes from: the connection's, or the last one in
// X-Forwarded-For that is no trusted proxy, if all between are.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	addr := hostAddr(r.RemoteAddr)
	if len(s.opts.TrustedProxies) == 0 || !s.trusted(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= max(0, len(hops)-maxForwarded); i-- {
		hop := hostAddr(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		addr = hop
		if !s.trusted(addr) {
			break
		}
	}
	return addr
}

func (s *Server) trusted(a netip.Addr) bool {
	for _, p := range s.opts.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// hostAddr reads an address with or without a port. IPv4 in IPv6 becomes IPv4, zones are dropped.
func hostAddr(text string) netip.Addr {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return a.Unmap().WithZone("")
	}
	return netip.Addr{}
}
