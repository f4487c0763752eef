// Package turn is a TURN server (RFC 8656) for the members of this server's rooms, beside ICE on the media port and on a
// TCP listener. What it relays goes to this server's own media port and from one of its clients to another, inside the
// process: no socket is opened, and nothing else can be reached. Members of peer-to-peer rooms can be given sockets, if
// the operator wants that, which reach the public internet and never the network behind the server.
package turn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
	"golang.org/x/time/rate"

	"skillsage/network"
)

// Options of a Server.
type Options struct {
	// Port is the media port. TURN over UDP is on it, and what is relayed goes to it.
	Port *network.Port
	// Listener brings the clients of TURN over TCP and, decrypted, over TLS; nil: none. The server closes it.
	Listener net.Listener
	// Realm is part of every credential (RFC 8489 section 9.2).
	Realm string
	// Secret is what credentials are made of. "" is a random one; servers that share it take each other's credentials.
	Secret string
	// CredentialTTL is how long credentials can be used to make allocations. What was made stays.
	CredentialTTL time.Duration
	// Member tells whether somebody may have allocations now, and whether they may lead outside, if RelayPorts are set. It
	// must be cheap, since strangers can cause calls. Nil: everybody may, with all.
	Member func(id string) (known, outside bool)
	// RelayPorts are the UDP ports of relayed addresses that lead outside; the zero value: none do.
	RelayPorts PortRange
	// MaxAllocations and MaxAllocationsPerMember bound the relayed addresses. A browser takes one for each connection, URL
	// and interface of its machine.
	MaxAllocations, MaxAllocationsPerMember int
	// MaxBandwidthPerMember bounds what is relayed for one member, both ways together, in bytes per second. What is too
	// much is dropped. 0: it is not bounded.
	MaxBandwidthPerMember int
	// Logger is told of errors of the server itself; nil is slog.Default.
	Logger *slog.Logger
}

// PortRange is a range of ports with both of its ends.
type PortRange struct{ Min, Max uint16 }

// Server is a running TURN server. Its methods are safe for concurrent use.
type Server struct {
	// Static.
	opts     Options
	account  Account // without URLs
	server   *pion.Server
	listener *listener // nil: no TCP
	hosts    hosts

	media    atomic.Pointer[mediaAddresses]
	nextPort atomic.Uint32
	count    counters

	mu       sync.Mutex
	relays   map[netip.AddrPort]*relay // guarded by mu; by relayed address
	reserved int                       // guarded by mu; relays, those that are about to be opened included
	clients  map[clientKey]*relay      // guarded by mu
	members  map[string]*usage         // guarded by mu; those who have allocations
	live     int                       // guarded by mu; allocations and TCP connections that have not ended
	closing  bool                      // guarded by mu
	ended    chan struct{}             // closed when closing is set and live is 0
}

// clientKey is the client's side of an allocation. The server's address tells apart what came to different sockets; TCP
// listeners do not know theirs when they are asked, and leave it out.
type clientKey struct {
	network        string
	client, server netip.AddrPort
}

func keyOf(client, server net.Addr) clientKey {
	key := clientKey{network: client.Network(), client: addrPortOf(client)}
	if key.network == "udp" {
		key.server = addrPortOf(server)
	}
	return key
}

// usage is what a member has at the moment.
type usage struct {
	allocations int // guarded by Server.mu
	limiter     *rate.Limiter
}

// Open starts a server on opts.Port and, if there is one, opts.Listener, which it has taken over even if it fails.
func Open(opts Options) (*Server, error) {
	if opts.Secret == "" {
		opts.Secret = rand.Text()
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	s := &Server{
		opts:    opts,
		account: Account{Secret: opts.Secret, TTL: opts.CredentialTTL},
		relays:  make(map[netip.AddrPort]*relay),
		clients: make(map[clientKey]*relay),
		members: make(map[string]*usage),
		ended:   make(chan struct{}),
	}
	s.nextPort.Store(mathrand.Uint32())
	s.Advertise(nil)
	config := pion.ServerConfig{
		Realm:         opts.Realm,
		LoggerFactory: silence{opts.Logger},
		AuthHandler:   s.authenticate,
		QuotaHandler:  s.withinQuota,
		EventHandler:  s.events(),
	}
	limit := &limiter{}
	for _, conn := range opts.Port.TURN() {
		local := addrPortOf(conn.LocalAddr())
		config.PacketConnConfigs = append(config.PacketConnConfigs, pion.PacketConnConfig{
			PacketConn:            &packetConn{conn, limit},
			RelayAddressGenerator: generator{s, local.Addr()},
			PermissionHandler: func(client net.Addr, peer net.IP) bool {
				return s.mayReach(clientKey{"udp", addrPortOf(client), local}, peer)
			},
		})
	}
	if opts.Listener != nil {
		s.listener = newListener(opts.Listener, s)
		config.ListenerConfigs = []pion.ListenerConfig{{
			Listener:              s.listener,
			RelayAddressGenerator: generator{server: s},
			PermissionHandler: func(client net.Addr, peer net.IP) bool {
				return s.mayReach(clientKey{network: "tcp", client: addrPortOf(client)}, peer)
			},
		}}
	}
	var err error
	if s.server, err = pion.NewServer(config); err != nil {
		for _, c := range config.PacketConnConfigs {
			_ = c.PacketConn.Close()
		}
		if s.listener != nil {
			_ = s.listener.Close()
		}
		return nil, fmt.Errorf("TURN: %w", err)
	}
	return s, nil
}

// Close ends the server and all allocations, and waits for them until ctx is done. The media port stays open.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	s.checkEndedLocked()
	s.mu.Unlock()
	var err error
	if first {
		if err = s.server.Close(); errors.Is(err, net.ErrClosed) { // a listener that others have closed already
			err = nil
		}
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("TURN: allocations did not end: %w", ctx.Err()))
	}
	return err
}

