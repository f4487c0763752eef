package doctor

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"skillsage/internal/testkit/stunserver"
)

const turnSecret = "a-secret-of-the-test"

// openTURN opens a TURN server on UDP, TCP and TLS that relays to peers as permit says.
func openTURN(t *testing.T, cert tls.Certificate, permit turn.PermissionHandler) (udp, tcp, tcps net.Addr) {
	t.Helper()
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	relay := &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
	silent := &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "test", AuthHandler: turn.LongTermTURNRESTAuthHandler(turnSecret, silent.NewLogger("turn")), LoggerFactory: silent,
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: packets, RelayAddressGenerator: relay, PermissionHandler: permit}},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: plain, RelayAddressGenerator: relay, PermissionHandler: permit},
			{Listener: secure, RelayAddressGenerator: relay, PermissionHandler: permit},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return packets.LocalAddr(), plain.Addr(), secure.Addr()
}

func port(addr net.Addr) string {
	_, port, _ := net.SplitHostPort(addr.String())
	return port
}

func TestTURN(t *testing.T) {
	a := newAuthority(t)
	media := stunserver.Open(t, "127.0.0.1:0", mirror).Addr
	silent := stunserver.OpenRaw(t, "127.0.0.1:0", func(*stun.Message, netip.AddrPort) *stun.Message { return nil }).Addr
	open := func(net.Addr, net.IP) bool { return true }
	udp, tcp, secure := openTURN(t, a.leaf(-time.Hour, time.Hour, "localhost"), open)
	strict, _, _ := openTURN(t, a.leaf(-time.Hour, time.Hour, "localhost"), func(net.Addr, net.IP) bool { return false })
	username, password, err := turn.GenerateLongTermTURNRESTCredentials(turnSecret, "doctor", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	good := TURNServer{Username: username, Password: password, Roots: a.pool}
	bad, external, distrustful, elsewhere := good, good, good, good
	bad.Password, external.External, distrustful.Roots = "wrong", true, nil
	elsewhere.LocalUDP, elsewhere.LocalTCP = udp.String(), tcp.String()
	hidden := elsewhere
	hidden.LocalTCP = secure.String()
	gone := good
	gone.LocalTCP = closedPort(t, "tcp").String()
	silentTURN := silent.String()
	ipv6 := netip.MustParseAddrPort("[::1]:9")
	for _, c := range []struct {
		name, url string
		server    TURNServer
		media     []netip.AddrPort
		status    Status
		parts     []string
	}{
		{"UDP", "turn:127.0.0.1:" + port(udp) + "?transport=udp", good, []netip.AddrPort{ipv6, media}, OK, []string{"the media port at " + media.String() + " answered"}},
		{"UDP is the default", "turn:127.0.0.1:" + port(udp), good, []netip.AddrPort{ipv6, media}, OK, nil},
		{"TCP", "turn:127.0.0.1:" + port(tcp) + "?transport=tcp", good, []netip.AddrPort{ipv6, media}, OK, []string{"the media port at " + media.String() + " answered"}},
		{"TLS", "turns:localhost:" + port(secure) + "?transport=tcp", good, []netip.AddrPort{ipv6, media}, OK, []string{"the media port at " + media.String() + " answered"}},
		{"external", "turn:127.0.0.1:" + port(udp), external, []netip.AddrPort{media}, OK, []string{"reached from outside"}},
		{"no media", "turn:127.0.0.1:" + port(udp), good, []netip.AddrPort{ipv6}, OK, []string{"asked turn:"}},
		{"a certificate of a stranger", "turns:localhost:" + port(secure) + "?transport=tcp", distrustful, []netip.AddrPort{media}, Fail, []string{"no connection", "unknown authority"}},
		{"a certificate for another name", "turns:127.0.0.1:" + port(secure) + "?transport=tcp", good, []netip.AddrPort{ipv6, media}, Fail, []string{"no connection", "127.0.0.1"}},
		{"bad credentials", "turn:127.0.0.1:" + port(udp), bad, []netip.AddrPort{media}, Fail, []string{"no relayed address was given", "refused with code 40", "clocks"}},
		{"relays nothing", "turn:127.0.0.1:" + port(strict), good, []netip.AddrPort{ipv6, media}, Fail, []string{"it relays nothing to the media port"}},
		{"the media port is silent", "turn:127.0.0.1:" + port(udp), good, []netip.AddrPort{silent}, Fail, []string{"did not answer through it", "UDP port " + port(net.UDPAddrFromAddrPort(silent))}},
		{"closed", "turn:" + closedPort(t, "tcp").String() + "?transport=tcp", good, []netip.AddrPort{ipv6, media}, Fail, []string{"no connection: the port is closed", "See that the server runs"}},
		{"another one is silent", "turn:" + silentTURN, good, []netip.AddrPort{media}, Fail, []string{"no relayed address was given: silence"}},
		{"only at its own address, UDP", "turn:" + silentTURN + "?transport=udp", elsewhere, []netip.AddrPort{media}, Warn, []string{"silence", "the media port at", "let UDP port " + port(net.UDPAddrFromAddrPort(silent))}},
		{"only at its own address, TCP", "turn:" + closedPort(t, "tcp").String() + "?transport=tcp", elsewhere, []netip.AddrPort{media}, Warn, []string{"the port is closed", "and then at " + tcp.String(), "let TCP port"}},
		{"only at its own address, TLS", "turns:localhost:" + port(net.TCPAddrFromAddrPort(closedPort(t, "tcp"))) + "?transport=tcp", hidden, []netip.AddrPort{media}, Warn, []string{"and then at " + secure.String()}},
		{"not even there", "turn:" + closedPort(t, "tcp").String() + "?transport=tcp", gone, []netip.AddrPort{media}, Fail, []string{"no connection: the port is closed"}},
		{"STUN", "stun:" + media.String(), TURNServer{}, nil, OK, []string{"it answered after"}},
		{"silent STUN", "stun:" + silent.String(), TURNServer{}, nil, Warn, []string{"silence", "turn.external_urls"}},
		{"no URL", "turn.example.com", good, []netip.AddrPort{ipv6, media}, Fail, []string{"no address of a STUN or TURN server"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wants(t, checkTURN(t.Context(), c.url, c.server, c.media), c.status, append(c.parts, c.url)...)
		})
	}
}
