package sfu

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/impair"
	"skillsage/network/icetcp"
	"skillsage/network/traffic"
)

// overTCP is a network that lets no UDP pass.
var overTCP = []webrtc.NetworkType{webrtc.NetworkTypeTCP4}

// openTCP opens a media port over TCP on loopback for the time of the test.
func openTCP(t *testing.T, opts icetcp.Options) *icetcp.Mux {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts.WriteTimeout = time.Minute // a busy machine takes its time
	m, err := icetcp.New(listener, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s := m.Stats(); s.Endpoints != 0 {
			t.Errorf("left on the port: %+v", s)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if s := m.Stats(); s.Connections != 0 || s.Strangers != 0 || s.Queued != 0 {
			t.Errorf("left after Close: %+v", s)
		}
	})
	return m
}

// transports are those of the connected legs, by "member>peer".
func (c *call) transports() map[string]string {
	found := make(map[string]string)
	for _, room := range c.snapshot() {
		for _, m := range room.Members {
			for _, l := range m.Legs {
				if l.State == LegConnected {
					found[m.ID+">"+l.Peer] = l.Transport
				}
			}
		}
	}
	return found
}

// TestTCPOnly: a call whose clients have no UDP is as good as any other. Every description has the way over TCP in it, once.
func TestTCPOnly(t *testing.T) {
	t.Parallel()
	for _, short := range []bool{true, false} {
		t.Run(fmt.Sprint("short way ", short), func(t *testing.T) {
			t.Parallel()
			tcp := openTCP(t, icetcp.Options{})
			opts := Options{TCPMux: tcp}
			if short {
				opts.RouteTCP = tcp.Route
			}
			c := newCall(t, opts)
			r, k := c.join("R", "recruiter"), c.join("C", "candidate")
			r.networks, k.networks = overTCP, overTCP
			r.offer("C")
			r.gets("C")
			k.gets("R")
			if got := c.transports(); len(got) != 2 || got["R>C"] != "tcp" || got["C>R"] != "tcp" {
				t.Errorf("transports %v", got)
			}
			wanted, direct := 0, uint64(0)
			if short {
				wanted, direct = 2, 100
			}
			if n, _ := c.directs(); n != wanted {
				t.Errorf("%d legs take the short way", n)
			}
			if s := tcp.Stats(); s.Direct < direct || !short && s.Direct > 0 || s.Connections != 2 || s.Unread > s.PacketsIn/10 {
				t.Errorf("%+v", s)
			}
			line := regexp.MustCompile(fmt.Sprintf(`a=candidate:\d+ 1 tcp \d+ 127\.0\.0\.1 %d typ host tcptype passive`, tcp.LocalAddr().(*net.TCPAddr).Port))
			for _, p := range []*client{r, k} {
				for key, pc := range p.pcs {
					sdp := pc.RemoteDescription().SDP
					if n := len(line.FindAllString(sdp, -1)); n != 1 || n != strings.Count(sdp, " tcptype ") {
						t.Errorf("%s of %s has the candidate %d times:\n%s", pc.RemoteDescription().Type, key.peer, n, sdp)
					}
				}
			}
		})
	}
}

