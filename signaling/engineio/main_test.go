package engineio

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must happen.
const patience = 15 * time.Second

// fixture is a server under test with what its application saw.
type fixture struct {
	*testing.T
	*Server
	http *httptest.Server

	opened chan *app
}

// app is the application's side of one session.
type app struct {
	*Session
	onMessage func(a *app, data []byte, binary bool) // set before the first message

	mu     sync.Mutex
	got    []string
	reason Reason
	ended  int           // calls of Closed
	late   int           // calls of Message after Closed
	closed chan struct{} // closed by the first Closed
}

func (a *app) Message(data []byte, binary bool) {
	a.mu.Lock()
	if a.ended > 0 {
		a.late++
	}
	a.got = append(a.got, string(data))
	a.mu.Unlock()
	if a.onMessage != nil {
		a.onMessage(a, data, binary)
	}
}

func (a *app) Closed(reason Reason) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended++; a.ended == 1 {
		a.reason = reason
		close(a.closed)
	}
}

func (a *app) messages() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.got...)
}

func echo(a *app, data []byte, binary bool) {
	if binary {
		a.Send(NewBinary(data))
	} else {
		a.Send(NewText(data))
	}
}

// serve starts a server; onMessage may be nil.
func serve(t *testing.T, opts Options, onMessage func(*app, []byte, bool)) *fixture {
	return serveWith(t, opts, onMessage, (*httptest.Server).Start)
}

func serveWith(t *testing.T, opts Options, onMessage func(*app, []byte, bool), start func(*httptest.Server)) *fixture {
	t.Helper()
	f := &fixture{T: t, opened: make(chan *app, 10_000)}
	f.Server = NewServer(opts, func(s *Session) Receiver {
		a := &app{Session: s, onMessage: onMessage, closed: make(chan struct{})}
		f.opened <- a
		return a
	})
	f.http = httptest.NewUnstartedServer(f.Server)
	start(f.http)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.Server.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		f.http.Client().CloseIdleConnections()
		f.http.CloseClientConnections()
		f.http.Close()
		if n := f.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions left", n)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.sessions) != 0 || len(f.perAddr) != 0 {
			t.Errorf("registry not empty: %d sessions, %d addresses", len(f.sessions), len(f.perAddr))
		}
	})
	return f
}

func (f *fixture) session() *app {
	f.Helper()
	select {
	case a := <-f.opened:
		return a
	case <-time.After(patience):
		f.Fatal("no session was opened")
		return nil
	}
}

