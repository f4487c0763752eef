package turn

import "sync/atomic"

// Stats is a snapshot of a Server's counters.
type Stats struct {
	Allocations     int    // at this moment
	AllocationsMade uint64 // since the start
	// BytesReceived came from clients and BytesSent was on its way to them, since the start: data alone, without the
	// headers of TURN.
	BytesReceived, BytesSent uint64
	// PacketsDropped of the data are those that a member had no bandwidth left for, that a client was too slow to take, and
	// that were for addresses that may not be reached.
	PacketsDropped uint64
	Refused        map[string]uint64 // requests, by reason: the words of Reasons
}

type refusal int

const (
	refusedCredentials refusal = iota // malformed or wrong
	refusedExpired                    // credentials that have ended
	refusedMember                     // of nobody who is there
	refusedQuota                      // a member has too many allocations
	refusedCapacity                   // the server has
	refusedPeer                       // a peer that may not be reached
	refusedUnsupported                // a way of relaying that WebRTC has no use for
	refusals
)

var refusalNames = [refusals]string{"credentials", "expired", "member", "quota", "capacity", "peer", "unsupported"}

type counters struct {
	made, received, sent, dropped atomic.Uint64
	refused                       [refusals]atomic.Uint64
}

func (c *counters) refuse(why refusal) { c.refused[why].Add(1) }

// Stats reads all counters; they are not taken at one instant.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	allocations := len(s.relays)
	s.mu.Unlock()
	c := &s.count
	stats := Stats{
		Allocations: allocations, AllocationsMade: c.made.Load(),
		BytesReceived: c.received.Load(), BytesSent: c.sent.Load(), PacketsDropped: c.dropped.Load(),
		Refused: make(map[string]uint64, refusals),
	}
	for i, name := range refusalNames {
		stats.Refused[name] = c.refused[i].Load()
	}
	return stats
}
