package icetcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// openMux makes a Mux on a plain TCP listener. At the end of the test nothing may be left of it.
func openMux(t testing.TB, address string, opts Options) *Mux {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(listener, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		s := m.Stats()
		var closed uint64
		for _, n := range s.Closed {
			closed += n
		}
		if s.Connections != 0 || s.Strangers != 0 || s.Endpoints != 0 || s.Queued != 0 || len(m.bound) != 0 || closed != s.Accepted {
			t.Errorf("left after Close: %+v, %d of %d connections counted", s, closed, s.Accepted)
		}
	})
	return m
}

// agent takes an endpoint as an ICE agent does.
func agent(t testing.TB, m *Mux, ufrag, local string) ice.AddrPortReaderWriter {
	t.Helper()
	conn, err := m.GetConnByUfrag(ufrag, strings.Contains(local, ":"), net.ParseIP(local))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(ice.AddrPortReaderWriter)
}

// peer is a client's connection.
type peer struct {
	net.Conn
	t      testing.TB
	frames frames
}

func dial(t testing.TB, m *Mux) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", m.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &peer{conn, t, newFrames(conn)}
}

func (p *peer) address() netip.AddrPort {
	a, _ := addressOf(p.LocalAddr())
	return a
}

// check makes a connectivity check for an agent, which is named alone or with its peer.
func check(t testing.TB, name string, more ...stun.Setter) []byte {
	t.Helper()
	if !strings.Contains(name, ":") {
		name += ":them"
	}
	m, err := stun.Build(append([]stun.Setter{stun.BindingRequest, stun.TransactionID, stun.NewUsername(name)}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func (p *peer) send(packets ...[]byte) {
	p.t.Helper()
	if _, err := p.Write(framed(packets...)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) receive() []byte {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	packet, err := p.frames.next()
	if err != nil {
		p.t.Fatal(err)
	}
	return bytes.Clone(packet)
}

// ends waits for the end of the connection, whatever comes before.
func (p *peer) ends() {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, p.Conn); err != nil && strings.Contains(err.Error(), "timeout") {
		p.t.Fatal("the connection goes on")
	}
}

// greet answers a peer's check.
func greet(t testing.TB, a ice.AddrPortReaderWriter, p *peer, at netip.AddrPort) {
	t.Helper()
	answer, err := stun.Build(stun.BindingSuccess, stun.TransactionID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.WriteToAddrPort(answer.Raw, at); err != nil {
		t.Fatal(err)
	}
	wants(t, "the answer", p.receive(), answer.Raw)
}

// read takes a packet as an ICE agent does.
func read(t testing.TB, a ice.AddrPortReaderWriter) (packet []byte, from netip.AddrPort) {
	t.Helper()
	_ = a.(net.PacketConn).SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 4096)
	n, from, err := a.ReadFromAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n], from
}

func wants(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: %x, want %x", what, got, want)
	}
}

// An agent and its peers talk over either family of addresses; to the agent all connections are one socket.
func TestAgentAndPeers(t *testing.T) {
	for _, tt := range []struct{ listen, local string }{
		{"127.0.0.1:0", "127.0.0.1"},
		{"[::1]:0", "::1"},
		{":0", "127.0.0.1"}, // the peer comes as ::ffff:127.0.0.1
	} {
		t.Run(tt.listen, func(t *testing.T) {
			m := openMux(t, tt.listen, Options{})
			a, other := agent(t, m, "ufrag", tt.local), agent(t, m, "other", tt.local)
			port := m.LocalAddr().(*net.TCPAddr).Port
			if got := a.(net.PacketConn).LocalAddr().String(); got != net.JoinHostPort(tt.local, fmt.Sprint(port)) {
				t.Errorf("the agent's address is %s", got)
			}
			connect := func() *peer {
				conn, err := net.Dial("tcp", net.JoinHostPort(tt.local, fmt.Sprint(port)))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				return &peer{conn, t, newFrames(conn)}
			}
			first, second := connect(), connect()
			for _, p := range []*peer{first, second} {
				hello := check(t, "ufrag")
				p.send(hello)
				got, from := read(t, a)
				wants(t, "the check", got, hello)
				if from != p.address() {
					t.Fatalf("from %s, want %s", from, p.address())
				}
				greet(t, a, p, from)
				for _, packet := range [][]byte{{22, 0xfe, 0xfd}, media(1)} { // DTLS and, without a route, media
					p.send(packet)
					got, _ = read(t, a)
					wants(t, "the agent reads", got, packet)
				}
			}
			for i, p := range []*peer{first, second} {
				if n, err := a.WriteToAddrPort([]byte{1, byte(i)}, p.address()); n != 2 || err != nil {
					t.Fatal(n, err)
				}
				wants(t, "the peer reads", p.receive(), []byte{1, byte(i)})
			}
			if _, err := other.WriteToAddrPort([]byte{1}, first.address()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("another agent's peer: %v", err)
			}
			// The end of one connection is nothing to the agent: the peer may come again.
			_ = first.Close()
			eventually(t, "the end", func() bool { return m.Stats().Connections == 1 })
			if _, err := a.WriteToAddrPort([]byte{1}, first.address()); !errors.Is(err, net.ErrClosed) {
				t.Errorf("to who is gone: %v", err)
			}
			third := connect()
			third.send(check(t, "ufrag"))
			if _, from := read(t, a); from != third.address() {
				t.Errorf("from %s", from)
			}
			if s := m.Stats(); s.Connections != 2 || s.Endpoints != 2 || s.Accepted != 3 || s.PacketsIn != 7 || s.PacketsOut != 4 || s.Closed["peer"] != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// media makes what looks like SRTP and carries a number.
func media(number int) []byte {
	p := rtp(1, uint32(number), 12)
	binary.BigEndian.PutUint16(p[2:], uint16(number))
	return p
}

func numberOf(packet []byte) int { return int(binary.BigEndian.Uint16(packet[2:])) }

// Only a connectivity check for an agent that there is opens the door.
func TestStrangers(t *testing.T) {
	response, err := stun.Build(stun.BindingSuccess, stun.TransactionID, stun.NewUsername("ufrag:them"))
	if err != nil {
		t.Fatal(err)
	}
	nameless, err := stun.Build(stun.BindingRequest, stun.TransactionID)
	if err != nil {
		t.Fatal(err)
	}
	broken := check(t, "ufrag")
	binary.BigEndian.PutUint16(broken[2:], 4000)
	for _, tt := range []struct {
		name   string
		stream []byte
		why    string
	}{
		{"unknown agent", framed(check(t, "nobody")), "unknown"},
		{"empty name", framed(check(t, "")), "unknown"},
		{"the name of two", framed(check(t, "ufrag ufrag")), "unknown"},
		{"no name", framed(nameless.Raw), "asked"},
		{"a response", framed(response.Raw), "not_ice"},
		{"a broken check", framed(broken), "not_ice"},
		{"media", framed(media(1)), "not_ice"},
		{"one byte", framed([]byte{0}), "not_ice"},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), "malformed"},
		{"the longest frame", append([]byte{0xff, 0xff}, check(t, "ufrag")...), "malformed"},
		{"nothing", nil, "silent"},
		{"a frame without an end", framed(check(t, "ufrag"))[:30], "silent"},
		{"null packets", framed(nil, nil, nil), "silent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := openMux(t, "127.0.0.1:0", Options{FirstPacketTimeout: 100 * ms})
			a := agent(t, m, "ufrag", "127.0.0.1")
			p := dial(t, m)
			if _, err := p.Write(tt.stream); err != nil {
				t.Fatal(err)
			}
			p.ends()
			eventually(t, "counted", func() bool { return m.Stats().Closed[tt.why] == 1 })
			// Nobody else is worse off.
			guest := dial(t, m)
			guest.send(nil, check(t, "ufrag"))
			if _, from := read(t, a); from != guest.address() {
				t.Errorf("a packet of %s reached the agent", from)
			}
		})
	}
}

// FuzzFirstPacket: whatever comes first is an agent's, or the end.
func FuzzFirstPacket(f *testing.F) {
	f.Add(check(f, "ufrag"))
	f.Add(check(f, "ufrag", ice.AttrControlled(1)))
	f.Add(check(f, ""))
	f.Add(append([]byte{0x80}, check(f, "ufrag")[1:]...))
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, packet []byte) {
		before := bytes.Clone(packet)
		name, _, ok := parseCheck(packet)
		if !bytes.Equal(packet, before) {
			t.Fatal("changed")
		}
		if ok && (packet[0] != 0 || packet[1] != 1 || !bytes.Contains(packet, []byte(name))) {
			t.Fatalf("%q from %x", name, packet)
		}
	})
}

