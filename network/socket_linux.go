package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hasRoutes says whether the reader of a socket knows routes.
const hasRoutes = true

const (
	readBatch  = 32   // packets per recvmmsg
	readSize   = 2048 // bytes; WebRTC stays below 1500, what is larger is dropped
	writeBatch = 64   // packets per sendmmsg
	// queueLimit bounds the packets that wait while the kernel takes no more: 50 ms of 20,000 packets
	// a second. Older ones would be of no use to a call.
	queueLimit = 1024
	// closeTime is how long Close may take to hand over what still waits: the goodbyes of DTLS.
	closeTime = 100 * time.Millisecond
	// sendRetry is how long the sender waits for the kernel to take more.
	sendRetry = time.Millisecond
)

// socket is a UDP socket that takes and hands over many packets with one system call. System calls are
// most of what forwarding costs.
//
// Media of a peer that has a route is handed to it by the reader itself: from the system call that
// brings a packet in to the one that takes it to its viewers there is no queue and no other goroutine.
// What is a TURN server's goes to that one's queue. All else is for the caller of ReadFromAddrPort.
//
// A write only copies the packet into a queue and never blocks. What the routes write while a batch is read
// leaves with sendmmsg(2) at the end of it; what others write is sent by a goroutine of its own, when
// those who fill the queue have had their turn. When the kernel takes no more, packets are dropped and
// counted: a blocked write would stall every connection on the port, their consent checks included
// (pion/ice#971).
//
// The socket is not in the runtime's poller, which asks for events of both directions: every packet that has left
// would wake the reader to tell it that there is room again. An epoll instance for reading only stands
// there in its place.
type socket struct {
	// Static.
	fd    int
	poll  *os.File        // that instance
	wait  syscall.RawConn // of poll
	v4    bool
	wake  chan struct{} // holds one token while the sender has something to do
	ended chan struct{} // closed when the sender has ended
	common

	readMu sync.Mutex
	in     readState // guarded by readMu

	mu      sync.Mutex // guards the rest up to the next comment
	queue   []packet   // filled by writers
	spare   []packet   // the other one
	reading bool       // the reader is at a batch, and sends the queue after it
	sending bool       // somebody sends, and looks at the queue again afterwards
	rest    []packet   // what the reader could not send, for the sender; sending is set
	closing bool
	giveUp  time.Time // when closing: the sender waits no longer

	// Owned by who has set sending.
	out     writeState
	segment bool // the kernel cuts messages into packets
	whole   bool // the kernel may not cut packets into fragments
}

// mmsghdr is the kernel's struct of that name (recvmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// newSocket takes conn over, also when it fails. Close ends its goroutine.
func newSocket(conn *net.UDPConn, count *counters) (*socket, error) {
	local := localOf(conn)
	fd, err := takeOver(conn)
	if err != nil {
		return nil, err
	}
	poll, err := pollReads(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	wait, err := poll.SyscallConn()
	if err != nil {
		_ = poll.Close()
		_ = unix.Close(fd)
		return nil, err
	}
	s := &socket{
		fd:     fd,
		poll:   poll,
		wait:   wait,
		v4:     local.Addr().Is4(),
		wake:   make(chan struct{}, 1),
		ended:  make(chan struct{}),
		common: newCommon(local, count, poll.SetReadDeadline),
	}
	for i := range s.in.headers {
		s.in.vectors[i].Base = &s.in.data[i][0]
		s.in.vectors[i].SetLen(readSize)
		s.in.headers[i].hdr.Name = (*byte)(unsafe.Pointer(&s.in.names[i]))
		s.in.headers[i].hdr.Iov = &s.in.vectors[i]
		s.in.headers[i].hdr.SetIovlen(1)
	}
	s.out.init()
	s.segment = true
	s.wholePackets(true)
	s.in.call, s.out.call = s.recvmmsg, s.sendmmsg
	go s.send()
	return s, nil
}

// buffersOf asks what the kernel has granted. It doubles what it is asked for, for its own use (socket(7)).
func buffersOf(conn *net.UDPConn) (granted Buffers) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return granted
	}
	_ = raw.Control(func(fd uintptr) {
		receive, errR := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		send, errS := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		if errR == nil && errS == nil {
			granted = Buffers{receive / 2, send / 2}
		}
	})
	return granted
}

// takeOver gets the descriptor of a socket out of the runtime's hands, and closes conn.
func takeOver(conn *net.UDPConn) (int, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var failed error
	if err := raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return 0, err
	}
	return fd, os.NewSyscallError("fcntl", failed)
}

// pollReads makes a file that is readable while the socket is.
func pollReads(fd int) (*os.File, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	if err == nil {
		err = unix.SetNonblock(epoll, true) // for the runtime a file that it can wait for
	}
	if err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return os.NewFile(uintptr(epoll), "udp"), nil
}

// setAddress writes the kernel's form of addr and returns its length.
func (s *socket) setAddress(name *unix.RawSockaddrInet6, addr netip.AddrPort) uint32 {
	if s.v4 {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		v4.Family = unix.AF_INET
		v4.Port = bigEndian(addr.Port())
		v4.Addr = addr.Addr().Unmap().As4()
		return unix.SizeofSockaddrInet4
	}
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: bigEndian(addr.Port()), Addr: addr.Addr().As16()}
	if zone := addr.Addr().Zone(); zone != "" {
		name.Scope_id = scope(zone)
	}
	return unix.SizeofSockaddrInet6
}

// scope is the number of the interface that a link-local address belongs to; 0 if there is none of that name.
func scope(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if iface, err := net.InterfaceByName(zone); err == nil {
		return uint32(iface.Index)
	}
	return 0
}

func (s *socket) address(name *unix.RawSockaddrInet6) (netip.AddrPort, bool) {
	switch name.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), bigEndian(v4.Port)), true
	case unix.AF_INET6:
		addr := netip.AddrFrom16(name.Addr)
		if name.Scope_id != 0 {
			addr = addr.WithZone(strconv.Itoa(int(name.Scope_id)))
		}
		return netip.AddrPortFrom(addr, bigEndian(name.Port)), true
	}
	return netip.AddrPort{}, false
}

// bigEndian turns a port from the network's order of bytes into the machine's, or back.
func bigEndian(port uint16) uint16 {
	p := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(p[0])<<8 | uint16(p[1])
}

// Close sends what waits, for at most closeTime, and ends the socket and its goroutine. It is idempotent. It must
// not be called by a route's function.
func (s *socket) Close() error {
	s.mu.Lock()
	first := !s.closing
	if first {
		s.closing, s.giveUp = true, time.Now().Add(closeTime)
	}
	s.mu.Unlock()
	if !first {
		<-s.ended
		return nil
	}
	s.rouse()
	<-s.ended
	err := s.poll.Close() // wakes the reader, and waits until it is out
	s.readMu.Lock()
	defer s.readMu.Unlock()
	return errors.Join(err, os.NewSyscallError("close", unix.Close(s.fd)))
}
