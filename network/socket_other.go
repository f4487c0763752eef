//go:build !linux

package network

import (
	"net"
	"net/netip"

	"golang.org/x/time/rate"
)

// hasRoutes says whether the reader of a socket knows routes.
const hasRoutes = false

// socket is a plain UDP socket: only Linux hands over many packets in one call. Its routes get nothing.
type socket struct {
	*net.UDPConn
	routes *routes
	asked  transactions
	limit  *rate.Limiter // of answers to strangers
}

// buffersOf can't tell: each system has its own way to count.
func buffersOf(*net.UDPConn) Buffers { return Buffers{} }

func newSocket(conn *net.UDPConn, _ *counters) (*socket, error) {
	return &socket{UDPConn: conn, routes: newRoutes(), limit: newBindingLimit()}, nil
}

// WriteToAddrPort sends one packet.
func (s *socket) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return s.WriteToUDPAddrPort(b, addr)
}

// ReadFromAddrPort returns one packet of those that are neither answers to the port's own questions nor questions of strangers.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, addr, err := s.ReadFromUDPAddrPort(b)
		if err == nil && (s.asked.take(b[:n], addr) || s.answer(b[:n], addr)) {
			continue
		}
		return n, addr, err
	}
}
