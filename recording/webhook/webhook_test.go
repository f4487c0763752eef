package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skillsage/internal/testkit/journal"
	"skillsage/recording/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is an HTTP server that keeps what it gets.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []request
	answer func(w http.ResponseWriter, r request)
}

type request struct {
	http.Header
	Body  string
	Count int // of requests with this webhook-id so far, this one included
}

func (r request) id() string { return r.Get("webhook-id") }

// newReceiver answers 204 if answer is nil.
func newReceiver(t *testing.T, answer func(http.ResponseWriter, request)) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, h *http.Request) {
		body, _ := io.ReadAll(h.Body)
		got := request{Header: h.Header, Body: string(body), Count: 1}
		r.mu.Lock()
		for _, old := range r.got {
			if old.id() == got.id() {
				got.Count++
			}
		}
		r.got = append(r.got, got)
		answer := r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, got)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(answer func(http.ResponseWriter, request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) all() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}

func (r *receiver) ids() (ids []string) {
	for _, got := range r.all() {
		ids = append(ids, got.id())
	}
	return ids
}

var secret = bytes.Repeat([]byte{7}, 32)

// folder is a queue's folder that stays from one queue to the next.
func folder(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// quick are options that try again at once.
func quick(dir *os.Root, urls ...string) Options {
	return Options{URLs: urls, Secrets: [][]byte{secret}, Dir: dir, Logger: slog.New(slog.DiscardHandler),
		Retry: retry.Policy{First: time.Millisecond, Most: 5 * time.Millisecond}}
}

func open(t *testing.T, opts Options) *Queue {
	t.Helper()
	q, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeQueue(t, q) })
	return q
}

func closeQueue(t *testing.T, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := q.Close(ctx); err != nil {
		t.Error(err)
	}
}

