package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skillsage/recording/manifest"
)

// A recorded interview goes its whole way, with the real parts from the socket to the bucket: told of when it begins, uploaded, told of with the
// place where it is, handed to a program, and removed here. A receiver that is away at first gets all of it in order.
func TestDeliveredInterview(t *testing.T) {
	type message struct {
		Type string
		Data struct {
			Interview, Recording, Folder string
			Files                        []manifest.File
			Uploaded                     struct {
				URL   string
				Whole bool
			}
		}
	}
	var mu sync.Mutex
	var told []message
	away := true
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if away {
			away = false
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		var m message
		if err := json.Unmarshal(body, &m); err != nil || !strings.HasPrefix(r.Header.Get("webhook-signature"), "v1,") ||
			!strings.HasPrefix(r.Header.Get("webhook-id"), "msg_") || !strings.HasPrefix(r.UserAgent(), "skillsage/") {
			t.Errorf("%v of %v: %s", err, r.Header, body)
		}
		told = append(told, m)
	}))
	defer receiver.Close()

	dir, bucket, notes := filepath.Join(t.TempDir(), "kept"), t.TempDir(), filepath.Join(t.TempDir(), "notes")
	script := filepath.Join(t.TempDir(), "note")
	if err := os.WriteFile(script, []byte(`echo "$RECORDING_ID $RECORDING_EVENT $SKILLSAGE_RECORDING_WEBHOOK_SECRETS" >> "$1"`), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := freePort(t)
	p := startServer(t, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_RECORDING_MODE=always", "SKILLSAGE_RECORDING_DIR="+dir,
		"SKILLSAGE_RECORDING_MIN_FREE=1MiB", "SKILLSAGE_ADMIN_LISTEN=127.0.0.1:"+admin,
		"SKILLSAGE_RECORDING_WEBHOOK_URLS="+receiver.URL, "SKILLSAGE_RECORDING_WEBHOOK_SECRETS=whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
		"SKILLSAGE_RECORDING_UPLOAD_URL=file://"+bucket, "SKILLSAGE_RECORDING_UPLOAD_PREFIX=interviews", "SKILLSAGE_RECORDING_DELETE_AFTER_UPLOAD=true",
		"SKILLSAGE_RECORDING_EXEC=/bin/sh,"+script+","+notes)
	recruiter, candidate := p.enter("recruiter", nil), p.enter("candidate", nil)
	recruiter.see()
	candidate.see()
	status := recruiter.untilState("recording")
	time.Sleep(time.Second) // of picture and voice
	if ack := recruiter.ask("recording-stop", nil); !ack.OK {
		t.Errorf("stop: %+v", ack)
	}
	id := status.Recording
	p.eventually("told of its end", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) == 2
	})
	p.eventually("removed here", func() bool { _, err := os.Stat(filepath.Join(dir, "iv")); return os.IsNotExist(err) })

	mu.Lock()
	defer mu.Unlock()
	at := filepath.Join(bucket, "interviews", "iv", id)
	end := told[1].Data
	if told[0].Type != "recording.started" || told[1].Type != "recording.finished" || told[0].Data.Recording != id || end.Recording != id ||
		end.Interview != "iv" || end.Folder != "iv/"+id || end.Uploaded.URL != "file://"+at || !end.Uploaded.Whole || len(end.Files) != 2 {
		t.Errorf("told %+v", told)
	}
	text, err := os.ReadFile(filepath.Join(at, manifest.Name))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest.Manifest
	if err := json.Unmarshal(text, &m); err != nil || m.State != manifest.Finished {
		t.Errorf("%v, %s", err, text)
	}
	wantFiles(t, at, &m, recruiter.ID(), candidate.ID())
	if got, err := os.ReadFile(notes); err != nil || string(got) != id+" recording.finished \n" {
		t.Errorf("the program was told %q, %v", got, err)
	}
	response, err := http.Get("http://127.0.0.1:" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	metrics, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"skillsage_recordings_uploaded_total 1\n", "skillsage_recording_webhooks_delivered_total 2\n", "skillsage_recording_webhook_failures_total 1\n", "skillsage_recordings_removed_uploaded_total 1\n"} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("%q is missing in the metrics", want)
		}
	}
}

