package socketio

import (
	"errors"
	"sync/atomic"

	"skillsage/signaling/engineio"
)

// Stats is a snapshot of a server's counters. Connections, Sockets and Suspended
// are present numbers, all others only ever grow.
type Stats struct {
	Engine engineio.Stats

	Connections int64 // Engine.IO connections
	Sockets     int64 // sockets in all namespaces, the suspended included
	Suspended   int64 // sockets that wait for their client to return

	Connected       uint64 // sockets accepted, ever
	Refused         uint64 // CONNECT packets answered with CONNECT_ERROR
	ConnectTimeouts uint64 // connections closed because no namespace accepted them in time

	EventsIn, EventsOut uint64
	EventsUnknown       uint64 // events for which the socket has no handler
	AcksIn, AcksOut     uint64
	AcksLate            uint64 // acknowledgements nobody waits for (any more)
	AckTimeouts         uint64
	PacketsLate         uint64 // packets for a namespace that the server has just made the client leave

	Recovered        uint64 // sockets whose client came back in time
	RecoveryUnknown  uint64 // clients that came back with an unknown or expired session
	RecoveryRefused  uint64 // clients that came back with another auth payload
	RecoveryGone     uint64 // clients that had missed more than is kept
	ReplayOverflows  uint64 // sockets ended because too much was emitted while the client was away
	RecoveryExpired  uint64 // sockets whose client did not come back
	RecoveryReplayed uint64 // packets sent again after a recovery

	VolatileDropped uint64
	Violations      uint64 // connections closed because of what the client sent
	InvalidState    uint64 // of these, because the packet did not fit the state of its namespace
	Panics          uint64 // in handlers and middleware
}

type counters struct {
	connections, sockets, suspended                         atomic.Int64
	connected, refused, connectTimeouts                     atomic.Uint64
	eventsIn, eventsOut, eventsUnknown                      atomic.Uint64
	acksIn, acksOut, acksLate, ackTimeouts, packetsLate     atomic.Uint64
	recovered, recoveryUnknown, recoveryRefused             atomic.Uint64
	recoveryGone, replayOverflows, recoveryExpired, replays atomic.Uint64
	volatileDropped, violations, invalidState, panics       atomic.Uint64
}

func (c *counters) countViolation(err error) {
	c.violations.Add(1)
	if errors.Is(err, errInvalidState) {
		c.invalidState.Add(1)
	}
}

// Stats returns the present values of the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		Engine:           s.engine.Stats(),
		Connections:      c.connections.Load(),
		Sockets:          c.sockets.Load(),
		Suspended:        c.suspended.Load(),
		Connected:        c.connected.Load(),
		Refused:          c.refused.Load(),
		ConnectTimeouts:  c.connectTimeouts.Load(),
		EventsIn:         c.eventsIn.Load(),
		EventsOut:        c.eventsOut.Load(),
		EventsUnknown:    c.eventsUnknown.Load(),
		AcksIn:           c.acksIn.Load(),
		AcksOut:          c.acksOut.Load(),
		AcksLate:         c.acksLate.Load(),
		AckTimeouts:      c.ackTimeouts.Load(),
		PacketsLate:      c.packetsLate.Load(),
		Recovered:        c.recovered.Load(),
		RecoveryUnknown:  c.recoveryUnknown.Load(),
		RecoveryRefused:  c.recoveryRefused.Load(),
		RecoveryGone:     c.recoveryGone.Load(),
		ReplayOverflows:  c.replayOverflows.Load(),
		RecoveryExpired:  c.recoveryExpired.Load(),
		RecoveryReplayed: c.replays.Load(),
		VolatileDropped:  c.volatileDropped.Load(),
		Violations:       c.violations.Load(),
		InvalidState:     c.invalidState.Load(),
		Panics:           c.panics.Load(),
	}
}
