package public

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skillsage/internal/testkit/stunserver"
	"skillsage/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func entry(protocol, addr string, port uint16) Entry {
	return Entry{protocol, netip.MustParseAddr(addr), port}
}

// list writes candidates as "udp 192.0.2.1:5000 listening".
func list(all []Candidate) []string {
	var texts []string
	for _, c := range all {
		texts = append(texts, c.Protocol+" "+c.Addr.String()+" "+string(c.Origin))
	}
	return texts
}

func TestCandidates(t *testing.T) {
	private := []netip.AddrPort{at("10.0.0.5:5000"), at("[fd00::5]:5000"), at("127.0.0.1:5000"), at("192.168.7.5:5000")}
	for _, c := range []struct {
		name string
		opts Options
		want []string
	}{
		{"inside alone", Options{UDP: private, Inside: true}, []string{
			"udp [fd00::5]:5000 listening", "udp 10.0.0.5:5000 listening", "udp 192.168.7.5:5000 listening", "udp 127.0.0.1:5000 listening"}},
		{"inside alone, though not wanted", Options{UDP: private[:1]}, []string{"udp 10.0.0.5:5000 listening"}},
		{"TCP as well", Options{UDP: private[:1], TCP: []netip.AddrPort{at("10.0.0.5:443")}, SSLTCP: true}, []string{
			"udp 10.0.0.5:5000 listening", "tcp 10.0.0.5:443 listening", "ssltcp 10.0.0.5:443 listening"}},
		{"addresses outside that the machine has", Options{UDP: append([]netip.AddrPort{at("203.0.113.5:5000"), at("[2001:db8::5]:5000"), at("[2001:db8::6]:5000")}, private...), Inside: true}, []string{
			"udp [2001:db8::5]:5000 listening", "udp 203.0.113.5:5000 listening", "udp [2001:db8::6]:5000 listening",
			"udp [fd00::5]:5000 listening", "udp 10.0.0.5:5000 listening", "udp 192.168.7.5:5000 listening", "udp 127.0.0.1:5000 listening"}},
		{"one address before a NAT for each family", Options{
			UDP: private[:2], TCP: []netip.AddrPort{at("10.0.0.5:8443")}, Inside: true,
			Advertise: []Entry{entry("", "203.0.113.5", 0), entry("", "2001:db8::5", 0)},
		}, []string{
			"udp 203.0.113.5:5000 advertised", "udp [2001:db8::5]:5000 advertised", "udp [fd00::5]:5000 listening", "udp 10.0.0.5:5000 listening",
			"tcp 203.0.113.5:8443 advertised", "tcp [2001:db8::5]:8443 advertised", "tcp 10.0.0.5:8443 listening"}},
		{"ports that the NAT or the container's host has", Options{
			UDP: private[:1], TCP: []netip.AddrPort{at("10.0.0.5:5000")},
			Advertise: []Entry{entry("", "203.0.113.5", 443), entry(UDP, "203.0.113.6", 3478), entry(TCP, "203.0.113.7", 80)},
		}, []string{
			"udp 203.0.113.5:443 advertised", "udp 203.0.113.6:3478 advertised",
			"tcp 203.0.113.5:443 advertised", "tcp 203.0.113.7:80 advertised"}},
		{"named twice, and listened on", Options{
			UDP: []netip.AddrPort{at("203.0.113.5:5000")}, Inside: true,
			Advertise: []Entry{entry("", "203.0.113.5", 0), entry(UDP, "203.0.113.5", 5000)},
		}, []string{"udp 203.0.113.5:5000 advertised"}},
		{"a TCP port behind a proxy", Options{
			UDP: private[:1], TCP: []netip.AddrPort{at("127.0.0.1:5000")}, Advertise: []Entry{entry("", "203.0.113.5", 0)},
		}, []string{"udp 203.0.113.5:5000 advertised", "tcp 127.0.0.1:5000 listening"}},
		{"a TCP port behind a proxy that passes all on", Options{
			UDP: private[:1], TCP: []netip.AddrPort{at("127.0.0.1:5000")}, Advertise: []Entry{entry(TCP, "203.0.113.5", 443)},
		}, []string{"udp 10.0.0.5:5000 listening", "tcp 203.0.113.5:443 advertised"}},
		{"named for TCP alone", Options{
			UDP: private[:1], TCP: []netip.AddrPort{at("10.0.0.5:5000")}, Advertise: []Entry{entry(TCP, "203.0.113.5", 443)},
		}, []string{"udp 10.0.0.5:5000 listening", "tcp 203.0.113.5:443 advertised"}},
	} {
		a := New(c.opts)
		a.Close()
		<-a.Asked()
		if got := list(a.Candidates()); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestIsOutside(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "203.0.113.5": true, "2001:db8::1": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true, "172.15.0.1": true, "172.32.0.1": true,
		"10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "::ffff:10.0.0.1": false, "100.64.0.1": false, "100.127.255.255": false, "169.254.169.254": false,
		"127.0.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fd00::1": false, "ff02::1": false, "2002:a00:1::": false, "64:ff9b::a00:1": false, "2001::1": false,
	} {
		if got := IsOutside(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if IsOutside(netip.Addr{}) {
		t.Error("no address at all")
	}
}

// nat is a media port with a NAT before it: a private address is told, though the port is on loopback.
type nat struct {
	port   *network.Port
	inside netip.AddrPort
}

func newNAT(t *testing.T, inside string) nat {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	if netip.MustParseAddr(inside).Is6() {
		loopback = netip.MustParseAddr("::1")
	}
	port, err := network.Open(network.Options{Addresses: []netip.Addr{loopback}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	return nat{port, netip.AddrPortFrom(netip.MustParseAddr(inside), uint16(port.Number()))}
}

func (n nat) reflexive(ctx context.Context, local, server netip.AddrPort) (netip.AddrPort, error) {
	if local != n.inside {
		panic("asked from " + local.String())
	}
	return n.port.Reflexive(ctx, n.port.Addresses()[0], server)
}

// outside is how the NAT shows the port: the same number at another address.
func (n nat) outside(addr string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), n.inside.Port())
}

// starts makes Addresses of the port that ask the given servers, and waits for their answers.
func (n nat) starts(t *testing.T, opts Options, servers ...string) *Addresses {
	t.Helper()
	opts.UDP, opts.STUN, opts.Reflexive = []netip.AddrPort{n.inside}, servers, n.reflexive
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	a := New(opts)
	t.Cleanup(a.Close)
	select {
	case <-a.Asked():
	case <-time.After(30 * time.Second):
		t.Fatal("no end of the questions")
	}
	return a
}

// What servers tell is believed when two of them, each at an address of its own, tell the same and that is an address outside.
func TestDiscovery(t *testing.T) {
	says := func(text string) func(nat) netip.AddrPort {
		return func(n nat) netip.AddrPort {
			if addr, err := netip.ParseAddr(text); err == nil { // keeps the port
				return netip.AddrPortFrom(addr, n.inside.Port())
			}
			return at(text)
		}
	}
	nothing := func(nat) netip.AddrPort { return netip.AddrPort{} }
	for _, c := range []struct {
		name    string
		first   func(nat) netip.AddrPort // at 127.0.0.1
		second  func(nat) netip.AddrPort // at 127.0.0.2; nil: there is none
		found   string
		problem string // part of it; empty: none
	}{
		{"one to one", says("203.0.113.5"), says("203.0.113.5"), "203.0.113.5", ""},
		{"another port, the same to all", says("203.0.113.5:7"), says("203.0.113.5:7"), "203.0.113.5:7", "the NAT shows port 7 in the place of"},
		{"another port to each", says("203.0.113.5:7"), says("203.0.113.5:8"), "", "a symmetric NAT"},
		{"another address to each", says("203.0.113.5"), says("203.0.113.6"), "", "no public address of its own"},
		{"private", says("192.168.1.5"), says("192.168.1.5"), "", "sees this server at 192.168.1.5, which is no public address"},
		{"one of them private", says("203.0.113.5"), says("10.0.0.1"), "", "which is no public address"},
		{"loopback", says("127.0.0.1"), says("127.0.0.1"), "", "which is no public address"},
		{"unspecified", says("0.0.0.0"), says("0.0.0.0"), "", "which is no public address"},
		{"shared by customers", says("100.64.3.4"), says("100.64.3.4"), "", "CGNAT"},
		{"the other family", says("2001:db8::1"), says("2001:db8::1"), "", "which is no public address"},
		{"one of two is silent", says("203.0.113.5"), nothing, "203.0.113.5", "only 127.0.0.1:"},
		{"one of two is silent, another port", says("203.0.113.5:7"), nothing, "", "no second STUN server"},
		{"one", says("203.0.113.5"), nil, "203.0.113.5", ""},
		{"one, another port", says("203.0.113.5:7"), nil, "", "no second STUN server"},
		{"all are silent", nothing, nothing, "", "no STUN server tells the public address (127.0.0.1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNAT(t, "10.0.0.5")
			open := func(address string, says func(nat) netip.AddrPort) string {
				return stunserver.Open(t, address, func(from netip.AddrPort) netip.AddrPort {
					if from != n.port.Addresses()[0] {
						t.Errorf("asked by %s, not by the media port", from)
					}
					return says(n)
				}).Addr.String()
			}
			servers := []string{open("127.0.0.1:0", c.first)}
			if c.second != nil {
				servers = append(servers, open("127.0.0.2:0", c.second))
			}
			a := n.starts(t, Options{TCP: []netip.AddrPort{at("10.0.0.5:443")}}, servers...)

			want := []string{"udp " + n.inside.String() + " listening", "tcp 10.0.0.5:443 listening"}
			if c.found != "" {
				found := says(c.found)(n)
				want = []string{"udp " + found.String() + " discovered", "tcp " + found.Addr().String() + ":443 discovered"}
			}
			if got := list(a.Candidates()); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			found := a.Findings()
			if len(found) != 1 || found[0].Local != n.inside || (c.problem == "") != (found[0].Problem == "") || !strings.Contains(found[0].Problem, c.problem) {
				t.Errorf("%+v, want %q", found, c.problem)
			}
		})
	}
}

// IPv6 is asked for by itself: here prefixes are translated.
func TestDiscoveryOfIPv6(t *testing.T) {
	n := newNAT(t, "fd00::5")
	server := stunserver.Open(t, "[::1]:0", func(netip.AddrPort) netip.AddrPort { return n.outside("2001:db8::5") })
	a := n.starts(t, Options{Inside: true}, server.Addr.String())
	want := []string{"udp " + n.outside("2001:db8::5").String() + " discovered", "udp " + n.inside.String() + " listening"}
	if got := list(a.Candidates()); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Two names of one machine are one server.
func TestOneServerTwice(t *testing.T) {
	n := newNAT(t, "10.0.0.5")
	mapped := func(netip.AddrPort) netip.AddrPort { return at("203.0.113.5:7") }
	a := n.starts(t, Options{}, stunserver.Open(t, "127.0.0.1:0", mapped).Addr.String(), stunserver.Open(t, "127.0.0.1:0", mapped).Addr.String())
	if found := a.Findings(); found[0].Found.IsValid() || !strings.Contains(found[0].Problem, "no second STUN server") {
		t.Errorf("%+v", found)
	}
}

func TestNamesThatNobodyKnows(t *testing.T) {
	n := newNAT(t, "10.0.0.5")
	a := n.starts(t, Options{}, "stun.invalid:3478")
	if found := a.Findings(); found[0].Found.IsValid() || !strings.Contains(found[0].Problem, "stun.invalid:3478: the name ") {
		t.Errorf("%+v", found)
	}
}

// Nobody is asked without need.
func TestNobodyIsAsked(t *testing.T) {
	server := stunserver.Open(t, "127.0.0.1:0", func(from netip.AddrPort) netip.AddrPort { return from })
	for name, opts := range map[string]Options{
		"no servers":         {UDP: []netip.AddrPort{at("10.0.0.5:5000")}},
		"an address outside": {UDP: []netip.AddrPort{at("10.0.0.5:5000"), at("203.0.113.5:5000")}, STUN: []string{server.Addr.String()}},
		"loopback":           {UDP: []netip.AddrPort{at("127.0.0.1:5000"), at("[::1]:5000")}, STUN: []string{server.Addr.String()}},
		"a named address":    {UDP: []netip.AddrPort{at("10.0.0.5:5000"), at("[fd00::1]:5000")}, STUN: []string{server.Addr.String()}, Advertise: []Entry{entry("", "203.0.113.5", 0)}},
	} {
		opts.Reflexive = func(context.Context, netip.AddrPort, netip.AddrPort) (netip.AddrPort, error) {
			t.Errorf("%s: asked", name)
			return netip.AddrPort{}, context.Canceled
		}
		a := New(opts)
		<-a.Asked()
		a.Close()
		if len(a.Findings()) != 0 {
			t.Errorf("%s: %+v", name, a.Findings())
		}
	}
	// Each family by itself: the machine's IPv6 address does not help those who have IPv4 alone.
	opts := Options{UDP: []netip.AddrPort{at("10.0.0.5:5000"), at("[2001:db8::1]:5000")}, STUN: []string{server.Addr.String()}}
	if f := opts.families(); len(f) != 1 || f[0].network != "ip4" {
		t.Errorf("%+v", f)
	}
}

// The address that the machine uses towards the servers asks; all, if that one carries no media.
func TestWhoAsks(t *testing.T) {
	servers := []server{{"local", at("127.0.0.1:3478")}}
	bridge, main := at("172.17.0.1:5000"), at("127.0.0.1:5000")
	for _, c := range []struct{ locals, want []netip.AddrPort }{
		{[]netip.AddrPort{bridge, main}, []netip.AddrPort{main}},
		{[]netip.AddrPort{bridge}, []netip.AddrPort{bridge}},
		{slices.Repeat([]netip.AddrPort{bridge}, 9), slices.Repeat([]netip.AddrPort{bridge}, maxAskers)},
	} {
		f := &family{network: "ip4", locals: c.locals}
		if got, err := f.askers(servers); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, %v", c.locals, got, err)
		}
	}
}

// lines is a log that can be waited for.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(line))
	return len(line), nil
}

func (l *lines) await(t *testing.T, parts ...string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		found := slices.ContainsFunc(l.all, func(line string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
		})
		l.mu.Unlock()
		if found {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no line with %q among\n%s", parts, strings.Join(l.all, ""))
		}
	}
}

