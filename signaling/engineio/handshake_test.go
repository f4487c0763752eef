package engineio

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOpenPacket(t *testing.T) {
	opts := Options{PingInterval: 1500 * time.Millisecond, PingTimeout: 700 * time.Millisecond, MaxPayload: 4321}
	f := serve(t, opts, nil)
	status, body, header := f.do("GET", "EIO=4&transport=polling", "")
	if status != 200 || header.Get("Content-Type") != "text/plain; charset=UTF-8" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("answer %d %v", status, header)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body[1:]), &members); err != nil || len(members) != 5 {
		t.Errorf("open packet %s: %v", body, err)
	}
	o := parseOpen(t, body)
	if !slices.Equal(o.Upgrades, []string{"websocket"}) || o.PingInterval != 1500 || o.PingTimeout != 700 || o.MaxPayload != 4321 || len(o.SID) < 20 {
		t.Errorf("open packet %s", body)
	}

	ws := f.websocket("EIO=4&transport=websocket")
	_, packet, err := ws.ReadMessage()
	if err != nil || !strings.Contains(string(packet), `"upgrades":[]`) {
		t.Errorf("open packet %s, %v; upgrades must be an empty array", packet, err)
	}
	if other := parseOpen(t, string(packet)); other.SID == o.SID {
		t.Error("two sessions with one id")
	}

	f = serve(t, Options{DisableUpgrades: true}, nil)
	if _, body, _ := f.do("GET", "EIO=4&transport=polling", ""); !strings.Contains(body, `"upgrades":[]`) {
		t.Errorf("open packet %s with upgrades disabled", body)
	}
}

