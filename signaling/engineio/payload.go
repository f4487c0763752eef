package engineio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"sync"
	"unicode/utf8"
)

// What can be wrong with a packet from a client. The texts are shown to it.
var (
	errNoPacket    = errors.New("empty packet")
	errUnknownType = errors.New("unknown packet type")
	errClientPing  = errors.New("ping from a client")
	errNotUTF8     = errors.New("text is not valid UTF-8")
	errBase64      = errors.New("invalid base64")
)

// errGoodbye is returned for a close packet.
var errGoodbye = errors.New("close packet")

// splitPayload splits the first packet off a polling payload. Payloads are split as they are acted upon: 1 MB may
// be half a million packets.
func splitPayload(payload []byte) (packet, rest []byte, more bool) {
	if i := bytes.IndexByte(payload, separator); i >= 0 {
		return payload[:i], payload[i+1:], true
	}
	return payload, nil, false
}

// receiveText acts on one text packet, on either transport.
func (s *Session) receiveText(packet []byte) error {
	s.heard()
	if len(packet) == 0 {
		return errNoPacket
	}
	body := packet[1:]
	switch packet[0] {
	case typeMessage:
		if !utf8.Valid(body) {
			return errNotUTF8
		}
		s.deliver(body, false)
	case typePong:
		s.pong()
	case typeClose:
		return errGoodbye
	case typePing:
		return errClientPing
	case typeOpen, typeUpgrade, typeNoop:
		// Without a meaning from a client on an open session; the reference server ignores them.
	case 'b':
		buf := getBuffer()
		defer putBuffer(buf)
		var err error
		if *buf, err = base64.StdEncoding.AppendDecode((*buf)[:0], body); err != nil {
			return errBase64
		}
		s.deliver(*buf, true)
	default:
		return errUnknownType
	}
	return nil
}

// buffers hold incoming messages while they are acted upon.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// maxPooled keeps single large messages from pinning memory, in bytes.
const maxPooled = 64 << 10

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		buffers.Put(b)
	}
}
