package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"skillsage/network"
	"skillsage/network/front"
	"skillsage/network/icetcp"
	"skillsage/network/traffic"
	"skillsage/network/turn"
	"skillsage/recording"
	"skillsage/recording/command"
	"skillsage/recording/delivery"
	"skillsage/recording/webhook"
	"skillsage/sfu"
	"skillsage/signaling"
	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio"
)

var built = fstest.MapFS{
	"index.html":         {Data: []byte("<!doctype html><title>room</title>")},
	"assets/index-1a.js": {Data: []byte("start()")},
}

// get asks a handler and returns the answer with its body.
func get(t *testing.T, h http.Handler, method, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	resp := w.Result()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestRoutes(t *testing.T) {
	io := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("socket " + r.URL.Path)) })
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/", 200, "<title>room</title>"},
		{"GET", "/?interview=a&role=recruiter", 200, "<title>room</title>"},
		{"HEAD", "/", 200, ""},
		{"POST", "/", 405, ""},
		{"GET", "/assets/index-1a.js", 200, "start()"},
		{"GET", "/assets/", 404, ""},
		{"GET", "/assets", 404, ""},
		{"GET", "/nothing", 404, ""},
		{"GET", "/../../etc/passwd", 404, ""},
		{"GET", "/healthz", 200, `{"status":"ok"}`},
		{"POST", "/healthz", 405, ""},
		{"POST", "/socket.io/?EIO=4", 200, "socket /socket.io/"},
		{"OPTIONS", "/socket.io", 200, "socket /socket.io"},
		{"GET", "/ice-servers?id=a", 200, "socket /ice-servers"},
		{"OPTIONS", "/ice-servers", 200, "socket /ice-servers"},
		{"GET", "/ice-servers/", 404, ""},
	} {
		resp, body := get(t, New(io, &Health{}, built, nil, nil), c.method, c.path)
		if resp.StatusCode != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s %s: %d %q", c.method, c.path, resp.StatusCode, body)
		}
	}
}