// begin and end bracket the life of what Close waits for.
func (s *Server) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live++
}

func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live--
	s.checkEndedLocked()
}

func (s *Server) checkEndedLocked() {
	if !s.closing || s.live > 0 {
		return
	}
	select {
	case <-s.ended:
	default:
		close(s.ended)
	}
}

// authenticate finds the key of a request's user name. Only allocations need credentials that have not ended, of somebody
// who is there: an interview outlasts both its credentials and a broken connection to the signaling.
func (s *Server) authenticate(request *pion.RequestAttributes) (member string, key []byte, ok bool) {
	expiry, member, ok := parseUsername(request.Username)
	if !ok {
		s.count.refuse(refusedCredentials)
		return "", nil, false
	}
	if request.Method == stun.MethodAllocate {
		if time.Now().After(expiry) {
			s.count.refuse(refusedExpired)
			return "", nil, false
		}
		if known, _ := s.lookUp(member); !known {
			s.count.refuse(refusedMember)
			return "", nil, false
		}
	}
	return member, pion.GenerateAuthKey(request.Username, s.opts.Realm, s.account.password(request.Username)), true
}

func (s *Server) lookUp(member string) (known, outside bool) {
	if s.opts.Member == nil {
		return true, true
	}
	return s.opts.Member(member)
}

// withinQuota decides about an allocation before it is made; reserve has the last word.
func (s *Server) withinQuota(member, _ string, _ net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.members[member]; u != nil && u.allocations >= s.opts.MaxAllocationsPerMember {
		s.count.refuse(refusedQuota)
		return false
	}
	return true
}

var (
	errClosing     = errors.New("the server is closing")
	errCapacity    = errors.New("there are too many allocations")
	errQuota       = errors.New("the member has too many allocations")
	errUnsupported = errors.New("this server only relays UDP, from ports of its own choice")
)

// reserve counts an allocation of member.
func (s *Server) reserve(member string) (*usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.members[member]
	switch {
	case s.closing:
		return nil, errClosing
	case s.reserved >= s.opts.MaxAllocations:
		s.count.refuse(refusedCapacity)
		return nil, errCapacity
	case u == nil:
		limit := rate.Inf
		if s.opts.MaxBandwidthPerMember > 0 {
			limit = rate.Limit(s.opts.MaxBandwidthPerMember)
		}
		u = &usage{limiter: rate.NewLimiter(limit, s.opts.MaxBandwidthPerMember)}
		s.members[member] = u
	case u.allocations >= s.opts.MaxAllocationsPerMember:
		s.count.refuse(refusedQuota)
		return nil, errQuota
	}
	u.allocations++
	s.reserved++
	return u, nil
}

// unreserve takes back what reserve has counted.
func (s *Server) unreserve(member string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved--
	u := s.members[member]
	if u.allocations--; u.allocations == 0 {
		delete(s.members, member)
	}
}

// events keeps the relays in step with the allocations. The functions may be called while the stack holds its locks.
func (s *Server) events() pion.EventHandler {
	permit := func(relayed net.Addr, peer net.IP, ok bool) {
		if r := s.relayAt(addrPortOf(relayed)); r != nil {
			r.permit(peer, ok)
		}
	}
	bindChannel := func(relayed net.Addr, n int) {
		if r := s.relayAt(addrPortOf(relayed)); r != nil {
			r.bindChannel(n)
		}
	}
	return pion.EventHandler{
		OnAuth: func(_, _ net.Addr, _, _, _, _ string, verdict bool) {
			if !verdict {
				s.count.refuse(refusedCredentials)
			}
		},
		OnAllocationCreated: func(client, server net.Addr, _, _, _ string, relayed net.Addr, _ int) {
			s.begin()
			s.count.made.Add(1)
			s.mu.Lock()
			if r := s.relays[addrPortOf(relayed)]; r != nil {
				r.client = keyOf(client, server)
				s.clients[r.client] = r
			}
			s.mu.Unlock()
			s.setAllocated(client, server, true)
		},
		OnAllocationDeleted: func(client, server net.Addr, _, _, _ string) {
			s.setAllocated(client, server, false)
			s.end()
		},
		OnPermissionCreated: func(_, _ net.Addr, _, _, _ string, relayed net.Addr, peer net.IP) { permit(relayed, peer, true) },
		OnPermissionDeleted: func(_, _ net.Addr, _, _, _ string, relayed net.Addr, peer net.IP) { permit(relayed, peer, false) },
		OnChannelCreated:    func(_, _ net.Addr, _, _, _ string, relayed, _ net.Addr, _ uint16) { bindChannel(relayed, 1) },
		OnChannelDeleted:    func(_, _ net.Addr, _, _, _ string, relayed, _ net.Addr, _ uint16) { bindChannel(relayed, -1) },
	}
}

// setAllocated tells a TCP connection whether its client has an allocation.
func (s *Server) setAllocated(client, server net.Addr, allocated bool) {
	if s.listener != nil && client.Network() == "tcp" {
		s.listener.setAllocated(addrPortOf(client), addrPortOf(server), allocated)
	}
}

func (s *Server) relayAt(addr netip.AddrPort) *relay {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays[addr]
}

func (s *Server) relayOf(client clientKey) *relay {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clients[client]
}

// forget takes a closed relay out.
func (s *Server) forget(r *relay) {
	s.mu.Lock()
	delete(s.relays, r.addr)
	if s.clients[r.client] == r {
		delete(s.clients, r.client)
	}
	s.mu.Unlock()
	s.unreserve(r.member)
}

// addrPortOf is the zero value for an address of neither UDP nor TCP.
func addrPortOf(addr net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := addr.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
