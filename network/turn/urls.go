package turn

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// maxAddresses bounds the addresses of one transport that clients are told: a browser tries them all, each with an
// allocation.
const maxAddresses = 4

// Reach says where clients find a server.
type Reach struct {
	// Host is the name or address that clients use. "" are the addresses themselves.
	Host string
	// UDP and TCP are where TURN is served; none: not at all.
	UDP, TCP []netip.AddrPort
	// TLS is the port of TURN over TLS, 0 if there is none. It needs a DNS name, since Firefox refuses addresses there: that in
	// Host, else Certificate, which is a name that the server's certificate has.
	TLS         uint16
	Certificate string
}

// URLs lists the URLs of the server (RFC 7065), the fastest transport first.
func (r Reach) URLs() []string {
	var urls []string
	for _, t := range []struct {
		transport string
		addrs     []netip.AddrPort
	}{{"udp", r.UDP}, {"tcp", r.TCP}} {
		for _, at := range r.at(t.addrs) {
			urls = append(urls, "turn:"+at+"?transport="+t.transport)
		}
	}
	if name := r.name(); name != "" && r.TLS != 0 {
		urls = append(urls, "turns:"+net.JoinHostPort(name, strconv.Itoa(int(r.TLS)))+"?transport=tcp")
	}
	return urls
}

// name is the DNS name for TURN over TLS, empty if none is known.
func (r Reach) name() string {
	if _, err := netip.ParseAddr(r.Host); err == nil || r.Host == "" {
		return r.Certificate
	}
	return r.Host
}

// at lists host:port of addresses; if some are public, those alone.
func (r Reach) at(addrs []netip.AddrPort) []string {
	if slices.ContainsFunc(addrs, func(a netip.AddrPort) bool { return isPublic(a.Addr()) }) {
		addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return !isPublic(a.Addr()) })
	}
	var all []string
	for _, addr := range addrs {
		at := addr.String()
		if r.Host != "" {
			at = net.JoinHostPort(r.Host, strconv.Itoa(int(addr.Port())))
		}
		if !slices.Contains(all, at) && len(all) < maxAddresses {
			all = append(all, at)
		}
	}
	return all
}
