package turn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	pion "github.com/pion/turn/v5"

	"skillsage/network"
	"skillsage/network/internal/packets"
)

const (
	// queueLimit and queueAge bound what waits for a client of TURN over TCP whose connection is stuck. Media is of no use
	// when it is late, and a receiver of late media believes in a slow path.
	queueLimit = 256 // packets
	queueAge   = 400 * time.Millisecond

	// maxRelayed is the largest packet that is relayed, in bytes; WebRTC stays below.
	maxRelayed = 1500

	// Relayed addresses without a socket have ports that neither Linux nor other systems give to those who ask for any:
	// another program's packets for one would be lost in here. Below 1024 browsers take no candidates.
	firstVirtualPort, lastVirtualPort = 16384, 32767

	// portTries bounds the search for a free port.
	portTries = 64
)

// relay is a relayed transport address: to the stack a socket of its allocation. What its client sends to the media port
// or to another relay goes there inside the process; with a socket of its own it also leads outside.
type relay struct {
	// Static.
	server  *Server
	member  string
	usage   *usage
	addr    netip.AddrPort
	virtual *network.Virtual
	socket  *net.UDPConn   // nil: it only leads inside
	pump    sync.WaitGroup // what reads the socket
	queue   *packets.Queue // for the client

	client clientKey // guarded by Server.mu

	mu        sync.Mutex
	names     map[netip.AddrPort]netip.AddrPort // guarded by mu; the address by which the client last called one of the port's
	permitted map[netip.Addr]bool               // guarded by mu; the allocation's permissions
	channels  int                               // guarded by mu
	closed    bool                              // guarded by mu

	from net.UDPAddr // of the last packet read; owned by the reader, who keeps it for as long
}

// generator makes the relays of one socket or listener. It implements pion's RelayAddressGenerator.
type generator struct {
	server *Server
	local  netip.Addr // where clients come in; the zero value: anywhere
}

func (generator) Validate() error { return nil }

// AllocatePacketConn makes a relay for an authenticated request.
func (g generator) AllocatePacketConn(config pion.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	s := g.server
	// Without a user the stack looks for an even port (RFC 8656 section 7.2), and with a port it has found one.
	if config.RequestedPort != 0 || config.UserID == "" {
		s.count.refuse(refusedUnsupported)
		return nil, nil, errUnsupported
	}
	local, err := g.address(config.Network == "udp4")
	if err != nil {
		s.count.refuse(refusedUnsupported)
		return nil, nil, err
	}
	use, err := s.reserve(config.UserID)
	if err != nil {
		return nil, nil, err
	}
	r, err := s.newRelay(config.UserID, use, local)
	if err != nil {
		s.unreserve(config.UserID)
		s.count.refuse(refusedCapacity)
		return nil, nil, err
	}
	return r, r.LocalAddr(), nil
}

// address is the own address to relay from.
func (g generator) address(v4 bool) (netip.Addr, error) {
	if g.local.IsValid() && g.local.Is4() == v4 {
		return g.local, nil
	}
	for _, addr := range g.server.opts.Port.Addresses() {
		if addr.Addr().Is4() == v4 {
			return addr.Addr(), nil
		}
	}
	return netip.Addr{}, errUnsupported
}

// AllocateListener refuses allocations of TCP (RFC 6062).
func (g generator) AllocateListener(pion.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	g.server.count.refuse(refusedUnsupported)
	return nil, nil, errUnsupported
}

// AllocateConn refuses TCP connections to peers (RFC 6062).
func (g generator) AllocateConn(pion.AllocateConnConfig) (net.Conn, error) {
	g.server.count.refuse(refusedUnsupported)
	return nil, errUnsupported
}

// newRelay opens a relay. local is the own address that a socket, if it gets one, is opened at.
func (s *Server) newRelay(member string, use *usage, local netip.Addr) (*relay, error) {
	r := &relay{
		server: s, member: member, usage: use,
		queue:     packets.NewQueue(queueLimit, queueAge, &s.count.dropped),
		names:     make(map[netip.AddrPort]netip.AddrPort),
		permitted: make(map[netip.Addr]bool),
	}
	shown := s.media.Load().relayed(local)
	ports := PortRange{firstVirtualPort, lastVirtualPort}
	outside := s.opts.RelayPorts != PortRange{}
	if outside {
		_, outside = s.lookUp(member)
	}
	if outside {
		ports = s.opts.RelayPorts
	}
	size := uint32(ports.Max) - uint32(ports.Min) + 1
	for range min(size, portTries) {
		// One after the other, so that it is long until a port is given again: ICE keeps addresses in mind for a while.
		port := ports.Min + uint16(s.nextPort.Add(1)%size)
		if outside {
			socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
			if err != nil {
				continue
			}
			r.socket = socket
		}
		if r.attach(netip.AddrPortFrom(shown, port)) == nil {
			if outside {
				r.pump.Go(r.read)
			}
			return r, nil
		}
		if outside {
			_ = r.socket.Close()
		}
	}
	return nil, fmt.Errorf("no free port from %d to %d", ports.Min, ports.Max)
}

