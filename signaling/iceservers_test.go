package signaling

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio"
)

// startICE is a server that gives everybody credentials of their own.
func startICE(t *testing.T, o Options) *rig {
	t.Helper()
	r := start(t, o, nil)
	r.server.SetICEServers(time.Hour, func(member string, mode Mode) []ICEServer {
		return []ICEServer{{URLs: []string{"turn:turn.example:443?transport=udp"}, Username: "user-" + member, Credential: "secret-" + member}}
	})
	return r
}

func iceServersOf(id string) string {
	return `{"iceServers":[{"urls":["turn:turn.example:443?transport=udp"],"username":"user-` + id + `","credential":"secret-` + id + `"}],"ttl":3600}`
}

// Every joiner is told its own servers, after what the original server tells and before anything else, and again when
// it joins again; nobody hears of another's.
func TestJoinersAreToldICEServers(t *testing.T) {
	r := startICE(t, Options{})
	a := r.join("one", "recruiter")
	r.waitText(a, "ice-servers", iceServersOf(a.ID()))
	b := r.join("one", "candidate")
	r.waitText(b, "ice-servers", iceServersOf(b.ID()))
	r.rejoin(b, "one", "candidate")
	r.rejoin(b, "two", "candidate")
	r.fence("one", a, a)
	r.fence("two", b, b)
	want := append(append([]string(nil), welcome...), "ice-servers")
	r.wantNames("a", a, append(append([]string(nil), want...), "user-joined", "user-left")...)
	r.wantNames("b", b, append(append(append([]string(nil), want...), want...), want...)...)
}

func TestNobodyIsToldOfNoICEServers(t *testing.T) {
	r := start(t, Options{}, nil)
	r.server.SetICEServers(time.Hour, func(string, Mode) []ICEServer { return nil })
	r.wantNames("a joiner", r.join("one", "recruiter"), welcome...)
}

func ask(s *Server, method, query string, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, ICEServersPath+query, nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, request)
	return w
}

// Who is a member gets over HTTP what the event says, also while its connection is broken; nobody else gets credentials.
func TestServeICEServers(t *testing.T) {
	r := startICE(t, withGrace(time.Minute))
	member, visitor, left := r.join("one", "recruiter"), r.dial(), r.join("one", "candidate")
	if err := left.Disconnect(); err != nil {
		t.Fatal(err)
	}
	r.wait(member, "user-left")
	for name, query := range map[string]string{
		"without an id": "", "an empty one": "?id=", "anybody's": "?id=abcdefghijklmnopqrst",
		"of a socket in no room": "?id=" + visitor.ID(), "of one who has left": "?id=" + left.ID(), "of a room": "?id=one",
	} {
		w := ask(r.server, "GET", query)
		var refused struct{ Code, Message string }
		if err := json.Unmarshal(w.Body.Bytes(), &refused); w.Code != http.StatusForbidden || err != nil || refused.Code != "not-joined" || refused.Message == "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	check := func(name string) {
		t.Helper()
		w := ask(r.server, "GET", "?id="+member.ID())
		if w.Code != http.StatusOK || w.Body.String() != iceServersOf(member.ID())+"\n" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	check("a member")
	member.Abort()
	check("a member whose connection broke")
	if w := ask(r.server, "POST", "?id="+member.ID()); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", w.Code)
	}
	if w := ask(start(t, Options{}, nil).server, "GET", "?id="+member.ID()); w.Code != http.StatusForbidden {
		t.Errorf("a member of another server: %d", w.Code)
	}
	bare := start(t, Options{}, nil)
	if w := ask(bare.server, "GET", "?id="+bare.join("one", "recruiter").ID()); w.Code != http.StatusOK || w.Body.String() != `{"iceServers":[],"ttl":0}`+"\n" {
		t.Errorf("a server without any: %d %s", w.Code, w.Body)
	}
}

// A member gets the same for the asking; so it finds out, too, whether its connection is alive.
func TestMembersAskForICEServers(t *testing.T) {
	r := startICE(t, Options{})
	a := r.join("one", "recruiter")
	if got, want := r.call(a, "ice-servers", nil), `{"ok":true,`+iceServersOf(a.ID())[1:]; got != want {
		t.Errorf("%s", got)
	}
	if got := r.call(r.dial(), "ice-servers", nil); !strings.Contains(got, `"ok":false,"code":"not-joined"`) {
		t.Errorf("a socket in no room: %s", got)
	}
	bare := start(t, Options{}, nil)
	if got := bare.call(bare.join("one", "recruiter"), "ice-servers", nil); got != `{"ok":true,"iceServers":[],"ttl":0}` {
		t.Errorf("a server without any: %s", got)
	}
}

// The pages that may read it are those that may speak to the server.
func TestICEServersAreForTheSameOrigins(t *testing.T) {
	const page = "https://app.example"
	for _, c := range []struct {
		name    string
		origins []string
		want    string
	}{
		{"by default", nil, "*"},
		{"listed", []string{page}, page},
		{"not listed", []string{"https://other.example"}, ""},
		{"none", []string{}, ""},
	} {
		r := startICE(t, Options{SocketIO: socketio.Options{Engine: engineio.Options{CORS: engineio.CORS{Origins: c.origins}}}})
		for _, method := range []string{"GET", "OPTIONS"} {
			w := ask(r.server, method, "?id=x", "Origin", page, "Access-Control-Request-Method", "GET")
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != c.want {
				t.Errorf("%s, %s: %q", c.name, method, got)
			}
			if method == "OPTIONS" && c.want != "" && w.Code != http.StatusNoContent {
				t.Errorf("%s: preflight %d", c.name, w.Code)
			}
		}
	}
}

func TestMemberMode(t *testing.T) {
	r := start(t, Options{Mode: ModeRelay, RoomMode: RoomModeRecruiter}, &recorder{})
	candidate := r.join("one", "candidate")
	if mode, ok := r.server.MemberMode(candidate.ID()); mode != ModeRelay || !ok {
		t.Errorf("%q %v", mode, ok)
	}
	recruiter := r.dial()
	r.call(recruiter, "join-room", map[string]any{"interviewId": "one", "userRole": "recruiter", "mode": "p2p"})
	for _, id := range []string{candidate.ID(), recruiter.ID()} {
		if mode, ok := r.server.MemberMode(id); mode != ModeP2P || !ok {
			t.Errorf("%q %v", mode, ok)
		}
	}
	r.call(recruiter, "join-room", map[string]any{"interviewId": "two", "userRole": "recruiter"})
	if mode, ok := r.server.MemberMode(recruiter.ID()); mode != ModeRelay || !ok {
		t.Errorf("in another room: %q %v", mode, ok)
	}
	if err := candidate.Disconnect(); err != nil {
		t.Fatal(err)
	}
	r.eventually("nobody", func() bool {
		_, ok := r.server.MemberMode(candidate.ID())
		return !ok
	})
}
