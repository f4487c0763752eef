package signaling

import (
	"fmt"
	"strings"
	"testing"

	"skillsage/internal/testkit/sioclient"
)

func TestJoinTellsOthersThenJoiner(t *testing.T) {
	for _, transport := range []string{sioclient.WebSocket, sioclient.Polling, sioclient.Upgrade} {
		t.Run(transport, func(t *testing.T) {
			r := start(t, Options{}, nil)
			a := r.dial(sioclient.Options{Transport: transport})
			r.emit(a, "join-room", map[string]string{"interviewId": "iv", "userRole": "recruiter"})
			r.waitText(a, "room-users", fmt.Sprintf(`{"%s":{"userRole":"recruiter"}}`, a.ID()))
			r.waitText(a, "chat-history", `[]`)
			r.waitText(a, "code-state", `{"codeUpdates":{},"currentQuestionIndex":0}`)

			b := r.dial(sioclient.Options{Transport: transport})
			r.emit(b, "join-room", map[string]string{"interviewId": "iv", "userRole": "candidate"})
			r.waitText(a, "user-joined", fmt.Sprintf(`{"userId":"%s","userRole":"candidate"}`, b.ID()))
			r.waitText(b, "room-users", fmt.Sprintf(`{"%s":{"userRole":"recruiter"},"%s":{"userRole":"candidate"}}`, a.ID(), b.ID()))
			r.fence("iv", b, a, b)
			r.wantNames("first", a, append(welcome, "user-joined")...)
			r.wantNames("second", b, welcome...)
		})
	}
}

