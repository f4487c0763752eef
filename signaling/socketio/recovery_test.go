package socketio_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"skillsage/signaling/socketio"
)

// life records what a socket's handlers are told.
type life struct {
	accepted chan *socketio.Socket
	events   chan string
	extra    func(*socketio.Socket) // registers more handlers
}

func newLife() *life {
	return &life{make(chan *socketio.Socket, 100), make(chan string, 1000), func(*socketio.Socket) {}}
}

func (l *life) setup(server *socketio.Server) {
	echoing(server)
	server.Of("/").OnConnect(func(s *socketio.Socket) {
		s.OnSuspend(func(r socketio.Reason) { l.events <- "suspend: " + string(r) })
		s.OnResume(func() { l.events <- "resume" })
		s.OnDisconnect(func(r socketio.Reason) { l.events <- "disconnect: " + string(r) })
		l.extra(s)
		l.accepted <- s
	})
}

func (l *life) expect(t *testing.T, want string) {
	t.Helper()
	if got := within(t, want, l.events); got != want {
		t.Fatalf("told %q, want %q", got, want)
	}
}

func (l *life) expectNothing(t *testing.T) {
	t.Helper()
	select {
	case got := <-l.events:
		t.Fatalf("told %q as well", got)
	default:
	}
}

func join40(t *testing.T, c *client, auth string) answer {
	t.Helper()
	c.send("40" + auth)
	a := parseAnswer(t, c.expectPrefix(`40{"sid":"`))
	if a.PID == "" || a.PID == a.SID {
		t.Fatalf("answer %+v", a)
	}
	return a
}

func (c *client) cut() { c.ws.NetConn().Close() }

const long = time.Minute

func TestRecovery(t *testing.T) {
	l := newLife()
	server, url := start(t, socketio.Options{Recovery: long}, func(server *socketio.Server) {
		l.setup(server)
		asked := false
		server.Of("/").Use(func(*socketio.Socket) error {
			if asked {
				t.Error("the middleware was asked again")
			}
			asked = true
			return nil
		})
	})
	c := dial(t, url)
	first := join40(t, c, `{"token":"x"}`)
	s := within(t, "socket", l.accepted)
	if got := string(s.Handshake().Auth); got != `{"token":"x"}` {
		t.Errorf("auth %s", got)
	}
	s.Join("room")
	s.Emit("a")
	s.Emit("b", "text")
	c.expect(`42["a","1"]`)
	c.expect(`42["b","text","2"]`)
	s.Emit("lost", 1)
	c.cut()
	l.expect(t, "suspend: transport error")
	if s.Connected() || server.Stats().Suspended != 1 || server.Of("/").Len() != 1 {
		t.Error("not suspended")
	}
	if err := s.Emit("missed", []byte("bin")); err != nil {
		t.Error(err)
	}
	server.Of("/").To("room").Emit("broadcast")
	if s.EmitVolatile("volatile"); server.Stats().VolatileDropped != 1 {
		t.Error("a volatile event was kept")
	}
	if err := s.EmitWithAck(0, "ask", nil, nil); err != socketio.ErrDisconnected {
		t.Errorf("asking for an acknowledgement while away: %v", err)
	}

	c = dial(t, url)
	second := join40(t, c, fmt.Sprintf(`{"pid":%q,"offset":"2","token":"x"}`, first.PID))
	if second != first {
		t.Errorf("recovered as %+v, was %+v", second, first)
	}
	c.expect(`42["lost",1,"3"]`)
	c.expect(`451-["missed",{"_placeholder":true,"num":0},"4"]`)
	c.expectBinary("bin")
	c.expect(`42["broadcast","5"]`)
	l.expect(t, "resume")
	c.send(`42["echo"]`)
	c.expect(`42["echoed","6"]`)
	if !s.Connected() || len(l.accepted) != 0 || server.Stats().Recovered != 1 || server.Stats().Suspended != 0 {
		t.Errorf("after the recovery: %+v", server.Stats())
	}

	// The same again on another connection, with nothing missed.
	c.cut()
	l.expect(t, "suspend: transport error")
	c = dial(t, url)
	join40(t, c, fmt.Sprintf(`{"pid":%q,"offset":"6","token":"x"}`, first.PID))
	l.expect(t, "resume")
	c.send(`42["echo"]`)
	c.expect(`42["echoed","7"]`)
	c.send(`41`)
	l.expect(t, "disconnect: client namespace disconnect")
	l.expectNothing(t)
}