func TestHTTPSOnly(t *testing.T) {
	h := HTTPSOnly(New(http.NotFoundHandler(), &Health{}, built, nil, nil))
	for _, c := range []struct {
		method, url string // https: with TLS
		status      int
		location    string
	}{
		{"GET", "https://room.example/", 200, ""},
		{"GET", "http://room.example/?interview=a%20b", 308, "https://room.example/?interview=a%20b"},
		{"POST", "http://room.example:5000/socket.io/?EIO=4", 308, "https://room.example:5000/socket.io/?EIO=4"},
		{"GET", "http://[2001:db8::1]:5000//evil.example/", 308, "https://[2001:db8::1]:5000//evil.example/"},
		{"GET", "http://room.example/healthz", 200, ""},
		{"OPTIONS", "*", 400, ""},
	} {
		resp, _ := get(t, h, c.method, c.url)
		if resp.StatusCode != c.status || resp.Header.Get("Location") != c.location {
			t.Errorf("%s %s: %d %q", c.method, c.url, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	for _, host := range []string{"", "a b", "room.example/x", "x@room.example", "room.example\r\nSet-Cookie: a=b"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 400 {
			t.Errorf("%q: %d %q", host, w.Code, w.Header())
		}
	}
}

func TestPageWithoutABuild(t *testing.T) {
	h := New(http.NotFoundHandler(), &Health{}, nil, nil, nil)
	if resp, body := get(t, h, "GET", "/"); resp.StatusCode != 200 || !strings.Contains(body, "make web") {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if resp, _ := get(t, h, "GET", "/index.js"); resp.StatusCode != 404 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestHeaders(t *testing.T) {
	h := New(http.NotFoundHandler(), &Health{}, built, nil, nil)
	resp, _ := get(t, h, "GET", "http://room.example:5000/")
	for name, want := range map[string]string{
		"Content-Security-Policy": "connect-src 'self' ws://room.example:5000 wss://room.example:5000;",
		"Permissions-Policy":      "camera=(self), microphone=(self), display-capture=(self)",
		"X-Content-Type-Options":  "nosniff",
		"Cache-Control":           "no-cache",
		"Content-Type":            "text/html",
	} {
		if got := resp.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	resp, _ = get(t, h, "GET", "/assets/index-1a.js")
	if got := resp.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("Cache-Control: %q", got)
	}
}

// A Host made up by a client must not add a directive.
func TestHostileHost(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "a; script-src *"
	w := httptest.NewRecorder()
	New(http.NotFoundHandler(), &Health{}, built, nil, nil).ServeHTTP(w, r)
	if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "*") || !strings.Contains(csp, "connect-src 'self';") {
		t.Errorf("%q", csp)
	}
}

func TestHealthTurnsWhenDraining(t *testing.T) {
	var health Health
	h := New(http.NotFoundHandler(), &health, nil, nil, nil)
	health.Drain()
	if resp, body := get(t, h, "GET", "/healthz"); resp.StatusCode != 503 || !strings.Contains(body, `"draining"`) {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

type fixed struct {
	signaling signaling.Stats
	front     front.Stats
	relay     sfu.Stats
	media     network.Stats
	turn      turn.Stats
	tcp       icetcp.Stats
	recording recording.Stats
	totals    sfu.Totals
	rooms     []sfu.RoomStats
	err       error
}

type fixedSignaling fixed

func (f fixedSignaling) Stats() signaling.Stats { return f.signaling }

type fixedRelay fixed

func (f fixedRelay) Stats() sfu.Stats { return f.relay }

func (f fixedRelay) Totals() sfu.Totals { return f.totals }

func (f fixedRelay) Snapshot(context.Context) ([]sfu.RoomStats, error) { return f.rooms, f.err }

type fixedFront fixed

func (f fixedFront) Stats() front.Stats { return f.front }

type fixedMedia fixed

func (f fixedMedia) Stats() network.Stats { return f.media }

type fixedTURN fixed

func (f fixedTURN) Stats() turn.Stats { return f.turn }

type fixedRecording fixed

func (f fixedRecording) Stats() recording.Stats { return f.recording }

type fixedTCP fixed

func (f fixedTCP) Stats() icetcp.Stats { return f.tcp }

func TestMetrics(t *testing.T) {
	f := fixed{
		signaling: signaling.Stats{Rooms: 2, Joined: 7, Refused: map[string]uint64{"room-full": 3}, SocketIO: socketio.Stats{
			Sockets: 5, Engine: engineio.Stats{Closed: map[engineio.Reason]uint64{"ping timeout": 6}},
		}},
		front:     front.Stats{Pending: 13, Accepted: 14, Delivered: map[string]uint64{"https": 15}, Closed: map[string]uint64{"timeout": 16}},
		relay:     sfu.Stats{Legs: 4, LegsOpened: 9, ICERestarts: 13, MediaTroubles: [len(sfu.MediaReasons)]uint64{2: 14}},
		media:     network.Stats{Dropped: 8, TURN: 13},
		tcp:       icetcp.Stats{Connections: 17, Queued: 18, Closed: map[string]uint64{"stalled": 19}},
		recording: recording.Stats{Active: 21, Started: 22, SyncTime: 1500 * time.Millisecond, Free: 23},
		turn:      turn.Stats{Allocations: 14, BytesSent: 15, Refused: map[string]uint64{"quota": 16}},
	}
	f.tcp.Dropped[traffic.Video] = 20
	f.totals.Media[sfu.ClassScreen][sfu.KeyFrameRequestsSent] = 11
	f.totals.Media[sfu.ClassAudio][sfu.SentRetransmitted] = 12
	f.totals.Distributions[sfu.ReceivedLoss] = sfu.Histogram{Buckets: [14]uint64{3, 0, 1, 0, 0, 0, 0, 0, 1}, Count: 5, Sum: 0.75}
	f.totals.Distributions[sfu.SetUp] = sfu.Histogram{Buckets: [14]uint64{0, 0, 0, 0, 0, 2}, Count: 2, Sum: 0.25}
	f.totals.Connected = map[sfu.Path]int{{Transport: "udp", Local: "host", Remote: "prflx"}: 2, {Transport: "udp", Local: "srflx", Remote: "prflx"}: 1, {Transport: "tcp", Local: "host", Remote: "host"}: 1}
	_, body := get(t, NewAdmin(AdminOptions{Health: &Health{}, Signaling: fixedSignaling(f), Front: fixedFront(f), Relay: fixedRelay(f), Media: fixedMedia(f), TCPMedia: fixedTCP(f), TURN: fixedTURN(f), Recording: fixedRecording(f), Delivery: fixedDelivery{}}), "GET", "http://127.0.0.1:9090/metrics")
	for _, want := range []string{
		"\nskillsage_rooms 2\n", "\nskillsage_joins_total 7\n", "\nskillsage_events_refused_total{code=\"room-full\"} 3\n",
		"\nskillsage_tcp_connections_pending 13\n", "\nskillsage_tcp_connections_accepted_total 14\n",
		"\nskillsage_tcp_connections_total{protocol=\"https\"} 15\n", "\nskillsage_tcp_connections_closed_total{reason=\"timeout\"} 16\n",
		"\nskillsage_legs 4\n", "\nskillsage_legs_opened_total 9\n", "\ngo_goroutines ",
		"\nskillsage_ice_restarts_total 13\n", "\nskillsage_media_missing_total{reason=\"lost\",state=\"no-connection\"} 14\n",
		"\nskillsage_media_missing_total{reason=\"never\",state=\"no-media\"} 0\n",
		"\nskillsage_sockets 5\n", "\nskillsage_udp_packets_dropped_total 8\n", "\nskillsage_sessions_closed_total{reason=\"ping timeout\"} 6\n",
		"\nskillsage_key_frame_requests_sent_total{media=\"screen\"} 11\n", "\nskillsage_key_frame_requests_sent_total{media=\"camera\"} 0\n",
		"\nskillsage_rtp_retransmitted_packets_total{media=\"audio\"} 12\n",
		"\nskillsage_leg_loss_ratio_bucket{direction=\"received\",le=\"0\"} 3\n", "\nskillsage_leg_loss_ratio_bucket{direction=\"received\",le=\"0.01\"} 4\n",
		"\nskillsage_leg_loss_ratio_bucket{direction=\"received\",le=\"0.5\"} 4\n", "\nskillsage_leg_loss_ratio_bucket{direction=\"received\",le=\"+Inf\"} 5\n",
		"\nskillsage_leg_loss_ratio_sum{direction=\"received\"} 0.75\n", "\nskillsage_leg_setup_seconds_bucket{le=\"0.15\"} 2\n",
		"\nskillsage_connected_legs{candidate_type=\"prflx\",transport=\"udp\"} 3\n", "\nskillsage_connected_legs{candidate_type=\"host\",transport=\"tcp\"} 1\n",
		"\nskillsage_connected_legs{candidate_type=\"host\",transport=\"udp\"} 0\n",
		"\nskillsage_udp_packets_turn_total 13\n", "\nskillsage_turn_allocations 14\n", "\nskillsage_turn_bytes_sent_total 15\n", "\nskillsage_turn_refused_total{reason=\"quota\"} 16\n",
		"\nskillsage_recordings 21\n", "\nskillsage_recordings_started_total 22\n", "\nskillsage_recording_sync_seconds_total 1.5\n", "\nskillsage_recording_free_bytes 23\n",
		"\nskillsage_recordings_waiting 24\n", "\nskillsage_recording_webhooks_queued 25\n", "\nskillsage_recording_program_failures_total 26\n", "\nskillsage_recordings_removed_age_total 27\n",
		"\nskillsage_ice_tcp_connections 17\n", "\nskillsage_ice_tcp_queued_bytes 18\n", "\nskillsage_ice_tcp_closed_total{reason=\"stalled\"} 19\n",
		"\nskillsage_ice_tcp_packets_dropped_total{kind=\"video\"} 20\n", "\nskillsage_ice_tcp_packets_dropped_total{kind=\"audio\"} 0\n",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
	_, body = get(t, NewAdmin(AdminOptions{Health: &Health{}, Signaling: fixedSignaling(f), Front: fixedFront(f)}), "GET", "http://127.0.0.1:9090/metrics")
	if strings.Contains(body, "skillsage_legs ") || strings.Contains(body, "skillsage_turn") || strings.Contains(body, "skillsage_ice_tcp") || strings.Contains(body, "skillsage_recording") {
		t.Error("metrics of a relay or a TURN server that is not there")
	}
}

type fixedDelivery struct{}

func (fixedDelivery) Stats() delivery.Stats {
	return delivery.Stats{Waiting: 24, Webhooks: webhook.Stats{Queued: 25}, Command: command.Stats{Failed: 26}, Expired: 27}
}

// The manual speaks of metrics that exist.
func TestManualNamesRealMetrics(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	tcp := fixedFront{front: front.Stats{Delivered: map[string]uint64{"http": 0}, Closed: map[string]uint64{"gone": 0}}}
	_, body := get(t, NewAdmin(AdminOptions{Health: &Health{}, Signaling: fixedSignaling{}, Front: tcp, Relay: fixedRelay{}, Media: fixedMedia{}, TCPMedia: fixedTCP{tcp: icetcp.Stats{Closed: map[string]uint64{"gone": 0}}}, TURN: fixedTURN{turn: turn.Stats{Refused: map[string]uint64{"quota": 0}}}, Recording: fixedRecording{}, Delivery: fixedDelivery{}}), "GET", "http://127.0.0.1:9090/metrics")
	exist := make(map[string]bool)
	for _, line := range strings.Split(body, "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE skillsage_"); ok {
			exist[strings.Fields(name)[0]] = true
		}
	}
	table := regexp.MustCompile(`(?m)^\| metric \| meaning \|\n(?:\|.*\n)+`).FindString(string(manual))
	named := 0
	for _, row := range strings.Split(table, "\n") {
		cell, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, match := range regexp.MustCompile("`([a-z_]+)(\\{[a-z_, ]+\\})?`").FindAllStringSubmatch(cell, -1) {
			if named++; !exist[match[1]] && match[1] != "events_refused_total" && match[1] != "events_dropped_total" {
				t.Errorf("there is no metric %s", match[1])
			}
		}
	}
	for _, match := range regexp.MustCompile(`skillsage_([a-z_]+[a-z])`).FindAllStringSubmatch(string(manual), -1) {
		name := strings.TrimSuffix(strings.TrimSuffix(match[1], "_bucket"), "_count")
		if !exist[name] && name != "events_refused_total" {
			t.Errorf("there is no metric %s", name)
		}
	}
	if named < 40 {
		t.Errorf("only %d metrics are found in the manual", named)
	}
}
