package httpapi

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"skillsage/recording"
	"skillsage/recording/manifest"
	"skillsage/recording/store"
)

var player = fstest.MapFS{
	"index.html":          {Data: []byte("<!doctype html><title>player</title>")},
	"assets/player-1a.js": {Data: []byte("play()")},
}

// shelf is a store with recordings, and everything that serves them.
type shelf struct {
	*Recordings
	store    *store.Store
	recorder *fakeRecorder
	admin    http.Handler
	public   http.Handler
	clock    time.Time
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	secret, err := OpenLinkSecret(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	h := &shelf{store: s, recorder: &fakeRecorder{}, clock: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	links := NewLinks(secret, 24*time.Hour)
	links.now = func() time.Time { return h.clock }
	h.Recordings = NewRecordings(RecordingsOptions{Store: s, Links: links, Recorder: h.recorder, Player: player, URL: "https://room.example"})
	h.admin = NewAdmin(AdminOptions{Health: &Health{}, Signaling: fixedSignaling{}, Front: fixedFront{}, Recordings: h.Recordings, Token: token})
	h.public = New(http.NotFoundHandler(), &Health{}, built, h.admin, h.Watch())
	return h
}

// footage is what the file of a recording of the tests holds.
var footage = strings.Repeat("0123456789", 1000)

// add makes a recording; change may change its manifest.
func (h *shelf) add(t *testing.T, interview string, change func(*manifest.Manifest)) *store.Folder {
	t.Helper()
	h.clock = h.clock.Add(time.Second)
	f, err := h.store.Create(interview, h.clock)
	if err != nil {
		t.Fatal(err)
	}
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	end := h.clock.Add(12 * time.Second)
	m := &manifest.Manifest{
		Version: manifest.Version, ID: f.ID(), Interview: interview, Started: h.clock, Finished: &end, Duration: 12,
		State: manifest.Finished, Reason: manifest.Requested, Detail: "/var/lib is fine",
		Participants: []manifest.Participant{{ID: "abc", Role: "candidate"}},
		Files:        []manifest.File{{Name: "candidate-1.webm", Participant: "abc", Kind: manifest.Camera, Container: manifest.WebM, Duration: 12, Size: int64(len(footage)), Complete: true}},
		Events: []manifest.Event{
			{At: 1, Type: manifest.Chat, Participant: "abc", Data: json.RawMessage(`{"content":"<b>hi</b>"}`)},
			{At: 12, Type: manifest.RecordingStopped, Detail: "/var/lib is fine"},
		},
	}
	if change != nil {
		change(m)
	}
	if err := errors.Join(manifest.Write(root, m), root.WriteFile("candidate-1.webm", []byte(footage), store.FileMode)); err != nil {
		t.Fatal(err)
	}
	return f
}

// do asks the admin handler; headers come in pairs. The token is sent along.
func (h *shelf) do(method, url, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+url, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.admin.ServeHTTP(w, r)
	return w
}

// refused holds an answer to a status and an error of this code, which it tells in JSON.
func refused(t *testing.T, what string, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var answer struct{ Error problem }
	err := json.Unmarshal(w.Body.Bytes(), &answer)
	if w.Code != status || err != nil || answer.Error.Code != code || answer.Error.Message == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, status, code)
	}
}

type page struct {
	Recordings []listed
	Next       string
}

func (h *shelf) list(t *testing.T, query string) page {
	t.Helper()
	w := h.do("GET", "/api/recordings"+query, "")
	var p page
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return p
}

var hostileIDs = []string{"", ".", "..", "../..", "../../etc/passwd", "/", "a/b", `..\..`, "a%2fb", "%2e%2e", "a\x00b", "<script>", "ä 面试", "?x=1&y#z", strings.Repeat("x", 256)}