// TestUDPIsPreferred: where the server chooses the way, a client is called over UDP if that works, though its TCP is there
// first.
func TestUDPIsPreferred(t *testing.T) {
	t.Parallel()
	udp, tcp := openPort(t), openTCP(t, icetcp.Options{HeadStart: time.Second})
	far, err := impair.New(impair.Options{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Target: udp.Addresses()[0],
		Up: impair.Settings{Delay: 50 * time.Millisecond}, Down: impair.Settings{Delay: 50 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	c := newCall(t, Options{UDPMux: udp.Mux(), Route: udp.Route, TCPMux: tcp, RouteTCP: tcp.Route})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	k.networks = []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeTCP4}
	port := fmt.Sprintf(" %d typ host", udp.Number())
	k.candidates = func(line string) string {
		switch {
		case !strings.Contains(line, " udp "):
			return line
		case strings.Contains(line, port):
			return strings.Replace(line, port, fmt.Sprintf(" %d typ host", far.Addr().Port()), 1)
		}
		return "" // its own: there is no way around the link
	}
	r.offer("C")
	r.gets("C")
	k.gets("R")
	if got := c.transports(); got["C>R"] != "udp" {
		t.Errorf("transports %v", got)
	}
	if n := tcp.Stats().Accepted; n == 0 {
		t.Error("it did not try TCP")
	}
}

// TestMovesBetweenUDPAndTCP: an ICE restart may find another transport. Media goes on, by the same connection, and leaves
// no route behind.
func TestMovesBetweenUDPAndTCP(t *testing.T) {
	t.Parallel()
	udp, tcp := openPort(t), openTCP(t, icetcp.Options{})
	overUDP, overTCP := &routeBook{open: udp.Route}, &routeBook{open: tcp.Route}
	books := map[string]*routeBook{"udp": overUDP, "tcp": overTCP}
	t.Cleanup(func() { // after the engine's end
		for name, book := range books {
			if opened, closed := book.counts(); opened != closed {
				t.Errorf("%s: %d routes opened, %d closed", name, opened, closed)
			}
		}
	})
	c := newCall(t, Options{UDPMux: udp.Mux(), Route: overUDP.route, TCPMux: tcp, RouteTCP: overTCP.route})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	var transport atomic.Value
	transport.Store("udp")
	r.networks = []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeTCP4}
	r.candidates = func(line string) string {
		if strings.Contains(line, " "+transport.Load().(string)+" ") {
			return line
		}
		return ""
	}
	r.offer("C")
	r.gets("C")
	k.gets("R")
	legs := c.engine.Stats().LegsOpened
	for _, next := range []string{"tcp", "tcp", "udp", "tcp"} {
		transport.Store(next)
		before, _ := books[next].counts()
		c.restartICE(r.connection(clientKey{"C", false}, false))
		c.eventually("a route over "+next+", and none else", func() bool {
			opened, _ := books[next].counts()
			sum := 0
			for _, book := range books {
				opened, closed := book.counts()
				sum += opened - closed
			}
			return opened == before+1 && sum == 2
		})
		r.gets("C")
		k.gets("R")
		c.eventually("shown as "+next, func() bool { return c.transports()["R>C"] == next })
		if direct, stack := c.directs(); direct != 2 || stack != 0 {
			t.Errorf("over %s %d legs take the short way, %d do not", next, direct, stack)
		}
	}
	if s := c.engine.Stats(); s.LegsOpened != legs || s.Rehomed != 0 {
		t.Errorf("legs were made anew: %+v", s)
	}
}

// narrowLine is a path of TCP that carries little towards the client.
type narrowLine struct {
	listener net.Listener
	rate     atomic.Int64 // byte/s towards the client; 0: nothing passes
	closed   atomic.Bool
	conns    sync.WaitGroup

	mu   sync.Mutex
	open []net.Conn
}

func openNarrowLine(t *testing.T, to net.Addr) *narrowLine {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &narrowLine{listener: listener}
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error { // or the kernel would hold seconds of it
		var err error
		if failed := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8192) }); failed != nil {
			return failed
		}
		return err
	}}
	l.conns.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := dialer.Dial(to.Network(), to.String())
			if err != nil {
				t.Error(err)
				return
			}
			l.mu.Lock()
			l.open = append(l.open, client, server)
			l.mu.Unlock()
			l.conns.Go(func() { _, _ = io.Copy(server, client) })
			l.conns.Go(func() { l.pass(client, server) })
		}
	})
	t.Cleanup(func() {
		l.closed.Store(true)
		_ = listener.Close()
		l.mu.Lock()
		for _, c := range l.open {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.conns.Wait()
	})
	return l
}

func (l *narrowLine) pass(to io.Writer, from net.Conn) {
	buf := make([]byte, 2048)
	for {
		rate := l.rate.Load()
		if rate == 0 {
			time.Sleep(10 * time.Millisecond)
			if l.closed.Load() {
				return
			}
			continue
		}
		begin := time.Now()
		n, err := from.Read(buf)
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			return
		}
		time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(rate))))
	}
}

// TestNarrowTCP: a viewer over a TCP connection that carries hardly more than the voice keeps the voice, and one whose
// connection carries nothing for a while costs nobody else anything.
func TestNarrowTCP(t *testing.T) {
	t.Parallel()
	tcp := openTCP(t, icetcp.Options{})
	line := openNarrowLine(t, tcp.LocalAddr())
	line.rate.Store(1 << 20)
	c := newCall(t, Options{TCPMux: tcp, RouteTCP: tcp.Route})
	r, s, k := c.join("R", "recruiter"), c.join("S", "recruiter"), c.join("C", "candidate")
	r.networks = overTCP
	far, near := portOf(tcp.LocalAddr()), portOf(line.listener.Addr())
	r.candidates = func(candidate string) string { return strings.Replace(candidate, " "+far+" ", " "+near+" ", 1) }
	r.offer("C")
	s.offer("C")
	r.gets("C")
	s.gets("C")
	k.gets("R")
	k.gets("S")

	line.rate.Store(15_000)
	c.eventually("pictures are dropped", func() bool {
		dropped := tcp.Stats().Dropped
		return dropped[traffic.Video]+dropped[traffic.Repair] > 100
	})
	r.receives("C audio")
	if dropped := tcp.Stats().Dropped; dropped[traffic.Audio] > dropped[traffic.Video]+dropped[traffic.Repair] {
		t.Errorf("dropped %v", dropped)
	}
	line.rate.Store(0)
	s.gets("C")
	k.gets("S")
	line.rate.Store(1 << 20)
	r.gets("C")
	k.gets("R")
	stats := tcp.Stats()
	if stats.Closed["stalled"] != 0 || stats.Dropped[traffic.Control] != 0 {
		t.Errorf("%+v", stats)
	}
	if got := c.transports(); got["R>C"] != "tcp" || got["S>C"] != "udp" {
		t.Errorf("transports %v", got)
	}
}

func portOf(a net.Addr) string { return fmt.Sprint(a.(*net.TCPAddr).Port) }
