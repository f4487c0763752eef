package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
)

// firstRepeat is how long an answer of a STUN server may take before the request is repeated; each further wait
// is twice as long (RFC 8489 section 6.2.1).
const firstRepeat = 500 * time.Millisecond

// Of the header of STUN (RFC 8489 section 5).
const (
	stunHeader = 20 // bytes
	stunCookie = 0x2112A442
)

// Reflexive asks a STUN server from which address packets of the socket at local reach it (the Binding method of RFC
// 8489). The request leaves from that socket, so the answer holds for media too. It is repeated until an
// answer comes or ctx ends.
func (p *Port) Reflexive(ctx context.Context, local, server netip.AddrPort) (netip.AddrPort, error) {
	s := p.socketAt(local)
	if s == nil {
		return netip.AddrPort{}, fmt.Errorf("the media port is not open at %s", local)
	}
	server = netip.AddrPortFrom(server.Addr().Unmap(), server.Port())
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return netip.AddrPort{}, err
	}
	answer := s.asked.begin(request.TransactionID, server)
	defer s.asked.end(request.TransactionID)
	wait := firstRepeat
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if _, err := s.WriteToAddrPort(request.Raw, server); err != nil {
				return netip.AddrPort{}, err
			}
			timer.Reset(wait)
			wait *= 2
		case raw := <-answer:
			return reflexiveOf(raw)
		case <-ctx.Done():
			return netip.AddrPort{}, fmt.Errorf("no answer: %w", ctx.Err())
		}
	}
}

// socketAt is the socket at one of Addresses, nil if there is none.
func (p *Port) socketAt(local netip.AddrPort) *socket {
	for i, addr := range p.addrs {
		if addr == local {
			return p.sockets[i]
		}
	}
	return nil
}

// reflexiveOf reads the answer to a Binding request.
func reflexiveOf(raw []byte) (netip.AddrPort, error) {
	var message stun.Message
	if err := stun.Decode(raw, &message); err != nil {
		return netip.AddrPort{}, fmt.Errorf("malformed answer: %w", err)
	}
	if message.Type != stun.BindingSuccess {
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(&message); err != nil {
			return netip.AddrPort{}, errors.New("refused without a code")
		}
		return netip.AddrPort{}, fmt.Errorf("refused with code %d", code.Code)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(&message); err != nil {
		return netip.AddrPort{}, fmt.Errorf("answer without an address: %w", err)
	}
	addr, ok := netip.AddrFromSlice(mapped.IP)
	if !ok || mapped.Port <= 0 {
		return netip.AddrPort{}, errors.New("answer without an address")
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(mapped.Port)), nil
}

// transactions are the questions of one socket that wait for their answers. It is safe for concurrent use.
type transactions struct {
	waiting atomic.Int32 // len(open): packets need no lock while nothing is asked

	mu   sync.Mutex
	open map[[stun.TransactionIDSize]byte]transaction // guarded by mu
}

type transaction struct {
	server netip.AddrPort
	answer chan<- []byte // takes one without a reader
}

func (t *transactions) begin(id [stun.TransactionIDSize]byte, server netip.AddrPort) <-chan []byte {
	answer := make(chan []byte, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[[stun.TransactionIDSize]byte]transaction)
	}
	t.open[id] = transaction{server, answer}
	t.waiting.Store(int32(len(t.open)))
	return answer
}

func (t *transactions) end(id [stun.TransactionIDSize]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, id)
	t.waiting.Store(int32(len(t.open)))
}

// take keeps a packet that is an answer, from the server that was asked. What ICE agents have asked is not known here.
func (t *transactions) take(packet []byte, from netip.AddrPort) bool {
	if t.waiting.Load() == 0 || !isBindingAnswer(packet) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	open, ok := t.open[[stun.TransactionIDSize]byte(packet[8:20])]
	if !ok || open.server != netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) {
		return false
	}
	select {
	case open.answer <- bytes.Clone(packet):
	default: // to a repetition
	}
	return true
}

// isBindingAnswer matches success and error responses (RFC 8489 section 5).
func isBindingAnswer(packet []byte) bool {
	return len(packet) >= stunHeader && packet[0] == 1 && (packet[1] == 0x01 || packet[1] == 0x11) &&
		binary.BigEndian.Uint32(packet[4:]) == stunCookie
}
