package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
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
// All else is for the caller of ReadFromAddrPort.
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
	fd     int
	poll   *os.File        // that instance
	wait   syscall.RawConn // of poll
	local  net.Addr
	v4     bool
	count  *counters
	routes *routes
	wake   chan struct{} // holds one token while the sender has something to do
	ended  chan struct{} // closed when the sender has ended

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

	out writeState // owned by who has set sending
}

// packet is one slot of the queue; its buffer is used again and again.
type packet struct {
	addr netip.AddrPort
	data []byte
}

// mmsghdr is the kernel's struct of that name (recvmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

type readState struct {
	headers [readBatch]mmsghdr
	vectors [readBatch]unix.Iovec
	names   [readBatch]unix.RawSockaddrInet6 // large enough for both families
	data    [readBatch][readSize]byte
	others  [readBatch]int // of the packets read, those without a route
	next, n int            // of the others, which come next
	errno   syscall.Errno
	call    func(fd uintptr) bool // made once: a closure per call would be an allocation per call
}

type writeState struct {
	headers [writeBatch]mmsghdr
	vectors [writeBatch]unix.Iovec
	names   [writeBatch]unix.RawSockaddrInet6
	n       int // headers to send
	sent    int
	errno   syscall.Errno
	call    func() bool // false: the kernel takes no more
}

// newSocket takes conn over, also when it fails. Close ends its goroutine.
func newSocket(conn *net.UDPConn, count *counters) (*socket, error) {
	local := conn.LocalAddr()
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
		local:  local,
		v4:     local.(*net.UDPAddr).IP.To4() != nil,
		count:  count,
		routes: newRoutes(),
		wake:   make(chan struct{}, 1),
		ended:  make(chan struct{}),
	}
	for i := range s.in.headers {
		s.in.vectors[i].Base = &s.in.data[i][0]
		s.in.vectors[i].SetLen(readSize)
		s.in.headers[i].hdr.Name = (*byte)(unsafe.Pointer(&s.in.names[i]))
		s.in.headers[i].hdr.Iov = &s.in.vectors[i]
		s.in.headers[i].hdr.SetIovlen(1)
	}
	for i := range s.out.headers {
		s.out.headers[i].hdr.Name = (*byte)(unsafe.Pointer(&s.out.names[i]))
		s.out.headers[i].hdr.Iov = &s.out.vectors[i]
		s.out.headers[i].hdr.SetIovlen(1)
	}
	s.in.call, s.out.call = s.recvmmsg, s.sendmmsg
	go s.send()
	return s, nil
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

// ReadFromAddrPort returns one packet of those that no route takes, and meanwhile hands the routes theirs.
// What does not fit into b is cut off, as with any UDP socket.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	if s.in.next == s.in.n {
		if err := s.fill(); err != nil {
			return 0, netip.AddrPort{}, err
		}
	}
	i := s.in.others[s.in.next]
	s.in.next++
	addr, _ := s.address(&s.in.names[i])
	return copy(b, s.in.data[i][:s.in.headers[i].len]), addr, nil
}

// fill reads until there is a packet for the caller.
func (s *socket) fill() error {
	s.in.next, s.in.n = 0, 0
	for s.in.n == 0 {
		if err := s.wait.Read(s.in.call); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.closing {
				return net.ErrClosed
			}
			return err
		}
		// The network may have an error for us at any time (ICMP); it concerns one peer, and reading goes on.
		if s.in.errno != 0 && s.in.errno != unix.EINTR && s.in.errno != unix.ECONNREFUSED {
			return os.NewSyscallError("recvmmsg", s.in.errno)
		}
	}
	return nil
}

// recvmmsg reads all that is there and gives the routes theirs. It is called by the poller until it returns true:
// when there is something for the caller, or an error. A batch that is not full has emptied the socket, so the
// poller waits at once, without another system call to see that.
func (s *socket) recvmmsg(uintptr) bool {
	for {
		for i := range s.in.headers {
			s.in.headers[i].hdr.Namelen = unix.SizeofSockaddrInet6
			s.in.headers[i].hdr.Flags = 0
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.in.headers[0])), readBatch, unix.MSG_DONTWAIT, 0, 0)
		s.in.errno = errno
		if errno != 0 {
			return errno != unix.EAGAIN
		}
		s.count.received.Add(uint64(n))
		s.count.reads.Add(1)
		s.hand(int(n))
		if s.in.n > 0 {
			return true
		}
		if n < readBatch {
			return false
		}
	}
}

// hand gives the packets of a batch to their routes and notes the others.
func (s *socket) hand(n int) {
	table := s.routes.table.Load()
	reading := false
	for i := range n {
		header := &s.in.headers[i]
		addr, ok := s.address(&s.in.names[i])
		if !ok || header.hdr.Flags&unix.MSG_TRUNC != 0 {
			s.count.truncated.Add(1)
			continue
		}
		packet := s.in.data[i][:header.len]
		if isMedia(packet) {
			if route := (*table)[addr]; route != nil {
				if !reading {
					reading = true
					s.setReading()
				}
				if route.receive(packet) {
					route.cameBy(s)
					s.count.direct.Add(1)
					continue
				}
			}
		}
		s.in.others[s.in.n] = i
		s.in.n++
	}
	if reading {
		s.flush()
	}
}

func (s *socket) setReading() {
	s.mu.Lock()
	s.reading = true
	s.mu.Unlock()
}

