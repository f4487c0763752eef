package network

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v4"
	"golang.org/x/time/rate"
)

// bindingRate bounds the questions for an address that a Port answers, per second and at once. They need no
// credentials, and anybody may send them in somebody else's name.
const bindingRate = 1000

func newBindingLimit() *rate.Limiter { return rate.NewLimiter(bindingRate, bindingRate) }

// AnswerBinding is the answer of a STUN server to the Binding request of somebody at from who has no credentials (RFC 8489
// section 6.3.1): the address itself. Nil: the packet is something else, a check of ICE for example.
func AnswerBinding(packet []byte, from netip.AddrPort) []byte {
	if !isPlainBinding(packet) {
		return nil
	}
	var request stun.Message
	if stun.Decode(packet, &request) != nil {
		return nil
	}
	answer, err := stun.Build(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().Unmap().AsSlice(), Port: int(from.Port())}, stun.Fingerprint)
	if err != nil {
		return nil
	}
	return answer.Raw
}

// isPlainBinding matches Binding requests without a user name, at the cost that a reader can afford for each check of ICE.
func isPlainBinding(packet []byte) bool {
	return len(packet) >= stunHeader && binary.BigEndian.Uint16(packet) == bindingRequest &&
		binary.BigEndian.Uint32(packet[4:]) == stunCookie && !hasAttribute(packet, attributeUsername)
}

// answer answers who asks for its own address, so that everybody can see whether the port is reached.
func (s *socket) answer(packet []byte, from netip.AddrPort) bool {
	raw := AnswerBinding(packet, from)
	if raw == nil {
		return false
	}
	if s.limit.Allow() {
		_, _ = s.WriteToAddrPort(raw, from) // the family is that of the request
	}
	return true
}
