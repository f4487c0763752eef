package engineio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPollingEcho(t *testing.T) {
	f := serve(t, Options{}, echo)
	query, a := f.polling()
	for _, payload := range []string{"4hello", "4a\x1e4b\x1e4c", "4hello\x1ebAQIDBA==", "4€", "4", "4" + strings.Repeat("x", 200_000)} {
		status, body, header := f.do("POST", query, payload)
		if status != 200 || body != "ok" || header.Get("Content-Type") != "text/html" {
			t.Fatalf("POST %.50q: %d %q %v", payload, status, body, header)
		}
		f.get(query, payload)
	}
	f.post(query, "0{}\x1e5\x1e6\x1e3", 200) // without a meaning here
	if n := len(a.messages()); n != 9 {
		t.Errorf("%d messages", n)
	}
	pending := f.held(query, a)
	if !a.Writable() {
		t.Error("not writable with a GET pending")
	}
	a.Send(NewTextBinary([][]byte{{1, 2, 3, 4}, {255}}, []byte("with"), []byte(" two")))
	wantAnswer(t, pending, "OK 4with two\x1ebAQIDBA==\x1eb/w==")
	if a.Writable() {
		t.Error("writable without a GET")
	}
}

func TestPollingOverlappingGETs(t *testing.T) {
	f := serve(t, Options{}, echo)
	query, a := f.polling()
	first := f.held(query, a)
	if status, _, _ := f.do("GET", query, ""); status != 400 {
		t.Errorf("second GET: %d", status)
	}
	wantAnswer(t, first, "OK 1")
	a.wantClosed(t, ReasonTransportError)
	f.gone(query)
}

func TestPollingOverlappingPOSTs(t *testing.T) {
	f := serve(t, Options{}, nil)
	query, a := f.polling()
	conn, err := net.Dial("tcp", f.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n4he", query)
	eventually(t, "the first POST has begun", func() bool {
		a.Session.mu.Lock()
		defer a.Session.mu.Unlock()
		return a.posting
	})
	f.post(query, "4x", 400)
	a.wantClosed(t, ReasonTransportError)
	fmt.Fprint(conn, "llo, you")
	conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Errorf("the first POST was not answered: %v", err)
	}
	if got := a.messages(); len(got) != 0 {
		t.Errorf("delivered %q", got)
	}
}

func TestPollingAbandonedGET(t *testing.T) {
	f := serve(t, Options{}, nil)
	query, a := f.polling()
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", f.url(query), nil)
	failed := make(chan error, 1)
	go func() { _, err := f.http.Client().Do(req); failed <- err }()
	eventually(t, "held", func() bool { a.Session.mu.Lock(); defer a.Session.mu.Unlock(); return a.poll != nil })
	cancel()
	if err := <-failed; err == nil {
		t.Fatal("the GET was answered")
	}
	a.wantClosed(t, ReasonTransportError)
	if a.reason.Goodbye() {
		t.Error("an abandoned poll is no goodbye")
	}
	f.gone(query)
}

func TestPollingBadPackets(t *testing.T) {
	for name, c := range map[string]struct{ payload, delivered, message string }{
		"unknown type":   {"4one\x1eabc\x1e4two", "one", "unknown packet type"},
		"empty body":     {"", "", "empty packet"},
		"empty packet":   {"4one\x1e\x1e4two", "one", "empty packet"},
		"end":            {"4one\x1e", "one", "empty packet"},
		"bad base64":     {"4one\x1eb@@", "one", "invalid base64"},
		"ping":           {"4one\x1e2", "one", "ping from a client"},
		"not UTF-8":      {"4one\x1e4\xff", "one", "text is not valid UTF-8"},
		"surrogate":      {"4\xed\xa0\x80", "", "text is not valid UTF-8"},
		"smuggled close": {"4one\x1e1\x1e4two", "one", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, Options{}, nil)
			query, a := f.polling()
			status, body, _ := f.do("POST", query, c.payload)
			if c.message == "" {
				if status != 200 || body != "ok" {
					t.Errorf("%d %s", status, body)
				}
				a.wantClosed(t, ReasonTransportClose)
			} else {
				if status != 400 || !strings.Contains(body, c.message) {
					t.Errorf("%d %s, want 400 with %q", status, body, c.message)
				}
				a.wantClosed(t, ReasonParseError)
			}
			if got := strings.Join(a.messages(), ","); got != c.delivered {
				t.Errorf("delivered %q, want %q", got, c.delivered)
			}
			f.gone(query)
		})
	}
}

