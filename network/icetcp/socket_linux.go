package icetcp

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// tune has the socket of a connection keep few bytes, send them at once, and end when the peer has acknowledged
// nothing for dead.
func tune(socket *net.TCPConn, dead time.Duration) {
	keepAlive(socket)
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	// Without them the connection works all the same, until its peer is slow.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(dead.Milliseconds()))
	})
}
