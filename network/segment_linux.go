package network

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Packets of one size for one address leave as segments of one message (UDP_SEGMENT, udp(7)): the kernel's way from the
// system call to the network card, which is most of what forwarding costs, is gone once for all of them. On the wire
// they are packets like any others.

const (
	maxSegments     = 64    // of a message, the kernel's limit
	maxMessageBytes = 60000 // of payload; a datagram's limit is 65,507
	slotsOfTable    = 2 * writeBatch
)

// messages are the packets of a batch as sendmmsg takes them. Owned by who has set socket.sending.
type messages struct {
	headers  [writeBatch]mmsghdr
	vectors  [writeBatch]unix.Iovec // of each packet
	names    [writeBatch]unix.RawSockaddrInet6
	controls [writeBatch]segmentSize
	n        int                 // messages
	first    [writeBatch + 1]int // packet of each message; of the one after the last: the number of packets

	// For group.
	table  [slotsOfTable]uint8 // by address: the latest message for it, plus 1
	of     [writeBatch]uint8   // message of each packet
	open   [writeBatch]run
	sorted [writeBatch]packet
}

// run is a message that packets are still added to.
type run struct {
	addr    netip.AddrPort
	size    int // of all packets but the last
	packets int
	bytes   int
	ended   bool // the last packet was shorter
}

// segmentSize is the control message (cmsg(3)) that says where the kernel cuts a message into packets.
type segmentSize struct {
	header unix.Cmsghdr
	size   uint16
	_      [6]byte
}

func (m *messages) init() {
	for i := range m.headers {
		m.headers[i].hdr.Name = (*byte)(unsafe.Pointer(&m.names[i]))
		c := &m.controls[i]
		c.header.Level, c.header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.header.SetLen(unix.CmsgLen(int(unsafe.Sizeof(c.size))))
	}
}

// put makes messages of packets, at most writeBatch. It may change their order, though not that of packets for one address.
func (m *messages) put(s *socket, packets []packet, segment bool) {
	m.n = len(packets)
	if !segment || !m.group(packets) {
		for i := range m.n + 1 {
			m.first[i] = i
		}
	}
	for i := range packets {
		m.vectors[i].Base = unsafe.SliceData(packets[i].data)
		m.vectors[i].SetLen(len(packets[i].data))
	}
	for i := range m.n {
		first, header := m.first[i], &m.headers[i].hdr
		header.Namelen = s.setAddress(&m.names[i], packets[first].addr)
		header.Iov = &m.vectors[first]
		header.SetIovlen(m.packets(i))
		header.Control = nil
		header.SetControllen(0)
		if m.packets(i) > 1 {
			m.controls[i].size = uint16(len(packets[first].data))
			header.Control = (*byte)(unsafe.Pointer(&m.controls[i]))
			header.SetControllen(unix.CmsgSpace(int(unsafe.Sizeof(m.controls[i].size))))
		}
	}
}

// packets is how many message i holds.
func (m *messages) packets(i int) int { return m.first[i+1] - m.first[i] }

// group sorts packets by messages and reports whether any holds more than one.
func (m *messages) group(packets []packet) bool {
	m.table = [slotsOfTable]uint8{}
	m.n = 0
	for i := range packets {
		m.of[i] = uint8(m.place(&packets[i]))
	}
	if m.n == len(packets) {
		return false
	}
	at := 0
	for i := range m.n {
		m.first[i] = at
		at += m.open[i].packets
	}
	m.first[m.n] = at
	next := m.first // a copy
	for i := range packets {
		to := &next[m.of[i]]
		m.sorted[*to] = packets[i]
		*to++
	}
	copy(packets, m.sorted[:])
	return true
}

// place finds the message for a packet: the latest one for its address, if it fits there, else a new one.
func (m *messages) place(p *packet) int {
	size := len(p.data)
	slot := &m.table[slotOf(p.addr)]
	if *slot != 0 {
		i := int(*slot) - 1
		r := &m.open[i]
		if r.addr == p.addr && !r.ended && 0 < size && size <= r.size && r.packets < maxSegments && r.bytes+size <= maxMessageBytes {
			r.packets++
			r.bytes += size
			r.ended = size < r.size
			return i
		}
	}
	m.open[m.n] = run{addr: p.addr, size: size, packets: 1, bytes: size}
	*slot = uint8(m.n + 1)
	m.n++
	return m.n - 1
}

// slotOf spreads addresses over the table. Where two share a slot, the first one's message gets no more packets.
func slotOf(addr netip.AddrPort) uint32 {
	ip := addr.Addr().As16()
	return (binary.LittleEndian.Uint32(ip[12:])*31 + uint32(addr.Port())*2654435761>>16) % slotsOfTable
}

// refused deals with a message that the kernel does not take. What several packets could not do together, for want of a
// checksum in hardware or for a path with a smaller MTU, each may do alone.
func (s *socket) refused(i int, errno syscall.Errno) {
	if s.out.packets(i) == 1 && !(errno == unix.EMSGSIZE && s.whole) {
		s.count.failed.Add(1) // no route, not permitted, too large
		return
	}
	if errno == unix.EIO {
		s.segment = false
	}
	for v := s.out.first[i]; v < s.out.first[i+1]; v++ {
		errno := s.sendSingly(v, i)
		if errno == unix.EMSGSIZE && s.whole {
			s.wholePackets(false)
			errno = s.sendSingly(v, i)
		}
		switch errno {
		case 0:
			s.count.sent.Add(1)
		case unix.EAGAIN:
			s.count.dropped.Add(1)
		default:
			s.count.failed.Add(1)
		}
	}
}

// sendSingly sends packet v, of message i.
func (s *socket) sendSingly(v, i int) syscall.Errno {
	m := &s.out.messages
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(m.vectors[v].Base)), uintptr(m.vectors[v].Len),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&m.names[i])), uintptr(m.headers[i].hdr.Namelen))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// wholePackets forbids the kernel to cut packets into fragments, and gives it leave again when there is a path that
// needs it. Without leave it has no need to number them (RFC 6864), from counters that the whole machine shares.
func (s *socket) wholePackets(whole bool) {
	s.whole = false
	if !s.v4 {
		return // IPv6 has no such numbers
	}
	how := unix.IP_PMTUDISC_WANT
	if whole {
		how = unix.IP_PMTUDISC_DO
	}
	s.whole = unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, how) == nil && whole
}
