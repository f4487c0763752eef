package signaling

import (
	"log/slog"

	"skillsage/signaling/socketio"
)

// Mode says who ends the peer connections of a room.
type Mode string

const (
	// ModeP2P forwards signals between the members' browsers, as the original server did.
	ModeP2P Mode = "p2p"
	// ModeRelay hands them to the Relay.
	ModeRelay Mode = "relay"
)

// RoomMode says who chooses the mode of a room.
type RoomMode string

const (
	// RoomModeServer gives every room the server's mode.
	RoomModeServer RoomMode = "server"
	// RoomModeRecruiter lets a recruiter's join-room choose, as long as nobody has called yet.
	RoomModeRecruiter RoomMode = "recruiter"
)

// Options of a Server. The zero value is a peer-to-peer server with the default limits.
type Options struct {
	// SocketIO configures the layers below: path, heartbeat, CORS, sessions, recovery window.
	SocketIO socketio.Options

	// Mode is the mode that rooms start in. Without a relay (SetRelay) every room is peer to peer. "" is ModeP2P.
	Mode Mode

	// RoomMode says whether a recruiter may choose otherwise. "" is RoomModeServer.
	RoomMode RoomMode

	Limits Limits

	// Logger gets one line per life event; nil is slog.Default.
	Logger *slog.Logger
}

// Limits bound what clients can make the server hold or do. A value of 0 or less stands for its default. Sizes are of
// the JSON text as it came in, in bytes.
type Limits struct {
	Rooms          int // rooms at one time; default 10000
	MembersPerRoom int // sockets in one room; default 32 (one person may hold three or four)

	// EventRate and EventBurst bound what one socket may send, in units: an event costs one, and one more per started
	// KiB above the first. A socket above the rate is not cut off or robbed of events; the server reads it more
	// slowly. Defaults 2000 per second and 1000; a burst must fit the queues of those it is
	// addressed to (engineio.Options.QueuePackets), or one member could have another closed as a slow reader.
	EventRate  float64
	EventBurst int

	SignalBytes    int // the `signal` member of a signal event; default 256 KiB
	CandidateBytes int // the `candidate` member of an ice-candidate event; default 8 KiB

	ChatMessages     int // messages kept per room; default 500
	ChatMessageBytes int // one message; default 16 KiB
	ChatBytes        int // all messages kept per room; default 256 KiB

	Questions int // questions whose code is kept per room; default 64
	CodeBytes int // the code of one question; default 128 KiB
	CodeTotal int // all code kept per room; default 512 KiB
}

func (l Limits) withDefaults() Limits {
	for _, v := range []struct {
		field    *int
		standard int
	}{
		{&l.Rooms, 10_000},
		{&l.MembersPerRoom, 32},
		{&l.EventBurst, 1000},
		{&l.SignalBytes, 256 << 10},
		{&l.CandidateBytes, 8 << 10},
		{&l.ChatMessages, 500},
		{&l.ChatMessageBytes, 16 << 10},
		{&l.ChatBytes, 256 << 10},
		{&l.Questions, 64},
		{&l.CodeBytes, 128 << 10},
		{&l.CodeTotal, 512 << 10},
	} {
		if *v.field <= 0 {
			*v.field = v.standard
		}
	}
	if l.EventRate <= 0 {
		l.EventRate = 2000
	}
	return l
}
