package network

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// ReadFromAddrPort returns one packet of those that no route and no TURN server takes, and meanwhile hands them
// theirs. What does not fit into b is cut off, as with any UDP socket.
func (s *socket) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	s.readMu.Lock()
	defer s.readMu.Unlock()
	for s.in.next == s.in.n {
		if n, from, ok := s.inside.queue.TryTake(b); ok {
			return n, from, nil
		}
		if err := s.fill(); err != nil && !s.inside.woke(err) {
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

// hand gives the packets of a batch to their routes and to the TURN server, and notes the others.
func (s *socket) hand(n int) {
	routes := s.routes.entries.Load()
	reading, direct := false, uint64(0)
	for i := range n {
		header := &s.in.headers[i]
		addr, ok := s.address(&s.in.names[i])
		if !ok || header.hdr.Flags&unix.MSG_TRUNC != 0 {
			s.count.truncated.Add(1)
			continue
		}
		packet := s.in.data[i][:header.len]
		if !isMedia(packet) {
			if s.toTURN(packet, addr) {
				continue
			}
		} else if routes != nil {
			if to := (*routes)[addr]; to != nil {
				if !reading {
					reading = true
					s.setReading()
				}
				if to.receive(packet) {
					to.cameBy(s)
					direct++
					continue
				}
			}
		}
		if s.asked.take(packet, addr) || s.answer(packet, addr) {
			continue
		}
		s.in.others[s.in.n] = i
		s.in.n++
	}
	if reading {
		s.count.direct.Add(direct)
		s.flush()
	}
}

func (s *socket) setReading() {
	s.mu.Lock()
	s.reading = true
	s.mu.Unlock()
}
