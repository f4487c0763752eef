package engineio

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func asWebSocket(query string) string { return strings.Replace(query, "polling", "websocket", 1) }

// upgrade moves a polling session to WebSocket.
func (f *fixture) upgrade(query string, a *app) *websocket.Conn {
	f.Helper()
	ws := f.websocket(asWebSocket(query))
	write(f.T, ws, "2probe")
	read(f.T, ws, "3probe")
	write(f.T, ws, "5")
	eventually(f.T, "the session is on WebSocket", func() bool { return a.Transport() == "websocket" })
	return ws
}

func TestUpgrade(t *testing.T) {
	f := serve(t, Options{}, echo)
	query, a := f.polling()
	pending := f.held(query, a)
	ws := f.websocket(asWebSocket(query))
	write(t, ws, "2probe")
	read(t, ws, "3probe")
	wantAnswer(t, pending, "OK 6")
	// Every GET is answered until the upgrade is complete, not only the first.
	for range 3 {
		f.get(query, "6")
	}
	// Until then packets take the old transport.
	a.Send(NewText([]byte("still polling")))
	f.get(query, "4still polling")
	a.Send(NewText([]byte("left over")))
	// The switch and the first message may share a segment.
	write(t, ws, "5")
	write(t, ws, "4hello")
	read(t, ws, "4left over")
	read(t, ws, "4hello")
	f.post(query, "4late", 400)
	if got := strings.Join(a.messages(), ","); got != "hello" {
		t.Errorf("received %s", got)
	}
	if s := f.Stats(); s.Upgrades != 1 || s.Polling != 0 || s.Sessions != 1 {
		t.Errorf("stats %+v", s)
	}
	ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience))
	a.wantClosed(t, ReasonTransportClose)
	f.gone(query)
}

func TestUpgradeWithoutProbe(t *testing.T) {
	f := serve(t, Options{}, echo)
	query, a := f.polling()
	pending := f.held(query, a)
	ws := f.websocket(asWebSocket(query))
	write(t, ws, "5")
	write(t, ws, "4x")
	read(t, ws, "4x")
	wantAnswer(t, pending, "OK 6")
}

func TestUpgradeFails(t *testing.T) {
	for name, probe := range map[string]func(*testing.T, *websocket.Conn){
		"dies": func(_ *testing.T, ws *websocket.Conn) { ws.NetConn().Close() },
		"dies probed": func(t *testing.T, ws *websocket.Conn) {
			write(t, ws, "2probe")
			read(t, ws, "3probe")
			ws.NetConn().Close()
		},
		"wrong word": func(t *testing.T, ws *websocket.Conn) { write(t, ws, "4hello") },
		"wrong later": func(t *testing.T, ws *websocket.Conn) {
			write(t, ws, "2probe")
			write(t, ws, "4hello")
			readClose(t, ws)
		},
		"binary":        func(_ *testing.T, ws *websocket.Conn) { ws.WriteMessage(websocket.BinaryMessage, []byte("2probe")) },
		"says nothing":  func(t *testing.T, ws *websocket.Conn) { readClose(t, ws) },
		"only probes":   func(t *testing.T, ws *websocket.Conn) { write(t, ws, "2probe"); readClose(t, ws) },
		"says goodbye":  func(_ *testing.T, ws *websocket.Conn) { ws.WriteMessage(websocket.CloseMessage, nil) },
		"breaks frames": func(_ *testing.T, ws *websocket.Conn) { ws.NetConn().Write([]byte{0xff, 0xff, 0xff}) },
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, Options{UpgradeTimeout: 300 * time.Millisecond}, echo)
			query, a := f.polling()
			probe(t, f.websocket(asWebSocket(query)))
			eventually(t, "the probe has failed", func() bool { return f.Stats().ProbesFailed == 1 })
			// Polling goes on, and another attempt succeeds.
			f.post(query, "4one", 200)
			f.get(query, "4one")
			pending := f.held(query, a)
			a.Send(NewText([]byte("two")))
			wantAnswer(t, pending, "OK 4two")
			f.upgrade(query, a)
		})
	}
}

