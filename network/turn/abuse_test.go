package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// garbage makes a packet that looks more or less like one of TURN.
func garbage(good [][]byte) []byte {
	switch rand.IntN(4) {
	case 0: // noise behind a plausible first byte
		b := randomBytes(rand.IntN(200))
		if len(b) > 0 {
			b[0] = []byte{0, 1, 3, 0x40, 0x4f, 0x16, 0x80, 'G'}[rand.IntN(8)]
		}
		return b
	case 1: // a whole header, and noise
		b := randomBytes(20 + rand.IntN(300))
		b[0] &= 3
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20))
		copy(b[4:], []byte{0x21, 0x12, 0xa4, 0x42})
		return b
	case 2: // a good message with some bits turned
		b := append([]byte(nil), good[rand.IntN(len(good))]...)
		for range 1 + rand.IntN(8) {
			b[rand.IntN(len(b))] ^= 1 << rand.IntN(8)
		}
		return b
	default: // a good one cut short
		b := good[rand.IntN(len(good))]
		return b[:rand.IntN(len(b))]
	}
}

// However much nonsense comes, from strangers and from clients, by UDP and by TCP: the server goes on, within its bounds.
func TestGarbage(t *testing.T) {
	r := start(t, Options{})
	honest := r.raw("tcp", "honest")
	honest.mustAllocate()
	insider := r.raw("udp", "insider")
	insider.mustAllocate()
	good := [][]byte{
		insider.message(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw,
		insider.message(stun.MethodRefresh, stun.ClassRequest).Raw,
		insider.message(stun.MethodCreatePermission, stun.ClassRequest, peer(r.media())).Raw,
		insider.message(stun.MethodChannelBind, stun.ClassRequest, peer(r.media()), channelNumber(0x4000)).Raw,
		insider.message(stun.MethodSend, stun.ClassIndication, peer(r.media()), attribute{stun.AttrData, randomBytes(99)}).Raw,
		insider.message(stun.MethodBinding, stun.ClassRequest).Raw,
		append([]byte{0x40, 0, 0, 99}, randomBytes(100)...),
	}
	var all sync.WaitGroup
	for range 2 {
		stranger := r.dial("udp")
		all.Go(func() {
			for range 10_000 {
				_, _ = stranger.Write(garbage(good))
			}
		})
		all.Go(func() {
			for range 200 {
				conn, err := net.Dial("tcp", r.tcp.String())
				if err != nil {
					t.Error(err)
					return
				}
				for range 20 {
					if _, err := conn.Write(garbage(good)); err != nil {
						break
					}
				}
				conn.Close()
			}
		})
	}
	all.Go(func() {
		for range 10_000 {
			_, _ = insider.conn.Write(garbage(good))
		}
	})
	all.Wait()
	if code, _ := honest.do(stun.MethodRefresh); code != 0 {
		t.Errorf("an honest client: %d", code)
	}
	r.eventually("a new client is served", func() bool {
		client := r.raw("udp", "new")
		return codeOf(client.request(time.Second, stun.MethodAllocate, overUDP)) == 401
	})
	r.eventually("connections end", func() bool {
		r.listener.mu.Lock()
		defer r.listener.mu.Unlock()
		return len(r.listener.conns) == 1 && r.listener.pending == 0
	})
}

// Answers to those who have not shown who they are don't make a flood of whoever they name as the sender; others are served.
func TestAnonymousAnswersAreLimited(t *testing.T) {
	r := start(t, Options{})
	flood := r.raw("udp", "")
	const requests = 3000
	answers := 0
	for i := range requests {
		flood.send(flood.message(stun.MethodAllocate, stun.ClassRequest, overUDP).Raw)
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // or the server's queue is what limits them
		}
	}
	for flood.receive(silenceTime) != nil {
		answers++
	}
	if answers == 0 || answers > requests/2 {
		t.Errorf("%d answers to %d requests", answers, requests)
	}
	l := &limiter{}
	now := time.Unix(1000, 0)
	for i := range 1000 {
		if ok := l.allow(localhost, now); ok != (i < anonymousRate) {
			t.Fatalf("answer %d: %v", i, ok)
		}
	}
	// Neighbours in an IPv6 network are one; others are not, but for those that share a place by chance.
	var others int
	for i := range 100 {
		if l.allow(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), now) {
			others++
		}
	}
	if others < 90 {
		t.Errorf("%d of 100 others are let through", others)
	}
	six := netip.MustParseAddr("2001:db8::1").As16()
	for i := range 1000 {
		six[15], six[12] = byte(i), byte(i>>8)
		if ok := l.allow(netip.AddrFrom16(six), now); ok != (i < anonymousRate) {
			t.Fatalf("IPv6, answer %d: %v", i, ok)
		}
	}
	if !l.allow(localhost, now.Add(time.Second)) {
		t.Error("a second later")
	}
}

// A plain question for the own address is answered, on the port that ICE is on.
func TestBinding(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		r := start(t, Options{})
		client := r.raw(transport, "")
		answer := client.request(patience, stun.MethodBinding)
		var addr stun.XORMappedAddress
		if answer == nil || addr.GetFrom(answer) != nil || addr.String() != client.conn.LocalAddr().String() {
			t.Errorf("%v, want %s", answer, client.conn.LocalAddr())
		}
	})
}

