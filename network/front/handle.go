package front

import (
	"crypto/tls"
	"net"
	"time"
)

// Names of protocols in TLS (ALPN). HTTP/2 is not among them: WebSocket needs HTTP/1.1.
const (
	alpnHTTP = "http/1.1"
	alpnTURN = "stun.turn"  // RFC 7443, for those who send it
	alpnACME = "acme-tls/1" // RFC 8737, if the TLS options offer it
)

// handle tells what conn is and hands it on, or closes it.
func (f *Front) handle(conn net.Conn) {
	p, told, err := f.tell(conn)
	if err == nil {
		err = f.deliver(p, told)
	}
	if err != nil {
		f.refuse(conn, err)
		return
	}
	f.count.delivered[p].Add(1)
}

func (f *Front) refuse(conn net.Conn, err error) {
	_ = conn.Close()
	reason := reasonOf(err)
	f.count.closed[reason].Add(1)
	f.log.Debug("connection closed", "remote", conn.RemoteAddr(), "reason", reasons[reason], "error", err)
}

// patience is how long one stage may take now.
func (f *Front) patience() time.Duration {
	if f.pending.len() > f.pending.max/2 {
		return f.timeout / 4
	}
	return f.timeout
}

// begin sets the deadline of a stage.
func (f *Front) begin(conn net.Conn) error { return conn.SetDeadline(time.Now().Add(f.patience())) }

func (f *Front) deliver(p protocol, conn net.Conn) error {
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	switch p {
	case protocolHTTP, protocolHTTPS:
		return f.http.give(conn, f.patience())
	case protocolICE, protocolSSLTCP:
		return f.ice.give(conn, f.patience())
	case protocolTURN, protocolTURNS:
		return f.turn.give(conn, f.patience())
	default: // protocolACME: the handshake was all
		return conn.Close()
	}
}

// tell finds out what conn carries, and returns the connection for whoever speaks that.
func (f *Front) tell(conn net.Conn) (protocol, net.Conn, error) {
	if err := f.begin(conn); err != nil {
		return 0, nil, err
	}
	kind, conn, err := peek(conn)
	if err != nil {
		return 0, nil, err
	}
	switch kind {
	case kindHTTP:
		return protocolHTTP, conn, nil
	case kindSTUN:
		return protocolTURN, conn, nil
	case kindFramed:
		return protocolICE, conn, nil
	case kindFakeTLS:
		return f.tellSSL(conn)
	case kindTLS:
		if f.tls == nil {
			return 0, nil, refused(reasonNoTLS)
		}
		return f.tellTLS(conn)
	}
	return 0, nil, refused(reasonUnknown)
}

// tellSSL plays the server of libwebrtc's imitation, behind which ICE-TCP comes.
func (f *Front) tellSSL(conn net.Conn) (protocol, net.Conn, error) {
	if err := answerSSL(conn); err != nil {
		return 0, nil, err
	}
	if err := f.begin(conn); err != nil {
		return 0, nil, err
	}
	kind, conn, err := peek(conn)
	if err == nil && kind != kindFramed {
		err = refused(reasonUnknown)
	}
	return protocolSSLTCP, conn, err
}

// tellTLS makes the handshake and looks inside. The name that was negotiated decides nothing: a TURN client need not send one,
// and what a TLS stack offers by itself need not be what its user speaks.
func (f *Front) tellTLS(conn net.Conn) (protocol, net.Conn, error) {
	if err := f.begin(conn); err != nil {
		return 0, nil, err
	}
	inside := tls.Server(conn, f.tls)
	if err := inside.Handshake(); err != nil {
		return 0, nil, &refusal{reasonTLS, err}
	}
	if inside.ConnectionState().NegotiatedProtocol == alpnACME {
		return protocolACME, inside, nil
	}
	if err := f.begin(conn); err != nil {
		return 0, nil, err
	}
	kind, read, err := peekRead(inside)
	if err != nil {
		return 0, nil, err
	}
	told := &tlsConn{inside, read}
	switch kind {
	case kindHTTP:
		return protocolHTTPS, told, nil
	case kindSTUN:
		return protocolTURNS, told, nil
	}
	return 0, nil, refused(reasonUnknown)
}

// tlsConn is a TLS connection that begins with clear text that was read already. At most one goroutine may read from it
// at a time.
type tlsConn struct {
	*tls.Conn
	replay
}

func (c *tlsConn) Read(p []byte) (int, error) {
	if n := c.replay.read(p); n > 0 {
		return n, nil
	}
	return c.Conn.Read(p)
}
