package engineio

import (
	"strings"
	"testing"
	"time"
)

var quick = Options{PingInterval: 150 * time.Millisecond, PingTimeout: 100 * time.Millisecond}

func TestPingsOnBothTransports(t *testing.T) {
	f := serve(t, quick, nil)
	query, a := f.polling()
	ws, b := f.direct()
	start := time.Now()
	for range 3 {
		f.get(query, "2")
		f.post(query, "3", 200)
		read(t, ws, "2")
		write(t, ws, "3")
	}
	if took := time.Since(start); took < 3*quick.PingInterval-50*time.Millisecond {
		t.Errorf("three pings in %v", took)
	}
	// The last pong arrived; without more of them both end.
	a.wantClosed(t, ReasonPingTimeout)
	b.wantClosed(t, ReasonPingTimeout)
	if a.reason.Goodbye() {
		t.Error("a ping timeout is no goodbye")
	}
	f.gone(query)
}

// A session that nobody polls is gone PingInterval + PingTimeout after its handshake, and not sooner.
func TestSilentSessionsEndInTime(t *testing.T) {
	opts := Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
	f := serve(t, opts, nil)
	before := time.Now()
	query, a := f.polling()
	after := time.Now()
	a.wantClosed(t, ReasonPingTimeout)
	if at := time.Now(); at.Sub(before) < 500*time.Millisecond || at.Sub(after) > 500*time.Millisecond+100*time.Millisecond {
		t.Errorf("closed %v to %v after the handshake, want 500 ms", at.Sub(after), at.Sub(before))
	}
	if status, body, _ := f.do("GET", query, ""); status != 400 || !strings.Contains(body, `"code":1,`) {
		t.Errorf("GET: %d %s", status, body)
	}
}

// A GET that is held does not keep a session alive that answers no ping.
func TestHeldGETIsNoLife(t *testing.T) {
	f := serve(t, quick, nil)
	query, a := f.polling()
	f.get(query, "2")
	pending := f.held(query, a)
	wantAnswer(t, pending, "OK 1")
	a.wantClosed(t, ReasonPingTimeout)
}

// Any packet is a sign of life: a pong may wait behind a long upload. The pings go on then.
func TestAnyPacketIsLife(t *testing.T) {
	f := serve(t, quick, nil)
	query, a := f.polling()
	ws, b := f.direct()
	pings := make(chan int, 1)
	go func() {
		n := 0
		for {
			_, packet, err := ws.ReadMessage()
			if err != nil {
				pings <- n
				return
			}
			if string(packet) == "2" {
				n++
			}
		}
	}()
	for end := time.Now().Add(8 * quick.PingInterval); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		f.post(query, "4busy", 200)
		write(t, ws, "4busy")
	}
	select {
	case <-a.closed:
		t.Error("polling session closed")
	case <-b.closed:
		t.Error("WebSocket session closed")
	default:
	}
	a.wantClosed(t, ReasonPingTimeout)
	b.wantClosed(t, ReasonPingTimeout)
	if n := <-pings; n < 6 {
		t.Errorf("%d pings in 8 intervals", n)
	}
}

// A pong counts on either side of the switch, and a ping that waited moves along.
func TestHeartbeatAcrossUpgrade(t *testing.T) {
	f := serve(t, quick, nil)
	query, a := f.polling()
	eventually(t, "a ping waits", func() bool { a.Session.mu.Lock(); defer a.Session.mu.Unlock(); return len(a.Session.queue) == 1 })
	ws := f.upgrade(query, a)
	for range 3 {
		read(t, ws, "2")
		write(t, ws, "3")
	}
	a.wantClosed(t, ReasonPingTimeout)
}

// A ping out of turn is answered as any other, and changes nothing about the others.
func TestPingOutOfTurn(t *testing.T) {
	f := serve(t, Options{PingInterval: time.Minute}, nil)
	query, a := f.polling()
	ws, b := f.direct()
	answers := make(chan string, 10)
	ask := func(a *app, name string) { a.Ping(func() { answers <- name }) }
	answered := func(want string) {
		t.Helper()
		select {
		case got := <-answers:
			if got != want {
				t.Errorf("%q was answered, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("%q was not answered", want)
		}
	}
	for _, text := range []string{"3", "4 anything"} {
		ask(a, "polling")
		f.get(query, "2")
		f.post(query, text, 200)
		answered("polling")
		ask(b, "websocket")
		read(t, ws, "2")
		write(t, ws, text)
		answered("websocket")
	}
	// A later one takes the place of an earlier one; who is not heard of answers none.
	ask(b, "first")
	ask(b, "second")
	read(t, ws, "2")
	read(t, ws, "2")
	write(t, ws, "3")
	write(t, ws, "3")
	answered("second")
	ask(b, "never")
	ws.Close()
	<-b.closed
	ask(b, "never")
	if len(answers) != 0 {
		t.Errorf("answered %q", <-answers)
	}
}
