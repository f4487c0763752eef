package icetcp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/ice/v4"

	"skillsage/network"
	"skillsage/network/traffic"
)

// joined is a peer that an agent knows.
func joined(t testing.TB, m *Mux, ufrag string) (*peer, ice.AddrPortReaderWriter) {
	t.Helper()
	a := agent(t, m, ufrag, "127.0.0.1")
	p := dial(t, m)
	p.send(check(t, ufrag))
	read(t, a)
	greet(t, a, p, p.address())
	return p, a
}

var localhost = netip.MustParseAddrPort("127.0.0.1:0")

// Media goes to the route; all else, and what the route refuses, to the agent.
func TestRouteTakesMediaOnly(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	p, a := joined(t, m, "ufrag")
	stranger, other := joined(t, m, "other")
	got := make(chan []byte, 10)
	// The address of an unknown candidate stands for any; an IPv4 address may come as IPv6.
	mapped := netip.AddrPortFrom(netip.AddrFrom16(p.address().Addr().As16()), p.address().Port())
	r := m.Route(netip.MustParseAddrPort("203.0.113.9:1"), mapped, func(packet []byte) bool {
		if numberOf(packet) == 13 {
			return false
		}
		got <- append([]byte(nil), packet...)
		clear(packet)
		return true
	})
	if r == nil {
		t.Fatal("no route")
	}
	p.send(media(1), media(2), []byte{22, 0xfe, 0xfd, 0}, media(13), []byte{0x80}, media(3))
	for _, want := range []int{1, 2, 3} {
		if n := numberOf(<-got); n != want {
			t.Errorf("the route got packet %d, want %d", n, want)
		}
	}
	for _, want := range [][]byte{{22, 0xfe, 0xfd, 0}, media(13), {0x80}} {
		packet, _ := read(t, a)
		wants(t, "the agent", packet, want)
	}
	stranger.send(media(4))
	packet, _ := read(t, other)
	wants(t, "the other agent", packet, media(4))
	if err := r.Write(media(5), traffic.Audio); err != nil {
		t.Fatal(err)
	}
	wants(t, "the peer", p.receive(), media(5))
	r.Close()
	p.send(media(6))
	packet, _ = read(t, a)
	wants(t, "after the end", packet, media(6))
	if n := m.Stats().Direct; n != 3 {
		t.Errorf("%d counted", n)
	}
	if m.Route(localhost, netip.MustParseAddrPort("192.0.2.1:1"), func([]byte) bool { return true }) != nil {
		t.Error("a route to nobody")
	}
}

// A newer route takes the place of the older, whose end leaves it alone.
func TestRouteIsReplaced(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	p, _ := joined(t, m, "ufrag")
	got := make(chan string, 10)
	take := func(name string) func([]byte) bool { return func([]byte) bool { got <- name; return true } }
	old := m.Route(localhost, p.address(), take("old"))
	m.Route(localhost, p.address(), take("new"))
	old.Close()
	p.send(media(1))
	if name := <-got; name != "new" {
		t.Errorf("%s got the packet", name)
	}
}

// A peer may have the same address and port towards two of the server's addresses.
func TestRouteKnowsTheLocalAddress(t *testing.T) {
	m := openMux(t, ":0", Options{})
	port := m.LocalAddr().(*net.TCPAddr).Port
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if err2 := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) }); err2 != nil {
			return err2
		}
		return err
	}}
	var peers []*peer
	for _, local := range []string{"127.0.0.1", "127.0.0.2"} {
		a := agent(t, m, "agent "+local, local)
		conn, err := dialer.Dial("tcp4", net.JoinHostPort(local, strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		p := &peer{conn, t, newFrames(conn)}
		peers = append(peers, p)
		from, _ := addressOf(conn.LocalAddr())
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), from.Port()))
		p.send(check(t, "agent "+local))
		read(t, a)
		greet(t, a, p, p.address())
	}
	if peers[0].address() != peers[1].address() {
		t.Skipf("the system gave %s and %s", peers[0].address(), peers[1].address())
	}
	for i, local := range []string{"127.0.0.1", "127.0.0.2"} {
		r := m.Route(netip.AddrPortFrom(netip.MustParseAddr(local), uint16(port)), peers[i].address(), func([]byte) bool { return true })
		if err := r.Write(media(i), traffic.Video); err != nil {
			t.Fatal(err)
		}
		if n := numberOf(peers[i].receive()); n != i {
			t.Errorf("peer %d got packet %d", i, n)
		}
	}
}

