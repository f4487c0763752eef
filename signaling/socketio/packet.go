package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"skillsage/signaling/socketio/jsonraw"
)

// packetType is the first character of every Socket.IO packet.
type packetType byte

const (
	packetConnect packetType = iota
	packetDisconnect
	packetEvent
	packetAck
	packetConnectError
	packetBinaryEvent
	packetBinaryAck
)

const (
	maxNamespaceLength = 255
	// maxAckID is the largest integer that a JavaScript client can count to, 2^53-1.
	maxAckID      = 1<<53 - 1
	maxAckDigits  = 16
	maxArguments  = 256
	rootNamespace = "/"
)

// packet is one decoded Socket.IO packet; every slice points into the text it was parsed from.
type packet struct {
	kind        packetType
	attachments int    // binary messages that follow, 0 or 1..limit
	namespace   []byte // nil stands for "/"
	ackDigits   []byte // as the client wrote them; nil if there is no id (0 is an id)
	payload     []byte // JSON text or nil
}

// Why a packet was refused. The connection it came on is closed for each of these.
var (
	errEmptyPacket     = errors.New("empty packet")
	errPacketType      = errors.New("unknown packet type")
	errAttachments     = errors.New("illegal number of attachments")
	errNamespace       = errors.New("illegal namespace")
	errAckID           = errors.New("illegal acknowledgement id")
	errPayload         = errors.New("illegal payload")
	errEventName       = errors.New("event name is neither a string nor a number")
	errReservedEvent   = errors.New("reserved event name")
	errPlaceholder     = errors.New("illegal attachment placeholder")
	errTextExpected    = errors.New("binary message without a packet that announced it")
	errBinaryExpected  = errors.New("text message while attachments are awaited")
	errAttachmentBytes = errors.New("attachments exceed the message limit")
)

// parsePacket splits a text message into its parts: type, attachment count,
// namespace, acknowledgement id, payload. The payload is not looked into.
func parsePacket(text []byte, maxAttachments int) (packet, error) {
	var p packet
	if len(text) == 0 {
		return p, errEmptyPacket
	}
	if text[0] < '0' || text[0] > '6' {
		return p, errPacketType
	}
	p.kind = packetType(text[0] - '0')
	rest := text[1:]
	if p.kind == packetBinaryEvent || p.kind == packetBinaryAck {
		var err error
		if p.attachments, rest, err = parseAttachmentCount(rest, maxAttachments); err != nil {
			return p, err
		}
	}
	if len(rest) > 0 && rest[0] == '/' {
		name := rest
		if comma := bytes.IndexByte(rest[:min(len(rest), maxNamespaceLength+1)], ','); comma >= 0 {
			name, rest = rest[:comma], rest[comma+1:]
		} else {
			rest = nil
		}
		if len(name) > maxNamespaceLength || bytes.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return p, errNamespace
		}
		if len(name) > 1 {
			p.namespace = name
		}
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		if digits++; digits > maxAckDigits {
			return p, errAckID
		}
	}
	if digits > 0 {
		p.ackDigits, rest = rest[:digits:digits], rest[digits:]
		if _, ok := ackNumber(p.ackDigits); !ok {
			return p, errAckID
		}
	}
	if len(rest) > 0 {
		p.payload = rest
	}
	return p, nil
}

func parseAttachmentCount(text []byte, limit int) (n int, rest []byte, err error) {
	dash := bytes.IndexByte(text[:min(len(text), 4)], '-')
	if dash <= 0 || text[0] == '0' {
		return 0, nil, errAttachments
	}
	for _, c := range text[:dash] {
		if c < '0' || c > '9' {
			return 0, nil, errAttachments
		}
		n = n*10 + int(c-'0')
	}
	if n > limit {
		return 0, nil, fmt.Errorf("%w: %d, the limit is %d", errAttachments, n, limit)
	}
	return n, text[dash+1:], nil
}

// ackNumber converts digits that parsePacket has let through.
func ackNumber(digits []byte) (uint64, bool) {
	var n uint64
	for _, c := range digits {
		n = n*10 + uint64(c-'0')
	}
	return n, n <= maxAckID
}

// parseEvent validates the payload of an event and returns the raw name and the
// arguments, appended to scratch.
func parseEvent(payload []byte, scratch []json.RawMessage) (name []byte, args []json.RawMessage, err error) {
	elements, err := jsonraw.Elements(scratch, payload, maxArguments+1)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errPayload, err)
	}
	if len(elements) == 0 {
		return nil, nil, errEventName
	}
	switch first := elements[0]; {
	case first[0] == '"':
		if name, err = jsonraw.Text(first); err != nil {
			return nil, nil, errEventName
		}
	case first[0] == '-' || first[0] >= '0' && first[0] <= '9':
		name = first
	default:
		return nil, nil, errEventName
	}
	if isReserved(name) {
		return nil, nil, errReservedEvent
	}
	return name, elements[1:], nil
}

// isReserved names the events that the client library gives a meaning of its own.
func isReserved(name []byte) bool {
	switch string(name) {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

// checkPlaceholders walks through decoded JSON and refuses an object that says it
// stands for an attachment but names none of the n that came.
func checkPlaceholders(payload []byte, n int) error {
	if !bytes.Contains(payload, []byte("_placeholder")) && !bytes.Contains(payload, []byte(`\u`)) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return errPayload
	}
	return walkPlaceholders(value, n)
}

func walkPlaceholders(value any, n int) error {
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			if err := walkPlaceholders(element, n); err != nil {
				return err
			}
		}
	case map[string]any:
		if v["_placeholder"] == true {
			if _, ok := placeholderIndex(v["num"], n); !ok {
				return errPlaceholder
			}
			return nil
		}
		for _, member := range v {
			if err := walkPlaceholders(member, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func placeholderIndex(num any, n int) (int, bool) {
	number, ok := num.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := number.Int64()
	return int(i), err == nil && i >= 0 && i < int64(n)
}

// placeholder returns which attachment a raw argument stands for.
func placeholder(raw []byte, n int) (int, bool) {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if !bytes.Contains(raw, []byte("placeholder")) || decoder.Decode(&object) != nil || object["_placeholder"] != true {
		return 0, false
	}
	return placeholderIndex(object["num"], n)
}

// cloneAll copies arguments that must outlive the message they point into.
func cloneAll(args []json.RawMessage) []json.RawMessage {
	out := slices.Clone(args)
	for i, raw := range out {
		out[i] = bytes.Clone(raw)
	}
	return out
}
