package turn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes wait in the kernel while the network takes none. It would take megabytes, and media would
// come seconds late; so it waits here, where what is late is dropped.
const maxUnsent = 16 << 10

// keepShort bounds what the kernel keeps of a connection's data, or of the TCP connection below it.
func keepShort(conn net.Conn) {
	for {
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = outer.NetConn()
	}
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
			})
		}
	}
}
