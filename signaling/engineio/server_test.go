package engineio

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestServerClose(t *testing.T) {
	f := serve(t, Options{}, nil)
	ws, a := f.direct()
	query, b := f.polling()
	pending := f.held(query, b)
	_, c := f.polling()
	lingering, d := f.polling()
	d.Close("")
	d.wantClosed(t, ReasonForcedClose)
	code := make(chan int, 1)
	go func() { code <- readClose(t, ws) }()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 2 {
		if err := f.Server.Close(ctx); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	for _, a := range []*app{a, b, c} {
		select {
		case <-a.closed:
		default:
			t.Error("Close returned before a Closed had")
		}
		a.wantClosed(t, ReasonShutdown)
	}
	if got := <-code; got != websocket.CloseGoingAway {
		t.Errorf("close code %d", got)
	}
	wantAnswer(t, pending, "OK 1")
	f.gone(lingering)
	if status, body, _ := f.do("GET", "EIO=4&transport=polling", ""); status != 503 {
		t.Errorf("handshake while closing: %d %s", status, body)
	}
	if _, _, err := f.dial("EIO=4&transport=websocket", nil); err == nil {
		t.Error("WebSocket handshake while closing")
	}
}

// A peer that neither reads nor answers the close frame is cut when the context ends.
func TestServerCloseGivesUp(t *testing.T) {
	f := serve(t, Options{QueueBytes: 64 << 20}, nil)
	_, a := f.direct()
	for f.Stats().WritesDeferred == 0 {
		a.Send(NewText(make([]byte, 1<<20)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := f.Server.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Close took %v", took)
	}
	a.wantClosed(t, ReasonShutdown)
	eventually(t, "the session is removed", func() bool { return len(f.list()) == 0 })
}

// A peer that doesn't answer our close frame is cut after WriteTimeout.
func TestCloseHandshakeIsBounded(t *testing.T) {
	f := serve(t, Options{WriteTimeout: 200 * time.Millisecond}, nil)
	_, a := f.direct() // never reads
	a.Close("")
	a.wantClosed(t, ReasonForcedClose)
	eventually(t, "the connection is cut", func() bool { return len(f.list()) == 0 })
}

func TestHandlerRefusesAndPanics(t *testing.T) {
	for _, handler := range []Handler{
		func(*Session) Receiver { return nil },
		func(*Session) Receiver { panic("no") },
	} {
		f := serve(t, Options{}, nil)
		f.Server.handler = handler
		if status, body, _ := f.do("GET", "EIO=4&transport=polling", ""); status != 403 {
			t.Errorf("polling: %d %s", status, body)
		}
		ws := f.websocket("EIO=4&transport=websocket")
		readClose(t, ws)
		eventually(t, "nothing is left", func() bool { return len(f.list()) == 0 })
	}
}

// What the application does in its Handler follows the open packet; a Close there is kept.
func TestHandlerSendsAndCloses(t *testing.T) {
	f := serve(t, Options{}, nil)
	apps := make(chan *app, 2)
	f.Server.handler = func(s *Session) Receiver {
		a := &app{Session: s, closed: make(chan struct{})}
		apps <- a
		s.Send(NewText([]byte("welcome")))
		s.Close("")
		return a
	}
	ws := f.websocket("EIO=4&transport=websocket")
	_, packet, _ := ws.ReadMessage()
	parseOpen(t, string(packet))
	read(t, ws, "4welcome")
	readClose(t, ws)
	(<-apps).wantClosed(t, ReasonForcedClose)
	_, body, _ := f.do("GET", "EIO=4&transport=polling", "")
	f.get("EIO=4&transport=polling&sid="+parseOpen(t, body).SID, "4welcome\x1e1")
	(<-apps).wantClosed(t, ReasonForcedClose)
}

// Closing from within a Receiver, and from several goroutines at once, ends in one Closed, the last call.
func TestCloseRaces(t *testing.T) {
	f := serve(t, Options{}, func(a *app, data []byte, _ bool) {
		if string(data) == "50" {
			a.Close(ReasonForcedClose)
		}
	})
	for range 20 {
		ws, a := f.direct()
		for range 3 {
			go func() {
				for len(a.messages()) < 40 {
					runtime.Gosched()
					select {
					case <-a.closed:
						return
					default:
					}
				}
				a.Close(ReasonForcedClose)
			}()
		}
		for i := range 100 {
			if ws.WriteMessage(websocket.TextMessage, []byte("4"+strings.Repeat("5", i%2)+strings.Repeat("0", i%3))) != nil {
				break
			}
		}
		a.Close(ReasonForcedClose)
		a.wantClosed(t, ReasonForcedClose)
		readClose(t, ws)
	}
}

// An idle WebSocket session has one goroutine, a polling session none.
func TestIdleSessionsCostOneGoroutineOrNone(t *testing.T) {
	f := serve(t, Options{}, nil)
	const n = 50
	count := func() int {
		buf := make([]byte, 4<<20)
		return strings.Count(string(buf[:runtime.Stack(buf, true)]), "skillsage/signaling/engineio.(*Session)")
	}
	for range n {
		f.polling()
	}
	if got := count(); got != 0 {
		t.Errorf("%d goroutine frames for idle polling sessions", got)
	}
	for range n {
		_, a := f.direct()
		a.Send(NewText([]byte("something")))
	}
	eventually(t, "one goroutine per WebSocket", func() bool {
		buf := make([]byte, 8<<20)
		stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		ours := 0
		for _, s := range stacks {
			if strings.Contains(s, "skillsage/signaling/engineio.(*") && !strings.Contains(s, "engineio.Test") && !strings.Contains(s, "engineio.(*fixture)") {
				ours++
			}
		}
		return ours == n
	})
}

// Thousands of sessions that are opened and abandoned leave nothing behind once their time is over.
func TestAbandonedSessionsAreReclaimed(t *testing.T) {
	f := serve(t, Options{PingInterval: 200 * time.Millisecond, PingTimeout: 100 * time.Millisecond}, nil)
	before := runtime.NumGoroutine()
	for i := range 1500 {
		if i%3 == 0 {
			ws, _, err := f.dial("EIO=4&transport=websocket", nil)
			if err != nil {
				t.Fatal(err)
			}
			ws.NetConn().Close()
		} else if status, _, _ := f.do("GET", "EIO=4&transport=polling", ""); status != 200 {
			t.Fatal(status)
		}
	}
	eventually(t, "all sessions are gone", func() bool { return f.Stats().Sessions == 0 && len(f.list()) == 0 })
	f.http.Client().CloseIdleConnections()
	eventually(t, "all goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}
