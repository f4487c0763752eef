package front

import (
	"bytes"
	"encoding/binary"
)

// kind is what the first bytes of a stream show.
type kind int

const (
	undecided kind = iota // more bytes are needed
	unknown
	kindTLS
	kindHTTP
	kindSTUN    // as TURN clients send it over TCP (RFC 8656)
	kindFramed  // STUN in the framing of RFC 4571, as ICE over TCP begins (RFC 6544)
	kindFakeTLS // libwebrtc's imitation of an SSL handshake, see sslHello
)

// sniffLength is the number of bytes that always suffice.
const sniffLength = 10

const (
	tlsHandshake = 0x16 // the type of a TLS record, RFC 8446 section 5.1
	stunHeader   = 20   // bytes, RFC 8489 section 5
	// maxFrame bounds the first frame of an ICE-TCP connection in bytes. Connectivity checks have some hundred.
	maxFrame = 0x0fff
)

var stunCookie = []byte{0x21, 0x12, 0xa4, 0x42}

// sniff tells what a stream carries from its beginning. ChannelData (RFC 8656 section 12.4) is not among it: it needs an
// allocation, and a new connection has none.
func sniff(b []byte) kind {
	switch {
	case len(b) == 0:
		return undecided
	case b[0] == tlsHandshake:
		return kindTLS
	case 'A' <= b[0] && b[0] <= 'Z':
		return kindHTTP
	case bytes.HasPrefix(b, sslHello):
		return kindFakeTLS
	case bytes.HasPrefix(sslHello, b):
		return undecided
	}
	plain := sniffSTUN(b)
	if plain == kindSTUN {
		return kindSTUN
	}
	if framed := sniffFrame(b); framed != unknown {
		return framed
	}
	return plain
}

// sniffFrame looks for a frame that holds one STUN message and nothing else.
func sniffFrame(b []byte) kind {
	switch {
	case b[0] > maxFrame>>8:
		return unknown
	case len(b) < 2:
		return undecided
	}
	size := int(binary.BigEndian.Uint16(b))
	if size < stunHeader || len(b) >= 6 && size != stunHeader+int(binary.BigEndian.Uint16(b[4:])) {
		return unknown
	}
	found := sniffSTUN(b[2:])
	if found == kindSTUN {
		return kindFramed
	}
	return found
}

// sniffSTUN looks for the header of a STUN message: two zero bits, a length in units of four bytes, the magic cookie.
func sniffSTUN(b []byte) kind {
	switch {
	case len(b) >= 1 && b[0]&0xc0 != 0, len(b) >= 4 && b[3]&3 != 0:
		return unknown
	case len(b) < 4:
		return undecided
	}
	cookie := b[4:min(len(b), 8)]
	switch {
	case !bytes.HasPrefix(stunCookie, cookie):
		return unknown
	case len(cookie) < len(stunCookie):
		return undecided
	}
	return kindSTUN
}
