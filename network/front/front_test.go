package front

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// selfSigned is a certificate for localhost, and what trusts it.
func selfSigned(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// fixture is a Front whose HTTP connections are served, and whose ICE and TURN connections are echoed.
type fixture struct {
	*Front
	t      *testing.T
	client *tls.Config // trusts the Front
}

// quick is a PeekTimeout for tests that wait for it.
const quick = time.Second

// open opens a Front on loopback, with TLS.
func open(t *testing.T, opts Options) *fixture {
	t.Helper()
	config, pool := selfSigned(t)
	opts.Address, opts.TLS = "127.0.0.1:0", config
	opts.TLS.NextProtos = []string{alpnACME}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	f, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fixture{f, t, &tls.Config{RootCAs: pool, ServerName: "localhost"}}
}

// all takes every kind of connection.
func (f *fixture) all() *fixture {
	f.serve()
	f.echo(f.ICE())
	f.echo(f.TURN())
	return f
}

// serve answers HTTP: / tells what the server sees, /ws echoes.
func (f *fixture) serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.RemoteAddr, r.Method)
		if r.TLS != nil {
			fmt.Fprintf(w, " %s %s", tls.VersionName(r.TLS.Version), r.TLS.NegotiatedProtocol)
		}
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		for {
			kind, message, err := ws.ReadMessage()
			if err != nil || ws.WriteMessage(kind, message) != nil {
				return
			}
		}
	})
	server := &http.Server{Handler: mux}
	Attach(server)
	listener := f.HTTP()
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	f.t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			f.t.Error(err)
		}
	})
}

// echo sends back what comes.
func (f *fixture) echo(l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	f.t.Cleanup(func() {
		l.Close()
		<-done
	})
}

func (f *fixture) dial() net.Conn {
	f.t.Helper()
	return f.dialFrom("127.0.0.1")
}

// dialFrom connects from an address of the loopback network.
func (f *fixture) dialFrom(addr string) net.Conn {
	f.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: 10 * time.Second}
	conn, err := dialer.Dial("tcp", f.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func (f *fixture) dialTLS() *tls.Conn {
	f.t.Helper()
	conn := tls.Client(f.dial(), f.client)
	if err := conn.Handshake(); err != nil {
		f.t.Fatal(err)
	}
	return conn
}

// say writes text, a byte at a time if it is to be slow.
func say(t *testing.T, conn net.Conn, text []byte, slow bool) {
	t.Helper()
	step := len(text)
	if slow {
		step = 1
	}
	for ; len(text) > 0; text = text[step:] {
		if _, err := conn.Write(text[:step]); err != nil {
			t.Fatal(err)
		}
		if slow {
			time.Sleep(time.Millisecond)
		}
	}
}

// hear reads exactly want.
func hear(t *testing.T, conn net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("heard %x, %v; want %x", got[:n], err, want)
	}
}

