package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skillsage/network/traffic"
)

// media makes a packet that looks like SRTP and carries a number.
func media(number int) []byte {
	return binary.BigEndian.AppendUint32([]byte{0x80, 96}, uint32(number))
}

func numberOf(packet []byte) int { return int(binary.BigEndian.Uint32(packet[2:])) }

// routePort is a Port whose sockets are read like ICE does; what comes the long way goes to long.
func routePort(t *testing.T, addresses ...string) (p *Port, long chan []byte) {
	t.Helper()
	p, long = &Port{}, make(chan []byte, 1000)
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait)
	for _, address := range addresses {
		s, here := openSocket(t, address)
		p.addrs, p.sockets = append(p.addrs, here), append(p.sockets, s)
		t.Cleanup(func() { s.Close() })
		readers.Go(func() {
			buf := make([]byte, 2000)
			for {
				n, _, err := s.ReadFromAddrPort(buf)
				if err != nil {
					return
				}
				long <- append([]byte(nil), buf[:n]...)
			}
		})
	}
	return p, long
}

func receive(t *testing.T, conn *net.UDPConn) (packet []byte, from netip.AddrPort) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 2000)
	n, from, err := conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n], from
}

func send(t *testing.T, conn *net.UDPConn, packet []byte, to netip.AddrPort) {
	t.Helper()
	if _, err := conn.WriteToUDPAddrPort(packet, to); err != nil {
		t.Fatal(err)
	}
}

// Media of a routed address is handed over by the reader; all else, and what the route refuses, goes the long way.
func TestRouteTakesMediaOnly(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			p, long := routePort(t, address)
			peer, there := openPlain(t, address)
			stranger, _ := openPlain(t, address)
			got := make(chan []byte, 10)
			r := p.route(p.addrs[0], there, func(packet []byte) bool {
				if numberOf(packet) == 13 {
					return false
				}
				got <- append([]byte(nil), packet...)
				return true
			})
			send(t, peer, media(1), p.addrs[0])
			if n := numberOf(<-got); n != 1 {
				t.Errorf("the route got packet %d", n)
			}
			for _, packet := range [][]byte{{}, {0x80}, {0, 1, 0, 0, 0, 1}, {22, 0xfe, 0xfd, 0, 0, 2}, {64, 0, 0, 0, 0, 3}, media(13)} {
				send(t, peer, packet, p.addrs[0])
				if other := <-long; string(other) != string(packet) {
					t.Errorf("the long way: %x, want %x", other, packet)
				}
			}
			send(t, stranger, media(2), p.addrs[0])
			if n := numberOf(<-long); n != 2 {
				t.Errorf("the long way: %d", n)
			}
			if err := r.Write(media(3), traffic.Video); err != nil {
				t.Fatal(err)
			}
			if packet, from := receive(t, peer); numberOf(packet) != 3 || from != p.addrs[0] {
				t.Errorf("%x from %s", packet, from)
			}
			r.Close()
			send(t, peer, media(4), p.addrs[0])
			if n := numberOf(<-long); n != 4 {
				t.Errorf("after the end: %d", n)
			}
			if n := p.sockets[0].count.direct.Load(); n != 1 {
				t.Errorf("%d counted", n)
			}
		})
	}
}

// A newer route for an address takes the place of the older, whose end leaves it alone.
func TestRouteIsReplaced(t *testing.T) {
	p, _ := routePort(t, "127.0.0.1:0")
	peer, there := openPlain(t, "127.0.0.1:0")
	got := make(chan string, 10)
	take := func(name string) func([]byte) bool { return func([]byte) bool { got <- name; return true } }
	old := p.route(p.addrs[0], there, take("old"))
	p.route(p.addrs[0], netip.AddrPortFrom(netip.AddrFrom16(there.Addr().As16()), there.Port()), take("new"))
	old.Close()
	send(t, peer, media(1), p.addrs[0])
	if name := <-got; name != "new" {
		t.Errorf("%s got the packet", name)
	}
	if p.route(p.addrs[0], netip.MustParseAddrPort("[::1]:9"), take("IPv6")) != nil {
		t.Error("a route to IPv6 from a port without")
	}
}

