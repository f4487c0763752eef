package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skillsage/internal/testkit/sioclient"
	"skillsage/signaling/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come; nothing passes by this time running out.
const patience = 20 * time.Second

// rig is a server on a loopback port with real sockets to it.
type rig struct {
	*testing.T
	server *Server
	url    string
	ctx    context.Context
}

func start(t *testing.T, o Options, relay Relay, more ...func(*Server)) *rig {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	s := New(o)
	if relay != nil {
		s.SetRelay(relay)
	}
	for _, set := range more {
		set(s)
	}
	ts := httptest.NewServer(s)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(func() {
		closing, done := context.WithTimeout(context.Background(), patience)
		defer done()
		if err := s.Close(closing); err != nil {
			t.Errorf("Close: %v", err)
		}
		if st := s.Stats(); st.Rooms != 0 || st.Members != 0 || st.Joined != st.Left || st.Panics != 0 {
			t.Errorf("after Close: %d rooms, %d members, %d joined, %d left, %d panics", st.Rooms, st.Members, st.Joined, st.Left, st.Panics)
		}
		ts.Close()
		cancel()
	})
	return &rig{T: t, server: s, url: ts.URL, ctx: ctx}
}

// withGrace is a server on which a broken connection may come back.
func withGrace(d time.Duration) Options { return Options{SocketIO: socketio.Options{Recovery: d}} }

func (r *rig) dial(o ...sioclient.Options) *sioclient.Client {
	r.Helper()
	var options sioclient.Options
	if len(o) > 0 {
		options = o[0]
	}
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	c, err := sioclient.Dial(ctx, r.url, options)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(c.Abort)
	return c
}

// join dials, joins and waits until the server has said all that a joiner hears.
func (r *rig) join(room, role string, o ...sioclient.Options) *sioclient.Client {
	r.Helper()
	c := r.dial(o...)
	r.rejoin(c, room, role)
	return c
}

func (r *rig) rejoin(c *sioclient.Client, room, role string) {
	r.Helper()
	r.emit(c, "join-room", map[string]any{"interviewId": room, "userRole": role})
	r.wait(c, "room-users")
	r.wait(c, "chat-history")
	r.wait(c, "code-state")
}

func (r *rig) emit(c *sioclient.Client, event string, args ...any) {
	r.Helper()
	if err := c.Emit(event, args...); err != nil {
		r.Fatalf("%s: %v", event, err)
	}
}

func (r *rig) emitRaw(c *sioclient.Client, event, args string) {
	r.Helper()
	if err := c.EmitRaw(event, args); err != nil {
		r.Fatalf("%s: %v", event, err)
	}
}

func (r *rig) wait(c *sioclient.Client, event string) sioclient.Event {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	e, err := c.Wait(ctx, event)
	if err != nil {
		r.Fatal(err)
	}
	return e
}

// waitText waits for an event whose first argument is exactly this JSON text.
func (r *rig) waitText(c *sioclient.Client, event, text string) {
	r.Helper()
	if e := r.wait(c, event); e.Text() != text {
		r.Fatalf("%s\n got %s\nwant %s", event, e.Text(), text)
	}
}

// call sends an event and returns the text of what is acknowledged.
func (r *rig) call(c *sioclient.Client, event string, arg any) string {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	args, err := c.Call(ctx, event, arg)
	if err != nil {
		r.Fatal(err)
	}
	if len(args) != 1 {
		r.Fatalf("%s: acknowledged with %d values", event, len(args))
	}
	return string(args[0])
}

var fence struct {
	sync.Mutex
	n int
}

// fence has from send something that everybody in its room receives, and waits for it: what from sent before has been
// treated, and what it caused has arrived, if it caused anything.
func (r *rig) fence(room string, from *sioclient.Client, to ...*sioclient.Client) {
	r.Helper()
	fence.Lock()
	fence.n++
	n := fence.n
	fence.Unlock()
	r.emit(from, "question-change", map[string]any{"interviewId": room, "questionId": fmt.Sprint("fence ", n)})
	for _, c := range to {
		ctx, cancel := context.WithTimeout(r.ctx, patience)
		_, err := c.WaitFunc(ctx, "question-change", func(e sioclient.Event) bool {
			var q struct{ QuestionID string }
			return e.Decode(&q) == nil && q.QuestionID == fmt.Sprint("fence ", n)
		})
		cancel()
		if err != nil {
			r.Fatal(err)
		}
	}
}

// names lists the events that c has received, fences left out.
func names(c *sioclient.Client) []string {
	var list []string
	for _, e := range c.Events() {
		if e.Name != "question-change" || !strings.Contains(e.Text(), `"fence `) {
			list = append(list, e.Name)
		}
	}
	return list
}

func (r *rig) wantNames(who string, c *sioclient.Client, want ...string) {
	r.Helper()
	if got := names(c); !slices.Equal(got, want) {
		r.Errorf("%s received\n got %q\nwant %q", who, got, want)
	}
}

// eventually polls for what no event announces.
func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func rawJSON(text string) json.RawMessage { return json.RawMessage(text) }

// welcome is what a joiner receives, in order.
var welcome = []string{"room-users", "chat-history", "code-state"}