// silence waits until the other side closes conn, without a word.
func silence(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || isTimeout(err) {
		t.Fatalf("not closed: %d, %v", n, err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// closed waits until as many connections were closed for a reason.
func (f *fixture) closed(reason string, want uint64) {
	f.t.Helper()
	eventually(f.t, fmt.Sprintf("%d closed as %s: %v", want, reason, f.Stats()), func() bool { return f.Stats().Closed[reason] == want })
}

// settled is what has been counted when nothing is pending any more: clients may be served before they are counted.
func (f *fixture) settled() Stats {
	f.t.Helper()
	eventually(f.t, "nothing pending", func() bool { return f.Stats().Pending == 0 })
	return f.Stats()
}

func (f *fixture) get(config *tls.Config, transport *http.Transport) string {
	f.t.Helper()
	url := "http://" + f.Addr().String()
	if transport == nil {
		transport = &http.Transport{}
		defer transport.CloseIdleConnections()
	}
	if config != nil {
		url, transport.TLSClientConfig = "https://"+f.Addr().String(), config.Clone()
	}
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 1 {
		f.t.Fatalf("%v, %s", err, resp.Proto)
	}
	return string(body)
}

func TestHTTP(t *testing.T) {
	f := open(t, Options{}).all()
	if got := f.get(nil, nil); !strings.HasPrefix(got, "127.0.0.1:") || !strings.HasSuffix(got, " GET") {
		t.Errorf("%q", got)
	}
	// The client would rather have HTTP/2.
	if got := f.get(f.client, &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true}); !strings.HasSuffix(got, " GET TLS 1.3 http/1.1") {
		t.Errorf("%q", got)
	}
	// Without ALPN, and in TLS 1.2.
	old := f.client.Clone()
	old.MaxVersion = tls.VersionTLS12
	conn := tls.Client(f.dial(), old)
	say(t, conn, []byte("GET / HTTP/1.0\r\n\r\n"), false)
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(answer), " GET TLS 1.2 ") {
		t.Errorf("%q, %v", answer, err)
	}
	if s := f.settled(); s.Delivered["http"] != 1 || s.Delivered["https"] != 2 || s.Accepted != 3 {
		t.Errorf("%+v", s)
	}
}

func TestWebSocket(t *testing.T) {
	f := open(t, Options{}).all()
	for _, scheme := range []string{"ws", "wss"} {
		dialer := websocket.Dialer{TLSClientConfig: f.client}
		ws, _, err := dialer.Dial(scheme+"://"+f.Addr().String()+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		for _, size := range []int{1, 100, 70_000} {
			message := bytes.Repeat([]byte{7}, size)
			if err := ws.WriteMessage(websocket.BinaryMessage, message); err != nil {
				t.Fatal(err)
			}
			if _, got, err := ws.ReadMessage(); err != nil || !bytes.Equal(got, message) {
				t.Fatalf("%s: %d bytes, %v", scheme, len(got), err)
			}
		}
	}
}

// Whoever gets a plain connection can do all that a TCP connection can.
func TestPlainConnectionsAreBare(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere they are wrapped")
	}
	f := open(t, Options{})
	listener := f.TURN()
	defer listener.Close()
	request := stunRequest(t)
	say(t, f.dial(), request, false)
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("a %T", conn)
	}
	hear(t, conn, request)
	if listener.Addr().(*net.TCPAddr).Port != f.Addr().(*net.TCPAddr).Port {
		t.Error("another address")
	}
}

