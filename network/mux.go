package network

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/pion/ice/v4"
)

// countedMux is the mux of one socket that says how many connections it holds, which Pion's does not. Only the
// taking and giving back of connections passes it: packets go from the agents to Pion's mux directly.
type countedMux struct {
	*ice.UDPMuxDefault
	count *atomic.Int64 // of all sockets of the Port

	mu   sync.Mutex
	held map[string]bool // guarded by mu; by user name fragment
}

func newCountedMux(mux *ice.UDPMuxDefault, count *atomic.Int64) *countedMux {
	return &countedMux{UDPMuxDefault: mux, count: count, held: make(map[string]bool)}
}

// GetConn implements ice.UDPMux. An agent may take the same connection several times; it counts once.
func (m *countedMux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	conn, err := m.UDPMuxDefault.GetConn(ufrag, addr)
	if err == nil && !m.held[ufrag] {
		m.held[ufrag] = true
		m.count.Add(1)
	}
	return conn, err
}

// RemoveConnByUfrag implements ice.UDPMux. An agent calls it when it is closed, and with its old fragment
// when it is restarted (RFC 8445 section 9).
func (m *countedMux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.UDPMuxDefault.RemoveConnByUfrag(ufrag)
	if m.held[ufrag] {
		delete(m.held, ufrag)
		m.count.Add(-1)
	}
}

// Close implements ice.UDPMux.
func (m *countedMux) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count.Add(-int64(len(m.held)))
	clear(m.held)
	return m.UDPMuxDefault.Close()
}
