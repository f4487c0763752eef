package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"skillsage/internal/testkit/stunserver"
)

// The question leaves from the media socket itself, on both families, and a lost one is asked again.
func TestReflexive(t *testing.T) {
	p := open(t, Options{Addresses: []netip.Addr{localhost, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::1")}})
	var lost atomic.Int32
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		lost.Store(1)
		server := stunserver.Open(t, address, func(from netip.AddrPort) netip.AddrPort {
			if lost.Add(-1) >= 0 {
				return netip.AddrPort{}
			}
			return from
		})
		for _, local := range p.Addresses() {
			if local.Addr().Is4() != server.Addr.Addr().Is4() {
				continue
			}
			got, err := p.Reflexive(t.Context(), local, server.Addr)
			if err != nil || got != local {
				t.Errorf("asked %s from %s: %s, %v", server.Addr, local, got, err)
			}
		}
	}
	if _, err := p.Reflexive(t.Context(), netip.MustParseAddrPort("127.0.0.3:1"), netip.MustParseAddrPort("127.0.0.1:1")); err == nil {
		t.Error("asked from where the port is not open")
	}
	if _, err := p.Reflexive(t.Context(), p.Addresses()[0], netip.MustParseAddrPort("[::1]:1")); err == nil {
		t.Error("asked a server of the other family")
	}
}

// What is asked at the same time gets each its own answer.
func TestReflexiveAtOnce(t *testing.T) {
	p := open(t, Options{Addresses: []netip.Addr{localhost}})
	var all sync.WaitGroup
	for i := range 20 {
		want := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(1000+i))
		server := stunserver.Open(t, "127.0.0.1:0", func(netip.AddrPort) netip.AddrPort { return want })
		all.Go(func() {
			if got, err := p.Reflexive(t.Context(), p.Addresses()[0], server.Addr); err != nil || got != want {
				t.Errorf("%s, %v; want %s", got, err, want)
			}
		})
	}
	all.Wait()
}

func TestReflexiveErrors(t *testing.T) {
	p := open(t, Options{Addresses: []netip.Addr{localhost}})
	local := p.Addresses()[0]
	stranger, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(localhost, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	mapped := &stun.XORMappedAddress{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	for _, c := range []struct {
		name, want string
		answer     func(request *stun.Message) *stun.Message
	}{
		{"an error", "refused with code 420", func(r *stun.Message) *stun.Message {
			return stun.MustBuild(stun.NewTransactionIDSetter(r.TransactionID), stun.BindingError, stun.CodeUnknownAttribute)
		}},
		{"an error without a code", "refused without a code", func(r *stun.Message) *stun.Message {
			return stun.MustBuild(stun.NewTransactionIDSetter(r.TransactionID), stun.BindingError)
		}},
		{"an empty answer", "answer without an address", func(r *stun.Message) *stun.Message {
			return stun.MustBuild(stun.NewTransactionIDSetter(r.TransactionID), stun.BindingSuccess)
		}},
		{"a cut answer", "malformed answer", func(r *stun.Message) *stun.Message {
			m := stun.MustBuild(stun.NewTransactionIDSetter(r.TransactionID), stun.BindingSuccess, mapped)
			m.Raw = m.Raw[:len(m.Raw)-1]
			return m
		}},
		{"no answer", "no answer", func(*stun.Message) *stun.Message { return nil }},
		{"an answer to another question", "no answer", func(*stun.Message) *stun.Message {
			return stun.MustBuild(stun.TransactionID, stun.BindingSuccess, mapped)
		}},
		{"an answer of a stranger", "no answer", func(r *stun.Message) *stun.Message {
			m := stun.MustBuild(stun.NewTransactionIDSetter(r.TransactionID), stun.BindingSuccess, mapped)
			_, _ = stranger.WriteToUDPAddrPort(m.Raw, local)
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := stunserver.OpenRaw(t, "127.0.0.1:0", func(r *stun.Message, _ netip.AddrPort) *stun.Message { return c.answer(r) })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, err := p.Reflexive(ctx, local, server.Addr)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %v; want %q", got, err, c.want)
			}
			if c.want == "no answer" && (!errors.Is(err, context.DeadlineExceeded) || server.Requests() == 0) {
				t.Errorf("%v after %d questions", err, server.Requests())
			}
		})
	}
	if n := len(p.sockets[0].asked.open); n != 0 {
		t.Errorf("%d questions left", n)
	}
}

// Who asks without credentials is told its address, as any STUN server would; what has credentials is for the ICE agents.
func TestAnswersBindings(t *testing.T) {
	p := open(t, Options{Addresses: []netip.Addr{localhost, netip.MustParseAddr("::1")}})
	other := open(t, Options{Addresses: []netip.Addr{localhost, netip.MustParseAddr("::1")}})
	for i, local := range other.Addresses() {
		if got, err := other.Reflexive(t.Context(), local, p.Addresses()[i]); err != nil || got != local {
			t.Errorf("%s is told %s: %v", local, got, err)
		}
	}
	from := netip.MustParseAddrPort("192.0.2.1:9")
	plain := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	if AnswerBinding(plain.Raw, from) == nil {
		t.Error("no answer")
	}
	for name, packet := range map[string][]byte{
		"nothing":        nil,
		"a check of ICE": stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("a:b")).Raw,
		"an answer":      stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw,
		"an indication":  stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw,
		"TURN":           stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw,
		"a cut one":      plain.Raw[:19],
		"old STUN":       append([]byte{0, 1, 0, 0, 1, 2, 3, 4}, plain.Raw[8:]...),
	} {
		if AnswerBinding(packet, from) != nil {
			t.Errorf("%s was answered", name)
		}
	}
}

// A flood of questions does not become one of answers.
func TestAnswersAreLimited(t *testing.T) {
	p := open(t, Options{Addresses: []netip.Addr{localhost}})
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.Addresses()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.sockets[0].limit.SetBurst(3)
	p.sockets[0].limit.SetLimit(0)
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	for range 10 {
		if _, err := conn.Write(request.Raw); err != nil {
			t.Fatal(err)
		}
	}
	answers := 0
	buf := make([]byte, 100)
	for _ = conn.SetReadDeadline(time.Now().Add(time.Second)); ; answers++ {
		if _, err := conn.Read(buf); err != nil {
			break
		}
	}
	if answers != 3 {
		t.Errorf("%d answers", answers)
	}
}
