package network

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"time"

	"skillsage/network/internal/packets"
)

// turnLimit bounds the packets that wait for the TURN server on one socket: a fifth of a second of 30 Mbit/s. It is the only
// reader, and its clients share it.
const turnLimit = 512

// TURN returns a connection for each of Addresses, in their order, that brings what is for a TURN server (RFC 8656) and
// for a plain STUN server on the port, until it is closed; ICE gets all else. Writes do not block. Deadlines are not
// supported. It is called once.
func (p *Port) TURN() []net.PacketConn {
	conns := make([]net.PacketConn, len(p.sockets))
	for i, s := range p.sockets {
		c := &turnConn{socket: s, queue: packets.NewQueue(turnLimit, 0, &s.count.overrun)}
		s.turn.Store(c)
		conns[i] = c
	}
	return conns
}

// turnConn is the TURN server's part of a socket.
type turnConn struct {
	socket *socket
	queue  *packets.Queue
}

// toTURN hands a packet that is no media to the TURN server; false: it is not for that one, or there is none.
func (s *socket) toTURN(packet []byte, from netip.AddrPort) bool {
	turn := s.turn.Load()
	if turn == nil || !isTURN(packet) {
		return false
	}
	s.count.turn.Add(1)
	turn.queue.Put(packet, from)
	return true
}

func (c *turnConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.queue.Take(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo goes to the network alone: no client of the TURN server is a virtual peer.
func (c *turnConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError(addr.String())
	}
	if err := c.socket.write(b, udp.AddrPort()); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *turnConn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// Close gives the packets back to ICE. It is idempotent.
func (c *turnConn) Close() error {
	c.socket.turn.CompareAndSwap(c, nil)
	c.queue.Close()
	return nil
}

func (*turnConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (*turnConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (*turnConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// Of the format of STUN (RFC 8489 sections 5 and 14) and TURN (RFC 8656).
const (
	bindingRequest    = 0x0001
	bindingIndication = 0x0011
	bindingSuccess    = 0x0101
	bindingError      = 0x0111

	attributeUsername = 0x0006

	// Channel numbers are 0x4000 to 0x4FFF.
	firstChannel, lastChannel = 0x40, 0x4F
)

// isTURN tells what is for a TURN server from what is for ICE agents, of packets that are no media: ChannelData (RFC 7983
// section 7) and the methods of TURN. The requests of an agent have its user name (RFC 8445 section 7.2.2); those without
// ask a STUN server for their own address.
func isTURN(packet []byte) bool {
	switch {
	case len(packet) >= 4 && packet[0] >= firstChannel && packet[0] <= lastChannel:
		return true
	case len(packet) < stunHeader || packet[0] > 0x3F || binary.BigEndian.Uint32(packet[4:]) != stunCookie:
		return false
	}
	switch binary.BigEndian.Uint16(packet) {
	case bindingRequest:
		return !hasAttribute(packet, attributeUsername)
	case bindingIndication, bindingSuccess, bindingError:
		return false
	}
	return true
}

// hasAttribute looks for an attribute in a STUN message.
func hasAttribute(message []byte, kind uint16) bool {
	for rest := message[stunHeader:]; len(rest) >= 4; {
		if binary.BigEndian.Uint16(rest) == kind {
			return true
		}
		size := 4 + (int(binary.BigEndian.Uint16(rest[2:]))+3)&^3
		if size > len(rest) {
			break
		}
		rest = rest[size:]
	}
	return false
}