func TestRecoveryWithoutAnOffsetReplaysEverything(t *testing.T) {
	l := newLife()
	_, url := start(t, socketio.Options{Recovery: long}, l.setup)
	c := dial(t, url)
	a := join40(t, c, "")
	s := within(t, "socket", l.accepted)
	c.cut()
	l.expect(t, "suspend: transport error")
	s.Emit("first")
	c = dial(t, url)
	if b := join40(t, c, fmt.Sprintf(`{"pid":%q}`, a.PID)); a != b {
		t.Errorf("recovered as %+v, was %+v", b, a)
	}
	c.expect(`42["first","1"]`)
}

func TestAcksAreReplayed(t *testing.T) {
	l := newLife()
	events := make(chan *socketio.Event, 1)
	l.extra = func(s *socketio.Socket) { s.On("ask", func(e *socketio.Event) { events <- e }) }
	_, url := start(t, socketio.Options{Recovery: long}, l.setup)
	c := dial(t, url)
	a := join40(t, c, "")
	s := within(t, "socket", l.accepted)
	s.Emit("one")
	c.expect(`42["one","1"]`)
	c.send(`425["ask"]`)
	e := within(t, "question", events)
	c.cut()
	l.expect(t, "suspend: transport error")
	s.Emit("two")
	if err := e.Ack("answer"); err != nil {
		t.Error(err)
	}
	c = dial(t, url)
	join40(t, c, fmt.Sprintf(`{"pid":%q,"offset":"1"}`, a.PID))
	c.expect(`42["two","2"]`)
	c.expect(`435["answer"]`)
}

func TestClosingWordsEndAtOnce(t *testing.T) {
	goodbye := func(c *client) { c.ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second)) }
	tests := map[string]struct {
		opts socketio.Options
		end  func(*client, *socketio.Socket)
		want string
	}{
		"DISCONNECT packet":  {socketio.Options{}, func(c *client, _ *socketio.Socket) { c.send(`41`) }, "disconnect: client namespace disconnect"},
		"close frame":        {socketio.Options{}, func(c *client, _ *socketio.Socket) { goodbye(c) }, "disconnect: transport close"},
		"close packet":       {socketio.Options{}, func(c *client, _ *socketio.Socket) { c.send(`1`) }, "disconnect: transport close"},
		"server":             {socketio.Options{}, func(_ *client, s *socketio.Socket) { s.Disconnect(false) }, "disconnect: server namespace disconnect"},
		"server, all of it":  {socketio.Options{}, func(_ *client, s *socketio.Socket) { s.Disconnect(true) }, "disconnect: server namespace disconnect"},
		"violation":          {socketio.Options{}, func(c *client, _ *socketio.Socket) { c.send(`42[]`) }, "disconnect: parse error"},
		"engine violation":   {socketio.Options{}, func(c *client, _ *socketio.Socket) { c.send(`x`) }, "disconnect: parse error"},
		"close frame, asked": {socketio.Options{RecoverAfterClose: true}, func(c *client, _ *socketio.Socket) { goodbye(c) }, "suspend: transport close"},
		"close packet, asked": {socketio.Options{RecoverAfterClose: true}, func(c *client, _ *socketio.Socket) { c.send(`1`) },
			"suspend: transport close"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLife()
			tt.opts.Recovery = long
			_, url := start(t, tt.opts, l.setup)
			c := dial(t, url)
			a := join40(t, c, "")
			tt.end(c, within(t, "socket", l.accepted))
			l.expect(t, tt.want)
			c = dial(t, url)
			b := join40(t, c, fmt.Sprintf(`{"pid":%q}`, a.PID))
			if recovered := a == b; recovered != strings.HasPrefix(tt.want, "suspend") {
				t.Errorf("recovered: %v", recovered)
			}
		})
	}
}

func TestSilenceSuspends(t *testing.T) {
	l := newLife()
	opts := socketio.Options{Recovery: long}
	opts.Engine.PingInterval, opts.Engine.PingTimeout = 20*time.Millisecond, 20*time.Millisecond
	_, url := start(t, opts, l.setup)
	c := dial(t, url)
	c.send("40") // and never a pong, since nothing is read
	l.expect(t, "suspend: ping timeout")
}

