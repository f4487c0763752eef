// Package freeport finds port numbers for servers that a test starts later, in another process perhaps.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// The numbers lie below those that systems give to whoever asks for any (Linux from 32768 on, others from 49152 on): tests of
// other packages run at the same time, and would now and then be given one between its choice and its use.
const first, last = 15000, 32767

// Find is a number that is free for TCP and UDP at this moment, on every interface.
func Find(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := first + rand.IntN(last-first+1)
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		u, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
