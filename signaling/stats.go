package signaling

import (
	"sync/atomic"

	"skillsage/signaling/socketio"
)

// Stats is a snapshot of a Server's counters. Maps are keyed by the words that docs/protocol.md lists.
type Stats struct {
	Rooms   int // rooms with somebody in them
	Members int // sockets in rooms, suspended ones included

	Joined  uint64 // joins that others were told of
	Left    uint64 // leaves of every kind, evicted included
	Evicted uint64 // suspended members removed to make place for one of their role

	SignalsForwarded    uint64 // p2p mode
	CandidatesForwarded uint64 // p2p mode
	RelaySignals        uint64 // handed to the relay
	RelayCandidates     uint64 // handed to the relay
	RelaySent           uint64 // descriptions that the relay sent to members
	Delayed             uint64 // events of sockets above their rate
	Panics              uint64 // in calls of the relay and the recorder

	Refused   map[string]uint64 // events answered with an error, by code
	Dropped   map[string]uint64 // events dropped silently, by reason
	LegStates map[string]uint64 // what the relay reported, by state

	SocketIO socketio.Stats // of the layers below
}

type dropReason int

const (
	dropNotJoined dropReason = iota // media event of a socket in no room
	dropNoMember                    // addressee not in the sender's room
	dropNoRoom                      // extras for a room with nobody in it
	dropSelf                        // signal to oneself, in relay mode
	dropReasons
)

var dropNames = [dropReasons]string{"not-joined", "no-such-member", "no-such-room", "to-self"}

var codes = [...]code{codeBadPayload, codeTooLarge, codeUnknownRole, codeBadDescription, codeNotJoined, codeNoRoom, codeNoMember,
	codeRoomFull, codeTooManyRooms, codeDraining, codeModeRefused, codeRateLimited,
	codeRecordingOff, codeNotAllowed, codeRecordingOn, codeNotRecording, codeRecordingDisk, codeRecordingBusy}

var legStates = [...]string{"connected", "disconnected", "failed", "closed", stateRehome, stateRefused, "other"}

type counters struct {
	members                                                     atomic.Int64
	joined, left, evicted                                       atomic.Uint64
	signals, candidates, relaySignals, relayCandidates, delayed atomic.Uint64
	relaySent, panics                                           atomic.Uint64
	dropped                                                     [dropReasons]atomic.Uint64
	failed                                                      [len(codes)]atomic.Uint64
	legs                                                        [len(legStates)]atomic.Uint64
}

func (c *counters) drop(r dropReason) { c.dropped[r].Add(1) }

func (c *counters) fail(which code) {
	for i, known := range codes {
		if known == which {
			c.failed[i].Add(1)
		}
	}
}

func (c *counters) legState(state string) {
	for i, known := range legStates {
		if known == state || i == len(legStates)-1 {
			c.legs[i].Add(1)
			return
		}
	}
}

// Stats reads all counters; they are not taken at one instant. It is safe for concurrent use.
func (s *Server) Stats() Stats {
	c := &s.stats
	st := Stats{
		Rooms:               s.rooms.len(),
		Members:             int(c.members.Load()),
		Joined:              c.joined.Load(),
		Left:                c.left.Load(),
		Evicted:             c.evicted.Load(),
		SignalsForwarded:    c.signals.Load(),
		CandidatesForwarded: c.candidates.Load(),
		RelaySignals:        c.relaySignals.Load(),
		RelayCandidates:     c.relayCandidates.Load(),
		RelaySent:           c.relaySent.Load(),
		Delayed:             c.delayed.Load(),
		Panics:              c.panics.Load(),
		Refused:             make(map[string]uint64, len(codes)),
		Dropped:             make(map[string]uint64, dropReasons),
		SocketIO:            s.io.Stats(),
		LegStates:           make(map[string]uint64, len(legStates)),
	}
	for i := range codes {
		st.Refused[string(codes[i])] = c.failed[i].Load()
	}
	for i := range dropNames {
		st.Dropped[dropNames[i]] = c.dropped[i].Load()
	}
	for i := range legStates {
		st.LegStates[legStates[i]] = c.legs[i].Load()
	}
	return st
}
