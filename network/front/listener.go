package front

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listener gives connections of one kind to whoever has asked for them.
type listener struct {
	front  *Front        // static
	conns  chan net.Conn // static, unbuffered: what is in nobody's hands could not be closed
	asked  atomic.Bool
	end    sync.Once
	closed chan struct{}
}

func newListener(f *Front) *listener {
	return &listener{front: f, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *listener) take() net.Listener {
	l.asked.Store(true)
	return l
}

// give hands conn on; an error means that nobody has taken it.
func (l *listener) give(conn net.Conn, limit time.Duration) error {
	if !l.asked.Load() {
		return refused(reasonUnwanted)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case l.conns <- conn:
		return nil
	case <-l.closed:
		return refused(reasonUnwanted)
	case <-l.front.done:
		return net.ErrClosed
	case <-timer.C:
		return refused(reasonBusy)
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-l.front.done:
		return nil, l.front.err
	}
}

// Close implements net.Listener. It closes no other listener and not the port; connections of this kind are closed from now on.
func (l *listener) Close() error {
	l.end.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.front.Addr() }
