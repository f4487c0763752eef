package socketio_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"skillsage/signaling/socketio"
)

type ackResult struct {
	args string
	err  error
}

func asking(s *socketio.Socket, timeout time.Duration, results chan ackResult) error {
	return s.EmitWithAck(timeout, "question", []any{1}, func(args []json.RawMessage, err error) {
		results <- ackResult{string(joined(args)), err}
	})
}

func TestServerAsksForAcks(t *testing.T) {
	accepted := make(chan *socketio.Socket, 1)
	server, url := start(t, socketio.Options{MaxPendingAcks: 3}, sockets(accepted))
	c := connected(t, url)
	s := within(t, "socket", accepted)
	results := make(chan ackResult, 10)
	for range 3 {
		if err := asking(s, 0, results); err != nil {
			t.Fatal(err)
		}
	}
	if err := asking(s, 0, results); err != socketio.ErrTooManyAcks {
		t.Errorf("fourth pending acknowledgement: %v", err)
	}
	c.expect(`420["question",1]`)
	c.expect(`421["question",1]`)
	c.expect(`422["question",1]`)
	c.send(`431["b",{}]`, `431["again"]`, `430[]`, `4399[]`)
	if r := within(t, "answer", results); r != (ackResult{`"b",{}`, nil}) {
		t.Errorf("answer %+v", r)
	}
	if r := within(t, "answer", results); r != (ackResult{``, nil}) {
		t.Errorf("answer %+v", r)
	}
	eventually(t, "late answers are counted", func() bool { return server.Stats().AcksLate == 2 })
	c.send(`41`)
	if r := within(t, "failure", results); !errors.Is(r.err, socketio.ErrDisconnected) {
		t.Errorf("at the end: %+v", r)
	}
	if err := asking(s, 0, results); err != socketio.ErrDisconnected {
		t.Errorf("after the end: %v", err)
	}
	if len(results) > 0 {
		t.Errorf("told twice: %+v", <-results)
	}
}

func TestAckTimeout(t *testing.T) {
	accepted := make(chan *socketio.Socket, 1)
	server, url := start(t, socketio.Options{AckTimeout: 10 * time.Millisecond}, sockets(accepted))
	c := connected(t, url)
	s := within(t, "socket", accepted)
	results := make(chan ackResult, 10)
	for _, timeout := range []time.Duration{0, time.Millisecond} {
		asking(s, timeout, results)
		if r := within(t, "timeout", results); !errors.Is(r.err, socketio.ErrAckTimeout) {
			t.Errorf("%+v", r)
		}
	}
	c.expect(`420["question",1]`)
	c.expect(`421["question",1]`)
	c.send(`430["late"]`, `42["echo"]`)
	c.expect(`42["echoed"]`)
	if st := server.Stats(); len(results) > 0 || st.AckTimeouts != 2 || st.AcksLate != 1 {
		t.Errorf("after a late answer: %+v", st)
	}
}

func TestBinaryAck(t *testing.T) {
	accepted := make(chan *socketio.Socket, 1)
	_, url := start(t, socketio.Options{}, sockets(accepted))
	c := connected(t, url)
	s := within(t, "socket", accepted)
	replies := make(chan *socketio.Reply, 1)
	s.EmitWithReply(0, "file?", []any{[]byte("in")}, func(r *socketio.Reply, err error) { replies <- r })
	c.expect(`451-0["file?",{"_placeholder":true,"num":0}]`)
	c.expectBinary("in")
	c.send(`461-0["x",{"_placeholder":true,"num":0}]`)
	c.sendBinary([]byte("out"))
	r := within(t, "reply", replies)
	if r == nil || string(joined(r.Args)) != `"x",{"_placeholder":true,"num":0}` || len(r.Attachments) != 1 || string(r.Attachments[0]) != "out" {
		t.Errorf("reply %+v", r)
	}
}

func TestAcksMayComeLateAndOnce(t *testing.T) {
	events := make(chan *socketio.Event, 1)
	_, url := start(t, socketio.Options{}, func(server *socketio.Server) {
		echoing(server)
		server.Of("/").OnConnect(func(s *socketio.Socket) {
			s.On("later", func(e *socketio.Event) { events <- e })
			s.On("clone", func(e *socketio.Event) { events <- e.Clone() })
			s.On("bad", func(e *socketio.Event) {
				if e.Ack(func() {}) == nil || e.Ack(json.RawMessage(`{`)) == nil || e.Ack(json.RawMessage("\"\xff\"")) == nil {
					t.Error("an answer that can't be encoded was accepted")
				}
				e.Ack("good", nil, 1.5, []byte("b"))
				e.Ack("second")
			})
		})
	})
	c := connected(t, url)
	c.send(`427["later"]`, `42["echo"]`)
	c.expect(`42["echoed"]`)
	e := within(t, "event", events)
	if !e.WantsAck() {
		t.Error("WantsAck is false")
	}
	e.Ack("a")
	e.Ack("b")
	c.expect(`437["a"]`)
	c.send(`42["clone","`+strings.Repeat("x", 100)+`"]`, `42["echo","`+strings.Repeat("y", 100)+`"]`)
	c.expectPrefix(`42["echoed"`)
	e = within(t, "event", events)
	if e.WantsAck() || e.Name != "clone" || string(e.Args[0]) != `"`+strings.Repeat("x", 100)+`"` {
		t.Errorf("clone is %+v", e)
	}
	if err := e.Ack("nobody asked"); err != nil {
		t.Error(err)
	}
	c.send(`428["bad"]`)
	c.expect(`461-8["good",null,1.5,{"_placeholder":true,"num":0}]`)
	c.expectBinary("b")
	c.send(`42["echo"]`)
	c.expect(`42["echoed"]`)
}
