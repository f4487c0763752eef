package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skillsage/sfu"
	"skillsage/sfu/media"
)

const token = "a-token-of-the-test"

// ask is a GET with headers in pairs.
func ask(h http.Handler, url string, headers ...string) *httptest.ResponseRecorder {
	return askContext(context.Background(), h, url, headers...)
}

func askContext(ctx context.Context, h http.Handler, url string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, "GET", url, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func admin(token string, f fixed) http.Handler {
	return NewAdmin(AdminOptions{Health: &Health{}, Signaling: fixedSignaling(f), Front: fixedFront(f), Relay: fixedRelay(f), Media: fixedMedia(f), Version: "v1", Token: token})
}

var adminPaths = []string{"/", "/rooms.json", "/metrics", "/style.css", "/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/symbol"}

// Without a token the names of this machine are let in, and no other that points to it (DNS rebinding).
func TestAdminWithoutAToken(t *testing.T) {
	h := admin("", fixed{})
	for _, host := range []string{"127.0.0.1:9090", "localhost:9090", "LOCALHOST", "[::1]:9090", "127.1.2.3"} {
		for _, path := range adminPaths {
			if w := ask(h, "http://"+host+path); w.Code != 200 {
				t.Errorf("%s%s: %d", host, path, w.Code)
			}
		}
	}
	for _, host := range []string{"evil.example:9090", "192.0.2.1:9090", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0:9090", ""} {
		for _, path := range adminPaths {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != 403 {
				t.Errorf("%q%s: %d", host, path, w.Code)
			}
		}
	}
	if w := ask(h, "http://evil.example/healthz"); w.Code != 200 {
		t.Errorf("/healthz: %d", w.Code)
	}
	if w := ask(h, "http://127.0.0.1/nothing"); w.Code != 404 {
		t.Errorf("/nothing: %d", w.Code)
	}
}

func TestAdminWithAToken(t *testing.T) {
	h := admin(token, fixed{})
	basic := func(password string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth("anybody", password)
		return r.Header.Get("Authorization")
	}
	for _, path := range adminPaths {
		for _, given := range []string{"Bearer " + token, "bearer " + token, basic(token)} {
			if w := ask(h, "http://metrics.example"+path, "Authorization", given); w.Code != 200 {
				t.Errorf("%s with %q: %d", path, given, w.Code)
			}
		}
		for _, given := range []string{"", "Bearer", "Bearer ", "Bearer " + token + "x", "Bearer " + token[1:], "Token " + token, token, basic(""), basic(token + " "), "Basic " + token} {
			w := ask(h, "http://127.0.0.1"+path, "Authorization", given)
			if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") || strings.Contains(w.Body.String(), token) {
				t.Errorf("%s with %q: %d %q", path, given, w.Code, w.Body)
			}
		}
	}
	if w := ask(h, "http://127.0.0.1/healthz"); w.Code != 200 {
		t.Errorf("/healthz: %d", w.Code)
	}
}

// Pages of other sites get nothing done in their visitor's name, who may follow a link all the same. The command line,
// which may hold the token, is never shown.
func TestAdminFromElsewhere(t *testing.T) {
	for _, h := range []http.Handler{admin("", fixed{}), admin(token, fixed{})} {
		for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200} {
			if w := ask(h, "http://localhost/metrics", "Authorization", "Bearer "+token, "Sec-Fetch-Site", site, "Sec-Fetch-Mode", "no-cors"); w.Code != want {
				t.Errorf("%s: %d", site, w.Code)
			}
		}
		w := ask(h, "http://localhost/", "Authorization", "Bearer "+token, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("a link: %d %v", w.Code, w.Header())
		}
		if w := ask(h, "http://localhost/debug/pprof/cmdline", "Authorization", "Bearer "+token); w.Code != 404 {
			t.Errorf("the command line: %d", w.Code)
		}
		r := httptest.NewRequest("POST", "http://localhost/rooms.json", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		post := httptest.NewRecorder()
		if h.ServeHTTP(post, r); post.Code != 405 {
			t.Errorf("POST: %d", post.Code)
		}
	}
}

