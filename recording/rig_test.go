package recording

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skillsage/recording/manifest"
	"skillsage/recording/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Recorder, and what it says.
type rig struct {
	t     *testing.T
	store *store.Store
	*Recorder
	stage *stage

	mu       sync.Mutex
	statuses map[string][]Status
	events   []Event
}

func newRig(t *testing.T, opts Options) *rig {
	t.Helper()
	return newRigAt(t, filepath.Join(t.TempDir(), "recordings"), opts)
}

func newRigAt(t *testing.T, dir string, opts Options) *rig {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: s, stage: &stage{rooms: make(map[string]bool)}, statuses: make(map[string][]Status)}
	opts.Store = s
	if opts.Media == nil {
		opts.Media = r.stage
	}
	if opts.MinFree == 0 {
		opts.MinFree = 1
	}
	if opts.Mode == "" {
		opts.Mode = ModeOnRequest
	}
	opts.Notify = func(room string, status Status) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if status.Room != room {
			t.Errorf("%s is told of %s", room, status.Room)
		}
		r.statuses[room] = append(r.statuses[room], status)
	}
	also := opts.OnEvent
	opts.OnEvent = func(e Event) {
		r.mu.Lock()
		r.events = append(r.events, e)
		r.mu.Unlock()
		if also != nil {
			also(e)
		}
	}
	opts.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	if r.Recorder, err = New(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) close() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		r.t.Error(err)
	}
}

// until waits for something that has to happen.
func (r *rig) until(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// untilState waits until a room has been told that state, and returns the status.
func (r *rig) untilState(room string, state State) Status {
	r.t.Helper()
	var last Status
	r.until(room+" is "+string(state), func() bool {
		last = r.told(room)
		return last.State == state
	})
	return last
}

func (r *rig) told(room string) Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	if all := r.statuses[room]; len(all) > 0 {
		return all[len(all)-1]
	}
	return Status{State: Off}
}

// untilEvent waits for the nth event of a type.
func (r *rig) untilEvent(kind EventType, n int) Event {
	r.t.Helper()
	var e Event
	r.until(string(kind), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		seen := 0
		for _, e = range r.events {
			if e.Type == kind {
				if seen++; seen == n {
					return true
				}
			}
		}
		return false
	})
	return e
}

// concluded is the manifest of a recording that has ended, as it is on disk.
func (r *rig) concluded(e Event) *manifest.Manifest {
	r.t.Helper()
	f, err := r.store.Folder(e.Interview, e.Recording)
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := f.Manifest()
	if err != nil {
		r.t.Fatal(err)
	}
	if unfinished, err := f.Unfinished(); err != nil || unfinished {
		r.t.Errorf("%s is not finished, %v", f.Path(), err)
	}
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code Code) {
	t.Helper()
	var known *Error
	if !errors.As(err, &known) || known.Code != code || known.Message == "" {
		t.Errorf("the error is %v, not %q", err, code)
	}
}

// types are those of a manifest's events.
func types(m *manifest.Manifest) []manifest.EventType {
	var all []manifest.EventType
	for _, e := range m.Events {
		all = append(all, e.Type)
	}
	return all
}

func wantTypes(t *testing.T, m *manifest.Manifest, want ...manifest.EventType) {
	t.Helper()
	if got := types(m); !slices.Equal(got, want) {
		t.Errorf("the events are %q, not %q", got, want)
	}
}
