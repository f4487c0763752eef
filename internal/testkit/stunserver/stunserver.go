// Package stunserver is a STUN server for tests that says what the test wants, as a NAT before the asker would have it.
package stunserver

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/pion/stun/v4"
)

// Server answers Binding requests (RFC 8489) until the test ends.
type Server struct {
	Addr     netip.AddrPort
	conn     *net.UDPConn
	answer   func(request *stun.Message, from netip.AddrPort) *stun.Message
	requests atomic.Int64
}

// Open starts a server at address, for example "127.0.0.1:0", that tells who asks the address that mapped says. An invalid
// one is no answer.
func Open(t testing.TB, address string, mapped func(from netip.AddrPort) netip.AddrPort) *Server {
	t.Helper()
	return OpenRaw(t, address, func(request *stun.Message, from netip.AddrPort) *stun.Message {
		addr := mapped(from)
		if !addr.IsValid() {
			return nil
		}
		return stun.MustBuild(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess,
			&stun.XORMappedAddress{IP: addr.Addr().AsSlice(), Port: int(addr.Port())}, stun.Fingerprint)
	})
}

// OpenRaw starts a server that sends what answer returns, nothing for nil.
func OpenRaw(t testing.TB, address string, answer func(request *stun.Message, from netip.AddrPort) *stun.Message) *Server {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn: conn, answer: answer}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return s
}

func (s *Server) serve() {
	buf := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		var request stun.Message
		if stun.Decode(buf[:n], &request) != nil || request.Type != stun.BindingRequest {
			continue
		}
		s.requests.Add(1)
		if m := s.answer(&request, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())); m != nil {
			_, _ = s.conn.WriteToUDPAddrPort(m.Raw, from)
		}
	}
}

// Requests counts what was asked.
func (s *Server) Requests() int { return int(s.requests.Load()) }