func TestRecoveryWindow(t *testing.T) {
	l := newLife()
	server, url := start(t, socketio.Options{Recovery: 30 * time.Millisecond}, l.setup)
	c := dial(t, url)
	a := join40(t, c, "")
	s := within(t, "socket", l.accepted)
	c.cut()
	l.expect(t, "suspend: transport error")
	l.expect(t, "disconnect: transport error")
	if err := s.Emit("x"); err != socketio.ErrDisconnected {
		t.Errorf("after the end: %v", err)
	}
	c = dial(t, url)
	if b := join40(t, c, fmt.Sprintf(`{"pid":%q}`, a.PID)); b.SID == a.SID || b.PID == a.PID {
		t.Error("recovered after the window")
	}
	if st := server.Stats(); st.RecoveryExpired != 1 || st.RecoveryUnknown != 1 || st.Suspended != 0 || st.Sockets != 1 {
		t.Errorf("%+v", st)
	}
	l.expectNothing(t)
}

func TestRecoveryIsBoundToAuthAndNamespace(t *testing.T) {
	l := newLife()
	server, url := start(t, socketio.Options{Recovery: long}, l.setup)
	c := dial(t, url)
	a := join40(t, c, `{"token":"mine"}`)
	within(t, "socket", l.accepted)
	c.cut()
	l.expect(t, "suspend: transport error")
	for _, auth := range []string{`{"pid":%q,"token":"other"}`, `{"pid":%q}`, `{"pid":%q,"token":"mine","x":1}`} {
		c = dial(t, url)
		if b := join40(t, c, fmt.Sprintf(auth, a.PID)); b.SID == a.SID {
			t.Errorf("recovered with %s", auth)
		}
	}
	c = dial(t, url)
	c.send(fmt.Sprintf(`40/custom,{"pid":%q,"token":"mine"}`, a.PID))
	if b := parseAnswer(t, c.expectPrefix(`40/custom,`)); b.SID == a.SID {
		t.Error("recovered in another namespace")
	}
	c.send(fmt.Sprintf(`40{"token":"mine","pid":%q}`, a.PID))
	if b := parseAnswer(t, c.expectPrefix(`40{`)); b != a {
		t.Error("not recovered by its owner")
	}
	eventually(t, "counted", func() bool { st := server.Stats(); return st.RecoveryRefused == 3 && st.Recovered == 1 })
}

func TestReplayIsBounded(t *testing.T) {
	t.Run("while connected the oldest makes room", func(t *testing.T) {
		l := newLife()
		server, url := start(t, socketio.Options{Recovery: long, RecoveryPackets: 4}, l.setup)
		c := dial(t, url)
		a := join40(t, c, "")
		s := within(t, "socket", l.accepted)
		for i := range 6 {
			s.Emit("n", i)
		}
		c.cut()
		l.expect(t, "suspend: transport error")
		c = dial(t, url)
		if b := join40(t, c, fmt.Sprintf(`{"pid":%q,"offset":"1"}`, a.PID)); b == a {
			t.Error("recovered although event 2 is gone")
		}
		l.expect(t, "disconnect: replay gone")
		if server.Stats().RecoveryGone != 1 {
			t.Error("not counted")
		}
	})
	for name, opts := range map[string]socketio.Options{
		"packets while away": {Recovery: long, RecoveryPackets: 3},
		"bytes while away":   {Recovery: long, RecoveryBytes: 300},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLife()
			server, url := start(t, opts, l.setup)
			c := dial(t, url)
			a := join40(t, c, "")
			s := within(t, "socket", l.accepted)
			c.cut()
			l.expect(t, "suspend: transport error")
			for range 3 {
				if err := s.Emit("n", strings.Repeat("x", 90)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Emit("n", strings.Repeat("x", 90)); err != socketio.ErrReplayOverflow {
				t.Fatalf("fourth event: %v", err)
			}
			l.expect(t, "disconnect: replay overflow")
			c = dial(t, url)
			if b := join40(t, c, fmt.Sprintf(`{"pid":%q}`, a.PID)); b == a {
				t.Error("recovered after an overflow")
			}
			if st := server.Stats(); st.ReplayOverflows != 1 || st.Suspended != 0 {
				t.Errorf("%+v", st)
			}
			l.expectNothing(t)
		})
	}
}

