package network

import "sync/atomic"

// Stats is a snapshot of a Port's counters since its start.
type Stats struct {
	// Connections that ICE agents hold now: one for each agent and address of the Port. Not since the start.
	Connections        int
	PacketsIn, Reads   uint64 // packets received, and the system calls that took
	Direct             uint64 // of those, packets that the reader handed to their Route itself
	PacketsOut, Writes uint64 // packets sent, and the system calls that took
	Dropped            uint64 // packets not sent because the kernel took no more and the queue was full
	Failed             uint64 // packets that the kernel refused, for lack of a route for example
	Malformed          uint64 // packets received that were larger than any of WebRTC
	TURN               uint64 // packets received for the TURN server
	Overrun            uint64 // packets for the TURN server, or of virtual peers, that found their queue full
}

// counters is the live form of Stats, shared by the sockets of one Port.
type counters struct {
	received, reads, direct, sent, writes, dropped, failed, truncated, turn, overrun atomic.Uint64
}

// Stats reads all counters; they are not taken at one instant. It is safe for concurrent use.
func (p *Port) Stats() Stats {
	c := &p.count
	return Stats{
		Connections: int(p.conns.Load()),
		PacketsIn:   c.received.Load(), Reads: c.reads.Load(), Direct: c.direct.Load(),
		PacketsOut: c.sent.Load(), Writes: c.writes.Load(),
		Dropped: c.dropped.Load(), Failed: c.failed.Load(), Malformed: c.truncated.Load(),
		TURN: c.turn.Load(), Overrun: c.overrun.Load(),
	}
}
