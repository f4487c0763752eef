//go:build unix

package engineio

import (
	"io"
	"net"
	"syscall"
)

// nonBlockingWriter writes to a socket what the kernel takes at once. It goes around the runtime's
// poller, deadlines and write lock; the caller sees to it that nobody else writes meanwhile.
type nonBlockingWriter struct {
	raw  syscall.RawConn  // static
	call func(fd uintptr) // static: w.writeFD, made once so that a write allocates nothing

	p   []byte
	n   int
	err error
}

// newNonBlockingWriter returns nil for connections that are not plain sockets: bytes written below a
// TLS layer, or any wrapper that transforms them, would be wrong.
func newNonBlockingWriter(c net.Conn) *nonBlockingWriter {
	var raw syscall.RawConn
	var err error
	switch c := c.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	w := &nonBlockingWriter{raw: raw}
	w.call = w.writeFD
	return w
}

// write returns how much of p was written, which may be nothing.
func (w *nonBlockingWriter) write(p []byte) (int, error) {
	w.p, w.n, w.err = p, 0, nil
	// Control only pins the descriptor. RawConn.Write would take the lock that a blocked writer
	// holds, and fail on a deadline left behind by it.
	err := w.raw.Control(w.call)
	w.p = nil
	if err != nil {
		return 0, err
	}
	return w.n, w.err
}

// writeFD relies on package net keeping its sockets in non-blocking mode.
func (w *nonBlockingWriter) writeFD(fd uintptr) {
	for w.n < len(w.p) {
		n, err := syscall.Write(int(fd), w.p[w.n:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return
		case err != nil:
			w.err = err
			return
		case n <= 0:
			w.err = io.ErrUnexpectedEOF
			return
		default:
			w.n += n
		}
	}
}