func TestJoinAcknowledged(t *testing.T) {
	r := start(t, Options{}, nil)
	a := r.dial()
	want := fmt.Sprintf(`{"ok":true,"userId":"%s","userRole":"recruiter","mode":"p2p"}`, a.ID())
	if got := r.call(a, "join-room", map[string]string{"interviewId": "iv", "userRole": "recruiter"}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.wantNames("joiner", a, welcome...)
}

func TestJoinAgainIsIdempotent(t *testing.T) {
	r := start(t, Options{}, nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.rejoin(b, "iv", "candidate")
	r.fence("iv", b, a, b)
	r.wantNames("other", a, append(welcome, "user-joined")...)
	r.wantNames("joiner", b, append(welcome, welcome...)...)
	if st := r.server.Stats(); st.Joined != 2 || st.Members != 2 {
		t.Errorf("%d joined, %d members, want 2 and 2", st.Joined, st.Members)
	}
}

func TestJoinAgainInAnotherRole(t *testing.T) {
	r := start(t, Options{}, nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.rejoin(b, "iv", "recruiter")
	r.fence("iv", b, a)
	r.wantNames("other", a, append(welcome, "user-joined", "user-left", "user-joined")...)
	if last := a.Events()[5]; last.Text() != fmt.Sprintf(`{"userId":"%s","userRole":"recruiter"}`, b.ID()) {
		t.Errorf("user-joined %s", last.Text())
	}
}

func TestJoinByNumber(t *testing.T) {
	r := start(t, Options{}, nil)
	a := r.join("42", "recruiter")
	b := r.dial()
	r.emitRaw(b, "join-room", `{"interviewId":42,"userRole":"candidate"}`)
	r.wait(a, "user-joined")
	r.emitRaw(b, "chat-message", `{"interviewId":42,"content":"hi","userRole":"candidate"}`)
	r.wait(a, "chat-message")
}

func TestJoinAnotherRoomLeavesTheFirst(t *testing.T) {
	r := start(t, Options{}, nil)
	a, b, c := r.join("one", "recruiter"), r.join("one", "candidate"), r.join("two", "recruiter")
	r.rejoin(b, "two", "candidate")
	r.waitText(a, "user-left", fmt.Sprintf(`{"userId":"%s"}`, b.ID()))
	r.waitText(c, "user-joined", fmt.Sprintf(`{"userId":"%s","userRole":"candidate"}`, b.ID()))
	r.emit(a, "ice-candidate", map[string]any{"to": b.ID(), "candidate": map[string]any{}})
	r.fence("one", a, a)
	r.fence("two", c, b)
	if b.Count("ice-candidate") != 0 {
		t.Error("the room that was left still reaches the member")
	}
	r.rejoin(a, "two", "recruiter")
	if st := r.server.Stats(); st.Rooms != 1 {
		t.Errorf("%d rooms, want 1", st.Rooms)
	}
}

// badJoins are refused, and the error names what is wrong.
var badJoins = []struct{ name, payload, code, names string }{
	{"nothing", ``, "bad-payload", "payload"},
	{"null", `null`, "bad-payload", "payload"},
	{"string", `"iv"`, "bad-payload", "payload"},
	{"array", `["iv","recruiter"]`, "bad-payload", "payload"},
	{"empty object", `{}`, "bad-payload", "interviewId"},
	{"no role", `{"interviewId":"iv"}`, "bad-payload", "userRole"},
	{"null room", `{"interviewId":null,"userRole":"recruiter"}`, "bad-payload", "interviewId"},
	{"object room", `{"interviewId":{"toString":1},"userRole":"recruiter"}`, "bad-payload", "interviewId"},
	{"empty room", `{"interviewId":"","userRole":"recruiter"}`, "bad-payload", "interviewId"},
	{"long room", `{"interviewId":"` + strings.Repeat("x", 257) + `","userRole":"recruiter"}`, "too-large", "interviewId"},
	{"control character", `{"interviewId":"a\u0000b","userRole":"recruiter"}`, "bad-payload", "interviewId"},
	{"line break", `{"interviewId":"a\nb","userRole":"recruiter"}`, "bad-payload", "interviewId"},
	{"lone surrogate", `{"interviewId":"\ud800","userRole":"recruiter"}`, "bad-payload", "interviewId"},
	{"room twice", `{"interviewId":"iv","interviewId":"other","userRole":"recruiter"}`, "bad-payload", "interviewId"},
	{"room in capitals", `{"InterviewID":"iv","userRole":"recruiter"}`, "bad-payload", "interviewId"},
	{"unknown role", `{"interviewId":"iv","userRole":"admin"}`, "unknown-role", `"admin"`},
	{"role in capitals", `{"interviewId":"iv","userRole":"Recruiter"}`, "unknown-role", `"Recruiter"`},
	{"empty role", `{"interviewId":"iv","userRole":""}`, "unknown-role", `""`},
	{"number as role", `{"interviewId":"iv","userRole":1}`, "bad-payload", "userRole"},
	{"proto as role", `{"interviewId":"iv","userRole":"__proto__"}`, "unknown-role", "__proto__"},
	{"endless role", `{"interviewId":"iv","userRole":"` + strings.Repeat("r", 5000) + `"}`, "unknown-role", "userRole"},
}

func TestJoinRefused(t *testing.T) {
	r := start(t, Options{}, nil)
	other := r.join("iv", "recruiter")
	c := r.dial()
	for _, tt := range badJoins {
		t.Run(tt.name, func(t *testing.T) {
			r.emitRaw(c, "join-room", tt.payload)
			var told struct{ Event, Code, Message string }
			if err := r.wait(c, "error-message").Decode(&told); err != nil {
				t.Fatal(err)
			}
			if told.Event != "join-room" || told.Code != tt.code || !strings.Contains(told.Message, tt.names) || len(told.Message) > 200 {
				t.Errorf("error-message %+v, want code %s naming %s", told, tt.code, tt.names)
			}
			if err := r.wait(c, "join-error").Decode(&told); err != nil || told.Code != tt.code {
				t.Errorf("join-error %+v, %v", told, err)
			}
		})
	}
	if got := r.call(c, "join-room", map[string]string{"interviewId": "iv", "userRole": "boss"}); got !=
		`{"ok":false,"code":"unknown-role","message":"userRole \"boss\" is unknown; it must be recruiter or candidate"}` {
		t.Errorf("acknowledged: %s", got)
	}
	r.wait(c, "join-error")
	r.rejoin(c, "iv", "candidate") // the socket lives
	r.fence("iv", c, other)
	r.wantNames("other", other, append(welcome, "user-joined")...)
	if n := c.Count("error-message"); n != len(badJoins) {
		t.Errorf("%d error-messages, want %d: an acknowledged error is told once", n, len(badJoins))
	}
}

func TestRefusedJoinKeepsTheRoom(t *testing.T) {
	r := start(t, Options{Limits: Limits{MembersPerRoom: 1}}, nil)
	a, b := r.join("one", "recruiter"), r.join("two", "recruiter")
	got := r.call(b, "join-room", map[string]string{"interviewId": "one", "userRole": "recruiter"})
	if got != `{"ok":false,"code":"room-full","message":"the room is full"}` {
		t.Errorf("acknowledged: %s", got)
	}
	r.waitText(b, "join-error", `{"code":"room-full","message":"the room is full"}`)
	r.fence("two", b, b) // still a member there: fences reach members only
	r.fence("one", a, a)
	r.wantNames("full room", a, welcome...)
}

func TestRoomLimit(t *testing.T) {
	r := start(t, Options{Limits: Limits{Rooms: 2}}, nil)
	a := r.join("one", "recruiter")
	r.join("two", "recruiter")
	c := r.dial()
	if got := r.call(c, "join-room", map[string]string{"interviewId": "three", "userRole": "recruiter"}); !strings.Contains(got, `"code":"too-many-rooms"`) {
		t.Errorf("acknowledged: %s", got)
	}
	r.rejoin(c, "one", "candidate") // a living room takes more
	a.Close()
	c.Close()
	r.eventually("the room is gone", func() bool { return r.server.Stats().Rooms == 1 })
	r.join("three", "recruiter")
	if st := r.server.Stats(); st.Refused["too-many-rooms"] != 1 {
		t.Errorf("counted %v", st.Refused)
	}
}

func TestDrainOpensNoRoom(t *testing.T) {
	r := start(t, Options{}, nil)
	a := r.join("old", "recruiter")
	r.server.Drain()
	b := r.dial()
	if got := r.call(b, "join-room", map[string]string{"interviewId": "new", "userRole": "candidate"}); !strings.Contains(got, `"code":"draining"`) {
		t.Errorf("acknowledged: %s", got)
	}
	r.rejoin(b, "old", "candidate")
	r.wait(a, "user-joined")
}

func TestRoomStateEndsWithItsLastMember(t *testing.T) {
	r := start(t, Options{}, nil)
	a := r.join("iv", "recruiter")
	r.emit(a, "chat-message", map[string]string{"interviewId": "iv", "content": "hello", "userRole": "recruiter"})
	r.wait(a, "chat-message")
	a.Close()
	r.eventually("the room is gone", func() bool { return r.server.Stats().Rooms == 0 })
	b := r.dial()
	r.emit(b, "join-room", map[string]string{"interviewId": "iv", "userRole": "recruiter"})
	r.waitText(b, "chat-history", `[]`)
}