// What is wrong later ends that connection alone.
func TestBoundConnectionsEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stream []byte
		why    string
	}{
		{"too long", binary.BigEndian.AppendUint16(nil, maxPacket+1), "malformed"},
		{"a frame without an end", framed(media(1))[:5], "idle"},
		{"nothing more", nil, "idle"},
		{"null packets", framed(nil, nil), "idle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := openMux(t, "127.0.0.1:0", Options{IdleTimeout: 200 * ms})
			a := agent(t, m, "ufrag", "127.0.0.1")
			p := dial(t, m)
			p.send(check(t, "ufrag"))
			read(t, a)
			if _, err := p.Write(tt.stream); err != nil {
				t.Fatal(err)
			}
			p.ends()
			eventually(t, "counted", func() bool { s := m.Stats(); return s.Closed[tt.why] == 1 && s.Connections == 0 })
		})
	}
}

// Packets at intervals below the limit keep a connection.
func TestBusyConnectionsStay(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{IdleTimeout: 500 * ms})
	a := agent(t, m, "ufrag", "127.0.0.1")
	p := dial(t, m)
	p.send(check(t, "ufrag"))
	read(t, a)
	for i := range 15 {
		time.Sleep(100 * ms)
		p.send(media(i))
		if packet, _ := read(t, a); numberOf(packet) != i {
			t.Fatalf("packet %d is number %d", i, numberOf(packet))
		}
	}
}

