// Package impair is a bad network for tests: a forwarder with loss, delay, jitter and a limited rate, in user
// space, so that it needs no kernel modules.
//
// A Link stands between clients and one UDP port of a server, and needs no rights. Clients send to the Link's
// address; each of them is given a socket of its own towards the server, as a NAT would, so the server can tell them
// apart. All clients of a Link share its two directions: they are on the same line.
//
// A Wire joins two network devices and carries everything that they send.
package impair

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// socketBuffer is asked of the kernel for each socket, in bytes.
	socketBuffer = 1 << 20
	// udpOverhead is what IPv4 and UDP add to each packet, in bytes.
	udpOverhead = 28
)

// DefaultMaxClients is enough for many browsers, each of which has an address for each connection.
const DefaultMaxClients = 256

// Options of a Link.
type Options struct {
	Listen netip.AddrPort // where clients send to; port 0 lets the system choose
	Target netip.AddrPort // the server
	Up     Settings       // from clients to the server
	Down   Settings       // from the server to clients
	Seed   uint64         // of the random decisions; the same seed decides the same for the same packets
	// MaxClients bounds the sockets; for one client more the one that was silent longest is given up.
	// 0 means DefaultMaxClients.
	MaxClients int
}

// Link forwards packets until it is closed. Its methods are safe for concurrent use.
type Link struct {
	// Static.
	target     *net.UDPAddr
	conn       *net.UDPConn
	up, down   *pipe[*flow]
	done       chan struct{}
	maxClients int
	running    sync.WaitGroup

	mu    sync.Mutex
	flows map[netip.AddrPort]*flow // guarded by mu
	close sync.Once
}

// flow is one client.
type flow struct {
	client netip.AddrPort
	conn   *net.UDPConn // towards the server
	heard  atomic.Int64 // when the client last sent, Unix nanoseconds
	cut    atomic.Bool  // nothing passes
}

func (f *flow) push(p *pipe[*flow], data []byte) {
	if f.cut.Load() {
		p.lose(data)
	} else {
		p.push(f, data)
	}
}

// New starts a Link. Close ends it.
func New(opts Options) (*Link, error) {
	if !opts.Target.IsValid() {
		return nil, errors.New("a link needs a target")
	}
	if err := checkBoth(opts.Up, opts.Down); err != nil {
		return nil, err
	}
	if !opts.Listen.IsValid() {
		return nil, errors.New("a link needs an address to listen on")
	}
	if opts.MaxClients <= 0 {
		opts.MaxClients = DefaultMaxClients
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(opts.Listen))
	if err != nil {
		return nil, err
	}
	sizeBuffers(conn)
	l := &Link{
		target:     net.UDPAddrFromAddrPort(opts.Target),
		conn:       conn,
		done:       make(chan struct{}),
		maxClients: opts.MaxClients,
		flows:      map[netip.AddrPort]*flow{},
	}
	l.up = newPipe(newShaper(opts.Up, opts.Seed, 1), udpOverhead, func(f *flow, data []byte) error {
		_, err := f.conn.Write(data)
		return err
	})
	l.down = newPipe(newShaper(opts.Down, opts.Seed, 2), udpOverhead, func(f *flow, data []byte) error {
		_, err := conn.WriteToUDPAddrPort(data, f.client)
		return err
	})
	l.running.Go(func() { l.up.run(l.done) })
	l.running.Go(func() { l.down.run(l.done) })
	l.running.Go(l.readClients)
	return l, nil
}

func sizeBuffers(conn *net.UDPConn) {
	// The kernel cuts the size to its own limit without an error.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
}

// Addr is where clients send to.
func (l *Link) Addr() netip.AddrPort {
	return l.conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// SetUp changes the direction from clients to the server. Packets on their way keep their time of arrival.
func (l *Link) SetUp(s Settings) error { return l.up.set(s) }

// SetDown changes the direction from the server to clients. Packets on their way keep their time of arrival.
func (l *Link) SetDown(s Settings) error { return l.down.set(s) }

// Cut stops all that one client sends and is sent, or lets it pass again, and leaves the others alone. It reports
// whether the Link knows the client.
func (l *Link) Cut(client netip.AddrPort, on bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.flows[client]
	if f != nil {
		f.cut.Store(on)
	}
	return f != nil
}

// Rebind gives every client another port towards the server, as a NAT does that has lost its mappings: what the server
// still sends to the old ones reaches nobody. It reports how many clients have moved.
func (l *Link) Rebind() (moved int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for client, old := range l.flows {
		f, err := l.openLocked(client)
		if err != nil {
			continue
		}
		f.heard.Store(old.heard.Load())
		f.cut.Store(old.cut.Load())
		_ = old.conn.Close()
		moved++
	}
	return moved
}

// Counters returns those of both directions.
func (l *Link) Counters() (up, down Counters) { return l.up.counters(), l.down.counters() }

// Clients is how many addresses the Link holds a socket for.
func (l *Link) Clients() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.flows)
}

// Close ends the Link, drops what is on its way and waits for its goroutines. It is idempotent.
func (l *Link) Close() error {
	l.close.Do(func() {
		close(l.done)
		_ = l.conn.Close()
		l.mu.Lock()
		for _, f := range l.flows {
			_ = f.conn.Close()
		}
		l.flows = nil
		l.mu.Unlock()
	})
	l.running.Wait()
	return nil
}

func (l *Link) readClients() {
	buffer := make([]byte, readSize)
	for {
		n, client, err := l.conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP message about one client
		}
		if f := l.flow(client); f != nil {
			f.heard.Store(time.Now().UnixNano())
			f.push(l.up, buffer[:n])
		}
	}
}

// flow finds the client's socket or opens it; nil if the Link is closed or the system has none left.
func (l *Link) flow(client netip.AddrPort) *flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flows == nil {
		return nil
	}
	if f := l.flows[client]; f != nil {
		return f
	}
	if len(l.flows) >= l.maxClients {
		l.evict()
	}
	f, err := l.openLocked(client)
	if err != nil {
		return nil
	}
	return f
}

// openLocked opens a socket for a client. It must be called with mu held, on a Link that is not closed.
func (l *Link) openLocked(client netip.AddrPort) (*flow, error) {
	conn, err := net.DialUDP("udp", nil, l.target)
	if err != nil {
		return nil, err
	}
	sizeBuffers(conn)
	f := &flow{client: client, conn: conn}
	l.flows[client] = f
	l.running.Go(func() { l.readServer(f) })
	return f, nil
}

// evict gives up the client that was silent longest. It must be called with mu held.
func (l *Link) evict() {
	var oldest *flow
	for _, f := range l.flows {
		if oldest == nil || f.heard.Load() < oldest.heard.Load() {
			oldest = f
		}
	}
	delete(l.flows, oldest.client)
	_ = oldest.conn.Close()
}

func (l *Link) readServer(f *flow) {
	buffer := make([]byte, readSize)
	for {
		n, err := f.conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // refused: nobody listens at the server's port for the moment
		}
		f.push(l.down, buffer[:n])
	}
}
