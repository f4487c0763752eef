package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// message builds a STUN message; a method of 0 is Binding.
func message(t testing.TB, method stun.Method, class stun.MessageClass, setters ...stun.Setter) []byte {
	t.Helper()
	if method == 0 {
		method = stun.MethodBinding
	}
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.NewType(method, class)}, setters...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func TestIsTURN(t *testing.T) {
	check := message(t, 0, stun.ClassRequest, stun.NewSoftware("agent"), stun.NewUsername("there:here"), stun.Fingerprint)
	question := message(t, 0, stun.ClassRequest, stun.NewSoftware("odd"), stun.Fingerprint)
	cut := bytes.Clone(check)
	binary.BigEndian.PutUint16(cut[stunHeader+2:], 0xFFFF) // the first attribute claims more than there is
	noCookie := bytes.Clone(question)
	noCookie[4]++
	for name, c := range map[string]struct {
		packet []byte
		want   bool
	}{
		"an ICE agent's check":           {check, false},
		"its answer":                     {message(t, 0, stun.ClassSuccessResponse), false},
		"its refusal":                    {message(t, 0, stun.ClassErrorResponse), false},
		"its keepalive":                  {message(t, 0, stun.ClassIndication), false},
		"a question to a STUN server":    {question, true},
		"an attribute beyond the end":    {cut, true},
		"Allocate":                       {message(t, stun.MethodAllocate, stun.ClassRequest), true},
		"Allocate with a user name":      {message(t, stun.MethodAllocate, stun.ClassRequest, stun.NewUsername("u")), true},
		"Send":                           {message(t, stun.MethodSend, stun.ClassIndication), true},
		"a method that nobody knows":     {message(t, 0x3FF, stun.ClassRequest), true},
		"channel data":                   {[]byte{0x40, 0, 0, 1, 9}, true},
		"channel data, the last channel": {[]byte{0x4F, 0xFF, 0, 0}, true},
		"less than channel data":         {[]byte{0x40, 0, 0}, false},
		"beyond the channels":            {[]byte{0x50, 0, 0, 0}, false},
		"without the cookie":             {noCookie, false},
		"half a header":                  {question[:stunHeader-1], false},
		"DTLS":                           {append([]byte{22, 0xfe, 0xfd}, make([]byte, 40)...), false},
		"ZRTP":                           {append([]byte{16, 0}, make([]byte, 40)...), false},
		"nothing":                        {nil, false},
	} {
		if got := isTURN(c.packet); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A TURN server gets its packets from the sender's address and answers from the port, ICE gets the others; both
// families, and everything is ICE's again when the TURN server has gone.
func TestTURNSharesThePort(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			p, long := routePort(t, address)
			turn := p.TURN()[0]
			peer, there := openPlain(t, address)
			check := message(t, 0, stun.ClassRequest, stun.NewUsername("there:here"))
			allocate := message(t, stun.MethodAllocate, stun.ClassRequest)
			channel := []byte{0x40, 1, 0, 3, 1, 2, 3, 0}
			for _, packet := range [][]byte{check, allocate, channel, media(7)} {
				send(t, peer, packet, p.addrs[0])
			}
			for _, want := range [][]byte{check, media(7)} {
				if got := <-long; !bytes.Equal(got, want) {
					t.Errorf("ICE got %x", got)
				}
			}
			buf := make([]byte, 100)
			for _, want := range [][]byte{allocate, channel} {
				n, from, err := turn.ReadFrom(buf)
				if err != nil || !bytes.Equal(buf[:n], want) || from.(*net.UDPAddr).AddrPort() != there {
					t.Fatalf("%x from %s: %v", buf[:n], from, err)
				}
			}
			if _, err := turn.WriteTo([]byte("answer"), net.UDPAddrFromAddrPort(there)); err != nil {
				t.Fatal(err)
			}
			if packet, from := receive(t, peer); string(packet) != "answer" || from != p.addrs[0] {
				t.Errorf("%q from %s", packet, from)
			}
			if turn.LocalAddr().String() != p.addrs[0].String() {
				t.Errorf("at %s", turn.LocalAddr())
			}
			if n := p.sockets[0].count.turn.Load(); n != 2 {
				t.Errorf("%d counted", n)
			}

			read := make(chan error, 1)
			go func() {
				_, _, err := turn.ReadFrom(buf)
				read <- err
			}()
			for range 2 {
				if err := turn.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := <-read; !errors.Is(err, net.ErrClosed) {
				t.Errorf("read: %v", err)
			}
			send(t, peer, allocate, p.addrs[0])
			if got := <-long; !bytes.Equal(got, allocate) {
				t.Errorf("ICE got %x", got)
			}
		})
	}
}

// A TURN server that does not read costs its own packets, and those only.
func TestTURNIsBounded(t *testing.T) {
	p, long := routePort(t, "127.0.0.1:0")
	p.TURN()
	peer, _ := openPlain(t, "127.0.0.1:0")
	count := p.sockets[0].count
	const more = 50
	for i := range turnLimit + more {
		send(t, peer, []byte{0x40, 0, 0, 0}, p.addrs[0])
		if i%20 == 0 {
			eventually(t, func() bool { return count.turn.Load() > uint64(i) })
		}
	}
	send(t, peer, media(1), p.addrs[0])
	if n := numberOf(<-long); n != 1 {
		t.Errorf("the long way: %d", n)
	}
	if dropped, all := count.overrun.Load(), count.turn.Load(); dropped != more || all != turnLimit+more {
		t.Errorf("%d of %d dropped", dropped, all)
	}
}

// Closing a port ends a TURN server that still reads on it.
func TestCloseEndsTURN(t *testing.T) {
	p, err := Open(Options{Addresses: []netip.Addr{localhost, netip.MustParseAddr("127.0.0.2")}})
	if err != nil {
		t.Fatal(err)
	}
	conns := p.TURN()
	if len(conns) != 2 {
		t.Fatalf("%d connections", len(conns))
	}
	var readers sync.WaitGroup
	for _, c := range conns {
		readers.Go(func() {
			if _, _, err := c.ReadFrom(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read: %v", err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	readers.Wait()
}