// A connection with a route goes on while its agent restarts, until the route ends; without one it ends with the agent.
func TestRouteOutlivesTheAgent(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	p, _ := joined(t, m, "ufrag")
	q, _ := joined(t, m, "other")
	var got atomic.Int64
	r := m.Route(localhost, p.address(), func([]byte) bool { got.Add(1); return true })
	m.RemoveConnByUfrag("ufrag")
	m.RemoveConnByUfrag("other")
	q.ends()
	for i := range 10 {
		p.send(media(i), check(t, "ufrag")) // nobody answers the check
		if err := r.Write(media(i), traffic.Video); err != nil {
			t.Fatal(err)
		}
		if n := numberOf(p.receive()); n != i {
			t.Fatalf("packet %d is number %d", i, n)
		}
	}
	eventually(t, "the other way", func() bool { return got.Load() == 10 })
	if s := m.Stats(); s.Connections != 1 || s.Endpoints != 0 {
		t.Errorf("%+v", s)
	}
	if m.Route(localhost, p.address(), func([]byte) bool { return true }) != nil {
		t.Error("a new route without an agent")
	}
	r.Close()
	p.ends()
	if err := r.Write(media(1), traffic.Video); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Who comes again from the same address goes on with the same route, also when the server has not noticed yet that
// the older connection is dead.
func TestRouteOfAPeerThatComesAgain(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	p, a := joined(t, m, "ufrag")
	var got atomic.Int64
	r := m.Route(localhost, p.address(), func([]byte) bool { got.Add(1); return true })
	_ = p.Conn.(*net.TCPConn).SetLinger(0) // reset: the port is free at once
	_ = p.Close()
	eventually(t, "the end", func() bool { return m.Stats().Connections == 0 })
	if err := r.Write(media(1), traffic.Video); !errors.Is(err, net.ErrClosed) {
		t.Errorf("meanwhile: %v", err)
	}
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(p.address())}
	var conn net.Conn
	eventually(t, "the port", func() bool { // the system may have given it to somebody else meanwhile
		var err error
		conn, err = dialer.Dial("tcp", m.LocalAddr().String())
		return err == nil
	})
	t.Cleanup(func() { _ = conn.Close() })
	again := &peer{conn, t, newFrames(conn)}
	again.send(check(t, "ufrag"), media(2))
	read(t, a)
	greet(t, a, again, again.address())
	eventually(t, "media to the server", func() bool { return got.Load() == 1 })
	if err := r.Write(media(3), traffic.Video); err != nil {
		t.Fatal(err)
	}
	wants(t, "media to the peer", again.receive(), media(3))
	r.Close()
	again.send(media(4))
	read(t, a)
}

// A peer whose connection breaks comes again from another port, and goes on where it was. One that merely has a second
// connection, and another one of the same agent, do not get in the way.
func TestPeerThatConnectsAnew(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	p, a := joined(t, m, "ufrag")
	first := p.address()
	var got atomic.Int64
	r := m.Route(localhost, first, func([]byte) bool { got.Add(1); return true })
	join := func(name string) *peer {
		t.Helper()
		q := dial(t, m)
		q.send(check(t, name))
		return q
	}
	second := join("ufrag")
	if _, from := read(t, a); from != second.address() {
		t.Errorf("the second connection is %s to the agent, not %s", from, second.address())
	}
	for round := range 3 {
		_ = p.Close()
		eventually(t, "the end", func() bool { return m.Stats().Connections == 1 })
		other := join("ufrag:another")
		if _, from := read(t, a); from != other.address() {
			t.Errorf("another peer is %s to the agent, not %s", from, other.address())
		}
		_ = other.Close()
		eventually(t, "the end of the other one", func() bool { return m.Stats().Connections == 1 })
		p = join("ufrag")
		if _, from := read(t, a); from != first {
			t.Fatalf("it is %s to the agent, not %s", from, first)
		}
		p.send(media(1))
		eventually(t, "media to the server", func() bool { return got.Load() == int64(round+1) })
		for _, what := range [][]byte{media(8), {22, 0xfe, 0xfd}} { // nothing before the answer
			if err := r.Write(what, traffic.Video); err != nil {
				t.Fatal(err)
			}
		}
		greet(t, a, p, first)
		if err := r.Write(media(2), traffic.Video); err != nil {
			t.Fatal(err)
		}
		wants(t, "media to the peer", p.receive(), media(2))
		if _, err := a.WriteToAddrPort([]byte{1}, first); err != nil {
			t.Fatal(err)
		}
		wants(t, "the agent's word", p.receive(), []byte{1})
	}
	r.Close()
	_ = p.Close()
	eventually(t, "the end", func() bool { return m.Stats().Connections == 1 })
	p = join("ufrag")
	if _, from := read(t, a); from != p.address() {
		t.Errorf("without a route it is %s to the agent, not %s", from, p.address())
	}
}

