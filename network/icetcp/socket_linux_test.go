package icetcp

import (
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// wrapped is a listener whose connections hide their socket, as one that has looked at their first bytes.
type wrapped struct{ net.Listener }

type wrappedConn struct{ net.Conn }

func (c wrappedConn) NetConn() net.Conn { return c.Conn }

func (l wrapped) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return wrappedConn{conn}, err
}

// The kernel keeps little of what waits, and gives up a dead peer, whatever is around the socket.
func TestSocketIsTuned(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(wrapped{listener}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	p, _ := joined(t, m, "ufrag")
	m.mu.Lock()
	c := m.bound[p.address()][0]
	m.mu.Unlock()
	raw, err := c.socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{
		unix.TCP_NODELAY: 1, unix.TCP_NOTSENT_LOWAT: unsentLimit, unix.TCP_USER_TIMEOUT: 15_000,
		unix.TCP_KEEPIDLE: 15, unix.TCP_KEEPINTVL: 5, unix.TCP_KEEPCNT: 3,
	} {
		var got int
		if err2 := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option) }); err2 != nil || err != nil || got != want {
			t.Errorf("option %d is %d, want %d (%v, %v)", option, got, want, err2, err)
		}
	}
}

func TestSocketOf(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if socketOf(a) != nil || socketOf(wrappedConn{a}) != nil {
		t.Error("a pipe has a socket")
	}
	socket := &net.TCPConn{}
	if socketOf(wrappedConn{tls.Server(wrappedConn{socket}, &tls.Config{})}) != socket {
		t.Error("the socket was not found")
	}
}
