package engineio

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
)

// Packet types: the first byte of a text packet.
const (
	typeOpen    = '0'
	typeClose   = '1'
	typePing    = '2'
	typePong    = '3'
	typeMessage = '4'
	typeUpgrade = '5'
	typeNoop    = '6'
)

// separator stands between the packets of a polling payload.
const separator = 0x1e

// First bytes of unfragmented server frames (RFC 6455, section 5.2).
const (
	frameText   = 0x81
	frameBinary = 0x82
	frameClose  = 0x88
	framePong   = 0x8a
)

// Packet is one message to a client, ready for the wire: a text, binary data, or a text followed by
// binary attachments that nothing may come between. It is immutable and may be sent to any number
// of sessions from any number of goroutines; it is encoded once.
type Packet struct {
	// wire holds the WebSocket frames back to back. Frames from a server are unmasked (RFC 6455,
	// section 5.1), so the same bytes serve every receiver.
	wire []byte
	// splits says that the text has a record separator in it, which a polling client would
	// take for the end of the packet.
	splits bool
}

// NewText makes a text message of parts, joined without anything between them. The text must be
// valid UTF-8. One that holds a raw 0x1e can't be framed and is refused by [Session.Send].
func NewText(parts ...[]byte) Packet { return NewTextBinary(nil, parts...) }

// NewBinary makes a binary message; data is copied.
func NewBinary(data []byte) Packet {
	wire := make([]byte, 0, maxHeader+len(data))
	return Packet{wire: append(appendHeader(wire, frameBinary, len(data)), data...)}
}

// NewTextBinary makes a text message, joined from parts as in [NewText], that is followed directly
// by attachments, each a binary message. Everything is copied.
func NewTextBinary(attachments [][]byte, parts ...[]byte) Packet {
	text, size := 1, maxHeader+1
	for _, part := range parts {
		text += len(part)
	}
	size += text
	for _, a := range attachments {
		size += maxHeader + len(a)
	}
	p := Packet{wire: make([]byte, 0, size)}
	p.wire = append(appendHeader(p.wire, frameText, text), typeMessage)
	for _, part := range parts {
		p.splits = p.splits || bytes.IndexByte(part, separator) >= 0
		p.wire = append(p.wire, part...)
	}
	for _, a := range attachments {
		p.wire = append(appendHeader(p.wire, frameBinary, len(a)), a...)
	}
	return p
}

// Len is the packet's size in bytes on a WebSocket, frame headers included.
func (p Packet) Len() int { return len(p.wire) }

// textPacket makes a packet of the engine's own, e.g. a ping.
func textPacket(text string) Packet {
	wire := make([]byte, 0, maxHeader+len(text))
	return Packet{wire: append(appendHeader(wire, frameText, len(text)), text...)}
}

var (
	packetClose = textPacket("1")
	packetPing  = textPacket("2")
	packetNoop  = textPacket("6")
	packetProbe = textPacket("3probe")
)

// maxHeader is the size of the longest frame header a server writes.
const maxHeader = 10

// appendHeader appends the header of an unmasked final frame (RFC 6455, section 5.2).
func appendHeader(b []byte, first byte, length int) []byte {
	switch {
	case length < 126:
		return append(b, first, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, first, 126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(b, first, 127), uint64(length))
	}
}

// nextFrame splits the first frame off bytes that appendHeader began.
func nextFrame(wire []byte) (first byte, body, rest []byte) {
	first, length, at := wire[0], int(wire[1]), 2
	switch length {
	case 126:
		length, at = int(binary.BigEndian.Uint16(wire[2:])), 4
	case 127:
		length, at = int(binary.BigEndian.Uint64(wire[2:])), 10
	}
	return first, wire[at : at+length], wire[at+length:]
}

// appendPayload appends the packet in its polling form: text as it is, binary as 'b' and base64.
// A separator goes in front unless dst is empty.
func (p Packet) appendPayload(dst []byte) []byte {
	for wire := p.wire; len(wire) > 0; {
		var first byte
		var body []byte
		first, body, wire = nextFrame(wire)
		if len(dst) > 0 {
			dst = append(dst, separator)
		}
		if first == frameText {
			dst = append(dst, body...)
			continue
		}
		dst = base64.StdEncoding.AppendEncode(append(dst, 'b'), body)
	}
	return dst
}
