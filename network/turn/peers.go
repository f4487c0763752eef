package turn

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"skillsage/network"
)

// firstPeerPort is the lowest port of a peer outside: below are the services that floods are made with, and browsers don't
// take candidates there either.
const firstPeerPort = 1024

// maxGrants bounds the permissions and channels of one allocation. A peer has some ten addresses.
const maxGrants = 256

// mayReach decides whether a client may exchange packets with any port of a peer's address; relay.WriteTo knows the port.
func (s *Server) mayReach(client clientKey, peer net.IP) bool {
	addr, ok := netip.AddrFromSlice(peer)
	addr = addr.Unmap()
	r := s.relayOf(client)
	switch {
	case !ok || r == nil:
	case r.grants() >= maxGrants:
	case s.media.Load().has(addr):
		return true
	case r.socket != nil && isPublic(addr) && !s.hosts.has(addr):
		return true
	}
	s.count.refuse(refusedPeer)
	return false
}

// mediaAddresses are where the media port can be reached.
type mediaAddresses struct {
	local map[netip.AddrPort]netip.AddrPort // which of the port's own addresses is meant by one that clients use
	shown []netip.Addr                      // that clients know this machine by, the best first
}

// Advertise says at which addresses clients reach the media port, beside its own. The best for outside, those of the
// public internet, become that of relayed addresses.
func (s *Server) Advertise(advertised []netip.AddrPort) {
	m := newMediaAddresses(s.opts.Port, advertised)
	s.media.Store(m)
}

func newMediaAddresses(port *network.Port, advertised []netip.AddrPort) *mediaAddresses {
	m := &mediaAddresses{local: make(map[netip.AddrPort]netip.AddrPort)}
	own := port.Addresses()
	for _, addr := range advertised {
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		// What comes in at an outside address may reach any of the inner ones; to the port they are all the same.
		i := slices.IndexFunc(own, func(local netip.AddrPort) bool { return local.Addr().Is4() == addr.Addr().Is4() })
		if i >= 0 {
			m.local[addr] = own[i]
			m.shown = append(m.shown, addr.Addr())
		}
	}
	for _, local := range own {
		m.local[local] = local
	}
	slices.SortStableFunc(m.shown, func(a, b netip.Addr) int { return rank(a) - rank(b) })
	return m
}

func rank(addr netip.Addr) int {
	if isPublic(addr) {
		return 0
	}
	return 1
}

// has tells whether the port can be reached at any port of addr.
func (m *mediaAddresses) has(addr netip.Addr) bool {
	for known := range m.local {
		if known.Addr() == addr {
			return true
		}
	}
	return false
}

// relayed is the address of what is relayed through local: the one that clients know local by.
func (m *mediaAddresses) relayed(local netip.Addr) netip.Addr {
	for _, addr := range m.shown {
		if addr.Is4() == local.Is4() {
			return addr
		}
	}
	return local
}

// hosts are the addresses of this machine.
type hosts struct {
	mu    sync.Mutex
	addrs []netip.Addr // guarded by mu
	asked time.Time    // guarded by mu
}

// hostsLife is how long the list of the machine's addresses is used.
const hostsLife = 10 * time.Second

// has tells whether addr is one of them. Nothing is while they can't be listed; then every address is.
func (h *hosts) has(addr netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.asked) > hostsLife {
		found, err := net.InterfaceAddrs()
		if err != nil {
			return true
		}
		h.addrs, h.asked = h.addrs[:0], time.Now()
		for _, a := range found {
			if prefix, ok := a.(*net.IPNet); ok {
				own, _ := netip.AddrFromSlice(prefix.IP)
				h.addrs = append(h.addrs, own.Unmap())
			}
		}
	}
	return slices.Contains(h.addrs, addr)
}

// special are the IPv4 networks that are not on the public internet (RFC 6890 and its registry). Those for documentation
// are left out: nobody has them but tests.
var special = prefixes(
	"0.0.0.0/8",        // this network; unspecified
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // shared by the customers of a provider; metadata of some clouds
	"127.0.0.0/8",      // loopback
	"169.254.0.0/16",   // link-local; metadata of most clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; metadata of some clouds
	"192.88.99.0/24",   // relays of 6to4
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved; broadcast
	"168.63.129.16/32", // the platform services of Azure, an address that is public by its looks
)

var (
	global    = netip.MustParsePrefix("2000::/3")     // all of IPv6 that is public today
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: an IPv4 address at the end
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056: an IPv4 address after the prefix
	teredo    = netip.MustParsePrefix("2001::/32")    // RFC 4380: a server's, and a client's inverted
)

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// isPublic tells whether an address is one of the public internet, and does not hide another that is not: IPv6 has several
// forms that gateways turn into IPv4.
func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap()
	if addr.Is4() {
		return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(addr) })
	}
	if addr.Zone() != "" {
		return false
	}
	b := addr.As16()
	v4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case nat64.Contains(addr):
		return isPublic(v4(12))
	case !global.Contains(addr):
		return false
	case sixToFour.Contains(addr):
		return isPublic(v4(2))
	case teredo.Contains(addr):
		client := [4]byte{^b[12], ^b[13], ^b[14], ^b[15]}
		return isPublic(v4(4)) && isPublic(netip.AddrFrom4(client))
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP (RFC 5214 section 6.1)
		return isPublic(v4(12))
	}
	return true
}
