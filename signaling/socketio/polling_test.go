package socketio_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"skillsage/signaling/socketio"
)

// poller is a raw client on long-polling.
type poller struct {
	t       *testing.T
	url     string
	packets []string // received and not looked at yet
}

func newPoller(t *testing.T, url string) *poller {
	t.Helper()
	p := &poller{t: t, url: url + "/socket.io/?EIO=4&transport=polling"}
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(p.next()[1:]), &open); err != nil {
		t.Fatal(err)
	}
	p.url += "&sid=" + open.SID
	return p
}

// next returns the next packet other than a ping, polling for it if need be.
func (p *poller) next() string {
	p.t.Helper()
	for {
		for len(p.packets) > 0 {
			packet := p.packets[0]
			p.packets = p.packets[1:]
			if packet == "2" {
				p.post("3")
				continue
			}
			return packet
		}
		response, err := http.Get(p.url)
		if err != nil {
			p.t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			p.t.Fatalf("poll: %s %q %v", response.Status, body, err)
		}
		p.packets = strings.Split(string(body), "\x1e")
	}
}

func (p *poller) post(packets ...string) int {
	p.t.Helper()
	response, err := http.Post(p.url, "text/plain;charset=UTF-8", strings.NewReader(strings.Join(packets, "\x1e")))
	if err != nil {
		p.t.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response.StatusCode
}

func (p *poller) expect(want string) {
	p.t.Helper()
	if got := p.next(); got != want {
		p.t.Fatalf("received %q, want %q", got, want)
	}
}

func TestPolling(t *testing.T) {
	_, url := start(t, socketio.Options{}, echoing)
	p := newPoller(t, url)
	p.post(`40`)
	if got := p.next(); !strings.HasPrefix(got, `40{"sid":`) {
		t.Fatalf("answer %q", got)
	}
	p.post(`42["echo",1]`, `420["ask",2]`)
	p.expect(`42["echoed",1]`)
	p.expect(`430[2]`)
	// The attachments come in later requests.
	p.post(`42["echo"]`, `452-["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`)
	p.post(`bAQI=`)
	p.post(`bAw==`, `42["echo"]`)
	p.expect(`42["echoed"]`)
	p.expect(`452-["echoed",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`)
	p.expect(`bAQI=`)
	p.expect(`bAw==`)
	p.expect(`42["echoed"]`)
	p.post(`42{}`)
	if status := p.post(`42["echo"]`); status != http.StatusBadRequest {
		t.Errorf("POST after a violation: status %d", status)
	}
}

// TestForgedSeparator: what one client sends must not look like packets of the server's to another that polls.
func TestForgedSeparator(t *testing.T) {
	accepted := make(chan *socketio.Socket, 2)
	server, url := start(t, socketio.Options{}, func(server *socketio.Server) {
		sockets(accepted)(server)
		server.Of("/").OnConnect(func(s *socketio.Socket) {
			s.On("say", func(e *socketio.Event) { s.To().Send(socketio.EncodeRaw("said", joined(e.Args))) })
		})
	})
	victim := newPoller(t, url)
	victim.post(`40`)
	victim.next()
	within(t, "socket", accepted)
	attacker := connected(t, url)
	attacker.send("42[\"say\",\"\x1e41\"]")
	attacker.expectClosed()
	attacker = connected(t, url)
	attacker.send(`42["say","\u001e41"]`)
	victim.expect(`42["said","\u001e41"]`)
	// The first attacker's socket may still be on its way out; the victim must not be.
	for end := time.Now().Add(10 * time.Second); server.Of("/").Len() != 2; time.Sleep(time.Millisecond) {
		if n := server.Of("/").Len(); n < 2 || time.Now().After(end) {
			t.Fatalf("%d sockets: the victim was disconnected, or the attacker was not", n)
		}
	}
}
