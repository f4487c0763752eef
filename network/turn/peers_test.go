package turn

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"
)

// forbidden are all forms of addresses that lead behind the server, or to itself.
var forbidden = []string{
	"0.0.0.0", "0.1.2.3", "127.0.0.2", "127.255.255.254", // this network, loopback
	"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", // private
	"169.254.0.1", "169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192", // link-local, metadata
	"100.64.0.1", "100.100.100.200", "100.127.255.255", // CGNAT, metadata
	"198.18.0.1", "198.19.255.255", "192.88.99.1",
	"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",

	"::", "::1", "::2",
	"fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fdff::1", "ff02::1", "ff0e::1",
	"::ffff:127.0.0.2", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0", // mapped
	"::127.0.0.1", "::10.0.0.1", // compatible (RFC 4291 section 2.5.5.1)
	"::ffff:0:10.0.0.1",                                                   // translated (RFC 2765)
	"64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", // NAT64
	"64:ff9b:1::10.0.0.1", "64:ff9b:1::1", // NAT64 of one's own (RFC 8215)
	"2002:a00:1::1", "2002:7f00:1::", "2002:c0a8:101::1", "2002:a9fe:a9fe::", // 6to4 of 10.0.0.1, 127.0.0.1, 192.168.1.1, 169.254.169.254
	"2001:0:a00:1::f5ff:fffe",      // Teredo of server 10.0.0.1
	"2001:0:808:808::f5ff:fffe",    // Teredo of client 10.0.0.1
	"2001:0:808:808::3f57:fefe",    // Teredo of client 192.168.1.1
	"2001:db8::5efe:10.0.0.1",      // ISATAP
	"2a00::200:5efe:192.168.1.1",   // ISATAP, with the universal bit
	"100::1", "5f00::1", "4000::1", // discard, segments, not given out
}

var public = []string{
	"1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.1", "192.167.255.255", "192.169.0.1",
	"169.253.255.255", "169.255.0.1", "100.63.255.255", "100.128.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.255",
	"203.0.113.9", "198.51.100.7",
	"2606:4700::1111", "2a00:1450:4001::200e", "::ffff:1.1.1.1",
	"64:ff9b::1.1.1.1", "2002:101:101::1", "2001:0:808:808::fefe:fefe", "2a00::5efe:1.1.1.1",
}

func TestIsPublic(t *testing.T) {
	for _, text := range forbidden {
		if isPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is not", text)
		}
	}
	for _, text := range public {
		if !isPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is", text)
		}
	}
	if isPublic(netip.MustParseAddr("2606:4700::1111%eth0")) {
		t.Error("an address with a zone is")
	}
}

// mapped is an XOR-PEER-ADDRESS of family IPv6, whatever the address: stun writes a mapped address as IPv4.
type mapped netip.Addr

func (a mapped) AddTo(m *stun.Message) error {
	raw := netip.Addr(a).As16()
	value := []byte{0, 2, 0x21 ^ 0x10, 0x12 ^ 0x92} // port 4224
	key := append([]byte{0x21, 0x12, 0xa4, 0x42}, m.TransactionID[:]...)
	for i, b := range raw {
		value = append(value, b^key[i])
	}
	m.Add(stun.AttrXORPeerAddress, value)
	return nil
}

var overIPv6 = attribute{stun.AttrRequestedAddressFamily, []byte{2, 0, 0, 0}}

// No permission and no channel for anything but the media port's own address, for allocations of both families.
func TestOnlyTheMediaPortCanBeReached(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{}, localhost, netip.IPv6Loopback())
		v4, v6 := r.raw(transport, "here"), r.raw(transport, "here")
		v4.mustAllocate()
		v6.mustAllocate(overIPv6)
		refused := func(client *raw, name string, to stun.Setter, permission, channel int) {
			t.Helper()
			if code, _ := client.do(stun.MethodCreatePermission, to); code != permission {
				t.Errorf("permission for %s: %d, want %d", name, code, permission)
			}
			if code, _ := client.do(stun.MethodChannelBind, to, channelNumber(0x4000)); code != channel {
				t.Errorf("channel to %s: %d, want %d", name, code, channel)
			}
		}
		for _, text := range append(append([]string(nil), forbidden...), public...) {
			addr := netip.MustParseAddr(text)
			if addr == netip.IPv6Loopback() {
				continue // the media port is there
			}
			client := v6
			if addr.Unmap().Is4() {
				client = v4
			}
			before := r.Stats().Refused["peer"]
			// 403 is the right answer to both (RFC 8656 sections 9.2 and 12.2). The stack answers 401 to the second, and that
			// of a mapped address has no business in an allocation of IPv6.
			refused(client, text, peer(netip.AddrPortFrom(addr, 4224)), 403, 401)
			if n := r.Stats().Refused["peer"] - before; n != 2 {
				t.Errorf("%s: %d more refused", text, n)
			}
			if addr.Is4In6() {
				refused(v4, text+" as IPv6", mapped(addr), 403, 401)
				refused(v6, text+" as IPv6", mapped(addr), 443, 443)
			}
		}
		for _, c := range []struct {
			client *raw
			to     netip.AddrPort
		}{{v4, r.port.Addresses()[0]}, {v6, r.port.Addresses()[1]}} {
			if code, _ := c.client.do(stun.MethodCreatePermission, peer(c.to)); code != 0 {
				t.Errorf("permission for %s: %d", c.to, code)
			}
			if code, _ := c.client.do(stun.MethodChannelBind, peer(c.to), channelNumber(0x4001)); code != 0 {
				t.Errorf("channel to %s: %d", c.to, code)
			}
		}
	})
}

