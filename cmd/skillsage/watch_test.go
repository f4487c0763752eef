package main

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skillsage/recording/manifest"
)

const adminToken = "a-token-of-the-tests"

// api asks the operator's API below /admin/ and returns the status; a body is sent as JSON, the answer read into one.
func (p *process) api(method, path, body string, into any) int {
	p.t.Helper()
	r, err := http.NewRequest(method, p.base+"/admin/api/"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && into != nil && resp.StatusCode == 200 {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		p.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return resp.StatusCode
}

// TestRecordingsAreWatched: a platform starts and stops a recording, attests consent, and gives out a link, which
// outlives the server and its wish to record.
func TestRecordingsAreWatched(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	environ := []string{"SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_RECORDING_DIR=" + dir, "SKILLSAGE_RECORDING_CONSENT=required", "SKILLSAGE_RECORDING_MIN_FREE=1MiB",
		"SKILLSAGE_RECORDING_LINK_URL=https://room.example", "SKILLSAGE_ADMIN_TOKEN=" + adminToken, "SKILLSAGE_ADMIN_PUBLIC=true", "SKILLSAGE_ADMIN_LISTEN="}
	p := startServer(t, append(environ, "SKILLSAGE_RECORDING_MODE=on-request")...)
	recruiter, candidate := p.enter("recruiter", nil), p.enter("candidate", nil)
	recruiter.see()
	candidate.see()

	var status struct {
		Interview, State, Recording string
		Pending                     []string
	}
	if code := p.api("POST", "recorder/start", `{"interview": "nobody"}`, nil); code != 404 {
		t.Errorf("start of nothing: %d", code)
	}
	if code := p.api("POST", "recorder/start", `{"interview": "iv"}`, &status); code != 200 || status.State != "waiting" {
		t.Fatalf("start: %d %+v", code, status)
	}
	p.eventually("asked", func() bool {
		return p.api("GET", "recorder?interview=iv", "", &status) == 200 && slices.Contains(status.Pending, candidate.ID())
	})
	if code := p.api("POST", "recorder/consent", `{"interview": "iv", "member": "*", "agreed": true}`, nil); code != 200 {
		t.Errorf("consent: %d", code)
	}
	id := candidate.untilState("recording").Recording
	var active struct {
		Interviews []struct{ Interview, Recording string }
	}
	if p.api("GET", "recorder", "", &active); len(active.Interviews) != 1 || active.Interviews[0].Recording != id {
		t.Errorf("active: %+v", active)
	}
	p.eventually("two files", func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "iv", id, "*.webm"))
		return err == nil && len(files) == 2
	})
	if code := p.api("DELETE", "recordings/"+id, "", nil); code != 409 {
		t.Errorf("deleted while it runs: %d", code)
	}
	if code := p.api("POST", "recorder/stop", `{"interview": "iv"}`, nil); code != 200 {
		t.Errorf("stop: %d", code)
	}
	folder, m := p.finished(dir, id)
	wantFiles(t, folder, m, recruiter.ID(), candidate.ID())
	var list struct {
		Recordings []struct{ ID, Interview, State string }
	}
	if p.api("GET", "recordings?interview=iv", "", &list); len(list.Recordings) != 1 || list.Recordings[0].ID != id || list.Recordings[0].State != "finished" {
		t.Errorf("listed: %+v", list)
	}
	var link struct{ Path, URL string }
	if code := p.api("POST", "recordings/"+id+"/links", "{}", &link); code != 200 || link.URL != "https://room.example"+link.Path {
		t.Fatalf("link: %d %+v", code, link)
	}
	p.signal(syscall.SIGTERM)
	p.exit(20 * time.Second)

	p = startServer(t, environ...)
	var shown manifest.Manifest
	resp, err := http.Get(p.base + link.Path + "/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	err = json.NewDecoder(resp.Body).Decode(&shown)
	resp.Body.Close()
	if err != nil || shown.ID != id || shown.Interview != "" || len(shown.Files) != 2 {
		t.Fatalf("by the link: %v %+v", err, shown)
	}
	for path, want := range map[string]int{
		"":                               200,
		"/files/" + shown.Files[0].Name:  200,
		"/files/interview.json":          404,
		"/files/..%2f..%2f.link-secret":  404,
		"x/files/" + shown.Files[0].Name: 404,
	} {
		if got := p.status(link.Path + path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if code := p.api("POST", "recorder/start", `{"interview": "iv"}`, nil); code != 409 {
		t.Errorf("start with recording.mode off: %d", code)
	}
	if code := p.api("DELETE", "recordings/"+id, "", nil); code != 204 {
		t.Errorf("delete: %d", code)
	}
	if got := p.status(link.Path + "/manifest.json"); got != 404 {
		t.Errorf("after that: %d", got)
	}
	p.signal(syscall.SIGTERM)
	p.exit(20 * time.Second)

	p = startServer(t, environ...)
	if code := p.api("GET", "recordings", "", nil); code != 404 {
		t.Errorf("a server that has and makes no recordings: %d", code)
	}
}
