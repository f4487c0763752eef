package turn

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
	"go.uber.org/goleak"

	"skillsage/network"
)

func TestMain(m *testing.M) {
	if inNamespace() {
		setUpNamespace()
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// silenceTime is how long a test waits for what must not come.
const silenceTime = 200 * time.Millisecond

var localhost = netip.MustParseAddr("127.0.0.1")

// rig is a running server on a media port of its own.
type rig struct {
	*testing.T
	*Server
	port *network.Port
	tcp  net.Addr
}

func start(t *testing.T, opts Options, addrs ...netip.Addr) *rig {
	t.Helper()
	if len(addrs) == 0 {
		addrs = []netip.Addr{localhost}
	}
	port, err := network.Open(network.Options{Addresses: addrs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	inner, err := net.Listen("tcp", netip.AddrPortFrom(addrs[0], 0).String())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, port: port, tcp: inner.Addr()}
	opts.Port, opts.Listener = port, inner
	if opts.Realm == "" {
		opts.Realm = "interviews"
	}
	if opts.CredentialTTL == 0 {
		opts.CredentialTTL = time.Hour
	}
	if opts.MaxAllocations == 0 {
		opts.MaxAllocations, opts.MaxAllocationsPerMember = 100, 100
	}
	opts.Logger = slog.New(slog.DiscardHandler)
	if r.Server, err = Open(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.close()
		if n := r.Stats().Allocations; n != 0 {
			t.Errorf("%d allocations after Close", n)
		}
	})
	return r
}

func (r *rig) close() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), allocateTime/2) // before connections end by themselves
	defer cancel()
	if err := r.Close(ctx); err != nil {
		r.Error(err)
	}
}

func (r *rig) media() netip.AddrPort { return r.port.Addresses()[0] }

func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("did not happen: %s; %+v", what, r.Stats())
		}
	}
}

// transports runs a test over UDP and over TCP.
func transports(t *testing.T, test func(t *testing.T, transport string)) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) { test(t, transport) })
	}
}

// raw is a client that sends what a test wants, one message at a time.
type raw struct {
	*testing.T
	conn     net.Conn
	account  ICEServer
	realm    stun.Realm
	nonce    stun.Nonce
	incoming [2000]byte
}

func (r *rig) dial(transport string) net.Conn {
	r.Helper()
	address := r.media().String()
	if transport == "tcp" {
		address = r.tcp.String()
	}
	conn, err := net.Dial(transport, address)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { conn.Close() })
	return conn
}

func (r *rig) raw(transport, member string) *raw {
	r.Helper()
	return &raw{T: r.T, conn: r.dial(transport), account: r.Account(nil).For(member)}
}

// message builds a message; signed, if the server has told its nonce.
func (c *raw) message(method stun.Method, class stun.MessageClass, setters ...stun.Setter) *stun.Message {
	c.Helper()
	all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, class)}, setters...)
	if class == stun.ClassRequest && len(c.nonce) > 0 {
		all = append(all, stun.NewUsername(c.account.Username), c.realm, c.nonce,
			stun.NewLongTermIntegrity(c.account.Username, c.realm.String(), c.account.Credential))
	}
	m, err := stun.Build(append(all, stun.Fingerprint)...)
	if err != nil {
		c.Fatal(err)
	}
	return m
}

// send writes a message as it is.
func (c *raw) send(b []byte) {
	c.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.Fatal(err)
	}
}

// receive returns the next message of the server, nil if there is none for limit.
func (c *raw) receive(limit time.Duration) []byte {
	c.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(limit))
	if _, ok := c.conn.(*net.UDPConn); ok {
		n, err := c.conn.Read(c.incoming[:])
		if err != nil {
			return nil
		}
		return c.incoming[:n]
	}
	if _, err := io.ReadFull(c.conn, c.incoming[:4]); err != nil {
		return nil
	}
	size := 4 + (int(binary.BigEndian.Uint16(c.incoming[2:]))+3)&^3
	if c.incoming[0] < 0x40 {
		size = 20 + int(binary.BigEndian.Uint16(c.incoming[2:]))
	}
	if _, err := io.ReadFull(c.conn, c.incoming[4:size]); err != nil {
		c.Fatal(err)
	}
	return c.incoming[:size]
}

