package network

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"skillsage/network/traffic"
)

type parcel struct {
	data string
	from netip.AddrPort
}

// virtualPeer makes a virtual peer and a channel of what it gets.
func virtualPeer(t *testing.T, p *Port, addr string) (*Virtual, chan parcel) {
	t.Helper()
	got := make(chan parcel, 100)
	v, err := p.Virtual(netip.MustParseAddrPort(addr), func(packet []byte, from netip.AddrPort) {
		got <- parcel{string(packet), from}
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, got
}

// What the port sends to a virtual peer reaches it, by whichever way it is sent, and never the network.
func TestPortSendsToVirtual(t *testing.T) {
	p, _ := routePort(t, "127.0.0.1:0", "127.0.0.2:0")
	plain, there := openPlain(t, "127.0.0.1:0") // somebody else's socket has the same address
	v, got := virtualPeer(t, p, there.String())
	r := p.route(p.addrs[1], there, func([]byte) bool { return true })
	mapped := netip.AddrPortFrom(netip.AddrFrom16(there.Addr().As16()), there.Port())
	if _, err := p.sockets[0].WriteToAddrPort([]byte("check"), there); err != nil {
		t.Fatal(err)
	}
	if _, err := p.sockets[0].WriteToAddrPort([]byte("mapped"), mapped); err != nil {
		t.Fatal(err)
	}
	if err := r.Write([]byte("media"), traffic.Video); err != nil {
		t.Fatal(err)
	}
	for _, want := range []parcel{{"check", p.addrs[0]}, {"mapped", p.addrs[0]}, {"media", p.addrs[1]}} {
		if packet := <-got; packet != want {
			t.Errorf("%v, want %v", packet, want)
		}
	}
	if n := p.sockets[0].count.sent.Load() + p.sockets[1].count.sent.Load(); n != 0 {
		t.Errorf("%d packets went into the network", n)
	}
	v.Close()
	if _, err := p.sockets[0].WriteToAddrPort([]byte("bye"), there); err != nil {
		t.Fatal(err)
	}
	if packet, _ := receive(t, plain); string(packet) != "bye" {
		t.Errorf("%q", packet)
	}
	if len(got) != 0 {
		t.Error("the peer that has gone got something")
	}
}

// What a virtual peer sends comes to the reader, or to its route, and never to the TURN server.
func TestVirtualSendsToPort(t *testing.T) {
	p, long := routePort(t, "127.0.0.1:0", "127.0.0.2:0")
	turn := p.TURN()[0].(*turnConn)
	v, got := virtualPeer(t, p, "192.0.2.1:1024")
	check := message(t, 0, stun.ClassRequest, stun.NewUsername("there:here"))
	for _, packet := range [][]byte{check, {22, 0xfe, 0xfd}, media(1)} {
		if !v.Send(packet, p.addrs[0]) {
			t.Fatal("not taken")
		}
		if in := <-long; !bytes.Equal(in, packet) {
			t.Errorf("the reader got %x, want %x", in, packet)
		}
	}
	taken := make(chan int, 10)
	r := p.route(p.addrs[0], netip.MustParseAddrPort("192.0.2.1:1024"), func(packet []byte) bool {
		taken <- numberOf(packet)
		return numberOf(packet) != 13
	})
	v.Send(media(2), p.addrs[1])
	if n := <-taken; n != 2 {
		t.Errorf("the route got %d", n)
	}
	if r.current.Load() != p.sockets[1] {
		t.Error("the route leaves by another socket than packets came by")
	}
	v.Send(media(13), p.addrs[0])
	if n, in := <-taken, <-long; n != 13 || numberOf(in) != 13 {
		t.Errorf("refused by the route: %d, %x", n, in)
	}
	for _, packet := range [][]byte{message(t, stun.MethodAllocate, stun.ClassRequest), {0x40, 0, 0, 0}} {
		v.Send(packet, p.addrs[0])
		if in := <-long; !bytes.Equal(in, packet) || turn.queue.Len() != 0 {
			t.Errorf("TURN inside TURN: the reader got %x, the server %d packets", in, turn.queue.Len())
		}
	}
	for _, to := range []netip.AddrPort{{}, netip.MustParseAddrPort("127.0.0.1:9"), netip.AddrPortFrom(p.addrs[0].Addr(), p.addrs[0].Port()+1)} {
		if v.Send(media(4), to) {
			t.Errorf("sent to %s", to)
		}
	}
	if len(got) != 0 {
		t.Error("the peer hears itself")
	}
	if a, b := p.sockets[0].count.direct.Load(), p.sockets[1].count.direct.Load(); a != 0 || b != 1 {
		t.Errorf("%d and %d took the route", a, b)
	}
}

func TestVirtualAddresses(t *testing.T) {
	p, _ := routePort(t, "127.0.0.1:0")
	v, _ := virtualPeer(t, p, "192.0.2.1:1024")
	for _, addr := range []string{"192.0.2.1:1024", "[::ffff:192.0.2.1]:1024", p.addrs[0].String()} {
		if _, err := p.Virtual(netip.MustParseAddrPort(addr), nil); !errors.Is(err, ErrAddressTaken) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if _, err := p.Virtual(netip.MustParseAddrPort("[2001:db8::1]:1024"), nil); err == nil || errors.Is(err, ErrAddressTaken) {
		t.Errorf("IPv6 on a port without: %v", err)
	}
	v.Close()
	second, _ := virtualPeer(t, p, "192.0.2.1:1024")
	v.Close() // again: that is another's now
	if p.sockets[0].virtuals.get(second.addr) != second {
		t.Error("the end of one peer took the next one's address")
	}
	second.Close()
	if p.sockets[0].virtuals.any() {
		t.Error("addresses are left")
	}
}

// Packets from inside and from the network, many at a time: the reader gets them all.
func TestVirtualAmongOthers(t *testing.T) {
	p, long := routePort(t, "127.0.0.1:0")
	v, _ := virtualPeer(t, p, "192.0.2.1:1024")
	peer, _ := openPlain(t, "127.0.0.1:0")
	const each = 400
	var all sync.WaitGroup
	for _, put := range []func(packet []byte){
		func(packet []byte) { send(t, peer, packet, p.addrs[0]) },
		func(packet []byte) { v.Send(packet, p.addrs[0]) },
	} {
		all.Go(func() {
			for i := range each {
				put(media(i))
				if i%20 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	seen := make([]int, each)
	for range 2 * each {
		select {
		case packet := <-long:
			seen[numberOf(packet)]++
		case <-time.After(20 * time.Second):
			t.Fatalf("lost: %d overrun", p.sockets[0].count.overrun.Load())
		}
	}
	all.Wait()
	for i, n := range seen {
		if n != 2 {
			t.Errorf("packet %d came %d times", i, n)
		}
	}
}

// The deadline of the socket's owner outlives packets from inside.
func TestVirtualAndDeadlines(t *testing.T) {
	s, here := openSocket(t, "127.0.0.1:0")
	p := &Port{addrs: []netip.AddrPort{here}, sockets: []*socket{s}}
	v, _ := virtualPeer(t, p, "192.0.2.1:1024")
	buf := make([]byte, 10)
	v.Send([]byte{1}, here)
	_ = s.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, from, err := s.ReadFromAddrPort(buf); err != nil || n != 1 || from.Port() != 1024 {
		t.Fatalf("%d bytes from %s, %v", n, from, err)
	}
	if _, _, err := s.ReadFromAddrPort(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	v.Send([]byte{2}, here)
	if n, _, err := s.ReadFromAddrPort(buf); err != nil || n != 1 || buf[0] != 2 {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = s.SetReadDeadline(time.Time{})
	wake := time.AfterFunc(20*time.Millisecond, func() { v.Send([]byte{3}, here) })
	defer wake.Stop()
	if _, _, err := s.ReadFromAddrPort(buf); err != nil || buf[0] != 3 {
		t.Errorf("%x, %v", buf[0], err)
	}
}

// A reader that does not read costs a virtual peer its packets, and delays nobody.
func TestVirtualIsBounded(t *testing.T) {
	s, here := openSocket(t, "127.0.0.1:0")
	p := &Port{addrs: []netip.AddrPort{here}, sockets: []*socket{s}}
	v, _ := virtualPeer(t, p, "192.0.2.1:1024")
	for range insideLimit + 10 {
		v.Send(media(1), here)
	}
	if n := s.count.overrun.Load(); n != 10 {
		t.Errorf("%d dropped", n)
	}
}

// A virtual peer that asks for its address is answered like any other.
func TestVirtualAsksForItsAddress(t *testing.T) {
	p, _ := routePort(t, "127.0.0.1:0")
	v, got := virtualPeer(t, p, "203.0.113.9:20000")
	defer v.Close()
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	if !v.Send(request.Raw, p.addrs[0]) {
		t.Fatal("not sent")
	}
	select {
	case packet := <-got:
		if addr, err := reflexiveOf([]byte(packet.data)); err != nil || addr != v.addr || packet.from != p.addrs[0] {
			t.Errorf("%s from %s: %v", addr, packet.from, err)
		}
	case <-time.After(20 * time.Second):
		t.Error("no answer")
	}
}
