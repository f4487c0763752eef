package public

import (
	"net/netip"
	"slices"
)

// candidates lists what browsers are told, given what has been found.
func (o *Options) candidates(found []Finding) []Candidate {
	udp := o.ofProtocol(UDP, o.UDP, found)
	tcp := o.ofProtocol(TCP, o.TCP, found)
	all := append(udp, tcp...)
	if o.SSLTCP {
		for _, c := range tcp {
			c.Protocol = SSLTCP
			all = append(all, c)
		}
	}
	return all
}

// ofProtocol lists those of one protocol, which listens at the given addresses.
func (o *Options) ofProtocol(protocol string, listening []netip.AddrPort, found []Finding) []Candidate {
	if len(listening) == 0 {
		return nil
	}
	// A TCP port that only this machine reaches stands behind a proxy for web pages, which passes nothing else on:
	// what is outside is not its own, unless somebody says so.
	proxied := protocol == TCP && !slices.ContainsFunc(listening, func(a netip.AddrPort) bool { return !a.Addr().IsLoopback() })
	var named, outside, inside, loopback []Candidate
	for _, e := range o.Advertise {
		if e.Protocol != protocol && (e.Protocol != "" || proxied) {
			continue
		}
		port := e.Port
		if port == 0 {
			port = listening[0].Port()
		}
		named = append(named, Candidate{protocol, netip.AddrPortFrom(e.Addr, port), Advertised})
	}
	for _, f := range found {
		if !f.Found.IsValid() || proxied {
			continue
		}
		addr := f.Found
		if protocol != UDP { // a mapping is that of one protocol alone
			addr = netip.AddrPortFrom(addr.Addr(), listening[0].Port())
		}
		outside = append(outside, Candidate{protocol, addr, Discovered})
	}
	for _, addr := range listening {
		c := Candidate{protocol, addr, Listening}
		switch {
		case IsOutside(addr.Addr()):
			outside = append(outside, c)
		case addr.Addr().IsLoopback():
			loopback = append(loopback, c)
		default:
			inside = append(inside, c)
		}
	}
	all := append(named, inTurns(outside)...)
	if o.Inside || len(all) == 0 {
		all = append(all, inTurns(inside)...)
		all = append(all, loopback...)
	}
	return distinct(all)
}

// inTurns orders addresses as IPv6, IPv4, IPv6 and so on, so that a client that lacks one of them does not
// try all of that first.
func inTurns(all []Candidate) []Candidate {
	var v6, v4, mixed []Candidate
	for _, c := range all {
		if c.Addr.Addr().Is4() {
			v4 = append(v4, c)
		} else {
			v6 = append(v6, c)
		}
	}
	for i := range max(len(v6), len(v4)) {
		if i < len(v6) {
			mixed = append(mixed, v6[i])
		}
		if i < len(v4) {
			mixed = append(mixed, v4[i])
		}
	}
	return mixed
}

// distinct leaves the first of several with the same address.
func distinct(all []Candidate) []Candidate {
	var kept []Candidate
	for _, c := range all {
		if !slices.ContainsFunc(kept, func(k Candidate) bool { return k.Addr == c.Addr }) {
			kept = append(kept, c)
		}
	}
	return kept
}
