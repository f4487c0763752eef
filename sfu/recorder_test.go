package sfu

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skillsage/sfu/jsep"
)

// recorder is an engine whose members are only words: what it sends is kept, and
// the test says what comes back.
type recorder struct {
	t      *testing.T
	engine *Engine

	mu     sync.Mutex
	said   []said   // guarded by mu: every description, in order
	states []string // guarded by mu: "state member>peer reason"
	news   []string // guarded by mu: descriptions and states in one order
	media  []string // guarded by mu: every MediaStatus
}

type said struct {
	to, from  string
	screen    bool
	kind, sdp string
}

func newRecorder(t *testing.T, opts Options) *recorder {
	t.Helper()
	opts.IncludeLoopback = true
	// Members of words alone never connect and answer when the test says so.
	setDefault(&opts.AnswerTimeout, time.Hour)
	setDefault(&opts.ConnectTimeout, time.Hour)
	engine, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{t: t, engine: engine}
	engine.SetOutbox(r)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := engine.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := engine.Stats().Legs; n != 0 {
			t.Errorf("%d legs left after Close", n)
		}
	})
	return r
}

func (r *recorder) Send(_, to, from string, screen bool, kind, sdp string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, said{to, from, screen, kind, sdp})
	r.news = append(r.news, fmt.Sprintf("%s %s<%s", kind, to, from))
}

func (r *recorder) State(_, member, peer string, _ bool, state, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = append(r.states, fmt.Sprintf("%s %s>%s %s", state, member, peer, reason))
	r.news = append(r.news, fmt.Sprintf("%s %s>%s", state, member, peer))
}

func (r *recorder) Unsupported(room, member, peer string, screen bool, kind, reason string) {
	r.State(room, member, peer, screen, "unsupported "+kind, reason)
}

func (r *recorder) Quality(string, string, []Quality) {}

func (r *recorder) MediaStatus(_, member string, s MediaStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.media = append(r.media, mediaLine(member, s))
}

func mediaLine(member string, s MediaStatus) string {
	whose := s.Peer
	if s.Own {
		whose = "own, to " + s.Peer
	}
	if s.Screen {
		whose += ", screen"
	}
	return strings.TrimSpace(fmt.Sprintf("%s is told of %s: %s %s", member, whose, s.State, s.Reason))
}

func (r *recorder) toldMedia() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.media)
}

func (r *recorder) Probe(string, string) {}

func (r *recorder) join(ids ...string) {
	for _, id := range ids {
		r.engine.Join("room", id, "candidate")
	}
}

func (r *recorder) signal(from, to string, screen bool, kind, sdp string) {
	r.t.Helper()
	if err := r.engine.Signal("room", from, to, screen, kind, sdp, nil); err != nil {
		r.t.Fatalf("%s of %s to %s: %v", kind, from, to, err)
	}
}

// descriptions lists what one member got of a kind, oldest first.
func (r *recorder) descriptions(to, kind string) []said {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.said), func(s said) bool { return s.to != to || s.kind != kind })
}

// gets waits for a member's n-th description of a kind, counted from 1.
func (r *recorder) gets(to, kind string, n int) said {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%s %d to %s", kind, n, to), func() bool { return len(r.descriptions(to, kind)) >= n })
	return r.descriptions(to, kind)[n-1]
}

func (r *recorder) hasState(prefix string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.states, func(s string) bool { return strings.HasPrefix(s, prefix) })
}

func (r *recorder) allNews() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.news)
}

func (r *recorder) eventually(what string, ok func() bool) {
	r.t.Helper()
	if !poll(patience, ok) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.t.Fatalf("not in time: %s\nnews: %v\nstates: %v\nstats: %+v", what, r.news, r.states, r.engine.Stats())
	}
}

// patience is how long a test waits for what must come; a loaded machine is slow.
const patience = 45 * time.Second

func poll(within time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// within runs f on the room's goroutine, after all that was submitted before it.
func within(t *testing.T, e *Engine, f func(*room)) {
	t.Helper()
	r := e.room("room")
	if r == nil {
		t.Fatal("no room")
	}
	done := make(chan struct{})
	r.inbox.push(func() {
		defer close(done)
		f(r)
	})
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the room's goroutine is stuck")
	}
}

// idle waits until a room has worked off what it was given, operations included.
func idle(t *testing.T, e *Engine) {
	t.Helper()
	ok := poll(patience, func() bool {
		running := 0
		within(t, e, func(r *room) {
			for _, l := range r.order {
				if l.busy {
					running++
				}
			}
		})
		return running == 0
	})
	if !ok {
		t.Fatal("operations do not end")
	}
}

func recorded(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("jsep/testdata/" + name + ".sdp")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parsed(t *testing.T, text string) *jsep.Description {
	t.Helper()
	d, err := jsep.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
