package impair

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// echo is a server that sends back what it gets, with the port it came from before it.
func echo(t testing.TB) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	sizeBuffers(conn)
	var running sync.WaitGroup
	running.Go(func() {
		buffer := make([]byte, 2+readSize)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer[2:])
			if err != nil {
				return
			}
			binary.BigEndian.PutUint16(buffer, from.Port())
			_, _ = conn.WriteToUDPAddrPort(buffer[:2+n], from)
		}
	})
	t.Cleanup(func() {
		conn.Close()
		running.Wait()
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func open(t testing.TB, opts Options) *Link {
	t.Helper()
	opts.Listen = loopback
	l, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t testing.TB, l *Link) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(l.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	sizeBuffers(conn)
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends a packet and returns what comes back, and the port that the server saw.
func ask(t testing.TB, conn *net.UDPConn, text string) (string, uint16) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 2+readSize)
	n, err := conn.Read(buffer)
	if err != nil || n < 2 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	return string(buffer[2:n]), binary.BigEndian.Uint16(buffer)
}

func TestEachClientHasItsOwnWay(t *testing.T) {
	l := open(t, Options{Target: echo(t)})
	ports := map[uint16]bool{}
	for i := range 5 {
		client := dial(t, l)
		var first uint16
		for j := range 3 {
			want := fmt.Sprintf("client %d packet %d", i, j)
			got, port := ask(t, client, want)
			if got != want {
				t.Fatalf("sent %q, got %q", want, got)
			}
			if j == 0 {
				first = port
				ports[port] = true
			} else if port != first {
				t.Errorf("the server sees client %d at ports %d and %d", i, first, port)
			}
		}
	}
	if len(ports) != 5 || l.Clients() != 5 {
		t.Errorf("the server sees %d ports, the link has %d clients", len(ports), l.Clients())
	}
	up, down := l.Counters()
	for name, c := range map[string]Counters{"up": up, "down": down} {
		if c.Packets != 15 || c.Lost+c.Dropped+c.Failed != 0 || c.Bytes == 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// A NAT that has lost its mappings: the server sees the same clients at other ports, and no longer reaches the old ones.
func TestRebind(t *testing.T) {
	l := open(t, Options{Target: echo(t), Down: Settings{Delay: 300 * time.Millisecond}})
	clients := []*net.UDPConn{dial(t, l), dial(t, l)}
	seen := map[uint16]bool{}
	for _, client := range clients {
		_, port := ask(t, client, "before")
		seen[port] = true
	}
	if n := l.Rebind(); n != len(clients) || l.Clients() != len(clients) {
		t.Errorf("%d of %d clients moved, the link has %d", n, len(clients), l.Clients())
	}
	for i, client := range clients {
		for _, text := range []string{"after", "again"} {
			got, port := ask(t, client, text)
			if got != text {
				t.Errorf("sent %q, got %q", text, got)
			}
			if text == "after" && seen[port] {
				t.Errorf("the server sees client %d at an old port", i)
			}
			seen[port] = true
		}
	}
	if len(seen) != 2*len(clients) {
		t.Errorf("%d ports for %d clients that moved once", len(seen), len(clients))
	}
	l.Close()
	if n := l.Rebind(); n != 0 {
		t.Errorf("%d clients of a closed link moved", n)
	}
}

// The two directions are apart, and both can be changed while packets pass.
func TestDelayAndChanges(t *testing.T) {
	l := open(t, Options{Target: echo(t), Up: Settings{Delay: 60 * time.Millisecond}, Down: Settings{Delay: 40 * time.Millisecond}})
	client := dial(t, l)
	begin := time.Now()
	ask(t, client, "slow")
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("there and back took %v", took)
	}

	if err := l.SetUp(Settings{}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetDown(Settings{Loss: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("gone")); err != nil {
		t.Fatal(err)
	}
	_ = client.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := client.Read(make([]byte, 16)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("through a dead link came %v", err)
	}
	if up, down := l.Counters(); up.Lost != 0 || up.Forwarded != 2 || down.Lost != 1 {
		t.Errorf("up %+v, down %+v", up, down)
	}

	if err := l.SetDown(Settings{}); err != nil {
		t.Fatal(err)
	}
	_ = client.SetReadDeadline(time.Now().Add(30 * time.Second))
	if got, _ := ask(t, client, "back"); got != "back" {
		t.Errorf("got %q", got)
	}
	if err := l.SetUp(Settings{Loss: 2}); err == nil {
		t.Error("a loss of 2 was accepted")
	}
}

// One client is in the dark and comes back as the same, and the others do not notice.
func TestCutOneClient(t *testing.T) {
	l := open(t, Options{Target: echo(t)})
	one, other := dial(t, l), dial(t, l)
	_, before := ask(t, one, "one")
	ask(t, other, "other")
	address := one.LocalAddr().(*net.UDPAddr).AddrPort()
	if !l.Cut(address, true) {
		t.Fatal("the link does not know its client")
	}
	if l.Cut(loopback, true) {
		t.Error("the link knows somebody who never sent")
	}
	if _, err := one.Write([]byte("gone")); err != nil {
		t.Fatal(err)
	}
	ask(t, other, "still here")
	if up, down := l.Counters(); up.Lost != 1 || up.Forwarded != 3 || down.Packets != 3 {
		t.Errorf("up %+v, down %+v", up, down)
	}
	l.Cut(address, false)
	if got, after := ask(t, one, "back"); got != "back" || after != before {
		t.Errorf("got %q from port %d, before %d", got, after, before)
	}
}

// What is on its way through a slow link arrives in order, and no faster than the link is.
func TestRateOfALink(t *testing.T) {
	const packets, size = 20, 1000 - udpOverhead
	l := open(t, Options{Target: echo(t), Down: Settings{Rate: 1_000_000, QueueTime: time.Second}})
	client := dial(t, l)
	begin := time.Now()
	for i := range packets {
		data := make([]byte, size-2) // the server adds two
		data[0] = byte(i)
		if _, err := client.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	buffer := make([]byte, readSize)
	for i := range packets {
		if _, err := client.Read(buffer); err != nil {
			t.Fatal(err)
		}
		if buffer[2] != byte(i) {
			t.Fatalf("packet %d came as number %d", buffer[2], i)
		}
	}
	if took := time.Since(begin); took < packets*8*time.Millisecond {
		t.Errorf("%d packets took %v at 1 Mbit/s", packets, took)
	}
}

func TestOneClientTooManyReplacesTheMostSilent(t *testing.T) {
	l := open(t, Options{Target: echo(t), MaxClients: 3})
	var clients []*net.UDPConn
	for range 3 {
		clients = append(clients, dial(t, l))
		ask(t, clients[len(clients)-1], "hello")
	}
	_, before := ask(t, clients[0], "still here")
	ask(t, dial(t, l), "one more")
	if n := l.Clients(); n != 3 {
		t.Errorf("%d clients", n)
	}
	if _, after := ask(t, clients[0], "and here"); after != before {
		t.Error("a client that had just sent was given up")
	}
	if got, _ := ask(t, clients[1], "me again"); got != "me again" {
		t.Errorf("got %q", got)
	}
}

// Nobody at the server's port, and packets on their way, must not keep a link from closing.
func TestCloseAtAnyTime(t *testing.T) {
	target := echo(t)
	gone, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.LocalAddr().(*net.UDPAddr).AddrPort()
	gone.Close()
	for _, to := range []netip.AddrPort{target, nobody} {
		l := open(t, Options{Target: to, Down: Settings{Delay: 5 * time.Second}})
		client := dial(t, l)
		for range 100 {
			_, _ = client.Write([]byte("on its way"))
		}
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		closers.Wait()
		if n := l.Clients(); n != 0 {
			t.Errorf("%d clients after Close", n)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	target := netip.MustParseAddrPort("127.0.0.1:9")
	for _, opts := range []Options{
		{Listen: loopback},
		{Target: target},
		{Listen: loopback, Target: target, Up: Settings{Loss: -1}},
		{Listen: loopback, Target: target, Down: Settings{Rate: -1}},
	} {
		if l, err := New(opts); err == nil {
			l.Close()
			t.Errorf("%+v was accepted", opts)
		}
	}
}

// One packet there and back: four system calls of the link, four of the test and its server. `delayed` shows what the timers cost.
func BenchmarkLink(b *testing.B) {
	for _, c := range []struct {
		name     string
		settings Settings
	}{{"plain", Settings{}}, {"delayed", Settings{Loss: 0.01, Delay: time.Millisecond, Rate: 1_000_000_000}}} {
		b.Run(c.name, func(b *testing.B) {
			l := open(b, Options{Target: echo(b), Up: c.settings, Down: c.settings})
			client := dial(b, l)
			const window = 64
			credit := make(chan struct{}, window)
			for range window {
				credit <- struct{}{}
			}
			packet := make([]byte, 1200)
			var reader sync.WaitGroup
			reader.Go(func() {
				buffer := make([]byte, readSize)
				for {
					_ = client.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
					if _, err := client.Read(buffer); err != nil {
						if errors.Is(err, os.ErrDeadlineExceeded) {
							// What was lost gives its place back.
							for len(credit) < window {
								credit <- struct{}{}
							}
							continue
						}
						return
					}
					select {
					case credit <- struct{}{}:
					default:
					}
				}
			})
			b.ReportAllocs()
			for b.Loop() {
				<-credit
				if _, err := client.Write(packet); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			client.Close()
			reader.Wait()
		})
	}
}
