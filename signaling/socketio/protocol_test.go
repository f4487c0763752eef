package socketio_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"skillsage/signaling/socketio"
)

func TestEventsAndAcks(t *testing.T) {
	_, url := start(t, socketio.Options{}, echoing)
	c := connected(t, url)
	tests := []struct{ send, want string }{
		{`42["echo"]`, `42["echoed"]`},
		{`42["echo",1,"2",{"3":[true,null]}]`, `42["echoed",1,"2",{"3":[true,null]}]`},
		{`42["echo", 1.50 ,"<&>\u2028\ud800",9007199254740993,{"a":1,"a":2}]`, `42["echoed",1.50,"<&>\u2028\ud800",9007199254740993,{"a":1,"a":2}]`},
		{`42["echo","héé\u0000"]`, `42["echoed","héé\u0000"]`},
		{`420["ask","x"]`, `430["x"]`},
		{`42123456["ask"]`, `43123456[]`},
		{`429007199254740991["ask",{}]`, `439007199254740991[{}]`},
		{`42[7]`, `42["seven"]`},
		{`42["7"]`, `42["seven"]`},
	}
	for _, tt := range tests {
		c.send(tt.send)
		c.expect(tt.want)
	}
	c.send(`42["nobody listens"]`, `421["nobody listens"]`, `42`, `4399["late"]`, `43[]`, `42["echo"]`)
	c.expect(`42["echoed"]`)
}

func TestNamespacesShareAConnection(t *testing.T) {
	_, url := start(t, socketio.Options{}, echoing)
	c := connected(t, url)
	c.send(`40/custom,{"a":1}`)
	first := parseAnswer(t, c.expectPrefix(`40/custom,{"sid":"`))
	c.send(`42/custom,5["ask",1]`)
	c.expect(`43/custom,5[1]`)
	c.send(`40/unknown,{}`)
	c.expect(`44/unknown,{"message":"Invalid namespace"}`)
	c.send(`41/custom`, `42["echo"]`)
	c.expect(`42["echoed"]`)
	c.send(`40/custom`)
	if again := parseAnswer(t, c.expectPrefix(`40/custom,{"sid":"`)); again.SID == first.SID || again.SID == "" {
		t.Errorf("second connection has id %q, the first had %q", again.SID, first.SID)
	}
	c.send(`42/custom,["echo"]`)
	c.expect(`42/custom,["echoed"]`)
}

func TestConnectAnswerHasOnlyTheSocketID(t *testing.T) {
	_, url := start(t, socketio.Options{}, echoing)
	c := dial(t, url)
	c.send("40")
	text := c.receive()
	if want := fmt.Sprintf(`40{"sid":%q}`, parseAnswer(t, text).SID); text != want {
		t.Errorf("answer is %s, want %s", text, want)
	}
}

func TestBinaryBothWays(t *testing.T) {
	_, url := start(t, socketio.Options{}, echoing)
	c := connected(t, url)
	c.send(`452-["echo",{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":1}}]`)
	c.sendBinary([]byte{1, 2, 3})
	c.sendBinary(nil)
	c.expect(`452-["echoed",{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":1}}]`)
	c.expectBinary("\x01\x02\x03")
	c.expectBinary("")
	c.send(`451-/custom,9["ask"]`)
	c.sendBinary([]byte("x"))
	c.expectClosed() // not connected to that namespace

	c = connected(t, url)
	c.send(`451-9["ask",{"_placeholder":true,"num":0}]`)
	c.sendBinary([]byte("abc"))
	c.expect(`461-9[{"_placeholder":true,"num":0}]`)
	c.expectBinary("abc")
}