// Packets leave by the socket that the peer's come by.
func TestRouteFollowsThePeer(t *testing.T) {
	p, _ := routePort(t, "127.0.0.1:0", "127.0.0.2:0")
	peer, there := openPlain(t, "0.0.0.0:0")
	there = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), there.Port())
	got := make(chan bool, 10)
	r := p.route(netip.MustParseAddrPort("203.0.113.9:7"), there, func([]byte) bool { got <- true; return true })
	leavesBy := func() netip.AddrPort {
		t.Helper()
		if err := r.Write(media(0), traffic.Video); err != nil {
			t.Fatal(err)
		}
		_, from := receive(t, peer)
		return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	}
	if from := leavesBy(); from != p.addrs[0] {
		t.Errorf("before the first packet: %s", from)
	}
	for _, i := range []int{1, 0} {
		send(t, peer, media(1), p.addrs[i])
		<-got
		eventually(t, func() bool { return r.current.Load() == p.sockets[i] })
		if from := leavesBy(); from != p.addrs[i] {
			t.Errorf("leaves by %s, came by %s", from, p.addrs[i])
		}
	}
	if r := p.route(p.addrs[1], there, func([]byte) bool { return true }); r.current.Load() != p.sockets[1] {
		t.Error("does not begin with the local address")
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not happen")
		}
	}
}

