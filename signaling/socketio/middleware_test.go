package socketio_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"skillsage/signaling/socketio"
)

func TestMiddlewareRefuses(t *testing.T) {
	server, url := start(t, socketio.Options{}, func(server *socketio.Server) {
		echoing(server)
		text := server.Of("/text")
		text.Use(func(s *socketio.Socket) error { return nil })
		text.Use(func(s *socketio.Socket) error { return errors.New(`no "entry" <here>`) })
		text.Use(func(s *socketio.Socket) error { t.Error("asked after a refusal"); return nil })
		text.OnConnect(func(*socketio.Socket) { t.Error("connected in spite of a refusal") })
		server.Of("/data").Use(func(s *socketio.Socket) error {
			return fmt.Errorf("wrapped: %w", &socketio.ConnectError{Message: "full", Data: map[string]int{"max": 2}})
		})
		server.Of("/broken").Use(func(s *socketio.Socket) error {
			return &socketio.ConnectError{Message: "x", Data: math.NaN()}
		})
		server.Of("/left").Use(func(s *socketio.Socket) error { s.Disconnect(false); return nil })
	})
	c := connected(t, url)
	c.send(`40/text,{}`)
	c.expect(`44/text,{"message":"no \"entry\" <here>"}`)
	c.send(`40/data`)
	c.expect(`44/data,{"message":"wrapped: full","data":{"max":2}}`)
	c.send(`40/broken`)
	c.expect(`44/broken,{"message":"x"}`)
	c.send(`40/left`)
	c.expect(`44/left,{"message":"Disconnected"}`)
	c.send(`42["echo"]`)
	c.expect(`42["echoed"]`)
	c.send(`40/text,{}`) // a refused client may ask again
	c.expectPrefix(`44/text,`)
	if n := server.Stats().Refused; n != 5 {
		t.Errorf("%d refusals counted, want 5", n)
	}
}

// gate is a middleware that waits until it is opened, or the socket is gone.
type gate struct {
	entered chan *socketio.Socket
	open    chan error
}

func newGate() *gate { return &gate{make(chan *socketio.Socket, 1), make(chan error)} }

func (g *gate) wait(s *socketio.Socket) error {
	g.entered <- s
	select {
	case err := <-g.open:
		return err
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

func TestPacketsWaitForASlowMiddleware(t *testing.T) {
	g := newGate()
	_, url := start(t, socketio.Options{}, func(server *socketio.Server) {
		echoing(server)
		server.Of("/").Use(g.wait)
	})
	c := dial(t, url)
	c.send(`40`, `42["echo",1]`, `451-["echo",{"_placeholder":true,"num":0}]`)
	c.sendBinary([]byte("bytes"))
	c.send(`42["echo",2]`)
	s := within(t, "middleware", g.entered)
	if s.Connected() || s.Emit("x") != socketio.ErrNotConnected {
		t.Error("connected before the middleware has spoken")
	}
	g.open <- nil
	c.expectPrefix(`40{"sid":`)
	c.expect(`42["echoed",1]`)
	c.expect(`451-["echoed",{"_placeholder":true,"num":0}]`)
	c.expectBinary("bytes")
	c.expect(`42["echoed",2]`)
}

func TestEventsSentBeforeARefusalCloseTheConnection(t *testing.T) {
	g := newGate()
	_, url := start(t, socketio.Options{}, func(server *socketio.Server) { server.Of("/").Use(g.wait) })
	c := dial(t, url)
	c.send(`40`, `42["echo",1]`)
	within(t, "middleware", g.entered)
	g.open <- errors.New("no")
	c.expect(`44{"message":"no"}`)
	c.expectClosed()
}

func TestWaitingPacketsAreBounded(t *testing.T) {
	for name, opts := range map[string]socketio.Options{
		"packets": {MaxWaitingPackets: 3},
		"bytes":   {MaxWaitingBytes: 40},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			server, url := start(t, opts, func(server *socketio.Server) { server.Of("/").Use(g.wait) })
			c := dial(t, url)
			c.send(`40`, `42["echo",1]`, `42["echo",2]`, `42["echo",3]`, `42["echo",4]`)
			c.expectClosed()
			s := within(t, "middleware", g.entered)
			within(t, "context", s.Context().Done())
			eventually(t, "gone", func() bool { st := server.Stats(); return st.Connections == 0 && st.Violations == 1 && st.Sockets == 0 })
		})
	}
}

func TestConnectTimeoutGoesOnDuringAMiddleware(t *testing.T) {
	g := newGate()
	_, url := start(t, socketio.Options{ConnectTimeout: 50 * time.Millisecond}, func(server *socketio.Server) { server.Of("/").Use(g.wait) })
	c := dial(t, url)
	c.send(`40`)
	s := within(t, "middleware", g.entered)
	c.expectClosed()
	within(t, "context", s.Context().Done())
}

func TestClientLeavesDuringAMiddleware(t *testing.T) {
	g := newGate()
	server, url := start(t, socketio.Options{Recovery: time.Minute}, func(server *socketio.Server) {
		server.Of("/").Use(g.wait)
		server.Of("/").OnConnect(func(*socketio.Socket) { t.Error("connected after the client had left") })
	})
	c := dial(t, url)
	c.send(`40`)
	s := within(t, "middleware", g.entered)
	c.ws.NetConn().Close()
	within(t, "context", s.Context().Done())
	eventually(t, "gone", func() bool { return server.Stats().Connections == 0 })
	if s.Connected() || server.Of("/").Len() != 0 {
		t.Error("a socket is left")
	}
}
