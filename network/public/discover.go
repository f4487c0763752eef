package public

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// roundTime bounds one round of questions, lookupTime the looking up of names within it.
	roundTime  = 5 * time.Second
	lookupTime = 2 * time.Second
	// askEvery is short enough for an address that a provider changes, or a machine that moves.
	askEvery = 3 * time.Minute
	// holdEvery keeps a NAT's mapping alive that is good only while it is used: NATs forget after two minutes or
	// more (RFC 4787 section 4.3), many after 30 s.
	holdEvery = 25 * time.Second
	// retryEvery is for when nobody has answered.
	retryEvery = time.Minute

	maxAskers = 4 // addresses of one family that ask
)

// Finding is what STUN servers told one address of the media port.
type Finding struct {
	Local   netip.AddrPort // that asked
	Found   netip.AddrPort // invalid: nothing that browsers could be told
	Servers []string       // that told it
	// Problem says in a sentence why nothing was found, or what is doubtful about what was; empty: nothing.
	Problem string

	silent bool // nobody has answered
}

// answer is what one server told.
type answer struct {
	server string
	mapped netip.AddrPort
	err    error
}

// family asks for the addresses of one family. It belongs to one goroutine.
type family struct {
	network  string           // ip4 or ip6
	locals   []netip.AddrPort // of the media port, at least one
	findings []Finding        // of the last round
}

// families are those of which no address outside is known.
func (o *Options) families() []*family {
	if len(o.STUN) == 0 || len(o.Advertise) > 0 {
		return nil
	}
	var all []*family
	for _, network := range []string{"ip4", "ip6"} {
		f := &family{network: network}
		outside := false
		for _, local := range o.UDP {
			if local.Addr().Is4() != (network == "ip4") || local.Addr().IsLoopback() {
				continue
			}
			outside = outside || IsOutside(local.Addr())
			f.locals = append(f.locals, local)
		}
		if !outside && len(f.locals) > 0 {
			all = append(all, f)
		}
	}
	return all
}

// ask asks all servers once and returns when to do so again.
func (f *family) ask(ctx context.Context, opts Options) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	servers, failed := f.resolve(ctx, opts.STUN)
	locals, err := f.askers(servers)
	if err != nil { // then it fails for all of them
		failed = append(failed, answer{server: servers[0].name, err: err})
		servers = nil
	}
	var findings []Finding
	for _, local := range locals {
		answers := append(questions(ctx, opts.Reflexive, local, servers), failed...)
		findings = append(findings, judge(local, answers))
	}
	if errors.Is(ctx.Err(), context.Canceled) { // no answer would mean nothing
		return retryEvery
	}
	again := opts.AskEvery
	for i := range findings {
		finding := &findings[i]
		before := f.before(finding.Local)
		// An address does not get worse because those who see it are silent.
		if finding.silent {
			finding.Found, finding.Servers = before.Found, before.Servers
			again = min(again, retryEvery)
		}
		if finding.Found.IsValid() && finding.Found.Port() != finding.Local.Port() {
			again = min(again, holdEvery)
		}
		report(opts.Logger, before, *finding)
	}
	f.findings = findings
	return again
}

// before is what an address was told in the last round.
func (f *family) before(local netip.AddrPort) Finding {
	for _, finding := range f.findings {
		if finding.Local == local {
			return finding
		}
	}
	return Finding{Local: local}
}

// report logs what has changed.
func report(log *slog.Logger, before, now Finding) {
	log = log.With("local", now.Local)
	switch was := before.Found.IsValid(); {
	case now.Found == before.Found:
	case !was:
		log.Info("public address found", "address", now.Found, "by", strings.Join(now.Servers, ", "))
	case now.Found.IsValid():
		log.Warn("public address changed", "address", now.Found, "before", before.Found, "by", strings.Join(now.Servers, ", "))
	default:
		log.Warn("public address lost", "address", before.Found)
	}
	if now.Problem == "" || before.Problem != "" && now.silent == before.silent && now.Found == before.Found {
		return
	}
	level := slog.LevelWarn
	if now.silent { // as on a machine without a way out, where that is no news
		level = slog.LevelInfo
	}
	log.Log(context.Background(), level, "public address", "problem", now.Problem)
}

// server is one that can be asked.
type server struct {
	name string // as configured
	addr netip.AddrPort
}