// Every kind, in one piece and in single bytes, plain and in TLS; the whole arrives, from the first byte on.
func TestKinds(t *testing.T) {
	f := open(t, Options{}).all()
	request := stunRequest(t)
	more := bytes.Repeat([]byte("and what follows"), 100)
	for _, slow := range []bool{false, true} {
		for name, begin := range map[string][]byte{"turn": request, "ice": framed(request)} {
			conn := f.dial()
			say(t, conn, begin, slow)
			hear(t, conn, begin)
			say(t, conn, more, false)
			hear(t, conn, more)
			if n := f.settled().Delivered[name]; n == 0 {
				t.Errorf("%s: %d", name, n)
			}
		}
		conn := f.dialTLS()
		say(t, conn, request, slow)
		hear(t, conn, request)
		say(t, conn, more, false)
		hear(t, conn, more)

		for _, conn := range []net.Conn{f.dial(), f.dialTLS()} {
			say(t, conn, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), slow)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v, %v", resp, err)
			}
			resp.Body.Close()
		}
	}
	want := map[string]uint64{"http": 2, "https": 2, "turn": 2, "turns": 2, "ice": 2, "ssltcp": 0, "acme": 0}
	for name, n := range want {
		if got := f.settled().Delivered[name]; got != n {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// RFC 7443: a TURN client may name its protocol. Whatever was negotiated, the clear text decides.
func TestNamesOfProtocols(t *testing.T) {
	f := open(t, Options{}).all()
	for _, name := range []string{alpnTURN, alpnHTTP} {
		config := f.client.Clone()
		config.NextProtos = []string{name}
		conn := tls.Client(f.dial(), config)
		request := stunRequest(t)
		say(t, conn, request, false)
		hear(t, conn, request)
		if got := conn.ConnectionState().NegotiatedProtocol; got != name {
			t.Errorf("negotiated %q", got)
		}
	}
	config := f.client.Clone()
	config.NextProtos = []string{"h2"}
	if err := tls.Client(f.dial(), config).Handshake(); err == nil {
		t.Error("HTTP/2 was negotiated")
	}
	f.closed("tls", 1)
}

// A validation of a certificate authority ends with the handshake.
func TestChallenge(t *testing.T) {
	f := open(t, Options{}).all()
	config := f.client.Clone()
	config.NextProtos = []string{alpnACME}
	conn := tls.Client(f.dial(), config)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v", err)
	}
	eventually(t, "counted", func() bool { return f.Stats().Delivered["acme"] == 1 })
}

// The handshake that libwebrtc's "ssltcp" plays, and the check of every byte that it makes.
func TestImitationOfSSL(t *testing.T) {
	f := open(t, Options{}).all()
	request := framed(stunRequest(t))
	for _, slow := range []bool{false, true} {
		conn := f.dial()
		say(t, conn, clientHello(), slow)
		answer := make([]byte, 79)
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		// Of kSslServerHello in rtc_base/socket_adapters.cc.
		if sum := sha256.Sum256(answer); hex.EncodeToString(sum[:]) != "053289cca2414f3ea53ffdd258eb8efec829177e9d39b827c17a73bb5743d329" {
			t.Errorf("answered %x", answer)
		}
		say(t, conn, request, slow)
		hear(t, conn, request)
	}
	if s := f.settled(); s.Delivered["ssltcp"] != 2 || s.Delivered["ice"] != 0 {
		t.Errorf("%+v", s)
	}
	// Nothing but ICE comes behind it.
	for _, other := range [][]byte{stunRequest(t), []byte("GET / HTTP/1.0\r\n\r\n"), clientHello()} {
		conn := f.dial()
		say(t, conn, clientHello(), false)
		hear(t, conn, sslAnswer)
		say(t, conn, other, false)
		silence(t, conn)
	}
	f.closed("unknown", 3)
}

func TestGarbage(t *testing.T) {
	f := open(t, Options{}).all()
	garbage := [][]byte{make([]byte, 100), []byte("ssh-2.0-x\r\n"), {0xff}, {0x80, 0x2e}, {0x40, 0, 0, 4, 1, 2, 3, 4, 5, 6}, bytes.Repeat([]byte{5}, 1<<20)}
	for _, text := range garbage {
		conn := f.dial()
		conn.Write(text) // may be cut short
		silence(t, conn)
	}
	f.closed("unknown", uint64(len(garbage)))

	// In TLS: also what is good outside only.
	inside := [][]byte{make([]byte, 100), framed(stunRequest(t)), clientHello(), {0x16, 3, 1, 0, 1}}
	for _, text := range inside {
		conn := f.dialTLS()
		say(t, conn, text, false)
		silence(t, conn)
	}
	f.closed("unknown", uint64(len(garbage)+len(inside)))

	// A record of TLS with something else in it, and a version that is too old.
	conn := f.dial()
	say(t, conn, []byte{0x16, 3, 1, 0, 4, 9, 9, 9, 9}, false)
	io.Copy(io.Discard, conn)
	old := f.client.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(f.dial(), old).Handshake(); err == nil {
		t.Error("TLS 1.1")
	}
	f.closed("tls", 2)
}

func TestTLSIsOff(t *testing.T) {
	f, err := Open(Options{Address: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	conn, err := tls.Dial("tcp", f.Addr().String(), &tls.Config{ServerName: "localhost"})
	if err == nil {
		conn.Close()
		t.Fatal("a handshake")
	}
	eventually(t, "counted", func() bool { return f.Stats().Closed["no_tls"] == 1 })
}

// Whoever stops talking, or talks too slowly, at any stage, is closed in time; only by the deadline, since there is something to
// hope for until then.
func TestSlowClients(t *testing.T) {
	f := open(t, Options{PeekTimeout: quick}).all()
	hello := clientHelloTLS(t, f.client)
	cases := map[string]struct {
		inside bool
		begin  []byte
		drip   []byte // then a byte every 20 ms
	}{
		"silence":                         {},
		"half a header":                   {begin: stunRequest(t)[:5]},
		"half a frame":                    {begin: framed(stunRequest(t))[:9]},
		"half an SSL hello":               {begin: clientHello()[:40]},
		"half a TLS hello":                {begin: hello[:100]},
		"a dripping TLS hello":            {drip: hello[:len(hello)-1]},
		"a TLS hello and nothing else":    {begin: hello},
		"silence after an SSL hello":      {begin: clientHello()},
		"half a frame after an SSL hello": {begin: append(clientHello(), framed(stunRequest(t))[:9]...)},
		"silence inside":                  {inside: true},
		"half a header inside":            {inside: true, begin: stunRequest(t)[:7]},
	}
	var group sync.WaitGroup
	for name, c := range cases {
		conn := f.dial()
		if c.inside {
			inside := tls.Client(conn, f.client)
			if err := inside.Handshake(); err != nil {
				t.Fatal(err)
			}
			conn = inside
		}
		say(t, conn, c.begin, false)
		group.Go(func() {
			for _, b := range c.drip {
				if _, err := conn.Write([]byte{b}); err != nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
				t.Errorf("%s: still open", name)
			}
		})
	}
	group.Wait()
	f.closed("timeout", uint64(len(cases)))
	if s := f.settled(); s.Accepted != uint64(len(cases)) {
		t.Errorf("%+v", s)
	}
	// And who has been handed on is not hurried.
	conn := f.dial()
	request := stunRequest(t)
	say(t, conn, request, false)
	hear(t, conn, request)
	time.Sleep(2 * quick)
	say(t, conn, request, false)
	hear(t, conn, request)
}

// clientHelloTLS is the first message of a handshake.
func clientHelloTLS(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	here, there := net.Pipe()
	go tls.Client(here, config).Handshake()
	defer here.Close()
	hello := make([]byte, 5)
	if _, err := io.ReadFull(there, hello); err != nil {
		t.Fatal(err)
	}
	hello = append(hello, make([]byte, int(hello[3])<<8|int(hello[4]))...)
	if _, err := io.ReadFull(there, hello[5:]); err != nil {
		t.Fatal(err)
	}
	return hello
}

// Clients that go away, at once or in the middle.
func TestHalfOpen(t *testing.T) {
	f := open(t, Options{PeekTimeout: quick}).all()
	conn := f.dial()
	conn.(*net.TCPConn).CloseWrite()
	silence(t, conn)
	f.closed("gone", 1)

	conn = f.dial()
	say(t, conn, stunRequest(t)[:6], false)
	conn.(*net.TCPConn).CloseWrite()
	silence(t, conn)
	eventually(t, "counted", func() bool { c := f.Stats().Closed; return c["gone"]+c["timeout"] == 2 })

	conn = f.dial()
	say(t, conn, []byte{0x16, 3, 1, 1}, false)
	conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, conn)
	f.closed("tls", 1)

	inside := f.dialTLS()
	inside.CloseWrite()
	silence(t, inside)
	conn = f.dial()
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	eventually(t, "counted", func() bool { c := f.Stats().Closed; return c["gone"]+c["timeout"] == 4 })
}

// One address never has more places than it leaves to others, and whoever comes from another one is served at once.
func TestShares(t *testing.T) {
	f := open(t, Options{MaxPending: 8, PeekTimeout: time.Minute}).all()
	for range 20 {
		f.dialFrom("127.0.0.2")
	}
	f.closed("address_limit", 16)
	for range 20 {
		f.dialFrom("127.0.0.3")
	}
	f.closed("address_limit", 34)
	if s := f.Stats(); s.Pending != 6 {
		t.Errorf("%+v", s)
	}
	request := stunRequest(t)
	for range 5 {
		conn := f.dialFrom("127.0.0.4")
		say(t, conn, request, false)
		hear(t, conn, request)
		eventually(t, "handed on", func() bool { return f.Stats().Pending == 6 })
	}
	f.closed("address_limit", 34)
}

// A proxy may take all places. Beyond them everybody waits, and is served when one is free again.
func TestFull(t *testing.T) {
	f := open(t, Options{MaxPending: 8, PeekTimeout: time.Minute, Shared: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}).all()
	var idle []net.Conn
	for range 8 {
		idle = append(idle, f.dialFrom("127.0.0.2"))
	}
	eventually(t, "full", func() bool { return f.Stats().Pending == 8 })
	waiting := f.dialFrom("127.0.0.3")
	request := stunRequest(t)
	say(t, waiting, request, false)
	waiting.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := waiting.Read(make([]byte, 1)); !isTimeout(err) {
		t.Fatalf("%v", err)
	}
	idle[3].Close()
	waiting.SetReadDeadline(time.Now().Add(20 * time.Second))
	hear(t, waiting, request)
	eventually(t, "one place free", func() bool { return f.Stats().Pending == 7 })
	if s := f.Stats(); s.Closed["address_limit"] != 0 {
		t.Errorf("%+v", s)
	}
	// Closing does not wait for the rest, not even with one waiting for a place.
	f.dialFrom("127.0.0.2")
	f.dialFrom("127.0.0.2")
	eventually(t, "full", func() bool { return f.Stats().Pending == 8 })
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	silence(t, idle[0])
}

// With many pending the patience is shorter.
func TestPatience(t *testing.T) {
	f := open(t, Options{MaxPending: 4, PeekTimeout: time.Minute, Shared: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if got := f.patience(); got != time.Minute {
		t.Errorf("%s", got)
	}
	for range 3 {
		f.dial()
	}
	eventually(t, "busy", func() bool { return f.patience() == 15*time.Second })
}

// Nobody has asked for ICE connections, or not any more, or does not come for them.
func TestNobodyTakesThem(t *testing.T) {
	f := open(t, Options{PeekTimeout: quick})
	request := framed(stunRequest(t))
	ask := func() net.Conn {
		conn := f.dial()
		say(t, conn, request, false)
		return conn
	}
	silence(t, ask())
	f.closed("unwanted", 1)

	listener := f.ICE()
	silence(t, ask())
	f.closed("busy", 1)

	conn := ask()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	hear(t, accepted, request)

	waiting := ask()
	eventually(t, "pending", func() bool { return f.Stats().Pending == 1 })
	listener.Close()
	listener.Close()
	silence(t, waiting)
	silence(t, ask())
	f.closed("unwanted", 3)
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	say(t, accepted, []byte("still there"), false)
	hear(t, conn, []byte("still there"))
}

// Close ends connections of every stage and all listeners, and nothing is left (goleak).
func TestClose(t *testing.T) {
	f := open(t, Options{PeekTimeout: time.Hour})
	turn := f.TURN()
	ended := make(chan error)
	go func() {
		_, err := f.HTTP().Accept()
		ended <- err
	}()
	kept := f.dial()
	request := stunRequest(t)
	say(t, kept, request, false)
	accepted, err := turn.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()

	silent, half, inside, untaken := f.dial(), f.dial(), f.dialTLS(), f.dial()
	say(t, half, clientHelloTLS(t, f.client)[:50], false)
	say(t, untaken, request, false)
	eventually(t, "all pending", func() bool { return f.Stats().Pending == 4 })
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for _, conn := range []net.Conn{silent, half, inside, untaken} {
		io.Copy(io.Discard, conn)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := turn.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if s := f.Stats(); s.Pending != 0 || s.Closed["gone"]+s.Closed["tls"] != 4 {
		t.Errorf("%+v", s)
	}
	hear(t, accepted, request)
	say(t, accepted, []byte("still there"), false)
	hear(t, kept, []byte("still there"))
}

// An idle HTTP connection costs the goroutine that package http has for it, and none here.
func TestIdleConnections(t *testing.T) {
	f := open(t, Options{}).all()
	for range 10 {
		for _, conn := range []net.Conn{f.dial(), f.dialTLS()} {
			say(t, conn, []byte("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"), false)
			resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "HEAD"})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	f.settled()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if n := bytes.Count(stacks, []byte("front.(*Front).")) - bytes.Count(stacks, []byte("front.(*Front).accept(")); n != 0 {
		t.Errorf("%d frames:\n%s", n, stacks)
	}
}

// A host has a whole network of IPv6 addresses, and may come through IPv4 in either form. Those of proxies count for nobody.
func TestAddresses(t *testing.T) {
	var p pending
	p.open(1, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:f::/48")})
	for remote, want := range map[string]string{
		"192.0.2.1:1":              "192.0.2.1",
		"[::ffff:192.0.2.1]:1":     "192.0.2.1",
		"[2001:db8::1:2:3:4]:1":    "2001:db8::",
		"[2001:db8:0:1:2::]:1":     "2001:db8:0:1::",
		"[fe80::1%lo]:1":           "fe80::",
		"10.1.2.3:1":               "invalid IP",
		"[::ffff:10.1.2.3]:1":      "invalid IP",
		"[2001:db8:f:1:2:3:4:5]:1": "invalid IP",
	} {
		if got := p.address(from{remote: remote}); got.String() != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// from is a connection with a remote address.
type from struct {
	net.Conn
	remote string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.remote))
}