func TestRecordingsAreListedNewestFirst(t *testing.T) {
	h := newShelf(t)
	if p := h.list(t, ""); len(p.Recordings) != 0 || p.Next != "" {
		t.Errorf("none: %+v", p)
	}
	var made []string
	for _, interview := range hostileIDs {
		made = append(made, h.add(t, interview, nil).ID())
	}
	var got []string
	for query := "?limit=4"; ; {
		p := h.list(t, query)
		for _, r := range p.Recordings {
			if want := hostileIDs[len(hostileIDs)-1-len(got)]; r.Interview != want || r.State != "finished" || r.Duration != 12 || r.Files != 1 || r.Size < int64(len(footage)) || len(r.Participants) != 1 {
				t.Errorf("%q: %+v", want, r)
			}
			got = append(got, r.ID)
		}
		if p.Next == "" {
			break
		}
		if len(p.Recordings) != 4 {
			t.Fatalf("a page of %d", len(p.Recordings))
		}
		query = "?limit=4&after=" + p.Next
	}
	for i := range got {
		if got[i] != made[len(made)-1-i] {
			t.Fatalf("listed %v of %v", got, made)
		}
	}
	if len(got) != len(made) {
		t.Errorf("%d of %d", len(got), len(made))
	}
	for i, interview := range hostileIDs {
		if p := h.list(t, "?interview="+url.QueryEscape(interview)); len(p.Recordings) != 1 || p.Recordings[0].ID != made[i] {
			t.Errorf("%q: %+v", interview, p)
		}
	}
	if p := h.list(t, "?interview=nobody"); len(p.Recordings) != 0 {
		t.Errorf("nobody: %+v", p)
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "limit=-1", "after=x", "after=../" + made[0]} {
		refused(t, query, h.do("GET", "/api/recordings?"+query, ""), 400, "bad-request")
	}
}

// A recording whose manifest can't be read is listed all the same: somebody has to see that it is there.
func TestABrokenRecordingIsListed(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "broken", nil)
	if err := os.WriteFile(filepath.Join(f.Path(), manifest.Name), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := h.list(t, "")
	if len(p.Recordings) != 1 || p.Recordings[0].Interview != "broken" || p.Recordings[0].State != "failed" || p.Recordings[0].Error == "" || p.Recordings[0].Size == 0 {
		t.Errorf("%+v", p)
	}
	refused(t, "its manifest", h.do("GET", "/api/recordings/"+f.ID(), ""), 500, "error")
	if w := h.do("DELETE", "/api/recordings/"+f.ID(), ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestManifestAndMedia(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "../../etc", nil)
	w := h.do("GET", "/api/recordings/"+f.ID(), "")
	var m manifest.Manifest
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || m.Interview != "../../etc" || m.Detail == "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	w = h.do("GET", "/api/recordings/"+f.ID(), "", "Accept-Encoding", "br, gzip;q=0.8")
	if w.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v", w.Header())
	}
	unzipped, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(unzipped).Decode(&m); err != nil || len(m.Events) != 2 {
		t.Errorf("%v %+v", err, m)
	}
	if w := h.do("GET", "/api/recordings/"+f.ID(), "", "Accept-Encoding", "br, gzip; q=0.0"); w.Header().Get("Content-Encoding") != "" {
		t.Errorf("%v", w.Header())
	}

	file := "/api/recordings/" + f.ID() + "/files/candidate-1.webm"
	whole := h.do("GET", file, "")
	if whole.Code != 200 || whole.Body.String() != footage || whole.Header().Get("Content-Type") != "video/webm" || whole.Header().Get("Content-Disposition") != "" {
		t.Errorf("%d %v", whole.Code, whole.Header())
	}
	part := h.do("GET", file, "", "Range", "bytes=9995-")
	if part.Code != 206 || part.Body.String() != "56789" || part.Header().Get("Content-Range") != "bytes 9995-9999/10000" {
		t.Errorf("%d %v %q", part.Code, part.Header(), part.Body)
	}
	if w := h.do("GET", file, "", "Range", "bytes=0-0", "If-Range", `"another"`); w.Code != 200 {
		t.Errorf("another version: %d", w.Code)
	}
	if w := h.do("GET", file, "", "Range", "bytes=10000-"); w.Code != 416 {
		t.Errorf("beyond the end: %d", w.Code)
	}
	if w := h.do("GET", file+"?download", ""); w.Header().Get("Content-Disposition") != `attachment; filename="`+f.ID()+`-candidate-1.webm"` {
		t.Errorf("%v", w.Header())
	}
	if w := h.do("HEAD", file, ""); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "10000" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// Only media files of a recording's own folder are given out, whatever the path says and whatever lies there.
func TestNothingElseIsGivenOut(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "a", nil)
	other := h.add(t, "b", nil)
	outside := filepath.Join(filepath.Dir(h.store.Dir()), "outside.webm")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"absolute.webm": outside, "relative.webm": "../../../outside.webm", "inside.webm": "candidate-1.webm", "folder.webm": "."} {
		if err := os.Symlink(to, filepath.Join(f.Path(), link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(f.Path(), "dir.webm"), 0o700); err != nil {
		t.Fatal(err)
	}
	link, _ := h.o.Links.Make(f.ID(), 0)
	names := []string{
		"interview.json", "events.jsonl", "nothing.webm", "absolute.webm", "relative.webm", "inside.webm", "folder.webm", "dir.webm", ".webm", "..", ".", "",
		"../" + f.ID() + "/candidate-1.webm", "../../b/" + other.ID() + "/candidate-1.webm", "/etc/passwd", outside, "candidate-1.webm/", "candidate-1.webm\x00", `..\candidate-1.webm`,
		"../../../outside.webm", "candidate-1.webm\n", "a\"b.webm", strings.Repeat("x", 300) + ".webm",
	}
	for _, name := range names {
		for _, written := range []string{url.PathEscape(name), strings.ReplaceAll(url.PathEscape(name), ".", "%2e")} {
			for prefix, handler := range map[string]http.Handler{"/api/recordings/" + f.ID() + "/files/": h.admin, watchPath + link + "/files/": h.public} {
				r := httptest.NewRequest("GET", "http://localhost", nil)
				if err := setPath(r, prefix+written); err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, r); w.Code == 200 || strings.Contains(w.Body.String(), footage[:100]) || strings.Contains(w.Body.String(), "secret") {
					t.Errorf("%s%s: %d %.100s", prefix, written, w.Code, w.Body)
				}
			}
		}
	}
	for _, id := range append(hostileIDs, "20261126T105316Z-ffffffff", "../a/"+f.ID(), f.ID()+"/..") {
		r := httptest.NewRequest("GET", "http://localhost", nil)
		if err := setPath(r, "/api/recordings/"+url.PathEscape(id)); err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		if h.admin.ServeHTTP(w, r); w.Code == 200 || strings.Contains(w.Body.String(), "candidate") {
			t.Errorf("%q: %d %s", id, w.Code, w.Body)
		}
	}
}