// A peer on WebSocket can put 0x1e in a text; on polling that would end the packet and begin another.
func TestSeparatorIsNotForwarded(t *testing.T) {
	f := serve(t, Options{}, nil)
	query, victim := f.polling()
	forwarded := make(chan error, 1)
	ws, attacker := f.direct()
	attacker.onMessage = func(_ *app, data []byte, _ bool) { forwarded <- victim.Send(NewText(data)) }
	write(t, ws, "4harmless\x1e1\x1e4forged")
	if err := <-forwarded; err != ErrSeparator {
		t.Errorf("Send: %v", err)
	}
	victim.Send(NewText([]byte("after")))
	f.get(query, "4after")
	if n := f.Stats().Unframable; n != 1 {
		t.Errorf("Unframable %d", n)
	}
}

func TestPollingCloseByClient(t *testing.T) {
	f := serve(t, Options{}, nil)
	query, a := f.polling()
	pending := f.held(query, a)
	f.post(query, "1", 200)
	wantAnswer(t, pending, "OK 6")
	a.wantClosed(t, ReasonTransportClose)
	if !a.reason.Goodbye() {
		t.Error("a close packet is a goodbye")
	}
	if status, body, _ := f.do("GET", query, ""); status != 400 || !strings.Contains(body, `"code":1,`) {
		t.Errorf("later GET: %d %s", status, body)
	}

	// The close packet may overtake a GET.
	query, a = f.polling()
	f.post(query, "1", 200)
	f.get(query, "6")
	a.wantClosed(t, ReasonTransportClose)
	f.gone(query)
	query, _ = f.polling()
	f.post(query, "1", 200)
	f.gone(query)
	eventually(t, "the session is removed", func() bool { return len(f.list()) == 0 })
}

func TestPollingCloseByServer(t *testing.T) {
	f := serve(t, Options{CloseLinger: 300 * time.Millisecond}, nil)
	query, a := f.polling()
	pending := f.held(query, a)
	a.Close("")
	a.Close(ReasonParseError) // the first counts
	wantAnswer(t, pending, "OK 1")
	a.wantClosed(t, ReasonForcedClose)
	f.gone(query)

	// Without a GET the rest and the close packet can still be fetched, once.
	query, a = f.polling()
	a.Send(NewText([]byte("last words")))
	a.Close(ReasonForcedClose)
	a.wantClosed(t, ReasonForcedClose)
	if err := a.Send(NewText([]byte("x"))); err != ErrClosed {
		t.Errorf("Send after Close: %v", err)
	}
	f.gone(query) // for POSTs
	f.get(query, "4last words\x1e1")
	if status, _, _ := f.do("GET", query, ""); status != 400 {
		t.Errorf("second GET: %d", status)
	}

	_, a = f.polling()
	a.Close(ReasonForcedClose)
	eventually(t, "the session is removed", func() bool { return len(f.list()) == 0 })
}

func TestPollingTooLarge(t *testing.T) {
	f := serve(t, Options{MaxPayload: 100}, nil)
	query, a := f.polling()
	f.post(query, "4"+strings.Repeat("x", 99), 200)
	pending := f.held(query, a)
	status, body, header := f.do("POST", query, "4"+strings.Repeat("x", 100))
	if status != 413 || !strings.Contains(body, "too large") || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %s %v", status, body, header)
	}
	wantAnswer(t, pending, "OK 1")
	a.wantClosed(t, ReasonTooLarge)

	// A chunked body has no length to be refused by.
	query, a = f.polling()
	req, _ := http.NewRequest("POST", f.url(query), io.MultiReader(strings.NewReader(strings.Repeat("4x\x1e", 50))))
	res, err := f.http.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("chunked: %d", res.StatusCode)
	}
	a.wantClosed(t, ReasonTooLarge)
	if n := len(a.messages()); n != 0 {
		t.Errorf("%d messages of a body that is too large", n)
	}
}