// What a route sends while a batch is read leaves with one system call.
func TestRouteSendsABatchTogether(t *testing.T) {
	p, _ := routePort(t, "127.0.0.1:0")
	peer, there := openPlain(t, "127.0.0.1:0")
	const viewers = 20
	var r *route
	var ready sync.Mutex
	ready.Lock()
	r = p.route(p.addrs[0], there, func(packet []byte) bool {
		ready.Lock()
		defer ready.Unlock()
		for i := range viewers {
			if err := r.Write(media(i), traffic.Video); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	ready.Unlock()
	send(t, peer, media(0), p.addrs[0])
	for i := range viewers {
		if packet, _ := receive(t, peer); numberOf(packet) != i {
			t.Fatalf("packet %d came as number %d", numberOf(packet), i)
		}
	}
	if n := p.sockets[0].count.writes.Load(); n != 1 {
		t.Errorf("%d system calls", n)
	}
}

// A kernel that takes only some of a batch gets the rest from the other goroutine, in order; the reader does not wait.
func TestRouteLeavesTheRestToTheSender(t *testing.T) {
	p, _ := routePort(t, "127.0.0.1:0")
	s := p.sockets[0]
	peer, there := openPlain(t, "127.0.0.1:0")
	kernel := s.out.call
	var stuck, tries atomic.Int64
	s.mu.Lock()
	s.out.call = func() bool {
		tries.Add(1)
		if stuck.Load() != 0 {
			return false
		}
		n := s.out.n
		s.out.n = min(n, s.out.sent+3) // three at a time
		defer func() { s.out.n = n }()
		return kernel()
	}
	s.mu.Unlock()
	var r *route
	var ready sync.Mutex
	ready.Lock()
	received := make(chan int, 100)
	next := 0
	r = p.route(p.addrs[0], there, func(packet []byte) bool {
		ready.Lock()
		defer ready.Unlock()
		for range 10 {
			_ = r.Write(media(next), traffic.Video)
			next++
		}
		received <- numberOf(packet)
		return true
	})
	ready.Unlock()
	stuck.Store(1)
	for i := range 30 {
		send(t, peer, media(i), p.addrs[0])
		if n := <-received; n != i {
			t.Fatalf("packet %d came as number %d", n, i)
		}
	}
	if tries.Load() == 0 || s.count.sent.Load() != 0 {
		t.Fatalf("%d tries, %d sent", tries.Load(), s.count.sent.Load())
	}
	stuck.Store(0)
	for i := range 300 {
		if packet, _ := receive(t, peer); numberOf(packet) != i {
			t.Fatalf("packet %d came as number %d", numberOf(packet), i)
		}
	}
}

// Routed packets, writers of other goroutines and STUN at once: nothing is lost and every writer keeps its order.
func TestRouteAmongOthers(t *testing.T) {
	p, long := routePort(t, "127.0.0.1:0")
	peer, there := openPlain(t, "127.0.0.1:0")
	const each, writers = 300, 3
	var r *route
	var ready sync.Mutex
	ready.Lock()
	var taken atomic.Int64
	r = p.route(p.addrs[0], there, func(packet []byte) bool {
		ready.Lock()
		defer ready.Unlock()
		taken.Add(1)
		_ = r.Write(append(append([]byte(nil), packet...), 0), traffic.Video) // back to the peer, as writer 0
		return true
	})
	ready.Unlock()
	var all sync.WaitGroup
	all.Go(func() {
		for i := range each {
			send(t, peer, media(i), p.addrs[0])
			send(t, peer, []byte{0, 1, byte(i)}, p.addrs[0])
			if i%20 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	for w := 1; w < writers; w++ {
		all.Go(func() {
			for i := range each {
				if _, err := p.sockets[0].WriteToAddrPort(append(media(i), byte(w)), there); err != nil {
					t.Error(err)
				}
				if i%20 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	var next [writers]int
	for range each * writers {
		packet, _ := receive(t, peer)
		w := packet[len(packet)-1]
		if n := numberOf(packet); n != next[w] {
			t.Fatalf("writer %d: packet %d came as number %d", w, n, next[w])
		}
		next[w]++
	}
	for i := range each {
		if packet := <-long; packet[2] != byte(i) {
			t.Fatalf("the long way: packet %d came as number %d", packet[2], i)
		}
	}
	all.Wait()
	if n := taken.Load(); n != each {
		t.Errorf("%d of %d took the route", n, each)
	}
}

// A socket that is closed while a route is busy ends, and the route's writes fail.
func TestRouteOnAClosedSocket(t *testing.T) {
	for range 20 {
		p, _ := routePort(t, "127.0.0.1:0")
		peer, there := openPlain(t, "127.0.0.1:0")
		var r atomic.Pointer[route]
		first := make(chan struct{}, 1)
		r.Store(p.route(p.addrs[0], there, func(packet []byte) bool {
			if r := r.Load(); r != nil {
				for range 10 {
					_ = r.Write(packet, traffic.Video)
				}
			}
			select {
			case first <- struct{}{}:
			default:
			}
			return true
		}))
		for i := range 50 {
			send(t, peer, media(i), p.addrs[0])
		}
		<-first
		if err := p.sockets[0].Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Load().Write(media(0), traffic.Video); err == nil {
			t.Fatal("wrote to a closed socket")
		}
	}
}

// BenchmarkRoute is one packet's way in and out through the system calls, 32 to a batch.
func BenchmarkRoute(b *testing.B) {
	for _, viewers := range []int{1, 5} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			p := &Port{}
			s, here := openSocket(b, "127.0.0.1:0")
			p.addrs, p.sockets = []netip.AddrPort{here}, []*socket{s}
			peer, there := openPlain(b, "127.0.0.1:0")
			data := make([]byte, 1200)
			data[0] = 0x80
			var taken atomic.Int64
			var r atomic.Pointer[route]
			r.Store(p.route(here, there, func(packet []byte) bool {
				for range viewers {
					_ = r.Load().Write(packet, traffic.Video)
				}
				taken.Add(1)
				return true
			}))
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _, _ = s.ReadFromAddrPort(make([]byte, 2000))
			}()
			before := cpu(b)
			b.ReportAllocs()
			for i := range b.N {
				if _, err := peer.WriteToUDPAddrPort(data, here); err != nil {
					b.Fatal(err)
				}
				for int64(i)-taken.Load() > 16 {
					time.Sleep(10 * time.Microsecond)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/packet")
			s.Close()
			<-done
		})
	}
}