// A permission holds for an address with all its ports; of those only the media port and relayed addresses can be reached.
// Where there is no permission, nothing can.
func TestOtherPortsCannotBeReached(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{})
		client := r.raw(transport, "here")
		client.mustAllocate()
		same, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer same.Close()
		other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		sameAddr, otherAddr := addrPortOf(same.LocalAddr()), addrPortOf(other.LocalAddr())
		if code, _ := client.do(stun.MethodCreatePermission, peer(sameAddr)); code != 0 {
			t.Fatalf("permission: %d", code)
		}
		if code, _ := client.do(stun.MethodChannelBind, peer(sameAddr), channelNumber(0x4000)); code != 0 {
			t.Fatalf("channel: %d", code)
		}
		if code, _ := client.do(stun.MethodChannelBind, peer(otherAddr), channelNumber(0x4001)); code == 0 {
			t.Error("a channel to another address")
		}
		client.sendTo(sameAddr, []byte("send"))
		client.sendTo(otherAddr, []byte("send"))
		client.sendTo(netip.AddrPortFrom(sameAddr.Addr(), 0), []byte("send"))
		client.send([]byte{0x40, 0, 0, 4, 'c', 'h', 'a', 'n'})
		client.send([]byte{0x40, 1, 0, 4, 'c', 'h', 'a', 'n'})
		if code, _ := client.do(stun.MethodRefresh); code != 0 { // all of the above have been treated
			t.Fatal(code)
		}
		for _, conn := range []*net.UDPConn{same, other} {
			if n := waiting(t, conn); n > 0 {
				t.Errorf("%s got %d bytes", conn.LocalAddr(), n)
			}
		}
		if s := r.Stats(); s.BytesReceived != 0 || s.PacketsDropped != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// Relays of TCP (RFC 6062), chosen ports and reserved ones (RFC 8656 section 7.2) are not for WebRTC.
func TestOtherWaysOfRelayingAreRefused(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{})
		client := r.raw(transport, "here")
		for name, setters := range map[string][]stun.Setter{
			"TCP":        {attribute{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}}},
			"even port":  {overUDP, attribute{stun.AttrEvenPort, []byte{0x80}}},
			"a token":    {overUDP, attribute{stun.AttrReservationToken, []byte("12345678")}},
			"IPv6":       {overUDP, overIPv6}, // the media port has none
			"odd":        {attribute{stun.AttrRequestedTransport, []byte{99, 0, 0, 0}}},
			"odd family": {overUDP, attribute{stun.AttrRequestedAddressFamily, []byte{9, 0, 0, 0}}},
		} {
			if code, _ := client.do(stun.MethodAllocate, setters...); code == 0 {
				t.Errorf("%s was granted", name)
			}
		}
		client.mustAllocate()
		target, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer target.Close()
		for _, to := range []netip.AddrPort{addrPortOf(target.Addr()), r.media(), netip.MustParseAddrPort("127.0.0.2:80")} {
			if code, _ := client.do(stun.MethodConnect, peer(to)); code != 403 && code != 447 {
				t.Errorf("connect to %s: %d", to, code)
			}
		}
		if code, _ := client.do(stun.MethodConnectionBind, attribute{stun.AttrConnectionID, []byte{0, 0, 0, 1}}); code == 0 {
			t.Error("bound to a connection that nobody has made")
		}
		if n := r.Stats().AllocationsMade; n != 1 {
			t.Errorf("%d allocations", n)
		}
	})
}

// One allocation can't collect permissions and channels without end.
func TestGrantsAreBounded(t *testing.T) {
	r := start(t, Options{})
	client := r.raw("udp", "here")
	client.mustAllocate()
	granted := 0
	for i := range uint16(maxGrants + 20) {
		to := netip.AddrPortFrom(r.media().Addr(), 2000+i)
		if code, _ := client.do(stun.MethodChannelBind, peer(to), channelNumber(0x4000+i)); code == 0 {
			granted++
		}
	}
	if granted != maxGrants-1 { // the address's permission counts
		t.Errorf("%d channels", granted)
	}
}
