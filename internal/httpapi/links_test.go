package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skillsage/recording/manifest"
)

// linkBody is the answer to a request for a link.
type linkBody struct {
	Path, URL string
	Expires   time.Time
}

func TestALinkShowsOneRecordingForATime(t *testing.T) {
	h := newShelf(t)
	f, other := h.add(t, "secret-room", nil), h.add(t, "other", nil)
	w := h.do("POST", "/api/recordings/"+f.ID()+"/links", "{}")
	var link linkBody
	if err := json.Unmarshal(w.Body.Bytes(), &link); err != nil || link.URL != "https://room.example"+link.Path || !strings.HasPrefix(link.Path, watchPath) || !link.Expires.Equal(h.clock.Add(24*time.Hour)) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	page := ask2(h.public, link.Path)
	if page.Code != 200 || !strings.Contains(page.Body.String(), "player") {
		t.Errorf("%d %s", page.Code, page.Body)
	}
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"} {
		for _, path := range []string{"", "/manifest.json", "/files/candidate-1.webm"} {
			if w := ask2(h.public, link.Path+path); w.Code != 200 || w.Header().Get(name) != want {
				t.Errorf("%s: %d %s: %q", path, w.Code, name, w.Header().Get(name))
			}
		}
	}
	if csp := page.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'; script-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		t.Error(csp)
	}
	// Who has the link to a recording can't enter its interview, and learns nothing of the server's folders.
	text := ask2(h.public, link.Path+"/manifest.json").Body.String()
	var m manifest.Manifest
	if err := json.Unmarshal([]byte(text), &m); err != nil || m.ID != f.ID() || len(m.Events) != 2 || strings.Contains(text, "secret-room") || strings.Contains(text, "/var/lib") {
		t.Errorf("%v %s", err, text)
	}
	if w := ask(h.public, "http://room.example"+link.Path+"/files/candidate-1.webm", "Range", "bytes=5-6"); w.Code != 206 || w.Body.String() != "56" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask2(h.public, watchPath+"assets/player-1a.js"); w.Code != 200 || w.Body.String() != "play()" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, path := range []string{watchPath + "assets/", watchPath + "assets/../index.html", watchPath + "assets/nothing.js", watchPath + "assets"} {
		if w := ask2(h.public, path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	refused(t, "what is not there", ask2(h.public, link.Path+"/interview.json"), 404, "not-found")

	// Neither another recording, nor a longer time, nor another signature.
	parts := strings.Split(strings.TrimPrefix(link.Path, watchPath), ".")
	long := fmt.Sprint(h.clock.Add(25 * time.Hour).Unix())
	for what, bad := range map[string]string{
		"another recording": other.ID() + "." + parts[1] + "." + parts[2],
		"a longer time":     parts[0] + "." + long + "." + parts[2],
		"no signature":      parts[0] + "." + parts[1] + ".",
		"two parts":         parts[0] + "." + parts[1],
		"four parts":        strings.Join(parts, ".") + ".",
		"a cut signature":   parts[0] + "." + parts[1] + "." + parts[2][:42],
		"another signature": parts[0] + "." + parts[1] + "." + flip(parts[2]),
		"a sign":            parts[0] + ".+" + parts[1] + "." + parts[2],
		"other case":        strings.ToUpper(parts[0]) + "." + parts[1] + "." + parts[2],
		"nothing":           "x",
		"a long one":        strings.Join(parts, ".") + strings.Repeat("A", 4096),
		"a path":            "..",
	} {
		if w := ask2(h.public, watchPath+bad); w.Code != 404 || !strings.Contains(w.Body.String(), "player") {
			t.Errorf("%s: the page: %d %s", what, w.Code, w.Body)
		}
		for _, path := range []string{"/manifest.json", "/files/candidate-1.webm"} {
			refused(t, what, ask2(h.public, watchPath+bad+path), 404, "bad-link")
		}
	}
	h.clock = h.clock.Add(24*time.Hour - time.Second)
	if w := ask2(h.public, link.Path+"/manifest.json"); w.Code != 200 {
		t.Errorf("in its last second: %d", w.Code)
	}
	h.clock = h.clock.Add(time.Second)
	if w := ask2(h.public, link.Path); w.Code != 410 {
		t.Errorf("the page of an expired link: %d", w.Code)
	}
	for _, path := range []string{"/manifest.json", "/files/candidate-1.webm"} {
		refused(t, path, ask2(h.public, link.Path+path), 410, "expired")
	}
}

// flip changes the first character of a signature.
func flip(signature string) string {
	first := "A"
	if signature[0] == 'A' {
		first = "B"
	}
	return first + signature[1:]
}

func TestTheTimeOfALinkIsBounded(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "a", nil)
	path := "/api/recordings/" + f.ID() + "/links"
	for _, ttl := range []string{"1m", "30m", "720h"} {
		var link linkBody
		w := h.do("POST", path, `{"ttl": "`+ttl+`"}`)
		want, _ := time.ParseDuration(ttl)
		if err := json.Unmarshal(w.Body.Bytes(), &link); err != nil || !link.Expires.Equal(h.clock.Add(want)) {
			t.Errorf("%s: %d %s", ttl, w.Code, w.Body)
		}
		if w := ask2(h.public, link.Path); w.Code != 200 {
			t.Errorf("%s: %d", ttl, w.Code)
		}
	}
	for _, ttl := range []string{"59s", "721h", "-1h", "0s", "1", "ever"} {
		refused(t, ttl, h.do("POST", path, `{"ttl": "`+ttl+`"}`), 400, "bad-request")
	}
	refused(t, "a number", h.do("POST", path, `{"ttl": 5}`), 400, "bad-request")
	refused(t, "no recording", h.do("POST", "/api/recordings/20261126T105316Z-ffffffff/links", "{}"), 404, "no-recording")
}

// A program with the secret makes links by the documented recipe; not even it makes one that is good for ever.
func TestLinksMadeElsewhere(t *testing.T) {
	h := newShelf(t)
	f := h.add(t, "a", nil)
	secret := []byte("a secret of the platform")
	h.o.Links.key = secret
	for after, good := range map[time.Duration]bool{time.Hour: true, MaxLinkTTL: true, 400 * 24 * time.Hour: false} {
		expiry := fmt.Sprint(h.clock.Add(after).Unix())
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "watch\n%s\n%s\n", f.ID(), expiry)
		link := f.ID() + "." + expiry + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		if w := ask2(h.public, watchPath+link); (w.Code == 200) != good {
			t.Errorf("%v: %d", after, w.Code)
		}
	}
	if id, err := h.o.Links.recording(f.ID() + ".99999999999999999999." + h.o.Links.sign(f.ID(), "99999999999999999999")); err == nil {
		t.Errorf("a time that is no number: %s", id)
	}
}

func TestTheSecretOutlivesTheServer(t *testing.T) {
	dir := t.TempDir()
	var all [8][]byte
	var wait sync.WaitGroup
	for i := range all { // several servers start at the same time
		wait.Go(func() {
			var err error
			if all[i], err = OpenLinkSecret(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, secret := range all {
		if len(secret) != secretSize || string(secret) != string(all[0]) {
			t.Errorf("%x and %x", secret, all[0])
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if info, err := os.Stat(filepath.Join(dir, secretName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, secretName), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if secret, err := OpenLinkSecret(dir); err == nil {
		t.Errorf("a damaged secret was taken: %x", secret)
	}
	if _, err := OpenLinkSecret(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
