// Package front opens the one TCP port for everything: pages and signaling, ICE-TCP, TURN, with TLS and without. What a
// connection carries is told by its first bytes, and inside TLS by the first ones of the clear text.
//
// A connection that is still being told apart costs a goroutine and a place among Options.MaxPending; it has
// Options.PeekTimeout for each stage. One that has been handed on costs nothing here.
package front

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// Options of a Front. The zero value of each has a meaning.
type Options struct {
	// Address in the form of net.Listen. An empty one lets the system choose the port.
	Address string
	// TLS ends TLS connections; its NextProtos are offered beside those of the Front. nil: they are closed.
	TLS *tls.Config
	// MaxPending bounds the connections that are being told apart; default 2048. Beyond it nothing is accepted: connections
	// wait in the kernel.
	MaxPending int
	// PeekTimeout is how long the first bytes may take, then the TLS handshake, then the first bytes inside; default 10 s. While
	// more than half of MaxPending is taken it is a quarter of that.
	PeekTimeout time.Duration
	// Shared are addresses that many people connect from, reverse proxies, which may take any share of MaxPending. Any
	// other address (IPv6: a network of 64 bits) may take no more places than it leaves free.
	Shared []netip.Prefix
	Logger *slog.Logger // nil: slog.Default
}

const (
	defaultMaxPending  = 2048
	defaultPeekTimeout = 10 * time.Second
)

// Pauses after an error of accept, which at the limit of open files would come again at once.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Front is an open port. Its methods are safe for concurrent use.
type Front struct {
	// Static.
	log        *slog.Logger
	ln         net.Listener
	tls        *tls.Config // nil: none
	timeout    time.Duration
	http, ice  *listener
	turn       *listener
	acceptFail rate.Sometimes // bounds what errors of accept log

	pending pending
	count   counters
	group   sync.WaitGroup // the accepting goroutine, and one for each pending connection

	end  sync.Once
	done chan struct{} // closed when nothing is accepted any more
	err  error         // why; written before done is closed
}

// Open opens the port and begins to accept connections.
func Open(opts Options) (*Front, error) {
	ln, err := net.Listen("tcp", opts.Address)
	if err != nil {
		return nil, err
	}
	f := &Front{
		log:        opts.Logger,
		ln:         ln,
		timeout:    opts.PeekTimeout,
		acceptFail: rate.Sometimes{First: 1, Interval: time.Minute},
		done:       make(chan struct{}),
	}
	if f.log == nil {
		f.log = slog.Default()
	}
	if f.timeout <= 0 {
		f.timeout = defaultPeekTimeout
	}
	if opts.MaxPending <= 0 {
		opts.MaxPending = defaultMaxPending
	}
	f.pending.open(opts.MaxPending, opts.Shared)
	if opts.TLS != nil {
		f.tls = opts.TLS.Clone()
		f.tls.MinVersion = max(f.tls.MinVersion, tls.VersionTLS12)
		f.tls.NextProtos = append([]string{alpnHTTP, alpnTURN}, f.tls.NextProtos...)
	}
	f.http, f.ice, f.turn = newListener(f), newListener(f), newListener(f)
	f.group.Go(f.accept)
	return f, nil
}

// HTTP gives the HTTP connections, plain and in TLS: see Attach. Who has asked for it must accept them and close it in the end.
func (f *Front) HTTP() net.Listener { return f.http.take() }

// ICE gives the ICE-TCP connections (RFC 6544), which begin with a framed STUN message. As long as nobody has asked for it they are
// closed, and so with TURN.
func (f *Front) ICE() net.Listener { return f.ice.take() }

// TURN gives the connections of TURN clients, plain and in TLS. Those in TLS have the method ConnectionState of tls.Conn.
func (f *Front) TURN() net.Listener { return f.turn.take() }

// Addr is where the port is open, a *net.TCPAddr.
func (f *Front) Addr() net.Addr { return f.ln.Addr() }

// Close closes the port and all connections that have not been handed on, and waits for their end. The listeners return
// net.ErrClosed from then on. Connections that were handed on live on.
func (f *Front) Close() error {
	f.stop(net.ErrClosed)
	err := f.ln.Close()
	f.pending.close()
	f.group.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// stop ends the listeners.
func (f *Front) stop(err error) {
	f.end.Do(func() {
		f.err = err
		close(f.done)
	})
}

// accept takes connections until the port is closed or broken.
func (f *Front) accept() {
	for pause := firstPause; ; {
		conn, err := f.ln.Accept()
		if err != nil {
			if !passing(err) {
				f.stop(err)
				return
			}
			f.count.acceptErrors.Add(1)
			f.acceptFail.Do(func() { f.log.Warn("connections can't be accepted for a while", "error", err) })
			select {
			case <-time.After(pause):
			case <-f.done:
			}
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		f.count.accepted.Add(1)
		if err := f.pending.enter(conn); err != nil {
			f.refuse(conn, err)
			continue
		}
		f.group.Go(func() {
			defer f.pending.leave(conn)
			f.handle(conn)
		})
	}
}

// passing tells whether accepting may work again later: after all errors but those that say that the socket is none. Most are
// of one connection or of the network (accept(2)).
func passing(err error) bool {
	for _, final := range []error{net.ErrClosed, syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}
