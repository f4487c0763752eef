package socketio_test

import (
	"fmt"
	"testing"

	"skillsage/signaling/socketio"
)

// TestRecoveryFailed: the application, middleware included, can tell a client that asked in vain from a new one.
func TestRecoveryFailed(t *testing.T) {
	l := newLife()
	asked := make(chan bool, 10)
	_, url := start(t, socketio.Options{Recovery: long}, func(server *socketio.Server) {
		l.setup(server)
		server.Of("/").Use(func(s *socketio.Socket) error { asked <- s.RecoveryFailed(); return nil })
	})
	connect := func(auth string, want bool) (*client, answer) {
		t.Helper()
		c := dial(t, url)
		a := join40(t, c, auth)
		if got := within(t, "middleware", asked); got != want {
			t.Errorf("%s: middleware saw %v, want %v", auth, got, want)
		}
		if got := within(t, "socket", l.accepted).RecoveryFailed(); got != want {
			t.Errorf("%s: %v, want %v", auth, got, want)
		}
		return c, a
	}
	connect("", false)
	connect(`{"offset":"1"}`, false)
	connect(`{"pid":"of a server long gone","offset":"1"}`, true)
	c, a := connect(`{"token":"x"}`, false)
	connect(fmt.Sprintf(`{"pid":%q,"token":"y"}`, a.PID), true)
	c.send("41")
	l.expect(t, "disconnect: client namespace disconnect")
	connect(fmt.Sprintf(`{"pid":%q,"token":"x"}`, a.PID), true)
}

// TestRecoveredIsNotFailed: the same socket goes on.
func TestRecoveredIsNotFailed(t *testing.T) {
	l := newLife()
	_, url := start(t, socketio.Options{Recovery: long}, l.setup)
	c := dial(t, url)
	a := join40(t, c, "")
	s := within(t, "socket", l.accepted)
	c.cut()
	l.expect(t, "suspend: transport error")
	c = dial(t, url)
	if again := join40(t, c, fmt.Sprintf(`{"pid":%q}`, a.PID)); again != a || s.RecoveryFailed() {
		t.Errorf("came back as %+v, was %+v; failed: %v", again, a, s.RecoveryFailed())
	}
	l.expect(t, "resume")
}