func TestNonsenseOffsets(t *testing.T) {
	for _, offset := range []string{"2", "-1", "zzzzzzzzzzzzzzzzzzzz", "é", " 1"} {
		l := newLife()
		_, url := start(t, socketio.Options{Recovery: long}, l.setup)
		c := dial(t, url)
		a := join40(t, c, "")
		within(t, "socket", l.accepted).Emit("one")
		c.cut()
		l.expect(t, "suspend: transport error")
		c = dial(t, url)
		if b := join40(t, c, fmt.Sprintf(`{"pid":%q,"offset":%q}`, a.PID, offset)); b == a {
			t.Errorf("recovered with offset %q", offset)
		}
		l.expect(t, "disconnect: replay gone")
	}
}

func TestReturnWhileTheOldConnectionLives(t *testing.T) {
	l := newLife()
	server, url := start(t, socketio.Options{Recovery: long}, l.setup)
	old := dial(t, url)
	a := join40(t, old, "")
	s := within(t, "socket", l.accepted)
	old.send(`40/custom`)
	old.expectPrefix(`40/custom`)
	s.Emit("one")
	s.Emit("two")
	next := dial(t, url)
	next.send(fmt.Sprintf(`40{"pid":%q,"offset":"1"}`, a.PID), `42["echo"]`)
	if b := parseAnswer(t, next.expectPrefix(`40{`)); b != a {
		t.Errorf("recovered as %+v, was %+v", b, a)
	}
	next.expect(`42["two","2"]`)
	next.expect(`42["echoed","3"]`)
	l.expect(t, "suspend: taken over")
	l.expect(t, "resume")
	old.expect(`42["one","1"]`)
	old.expect(`42["two","2"]`)
	old.expectClosed()
	eventually(t, "the other namespace waits", func() bool { st := server.Stats(); return st.Connections == 1 && st.Suspended == 1 })
	l.expectNothing(t)
}

// TestReturnDuringAHandler: the old connection is busy in a handler; the client's return waits for it.
func TestReturnDuringAHandler(t *testing.T) {
	l := newLife()
	busy, done := make(chan struct{}), make(chan struct{})
	l.extra = func(s *socketio.Socket) {
		s.On("work", func(*socketio.Event) {
			close(busy)
			<-done
			s.Emit("worked")
		})
	}
	_, url := start(t, socketio.Options{Recovery: long}, l.setup)
	old := dial(t, url)
	a := join40(t, old, "")
	old.send(`42["work"]`)
	within(t, "handler", busy)
	next := dial(t, url)
	next.send(fmt.Sprintf(`40{"pid":%q}`, a.PID), `42["echo"]`)
	rival := dial(t, url)
	eventually(t, "a second claim is refused", func() bool {
		rival.send(fmt.Sprintf(`40{"pid":%q}`, a.PID))
		return parseAnswer(t, rival.expectPrefix(`40{`)) != a
	})
	close(done)
	if b := parseAnswer(t, next.expectPrefix(`40{`)); b != a {
		t.Errorf("recovered as %+v, was %+v", b, a)
	}
	next.expect(`42["worked","1"]`)
	next.expect(`42["echoed","2"]`)
	old.expect(`42["worked","1"]`)
	old.expectClosed()
}

func TestDisconnectWhileAway(t *testing.T) {
	l := newLife()
	_, url := start(t, socketio.Options{Recovery: long}, l.setup)
	c := dial(t, url)
	join40(t, c, "")
	s := within(t, "socket", l.accepted)
	c.cut()
	l.expect(t, "suspend: transport error")
	s.Disconnect(true)
	s.Disconnect(true)
	l.expect(t, "disconnect: server namespace disconnect")
	l.expectNothing(t)
}

func TestDisconnectFromOnSuspend(t *testing.T) {
	l := newLife()
	l.extra = func(s *socketio.Socket) { s.OnSuspend(func(socketio.Reason) { s.Disconnect(false) }) }
	server, url := start(t, socketio.Options{Recovery: long}, l.setup)
	c := dial(t, url)
	join40(t, c, "")
	c.cut()
	l.expect(t, "suspend: transport error")
	l.expect(t, "disconnect: server namespace disconnect")

	// A client that has a new connection waiting for the socket gets a new one.
	old := dial(t, url)
	a := join40(t, old, "")
	c = dial(t, url)
	if b := join40(t, c, fmt.Sprintf(`{"pid":%q}`, a.PID)); b == a {
		t.Error("recovered a socket that has ended")
	}
	l.expect(t, "suspend: taken over")
	l.expect(t, "disconnect: server namespace disconnect")
	eventually(t, "one is left", func() bool { st := server.Stats(); return st.Sockets == 1 && st.Suspended == 0 })
	l.expectNothing(t)
}

