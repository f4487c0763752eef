//go:build !linux

package network

import (
	"net"
	"net/netip"
)

// hasRoutes says whether the reader of a socket knows routes.
const hasRoutes = false

// socket is a plain UDP socket: only Linux hands over many packets in one call. Its routes get nothing.
type socket struct {
	conn *net.UDPConn
	common
}

// buffersOf can't tell: each system has its own way to count.
func buffersOf(*net.UDPConn) Buffers { return Buffers{} }

func newSocket(conn *net.UDPConn, count *counters) (*socket, error) {
	return &socket{conn: conn, common: newCommon(localOf(conn), count, conn.SetReadDeadline)}, nil
}

// ReadFromAddrPort returns one packet of those that no TURN server takes, and that are neither answers to the port's own
// questions nor questions of strangers.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		if n, from, ok := s.inside.queue.TryTake(b); ok {
			return n, from, nil
		}
		n, from, err := s.conn.ReadFromUDPAddrPort(b)
		switch {
		case err == nil:
			from = plainAddr(from)
			if !isMedia(b[:n]) && (s.toTURN(b[:n], from) || s.asked.take(b[:n], from) || s.answer(b[:n], from)) {
				continue
			}
			return n, from, nil
		case !s.inside.woke(err):
			return 0, netip.AddrPort{}, err
		}
	}
}

// write sends one packet to the network.
func (s *socket) write(b []byte, addr netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, addr)
	return err
}

func (s *socket) Close() error { return s.conn.Close() }
