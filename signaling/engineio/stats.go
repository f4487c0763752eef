package engineio

import (
	"sync"
	"sync/atomic"
)

// Stats is a snapshot of a server's counters. All but Sessions and Polling only ever grow.
type Stats struct {
	Sessions int64 // open now, on either transport
	Polling  int64 // of these, on polling

	Opened       uint64 // sessions, ever
	Upgrades     uint64 // polling sessions that moved to WebSocket
	ProbesFailed uint64 // WebSockets that did not complete the upgrade, or came too late for one

	MessagesIn, BytesIn  uint64 // messages received, and their bytes
	PacketsOut, BytesOut uint64 // packets accepted by Send, and their bytes as on a WebSocket
	WritesDeferred       uint64 // writes that could not be done at once and went to a writer goroutine
	Panics               uint64 // of Handlers and Receivers
	Unframable           uint64 // packets refused with ErrSeparator

	Closed  map[Reason]uint64 // sessions by why they ended; reasons of the application's own as "other"
	Refused map[string]uint64 // requests by why they were refused, e.g. "unknown session"
}

// counters is the live form of Stats.
type counters struct {
	sessions, polling                    atomic.Int64
	opened, upgrades, probesFailed       atomic.Uint64
	messagesIn, bytesIn                  atomic.Uint64
	packetsOut, bytesOut, writesDeferred atomic.Uint64
	panics, unframable                   atomic.Uint64

	refused [32]atomic.Uint64 // by refusal.index

	mu     sync.Mutex
	closed map[Reason]uint64
}

// countClosed counts a session that ended.
func (s *Server) countClosed(reason Reason, polling bool) {
	s.count.sessions.Add(-1)
	if polling {
		s.count.polling.Add(-1)
	}
	if !reason.known() {
		reason = "other" // bounds the map
	}
	s.count.mu.Lock()
	defer s.count.mu.Unlock()
	if s.count.closed == nil {
		s.count.closed = make(map[Reason]uint64)
	}
	s.count.closed[reason]++
}

// Stats returns the counters' present values.
func (s *Server) Stats() Stats {
	c := &s.count
	stats := Stats{
		Sessions:       c.sessions.Load(),
		Polling:        c.polling.Load(),
		Opened:         c.opened.Load(),
		Upgrades:       c.upgrades.Load(),
		ProbesFailed:   c.probesFailed.Load(),
		MessagesIn:     c.messagesIn.Load(),
		BytesIn:        c.bytesIn.Load(),
		PacketsOut:     c.packetsOut.Load(),
		BytesOut:       c.bytesOut.Load(),
		WritesDeferred: c.writesDeferred.Load(),
		Panics:         c.panics.Load(),
		Unframable:     c.unframable.Load(),
		Closed:         make(map[Reason]uint64),
		Refused:        make(map[string]uint64),
	}
	for _, r := range refusals {
		if n := c.refused[r.index].Load(); n > 0 {
			stats.Refused[r.name] = n
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for reason, n := range c.closed {
		stats.Closed[reason] = n
	}
	return stats
}
