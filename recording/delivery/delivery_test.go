package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skillsage/internal/testkit/journal"
	"skillsage/recording"
	"skillsage/recording/command"
	"skillsage/recording/manifest"
	"skillsage/recording/retention"
	"skillsage/recording/retry"
	"skillsage/recording/store"
	"skillsage/recording/upload"
	"skillsage/recording/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = bytes.Repeat([]byte{7}, 32)

// stage is a store, a bucket, and somebody who is told.
type stage struct {
	*testing.T
	store  *store.Store
	bucket string // folder
	opts   Options
	log    *journal.Journal

	server *httptest.Server
	mu     sync.Mutex
	told   []told     // guarded by mu
	status int        // of answers; guarded by mu
	hear   func(told) // is called for each webhook before it is answered; guarded by mu
}

type told struct {
	id string
	payload
}

func newStage(t *testing.T) *stage {
	t.Helper()
	folders, err := store.Open(filepath.Join(t.TempDir(), "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folders.Close() })
	s := &stage{T: t, store: folders, bucket: t.TempDir(), log: new(journal.Journal), status: http.StatusOK, hear: func(told) {}}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	quick := retry.Policy{First: time.Millisecond, Most: 10 * time.Millisecond}
	s.opts = Options{
		Store:    folders,
		Webhooks: &webhook.Options{URLs: []string{s.server.URL}, Secrets: [][]byte{secret}, Retry: quick, Logger: logger},
		Retry:    quick,
		Logger:   logger,
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", s.log)
		}
	})
	return s
}

func (s *stage) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	got := told{id: r.Header.Get("webhook-id")}
	if err := json.Unmarshal(body, &got.payload); err != nil {
		s.Errorf("%s: %v", body, err)
	}
	s.mu.Lock()
	hear := s.hear
	s.mu.Unlock()
	hear(got)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == http.StatusOK {
		s.told = append(s.told, got)
	}
	w.WriteHeader(s.status)
}

func (s *stage) onHearing(hear func(told)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hear = hear
}

func (s *stage) answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// heard lists what was told of a recording, as "started finished".
func (s *stage) heard(about string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, t := range s.told {
		if t.Data.Recording == about {
			all = append(all, strings.TrimPrefix(string(t.Type), "recording."))
		}
	}
	return strings.Join(all, " ")
}

func (s *stage) upload() {
	s.Helper()
	u, err := upload.New(upload.Options{URL: "file://" + s.bucket, Prefix: "interviews", Logger: s.opts.Logger})
	if err != nil {
		s.Fatal(err)
	}
	s.opts.Upload = u
}

// run has a shell for the operator's program.
func (s *stage) run(script string) {
	s.Helper()
	c, err := command.New(command.Options{Args: []string{"sh", "-c", script}, Logger: s.opts.Logger})
	if err != nil {
		s.Fatal(err)
	}
	s.opts.Command = c
}

func (s *stage) open() *Delivery {
	s.Helper()
	d, err := New(s.opts)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { s.close(d) })
	return d
}

