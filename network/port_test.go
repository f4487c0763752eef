package network

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var localhost = netip.MustParseAddr("127.0.0.1")

func open(t *testing.T, opts Options) *Port {
	t.Helper()
	p, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// One number on every address, and really bound there.
func TestOpensEveryAddressOnOnePort(t *testing.T) {
	p := open(t, Options{Loopback: LoopbackYes})
	if !p.HasLoopback() || p.Number() == 0 {
		t.Fatalf("opened %v", p.Addresses())
	}
	var machine []netip.Addr
	ifaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range ifaces {
		addr := netip.MustParsePrefix(a.String()).Addr()
		if !addr.IsLinkLocalUnicast() {
			machine = append(machine, addr)
		}
	}
	for _, a := range p.Addresses() {
		if int(a.Port()) != p.Number() || !slices.Contains(machine, a.Addr()) {
			t.Errorf("opened %s", a)
		}
		if conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a)); err == nil {
			conn.Close()
			t.Errorf("%s is not really open", a)
		}
	}
	if len(p.Addresses()) != len(machine) {
		t.Errorf("opened %v of %v", p.Addresses(), machine)
	}
	if got := len(p.Mux().GetListenAddresses()); got != len(machine) {
		t.Errorf("%d addresses are offered", got)
	}
}

func TestLoopbackOnlyWhenAskedOrAlone(t *testing.T) {
	all, err := machineAddresses(nil)
	if err != nil {
		t.Fatal(err)
	}
	alone := !slices.ContainsFunc(all, func(a netip.Addr) bool { return !a.IsLoopback() })
	if p := open(t, Options{}); p.HasLoopback() != alone {
		t.Errorf("machine has %v, opened %v", all, p.Addresses())
	}
	if p := open(t, Options{Interfaces: []string{"lo"}}); !p.HasLoopback() {
		t.Errorf("interface lo alone: opened %v", p.Addresses())
	}
}

func TestErrorsNameTheCause(t *testing.T) {
	taken := open(t, Options{Addresses: []netip.Addr{localhost}})
	for _, c := range []struct {
		name string
		opts Options
		want string
	}{
		{"taken", Options{Addresses: []netip.Addr{localhost}, Port: taken.Number()}, "on 127.0.0.1 is taken by another program"},
		{"foreign", Options{Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.7")}}, "198.51.100.7 is no address of this machine"},
		{"only loopback, and that is forbidden", Options{Interfaces: []string{"lo"}, Loopback: LoopbackNo}, "no address to carry media on lo"},
		{"no interface", Options{Interfaces: []string{"nothere0"}}, `network interface "nothere0"`},
	} {
		if p, err := Open(c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v", c.name, p, err)
		}
	}
}

// When a later address fails, the earlier ones are free again.
func TestAllOrNothing(t *testing.T) {
	second := netip.MustParseAddr("127.0.0.2")
	taken := open(t, Options{Addresses: []netip.Addr{second}})
	opts := Options{Addresses: []netip.Addr{localhost, second}, Port: taken.Number()}
	if _, err := Open(opts); err == nil {
		t.Fatal("opened a port that is taken")
	}
	opts.Addresses = opts.Addresses[:1]
	open(t, opts)
}
