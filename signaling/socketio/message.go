package socketio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio/jsonraw"
)

// Message is an event, encoded once and sent to any number of sockets from any
// number of goroutines. It is immutable.
type Message struct {
	body        []byte // `["name",…` without the closing bracket
	attachments [][]byte
	ackID       string // digits: the message is an acknowledgement, not an event
	shared      atomic.Pointer[sharedPacket]
}

// sharedPacket is a Message made ready for the wire, for receivers that need nothing of their own in it.
type sharedPacket struct {
	namespace string
	packet    engineio.Packet
}

// Encode makes a Message. Arguments are encoded as encoding/json does, but
// without escaping HTML characters; a [json.RawMessage] is checked and copied as
// it is, a []byte becomes a binary attachment.
func Encode(event string, args ...any) (*Message, error) {
	if isReserved([]byte(event)) {
		return nil, fmt.Errorf("%w: %s", ErrReservedEvent, event)
	}
	m := &Message{}
	var err error
	m.body, m.attachments, err = appendArguments(appendEventName(nil, event), true, args)
	return m, err
}

// EncodeRaw makes a Message of arguments that are JSON already: the parts, joined
// without anything between them, are the arguments, separated by commas, without
// outer brackets. They must be valid JSON in UTF-8: arguments of an [Event] and
// their sub-slices are. Everything is copied, nothing is checked.
// It panics if the event's name is reserved.
func EncodeRaw(event string, parts ...[]byte) *Message {
	return &Message{body: rawBody(event, parts)}
}

// EncodeBinary is EncodeRaw for arguments in which {"_placeholder":true,"num":i}
// stands for attachments[i]. The attachments are not copied and must not change.
func EncodeBinary(event string, attachments [][]byte, parts ...[]byte) *Message {
	return &Message{body: rawBody(event, parts), attachments: attachments}
}

func rawBody(event string, parts [][]byte) []byte {
	if isReserved([]byte(event)) {
		panic("socketio: reserved event name " + event)
	}
	size := len(event) + 4
	for _, part := range parts {
		size += len(part)
	}
	body := appendEventName(make([]byte, 0, size), event)
	start := len(body)
	body = append(body, ',')
	for _, part := range parts {
		body = append(body, part...)
	}
	if len(body) == start+1 {
		return body[:start]
	}
	return body
}

// appendEventName appends `["name"`.
func appendEventName(dst []byte, event string) []byte {
	dst = append(dst, '[')
	for i := 0; i < len(event); i++ {
		if c := event[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendString(dst, event)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, event...)
	return append(dst, '"')
}

func appendString(dst []byte, s string) []byte {
	dst, _ = appendJSON(dst, s) // a string can always be encoded
	return dst
}

// appendArguments appends args to an opened array, with a comma in front of the
// first one if there are elements before it.
func appendArguments(dst []byte, comma bool, args []any) (body []byte, attachments [][]byte, err error) {
	for i, arg := range args {
		if comma || i > 0 {
			dst = append(dst, ',')
		}
		switch v := arg.(type) {
		case json.RawMessage:
			if !jsonraw.Valid(v) || !utf8.Valid(v) {
				return dst, nil, ErrInvalidJSON
			}
			dst = append(dst, v...)
		case []byte:
			dst = append(dst, `{"_placeholder":true,"num":`...)
			dst = strconv.AppendInt(dst, int64(len(attachments)), 10)
			dst = append(dst, '}')
			attachments = append(attachments, v)
		default:
			if dst, err = appendJSON(dst, arg); err != nil {
				return dst, nil, fmt.Errorf("socketio: argument %d: %w", i, err)
			}
		}
	}
	return dst, attachments, nil
}

type jsonBuffer struct {
	bytes.Buffer
	encoder *json.Encoder
}

var jsonBuffers = sync.Pool{New: func() any {
	b := &jsonBuffer{}
	b.encoder = json.NewEncoder(&b.Buffer)
	b.encoder.SetEscapeHTML(false) // the bytes of a session description must not change
	return b
}}

func appendJSON(dst []byte, v any) ([]byte, error) {
	b := jsonBuffers.Get().(*jsonBuffer)
	b.Reset()
	err := b.encoder.Encode(v)
	if err == nil {
		text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
		if !utf8.Valid(text) { // a MarshalJSON method may write anything
			err = ErrInvalidJSON
		} else {
			dst = append(dst, text...)
		}
	}
	if b.Cap() <= 64<<10 {
		jsonBuffers.Put(b)
	}
	return dst, err
}

// packet makes m ready for the wire in a namespace. id asks for an acknowledgement
// when it is not empty; offset, when it is not empty, becomes one more argument.
func (m *Message) packet(namespace, id string, offset []byte) engineio.Packet {
	if id != "" || len(offset) > 0 {
		return m.render(namespace, id, offset)
	}
	if s := m.shared.Load(); s != nil && s.namespace == namespace {
		return s.packet
	}
	packet := m.render(namespace, "", nil)
	m.shared.Store(&sharedPacket{namespace, packet})
	return packet
}

func (m *Message) render(namespace, id string, offset []byte) engineio.Packet {
	kind := packetEvent
	if m.ackID != "" {
		kind, id = packetAck, m.ackID
	}
	var buffer [64]byte
	head := buffer[:0]
	if len(m.attachments) > 0 {
		head = append(head, '0'+byte(kind+packetBinaryEvent-packetEvent))
		head = append(strconv.AppendInt(head, int64(len(m.attachments)), 10), '-')
	} else {
		head = append(head, '0'+byte(kind))
	}
	head = append(appendNamespace(head, namespace), id...)
	var tailBuffer [24]byte
	tail := tailBuffer[:0]
	if len(offset) > 0 {
		tail = append(append(append(tail, ',', '"'), offset...), '"')
	}
	tail = append(tail, ']')
	return engineio.NewTextBinary(m.attachments, head, m.body, tail)
}

// appendNamespace appends a packet's namespace part; "/" is left out.
func appendNamespace(dst []byte, namespace string) []byte {
	if namespace == rootNamespace || namespace == "" {
		return dst
	}
	return append(append(dst, namespace...), ',')
}

// size is what keeping the message costs, in bytes.
func (m *Message) size() int {
	n := len(m.body)
	for _, a := range m.attachments {
		n += len(a)
	}
	return n
}
