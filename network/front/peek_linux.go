package front

import (
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// peek waits until the kind of a connection is known. The bytes stay in the kernel, so that whoever gets the connection
// gets a bare *net.TCPConn, with all that it can do.
//
// The runtime's poller is edge-triggered: a wait ends only when more has arrived, or the other side has ended its
// half. Bytes that decide nothing and an end behind them look the same here; such a connection ends with its deadline.
func peek(conn net.Conn) (kind, net.Conn, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return unknown, nil, errors.New("not a TCP connection")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return unknown, nil, err
	}
	var (
		b      [sniffLength]byte
		found  kind
		failed error
	)
	err = raw.Read(func(fd uintptr) (done bool) {
		var n int
		for {
			if n, _, failed = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK); failed != unix.EINTR {
				break
			}
		}
		switch {
		case failed == unix.EAGAIN:
			failed = nil
			return false
		case failed != nil:
			return true
		case n == 0:
			failed = io.EOF
			return true
		}
		found = sniff(b[:n])
		return found != undecided
	})
	if err == nil {
		err = failed
	}
	return found, conn, err
}
