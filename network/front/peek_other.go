//go:build !linux

package front

import "net"

// peek waits until the kind of a connection is known, and returns a connection that begins anew.
func peek(conn net.Conn) (kind, net.Conn, error) {
	found, read, err := peekRead(conn)
	return found, &replayed{conn, read}, err
}

// replayed is a connection that begins with bytes that were read already. At most one goroutine may read from it at a time.
type replayed struct {
	net.Conn
	replay
}

func (c *replayed) Read(p []byte) (int, error) {
	if n := c.replay.read(p); n > 0 {
		return n, nil
	}
	return c.Conn.Read(p)
}
