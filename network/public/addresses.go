// Package public works out at which addresses browsers are told to reach the server: those where it listens,
// those that the operator names, and the one that STUN servers see where a NAT stands before it.
package public

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Protocols of a Candidate and an Entry.
const (
	UDP    = "udp"
	TCP    = "tcp"    // ICE-TCP, passive (RFC 6544)
	SSLTCP = "ssltcp" // the same behind what looks like a TLS handshake
)

// Origin is how an address is known.
type Origin string

const (
	Listening  Origin = "listening"  // the server has it itself
	Advertised Origin = "advertised" // the operator says so
	Discovered Origin = "discovered" // STUN servers see it
)

// Candidate is one address that browsers are told.
type Candidate struct {
	Protocol string // UDP, TCP or SSLTCP
	Addr     netip.AddrPort
	Origin   Origin
}

// Entry is an address that the operator names.
type Entry struct {
	Protocol string // UDP or TCP; empty: both
	Addr     netip.Addr
	Port     uint16 // 0: the number that the server listens on
}

// Options say what is known at the start.
type Options struct {
	UDP []netip.AddrPort // where the media port is open, at least one
	TCP []netip.AddrPort // where ICE-TCP is accepted, each address spelled out; none: it is not offered
	// SSLTCP offers ICE-TCP a second time for clients whose firewalls let only TLS pass.
	SSLTCP bool
	// Advertise are addresses outside, by preference.
	Advertise []Entry
	// Inside tells browsers the private addresses of the machine too. Where no other is known they are told
	// whatever this says.
	Inside bool
	// STUN are the servers (host:port) that are asked for the address outside if Advertise is empty, for each family of
	// which the machine has only private addresses. None: nobody is asked.
	STUN []string
	// Reflexive asks one of them from the media port at local (network.Port.Reflexive).
	Reflexive func(ctx context.Context, local, server netip.AddrPort) (netip.AddrPort, error)
	// Changed is told what browsers are told, whenever that has changed and before New returns. It must not block. Nil: nobody is.
	Changed func([]Candidate)
	// AskEvery is how often they are asked; 0 is 3 minutes.
	AskEvery time.Duration
	Logger   *slog.Logger // nil: slog.Default
}

// Addresses knows what browsers are told at this moment. Its methods are safe for concurrent use.
type Addresses struct {
	opts     Options
	families []*family // that are asked for; owned by run
	state    atomic.Pointer[state]
	asked    chan struct{} // closed after the first round of questions

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// state is replaced as a whole.
type state struct {
	candidates []Candidate
	found      []Finding
}

// New works out the addresses and, where need be, begins to ask for more. Close ends that.
func New(opts Options) *Addresses {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.AskEvery == 0 {
		opts.AskEvery = askEvery
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &Addresses{opts: opts, families: opts.families(), asked: make(chan struct{}), cancel: cancel}
	a.update()
	if len(a.families) == 0 {
		close(a.asked)
		return a
	}
	a.running.Go(func() { a.run(ctx) })
	return a
}

// Close waits until nobody is asked any more. It is idempotent.
func (a *Addresses) Close() {
	a.cancel()
	a.running.Wait()
}

// Candidates are the addresses that browsers are told, by preference: what the operator names, other addresses outside,
// those inside, and loopback ones last; of each kind IPv6 and IPv4 in turns (RFC 8421 section 4).
// The slice is not to be changed.
func (a *Addresses) Candidates() []Candidate { return a.state.Load().candidates }

// Findings tell what STUN servers said, one for each address that asked. The slice is not to be changed.
func (a *Addresses) Findings() []Finding { return a.state.Load().found }

// Asked is closed when Findings has the answers of the first round, or says that there were none, or Close ended it.
func (a *Addresses) Asked() <-chan struct{} { return a.asked }

// update publishes what is known now.
func (a *Addresses) update() {
	var found []Finding
	for _, f := range a.families {
		found = append(found, f.findings...)
	}
	now := &state{candidates: a.opts.candidates(found), found: found}
	before := a.state.Swap(now)
	if a.opts.Changed != nil && (before == nil || !slices.Equal(before.candidates, now.candidates)) {
		a.opts.Changed(now.candidates)
	}
}

func (a *Addresses) run(ctx context.Context) {
	for first := true; ; first = false {
		wait := time.Duration(0)
		for _, f := range a.families {
			if again := f.ask(ctx, a.opts); wait == 0 || again < wait {
				wait = again
			}
			a.update()
		}
		if first {
			close(a.asked)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// IsOutside tells whether an address means the same to everybody: a global one, which no NAT (RFC 1918, RFC 6598), no
// link, no benchmark and no future use has to itself (the registries of RFC 6890). Those for documentation are let through.
func IsOutside(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, special := range notOutside {
		if special.Contains(addr) {
			return false
		}
	}
	return true
}

var notOutside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this network
	netip.MustParsePrefix("100.64.0.0/10"),  // shared by a provider's customers
	netip.MustParsePrefix("192.0.0.0/24"),   // protocol assignments
	netip.MustParsePrefix("192.88.99.0/24"), // 6to4 relays, abandoned
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved
	netip.MustParsePrefix("64:ff9b::/96"),   // IPv4 behind NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"), // the same, local
	netip.MustParsePrefix("100::/64"),       // discarded
	netip.MustParsePrefix("2001::/23"),      // protocol assignments, Teredo among them
	netip.MustParsePrefix("2002::/16"),      // 6to4
	netip.MustParsePrefix("fec0::/10"),      // site-local, abandoned
}