// wantClosed waits for the application's Closed, and checks that it came once and last.
func (a *app) wantClosed(t *testing.T, want Reason) {
	t.Helper()
	select {
	case <-a.closed:
	case <-time.After(patience):
		t.Fatalf("session not closed; want %q", want)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reason != want || a.ended != 1 || a.late != 0 {
		t.Errorf("closed %d times with %q, %d messages after; want once with %q", a.ended, a.reason, a.late, want)
	}
}

func (f *fixture) url(query string) string { return f.http.URL + "/engine.io/?" + query }

func (f *fixture) do(method, query, body string, header ...string) (int, string, http.Header) {
	f.Helper()
	req, err := http.NewRequest(method, f.url(query), strings.NewReader(body))
	if err != nil {
		f.Error(err)
		return 0, "", nil
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := f.http.Client().Do(req)
	if err != nil {
		f.Errorf("%s %s: %v", method, query, err)
		return 0, "", nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.Errorf("%s %s: %v", method, query, err)
	}
	return res.StatusCode, string(text), res.Header
}

type open struct {
	SID          string
	Upgrades     []string
	PingInterval int
	PingTimeout  int
	MaxPayload   int
}

func parseOpen(t *testing.T, packet string) (o open) {
	t.Helper()
	if !strings.HasPrefix(packet, "0") {
		t.Fatalf("open packet %q", packet)
	}
	if err := json.Unmarshal([]byte(packet[1:]), &o); err != nil {
		t.Fatalf("open packet %q: %v", packet, err)
	}
	return o
}

// polling opens a polling session and returns the query of its requests.
func (f *fixture) polling() (query string, a *app) {
	f.Helper()
	status, body, _ := f.do("GET", "EIO=4&transport=polling", "")
	if status != 200 {
		f.Fatalf("handshake: %d %s", status, body)
	}
	return "EIO=4&transport=polling&sid=" + parseOpen(f.T, body).SID, f.session()
}

func (f *fixture) get(query, want string) {
	f.Helper()
	if status, body, _ := f.do("GET", query, ""); status != 200 || body != want {
		f.Errorf("GET: %d %.200q; want 200 %.200q", status, body, want)
	}
}

func (f *fixture) post(query, body string, want int) {
	f.Helper()
	if status, answer, _ := f.do("POST", query, body); status != want {
		f.Errorf("POST %.100q: %d %q; want %d", body, status, answer, want)
	}
}

// held starts a GET, and returns when the server holds it.
func (f *fixture) held(query string, a *app) <-chan string {
	f.Helper()
	answer := make(chan string, 1)
	go func() {
		status, body, _ := f.do("GET", query, "")
		answer <- http.StatusText(status) + " " + body
	}()
	eventually(f.T, "the GET is held", func() bool {
		a.Session.mu.Lock()
		defer a.Session.mu.Unlock()
		return a.poll != nil
	})
	return answer
}

func wantAnswer(t *testing.T, answer <-chan string, want string) {
	t.Helper()
	select {
	case got := <-answer:
		if got != want {
			t.Fatalf("answer %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("no answer, want %q", want)
	}
}

// gone checks that the session is unknown.
func (f *fixture) gone(query string) {
	f.Helper()
	eventually(f.T, "the session is unknown", func() bool {
		status, body, _ := f.do("POST", query, "6")
		return status == 400 && strings.Contains(body, `"code":1,`)
	})
}

func (f *fixture) dial(query string, header http.Header) (*websocket.Conn, *http.Response, error) {
	dialer := websocket.Dialer{HandshakeTimeout: patience}
	if t, ok := f.http.Client().Transport.(*http.Transport); ok {
		dialer.TLSClientConfig = t.TLSClientConfig.Clone()
		if dialer.TLSClientConfig != nil {
			dialer.TLSClientConfig.NextProtos = nil
		}
	}
	return dialer.Dial("ws"+strings.TrimPrefix(f.url(query), "http"), header)
}

// websocket opens a WebSocket for query.
func (f *fixture) websocket(query string) *websocket.Conn {
	f.Helper()
	ws, _, err := f.dial(query, nil)
	if err != nil {
		f.Fatalf("dial: %v", err)
	}
	f.Cleanup(func() { ws.Close() })
	ws.SetReadDeadline(time.Now().Add(patience))
	return ws
}

// direct opens a session over WebSocket.
func (f *fixture) direct() (*websocket.Conn, *app) {
	f.Helper()
	ws := f.websocket("EIO=4&transport=websocket")
	_, packet, err := ws.ReadMessage()
	if err != nil {
		f.Fatal(err)
	}
	parseOpen(f.T, string(packet))
	return ws, f.session()
}

func write(t *testing.T, ws *websocket.Conn, text string) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, ws *websocket.Conn, want string) {
	t.Helper()
	_, got, err := ws.ReadMessage()
	if err != nil || string(got) != want {
		t.Fatalf("read %.200q, %v; want %.200q", got, err, want)
	}
}

// readClose reads until the close frame and returns its code.
func readClose(t *testing.T, ws *websocket.Conn) int {
	t.Helper()
	for {
		_, _, err := ws.ReadMessage()
		if err == nil {
			continue
		}
		if closed, ok := err.(*websocket.CloseError); ok {
			return closed.Code
		}
		t.Fatalf("no close frame: %v", err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never true: %s", what)
		}
	}
}
