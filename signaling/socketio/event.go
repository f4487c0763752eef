package socketio

import (
	"encoding/json"
	"sync/atomic"
)

// Event is one event from a client. The event, its Args and its Attachments are
// valid during the handler only, see [Event.Clone]; an event that asks for an
// acknowledgement may itself be kept until it has been answered.
type Event struct {
	// Name is the event's name; of a number, its digits.
	Name string
	// Args are the arguments as JSON text: valid, in valid UTF-8, byte for byte as the client wrote them.
	Args []json.RawMessage
	// Attachments are the binary parts. {"_placeholder":true,"num":i} in Args stands for Attachments[i].
	Attachments [][]byte

	socket   *Socket
	ackID    string
	answered atomic.Bool
}

// Socket is where the event arrived.
func (e *Event) Socket() *Socket { return e.socket }

// WantsAck reports whether the client waits for an acknowledgement.
func (e *Event) WantsAck() bool { return e.ackID != "" }

// Ack answers the client, with arguments encoded as in [Encode]. Only the first
// answer counts; without a request for one it does nothing. It may be called from
// any goroutine, also after the handler has returned.
func (e *Event) Ack(args ...any) error {
	if e.ackID == "" {
		return nil
	}
	m := &Message{ackID: e.ackID}
	var err error
	if m.body, m.attachments, err = appendArguments([]byte{'['}, false, args); err != nil {
		return err
	}
	return e.answer(m)
}

// AckRaw is Ack with arguments that are JSON already, as in [EncodeBinary].
func (e *Event) AckRaw(attachments [][]byte, parts ...[]byte) error {
	if e.ackID == "" {
		return nil
	}
	m := &Message{ackID: e.ackID, body: []byte{'['}, attachments: attachments}
	for _, part := range parts {
		m.body = append(m.body, part...)
	}
	return e.answer(m)
}

func (e *Event) answer(m *Message) error {
	if e.answered.Swap(true) {
		return nil
	}
	return e.socket.sendAck(m)
}

// Binary returns argument i if it is binary, else nil.
func (e *Event) Binary(i int) []byte {
	if i < 0 || i >= len(e.Args) || len(e.Attachments) == 0 {
		return nil
	}
	if n, ok := placeholder(e.Args[i], len(e.Attachments)); ok {
		return e.Attachments[n]
	}
	return nil
}

// Clone returns a copy that may be kept. Only one of the two should answer.
func (e *Event) Clone() *Event {
	return &Event{Name: e.Name, Args: cloneAll(e.Args), Attachments: e.Attachments, socket: e.socket, ackID: e.ackID}
}