// TestViolationsCloseTheConnection: one table for everything a client must not send.
func TestViolationsCloseTheConnection(t *testing.T) {
	server, url := start(t, socketio.Options{MaxAuthBytes: 100}, echoing)
	tests := map[string][]string{
		"unknown packet type":             {`4abc`},
		"empty packet":                    {`4`},
		"connected already":               {`40`},
		"event in an unjoined namespace":  {`42/custom,["echo"]`},
		"ack in an unjoined namespace":    {`43/custom,1[]`},
		"leave an unjoined namespace":     {`41/custom`},
		"leave twice":                     {`41`, `41`},
		"event after leaving":             {`41`, `42["echo"]`},
		"CONNECT_ERROR from a client":     {`44{"message":"x"}`},
		"payload of a disconnect":         {`41{}`},
		"event that is no array":          {`42{}`},
		"empty event":                     {`42[]`},
		"event name null":                 {`42[null]`},
		"event name object":               {`42[{}]`},
		"reserved event":                  {`42["disconnect"]`},
		"digits followed by junk":         {`42123abc["x"]`},
		"cut off JSON":                    {`42["echo",`},
		"raw control character":           {"42[\"echo\",\"\x1e41\"]"},
		"long ack id":                     {`4212345678901234567["echo"]`},
		"ack that is no array":            {`431{}`},
		"CONNECT payload array":           {`40/custom,[]`},
		"CONNECT payload string":          {`40/custom,"x"`},
		"CONNECT payload too large":       {`40/custom,{"a":"` + strings.Repeat("x", 100) + `"}`},
		"depth bomb":                      {`42["echo",` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `]`},
		"no attachments":                  {`450-["echo"]`},
		"too many attachments":            {`4511-["echo"]`},
		"huge attachment count":           {`4599999999999999999999-["echo"]`},
		"text while attachments awaited":  {`451-["echo"]`, `42["echo"]`},
		"binary without payload":          {`451-`},
		"attachment count without a dash": {`451["echo"]`},
	}
	for name, packets := range tests {
		t.Run(name, func(t *testing.T) {
			before := server.Stats().Violations
			c := connected(t, url)
			c.send(packets...)
			c.expectClosed()
			eventually(t, "counted", func() bool { return server.Stats().Violations == before+1 })
		})
	}
	t.Run("binary message unannounced", func(t *testing.T) {
		c := connected(t, url)
		c.sendBinary([]byte("x"))
		c.expectClosed()
	})
	t.Run("placeholder out of range", func(t *testing.T) {
		c := connected(t, url)
		c.send(`451-["echo",{"_placeholder":true,"num":1}]`)
		c.sendBinary([]byte("x"))
		c.expectClosed()
	})
	t.Run("event before CONNECT", func(t *testing.T) {
		c := dial(t, url)
		c.send(`42["echo"]`)
		c.expectClosed()
	})
	eventually(t, "all sockets gone", func() bool { s := server.Stats(); return s.Sockets == 0 && s.Connections == 0 })
}

func TestAttachmentsAreBoundedTogether(t *testing.T) {
	opts := socketio.Options{}
	opts.Engine.MaxPayload = 10_000
	_, url := start(t, opts, echoing)
	c := connected(t, url)
	c.send(`453-["echo"]`)
	for range 3 {
		if c.ws.WriteMessage(websocket.BinaryMessage, make([]byte, 4000)) != nil {
			break
		}
	}
	c.expectClosed()
}

func TestAttachmentsHaveADeadline(t *testing.T) {
	_, url := start(t, socketio.Options{AttachmentTimeout: 20 * time.Millisecond}, echoing)
	c := connected(t, url)
	c.send(`452-["echo"]`)
	c.sendBinary([]byte("x"))
	c.expectClosed()
}

func TestConnectTimeout(t *testing.T) {
	server, url := start(t, socketio.Options{ConnectTimeout: 50 * time.Millisecond}, func(s *socketio.Server) {
		echoing(s)
		s.Of("/closed").Use(func(*socketio.Socket) error { return errors.New("no") })
	})
	silent := dial(t, url)
	silent.expectClosed()
	refused := dial(t, url)
	refused.send(`40/closed`)
	refused.expect(`44/closed,{"message":"no"}`)
	refused.expectClosed()
	joined := connected(t, url)
	time.Sleep(100 * time.Millisecond) // twice the timeout, which must not count any more
	joined.send(`42["echo"]`)
	joined.expect(`42["echoed"]`)
	if n := server.Stats().ConnectTimeouts; n != 2 {
		t.Errorf("%d connect timeouts counted, want 2", n)
	}
}

func TestConnectAnswerComesBeforeEvents(t *testing.T) {
	_, url := start(t, socketio.Options{}, func(s *socketio.Server) {
		s.Of("/").OnConnect(func(s *socketio.Socket) { s.Emit("first", s.Handshake().Auth) })
		s.Of("/").OnConnect(func(s *socketio.Socket) { s.Emit("second") })
	})
	c := dial(t, url)
	c.send(`40{"token":"<abc>"}`)
	c.expectPrefix(`40{"sid":`)
	c.expect(`42["first",{"token":"<abc>"}]`)
	c.expect(`42["second"]`)
}