// slowPeer is joined with a client that reads nothing, whose kernel takes little.
func slowPeer(t testing.TB, m *Mux, ufrag string) *peer {
	t.Helper()
	a := agent(t, m, ufrag, "127.0.0.1")
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if err2 := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }); err2 != nil {
			return err2
		}
		return err
	}}
	conn, err := dialer.Dial("tcp", m.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &peer{conn, t, newFrames(conn)}
	p.send(check(t, ufrag))
	read(t, a)
	greet(t, a, p, p.address())
	return p
}

// A peer that stops reading holds up nobody else, loses its pictures before its sound, costs little memory, and gets
// whole frames once it reads again.
func TestPeerThatDoesNotRead(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{})
	slow := slowPeer(t, m, "slow")
	fast, _ := joined(t, m, "fast")
	ignore := func([]byte) bool { return true }
	toSlow, toFast := m.Route(localhost, slow.address(), ignore), m.Route(localhost, fast.address(), ignore)

	const audioSSRC, videoSSRC = 1, 2
	const perFrame = 10
	frame := func(r network.Route, n uint32) { // 20 ms of a call
		for i := range perFrame {
			p := rtp(videoSSRC, n, 1000)
			p[12] = byte(i)
			if err := r.Write(p, traffic.Video); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Write(rtp(audioSSRC, n, 100), traffic.Audio); err != nil {
			t.Fatal(err)
		}
	}
	var frames uint32
	for begin := time.Now(); m.Stats().Dropped[traffic.Video] < 20*perFrame; frames++ {
		if time.Since(begin) > patience {
			t.Fatalf("nothing is dropped: %+v", m.Stats())
		}
		frame(toSlow, frames)
		frame(toFast, frames)
		for range perFrame + 1 {
			fast.receive() // all of it, in time
		}
		time.Sleep(5 * ms)
	}
	s := m.Stats()
	if s.Dropped[traffic.Audio] != 0 || s.Queued > videoSize+100<<10 {
		t.Errorf("%+v", s)
	}

	// It reads again. Of its sound nothing is missing, of its pictures only a part that ends with the queue.
	received := make(map[uint32]int)
	sounds := uint32(0)
	for sounds < frames {
		p := slow.receive()
		timestamp, ssrc := binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:])
		switch {
		case ssrc == videoSSRC:
			if received[timestamp] != int(p[12]) {
				t.Fatalf("packet %d of frame %d after %d others", p[12], timestamp, received[timestamp])
			}
			received[timestamp]++
		case timestamp != sounds:
			t.Fatalf("sound %d, want %d", timestamp, sounds)
		default:
			sounds++
		}
	}
	parts := 0
	for _, n := range received {
		if n != perFrame {
			parts++
		}
	}
	if parts > 1 || len(received) == 0 || len(received) == int(frames) {
		t.Errorf("of %d frames %d arrived, %d of them in part", frames, len(received), parts)
	}
	eventually(t, "the queue drains", func() bool { return m.Stats().Queued == 0 })
	frame(toSlow, frames)
	for i := range perFrame + 1 {
		if p := slow.receive(); binary.BigEndian.Uint32(p[4:]) != frames {
			t.Fatalf("packet %d is of frame %d", i, binary.BigEndian.Uint32(p[4:]))
		}
	}
}

