package main

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/logging"
	pion "github.com/pion/turn/v5"
)

// iceServersMessage is the payload of ice-servers.
type iceServersMessage struct {
	ICEServers []struct {
		URLs                 []string
		Username, Credential string
	}
	TTL int
}

// hearICEServers reads up to ice-servers.
func (p *process) hearICEServers(conn *websocket.Conn) (told iceServersMessage) {
	p.t.Helper()
	text := p.hear(conn, `42["ice-servers",`)
	// The offset of Socket.IO's recovery may follow.
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&told); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
	return told
}

// allocate makes an allocation with one of the URLs of a message, over UDP, TCP or, without a look at the certificate, TLS.
func allocate(t *testing.T, m iceServersMessage, url int) (net.PacketConn, error) {
	t.Helper()
	server := m.ICEServers[0]
	scheme, rest, _ := strings.Cut(server.URLs[url], ":")
	at, transport, _ := strings.Cut(rest, "?transport=")
	var conn net.PacketConn
	var stream net.Conn
	var err error
	switch {
	case scheme == "turns":
		stream, err = tls.Dial(transport, at, &tls.Config{InsecureSkipVerify: true})
	case transport == "tcp":
		stream, err = net.Dial(transport, at)
	default:
		conn, err = net.ListenPacket("udp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	if stream != nil {
		conn = pion.NewSTUNConn(stream)
	}
	t.Cleanup(func() { conn.Close() })
	client, err := pion.NewClient(&pion.ClientConfig{
		TURNServerAddr: at, Username: server.Username, Password: server.Credential, Conn: conn,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	return client.Allocate()
}

// A member is told of the server's own TURN server, by the event and on asking; it lets the member in until that leaves,
// in both modes, and ends with the server.
func TestTURN(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		p := startServer(t, mode, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1")
		port := p.base[strings.LastIndex(p.base, ":")+1:]
		if !strings.Contains(p.out.String(), "TURN on UDP "+port+" at 127.0.0.1") {
			t.Errorf("nothing is said of it:\n%s", p.out.String())
		}
		conn := p.dial()
		id := strings.Trim(strings.SplitN(p.hear(conn, `40{"sid":`), ",", 2)[0], `"}`)
		p.say(conn, `42["join-room",{"interviewId":"one","userRole":"candidate"}]`)
		told := p.hearICEServers(conn)
		// Where media are relayed, UDP gets to them without TURN.
		urls := []string{"turn:127.0.0.1:" + port + "?transport=udp", "turn:127.0.0.1:" + port + "?transport=tcp"}
		if !strings.HasSuffix(mode, "p2p") {
			urls = urls[1:]
		}
		if len(told.ICEServers) != 1 || !slices.Equal(told.ICEServers[0].URLs, urls) || told.TTL != 12*3600 {
			t.Fatalf("%+v", told)
		}
		relayed, err := allocate(t, told, 0)
		if err != nil {
			t.Fatal(err)
		}

		resp, err := http.Get(p.base + "/ice-servers?id=" + id)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var asked iceServersMessage
		if err := json.NewDecoder(resp.Body).Decode(&asked); err != nil || resp.StatusCode != 200 || len(asked.ICEServers) != 1 || asked.TTL != told.TTL {
			t.Fatalf("%d %+v %v", resp.StatusCode, asked, err)
		}
		second, err := allocate(t, asked, len(urls)-1)
		if err != nil {
			t.Fatal(err)
		}
		// Each is a peer that the other may have.
		if _, err := relayed.WriteTo([]byte("open"), second.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if _, err := second.WriteTo([]byte("hello"), relayed.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		_ = relayed.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, from, err := relayed.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" || from.String() != second.LocalAddr().String() {
			t.Errorf("%q from %v: %v", buf[:n], from, err)
		}

		if p.status("/ice-servers") != 403 || p.status("/ice-servers?id=somebody") != 403 {
			t.Error("strangers are told")
		}
		p.say(conn, "41")
		p.eventually("gone", func() bool { return p.status("/ice-servers?id="+id) == 403 })
		if _, err := allocate(t, told, 0); err == nil {
			t.Error("somebody who has left is let in")
		}
		p.signal(syscall.SIGTERM)
		if code := p.exit(10 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// With a certificate, TURN comes over TLS too, on the port of the page.
func TestTURNOverTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	p := startServer(t, "SKILLSAGE_SERVER_TLS_CERT="+cert, "SKILLSAGE_SERVER_TLS_KEY="+key, "SKILLSAGE_SERVER_PLAIN_HTTP=serve")
	told := p.hearICEServers(p.join("one"))
	port := p.base[strings.LastIndex(p.base, ":")+1:]
	url := slices.Index(told.ICEServers[0].URLs, "turns:localhost:"+port+"?transport=tcp")
	if url < 0 {
		t.Fatalf("%+v", told)
	}
	if _, err := allocate(t, told, url); err != nil {
		t.Error(err)
	}
}

func TestTURNOff(t *testing.T) {
	p := startServer(t, "SKILLSAGE_TURN_ENABLED=off", "SKILLSAGE_RELAY_MODE=p2p")
	if out := p.out.String(); strings.Contains(out, " on UDP ") {
		t.Errorf("a UDP port is open:\n%s", out)
	}
	conn := p.join("one")
	p.hear(conn, `42["code-state"`)
	p.say(conn, `42["question-change",{"interviewId":"one","questionId":"q"}]`)
	if text := p.hear(conn, `42["`); !strings.HasPrefix(text, "question-change") {
		t.Errorf("then came %s", text)
	}

	external := startServer(t, "SKILLSAGE_TURN_ENABLED=off", "SKILLSAGE_TURN_EXTERNAL_URLS=turns:turn.example:443?transport=tcp,stun:turn.example", "SKILLSAGE_TURN_EXTERNAL_SECRET=north", "SKILLSAGE_LOG_LEVEL=debug")
	conn = external.join("one")
	text := external.hear(conn, `42["ice-servers",`)
	if !strings.HasPrefix(text, `{"iceServers":[{"urls":["turns:turn.example:443?transport=tcp","stun:turn.example"],"username":"`) {
		t.Errorf("%s", text)
	}
	if strings.Contains(external.out.String(), "north") {
		t.Error("the secret is in the log")
	}
}