func TestPollingContentType(t *testing.T) {
	f := serve(t, Options{}, nil)
	query, a := f.polling()
	for _, kind := range []string{"text/plain;charset=UTF-8", "application/json", "x"} {
		if status, _, _ := f.do("POST", query, "4a", "Content-Type", kind); status != 200 {
			t.Errorf("%s: %d", kind, status)
		}
	}
	if status, _, _ := f.do("POST", query, "4a", "Content-Type", "application/octet-stream"); status != 400 {
		t.Errorf("octet-stream: %d", status)
	}
	a.wantClosed(t, ReasonParseError)
	f.gone(query)
}

func TestPollingBodyCutShort(t *testing.T) {
	f := serve(t, Options{ReadTimeout: 200 * time.Millisecond}, nil)
	for _, stall := range []bool{false, true} {
		query, a := f.polling()
		conn, err := net.Dial("tcp", f.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n4he", query)
		if !stall {
			conn.Close()
		}
		a.wantClosed(t, ReasonTransportError)
		if n := len(a.messages()); n != 0 {
			t.Errorf("%d messages of half a body", n)
		}
		conn.Close()
	}
}

// The timeouts of an http.Server are made for requests that are answered at once.
func TestPollOutlivesServerTimeouts(t *testing.T) {
	f := serveWith(t, Options{}, nil, func(s *httptest.Server) {
		s.Config.ReadTimeout, s.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
		s.Start()
	})
	query, a := f.polling()
	ws, b := f.direct()
	pending := f.held(query, a)
	time.Sleep(300 * time.Millisecond) // past both timeouts
	a.Send(NewText([]byte("late")))
	wantAnswer(t, pending, "OK 4late")
	b.Send(NewText([]byte("late too")))
	read(t, ws, "4late too")
	write(t, ws, "4back")
	eventually(t, "the WebSocket still reads", func() bool { return slices.Equal(b.messages(), []string{"back"}) })
}

func TestPollingQueueIsBounded(t *testing.T) {
	for _, opts := range []Options{{QueuePackets: 10}, {QueueBytes: 1000}} {
		f := serve(t, opts, nil)
		query, a := f.polling()
		var err error
		sent := 0
		for ; err == nil && sent < 1000; sent++ {
			err = a.Send(NewText(make([]byte, 98))) // 101 bytes on the wire
		}
		if err != ErrSlowReader || sent != 11 && sent != 10 {
			t.Errorf("%+v: %d sent, %v", opts, sent, err)
		}
		a.wantClosed(t, ReasonSlowReader)
		f.gone(query)
	}
	// One packet may be larger than the bound.
	f := serve(t, Options{QueueBytes: 10}, nil)
	query, a := f.polling()
	if err := a.Send(NewText(make([]byte, 1000))); err != nil {
		t.Error(err)
	}
	f.get(query, "4"+string(make([]byte, 1000)))
}

// Half a million packets in one body are acted upon without memory for each of them.
func TestPollingManyPackets(t *testing.T) {
	f := serve(t, Options{}, nil)
	query, a := f.polling()
	f.post(query, strings.TrimSuffix(strings.Repeat("3\x1e", 499_999), "\x1e"), 200)
	f.post(query, strings.TrimSuffix(strings.Repeat("4\x1e", 100_000), "\x1e"), 200)
	if n := len(a.messages()); n != 100_000 {
		t.Errorf("%d messages", n)
	}
	payload := []byte(strings.TrimSuffix(strings.Repeat("3\x1e", 10_000), "\x1e"))
	if n := testing.AllocsPerRun(5, func() {
		for rest, more := payload, true; more; {
			var packet []byte
			packet, rest, more = splitPayload(rest)
			if err := a.receiveText(packet); err != nil {
				t.Fatal(err)
			}
		}
	}); n > 1 {
		t.Errorf("%v allocations for 10 000 packets", n)
	}
}