func TestServerDisconnect(t *testing.T) {
	reasons := make(chan socketio.Reason, 2)
	_, url := start(t, socketio.Options{}, func(server *socketio.Server) {
		echoing(server)
		server.Of("/").OnConnect(func(s *socketio.Socket) {
			s.OnDisconnect(func(r socketio.Reason) { reasons <- r })
			s.On("kick", func(e *socketio.Event) {
				s.Disconnect(len(e.Args) > 0)
				if s.Connected() || s.Emit("x") != socketio.ErrDisconnected {
					t.Error("still connected after Disconnect")
				}
				s.Disconnect(false)
			})
		})
	})
	c := connected(t, url)
	c.send(`40/custom`)
	c.expectPrefix(`40/custom,`)
	// What the client sent before it knew is no violation; the other namespace goes on.
	c.send(`42["kick"]`, `42["echo"]`, `41`, `42/custom,["echo"]`)
	c.expect(`41`)
	c.expect(`42/custom,["echoed"]`)
	if r := within(t, "disconnect", reasons); r != socketio.ReasonServerDisconnect {
		t.Errorf("reason %q", r)
	}
	c.send(`40`)
	c.expectPrefix(`40{"sid"`)
	c.send(`42["kick",true]`)
	got := c.receive() + c.receive()
	if got != `4141/custom,` {
		t.Errorf("received %q before the end", got)
	}
	c.expectClosed()
	if r := within(t, "disconnect", reasons); r != socketio.ReasonServerDisconnect {
		t.Errorf("reason %q", r)
	}
}

func TestDisconnectIsToldOnce(t *testing.T) {
	tests := map[string]struct {
		end  func(*client)
		want socketio.Reason
	}{
		"DISCONNECT packet": {func(c *client) { c.send(`41`) }, socketio.ReasonClientDisconnect},
		"close frame": {func(c *client) {
			c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		}, socketio.ReasonTransportClose},
		"broken connection": {func(c *client) { c.ws.NetConn().Close() }, socketio.ReasonTransportError},
		"violation":         {func(c *client) { c.send(`42[]`) }, socketio.ReasonParseError},
		"DISCONNECT, then close frame": {func(c *client) {
			c.send(`41`)
			c.ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second))
		}, socketio.ReasonClientDisconnect},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			reasons := make(chan socketio.Reason, 10)
			server, url := start(t, socketio.Options{}, func(server *socketio.Server) {
				server.Of("/").OnConnect(func(s *socketio.Socket) {
					s.Join("room")
					s.OnDisconnect(func(r socketio.Reason) { reasons <- r })
				})
			})
			c := connected(t, url)
			tt.end(c)
			if r := within(t, "disconnect", reasons); r != tt.want {
				t.Errorf("reason %q, want %q", r, tt.want)
			}
			c.ws.Close()
			eventually(t, "gone", func() bool {
				s := server.Stats()
				return s.Sockets == 0 && s.Connections == 0 && server.Of("/").Len() == 0
			})
			if len(reasons) > 0 {
				t.Errorf("told again: %q", <-reasons)
			}
		})
	}
}

func TestPanicsEndTheirSocketOnly(t *testing.T) {
	gone := make(chan socketio.Reason, 1)
	server, url := start(t, socketio.Options{}, func(server *socketio.Server) {
		echoing(server)
		server.Of("/").OnConnect(func(s *socketio.Socket) {
			s.OnDisconnect(func(r socketio.Reason) { gone <- r; panic("again") })
			s.On("panic", func(e *socketio.Event) { panic("of a handler") })
		})
		server.Of("/bad").OnConnect(func(*socketio.Socket) { panic("of OnConnect") })
		server.Of("/worse").Use(func(*socketio.Socket) error { panic("of a middleware") })
	})
	other := connected(t, url)
	c := connected(t, url)
	c.send(`40/custom`)
	c.expectPrefix(`40/custom`)
	c.send(`42["panic"]`, `42/custom,["echo"]`)
	c.expect(`41`)
	c.expect(`42/custom,["echoed"]`)
	if r := within(t, "disconnect", gone); r != socketio.ReasonPanic {
		t.Errorf("reason %q", r)
	}
	c.send(`40/bad`)
	c.expectPrefix(`40/bad`)
	c.expect(`41/bad,`)
	c.send(`40/worse`)
	c.expect(`44/worse,{"message":"Internal error"}`)
	other.send(`42["echo"]`)
	other.expect(`42["echoed"]`)
	eventually(t, "counted", func() bool { return server.Stats().Panics == 4 })
}

func TestCloseTellsEverySocket(t *testing.T) {
	reasons := make(chan socketio.Reason, 4)
	server, url := start(t, socketio.Options{Recovery: time.Minute}, func(server *socketio.Server) {
		server.Of("/").OnConnect(func(s *socketio.Socket) {
			s.OnDisconnect(func(r socketio.Reason) { reasons <- r })
		})
	})
	connected(t, url)
	broken := connected(t, url)
	broken.ws.NetConn().Close()
	eventually(t, "suspended", func() bool { return server.Stats().Suspended == 1 })
	if err := server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := within(t, "disconnect", reasons); r != socketio.ReasonShutdown {
			t.Errorf("reason %q", r)
		}
	}
	if s := server.Stats(); s.Sockets != 0 || s.Suspended != 0 || s.Connections != 0 {
		t.Errorf("left after Close: %+v", s)
	}
}