func TestVolatileEventsTellTheOffset(t *testing.T) {
	l := newLife()
	_, url := start(t, socketio.Options{Recovery: long}, l.setup)
	c := dial(t, url)
	join40(t, c, "")
	s := within(t, "socket", l.accepted)
	s.Emit("one")
	c.expect(`42["one","1"]`)
	eventually(t, "writable", func() bool {
		m, _ := socketio.Encode("cursor", "text")
		return s.SendVolatile(m)
	})
	c.expect(`42["cursor","text","1"]`)
	s.Emit("two")
	c.expect(`42["two","2"]`)
}

// TestReturnsRace: several connections want the same socket at once, again and
// again. There is never more than one that has it, and it ends once.
func TestReturnsRace(t *testing.T) {
	var suspended, resumed, ended atomic.Int64
	var first sync.Once // those that lose the race get sockets, too
	accepted := make(chan *socketio.Socket, 1)
	server, url := start(t, socketio.Options{Recovery: long}, func(server *socketio.Server) {
		server.Of("/").OnConnect(func(s *socketio.Socket) {
			first.Do(func() {
				s.OnSuspend(func(socketio.Reason) { suspended.Add(1) })
				s.OnResume(func() { resumed.Add(1) })
				s.OnDisconnect(func(socketio.Reason) { ended.Add(1) })
				accepted <- s
			})
		})
	})
	c := dial(t, url)
	a := join40(t, c, "")
	s := within(t, "socket", accepted)
	for range 10 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				c := dial(t, url)
				c.send(fmt.Sprintf(`40{"pid":%q}`, a.PID))
				c.read()
				if rand.N(2) == 0 {
					c.cut()
				}
			})
		}
		wg.Wait()
	}
	eventually(t, "the socket is had again", func() bool {
		return join40(t, dial(t, url), fmt.Sprintf(`{"pid":%q}`, a.PID)) == a
	})
	s.Disconnect(true)
	eventually(t, "the end", func() bool { return ended.Load() == 1 })
	if server.Of("/").Socket(a.SID) != nil || suspended.Load() != resumed.Load() {
		t.Errorf("suspended %d times, resumed %d times", suspended.Load(), resumed.Load())
	}
}

// TestExactlyOnceInOrder cuts the connection at random while events are emitted
// from several goroutines, and checks what the client got.
func TestExactlyOnceInOrder(t *testing.T) {
	l := newLife()
	_, url := start(t, socketio.Options{Recovery: long, RecoveryPackets: 600}, l.setup)
	c := dial(t, url)
	a := join40(t, c, "")
	s := within(t, "socket", l.accepted)
	const emitters, each = 3, 150
	var wg sync.WaitGroup
	for g := range emitters {
		wg.Go(func() {
			for n := range each {
				if err := s.Emit("n", g, n); err != nil {
					t.Error(err)
					return
				}
				if n%10 == 0 {
					time.Sleep(time.Millisecond) // gives the cuts something to fall into
				}
			}
		})
	}
	offset, next := uint64(0), [emitters]int{}
	for received := 0; received < emitters*each; {
		_, data, err := c.read()
		if err == nil {
			var event []any
			if err := json.Unmarshal(data[2:], &event); err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			g, n := int(event[1].(float64)), int(event[2].(float64))
			if n != next[g] {
				t.Fatalf("emitter %d: got %d, want %d", g, n, next[g])
			}
			next[g]++
			received++
			seq, _ := strconv.ParseUint(event[3].(string), 36, 64)
			if seq != offset+1 {
				t.Fatalf("offset %d follows %d", seq, offset)
			}
			offset = seq
			if rand.N(20) != 0 {
				continue
			}
			if rand.N(2) == 0 {
				c.cut()
			}
		}
		c = dial(t, url)
		if b := join40(t, c, fmt.Sprintf(`{"pid":%q,"offset":%q}`, a.PID, strconv.FormatUint(offset, 36))); b != a {
			t.Fatal("not recovered")
		}
	}
	wg.Wait()
	if len(l.accepted) > 0 {
		t.Error("there was a second socket")
	}
}