func TestUpgradeNewcomer(t *testing.T) {
	f := serve(t, Options{}, echo)
	query, a := f.polling()
	first := f.websocket(asWebSocket(query))
	write(t, first, "2probe")
	read(t, first, "3probe")
	readClose(t, f.websocket(asWebSocket(query))) // upgrading
	write(t, first, "5")
	eventually(t, "upgraded", func() bool { return a.Transport() == "websocket" })
	readClose(t, f.websocket(asWebSocket(query))) // upgraded
	write(t, first, "4hello")
	read(t, first, "4hello")
}

func TestUpgradeEndsWithSession(t *testing.T) {
	f := serve(t, Options{}, nil)
	query, a := f.polling()
	ws := f.websocket(asWebSocket(query))
	write(t, ws, "2probe")
	read(t, ws, "3probe")
	a.Close("")
	a.wantClosed(t, ReasonForcedClose)
	if _, _, err := ws.ReadMessage(); err == nil {
		t.Error("the probing WebSocket stayed open")
	}
}

// TestUpgradeRace sends thousands of messages both ways while sessions upgrade, as a stock client does it:
// poll in a loop, probe beside it, pause, switch. Every message must arrive exactly once and in order.
func TestUpgradeRace(t *testing.T) {
	const sessions, total = 8, 2000
	f := serve(t, Options{}, nil)
	var wg sync.WaitGroup
	for range sessions {
		query, a := f.polling()
		wg.Go(func() { // the application's side
			for i := range total {
				for a.Send(NewText([]byte(strconv.Itoa(i)))) != nil {
					t.Error("Send failed")
					return
				}
				if i%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
		wg.Go(func() { f.raceClient(query, a, total) })
	}
	wg.Wait()
}

func (f *fixture) raceClient(query string, a *app, total int) {
	next := 0
	take := func(packet string) {
		switch {
		case packet == "6" || packet == "2":
		case packet != "4"+strconv.Itoa(next):
			f.Errorf("got %q, want 4%d", packet, next)
		default:
			next++
		}
	}
	sent := 0
	probed := make(chan *websocket.Conn, 1)
	go func() {
		time.Sleep(5 * time.Millisecond)
		ws, _, err := f.dial(asWebSocket(query), nil)
		if err == nil {
			ws.WriteMessage(websocket.TextMessage, []byte("2probe"))
			_, _, err = ws.ReadMessage()
		}
		if err != nil {
			f.Errorf("probe: %v", err)
		}
		probed <- ws
	}()
	var ws *websocket.Conn
	for ws == nil {
		status, body, _ := f.do("GET", query, "")
		if status != http.StatusOK {
			f.Errorf("GET: %d %s", status, body)
			return
		}
		for packet := range strings.SplitSeq(body, "\x1e") {
			take(packet)
		}
		if sent < total {
			f.post(query, fmt.Sprintf("4%d\x1e4%d", sent, sent+1), 200)
			sent += 2
		}
		select {
		case ws = <-probed:
		default:
		}
	}
	defer ws.Close()
	ws.WriteMessage(websocket.TextMessage, []byte("5"))
	for ; sent < total; sent++ {
		ws.WriteMessage(websocket.TextMessage, []byte("4"+strconv.Itoa(sent)))
	}
	ws.SetReadDeadline(time.Now().Add(patience))
	for next < total {
		_, packet, err := ws.ReadMessage()
		if err != nil {
			f.Errorf("after %d: %v", next, err)
			return
		}
		take(string(packet))
	}
	eventually(f.T, "everything arrived", func() bool { return len(a.messages()) == total })
	for i, m := range a.messages() {
		if m != strconv.Itoa(i) {
			f.Errorf("message %d is %q", i, m)
			return
		}
	}
}
