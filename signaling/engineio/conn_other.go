//go:build !unix

package engineio

import "net"

// nonBlockingWriter does not exist here: all writes go through a writer goroutine.
type nonBlockingWriter struct{}

func newNonBlockingWriter(net.Conn) *nonBlockingWriter { return nil }

func (*nonBlockingWriter) write([]byte) (int, error) { return 0, net.ErrClosed }
