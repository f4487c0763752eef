//go:build !linux

package turn

import "net"

// keepShort needs what only Linux has.
func keepShort(net.Conn) {}