// close closes once.
func (s *stage) close(d *Delivery) {
	s.Helper()
	if d.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		s.Error(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// begin makes a recording that runs, as a recorder does.
func begin(t *testing.T, s *store.Store, interview string, at time.Time) (*store.Folder, *manifest.Manifest) {
	t.Helper()
	folder, err := s.Create(interview, at)
	if err != nil {
		t.Fatal(err)
	}
	m := &manifest.Manifest{Version: manifest.Version, ID: folder.ID(), Interview: interview, Started: at.UTC(), State: manifest.Recording,
		Participants: []manifest.Participant{{ID: "abc", Role: "candidate"}}}
	put(t, folder, manifest.EventsName, []byte("{}\n"))
	write(t, folder, m)
	return folder, m
}

func write(t *testing.T, folder *store.Folder, m *manifest.Manifest) {
	t.Helper()
	root, err := folder.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := manifest.Write(root, m); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, folder *store.Folder, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder.Path(), name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// end finishes it, with a file of this content.
func end(t *testing.T, folder *store.Folder, m *manifest.Manifest, content string) {
	t.Helper()
	sum := sha256.Sum256([]byte(content))
	put(t, folder, "candidate-1.webm", []byte(content))
	finished := m.Started.Add(time.Minute)
	m.State, m.Reason, m.Duration, m.Finished = manifest.Finished, manifest.Left, 60, &finished
	m.Files = []manifest.File{{Name: "candidate-1.webm", Participant: "abc", Kind: manifest.Camera, Container: manifest.WebM, Duration: 60,
		Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), Complete: true}}
	m.Events = []manifest.Event{{At: 1, Type: manifest.Chat, Data: json.RawMessage(`{"content":"hello"}`)}}
	write(t, folder, m)
	if err := os.Remove(filepath.Join(folder.Path(), manifest.EventsName)); err != nil {
		t.Fatal(err)
	}
}

func event(kind recording.EventType, folder *store.Folder, m *manifest.Manifest) recording.Event {
	return recording.Event{Type: kind, At: time.Now(), Interview: m.Interview, Recording: m.ID, Folder: folder, Manifest: m}
}

func there(name string) bool { _, err := os.Stat(name); return err == nil }

// The whole way of a recording: told when it begins; uploaded, told, handed to the program and removed when it has ended, in this order.
func TestWay(t *testing.T) {
	s := newStage(t)
	s.upload()
	s.opts.DeleteUploaded = true
	notes := filepath.Join(t.TempDir(), "notes")
	s.run(`echo "$RECORDING_EVENT|$RECORDING_ID|$RECORDING_INTERVIEW|$RECORDING_FOLDER|$RECORDING_MANIFEST|$RECORDING_UPLOADED" > ` + notes + `; test -e interview.json`)
	d := s.open()
	folder, m := begin(t, s.store, "Job 7/Ada", time.Date(2026, 11, 26, 10, 53, 16, 0, time.UTC))
	at := filepath.Join(s.bucket, "interviews", filepath.Base(filepath.Dir(folder.Path())), folder.ID())
	s.onHearing(func(h told) {
		if h.Type != recording.EventFinished {
			return
		}
		for _, name := range []string{"candidate-1.webm", "interview.json"} {
			if !there(filepath.Join(at, name)) {
				t.Errorf("told of %s before it was there", name)
			}
		}
	})
	d.Handle(event(recording.EventStarted, folder, m))
	eventually(t, "the beginning", func() bool { return s.heard(m.ID) == "started" })
	if st := d.Stats(); st.Recording != 1 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
	if there(filepath.Join(s.bucket, "interviews")) {
		t.Error("uploaded while it runs")
	}
	end(t, folder, m, "picture and sound")
	d.Handle(event(recording.EventFinished, folder, m))
	eventually(t, "the end", func() bool { return s.heard(m.ID) == "started finished" })
	eventually(t, "its removal", func() bool { return !there(folder.Path()) && d.Stats().Deleted == 1 })
	if there(filepath.Dir(folder.Path())) {
		t.Error("the interview's folder is left")
	}

	got, err := os.ReadFile(notes)
	if want := strings.Join([]string{"recording.finished", m.ID, "Job 7/Ada", folder.Path(), filepath.Join(folder.Path(), "interview.json"), "file://" + at}, "|") + "\n"; err != nil || string(got) != want {
		t.Errorf("the program was told %q, want %q", got, want)
	}
	content, err := os.ReadFile(filepath.Join(at, "candidate-1.webm"))
	if err != nil || string(content) != "picture and sound" {
		t.Errorf("%q, %v", content, err)
	}
	s.mu.Lock()
	started, finished := s.told[0], s.told[1]
	s.mu.Unlock()
	relative, _ := filepath.Rel(s.store.Dir(), folder.Path())
	if started.id != "msg_"+m.ID+"_started" || !started.Timestamp.Equal(m.Started) || started.Data.State != manifest.Recording ||
		started.Data.Interview != "Job 7/Ada" || started.Data.Folder != filepath.ToSlash(relative) || started.Data.Files != nil || started.Data.Finished != nil {
		t.Errorf("%+v", started)
	}
	f := finished.Data
	if finished.id != "msg_"+m.ID+"_finished" || !finished.Timestamp.Equal(*m.Finished) || f.State != manifest.Finished || f.Reason != manifest.Left ||
		*f.Duration != 60 || len(f.Files) != 1 || f.Files[0].SHA256 != m.Files[0].SHA256 || f.Files[0].Problem != "" || len(f.Participants) != 1 ||
		*f.Uploaded != (uploaded{"file://" + at, true}) || f.Abridged {
		t.Errorf("%+v", finished)
	}
	eventually(t, "an empty queue", func() bool { return d.Stats().Webhooks.Delivered == 2 })
	if st := d.Stats(); st.Delivered != 1 || st.Uploaded != 1 || st.UploadFailures != 0 || st.Command.Runs != 1 || st.Waiting+st.Recording != 0 {
		t.Errorf("%+v", st)
	}
}

// Without webhooks, a bucket or a program a recording is noted as done, and stays; a later start with them leaves it alone.
func TestNothingConfigured(t *testing.T) {
	s := newStage(t)
	hooks := s.opts.Webhooks
	s.opts.Webhooks = nil
	d := s.open()
	folder, m := begin(t, s.store, "a", time.Now())
	end(t, folder, m, "x")
	d.Handle(event(recording.EventFinished, folder, m))
	d.Handle(recording.Event{Type: recording.EventFailed})
	eventually(t, "the end", func() bool { return d.Stats().Delivered == 1 })
	s.close(d)
	s.opts.Webhooks = hooks
	s.upload()
	d = s.open()
	other, m2 := begin(t, s.store, "b", time.Now())
	end(t, other, m2, "y")
	d.Handle(event(recording.EventFinished, other, m2))
	eventually(t, "the other one", func() bool { return s.heard(m2.ID) == "started finished" })
	if s.heard(m.ID) != "" || !there(filepath.Join(folder.Path(), stateName)) {
		t.Error("the old one was looked at again")
	}
}

// A bucket that is not there holds up what depends on it, and nothing is told or removed before it is.
func TestBucketLater(t *testing.T) {
	s := newStage(t)
	s.bucket = filepath.Join(t.TempDir(), "later")
	s.upload()
	s.opts.DeleteUploaded = true
	d := s.open()
	folder, m := begin(t, s.store, "a", time.Now())
	d.Handle(event(recording.EventStarted, folder, m))
	end(t, folder, m, "x")
	d.Handle(event(recording.EventFinished, folder, m))
	eventually(t, "some failures", func() bool { return d.Stats().UploadFailures > 3 })
	eventually(t, "its beginning", func() bool { return s.heard(m.ID) == "started" })
	if !there(folder.Path()) || d.Stats().Waiting != 1 {
		t.Errorf("%q, %+v", s.heard(m.ID), d.Stats())
	}
	s.close(d) // and the next process goes on
	s.upload()
	d = s.open()
	if err := os.Mkdir(s.bucket, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its removal", func() bool { return d.Stats().Deleted == 1 })
	eventually(t, "the end", func() bool { return s.heard(m.ID) == "started finished" })
}

// A program that fails is run a few times. What it has failed for stays, uploaded or not.
func TestCommandFails(t *testing.T) {
	s := newStage(t)
	s.upload()
	s.opts.DeleteUploaded = true
	s.run(`echo x >> ../runs; exit 1`)
	d := s.open()
	folder, m := begin(t, s.store, "a", time.Now())
	end(t, folder, m, "x")
	d.Handle(event(recording.EventFinished, folder, m))
	eventually(t, "the end", func() bool { return d.Stats().Delivered == 1 })
	if runs, err := os.ReadFile(filepath.Join(folder.Path(), "..", "runs")); err != nil || string(runs) != "x\nx\nx\n" {
		t.Errorf("%q, %v", runs, err)
	}
	if st := d.Stats(); st.CommandsGivenUp != 1 || st.Deleted != 0 || st.Uploaded != 1 {
		t.Errorf("%+v", st)
	}
	if !strings.Contains(s.log.String(), "level=ERROR msg=\"the program for it has failed, and is not run again\" recording="+m.ID) {
		t.Error("not logged")
	}
}

// Files that are missing or changed are told of, and a recording with them is not removed.
func TestNotWhole(t *testing.T) {
	s := newStage(t)
	s.upload()
	s.opts.DeleteUploaded = true
	d := s.open()
	folder, m := begin(t, s.store, "a", time.Now())
	end(t, folder, m, "x")
	put(t, folder, "candidate-1.webm", []byte("rotten"))
	m.State = manifest.Failed
	m.Files = append(m.Files, manifest.File{Name: "screen.webm"}, manifest.File{Name: "../../../secret"}, manifest.File{Name: ".."})
	write(t, folder, m)
	d.Handle(event(recording.EventFailed, folder, m))
	eventually(t, "the end", func() bool { return s.heard(m.ID) == "started failed" && d.Stats().Delivered == 1 })
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.told[1].Data
	if f.Uploaded.Whole || f.Files[0].Problem != upload.Changed || f.Files[1].Problem != upload.Missing || !there(folder.Path()) {
		t.Errorf("%+v", f)
	}
}

// What was finished by a process that died before it could say so is found, and what another repair finishes later too.
func TestFound(t *testing.T) {
	s := newStage(t)
	quiet, m := begin(t, s.store, "a", time.Now())
	end(t, quiet, m, "x")
	running, m2 := begin(t, s.store, "b", time.Now())
	d := s.open()
	eventually(t, "the first one", func() bool { return s.heard(m.ID) == "started finished" })
	eventually(t, "the other's beginning", func() bool { return s.heard(m2.ID) == "started" })
	if d.Stats().Recording != 1 {
		t.Errorf("%+v", d.Stats())
	}
	end(t, running, m2, "y")
	d.Handle(event(recording.EventFinished, running, m2))
	eventually(t, "its end", func() bool { return s.heard(m2.ID) == "started finished" })
}

// One that is removed while something is to be done for it is forgotten.
func TestRemovedMeanwhile(t *testing.T) {
	s := newStage(t)
	s.bucket = filepath.Join(t.TempDir(), "none")
	s.upload()
	d := s.open()
	for i := range 3 {
		folder, m := begin(t, s.store, fmt.Sprint(i), time.Now())
		end(t, folder, m, "x")
		d.Handle(event(recording.EventFinished, folder, m))
		eventually(t, "an attempt", func() bool { return d.Stats().Waiting == 1 })
		if err := folder.Remove(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "forgotten", func() bool { return d.Stats().Waiting == 0 })
	}
}

// What could not begin has no folder, and is told all the same.
func TestLoose(t *testing.T) {
	s := newStage(t)
	d := s.open()
	d.Handle(recording.Event{Type: recording.EventFailed, At: time.Now(), Interview: "a", Reason: manifest.Disk, Detail: "no space"})
	eventually(t, "a message", func() bool { return s.heard("") == "failed" })
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.told[0].Data; f.Interview != "a" || f.Reason != manifest.Disk || f.Detail != "no space" || f.State != manifest.Failed || f.Folder != "" {
		t.Errorf("%+v", f)
	}
}

// Recordings go when they are old, but not while they run, wait for the bucket, or for somebody to hear of them.
func TestKeep(t *testing.T) {
	s := newStage(t)
	s.answer(http.StatusInternalServerError)
	s.opts.Keep = retention.Policy{Age: time.Hour}
	s.opts.Interval = 5 * time.Millisecond
	long := time.Now().Add(-48 * time.Hour)
	running, m0 := begin(t, s.store, "running", long)
	old, m := begin(t, s.store, "old", long)
	end(t, old, m, "x")
	young, m2 := begin(t, s.store, "young", time.Now())
	end(t, young, m2, "x")
	d := s.open()
	eventually(t, "all that can be done", func() bool { return d.Stats().Delivered == 2 && d.Stats().Webhooks.Failed > 10 })
	time.Sleep(50 * time.Millisecond) // some more looks
	for _, folder := range []*store.Folder{running, old, young} {
		if !there(folder.Path()) {
			t.Errorf("%s is gone", folder.Interview())
		}
	}
	s.answer(http.StatusOK)
	eventually(t, "its removal", func() bool { return !there(old.Path()) && d.Stats().Expired == 1 })
	if !there(running.Path()) || !there(young.Path()) || d.Stats().Freed == 0 || d.Stats().Displaced != 0 {
		t.Errorf("%+v", d.Stats())
	}
	end(t, running, m0, "x")
	d.Handle(event(recording.EventFinished, running, m0))
	eventually(t, "the removal of what has run", func() bool { return d.Stats().Expired == 2 })

	s.close(d)
	s.opts.Keep = retention.Policy{Share: 1e-15} // of any disk less than a byte
	d = s.open()
	eventually(t, "the removal of all", func() bool { return d.Stats().Displaced == 1 && !there(young.Path()) })
}

// As long as another process has the recordings nothing is done, and what is told meanwhile is not lost.
func TestTwoProcesses(t *testing.T) {
	s := newStage(t)
	first := s.open()
	folder, m := begin(t, s.store, "a", time.Now())
	first.Handle(event(recording.EventStarted, folder, m))
	eventually(t, "the beginning", func() bool { return s.heard(m.ID) == "started" })
	second, err := New(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(second) })
	end(t, folder, m, "x")
	second.Handle(event(recording.EventFinished, folder, m))
	eventually(t, "a line in the log", func() bool { return strings.Contains(s.log.String(), "another process uses it") })
	if s.heard(m.ID) != "started" {
		t.Error("both are at work")
	}
	s.close(first)
	eventually(t, "the end", func() bool { return s.heard(m.ID) == "started finished" })
}

// The end does not wait for those who do not answer.
func TestClose(t *testing.T) {
	s := newStage(t)
	release := make(chan struct{})
	defer close(release)
	s.onHearing(func(told) { <-release })
	s.run(`trap "" TERM; echo $$ > ../pid; sleep 300`)
	d := s.open()
	folder, m := begin(t, s.store, "a", time.Now())
	end(t, folder, m, "x")
	d.Handle(event(recording.EventFinished, folder, m))
	eventually(t, "its program", func() bool { return there(filepath.Join(folder.Path(), "..", "pid")) })
	running, m2 := begin(t, s.store, "b", time.Now())
	d.Handle(event(recording.EventStarted, running, m2))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		t.Error(err)
	}
	d.Handle(event(recording.EventFinished, running, m2)) // nobody is there any more
	if s := d.Stats(); s.Command.Runs != 0 || s.CommandsGivenUp != 0 {
		t.Errorf("a program that was stopped counts: %+v", s)
	}
}

func TestAbridged(t *testing.T) {
	p := payload{Type: recording.EventFinished, Data: data{Interview: "a"}}
	p.Data.Files = slices.Repeat([]file{{File: manifest.File{Name: strings.Repeat("x", 1000)}}}, 2000)
	m, err := encode(p, "x")
	if err != nil || len(m.Body) > webhook.MaxBody || !strings.Contains(string(m.Body), `"abridged":true`) {
		t.Errorf("%d bytes, %v", len(m.Body), err)
	}
}
