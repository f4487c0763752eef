package front

import (
	"io"
	"net"
)

// Chromium and all of libwebrtc reach a candidate of the protocol "ssltcp" through an imitation of SSL, for firewalls that
// want to see one: a client hello of SSL 2, a server hello of TLS 1.0, and then plain ICE-TCP. Nothing is
// negotiated or encrypted. Both messages are constants of the protocol, and the client compares every byte (libwebrtc's
// rtc_base/socket_adapters.cc, Chromium's components/webrtc/fake_ssl_client_socket.cc).

// sslHello is how the client's begins: a length of 70, client hello, version 3.1. No SSL 2 is spoken any more.
var sslHello = []byte{0x80, 0x46, 0x01, 0x03, 0x01}

// sslHelloLength is the size of the client's message in bytes, with the two of its length.
const sslHelloLength = 72

// sslAnswer is the server's: a handshake record with a server hello and no certificate.
var sslAnswer = []byte{
	0x16, 0x03, 0x01, 0x00, 0x4a, // record: handshake, version 3.1, 74 bytes
	0x02, 0x00, 0x00, 0x46, 0x03, 0x01, // server hello, 70 bytes, version 3.1
	0x42, 0x85, 0x45, 0xa7, 0x27, 0xa9, 0x5d, 0xa0, 0xb3, 0xc5, 0xe7, 0x53, 0xda, 0x48, 0x2b, 0x3f, // random
	0xc6, 0x5a, 0xca, 0x89, 0xc1, 0x58, 0x52, 0xa1, 0x78, 0x3c, 0x5b, 0x17, 0x46, 0x00, 0x85, 0x3f,
	0x20, // session id
	0x0e, 0xd3, 0x06, 0x72, 0x5b, 0x5b, 0x1b, 0x5f, 0x15, 0xac, 0x13, 0xf9, 0x88, 0x53, 0x9d, 0x9b,
	0xe8, 0x3d, 0x7b, 0x0c, 0x30, 0x32, 0x6e, 0x38, 0x4d, 0xa2, 0x75, 0x57, 0x41, 0x6c, 0x34, 0x5c,
	0x00, 0x04, 0x00, // RC4-128 with MD5, no compression
}

// answerSSL takes the client's hello off a connection that begins with one and answers it.
func answerSSL(conn net.Conn) error {
	var hello [sslHelloLength]byte
	if _, err := io.ReadFull(conn, hello[:]); err != nil {
		return err
	}
	_, err := conn.Write(sslAnswer)
	return err
}
