package network

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// common is what a socket has on every system. All of it is safe for concurrent use.
type common struct {
	addr     netip.AddrPort // static; the socket's own
	count    *counters      // static
	routes   table[route]
	virtuals table[Virtual]
	inside   *inside
	turn     atomic.Pointer[turnConn] // nil: no TURN server has asked for its packets
	asked    transactions
	limit    *rate.Limiter // of answers to strangers
}

// newCommon is given the function that sets the read deadline of the socket's descriptor.
func newCommon(addr netip.AddrPort, count *counters, setDeadline func(time.Time) error) common {
	return common{addr: addr, count: count, inside: newInside(setDeadline, &count.overrun), limit: newBindingLimit()}
}

func localOf(conn *net.UDPConn) netip.AddrPort {
	return plainAddr(conn.LocalAddr().(*net.UDPAddr).AddrPort())
}

// plainAddr writes an IPv4 address as one, where it is mapped into IPv6.
func plainAddr(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// WriteToAddrPort sends a packet, to the network or to a Virtual peer. It copies the packet and does not block; an
// error means that the socket is closed or the address of the wrong family.
func (s *socket) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if s.virtuals.any() {
		if v := s.virtuals.get(plainAddr(addr)); v != nil {
			v.receive(b, s.addr)
			return len(b), nil
		}
	}
	if err := s.write(b, addr); err != nil {
		return 0, err
	}
	return len(b), nil
}

// WriteTo is WriteToAddrPort for those who have a net.Addr.
func (s *socket) WriteTo(b []byte, addr net.Addr) (int, error) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, errors.New("not a UDP address: " + addr.String())
	}
	return s.WriteToAddrPort(b, udp.AddrPort())
}

// ReadFrom is ReadFromAddrPort for those who need a net.Addr.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := s.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(addr), nil
}

func (s *socket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.addr) }

// SetDeadline sets the deadline of reads.
func (s *socket) SetDeadline(t time.Time) error { return s.inside.setDeadline(t) }

// SetReadDeadline sets the deadline of reads.
func (s *socket) SetReadDeadline(t time.Time) error { return s.inside.setDeadline(t) }

// SetWriteDeadline does nothing: a write never blocks.
func (*socket) SetWriteDeadline(time.Time) error { return nil }