func add(t *testing.T, q *Queue, stream, id string) {
	t.Helper()
	if err := q.Add(Message{ID: id, Stream: stream, Type: "test", Body: fmt.Appendf(nil, `{"id":%q}`, id)}); err != nil {
		t.Fatal(err)
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

func files(t *testing.T, dir *os.Root, sub string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir.Name(), sub, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The example of the specification's text, computed with a public tool:
// printf 'msg_a.1674087231.{"x":1}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07 -binary | base64
func TestSignature(t *testing.T) {
	other := bytes.Repeat([]byte{8}, 24)
	got := signature([][]byte{secret, other}, "msg_a", "1674087231", []byte(`{"x":1}`))
	if want := "v1,ylbz7SEhlXDRowCPA3qQzR3xC3MT5MX7gwDDoBQEzAs= v1,OyPMG1vYVYWS+4znevIhfa1JvrNBtQcbSTj7ynPiBOc="; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestParseSecret(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	for text, good := range map[string]bool{
		"whsec_" + encode(make([]byte, 24)): true,
		"whsec_" + encode(make([]byte, 64)): true,
		"whsec_" + encode(make([]byte, 23)): false,
		"whsec_" + encode(make([]byte, 65)): false,
		encode(make([]byte, 32)):            false,
		"whsec_" + strings.Repeat("?", 40):  false,
		"":                                  false,
	} {
		if secret, err := ParseSecret(text); (err == nil) != good || good && len(secret) < 24 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What arrives is what was added, signed by all secrets, at each URL.
func TestDelivery(t *testing.T) {
	first, second := newReceiver(t, nil), newReceiver(t, nil)
	opts := quick(folder(t), first.URL, second.URL+"/hook?token=x")
	opts.Secrets = append(opts.Secrets, bytes.Repeat([]byte{8}, 24))
	q := open(t, opts)
	add(t, q, "a", "msg_1")
	for _, r := range []*receiver{first, second} {
		eventually(t, "a delivery", func() bool { return len(r.all()) == 1 })
		got := r.all()[0]
		at := got.Get("webhook-timestamp")
		if got.Body != `{"id":"msg_1"}` || got.id() != "msg_1" || got.Get("Content-Type") != "application/json" ||
			got.Get("webhook-signature") != signature(opts.Secrets, "msg_1", at, []byte(got.Body)) {
			t.Errorf("%+v", got)
		}
	}
	eventually(t, "an empty queue", func() bool { return q.Stats().Queued == 0 })
	if s := q.Stats(); s.Delivered != 2 || s.Failed != 0 || s.Dead != 0 || !s.Oldest.IsZero() || q.Waiting("a") {
		t.Errorf("%+v", s)
	}
	if left := append(files(t, opts.Dir, WaitingDir), files(t, opts.Dir, deadDir)...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A message is tried until it is taken, each time with the same id and body and a time stamp of its own; the next one of its
// stream waits for that, the others do not.
func TestOrder(t *testing.T) {
	release := make(chan struct{})
	r := newReceiver(t, func(w http.ResponseWriter, got request) {
		if got.id() == "a-1" {
			select {
			case <-release:
			default:
				w.WriteHeader(500)
			}
		}
	})
	q := open(t, quick(folder(t), r.URL))
	for i := range 5 {
		add(t, q, "a", fmt.Sprintf("a-%d", i+1))
		add(t, q, "b", fmt.Sprintf("b-%d", i+1))
	}
	eventually(t, "some attempts, and the other stream", func() bool { return q.Stats().Failed > 10 && !q.Waiting("b") })
	if ids := strings.Join(r.ids(), " "); strings.Contains(ids, "a-2") {
		t.Errorf("overtaken: %s", ids)
	}
	if s := q.Stats(); s.Queued != 5 || s.Delivered != 5 || s.Oldest.IsZero() || !q.Waiting("a") {
		t.Errorf("%+v", s)
	}
	close(release)
	eventually(t, "an empty queue", func() bool { return q.Stats().Queued == 0 })
	last := map[string]int{}
	for _, got := range r.all() {
		stream, number := got.id()[:1], int(got.id()[2]-'0')
		if number != last[stream] && number != last[stream]+1 {
			t.Fatalf("out of order: %v", r.ids())
		}
		last[stream] = number
	}
}

// One that does not answer holds nobody up.
func TestSilentReceiver(t *testing.T) {
	hang := make(chan struct{})
	silent := newReceiver(t, func(http.ResponseWriter, request) { <-hang })
	defer close(hang)
	good := newReceiver(t, nil)
	opts := quick(folder(t), silent.URL, good.URL)
	opts.Timeout, opts.Parallel = 20*time.Millisecond, 2
	q := open(t, opts)
	for i := range 10 {
		add(t, q, fmt.Sprint(i), fmt.Sprintf("m-%d", i))
	}
	eventually(t, "all at the other one", func() bool { return len(good.all()) == 10 })
	eventually(t, "timeouts", func() bool { return q.Stats().Failed >= 4 })
}

// What has not been taken when the queue ends is there when it is opened again, and in the same order.
func TestRestart(t *testing.T) {
	dir := folder(t)
	dead := httptest.NewServer(nil)
	dead.Close()
	q := open(t, quick(dir, dead.URL))
	for i := range 5 {
		add(t, q, "a", fmt.Sprintf("m-%d", i))
	}
	add(t, q, "a", "m-0") // who adds once more what still waits adds nothing
	closeQueue(t, q)
	if err := q.Add(Message{ID: "late", Body: []byte("{}")}); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	// What a crash may leave.
	if err := dir.WriteFile(WaitingDir+"/.tmp-UNFINISHED", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}

	r := newReceiver(t, nil)
	listen(t, r, dead.Listener.Addr().String())
	q = open(t, quick(dir, dead.URL))
	eventually(t, "an empty queue", func() bool { return q.Stats().Queued == 0 })
	if got := strings.Join(r.ids(), " "); got != "m-0 m-1 m-2 m-3 m-4" {
		t.Errorf("got %s", got)
	}
	if left := files(t, dir, WaitingDir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if entries, err := os.ReadDir(filepath.Join(dir.Name(), WaitingDir)); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// listen serves a receiver at another address too.
func listen(t *testing.T, r *receiver, address string) {
	t.Helper()
	server := &http.Server{Addr: address, Handler: r.Config.Handler}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.ListenAndServe() }()
	t.Cleanup(func() { server.Close(); <-ended })
}

// What a receiver says of the future is respected: Retry-After for all messages, 410 at once, redirects as a failure.
func TestAnswers(t *testing.T) {
	t.Run("Retry-After", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, got request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		opts := quick(folder(t), r.URL)
		opts.Parallel = 1
		q := open(t, opts)
		add(t, q, "a", "m-1")
		eventually(t, "an attempt", func() bool { return q.Stats().Failed == 1 })
		for i := range 20 {
			add(t, q, fmt.Sprint(i), fmt.Sprintf("n-%d", i))
		}
		e := q.endpoints[0]
		if wait := e.begin(); wait < 3590*time.Second || wait > time.Hour {
			t.Errorf("goes on after %s", wait)
		}
		if n := len(r.all()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("410", func(t *testing.T) {
		log := new(journal.Journal)
		r := newReceiver(t, func(w http.ResponseWriter, got request) { w.WriteHeader(http.StatusGone) })
		opts := quick(folder(t), r.URL)
		opts.Logger = slog.New(slog.NewTextHandler(log, nil))
		q := open(t, opts)
		add(t, q, "a", "m-1")
		eventually(t, "an empty queue", func() bool { return q.Stats().Queued == 0 })
		if s := q.Stats(); s.Dead != 1 || s.Failed != 1 || len(files(t, opts.Dir, deadDir)) != 1 || !strings.Contains(log.String(), `level=ERROR msg="webhook given up" id=m-1`) {
			t.Errorf("%+v\n%s", s, log)
		}
	})
	t.Run("redirect", func(t *testing.T) {
		elsewhere := newReceiver(t, nil)
		r := newReceiver(t, func(w http.ResponseWriter, got request) {
			if got.Count == 1 {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
		})
		q := open(t, quick(folder(t), r.URL))
		add(t, q, "a", "m-1")
		eventually(t, "an empty queue", func() bool { return q.Stats().Queued == 0 })
		if len(elsewhere.all()) != 0 || q.Stats().Failed != 1 || q.Stats().Delivered != 1 {
			t.Errorf("%d elsewhere, %+v", len(elsewhere.all()), q.Stats())
		}
	})
	t.Run("endless", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, got request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		})
		q := open(t, quick(folder(t), r.URL))
		add(t, q, "a", "m-1")
		eventually(t, "an empty queue", func() bool { return q.Stats().Delivered == 1 })
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "4294967295": maxRetryAfter, "99999999999999999999": 0,
		"Thu, 26 Nov 2026 10:01:00 GMT": time.Minute, "Thu, 26 Nov 2026 09:00:00 GMT": 0,
		"Sun, 26 Nov 2226 10:01:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Who has been tried for too long is given up and kept, but not more than a few; moved back it is tried once more.
func TestDead(t *testing.T) {
	dir := folder(t)
	r := newReceiver(t, func(w http.ResponseWriter, got request) { w.WriteHeader(500) })
	opts := quick(dir, r.URL)
	opts.RetryFor, opts.MaxDead = time.Nanosecond, 2
	q := open(t, opts)
	for i := range 4 {
		add(t, q, "a", fmt.Sprintf("m-%d", i))
	}
	eventually(t, "an empty queue", func() bool { return q.Stats().Queued == 0 })
	kept := files(t, dir, deadDir)
	if s := q.Stats(); s.Dead != 4 || len(kept) != 2 || filepath.Base(kept[0]) != fileName(3) {
		t.Errorf("%+v, %v", s, kept)
	}
	closeQueue(t, q)

	if err := os.Rename(kept[0], filepath.Join(dir.Name(), WaitingDir, fileName(3))); err != nil {
		t.Fatal(err)
	}
	r.set(nil)
	q = open(t, opts)
	eventually(t, "the old one", func() bool { return q.Stats().Delivered == 1 })
	if ids := r.ids(); ids[len(ids)-1] != "m-2" {
		t.Errorf("%v", ids)
	}
	add(t, q, "a", "new") // gets a number that none of the dead has
	eventually(t, "a new one", func() bool { return q.Stats().Delivered == 2 })
}

// Files that can't be delivered stop nobody.
func TestBadFiles(t *testing.T) {
	dir := folder(t)
	for _, sub := range []string{WaitingDir, deadDir} {
		if err := dir.MkdirAll(sub, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		fileName(1): "{", fileName(2): `{"id":"x","url":"http://127.0.0.1:1/old","body":{}}`, fileName(3): "", "note.txt": "hello",
	} {
		if err := dir.WriteFile(WaitingDir+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := newReceiver(t, nil)
	q := open(t, quick(dir, r.URL))
	add(t, q, "a", "m-1")
	eventually(t, "a delivery", func() bool { return q.Stats().Delivered == 1 })
	if s := q.Stats(); s.Dead != 3 || s.Queued != 0 || len(files(t, dir, deadDir)) != 3 {
		t.Errorf("%+v", s)
	}
}

func TestBounds(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	opts := quick(folder(t), dead.URL, dead.URL+"/2")
	opts.MaxQueued = 5
	q := open(t, opts)
	add(t, q, "a", "m-1")
	add(t, q, "a", "m-2")
	if err := q.Add(Message{ID: "m-3", Stream: "a", Body: []byte("{}")}); err != ErrFull {
		t.Errorf("%v", err)
	}
	for _, m := range []Message{
		{ID: "a.b", Body: []byte("{}")}, {ID: "", Body: []byte("{}")}, {ID: "a\nb", Body: []byte("{}")},
		{ID: "x", Body: make([]byte, MaxBody+1)}, {ID: "x", Body: []byte("{")},
	} {
		if err := q.Add(m); err == nil || err == ErrFull {
			t.Errorf("%.20q: %v", m.ID, err)
		}
	}
	if s := q.Stats(); s.Queued != 4 || len(files(t, opts.Dir, WaitingDir)) != 4 {
		t.Errorf("%+v", s)
	}
}

// A folder that can't be written takes nothing, and says so.
func TestUnwritable(t *testing.T) {
	dir := folder(t)
	r := newReceiver(t, nil)
	q := open(t, quick(dir, r.URL))
	if err := os.RemoveAll(filepath.Join(dir.Name(), WaitingDir)); err != nil {
		t.Fatal(err)
	}
	if err := q.Add(Message{ID: "m-1", Stream: "a", Body: []byte("{}")}); err == nil {
		t.Error("added to nowhere")
	}
	if q.Stats().Queued != 0 || q.Waiting("a") {
		t.Errorf("%+v", q.Stats())
	}
}

func TestOptions(t *testing.T) {
	dir := folder(t)
	for _, opts := range []Options{
		{Dir: dir, URLs: []string{"http://a"}},
		{Dir: dir, URLs: []string{"ftp://a"}, Secrets: [][]byte{secret}},
		{Dir: dir, URLs: []string{"http://a", "http://a"}, Secrets: [][]byte{secret}},
	} {
		if q, err := Open(opts); err == nil {
			q.Close(context.Background())
			t.Errorf("%v", opts.URLs)
		}
	}
}
