package socketio

import (
	"errors"

	"skillsage/signaling/engineio"
)

// Reason says why a socket ended or was suspended. Besides these it can be any [engineio.Reason].
type Reason string

const (
	// ReasonClientDisconnect: the client left the namespace (DISCONNECT packet).
	ReasonClientDisconnect Reason = "client namespace disconnect"
	// ReasonServerDisconnect: the application called [Socket.Disconnect].
	ReasonServerDisconnect Reason = "server namespace disconnect"
	// ReasonTakenOver: the client came back on another connection while this one still seemed alive.
	ReasonTakenOver Reason = "taken over"
	// ReasonReplayOverflow: more was emitted while the client was away than is kept for a replay.
	ReasonReplayOverflow Reason = "replay overflow"
	// ReasonReplayGone: the client came back, but what it has missed is no longer kept.
	ReasonReplayGone Reason = "replay gone"
	// ReasonPanic: a handler of the socket panicked.
	ReasonPanic Reason = "handler panic"

	// The ends of the connection below.
	ReasonTransportClose Reason = Reason(engineio.ReasonTransportClose)
	ReasonTransportError Reason = Reason(engineio.ReasonTransportError)
	ReasonPingTimeout    Reason = Reason(engineio.ReasonPingTimeout)
	ReasonParseError     Reason = Reason(engineio.ReasonParseError)
	ReasonForcedClose    Reason = Reason(engineio.ReasonForcedClose)
	ReasonShutdown       Reason = Reason(engineio.ReasonShutdown)
)

// Errors returned by the methods of [Socket].
var (
	// ErrNotConnected: the CONNECT of the socket has not been answered yet.
	ErrNotConnected = errors.New("socketio: socket not connected yet")
	// ErrDisconnected: the socket has ended, or has no connection now and the packet can't wait.
	ErrDisconnected = errors.New("socketio: socket disconnected")
	// ErrAckTimeout: no acknowledgement came in time.
	ErrAckTimeout = errors.New("socketio: no acknowledgement in time")
	// ErrTooManyAcks: the socket waits for MaxPendingAcks acknowledgements already.
	ErrTooManyAcks = errors.New("socketio: too many pending acknowledgements")
	// ErrTooManyRooms: the socket is in MaxRooms rooms already.
	ErrTooManyRooms = errors.New("socketio: too many rooms")
	// ErrReplayOverflow: the client is away and no more is kept for it; the socket ends.
	ErrReplayOverflow = errors.New("socketio: too much waits for the client to return")
	// ErrReservedEvent: the event's name has a meaning of its own for clients.
	ErrReservedEvent = errors.New("socketio: reserved event name")
	// ErrInvalidJSON: an argument is not valid JSON in UTF-8.
	ErrInvalidJSON = errors.New("socketio: argument is not valid JSON in UTF-8")
)

// ConnectError is what a middleware returns to refuse a socket with more than a text.
// The client finds Message and Data in the error of its connect_error event.
type ConnectError struct {
	Message string
	Data    any // encoded as JSON; nil leaves it out
}

func (e *ConnectError) Error() string { return e.Message }
