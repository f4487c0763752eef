package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recording is a folder with some files, the last one being its manifest.
type recording struct {
	Folder
	content map[string][]byte
}

func newRecording(t *testing.T, sizes ...int) *recording {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	r := &recording{Folder{Root: root, Key: "one=20interview/20261126T105316Z-5f3c9a2b"}, make(map[string][]byte)}
	random := rand.NewChaCha8([32]byte{1})
	for i, size := range sizes {
		content := make([]byte, size)
		random.Read(content)
		r.add(t, string(rune('a'+i))+".webm", "video/webm", content)
	}
	r.add(t, "interview.json", "application/json", []byte(`{"version":1}`))
	return r
}

func (r *recording) add(t *testing.T, name, contentType string, content []byte) {
	t.Helper()
	if err := r.Root.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	r.content[name] = content
	r.Files = append(r.Files, File{name, contentType, hex.EncodeToString(sum[:])})
}

func quiet(opts Options) Options {
	opts.Logger = slog.New(slog.DiscardHandler)
	return opts
}

func newUploader(t *testing.T, opts Options) *Uploader {
	t.Helper()
	u, err := New(quiet(opts))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

func saved() error { return nil }

// A folder on a disk gets the files as they are, for nobody else to read.
func TestFolder(t *testing.T) {
	target := t.TempDir()
	u := newUploader(t, Options{URL: "file://" + filepath.ToSlash(target), Prefix: "interviews/2026"})
	if err := u.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRecording(t, 0, 100, 3<<20)
	at := filepath.Join(target, "interviews", "2026", r.Key)
	// What an attempt has left that was killed.
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, "b.webm.18a3f.tmp"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var state State
	var order []string
	err := u.Upload(t.Context(), r.Folder, &state, func() error {
		for name := range state.Files {
			if !slices.Contains(order, name) {
				order = append(order, name)
			}
		}
		return nil
	})
	if err != nil || !state.Whole(r.Folder) {
		t.Fatalf("%v, %+v", err, state)
	}
	if want := "file://" + at; state.To != want || u.Location(r.Key) != want {
		t.Errorf("to %s, want %s", state.To, want)
	}
	if got := strings.Join(order, " "); got != "a.webm b.webm c.webm interview.json" {
		t.Errorf("saved in the order %s", got)
	}
	entries, err := os.ReadDir(at)
	if err != nil || len(entries) != len(r.content) {
		t.Errorf("%v, %v", entries, err)
	}
	for name, content := range r.content {
		got, err := os.ReadFile(filepath.Join(at, name))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		info, err := os.Stat(filepath.Join(at, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
	for dir := at; dir != target; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v", dir, info.Mode())
		}
	}
}

// A file that is not what the manifest says is uploaded as it is, one that is gone is not; neither makes a whole recording.
func TestProblems(t *testing.T) {
	target := t.TempDir()
	u := newUploader(t, Options{URL: "file://" + target})
	r := newRecording(t, 10, 20, 30)
	if err := r.Root.WriteFile("a.webm", []byte("rotten"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Root.Remove("b.webm"); err != nil {
		t.Fatal(err)
	}
	var state State
	if err := u.Upload(t.Context(), r.Folder, &state, saved); err != nil {
		t.Fatal(err)
	}
	if state.Files["a.webm"].Problem != Changed || state.Files["b.webm"].Problem != Missing || state.Files["c.webm"].Problem != "" || state.Whole(r.Folder) {
		t.Errorf("%+v", state)
	}
	if got, err := os.ReadFile(filepath.Join(target, r.Key, "a.webm")); err != nil || string(got) != "rotten" {
		t.Errorf("%q, %v", got, err)
	}
	if !(&State{Files: map[string]Object{"c.webm": state.Files["c.webm"]}}).Whole(Folder{Files: r.Files[2:3]}) {
		t.Error("the good one is not whole")
	}
}

// A link or a folder in the place of a file is not followed out of the recording, and is no reason to give up the others for good.
func TestNoFile(t *testing.T) {
	u := newUploader(t, Options{URL: "file://" + t.TempDir()})
	for _, make := range []func(root *os.Root) error{
		func(root *os.Root) error { return root.Symlink("/etc/passwd", "a.webm") },
		func(root *os.Root) error { return root.Mkdir("a.webm", 0o700) },
	} {
		r := newRecording(t, 1)
		if err := errors.Join(r.Root.Remove("a.webm"), make(r.Root)); err != nil {
			t.Fatal(err)
		}
		var state State
		if err := u.Upload(t.Context(), r.Folder, &state, saved); err == nil || len(state.Files) != 0 {
			t.Errorf("%v, %+v", err, state)
		}
	}
}

// A bucket that is not there yet is no reason not to begin, and is found when it is there.
func TestFolderAppears(t *testing.T) {
	target := filepath.Join(t.TempDir(), "later")
	u := newUploader(t, Options{URL: "file://" + target})
	r := newRecording(t, 10)
	var state State
	if err := u.Check(t.Context()); err == nil {
		t.Error("there already")
	}
	if err := u.Upload(t.Context(), r.Folder, &state, saved); err == nil {
		t.Error("uploaded to nowhere")
	}
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := u.Upload(t.Context(), r.Folder, &state, saved); err != nil || !state.Whole(r.Folder) {
		t.Errorf("%v", err)
	}
}

func TestURLs(t *testing.T) {
	if got := strings.Join(Schemes(), " "); got != "azblob file gs s3" {
		t.Errorf("schemes: %s", got)
	}
	for _, text := range []string{"", "recordings", "ftp://host", "file://host/folder", "http://[", "/folder"} {
		if _, err := New(Options{URL: text}); err == nil {
			t.Errorf("%q", text)
		}
	}
	for _, c := range []struct{ url, prefix, want string }{
		{"s3://bucket?region=eu-central-1&kmskeyid=secret", "", "s3://bucket/x/y"},
		{"gs://bucket", "a/b", "gs://bucket/a/b/x/y"},
		{"azblob://container?domain=x", "", "azblob://container/x/y"},
		{"file:///srv/archive?metadata=skip", "p", "file:///srv/archive/p/x/y"},
	} {
		u := newUploader(t, Options{URL: c.url, Prefix: c.prefix})
		if got := u.Location("x/y"); got != c.want {
			t.Errorf("%s: %s", c.url, got)
		}
	}
}

// s3Server is a server that speaks like Amazon's.
type s3Server struct {
	*httptest.Server
	backend *s3mem.Backend
	counts  sync.Map // of requests, by method and path
	spoil   atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

const bucketName = "recordings"

func newS3(t *testing.T) *s3Server {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := &s3Server{backend: s3mem.New()}
	fake := gofakes3.New(s.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count, _ := s.counts.LoadOrStore(r.Method+" "+filepath.Base(r.URL.Path), new(atomic.Int64))
		count.(*atomic.Int64).Add(1)
		if spoil := s.spoil.Load(); spoil != nil && (*spoil)(w, r) {
			return
		}
		if r.Method != http.MethodHead || s.count("PUT "+filepath.Base(r.URL.Path)) < 2 {
			fake.ServeHTTP(w, r)
			return
		}
		// The ETag of an object that has come in parts is no MD5 with Amazon.
		head := httptest.NewRecorder()
		fake.ServeHTTP(head, r)
		maps.Copy(w.Header(), head.Header())
		if tag := head.Header().Get("ETag"); tag != "" {
			w.Header().Set("ETag", strings.TrimSuffix(tag, `"`)+`-3"`)
		}
		w.WriteHeader(head.Code)
	}))
	t.Cleanup(s.Close)
	if err := s.backend.CreateBucket(bucketName); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *s3Server) spoilBy(spoil func(http.ResponseWriter, *http.Request) bool) {
	s.spoil.Store(&spoil)
}

func (s *s3Server) count(what string) int64 {
	if count, ok := s.counts.Load(what); ok {
		return count.(*atomic.Int64).Load()
	}
	return 0
}

func (s *s3Server) bucket(query ...string) string {
	return "s3://" + bucketName + "?region=us-east-1&use_path_style=true&endpoint=" + url.QueryEscape(s.URL) + strings.Join(query, "")
}

// object gives what is stored at a key, with its metadata.
func (s *s3Server) object(t *testing.T, key string) ([]byte, map[string]string) {
	t.Helper()
	object, err := s.backend.GetObject(bucketName, key, nil)
	if err != nil {
		t.Errorf("%s: %v", key, err)
		return nil, nil
	}
	defer object.Contents.Close()
	content, err := io.ReadAll(object.Contents)
	if err != nil {
		t.Error(err)
	}
	return content, object.Metadata
}

func (s *s3Server) check(t *testing.T, r *recording, prefix string) {
	t.Helper()
	for _, file := range r.Files {
		got, metadata := s.object(t, prefix+r.Key+"/"+file.Name)
		if !bytes.Equal(got, r.content[file.Name]) {
			t.Errorf("%s: %d bytes of %d", file.Name, len(got), len(r.content[file.Name]))
		}
		if metadata["Content-Type"] != file.ContentType || metadata["X-Amz-Meta-Sha256"] != file.SHA256 {
			t.Errorf("%s: %v", file.Name, metadata)
		}
	}
}

// Small files in one request, large ones in several; what has an MD5 is not read back, and what has none is.
func TestS3(t *testing.T) {
	s := newS3(t)
	u := newUploader(t, Options{URL: s.bucket(), Prefix: "p"})
	if err := u.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRecording(t, 0, 1000, 20<<20)
	var state State
	if err := u.Upload(t.Context(), r.Folder, &state, saved); err != nil || !state.Whole(r.Folder) {
		t.Fatalf("%v", err)
	}
	s.check(t, r, "p/")
	if s.count("PUT c.webm") < 2 || s.count("GET b.webm") != 0 || s.count("GET c.webm") == 0 || s.count("PUT b.webm") != 1 {
		t.Errorf("%d parts, %d and %d reads", s.count("PUT c.webm"), s.count("GET b.webm"), s.count("GET c.webm"))
	}

	// Once more with the same state: nothing to be done. Without it: everything is there already.
	sent := s.count("PUT c.webm")
	if err := u.Upload(t.Context(), r.Folder, &state, func() error { t.Error("saved"); return nil }); err != nil {
		t.Error(err)
	}
	again := State{}
	if err := u.Upload(t.Context(), r.Folder, &again, saved); err != nil || !again.Whole(r.Folder) {
		t.Error(err)
	}
	if s.count("PUT c.webm") != sent || s.count("PUT b.webm") != 1 {
		t.Error("sent again")
	}
	// Another place is another upload.
	other := newUploader(t, Options{URL: s.bucket(), Prefix: "q"})
	if err := other.Upload(t.Context(), r.Folder, &state, saved); err != nil || !strings.Contains(state.To, "/q/") {
		t.Errorf("%v, %s", err, state.To)
	}
	s.check(t, r, "q/")
}

// An interrupted upload goes on where it was, by another process.
func TestS3Resumes(t *testing.T) {
	s := newS3(t)
	r := newRecording(t, 1000, 17<<20, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	s.spoilBy(func(w http.ResponseWriter, request *http.Request) bool {
		if request.Method == http.MethodPut && request.URL.Query().Get("partNumber") == "2" {
			cancel() // in the middle of the second file
		}
		return false
	})
	u := newUploader(t, Options{URL: s.bucket()})
	var state State
	if err := u.Upload(ctx, r.Folder, &state, saved); err == nil || len(state.Files) != 1 {
		t.Fatalf("%v, %+v", err, state.Files)
	}
	if objects, err := s.backend.ListBucket(bucketName, nil, gofakes3.ListBucketPage{}); err != nil || len(objects.Contents) != 1 {
		t.Fatalf("half of a file is there: %v, %v", objects, err)
	}
	s.spoilBy(func(http.ResponseWriter, *http.Request) bool { return false })
	u = newUploader(t, Options{URL: s.bucket()})
	if err := u.Upload(t.Context(), r.Folder, &state, saved); err != nil || !state.Whole(r.Folder) {
		t.Fatal(err)
	}
	s.check(t, r, "")
	if s.count("PUT a.webm") != 1 {
		t.Error("the first one was sent again")
	}
}

// What is stored otherwise than it was sent is found out, and sent again.
func TestS3Corrupts(t *testing.T) {
	for _, size := range []int{1000, 17 << 20} {
		s := newS3(t)
		r := newRecording(t, size)
		key := r.Key + "/a.webm"
		damage := func() {
			content := bytes.Clone(r.content["a.webm"])
			content[len(content)/2] ^= 1
			metadata := map[string]string{"X-Amz-Meta-Sha256": r.Files[0].SHA256, "Last-Modified": time.Now().UTC().Format(http.TimeFormat)}
			if _, err := s.backend.PutObject(bucketName, key, metadata, bytes.NewReader(content), int64(size), nil); err != nil {
				t.Error(err)
			}
		}
		var spoilt atomic.Bool
		s.spoilBy(func(w http.ResponseWriter, request *http.Request) bool {
			// Between the end of the upload and the first look at it.
			if request.Method == http.MethodHead && s.count("PUT a.webm") > 0 && !spoilt.Swap(true) {
				damage()
			}
			return false
		})
		u := newUploader(t, Options{URL: s.bucket()})
		var state State
		if err := u.Upload(t.Context(), r.Folder, &state, saved); err == nil || len(state.Files) != 0 {
			t.Fatalf("%d bytes: %v, %v", size, err, state.Files)
		}
		if err := u.Upload(t.Context(), r.Folder, &state, saved); err != nil {
			t.Fatalf("%d bytes, again: %v", size, err)
		}
		s.check(t, r, "")
	}
}

// A server that takes no more ends the attempt, and so does whoever closes the program.
func TestS3Stalls(t *testing.T) {
	s := newS3(t)
	release := make(chan struct{})
	defer close(release)
	s.spoilBy(func(w http.ResponseWriter, request *http.Request) bool {
		if request.Method == http.MethodPut {
			select {
			case <-release:
			case <-request.Context().Done():
			}
		}
		return false
	})
	r := newRecording(t, 1000)
	u := newUploader(t, Options{URL: s.bucket(), Stall: 100 * time.Millisecond})
	var state State
	if err := u.Upload(t.Context(), r.Folder, &state, saved); !errors.Is(err, errStalled) {
		t.Errorf("%v", err)
	}
	u = newUploader(t, Options{URL: s.bucket()})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := u.Upload(ctx, r.Folder, &state, saved); err == nil {
		t.Error("uploaded")
	}
	if len(state.Files) != 0 {
		t.Errorf("%v", slices.Collect(maps.Keys(state.Files)))
	}
}

// The bandwidth is kept on the line, not only where the file is read: no part of a multipart upload comes in one go.
func TestBandwidth(t *testing.T) {
	const size, bandwidth = 1 << 20, 2 << 20
	for _, kind := range []string{"s3", "file"} {
		t.Run(kind, func(t *testing.T) {
			to := "file://" + t.TempDir()
			if kind == "s3" {
				to = newS3(t).bucket()
			}
			u := newUploader(t, Options{URL: to, Bandwidth: bandwidth})
			r := newRecording(t, size)
			var state State
			begin := time.Now()
			if err := u.Upload(t.Context(), r.Folder, &state, saved); err != nil || !state.Whole(r.Folder) {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < time.Second*(size-2*chunk)/bandwidth {
				t.Errorf("%d bytes took %s", size, took)
			}
		})
	}
}