func TestLimits(t *testing.T) {
	t.Run("of an agent", func(t *testing.T) {
		m := openMux(t, "127.0.0.1:0", Options{MaxPerAgent: 2})
		a, b := agent(t, m, "a", "127.0.0.1"), agent(t, m, "b", "127.0.0.1")
		for range 2 {
			dial(t, m).send(check(t, "a"))
			read(t, a)
		}
		third := dial(t, m)
		third.send(check(t, "a"))
		third.ends()
		dial(t, m).send(check(t, "b"))
		read(t, b)
		if s := m.Stats(); s.Closed["crowded"] != 1 || s.Connections != 3 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("of all", func(t *testing.T) {
		m := openMux(t, "127.0.0.1:0", Options{MaxConnections: 1})
		a, b := agent(t, m, "a", "127.0.0.1"), agent(t, m, "b", "127.0.0.1")
		p := dial(t, m)
		p.send(check(t, "a"))
		read(t, a)
		refused := dial(t, m)
		refused.send(check(t, "b"))
		refused.ends()
		_ = p.Close()
		eventually(t, "the end of the first", func() bool { return m.Stats().Connections == 0 })
		dial(t, m).send(check(t, "b"))
		read(t, b)
	})
	t.Run("of strangers", func(t *testing.T) {
		m := openMux(t, "127.0.0.1:0", Options{MaxStrangers: 3, FirstPacketTimeout: time.Hour})
		a := agent(t, m, "a", "127.0.0.1")
		known := dial(t, m)
		known.send(check(t, "a"))
		read(t, a)
		var strangers []*peer
		for i := range 3 {
			strangers = append(strangers, dial(t, m))
			eventually(t, "accepted", func() bool { return m.Stats().Strangers == i+1 })
		}
		guest := dial(t, m)
		guest.send(check(t, "a"))
		read(t, a)
		strangers[0].ends() // the oldest
		for _, p := range strangers[1:] {
			p.send(check(t, "a"))
			read(t, a)
		}
		known.send(media(1))
		read(t, a)
		if s := m.Stats(); s.Closed["crowded"] != 1 || s.Connections != 4 || s.Strangers != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Thousands who connect and say nothing, or nothing good, neither keep anybody out nor stay.
func TestManyStrangers(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{MaxStrangers: 100, FirstPacketTimeout: 2 * time.Second})
	a := agent(t, m, "ufrag", "127.0.0.1")
	known := dial(t, m)
	known.send(check(t, "ufrag"))
	read(t, a)
	const each = 400
	var crowd sync.WaitGroup
	for _, stream := range [][]byte{nil, {0}, framed(check(t, "nobody")), {0xff, 0xff}, framed(check(t, "ufrag"))[:20]} {
		crowd.Go(func() {
			for range each {
				conn, err := net.Dial("tcp", m.LocalAddr().String())
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = conn.Close() })
				_, _ = conn.Write(stream) // it may be closed already
			}
		})
	}
	for i := range 20 {
		known.send(media(i))
		if packet, _ := read(t, a); numberOf(packet) != i {
			t.Fatalf("packet %d is number %d", i, numberOf(packet))
		}
		time.Sleep(5 * ms)
	}
	crowd.Wait()
	guest := dial(t, m)
	guest.send(check(t, "ufrag"))
	if _, from := read(t, a); from != guest.address() {
		t.Errorf("a check of %s reached the agent", from)
	}
	eventually(t, "all strangers are gone", func() bool {
		s := m.Stats()
		return s.Accepted == 5*each+2 && s.Strangers == 0 && s.Connections == 2
	})
	if most := m.Stats().Closed["peer"]; most != 0 {
		t.Errorf("%d connections were not ended by the server", most)
	}
}

// Who has come from behind a port mapping reaches the agent by any of its addresses.
func TestForeignLocalAddress(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	_, other := agent(t, m, "ufrag", "2001:db8::1"), agent(t, m, "ufrag", "192.0.2.1")
	p := dial(t, m)
	p.send(check(t, "ufrag"))
	if _, from := read(t, other); from != p.address() {
		t.Errorf("from %s", from)
	}
}

// Candidates are of the addresses that carry media.
func TestAddresses(t *testing.T) {
	count := func(m *Mux, local string) int {
		t.Helper()
		conns, err := m.GetAllConns("ufrag", false, net.ParseIP(local))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conns {
			_ = c.Close()
		}
		return len(conns)
	}
	all := openMux(t, "127.0.0.1:0", Options{})
	some := openMux(t, "127.0.0.1:0", Options{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}})
	for _, tt := range []struct {
		local     string
		all, some int
	}{
		{"192.0.2.1", 1, 1}, {"2001:db8::1", 1, 1}, {"192.0.2.2", 1, 0}, {"127.0.0.1", 1, 0}, {"fe80::1", 0, 0},
	} {
		if n := count(all, tt.local); n != tt.all {
			t.Errorf("%s: %d of all", tt.local, n)
		}
		if n := count(some, tt.local); n != tt.some {
			t.Errorf("%s: %d of some", tt.local, n)
		}
	}
	if _, err := some.GetConnByUfrag("ufrag", false, net.ParseIP("192.0.2.2")); err == nil {
		t.Error("an address that carries no media")
	}
	if _, err := some.GetConnByUfrag("ufrag", false, nil); err == nil {
		t.Error("no address")
	}
}

// An endpoint that an agent took twice ends with the second handle, and its connections with it.
func TestHandles(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	first, second := agent(t, m, "ufrag", "127.0.0.1"), agent(t, m, "ufrag", "127.0.0.1")
	p := dial(t, m)
	p.send(check(t, "ufrag"))
	read(t, second)
	failed := make(chan error)
	go func() {
		_, _, err := first.ReadFromAddrPort(make([]byte, 100))
		failed <- err
	}()
	for range 2 {
		_ = first.(net.PacketConn).Close()
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	p.send(media(1))
	read(t, second)
	_ = second.(net.PacketConn).SetDeadline(time.Now())
	if _, _, err := second.ReadFromAddrPort(make([]byte, 100)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("past the deadline: %v", err)
	}
	_ = second.(net.PacketConn).SetDeadline(time.Time{})
	go func() {
		_, _, err := second.ReadFromAddrPort(make([]byte, 100))
		failed <- err
	}()
	m.RemoveConnByUfrag("ufrag")
	m.RemoveConnByUfrag("ufrag")
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	p.ends()
	eventually(t, "the end", func() bool { return m.Stats().Closed["agent"] == 1 })
	late := dial(t, m)
	late.send(check(t, "ufrag"))
	late.ends()
}

// An agent that does not read loses packets, and holds up nobody.
func TestAgentThatDoesNotRead(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	agent(t, m, "asleep", "127.0.0.1")
	a := agent(t, m, "awake", "127.0.0.1")
	p, q := dial(t, m), dial(t, m)
	p.send(check(t, "asleep"))
	q.send(check(t, "awake"))
	read(t, a)
	for i := range 2 * inboxLimit {
		p.send(media(i))
	}
	eventually(t, "dropped", func() bool { return m.Stats().Unread == inboxLimit+1 })
	q.send(media(1))
	read(t, a)
}

// Where the agent is to choose the way, it hears of TCP a little later; where the peer does, at once.
func TestHeadStart(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{HeadStart: time.Hour})
	a := agent(t, m, "ufrag", "127.0.0.1")
	waits, chooses := dial(t, m), dial(t, m)
	waits.send(check(t, "ufrag", ice.AttrControlled(1)), media(1))
	eventually(t, "it is the agent's", func() bool { return m.Stats().Connections == 1 })
	chooses.send(check(t, "ufrag", ice.AttrControlling(1)))
	if _, from := read(t, a); from != chooses.address() {
		t.Error("the agent has heard of the other connection")
	}

	m = openMux(t, "127.0.0.1:0", Options{HeadStart: 50 * ms})
	a = agent(t, m, "ufrag", "127.0.0.1")
	waits = dial(t, m)
	waits.send(check(t, "ufrag", ice.AttrControlled(1)), media(1))
	for range 2 {
		if _, from := read(t, a); from != waits.address() {
			t.Error("somebody else's packet")
		}
	}
}

// Close ends who waits, who talks and who has nothing to say; what was sent before still arrives.
func TestClose(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{FirstPacketTimeout: time.Hour, IdleTimeout: time.Hour})
	a := agent(t, m, "ufrag", "127.0.0.1")
	stranger, p := dial(t, m), dial(t, m)
	p.send(check(t, "ufrag"))
	read(t, a)
	greet(t, a, p, p.address())
	eventually(t, "accepted", func() bool { return m.Stats().Strangers == 1 })
	for i := range 100 {
		if _, err := a.WriteToAddrPort(media(i), p.address()); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if n := numberOf(p.receive()); n != i {
			t.Fatalf("packet %d is number %d", i, n)
		}
	}
	p.ends()
	stranger.ends()
	if _, _, err := a.ReadFromAddrPort(make([]byte, 100)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := m.GetConnByUfrag("ufrag", false, net.IPv4(127, 0, 0, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// failingListener fails a few times before it goes on.
type failingListener struct {
	net.Listener
	failures int
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

// A listener that fails for a while is asked again.
func TestAcceptFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(&failingListener{listener, 3}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a := agent(t, m, "ufrag", "127.0.0.1")
	p := dial(t, m)
	p.send(check(t, "ufrag"))
	read(t, a)
}

type unixListener struct{ net.Listener }

func (unixListener) Addr() net.Addr { return &net.UnixAddr{Name: "/somewhere"} }

func TestListenerWithoutAPort(t *testing.T) {
	if _, err := New(unixListener{}, Options{}); err == nil {
		t.Error("a listener without an address of IP")
	}
}