// setPath gives a request a path as it stands in the request's line, which url.Parse might refuse.
func setPath(r *http.Request, escaped string) error {
	path, err := url.PathUnescape(escaped)
	r.URL.Path, r.URL.RawPath = path, escaped
	return err
}

func TestARecordingIsDeletedOnceItIsDone(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "a", nil)
	release, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "while it is made", h.do("DELETE", "/api/recordings/"+f.ID(), ""), 409, "busy")
	release()
	if w := h.do("DELETE", "/api/recordings/"+f.ID(), ""); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, method := range []string{"DELETE", "GET"} {
		refused(t, method, h.do(method, "/api/recordings/"+f.ID(), ""), 404, "no-recording")
	}
	if p := h.list(t, ""); len(p.Recordings) != 0 {
		t.Errorf("%+v", p)
	}
	link, _ := h.o.Links.Make(f.ID(), 0)
	refused(t, "a link to it", ask2(h.public, watchPath+link+"/manifest.json"), 404, "no-recording")
}

func ask2(h http.Handler, path string) *httptest.ResponseRecorder {
	return ask(h, "http://room.example"+path)
}

// fakeRecorder notes what it is asked for.
type fakeRecorder struct {
	asked []string
	err   error
}

func (f *fakeRecorder) note(words ...string) error {
	f.asked = append(f.asked, strings.Join(words, " "))
	return f.err
}

