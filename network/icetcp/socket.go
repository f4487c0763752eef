package icetcp

import (
	"net"
	"time"
)

// unsentLimit is how many bytes the kernel may hold that it has not sent yet. What it holds can't be dropped any more,
// and is delay: 65 ms at 500 kbit/s. Only Linux knows such a limit.
const unsentLimit = 4 << 10

// socketOf is the socket below a connection; nil: there is none. What is wrapped around it is asked as a tls.Conn
// may be.
func socketOf(conn net.Conn) *net.TCPConn {
	for {
		if socket, ok := conn.(*net.TCPConn); ok {
			return socket
		}
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = wrapper.NetConn()
	}
}

// keepAlive has the kernel look for a peer that is gone without a word, also when nothing is to be sent.
func keepAlive(socket *net.TCPConn) {
	_ = socket.SetNoDelay(true)
	_ = socket.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3})
}