// An address that changes is found, one that is not told any more for a while stays, one that is refused goes; each is said once.
func TestAddressChanges(t *testing.T) {
	n := newNAT(t, "10.0.0.5")
	var shown atomic.Pointer[netip.AddrPort]
	show := func(addr netip.AddrPort) { shown.Store(&addr) }
	show(n.outside("203.0.113.5"))
	server := stunserver.Open(t, "127.0.0.1:0", func(netip.AddrPort) netip.AddrPort { return *shown.Load() })
	log := &lines{}
	a := n.starts(t, Options{AskEvery: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil))}, server.Addr.String())
	isTold := func(addr string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); a.Candidates()[0].Addr != n.outside(addr); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%v, want %s", list(a.Candidates()), addr)
			}
		}
	}
	isTold("203.0.113.5")
	log.await(t, "public address found", "address="+n.outside("203.0.113.5").String(), "local="+n.inside.String(), "by="+server.Addr.String())

	show(n.outside("203.0.113.99"))
	isTold("203.0.113.99")
	log.await(t, "level=WARN", "public address changed", "address="+n.outside("203.0.113.99").String(), "before="+n.outside("203.0.113.5").String())

	show(n.outside("192.168.0.1"))
	isTold("10.0.0.5")
	log.await(t, "level=WARN", "public address lost", "address="+n.outside("203.0.113.99").String())
	log.await(t, "level=WARN", "which is no public address")

	show(n.outside("203.0.113.98"))
	isTold("203.0.113.98")
	before := server.Requests()
	for end := time.Now().Add(30 * time.Second); server.Requests() < before+3 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	log.mu.Lock()
	if len(log.all) != 5 {
		t.Errorf("%d lines:\n%s", len(log.all), strings.Join(log.all, ""))
	}
	log.mu.Unlock()

	show(netip.AddrPort{}) // nobody answers
	log.await(t, "level=INFO", "no STUN server tells the public address")
	isTold("203.0.113.98")
	if found := a.Findings(); !found[0].Found.IsValid() || found[0].Problem == "" || len(found[0].Servers) != 1 {
		t.Errorf("%+v", found)
	}
}

// Close does not wait for answers.
func TestCloseWhileAsking(t *testing.T) {
	n := newNAT(t, "10.0.0.5")
	asked := make(chan struct{}, 16)
	server := stunserver.Open(t, "127.0.0.1:0", func(netip.AddrPort) netip.AddrPort {
		asked <- struct{}{}
		return netip.AddrPort{}
	})
	a := New(Options{UDP: []netip.AddrPort{n.inside}, STUN: []string{server.Addr.String()}, Reflexive: n.reflexive})
	<-asked
	a.Close()
	a.Close()
	<-a.Asked()
	if got := list(a.Candidates()); len(got) != 1 || len(a.Findings()) != 0 {
		t.Errorf("%v, %v", got, a.Findings())
	}
}
