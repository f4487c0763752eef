//go:build !linux

package icetcp

import (
	"net"
	"time"
)

// tune has the system send at once, and end the connection when the peer is gone.
func tune(socket *net.TCPConn, _ time.Duration) { keepAlive(socket) }