// request sends a request and returns the answer, nil if there is none for limit. Data that comes meanwhile is left out.
func (c *raw) request(limit time.Duration, method stun.Method, setters ...stun.Setter) *stun.Message {
	c.Helper()
	m := c.message(method, stun.ClassRequest, setters...)
	c.send(m.Raw)
	for {
		b := c.receive(limit)
		if b == nil {
			return nil
		}
		var answer stun.Message
		if stun.Decode(b, &answer) == nil && answer.TransactionID == m.TransactionID {
			return &answer
		}
	}
}

// do is a request with all that it takes to be let in. It returns the error code, 0 for a success.
func (c *raw) do(method stun.Method, setters ...stun.Setter) (code int, answer *stun.Message) {
	c.Helper()
	if c.nonce == nil {
		first := c.request(patience, method, setters...)
		if codeOf(first) != 401 {
			c.Fatalf("unsigned: %v", first)
		}
		if err := first.Parse(&c.realm, &c.nonce); err != nil {
			c.Fatal(err)
		}
	}
	answer = c.request(patience, method, setters...)
	if answer == nil {
		c.Fatalf("%s: no answer", method)
	}
	return codeOf(answer), answer
}

func codeOf(answer *stun.Message) int {
	var code stun.ErrorCodeAttribute
	if answer == nil || answer.Type.Class == stun.ClassSuccessResponse || code.GetFrom(answer) != nil {
		return 0
	}
	return int(code.Code)
}

// attribute is a STUN attribute by its number.
type attribute struct {
	kind  stun.AttrType
	value []byte
}

func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

var overUDP = attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}

func lifetime(seconds uint32) attribute {
	return attribute{stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, seconds)}
}

func channelNumber(n uint16) attribute {
	return attribute{stun.AttrChannelNumber, binary.BigEndian.AppendUint32(nil, uint32(n)<<16)}
}

// peer is an XOR-PEER-ADDRESS.
type peer netip.AddrPort

func (p peer) AddTo(m *stun.Message) error {
	addr := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: net.IP(addr.Addr().AsSlice()), Port: int(addr.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// allocate makes an allocation and returns its relayed address; code is not 0 if it was refused.
func (c *raw) allocate(setters ...stun.Setter) (relayed netip.AddrPort, code int) {
	c.Helper()
	code, answer := c.do(stun.MethodAllocate, append([]stun.Setter{overUDP}, setters...)...)
	if code != 0 {
		return relayed, code
	}
	var addr stun.XORMappedAddress
	if err := addr.GetFromAs(answer, stun.AttrXORRelayedAddress); err != nil {
		c.Fatal(err)
	}
	ip, _ := netip.AddrFromSlice(addr.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(addr.Port)), 0
}

// mustAllocate is allocate for tests of what comes after.
func (c *raw) mustAllocate(setters ...stun.Setter) netip.AddrPort {
	c.Helper()
	relayed, code := c.allocate(setters...)
	if code != 0 {
		c.Fatalf("refused with %d", code)
	}
	return relayed
}

// sendTo relays data with a Send indication.
func (c *raw) sendTo(to netip.AddrPort, data []byte) {
	c.Helper()
	c.send(c.message(stun.MethodSend, stun.ClassIndication, peer(to), attribute{stun.AttrData, data}).Raw)
}

// client is a real TURN client with an allocation.
func (r *rig) client(transport, member string) net.PacketConn {
	r.Helper()
	var conn net.PacketConn
	address := r.media().String()
	if transport == "tcp" {
		address = r.tcp.String()
		conn = pion.NewSTUNConn(r.dial("tcp"))
	} else {
		var err error
		if conn, err = net.ListenPacket("udp", netip.AddrPortFrom(r.media().Addr(), 0).String()); err != nil {
			r.Fatal(err)
		}
	}
	account := r.Account(nil).For(member)
	c, err := pion.NewClient(&pion.ClientConfig{
		TURNServerAddr: address, Conn: conn, Username: account.Username, Password: account.Credential,
		LoggerFactory: silence{slog.New(slog.DiscardHandler)},
	})
	if err == nil {
		err = c.Listen()
	}
	if err != nil {
		r.Fatal(err)
	}
	relayed, err := c.Allocate()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = relayed.Close()
		c.Close()
		_ = conn.Close()
	})
	return relayed
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
