package engineio

import (
	"errors"
	"net/netip"
	"net/url"
)

var (
	// ErrClosed is returned by Send once the session is closed or closing.
	ErrClosed = errors.New("engineio: session closed")
	// ErrSlowReader is returned by the Send that passed the queue's bound; the session is closed.
	ErrSlowReader = errors.New("engineio: slow reader: queue bound passed")
	// ErrSeparator is returned by Send for a text that holds a raw 0x1e, the byte that separates
	// packets on polling: it could smuggle packets of the sender's choice to the receiver.
	ErrSeparator = errors.New("engineio: text holds the record separator 0x1e")
	// ErrEmpty is returned by Send for the zero Packet.
	ErrEmpty = errors.New("engineio: empty packet")
)

// Handler is called once per new session, before the client can send on it. What it sends follows
// the open packet. The Receiver it returns gets everything that the client sends; nil refuses.
type Handler func(*Session) Receiver

// Receiver gets what arrives on one session. Its methods are called in arrival order, by one
// goroutine at a time. A panic in one of them closes that session only.
type Receiver interface {
	// Message is called for every message. data is valid during the call only; text is valid UTF-8.
	Message(data []byte, binary bool)
	// Closed is called exactly once, as the last call.
	Closed(reason Reason)
}

// Session is one client's connection, over whichever transport it uses now. All methods are safe for
// concurrent use, also from within a Receiver.
type Session struct{}

// ID is the session's id, a secret of the client: who knows it can read and write the session.
func (s *Session) ID() string { return "" }

// RemoteAddr is the client's address at the handshake, taken from X-Forwarded-For behind a trusted proxy.
func (s *Session) RemoteAddr() netip.Addr { return netip.Addr{} }

// Query parses the query string of the handshake. Each call makes a new map.
func (s *Session) Query() url.Values { return nil }

// Header returns a header of the handshake: Origin, User-Agent, Host, Cookie or Authorization.
// Others, and values above 8 KB, are not kept.
func (s *Session) Header(name string) string { return "" }

// Transport is the session's present transport, "polling" or "websocket".
func (s *Session) Transport() string { return "" }

// Send queues p, or writes it when that can be done at once. It never blocks. Packets arrive in the order of the calls.
func (s *Session) Send(p Packet) error { return nil }

// Close ends the session gracefully: what is queued is flushed, then a close packet (polling) or
// close frame (WebSocket) follows. It does not wait; Closed is called from another goroutine.
func (s *Session) Close(reason Reason) {}

// Writable reports whether a packet sent now would leave at once, for packets that may be dropped.
func (s *Session) Writable() bool { return false }