// flush sends what was written during a batch, as far as the kernel takes it at once.
func (s *socket) flush() {
	s.mu.Lock()
	s.reading = false
	batch := s.takeLocked()
	s.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	sent := s.sendAll(batch, false)
	s.mu.Lock()
	if sent < len(batch) {
		s.rest = batch[sent:]
		s.mu.Unlock()
		s.rouse()
		return
	}
	again := s.sentLocked(batch)
	s.mu.Unlock()
	if again {
		s.rouse()
	}
}

// takeLocked gives the queue to the caller, who is to send it; nothing if somebody is at it already.
func (s *socket) takeLocked() []packet {
	if s.sending || len(s.queue) == 0 {
		return nil
	}
	batch := s.queue
	s.queue, s.spare = s.spare[:0], nil
	s.sending = true
	return batch
}

// sentLocked takes the slots back; true: there is more to send.
func (s *socket) sentLocked(batch []packet) bool {
	s.spare = batch[:0]
	s.sending = false
	return len(s.queue) > 0 || s.closing
}

// WriteToAddrPort queues a packet. It never blocks; an error means that the socket is closed or the
// address of the wrong family. A packet that finds the queue full is dropped like one that the network lost.
func (s *socket) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if addr.Addr().Unmap().Is4() != s.v4 {
		return 0, &net.OpError{Op: "write", Net: "udp", Source: s.LocalAddr(), Addr: net.UDPAddrFromAddrPort(addr), Err: unix.EAFNOSUPPORT}
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return 0, net.ErrClosed
	}
	n := len(s.queue)
	if n == queueLimit {
		s.mu.Unlock()
		s.count.dropped.Add(1)
		return len(b), nil
	}
	if n < cap(s.queue) {
		s.queue = s.queue[:n+1] // with the slot's old buffer
	} else {
		s.queue = append(s.queue, packet{})
	}
	slot := &s.queue[n]
	slot.addr = addr
	slot.data = append(slot.data[:0], b...)
	rouse := n == 0 && !s.reading && !s.sending
	s.mu.Unlock()
	if rouse {
		s.rouse()
	}
	return len(b), nil
}

func (s *socket) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// send hands to the kernel what the reader leaves over and what others write, until the socket closes.
func (s *socket) send() {
	defer close(s.ended)
	for range s.wake {
		// Let those who are about to write do it first.
		runtime.Gosched()
		for {
			s.mu.Lock()
			batch := s.rest
			s.rest = nil
			if batch == nil {
				batch = s.takeLocked()
			}
			// While the reader sends, it is the reader who says when to look again.
			last := s.closing && !s.sending
			s.mu.Unlock()
			if last {
				return
			}
			if len(batch) == 0 {
				break
			}
			s.sendAll(batch, true)
			s.mu.Lock()
			again := s.sentLocked(batch)
			s.mu.Unlock()
			if !again {
				break
			}
		}
	}
}

// sendAll sends packets and returns how many are done with; all, if it may block.
func (s *socket) sendAll(packets []packet, block bool) (done int) {
	for done < len(packets) {
		n := min(len(packets)-done, writeBatch)
		sent := s.sendBatch(packets[done:done+n], block)
		done += sent
		if sent < n {
			break
		}
	}
	return done
}

func (s *socket) sendBatch(packets []packet, block bool) (done int) {
	for i := range packets {
		s.out.vectors[i].Base = unsafe.SliceData(packets[i].data)
		s.out.vectors[i].SetLen(len(packets[i].data))
		s.out.headers[i].hdr.Namelen = s.setAddress(&s.out.names[i], packets[i].addr)
	}
	s.out.sent, s.out.n = 0, len(packets)
	for s.out.sent < s.out.n {
		begin := s.out.sent
		s.out.errno = 0
		if !s.out.call() {
			if !block {
				break
			}
			if s.late() {
				s.count.dropped.Add(uint64(s.out.n - s.out.sent))
				return len(packets)
			}
			time.Sleep(sendRetry)
			continue
		}
		s.count.sent.Add(uint64(s.out.sent - begin))
		s.count.writes.Add(1)
		if s.out.errno != 0 && s.out.errno != unix.EINTR {
			// It concerns the first packet not sent (no route, not permitted, too large): on with the next.
			s.count.failed.Add(1)
			s.out.sent++
		}
	}
	return s.out.sent
}

// late reports whether a closing socket waits no longer.
func (s *socket) late() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing && time.Now().After(s.giveUp)
}

func (s *socket) sendmmsg() bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.out.headers[s.out.sent])),
		uintptr(s.out.n-s.out.sent), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		s.out.sent += int(n)
	case unix.EAGAIN:
		return false
	default:
		s.out.errno = errno
	}
	return true
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

// ReadFrom is ReadFromAddrPort for those who need a net.Addr.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := s.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(addr), nil
}

// WriteTo is WriteToAddrPort for those who have a net.Addr.
func (s *socket) WriteTo(b []byte, addr net.Addr) (int, error) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, errors.New("not a UDP address: " + addr.String())
	}
	return s.WriteToAddrPort(b, udp.AddrPort())
}

func (s *socket) LocalAddr() net.Addr { return s.local }

// SetDeadline sets the deadline of reads.
func (s *socket) SetDeadline(t time.Time) error { return s.poll.SetReadDeadline(t) }

// SetReadDeadline sets the deadline of reads.
func (s *socket) SetReadDeadline(t time.Time) error { return s.poll.SetReadDeadline(t) }

// SetWriteDeadline does nothing: a write never blocks.
func (*socket) SetWriteDeadline(time.Time) error { return nil }

// Close sends what waits, for at most closeTime, and ends the socket and its goroutine. It is idempotent. It must
// not be called by a route's function.
func (s *socket) Close() error {
	s.mu.Lock()
	first := !s.closing
	s.closing, s.giveUp = true, time.Now().Add(closeTime)
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
