package socketio_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"skillsage/signaling/socketio"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// start serves a server on a loopback port until the test ends.
func start(t testing.TB, opts socketio.Options, setup func(*socketio.Server)) (*socketio.Server, string) {
	t.Helper()
	server := socketio.NewServer(opts)
	setup(server)
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		web.Close()
	})
	return server, web.URL
}

// client is a raw client on a WebSocket that answers pings by itself.
type client struct {
	t  testing.TB
	ws *websocket.Conn
}

func dial(t testing.TB, url string) *client {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t, ws}
	t.Cleanup(func() { ws.Close() })
	if open := c.receive(); !strings.HasPrefix(open, "0{") {
		t.Fatalf("open packet is %q", open)
	}
	return c
}

// connected dials and joins the main namespace.
func connected(t testing.TB, url string) *client {
	t.Helper()
	c := dial(t, url)
	c.send("40")
	c.expectPrefix(`40{"sid":"`)
	return c
}

func (c *client) send(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		if err := c.ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *client) sendBinary(data []byte) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, data); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next message other than a ping.
func (c *client) read() (kind int, data []byte, err error) {
	for {
		c.ws.SetReadDeadline(time.Now().Add(patience))
		kind, data, err = c.ws.ReadMessage()
		if err != nil || kind != websocket.TextMessage || string(data) != "2" {
			return kind, data, err
		}
		if err := c.ws.WriteMessage(websocket.TextMessage, []byte("3")); err != nil {
			return 0, nil, err
		}
	}
}

func (c *client) receive() string {
	c.t.Helper()
	_, data, err := c.read()
	if err != nil {
		c.t.Fatalf("reading: %v", err)
	}
	return string(data)
}

func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.receive(); got != want {
		c.t.Fatalf("received %q, want %q", got, want)
	}
}

func (c *client) expectPrefix(want string) string {
	c.t.Helper()
	got := c.receive()
	if !strings.HasPrefix(got, want) {
		c.t.Fatalf("received %q, want %q…", got, want)
	}
	return got
}

func (c *client) expectBinary(want string) {
	c.t.Helper()
	kind, data, err := c.read()
	if err != nil || kind != websocket.BinaryMessage || string(data) != want {
		c.t.Fatalf("received %d %q %v, want binary %q", kind, data, err, want)
	}
}

// expectClosed waits for the end of the connection; messages before it are an error.
func (c *client) expectClosed() {
	c.t.Helper()
	_, data, err := c.read()
	if err == nil {
		c.t.Fatalf("received %q, want the end of the connection", data)
	}
	if strings.Contains(err.Error(), "timeout") {
		c.t.Fatal("the connection stays open")
	}
}

// answer is a server's CONNECT packet.
type answer struct{ SID, PID string }

func parseAnswer(t testing.TB, text string) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal([]byte(text[strings.IndexByte(text, '{'):]), &a); err != nil {
		t.Fatalf("CONNECT answer %q: %v", text, err)
	}
	return a
}

// eventually polls until something is so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// within receives from a channel or fails.
func within[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("never: " + what)
		panic("unreachable")
	}
}

// echoing is a setup with a handler that sends arguments back, and one that acknowledges them.
func echoing(server *socketio.Server) {
	for _, name := range []string{"/", "/custom"} {
		server.Of(name).OnConnect(func(s *socketio.Socket) {
			s.On("echo", func(e *socketio.Event) {
				s.Send(socketio.EncodeBinary("echoed", e.Attachments, joined(e.Args)))
			})
			s.On("ask", func(e *socketio.Event) { e.AckRaw(e.Attachments, joined(e.Args)) })
			s.On("7", func(e *socketio.Event) { s.Emit("seven") })
		})
	}
}

func joined(args []json.RawMessage) []byte {
	var out []byte
	for i, arg := range args {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, arg...)
	}
	return out
}