// attach makes addr the relay's own.
func (r *relay) attach(addr netip.AddrPort) error {
	s := r.server
	if _, ok := s.media.Load().local[addr]; ok {
		return network.ErrAddressTaken
	}
	virtual, err := s.opts.Port.Virtual(addr, r.receive)
	if err != nil {
		return err
	}
	r.addr, r.virtual = addr, virtual
	s.mu.Lock()
	s.relays[addr] = r
	s.mu.Unlock()
	return nil
}

// WriteTo relays a packet of the client to a peer, for whose address the allocation has a permission. What may not be
// reached is dropped, as in any network.
func (r *relay) WriteTo(packet []byte, peer net.Addr) (int, error) {
	s, n := r.server, len(packet) // the port may change what it is sent
	if n > maxRelayed || !r.usage.limiter.AllowN(time.Now(), n) || !r.relay(packet, addrPortOf(peer)) {
		s.count.dropped.Add(1)
		return n, nil
	}
	s.count.received.Add(uint64(n))
	return n, nil
}

func (r *relay) relay(packet []byte, to netip.AddrPort) bool {
	s := r.server
	media := s.media.Load()
	if local, ok := media.local[to]; ok {
		r.name(local, to)
		return r.virtual.Send(packet, local)
	}
	if other := s.relayAt(to); other != nil {
		other.deliver(packet, r.addr)
		return true
	}
	if r.socket == nil || to.Port() < firstPeerPort || media.has(to.Addr()) || !isPublic(to.Addr()) || s.hosts.has(to.Addr()) {
		return false
	}
	_, err := r.socket.WriteToUDPAddrPort(packet, to)
	return err == nil
}

// name notes by which address the client calls one of the port's.
func (r *relay) name(local, named netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[local] = named
}

// receive takes what the media port sends to the client, who knows the sender by the address that it has used itself.
func (r *relay) receive(packet []byte, from netip.AddrPort) {
	r.mu.Lock()
	if named, ok := r.names[from]; ok {
		from = named
	}
	r.mu.Unlock()
	r.deliver(packet, from)
}

// deliver queues a packet for the client, if that has given a permission for its sender (RFC 8656 section 9). The stack
// looks at permissions too, but strangers must not use up the member's bandwidth.
func (r *relay) deliver(packet []byte, from netip.AddrPort) {
	r.mu.Lock()
	permitted := r.permitted[from.Addr()]
	r.mu.Unlock()
	if !permitted || len(packet) > maxRelayed || !r.usage.limiter.AllowN(time.Now(), len(packet)) {
		r.server.count.dropped.Add(1)
		return
	}
	r.queue.Put(packet, from)
}

// permit notes a permission of the allocation, or its end.
func (r *relay) permit(peer net.IP, ok bool) {
	addr, _ := netip.AddrFromSlice(peer)
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok {
		r.permitted[addr.Unmap()] = true
	} else {
		delete(r.permitted, addr.Unmap())
	}
}

// bindChannel notes n channels more.
func (r *relay) bindChannel(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.channels += n
}

// grants counts the allocation's permissions and channels.
func (r *relay) grants() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.permitted) + r.channels
}

// read takes what comes in from outside.
func (r *relay) read() {
	buf := make([]byte, maxRelayed+1)
	for {
		n, from, err := r.socket.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			r.deliver(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		case errors.Is(err, net.ErrClosed):
			return
		default: // ICMP, of one peer
		}
	}
}

// ReadFrom waits for a packet for the client. The address is only good until the next call.
func (r *relay) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := r.queue.Take(b)
	if err != nil {
		return 0, nil, err
	}
	r.server.count.sent.Add(uint64(n))
	if ip := from.Addr(); ip.Is4() {
		raw := ip.As4()
		r.from.IP = append(r.from.IP[:0], raw[:]...)
	} else {
		raw := ip.As16()
		r.from.IP = append(r.from.IP[:0], raw[:]...)
	}
	r.from.Port = int(from.Port())
	return n, &r.from, nil
}

func (r *relay) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(r.addr) }

// Close gives the address back and waits for the goroutine that reads its socket. It is idempotent.
func (r *relay) Close() error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	if closed {
		return nil
	}
	r.server.forget(r)
	r.virtual.Close()
	r.queue.Close()
	if r.socket != nil {
		_ = r.socket.Close()
		r.pump.Wait()
	}
	return nil
}

func (*relay) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (*relay) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (*relay) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