// A server that records no more still does what earlier ones have left: it finishes what a crash has cut short, and brings it on its way, and
// in the end there may be nothing but a message.
func TestDeliveredWhenNothingIsRecordedAnyMore(t *testing.T) {
	var away atomic.Bool
	var told atomic.Int32
	away.Store(true)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		told.Add(1)
	}))
	defer receiver.Close()
	dir, bucket := filepath.Join(t.TempDir(), "kept"), t.TempDir()
	environ := []string{"SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_RECORDING_DIR=" + dir, "SKILLSAGE_RECORDING_MIN_FREE=1MiB",
		"SKILLSAGE_RECORDING_WEBHOOK_URLS=" + receiver.URL, "SKILLSAGE_RECORDING_WEBHOOK_SECRETS=whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
		"SKILLSAGE_RECORDING_UPLOAD_URL=file://" + bucket, "SKILLSAGE_RECORDING_DELETE_AFTER_UPLOAD=true", "SKILLSAGE_ADMIN_LISTEN="}
	p := startServer(t, append(environ, "SKILLSAGE_RECORDING_MODE=always")...)
	recruiter, candidate := p.enter("recruiter", nil), p.enter("candidate", nil)
	recruiter.see()
	candidate.see()
	id := recruiter.untilState("recording").Recording
	time.Sleep(2 * time.Second) // of picture and voice
	p.signal(syscall.SIGKILL)
	p.exit(10 * time.Second)

	p = startServer(t, environ...)
	p.eventually("removed here", func() bool { _, err := os.Stat(filepath.Join(dir, "iv")); return os.IsNotExist(err) })
	p.signal(syscall.SIGTERM)
	p.exit(10 * time.Second)
	text, err := os.ReadFile(filepath.Join(bucket, "iv", id, manifest.Name))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest.Manifest
	if err := json.Unmarshal(text, &m); err != nil || m.State != manifest.Finished || m.Reason != manifest.Crash || len(m.Files) != 2 {
		t.Errorf("%v, %s", err, text)
	}

	away.Store(false)
	p = startServer(t, environ...)
	p.eventually("told of its begin and its end", func() bool { return told.Load() == 2 })
	p.signal(syscall.SIGTERM)
	p.exit(10 * time.Second)
	if strings.Contains(p.out.String(), "are recorded") {
		t.Errorf("it says that it records:\n%s", p.out.String())
	}
}

// What can't work is found before anybody is recorded.
func TestDeliveryRefused(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ variable, want string }{
		{"SKILLSAGE_RECORDING_EXEC=/no/such/program", "recording.exec: "},
		{"SKILLSAGE_RECORDING_UPLOAD_URL=file://" + dir + "/bucket", "recording.upload_url: " + dir + "/bucket is inside of recording.dir"},
	} {
		p := startProcess(t, []string{"PORT=0", "SKILLSAGE_RECORDING_MODE=always", "SKILLSAGE_RECORDING_DIR=" + dir, c.variable})
		if code := p.exit(10 * time.Second); code != exitFailed || !strings.Contains(p.out.String(), c.want) {
			t.Errorf("exit status %d:\n%s", code, p.out.String())
		}
	}
	// But where nothing is to be recorded, calls matter more.
	if err := os.MkdirAll(filepath.Join(dir, "iv", "20261126T105316Z-5f3c9a2b"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := startServer(t, "SKILLSAGE_RECORDING_DIR="+dir, "SKILLSAGE_RECORDING_EXEC=/no/such/program", "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_ADMIN_LISTEN=")
	p.eventually("told so", func() bool { return strings.Contains(p.out.String(), "nothing follows earlier recordings") })
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != exitOK {
		t.Errorf("exit status %d:\n%s", code, p.out.String())
	}
}
