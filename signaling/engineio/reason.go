package engineio

import "github.com/gorilla/websocket"

// Reason says why a session ended.
type Reason string

const (
	// ReasonTransportClose: the peer said goodbye, by a WebSocket close frame or a close packet.
	ReasonTransportClose Reason = "transport close"
	// ReasonTransportError: the connection broke (TCP end or reset without a goodbye, abandoned or
	// overlapping request, failed or timed out write).
	ReasonTransportError Reason = "transport error"
	// ReasonPingTimeout: nothing was received within PingTimeout of a ping.
	ReasonPingTimeout Reason = "ping timeout"
	// ReasonParseError: the peer sent something that is no Engine.IO packet, or is not UTF-8.
	ReasonParseError Reason = "parse error"
	// ReasonTooLarge: the peer sent a POST body or a message above MaxPayload.
	ReasonTooLarge Reason = "payload too large"
	// ReasonSlowReader: more than QueuePackets or QueueBytes waited for the peer.
	ReasonSlowReader Reason = "slow reader"
	// ReasonForcedClose: the application closed the session.
	ReasonForcedClose Reason = "forced close"
	// ReasonShutdown: the server is shutting down.
	ReasonShutdown Reason = "server shutting down"
	// ReasonServerError: the application's Receiver panicked.
	ReasonServerError Reason = "server error"
)

// Goodbye reports whether the peer itself ended the session on purpose. Everything else may be a
// client that lost its network and will come back.
func (r Reason) Goodbye() bool { return r == ReasonTransportClose }

func (r Reason) known() bool {
	switch r {
	case ReasonTransportClose, ReasonTransportError, ReasonPingTimeout, ReasonParseError, ReasonTooLarge,
		ReasonSlowReader, ReasonForcedClose, ReasonShutdown, ReasonServerError:
		return true
	}
	return false
}

// closeCode is the WebSocket close code (RFC 6455, section 7.4.1) that tells the peer.
func (r Reason) closeCode() int {
	switch r {
	case ReasonShutdown:
		return websocket.CloseGoingAway
	case ReasonServerError:
		return websocket.CloseInternalServerErr
	case ReasonParseError:
		return websocket.CloseProtocolError
	case ReasonTooLarge:
		return websocket.CloseMessageTooBig
	default:
		return websocket.CloseNormalClosure
	}
}