// resolve looks the servers' names up, all at once. Two names of one machine are one server: it could not tell
// whether a NAT treats all alike.
func (f *family) resolve(ctx context.Context, names []string) (servers []server, failed []answer) {
	type result struct {
		server
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	results := make(chan result, len(names))
	for _, name := range names {
		go func() {
			addr, err := lookup(ctx, f.network, name)
			results <- result{server{name, addr}, err}
		}()
	}
	for range names {
		switch r := <-results; {
		case r.err != nil:
			failed = append(failed, answer{server: r.name, err: r.err})
		case !slices.ContainsFunc(servers, func(s server) bool { return s.addr.Addr() == r.addr.Addr() }):
			servers = append(servers, r.server)
		}
	}
	return servers, failed
}

func lookup(ctx context.Context, network, name string) (netip.AddrPort, error) {
	host, text, err := net.SplitHostPort(name)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), uint16(port)), nil
}

// askers are the addresses to ask from: the one that the machine uses towards the servers, or all if that one carries
// no media. Others, those of bridges to containers for example, reach the servers only in its name. An error
// means that there is no way to them.
func (f *family) askers(servers []server) ([]netip.AddrPort, error) {
	all := f.locals[:min(len(f.locals), maxAskers)]
	if len(servers) == 0 {
		return all[:1], nil
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(servers[0].addr)) // sends nothing
	if err != nil {
		return all[:1], err
	}
	defer conn.Close()
	source := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	for _, local := range f.locals {
		if local.Addr() == source {
			return []netip.AddrPort{local}, nil
		}
	}
	return all, nil
}

// questions asks all servers at once and returns when two have answered, or all have or have not.
func questions(ctx context.Context, ask func(ctx context.Context, local, server netip.AddrPort) (netip.AddrPort, error), local netip.AddrPort, servers []server) []answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer)
	for _, s := range servers {
		go func() {
			mapped, err := ask(ctx, local, s.addr)
			answers <- answer{s.name, mapped, err}
		}()
	}
	var all []answer
	for good := 0; len(all) < len(servers); {
		a := <-answers
		if all = append(all, a); a.err == nil {
			if good++; good == 2 {
				cancel()
			}
		}
	}
	return slices.DeleteFunc(all, func(a answer) bool { return errors.Is(a.err, context.Canceled) })
}

// judge finds out what the answers are worth.
func judge(local netip.AddrPort, answers []answer) Finding {
	slices.SortFunc(answers, func(a, b answer) int { return strings.Compare(a.server, b.server) })
	f := Finding{Local: local}
	var good []answer
	var failures []string
	for _, a := range answers {
		if a.err != nil {
			failures = append(failures, a.server+": "+reasonOf(a.err))
			continue
		}
		good = append(good, a)
		f.Servers = append(f.Servers, a.server)
	}
	if len(good) == 0 {
		f.silent = true
		f.Problem = "no STUN server tells the public address (" + strings.Join(failures, "; ") + ")"
		return f
	}
	first := good[0]
	for _, a := range good {
		switch {
		case a.mapped.Addr().Is4() != local.Addr().Is4() || !IsOutside(a.mapped.Addr()):
			f.Problem = fmt.Sprintf("%s sees this server at %s, which is no public address", a.server, a.mapped.Addr())
			if shared.Contains(a.mapped.Addr()) {
				f.Problem += ": the provider shares one among several customers (CGNAT), and only the provider could open it"
			}
			return f
		case a.mapped.Addr() != first.mapped.Addr():
			f.Problem = fmt.Sprintf("%s sees this server at %s, %s at %s: it has no public address of its own", first.server, first.mapped.Addr(), a.server, a.mapped.Addr())
			return f
		case a.mapped.Port() != first.mapped.Port():
			f.Problem = fmt.Sprintf("the NAT shows this server to each by a port of its own (a symmetric NAT): %s sees %s, %s sees %s", first.server, first.mapped, a.server, a.mapped)
			return f
		}
	}
	kept := first.mapped.Port() == local.Port()
	switch {
	case len(good) == 1 && !kept:
		f.Problem = fmt.Sprintf("%s sees port %d in the place of %d, and no second STUN server says whether others do", first.server, first.mapped.Port(), local.Port())
		return f
	case !kept:
		f.Problem = fmt.Sprintf("the NAT shows port %d in the place of %d, and may let in only those whom the server has sent something before", first.mapped.Port(), local.Port())
	case len(good) == 1 && len(answers) > 1:
		f.Problem = fmt.Sprintf("only %s has told the public address (%s)", first.server, strings.Join(failures, "; "))
	}
	f.Found = first.mapped
	return f
}

// reasonOf is a failure in few words.
func reasonOf(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the name is not known"
	case errors.As(err, &dns):
		return "the name can't be looked up"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	case errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to it"
	}
	return err.Error()
}

var shared = netip.MustParsePrefix("100.64.0.0/10")
