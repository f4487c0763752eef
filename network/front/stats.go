package front

import (
	"errors"
	"os"
	"sync/atomic"
)

// protocol is what a connection was told to be.
type protocol int

const (
	protocolHTTP protocol = iota
	protocolHTTPS
	protocolICE
	protocolSSLTCP
	protocolTURN
	protocolTURNS
	protocolACME
	protocolCount
)

var protocols = [protocolCount]string{"http", "https", "ice", "ssltcp", "turn", "turns", "acme"}

// reason is why a connection was closed here.
type reason int

const (
	reasonGone     reason = iota // the client ended it, or the Front is closed
	reasonTimeout                // a stage took too long
	reasonUnknown                // it speaks nothing that is known
	reasonTLS                    // the handshake failed
	reasonNoTLS                  // TLS on a port without it
	reasonShare                  // its address has too many others pending
	reasonUnwanted               // nobody takes its kind
	reasonBusy                   // whoever takes its kind has not come for it
	reasonCount
)

var reasons = [reasonCount]string{"gone", "timeout", "unknown", "tls", "no_tls", "address_limit", "unwanted", "busy"}

// refusal is an error with its reason.
type refusal struct {
	reason reason
	err    error // nil when the reason says all
}

func refused(r reason) error { return &refusal{reason: r} }

func (r *refusal) Error() string {
	if r.err != nil {
		return r.err.Error()
	}
	return reasons[r.reason]
}

func (r *refusal) Unwrap() error { return r.err }

func reasonOf(err error) reason {
	var r *refusal
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reasonTimeout
	case errors.As(err, &r):
		return r.reason
	}
	return reasonGone
}

// Stats is a snapshot of a Front's counters since its start.
type Stats struct {
	Pending      int    // connections that are being told apart now; not since the start
	Accepted     uint64 // connections
	AcceptErrors uint64 // times that accepting failed, for lack of files for example
	// Delivered counts what was handed on by protocol: http, https, ice, ssltcp, turn, turns; acme are challenges of a certificate
	// authority, which end with their handshake.
	Delivered map[string]uint64
	// Closed counts the others by reason: gone (the client ended it before it had said enough), timeout, unknown (it spoke
	// nothing that is known), tls (the handshake failed), no_tls (TLS is off), address_limit (too many others of
	// its address), unwanted (nobody takes its kind), busy (nor in time).
	Closed map[string]uint64
}

// counters is the live form of Stats.
type counters struct {
	accepted, acceptErrors atomic.Uint64
	delivered              [protocolCount]atomic.Uint64
	closed                 [reasonCount]atomic.Uint64
}

// Stats reads all counters; they are not taken at one instant.
func (f *Front) Stats() Stats {
	s := Stats{
		Pending:      f.pending.len(),
		Accepted:     f.count.accepted.Load(),
		AcceptErrors: f.count.acceptErrors.Load(),
		Delivered:    make(map[string]uint64, protocolCount),
		Closed:       make(map[string]uint64, reasonCount),
	}
	for p := range f.count.delivered {
		s.Delivered[protocols[p]] = f.count.delivered[p].Load()
	}
	for r := range f.count.closed {
		s.Closed[reasons[r]] = f.count.closed[r].Load()
	}
	return s
}
