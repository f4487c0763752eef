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
	messages
	sent  int // messages
	errno syscall.Errno
	call  func() bool // false: the kernel takes no more
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

// sendBatch sends at most writeBatch packets, whose order it may change, and returns how many are done with: the first ones.
func (s *socket) sendBatch(packets []packet, block bool) (done int) {
	s.out.put(s, packets, s.segment)
	s.out.sent = 0
	for s.out.sent < s.out.n {
		begin := s.out.first[s.out.sent]
		s.out.errno = 0
		if !s.out.call() {
			if !block {
				break
			}
			if s.late() {
				s.count.dropped.Add(uint64(len(packets) - begin))
				return len(packets)
			}
			time.Sleep(sendRetry)
			continue
		}
		s.count.sent.Add(uint64(s.out.first[s.out.sent] - begin))
		s.count.writes.Add(1)
		if s.out.errno != 0 && s.out.errno != unix.EINTR {
			// It concerns the first message not sent: on with the next.
			s.refused(s.out.sent, s.out.errno)
			s.out.sent++
		}
	}
	return s.out.first[s.out.sent]
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
