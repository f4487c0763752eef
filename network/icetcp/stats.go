package icetcp

import (
	"sync/atomic"

	"skillsage/network/traffic"
)

// Stats is a snapshot of a Mux. Counts are since its start.
type Stats struct {
	Connections int   // that belong to an ICE agent, now
	Strangers   int   // that have not said to whom they belong, now
	Endpoints   int   // that ICE agents hold now: one for each agent and address
	Queued      int64 // bytes that wait for their peers, now

	Accepted           uint64
	PacketsIn          uint64
	Direct             uint64 // of those, packets that the reader handed to their route itself
	Unread             uint64 // of those, packets that no ICE agent wanted or had room for
	PacketsOut, Writes uint64 // packets sent, and the system calls that took
	Dropped            [traffic.Kinds]uint64
	Closed             map[string]uint64 // connections by why they ended: one of a fixed list of words
}

// reason is why a connection ended.
type reason uint8

const (
	byPeer     reason = iota // it closed the connection, or the connection broke
	byAgent                  // the ICE agent is done with it, or the server ends
	silent                   // no first packet, or not all of it, in time
	notICE                   // the first packet is no connectivity check
	unknown                  // of no agent that there is
	crowded                  // a limit is reached
	malformed                // a frame is longer than any packet
	idle                     // nothing more came
	stalled                  // it took nothing for too long, or far too little
	superseded               // the peer has connected anew from the same address
	asked                    // it only wanted to know its address
	reasons
)

func (r reason) String() string {
	return [reasons]string{"peer", "agent", "silent", "not_ice", "unknown", "crowded", "malformed", "idle", "stalled", "superseded", "asked"}[r]
}

// counters is the live form of Stats' counts.
type counters struct {
	accepted, received, direct, unread, sent, writes atomic.Uint64
	dropped                                          [traffic.Kinds]atomic.Uint64
	closed                                           [reasons]atomic.Uint64
}

// Stats reads all counters; they are not taken at one instant. It is safe for concurrent use.
func (m *Mux) Stats() Stats {
	c := &m.count
	s := Stats{
		Accepted: c.accepted.Load(), PacketsIn: c.received.Load(), Direct: c.direct.Load(), Unread: c.unread.Load(),
		PacketsOut: c.sent.Load(), Writes: c.writes.Load(), Queued: m.queued.Load(),
		Closed: make(map[string]uint64, reasons),
	}
	for kind := range s.Dropped {
		s.Dropped[kind] = c.dropped[kind].Load()
	}
	for r := range reasons {
		s.Closed[r.String()] = c.closed[r].Load()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Connections, s.Strangers = m.connections, len(m.strangers)
	for _, f := range m.fragments {
		s.Endpoints += len(f.endpoints)
	}
	return s
}