// Messages that come byte by byte, or many at once, are the same to the server; what is none ends the connection.
func TestStreams(t *testing.T) {
	r := start(t, Options{})
	client := r.raw("tcp", "here")
	client.mustAllocate()
	var stream []byte
	for range 5 {
		stream = append(stream, client.message(stun.MethodRefresh, stun.ClassRequest).Raw...)
		stream = append(stream, 0x40, 0, 0, 1, 'x', 0, 0, 0) // no such channel
	}
	for i := range stream {
		client.send(stream[i : i+1])
	}
	client.send(stream)
	for i := range 10 {
		var answer stun.Message
		if b := client.receive(patience); b == nil || stun.Decode(b, &answer) != nil || answer.Type.Class != stun.ClassSuccessResponse {
			t.Fatalf("answer %d: %x", i, b)
		}
	}
	for name, b := range map[string][]byte{
		"HTTP":                   []byte("GET / HTTP/1.1\r\n"),
		"TLS":                    {0x16, 3, 1, 1, 0, 1},
		"a giant":                {0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42},
		"giant channel data":     {0x40, 0, 0xff, 0xff, 0},
		"an odd length":          append([]byte{0, 1, 0, 3, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 20)...),
		"no cookie":              make([]byte, 40),
		"beyond the channels":    {0x50, 0, 0, 4, 0, 0, 0, 0, 0},
		"half, and then no more": nil,
	} {
		conn := r.dial("tcp")
		if b != nil {
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
		} else {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if n, err := conn.Read(make([]byte, 10)); n > 0 || err == nil || os.IsTimeout(err) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	if code, _ := client.do(stun.MethodRefresh); code != 0 {
		t.Errorf("another's connection: %d", code)
	}
}

// Who has no allocation is not kept for long: from the connection on, and after the end of one.
func TestConnectionsWithoutAllocationEnd(t *testing.T) {
	r := start(t, Options{})
	r.listener.mu.Lock()
	r.listener.allocateTime = 300 * time.Millisecond
	r.listener.mu.Unlock()
	ends := func(name string, c *raw) {
		t.Helper()
		_ = c.conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stays := r.raw("tcp", "here")
	stays.mustAllocate()
	goes := r.raw("tcp", "here")
	goes.mustAllocate()
	if code, _ := goes.do(stun.MethodRefresh, lifetime(0)); code != 0 {
		t.Fatal(code)
	}
	ends("after the end", goes)
	ends("never", r.raw("tcp", "here"))
	slow := r.raw("tcp", "here")
	slow.send([]byte{0, 1})
	ends("in the middle", slow)
	if code, _ := stays.do(stun.MethodRefresh); code != 0 {
		t.Errorf("with an allocation: %d", code)
	}
}

// Connections without an allocation are bounded, and make room when they end.
func TestPendingConnectionsAreBounded(t *testing.T) {
	r := start(t, Options{})
	var conns []*raw
	for range maxPendingPerSource {
		conns = append(conns, r.raw("tcp", "here"))
	}
	r.eventually("all are there", func() bool {
		r.listener.mu.Lock()
		defer r.listener.mu.Unlock()
		return r.listener.pending == maxPendingPerSource
	})
	over := r.dial("tcp")
	_ = over.SetReadDeadline(time.Now().Add(patience))
	if _, err := over.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("one too many: %v", err)
	}
	conns[0].mustAllocate() // is no longer among them
	conns[1].conn.Close()
	r.eventually("room", func() bool {
		r.listener.mu.Lock()
		defer r.listener.mu.Unlock()
		return r.listener.pending == maxPendingPerSource-2
	})
	for range 2 {
		r.raw("tcp", "here").mustAllocate()
	}
}

// A client that takes nothing any more delays nobody, holds little, and gets nothing late when it goes on.
func TestStuckClient(t *testing.T) {
	r := start(t, Options{})
	stuck, lively, sender := r.raw("tcp", "stuck"), r.raw("tcp", "lively"), r.raw("udp", "sender")
	_ = stuck.conn.(*net.TCPConn).SetReadBuffer(4096)
	toStuck, toLively, from := stuck.mustAllocate(), lively.mustAllocate(), sender.mustAllocate()
	for _, client := range []*raw{stuck, lively, sender} {
		if code, _ := client.do(stun.MethodCreatePermission, peer(from)); code != 0 {
			t.Fatal(code)
		}
	}
	data := make([]byte, 1200)
	sent := 0
	for number := uint32(1); r.Stats().PacketsDropped < 100; number++ {
		if sent > 3*queueLimit {
			t.Fatalf("%d packets wait: %+v", sent, r.Stats())
		}
		for range 20 {
			sender.sendTo(toStuck, data)
			sent++
		}
		binary.BigEndian.PutUint32(data, number)
		sender.sendTo(toLively, data)
		b := lively.receive(patience)
		var m stun.Message
		if b == nil || stun.Decode(b, &m) != nil {
			t.Fatalf("packet %d did not come", number)
		}
		got, err := m.Get(stun.AttrData)
		if err != nil || binary.BigEndian.Uint32(got) != number {
			t.Fatalf("%x, %v; want packet %d", got[:4], err, number)
		}
	}
	time.Sleep(2 * queueAge)
	late := 0
	for deadline := time.Now().Add(patience); ; {
		sender.sendTo(toStuck, []byte("now"))
		b := stuck.receive(patience / 4)
		if bytes.Contains(b, []byte("now")) {
			break
		}
		if b != nil {
			late++
		}
		if late > queueLimit/2 || time.Now().After(deadline) { // more than the kernel has, or nothing
			t.Fatalf("%d packets come late", late)
		}
	}
}