func TestAdminOnThePublicListener(t *testing.T) {
	public := New(http.NotFoundHandler(), &Health{}, built, admin(token, fixed{}), nil)
	if w := ask(public, "http://room.example/admin"); w.Code != 301 || w.Header().Get("Location") != "/admin/" {
		t.Errorf("%d %q", w.Code, w.Header().Get("Location"))
	}
	for _, path := range adminPaths {
		if w := ask(public, "http://room.example/admin"+path); w.Code != 401 {
			t.Errorf("/admin%s without the token: %d", path, w.Code)
		}
		if w := ask(public, "http://room.example/admin"+path, "Authorization", "Bearer "+token); w.Code != 200 {
			t.Errorf("/admin%s: %d", path, w.Code)
		}
	}
	for _, h := range []http.Handler{public, New(http.NotFoundHandler(), &Health{}, built, nil, nil)} {
		for _, path := range []string{"/metrics", "/rooms.json", "/debug/pprof/", "/adminx"} {
			if w := ask(h, "http://room.example"+path, "Authorization", "Bearer "+token); w.Code != 404 {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
	}
	off := New(http.NotFoundHandler(), &Health{}, built, nil, nil)
	if w := ask(off, "http://room.example/admin/", "Authorization", "Bearer "+token); w.Code != 404 {
		t.Errorf("off: %d", w.Code)
	}
}

func roomsOfATest() []sfu.RoomStats {
	loss := 0.0123
	return []sfu.RoomStats{{ID: "<script>alert(1)</script>", Members: []sfu.MemberStats{
		{ID: "candidate-1", Role: "candidate", Legs: []sfu.LegStats{{
			Peer: "recruiter-1", State: sfu.LegConnected, Level: sfu.Fair, Transport: "udp", Local: "host", Remote: "srflx",
			RTT: 42.4, LossUp: &loss, BitrateUp: 1_250_000, BitrateDown: 64_000, NACKs: 9, NACKHits: 8, ConnectedMs: 61_000,
			Receives: []sfu.UpstreamStats{{MID: "1", Class: "camera", Codec: "vp8", Carrier: true}},
			Sends:    []sfu.FeedStats{{MID: "s0", Class: "audio", Source: "recruiter-1", Sending: true}},
		}}, Sources: []sfu.PublishedSource{{Class: "camera", Kind: "video", Codec: "vp8", Carrier: "recruiter-1", Viewers: 1, KeyFrames: 7,
			Layers: []media.LayerInfo{{Width: 1280, Height: 720, Bitrate: 1_250_000, Active: true}}}}},
		{ID: "recruiter-1", Role: "recruiter"},
	}}, {ID: "other", Members: []sfu.MemberStats{{ID: "lonely", Role: "candidate"}}}}
}

func TestDebugPage(t *testing.T) {
	h := admin("", fixed{rooms: roomsOfATest(), relay: sfu.Stats{Rooms: 2, Legs: 1}})
	w := ask(h, "http://localhost/")
	body := w.Body.String()
	for _, want := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;", "candid", "42 ms", "1.2 %", "1.25 Mbit/s", "64 kbit/s", "8 of 9", "host – srflx", "connected, fair", "1m1s", "1280×720", "lonely", "No connection",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
	if strings.Contains(body, "<script") || strings.Contains(body, "http-equiv") {
		t.Error("a room's name is markup, or the page refreshes by itself")
	}
	if one := ask(h, "http://localhost/?room=other&refresh=3").Body.String(); strings.Contains(one, "42 ms") || !strings.Contains(one, "lonely") || !strings.Contains(one, `<meta http-equiv="refresh" content="3">`) {
		t.Errorf("one room:\n%s", one)
	}
	if none := ask(h, "http://localhost/?room=nowhere&refresh=0"); none.Code != 200 || !strings.Contains(none.Body.String(), "There is no room nowhere") {
		t.Errorf("%d %s", none.Code, none.Body)
	}
}

func TestDebugPageOfManyRooms(t *testing.T) {
	many := make([]sfu.RoomStats, maxRoomsShown+7)
	body := ask(admin("", fixed{rooms: many}), "http://localhost/").Body.String()
	if n := strings.Count(body, `class="room"`); n != maxRoomsShown || !strings.Contains(body, "And 7 rooms more") {
		t.Errorf("%d rooms", n)
	}
}

func TestRoomsJSON(t *testing.T) {
	w := ask(admin("", fixed{rooms: roomsOfATest()}), "http://localhost/rooms.json")
	var got struct {
		Version string
		Rooms   []struct {
			ID      string
			Members []struct {
				Legs []struct {
					RTTMs  float64  `json:"rttMs"`
					LossUp *float64 `json:"lossUp"`
				}
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v %q", err, w.Body)
	}
	if got.Version != "v1" || len(got.Rooms) != 2 || got.Rooms[0].Members[0].Legs[0].RTTMs != 42.4 || *got.Rooms[0].Members[0].Legs[0].LossUp != 0.0123 {
		t.Errorf("%+v", got)
	}
	p2p := NewAdmin(AdminOptions{Health: &Health{}, Signaling: fixedSignaling{}, Front: fixedFront{}})
	if w := ask(p2p, "http://localhost/rooms.json"); w.Code != 200 || !strings.Contains(w.Body.String(), `"rooms":[]`) {
		t.Errorf("without a relay: %d %s", w.Code, w.Body)
	}
	if w := ask(p2p, "http://localhost/"); w.Code != 200 || !strings.Contains(w.Body.String(), "relays no media") {
		t.Errorf("without a relay: %d %s", w.Code, w.Body)
	}
	broken := admin("", fixed{err: errors.New("rooms do not answer")})
	for _, path := range []string{"/", "/rooms.json"} {
		if w := ask(broken, "http://localhost"+path); w.Code != 503 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// counting is a relay that counts how often its rooms are asked.
type counting struct {
	fixedRelay
	asked int
}

func (c *counting) Snapshot(context.Context) ([]sfu.RoomStats, error) {
	c.asked++
	return nil, nil
}

// However often somebody reloads, the rooms are asked once in a while.
func TestRoomsAreAskedSeldom(t *testing.T) {
	relay := &counting{}
	p := &debugPage{relay: relay}
	for range 50 {
		if _, err := p.snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.asked = p.asked.Add(-snapshotLife)
	if _, err := p.snapshot(t.Context()); err != nil || relay.asked != 2 {
		t.Errorf("asked %d times, %v", relay.asked, err)
	}
}
