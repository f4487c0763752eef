// Package doctor tries what clients will do, from this machine: it asks the addresses that browsers are told, fetches
// the page, opens the signaling, relays through TURN, and looks at what the machine grants the server. What it
// finds is said in words that a non-expert can act on.
package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"

	"skillsage/network/public"
)

// Limit bounds the time of a Run.
const Limit = 30 * time.Second

const (
	atOnce      = 16              // checks that run at the same time
	answerTime  = 3 * time.Second // for an answer to one question, repeated meanwhile over UDP
	connectTime = 5 * time.Second // for a connection, its handshakes included
)

// Status is what a check came to.
type Status string

const (
	OK   Status = "ok"
	Warn Status = "warn" // somebody may have trouble, or it can't be told from here
	Fail Status = "fail" // this does not work
	Skip Status = "skip" // not checked; Result says why
)

// Check is one line of a Report.
type Check struct {
	Area   string `json:"area"` // what it is about, a few words
	Status Status `json:"status"`
	Tried  string `json:"tried"`            // what was done
	Result string `json:"result"`           // what came of it, and what that means
	Advice string `json:"advice,omitempty"` // what to do about it
}

// Report is what a Run found.
type Report struct {
	Time    time.Time `json:"time"`
	Took    float64   `json:"tookMs"`
	Page    string    `json:"page,omitempty"` // where the server listens that was checked: ip:port
	Verdict string    `json:"verdict"`
	Failed  bool      `json:"failed"`
	Checks  []Check   `json:"checks"`
}

// Options say what there is to check. What is left out is not checked.
type Options struct {
	Page string // see Report

	Candidates []public.Candidate // what browsers are told
	Findings   []public.Finding
	// Exposed is false for a server that only its own machine is meant to reach: then nobody is left out.
	Exposed bool

	Pages []Page
	TURN  []TURNServer

	Machine *Machine // that the server runs on; nil: this is another one
	// Before are checks that somebody else has made.
	Before []Check
}

// Machine is what there is to know of the server's machine and process.
type Machine struct {
	Asked   int      // bytes of buffer that the media port asks for in each direction; 0: there is no media port
	Granted *Buffers // nil: what the kernel grants at most is looked at
	Files   int      // connections that the server may hold by its own limits
	Process bool     // this process is the server, and its limits are those of the server
}

// Page is a way to the page and the signaling.
type Page struct {
	URL string // http(s)://host:port/
	// Dial is connected to in the place of the URL's host, to try the server itself by a name that may lead
	// elsewhere; empty: the host is.
	Dial  string
	Roots *x509.CertPool // nil: those of the system
}

// TURNServer is one that clients are told (RFC 7065 URIs), with credentials that are good for now.
type TURNServer struct {
	URLs               []string
	Username, Password string
	// External ones are on other machines: what comes through them comes from outside.
	External bool
	// LocalUDP and LocalTCP are where this machine reaches its own server, should it not by the URLs; empty: unknown.
	LocalUDP, LocalTCP string
	Roots              *x509.CertPool // nil: those of the system
}

// local is where this machine reaches the server of a URL, should it not by that.
func (s *TURNServer) local(uri *stun.URI) string {
	if transportOf(uri) == "TCP" {
		return s.LocalTCP
	}
	return s.LocalUDP
}

// Buffers are what the kernel granted, in bytes.
type Buffers struct{ Receive, Send int }

// Run makes all checks, within ctx and Limit.
func Run(ctx context.Context, opts Options) *Report {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()

	checks := []func(context.Context) []Check{
		func(context.Context) []Check { return opts.Before },
		func(context.Context) []Check { return checkAddresses(&opts) },
	}
	add := func(check func(context.Context) Check) {
		checks = append(checks, func(ctx context.Context) []Check { return []Check{check(ctx)} })
	}
	for _, c := range opts.Candidates {
		switch c.Protocol {
		case public.UDP:
			add(func(ctx context.Context) Check { return checkUDP(ctx, c, opts.placeOf(c)) })
		case public.TCP:
			add(func(ctx context.Context) Check { return checkTCP(ctx, c, opts.placeOf(c)) })
		}
	}
	for _, server := range opts.TURN {
		for _, url := range server.URLs {
			add(func(ctx context.Context) Check { return checkTURN(ctx, url, server, opts.media(server.External)) })
		}
	}
	for _, page := range opts.Pages {
		checks = append(checks, func(ctx context.Context) []Check { return checkPage(ctx, page, opts.Machine == nil) })
	}
	if opts.Machine != nil {
		checks = append(checks, func(context.Context) []Check { return checkMachine(opts.Machine) })
	}

	results := make([][]Check, len(checks))
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			results[i] = check(ctx)
		})
	}
	all.Wait()

	report := &Report{Time: begin.UTC(), Page: opts.Page}
	for _, result := range results {
		report.Checks = append(report.Checks, result...)
	}
	report.Took = float64(time.Since(begin).Microseconds()) / 1e3
	report.judge()
	return report
}

// Add puts the checks of another report behind those of this one.
func (r *Report) Add(other *Report) {
	r.Checks = append(r.Checks, other.Checks...)
	r.judge()
}

// judge sums the checks up.
func (r *Report) judge() {
	count := map[Status]int{}
	for _, c := range r.Checks {
		count[c.Status]++
	}
	r.Failed = count[Fail] > 0
	switch {
	case r.Failed:
		r.Verdict = fmt.Sprintf("%s. Begin with the first line marked fail.", number(count[Fail], "thing does not work", "things do not work"))
	case count[Warn] > 0:
		r.Verdict = fmt.Sprintf("What could be tried from here works; %s.", number(count[Warn], "line is marked warn and needs a look", "lines are marked warn and need a look"))
	default:
		r.Verdict = "Everything that could be tried from here works."
	}
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// media lists the addresses of the media port that a TURN server can reach: an external one only those outside.
func (o *Options) media(external bool) (all []netip.AddrPort) {
	for _, c := range o.Candidates {
		if c.Protocol == public.UDP && (!external || public.IsOutside(c.Addr.Addr())) {
			all = append(all, c.Addr)
		}
	}
	return all
}
