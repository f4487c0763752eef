package turn

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

// packetConn is the media port's connection for TURN with a bound on answers to those who have not shown who they are: the
// address of a request is easily forged, and its answer is larger.
type packetConn struct {
	net.PacketConn
	limit *limiter
}

func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if isAnonymous(b) && !c.limit.allow(addrPortOf(addr).Addr(), time.Now()) {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, addr)
}

// isAnonymous tells the answers to requests without good credentials: all others are signed.
func isAnonymous(b []byte) bool {
	const answerBit = 1 // of the first byte (RFC 8489 section 5); data has none
	if len(b) == 0 || b[0]&^answerBit > 0x3F || b[0]&answerBit == 0 {
		return false
	}
	m := stun.Message{Raw: b}
	return m.Decode() != nil || !m.Contains(stun.AttrMessageIntegrity)
}

// anonymousRate is how many such answers an address gets in a second: more than all the people behind one NAT cause, and
// too few to flood anybody.
const anonymousRate = 200

// limiter counts by address, in a table that no flood makes larger; addresses that share a place share the rate. It is
// safe for concurrent use.
type limiter struct {
	mu     sync.Mutex
	seed   maphash.Seed
	second int64 // that is counted
	counts [4096]uint8
}

func (l *limiter) allow(addr netip.Addr, now time.Time) bool {
	bits := 32
	if addr.Is6() {
		bits = 64 // what one person has
	}
	network, _ := addr.Prefix(bits)
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second {
		l.second, l.seed = second, maphash.MakeSeed()
		clear(l.counts[:])
	}
	count := &l.counts[maphash.Comparable(l.seed, network)%uint64(len(l.counts))]
	if *count >= anonymousRate {
		return false
	}
	*count++
	return true
}