func TestErrorCodes(t *testing.T) {
	f := serve(t, Options{
		AllowRequest: func(r *http.Request) error {
			if text, ok := strings.CutPrefix(r.URL.Query().Get("refuse"), "with:"); ok {
				return errors.New(text)
			}
			return nil
		},
		CheckOrigin: func(origin string, _ *http.Request) bool { return origin == "https://good.example" },
	}, nil)
	live, _ := f.polling()
	upgraded, a := f.polling()
	f.upgrade(upgraded, a)

	for _, c := range []struct {
		name, method, query, origin string
		status                      int
		body                        string
	}{
		{"no transport", "GET", "EIO=4", "", 400, `{"code":0,"message":"Transport unknown"}`},
		{"unknown transport", "GET", "EIO=4&transport=abc", "", 400, `{"code":0,"message":"Transport unknown"}`},
		{"inherited name", "GET", "EIO=4&transport=constructor&sid=__proto__", "", 400, `{"code":0,"message":"Transport unknown"}`},
		{"unknown session", "GET", "EIO=4&transport=polling&sid=__proto__", "", 400, `{"code":1,"message":"Session ID unknown"}`},
		{"unknown session, POST", "POST", "EIO=4&transport=polling&sid=abc", "", 400, `{"code":1,"message":"Session ID unknown"}`},
		{"other transport", "GET", live[:len("EIO=4&transport=")] + "websocket" + live[len("EIO=4&transport=polling"):], "", 400, `{"code":3,"message":"Bad request"}`},
		{"polling after the upgrade", "GET", upgraded, "", 400, `{"code":3,"message":"Bad request"}`},
		{"POST after the upgrade", "POST", upgraded, "", 400, `{"code":3,"message":"Bad request"}`},
		{"handshake by POST", "POST", "EIO=4&transport=polling", "", 400, `{"code":2,"message":"Bad handshake method"}`},
		{"method before version", "PUT", "EIO=3&transport=polling", "", 400, `{"code":2,"message":"Bad handshake method"}`},
		{"websocket without upgrade", "GET", "EIO=4&transport=websocket", "", 400, `{"code":3,"message":"Bad request"}`},
		{"refused", "GET", "EIO=4&transport=polling&refuse=with:", "", 403, `{"code":4,"message":"Forbidden"}`},
		{"refused with a text", "GET", "EIO=4&transport=polling&refuse=with:no+entry", "", 403, `{"code":4,"message":"no entry"}`},
		{"hook before version", "GET", "EIO=3&transport=polling&refuse=with:", "", 403, `{"code":4,"message":"Forbidden"}`},
		{"version 3", "GET", "EIO=3&transport=polling", "", 400, `{"code":5,"message":"Unsupported protocol version"}`},
		{"no version", "GET", "transport=polling", "", 400, `{"code":5,"message":"Unsupported protocol version"}`},
		{"method", "PUT", live, "", 405, `{"code":3,"message":"Bad request: method not allowed"}`},
		{"long query", "GET", "EIO=4&transport=polling&x=" + strings.Repeat("x", maxQuery), "", 400, `{"code":3,"message":"Bad request: query string too long"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body, header := f.do(c.method, c.query, "")
			if status != c.status || body != c.body || header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s %v, want %d %s", status, body, header, c.status, c.body)
			}
			if header.Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no CORS headers on an error: a browser would hide it")
			}
		})
	}

	for _, c := range []struct {
		name, query, origin string
		status              int
		body                string
	}{
		{"version 3", "EIO=3&transport=websocket", "", 400, `"code":5,`},
		{"unknown session", "EIO=4&transport=websocket&sid=abc", "", 400, `"code":1,`},
		{"transport", "EIO=4&transport=polling", "", 400, `"code":3,`},
		{"refused", "EIO=4&transport=websocket&refuse=with:", "", 403, `"code":4,`},
		{"origin", "EIO=4&transport=websocket", "https://good.example.evil", 403, `"code":4,`},
		{"origin of an upgrade", strings.Replace(live, "polling", "websocket", 1), "https://evil.example", 403, `"code":4,`},
	} {
		t.Run("websocket: "+c.name, func(t *testing.T) {
			header := http.Header{}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			_, res, err := f.dial(c.query, header)
			if err == nil || res == nil {
				t.Fatalf("dial: %v", err)
			}
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != c.status || !strings.Contains(string(body), c.body) {
				t.Errorf("%d %s, want %d with %s", res.StatusCode, body, c.status, c.body)
			}
		})
	}
	refused := f.Stats().Refused
	for name, want := range map[string]uint64{"unknown transport": 3, "unknown session": 3, "handshake method": 2, "forbidden": 4, "protocol version": 3, "origin": 2} {
		if refused[name] != want {
			t.Errorf("Refused[%q] = %d, want %d", name, refused[name], want)
		}
	}
	ws, _, err := f.dial("EIO=4&transport=websocket", http.Header{"Origin": {"https://good.example"}})
	if err != nil {
		t.Fatalf("allowed origin refused: %v", err)
	}
	ws.Close()
}

func TestOriginControls(t *testing.T) {
	if !hasControls("https://a\x01") || !hasControls("\x7f") || hasControls("https://a.example\t") {
		t.Error("control characters misjudged")
	}
}

func TestPath(t *testing.T) {
	f := serve(t, Options{}, nil)
	g := serve(t, Options{OptionalSlash: true}, nil)
	for _, c := range []struct {
		f      *fixture
		path   string
		status int
	}{{f, "/engine.io/", 200}, {f, "/engine.io/xyz", 200}, {f, "/engine.io", 404}, {f, "/other/", 404}, {g, "/engine.io", 200}, {g, "/engine.iox", 404}} {
		res, err := http.Get(c.f.http.URL + c.path + "?EIO=4&transport=polling")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.path, res.StatusCode, c.status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestHandshakeIsKept(t *testing.T) {
	f := serve(t, Options{}, nil)
	f.do("GET", "EIO=4&transport=polling&token=a%20b&x=1&x=2", "", "User-Agent", "ua", "Authorization", "Bearer t", "Cookie", "c=1", "Origin", "https://o.example", "X-Other", "o")
	s := f.session()
	if q := s.Query(); q.Get("token") != "a b" || len(q["x"]) != 2 || q.Get("EIO") != "4" {
		t.Errorf("query %v", q)
	}
	for name, want := range map[string]string{"user-agent": "ua", "Authorization": "Bearer t", "Cookie": "c=1", "Origin": "https://o.example", "Host": strings.TrimPrefix(f.http.URL, "http://"), "X-Other": ""} {
		if got := s.Header(name); got != want {
			t.Errorf("Header(%q) = %q, want %q", name, got, want)
		}
	}
	if !s.RemoteAddr().IsLoopback() || s.Transport() != "polling" || len(s.ID()) != 20 {
		t.Errorf("address %v, transport %q, id %q", s.RemoteAddr(), s.Transport(), s.ID())
	}
}

func TestCORS(t *testing.T) {
	list := serve(t, Options{CORS: CORS{Origins: []string{"https://a.example"}, Credentials: true}}, nil)
	anyone := serve(t, Options{CORS: CORS{Origins: []string{"*"}, Credentials: true}}, nil)
	none := serve(t, Options{CORS: CORS{Origins: []string{}}}, nil)

	_, _, h := list.do("GET", "EIO=4&transport=polling", "", "Origin", "https://a.example")
	if h.Get("Access-Control-Allow-Origin") != "https://a.example" || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
		t.Errorf("listed origin: %v", h)
	}
	for _, origin := range []string{"https://a.example.evil", "https://b.example", "null", "http://a.example"} {
		_, _, h = list.do("GET", "EIO=4&transport=polling", "", "Origin", origin)
		if h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Vary") != "Origin" {
			t.Errorf("%s: %v", origin, h)
		}
	}
	_, _, h = anyone.do("GET", "EIO=4&transport=polling", "", "Origin", "https://x.example")
	if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any origin: %v", h)
	}
	_, _, h = none.do("GET", "EIO=4&transport=polling", "", "Origin", "https://x.example")
	if h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("no origin: %v", h)
	}

	// A preflight is answered before anything else is looked at.
	status, body, h := list.do("OPTIONS", "sid=unknown", "", "Origin", "https://a.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-one, x-two")
	if status != 204 || body != "" || h.Get("Access-Control-Allow-Methods") != "GET,HEAD,PUT,PATCH,POST,DELETE" ||
		h.Get("Access-Control-Allow-Headers") != "x-one, x-two" || h.Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Errorf("preflight: %d %q %v", status, body, h)
	}

	// Without a hook, upgrades follow CORS, and the same host is always allowed.
	host := strings.TrimPrefix(none.http.URL, "http://")
	for _, c := range []struct {
		f      *fixture
		origin string
		ok     bool
	}{{list, "https://a.example", true}, {list, "https://b.example", false}, {anyone, "https://x.example", true},
		{none, "https://x.example", false}, {none, "http://" + host, true}, {none, "null", false}, {none, "", true}} {
		header := http.Header{}
		if c.origin != "" {
			header.Set("Origin", c.origin)
		}
		ws, _, err := c.f.dial("EIO=4&transport=websocket", header)
		if (err == nil) != c.ok {
			t.Errorf("upgrade with origin %q: %v, want allowed %v", c.origin, err, c.ok)
		}
		if err == nil {
			ws.Close()
		}
	}
}

func TestSessionCaps(t *testing.T) {
	f := serve(t, Options{MaxSessions: 3, MaxSessionsPerAddress: 2, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, nil)
	from := func(addr string) (int, string) {
		status, body, _ := f.do("GET", "EIO=4&transport=polling", "", "X-Forwarded-For", addr)
		return status, body
	}
	_, first := from("192.0.2.1")
	for _, c := range []struct {
		addr   string
		status int
	}{{"192.0.2.1", 200}, {"192.0.2.1", 429}, {"192.0.2.2", 200}, {"192.0.2.3", 503}} {
		if status, body := from(c.addr); status != c.status {
			t.Errorf("%s: %d %s, want %d", c.addr, status, body, c.status)
		}
	}
	// A session that ends frees its places.
	f.post("EIO=4&transport=polling&sid="+parseOpen(t, first).SID, "1", 200)
	f.gone("EIO=4&transport=polling&sid=" + parseOpen(t, first).SID)
	eventually(t, "the place is free", func() bool { status, _ := from("192.0.2.1"); return status == 200 })
	if n := f.Stats().Sessions; n != 3 {
		t.Errorf("%d sessions, want 3", n)
	}
}

func TestClientAddr(t *testing.T) {
	s := NewServer(Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}, nil)
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.9:1234", "203.0.113.5", "192.0.2.9"}, // no proxy of ours: not believed
		{"10.0.0.1:1234", "203.0.113.5", "203.0.113.5"},
		{"10.0.0.1:1234", "198.51.100.1, 203.0.113.5, 10.2.2.2", "203.0.113.5"},
		{"10.0.0.1:1234", "", "10.0.0.1"},
		{"10.0.0.1:1234", "198.51.100.1, nonsense, 10.9.9.9", "10.9.9.9"},
		{"[fd00::1%eth0]:1", "[2001:db8::7]:443", "2001:db8::7"},
		{"[::ffff:10.0.0.1]:5", "203.0.113.5:99", "203.0.113.5"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{}}
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := s.clientAddr(r).String(); got != c.want {
			t.Errorf("%s, %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
	if a, b := addressKey(netip.MustParseAddr("2001:db8::1")), addressKey(netip.MustParseAddr("2001:db8::ffff:1")); a != b {
		t.Errorf("one /64, two keys: %v %v", a, b)
	}
}