// A peer that takes nothing at all is given up.
func TestPeerThatStalls(t *testing.T) {
	for name, stall := range map[string]struct {
		opts   Options
		packet []byte
	}{
		"for too long":  {Options{WriteTimeout: 200 * ms}, make([]byte, 100)},
		"with too much": {Options{WriteTimeout: time.Hour}, make([]byte, maxPacket)},
	} {
		t.Run(name, func(t *testing.T) {
			m := openMux(t, "127.0.0.1:0", stall.opts)
			slow := slowPeer(t, m, "slow")
			r := m.Route(localhost, slow.address(), func([]byte) bool { return true })
			var err error
			for begin := time.Now(); err == nil; {
				if time.Since(begin) > patience {
					t.Fatalf("it goes on: %+v", m.Stats())
				}
				err = r.Write(stall.packet, traffic.Control)
				runtime.Gosched()
			}
			eventually(t, "counted", func() bool { s := m.Stats(); return s.Closed["stalled"] == 1 && s.Connections == 0 && s.Queued == 0 })
		})
	}
}

// Close does not wait for a peer that takes nothing.
func TestCloseWithAPeerThatDoesNotRead(t *testing.T) {
	m := openMux(t, "127.0.0.1:0", Options{WriteTimeout: time.Hour})
	slow := slowPeer(t, m, "slow")
	r := m.Route(localhost, slow.address(), func([]byte) bool { return true })
	for m.Stats().Queued < 100<<10 {
		if err := r.Write(make([]byte, 1000), traffic.Control); err != nil {
			t.Fatal(err)
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- m.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Close waits for ever")
	}
}

// endless repeats a stream.
type endless struct {
	stream []byte
	at     int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.stream[e.at:])
	e.at = (e.at + n) % len(e.stream)
	return n, nil
}

// A packet of media on its short way allocates nothing, nor does one that the agent reads.
func TestReadingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	m := &Mux{}
	e := newEndpoint(m, "ufrag", netip.MustParseAddr("127.0.0.1"))
	agent := newHandle(e)
	c := &conn{mux: m, endpoint: e, frames: newFrames(&endless{stream: framed(rtp(1, 1, 1200), rtp(1, 1, 700))})}
	taken := 0
	c.route.Store(&route{receive: func([]byte) bool { taken++; return taken%2 == 0 }})
	buffer := make([]byte, maxPacket)
	step := func() {
		for range 40 {
			packet, err := c.frames.next()
			if err != nil {
				t.Fatal(err)
			}
			c.deliver(packet)
		}
		for range 20 {
			if _, _, err := agent.ReadFromAddrPort(buffer); err != nil {
				t.Fatal(err)
			}
		}
	}
	step()
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations for 40 packets", n)
	}
}

// BenchmarkWrite and BenchmarkRead are a packet's way through a real connection, the peer's part included.
func BenchmarkWrite(b *testing.B) {
	m := openMux(b, "127.0.0.1:0", Options{})
	p, _ := joined(b, m, "ufrag")
	r := m.Route(localhost, p.address(), func([]byte) bool { return true })
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			if _, err := p.Conn.Read(buf); err != nil {
				return
			}
		}
	}()
	packet := rtp(1, 1, 1200)
	b.ReportAllocs()
	for n := uint32(0); b.Loop(); n++ {
		if n%16 == 0 {
			for m.queued.Load() > 32<<10 {
				runtime.Gosched()
			}
		}
		if err := r.Write(packet, traffic.Video); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if s := m.Stats(); s.Dropped[traffic.Video] > 0 {
		b.Errorf("%d of %d packets dropped", s.Dropped[traffic.Video], s.PacketsOut)
	}
	_ = p.Close()
	<-done
}

func BenchmarkRead(b *testing.B) {
	m := openMux(b, "127.0.0.1:0", Options{})
	p, _ := joined(b, m, "ufrag")
	var got atomic.Int64
	m.Route(localhost, p.address(), func([]byte) bool { got.Add(1); return true })
	const batch = 16
	stream := make([]byte, 0, batch*1300)
	for range batch {
		stream = append(stream, framed(rtp(1, 1, 1200))...)
	}
	sent := int64(0)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%batch != 0 {
			continue
		}
		for sent-got.Load() > 4*batch {
			runtime.Gosched()
		}
		if _, err := p.Write(stream); err != nil {
			b.Fatal(err)
		}
		sent += batch
	}
}
