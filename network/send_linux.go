package network

import (
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// packet is one slot of the queue; its buffer is used again and again.
type packet struct {
	addr netip.AddrPort
	data []byte
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

// write queues a packet for the network. It never blocks; an error means that the socket is closed or the
// address of the wrong family. A packet that finds the queue full is dropped like one that the network lost.
func (s *socket) write(b []byte, addr netip.AddrPort) error {
	if addr.Addr().Unmap().Is4() != s.v4 {
		return &net.OpError{Op: "write", Net: "udp", Source: s.LocalAddr(), Addr: net.UDPAddrFromAddrPort(addr), Err: unix.EAFNOSUPPORT}
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return net.ErrClosed
	}
	n := len(s.queue)
	if n == queueLimit {
		s.mu.Unlock()
		s.count.dropped.Add(1)
		return nil
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
	return nil
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