func (f *fakeRecorder) Start(interview, by string) error { return f.note("start", interview, by) }
func (f *fakeRecorder) Stop(interview, by string) error  { return f.note("stop", interview, by) }
func (f *fakeRecorder) Consent(interview, member string, agreed bool) error {
	return f.note("consent", interview, member, map[bool]string{true: "yes", false: "no"}[agreed])
}
func (f *fakeRecorder) Status(interview string) recording.Status {
	return recording.Status{Room: interview, State: recording.Recording, Since: time.Date(2026, 11, 26, 12, 0, 0, 999, time.UTC)}
}
func (f *fakeRecorder) Active() []recording.Status {
	return []recording.Status{{Room: "b", State: recording.Waiting, Pending: []string{"m"}}, {Room: "a", State: recording.Recording}}
}

func TestTheRecorderIsSteered(t *testing.T) {
	h := newShelf(t)
	for _, c := range [][3]string{
		{"start", `{"interview": "../a"}`, "start ../a api"},
		{"stop", `{"interview": "../a"}`, "stop ../a api"},
		{"consent", `{"interview": "a", "member": "m", "agreed": false}`, "consent a m no"},
		{"consent", `{"interview": "a", "member": "m", "agreed": true}`, "consent a m yes"},
	} {
		h.recorder.asked = nil
		w := h.do("POST", "/api/recorder/"+c[0], c[1])
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"state":"recording"`) || len(h.recorder.asked) != 1 || h.recorder.asked[0] != c[2] {
			t.Errorf("%v: %d %s, asked %q", c, w.Code, w.Body, h.recorder.asked)
		}
	}
	if w := h.do("GET", "/api/recorder?interview=..%2Fa", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"interview":"../a","state":"recording","since":"2026-11-26T12:00:00Z"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := h.do("GET", "/api/recorder", ""); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"interviews":[{"interview":"a","state":"recording","consent":"","pending":[],"refused":[]},{"interview":"b","state":"waiting","consent":"","pending":["m"],"refused":[]}]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for code, status := range map[recording.Code]int{"off": 409, "no-room": 404, "not-allowed": 403, "already": 409, "not-recording": 409, "disk": 507, "busy": 503} {
		h.recorder.err = &recording.Error{Code: code, Message: "because"}
		refused(t, string(code), h.do("POST", "/api/recorder/start", `{"interview": "a"}`), status, string(code))
	}
	h.recorder.err, h.recorder.asked = errors.New("broken"), nil
	refused(t, "another error", h.do("POST", "/api/recorder/start", `{"interview": "a"}`), 500, "error")

	h.recorder.err, h.recorder.asked = nil, nil
	for body, word := range map[string]string{
		`{}`: "interview", `{"interview": 7}`: "interview", `{"interview": "a", "by": "me"}`: "by", `[]`: "body", `{"interview": "a"} {}`: "follows",
		`{"interview":`: "body", ``: "empty", `"a"`: "body",
	} {
		w := h.do("POST", "/api/recorder/start", body, "Content-Type", "application/json")
		refused(t, body, w, 400, "bad-request")
		if !strings.Contains(w.Body.String(), word) {
			t.Errorf("%s: %s does not name %s", body, w.Body, word)
		}
	}
	for _, body := range []string{`{"interview": "a", "agreed": true}`, `{"interview": "a", "member": "m"}`, `{"member": "m", "agreed": true}`, `{"interview": "a", "member": "m", "agreed": "yes"}`} {
		refused(t, body, h.do("POST", "/api/recorder/consent", body), 400, "bad-request")
	}
	refused(t, "a long body", h.do("POST", "/api/recorder/start", `{"interview": "`+strings.Repeat("x", maxRequest)+`"}`), 413, "too-large")
	if len(h.recorder.asked) != 0 {
		t.Errorf("asked %q", h.recorder.asked)
	}
	h.o.Recorder = nil
	refused(t, "off", h.do("POST", "/api/recorder/start", `{"interview": "a"}`), 409, "off")
	refused(t, "off", h.do("GET", "/api/recorder", ""), 409, "off")
}

// A page of another site gets nothing done with what its visitor's browser sends along by itself.
func TestNoOtherSiteChangesAnything(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "a", nil)
	body := `{"interview": "a"}`
	for _, headers := range [][]string{
		{"Content-Type", "text/plain"}, {"Content-Type", "application/x-www-form-urlencoded"}, {"Content-Type", "text/plain; application/json"}, {"Content-Type", ""},
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"},
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "http://localhost:81"},
	} {
		if w := h.do("POST", "/api/recorder/start", body, headers...); w.Code != 403 && w.Code != 415 {
			t.Errorf("POST with %q: %d %s", headers, w.Code, w.Body)
		}
		if headers[0] == "Content-Type" {
			continue
		}
		if w := h.do("DELETE", "/api/recordings/"+f.ID(), "", headers...); w.Code != 403 {
			t.Errorf("DELETE with %q: %d %s", headers, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/api/recorder/start", "/api/recorder/stop", "/api/recorder/consent", "/api/recordings/" + f.ID() + "/links"} {
		if w := h.do("GET", path, "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"); w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if len(h.recorder.asked) != 0 {
		t.Errorf("asked %q", h.recorder.asked)
	}
	if w := h.do("POST", "/api/recorder/start", body, "Origin", "http://localhost", "Sec-Fetch-Site", "same-origin", "Content-Type", "application/json; charset=utf-8"); w.Code != 200 {
		t.Errorf("the own page: %d %s", w.Code, w.Body)
	}
}

func TestTheAPIAsksForTheToken(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "a", nil)
	for _, path := range []string{"/recordings", "/assets/player-1a.js", "/api/recordings", "/api/recordings/" + f.ID(), "/api/recordings/" + f.ID() + "/files/candidate-1.webm", "/api/recorder", "/api/nothing"} {
		for prefix, handler := range map[string]http.Handler{"": h.admin, "/admin": h.public} {
			if w := ask2(handler, prefix+path); w.Code != 401 {
				t.Errorf("%s%s: %d", prefix, path, w.Code)
			}
			if w := ask(handler, "http://room.example"+prefix+path, "Authorization", "Bearer "+token); w.Code != 200 && path != "/api/nothing" {
				t.Errorf("%s%s: %d", prefix, path, w.Code)
			}
		}
		if w := ask(h.public, "http://room.example"+path, "Authorization", "Bearer "+token); w.Code == 200 && path != "/assets/player-1a.js" {
			t.Errorf("public %s: %d", path, w.Code)
		}
	}
	refused(t, "what is not there", h.do("GET", "/api/nothing", ""), 404, "not-found")
	refused(t, "another method", h.do("PUT", "/api/recordings", "{}"), 405, "bad-method")
	page := h.do("GET", "/recordings?recording="+f.ID(), "")
	if csp := page.Header().Get("Content-Security-Policy"); page.Code != 200 || !strings.Contains(page.Body.String(), "player") || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "media-src 'self'") {
		t.Errorf("%d %v %s", page.Code, page.Header(), page.Body)
	}
	if w := h.do("GET", "/", ""); !strings.Contains(w.Body.String(), `<a href="recordings">`) {
		t.Errorf("no way from the debug page to the recordings: %s", w.Body)
	}
	h.o.Player = nil
	if w := h.do("GET", "/recordings/", ""); w.Code != 308 || w.Header().Get("Location") != "../recordings" {
		t.Errorf("with a slash: %d %v", w.Code, w.Header())
	}
	if w := h.do("GET", "/recordings", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "make web") {
		t.Errorf("without a build: %d %s", w.Code, w.Body)
	}
	without := admin(token, fixed{})
	for _, path := range []string{"/recordings", "/api/recordings"} {
		if w := ask(without, "http://localhost"+path, "Authorization", "Bearer "+token); w.Code != 404 {
			t.Errorf("without recordings %s: %d", path, w.Code)
		}
	}
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Over a real connection: a part of a file, then another request on the same connection.
func TestMediaOverAConnection(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "a", nil)
	server := httptest.NewServer(h.public)
	defer server.Close()
	link, _ := h.o.Links.Make(f.ID(), 0)
	for _, span := range [][2]string{{"bytes=0-9", "0123456789"}, {"bytes=-3", "789"}, {"", footage}} {
		r, err := http.NewRequest("GET", server.URL+watchPath+link+"/files/candidate-1.webm", nil)
		if err != nil {
			t.Fatal(err)
		}
		if span[0] != "" {
			r.Header.Set("Range", span[0])
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp.Body); got != span[1] {
			t.Errorf("%s: %d %.40q", span[0], resp.StatusCode, got)
		}
		resp.Body.Close()
	}
}
