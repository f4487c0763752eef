package signaling

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skillsage/internal/testkit/sioclient"
)

// lefts lists whose user-left c has received, in order.
func lefts(t *testing.T, c *sioclient.Client) []string {
	var ids []string
	for _, e := range c.Events() {
		var left struct{ UserID string }
		if e.Name != "user-left" {
			continue
		}
		if err := e.Decode(&left); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, left.UserID)
	}
	return ids
}

// TestPageReturnsTooLate: a page that could not be recovered is told to close what it holds, before it hears who is
// there; the others see an ordinary leave and join.
func TestPageReturnsTooLate(t *testing.T) {
	endings := []struct {
		name      string
		grace     time.Duration
		transport string
		end       func(*sioclient.Client)
	}{
		{"after the grace", 20 * time.Millisecond, sioclient.WebSocket, (*sioclient.Client).Abort},
		{"after its own goodbye", time.Hour, sioclient.WebSocket, (*sioclient.Client).Close},
		{"after leaving the namespace", time.Hour, sioclient.Polling, func(c *sioclient.Client) { _ = c.Disconnect() }},
	}
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, withGrace(tt.grace), nil)
			o := sioclient.Options{Transport: tt.transport}
			a, b, c, gone := r.join("iv", "recruiter"), r.join("iv", "candidate", o), r.join("iv", "recruiter"), r.join("iv", "recruiter")
			r.fence("iv", a, b)
			o.Recover = b.Recovery()
			tt.end(b)
			r.waitText(a, "user-left", `{"userId":"`+b.ID()+`"}`)
			gone.Close() // while nobody could tell b
			r.waitText(a, "user-left", `{"userId":"`+gone.ID()+`"}`)

			back := r.dial(o)
			if back.ID() == b.ID() {
				t.Fatal("recovered")
			}
			// A join that is refused is no join.
			if got := r.call(back, "join-room", map[string]string{"interviewId": "iv", "userRole": "guest"}); !strings.Contains(got, "unknown-role") {
				t.Errorf("acknowledged: %s", got)
			}
			r.rejoin(back, "iv", "candidate")
			r.waitText(a, "user-joined", `{"userId":"`+b.ID()+`","userRole":"candidate"}`)
			r.fence("iv", back, a, back, c)
			want := append([]string{"join-error", "user-left", "user-left", "user-left", "user-left"}, welcome...)
			r.wantNames("who returned", back, want...)
			if got, want := lefts(t, back), []string{b.ID(), gone.ID(), a.ID(), c.ID()}; !slices.Equal(got, want) {
				t.Errorf("told of the leaves of %q, want %q", got, want)
			}
			for _, other := range []*sioclient.Client{a, c} {
				if got, want := lefts(t, other), []string{b.ID(), gone.ID()}; !slices.Equal(got, want) {
					t.Errorf("the others were told of the leaves of %q, want %q", got, want)
				}
			}
			r.wantNames("who came third", c, append(welcome, "user-joined", "user-left", "user-left", "user-joined")...)

			// Only the first join: after it the page knows what it knows.
			r.rejoin(back, "iv", "candidate")
			r.rejoin(back, "other", "candidate")
			r.rejoin(back, "iv", "candidate")
			if n := back.Count("user-left"); n != 4 {
				t.Errorf("%d times user-left after joining again", n)
			}
		})
	}
}

// TestReturnedRecruiterCalls: pages offer to who joins, so a recruiter's that returned must see the candidates join.
func TestReturnedRecruiterCalls(t *testing.T) {
	r := start(t, withGrace(time.Hour), nil)
	a, b, c := r.join("iv", "recruiter"), r.join("iv", "candidate"), r.join("iv", "recruiter")
	r.fence("iv", b, a)
	words := a.Recovery()
	a.Close()
	r.wait(b, "user-left")
	back := r.dial(sioclient.Options{Recover: words})
	r.rejoin(back, "iv", "recruiter")
	r.waitText(back, "user-joined", `{"userId":"`+b.ID()+`","userRole":"candidate"}`)
	r.rejoin(back, "iv", "recruiter")
	r.fence("iv", back, back, b, c)
	want := append([]string{"user-left", "user-left", "user-left"}, welcome...)
	r.wantNames("who returned", back, append(append(want, "user-joined"), welcome...)...)
	r.wantNames("candidate", b, append(welcome, "user-joined", "user-left", "user-joined")...)
	r.wantNames("other recruiter", c, append(welcome, "user-left", "user-joined")...)
}

// TestFreshPageIsToldOfNoLeave: neither who asks for no recovery, nor who was recovered.
func TestFreshPageIsToldOfNoLeave(t *testing.T) {
	r := start(t, withGrace(time.Hour), nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	b.Close()
	r.wait(a, "user-left")
	b = r.join("iv", "candidate")
	r.fence("iv", a, b)
	r.wantNames("fresh", b, welcome...)

	words := b.Recovery()
	b.Abort()
	r.eventually("the server has noticed", func() bool { return r.server.Stats().SocketIO.Suspended == 1 })
	again := r.dial(sioclient.Options{Recover: words})
	if again.ID() != b.ID() {
		t.Fatalf("came back as %s, was %s", again.ID(), b.ID())
	}
	r.rejoin(again, "iv", "candidate")
	r.fence("iv", a, again)
	r.wantNames("recovered", again, welcome...)
}

// TestRelayOffersAfterTheLeaves: what the relay sends as soon as it hears of the join comes after the old connections
// have been closed.
func TestRelayOffersAfterTheLeaves(t *testing.T) {
	relay := &recorder{}
	var offer atomic.Pointer[func(member string)]
	relay.onJoin = func(_, member, _ string) {
		if send := offer.Load(); send != nil {
			(*send)(member)
		}
	}
	o := withGrace(time.Hour)
	o.Mode = ModeRelay
	r := start(t, o, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.fence("iv", a, b)
	words := b.Recovery()
	b.Close()
	r.wait(a, "user-left")
	send := func(member string) { r.server.Send("iv", member, a.ID(), false, "offer", "v=0") }
	offer.Store(&send)
	back := r.dial(sioclient.Options{Recover: words})
	r.rejoin(back, "iv", "candidate")
	r.wait(back, "signal")
	r.wantNames("who returned", back, "user-left", "user-left", "room-users", "chat-history", "code-state", "signal")
	r.fence("iv", back, back)
	r.wantCalls(relay, "join iv "+a.ID()+" recruiter", "join iv "+b.ID()+" candidate", "leave iv "+b.ID(), "join iv "+back.ID()+" candidate")
}

// TestDepartedIsBounded: a room remembers the last ones only, each once, and nobody who is back.
func TestDepartedIsBounded(t *testing.T) {
	r := start(t, withGrace(time.Hour), nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.fence("iv", a, b)
	words := b.Recovery()
	b.Close()
	r.wait(a, "user-left")
	var last []string
	for range maxDeparted {
		c := r.join("iv", "candidate")
		r.rejoin(c, "iv", "recruiter") // a leave, and a join
		last = append(last, c.ID())
		c.Close()
		r.wait(a, "user-left")
		r.wait(a, "user-left")
	}
	r.rejoin(a, "iv", "candidate") // a leave, too, but it is back
	back := r.dial(sioclient.Options{Recover: words})
	r.rejoin(back, "iv", "candidate")
	if got, want := lefts(t, back), append(last[1:], a.ID()); !slices.Equal(got, want) {
		t.Errorf("told of %d leaves, want %d:\n%q\n%q", len(got), len(want), got, want)
	}
}

// TestBinaryIsRefused: attachments have no place in these events; nothing of one that carries any goes out.
func TestBinaryIsRefused(t *testing.T) {
	for _, transport := range []string{sioclient.WebSocket, sioclient.Polling} {
		for _, mode := range []Mode{ModeP2P, ModeRelay} {
			t.Run(transport+" "+string(mode), func(t *testing.T) {
				relay := &recorder{}
				r := start(t, Options{Mode: mode}, relay)
				a, b := r.join("iv", "recruiter", sioclient.Options{Transport: transport}), r.join("iv", "candidate")
				const bytes = `{"_placeholder":true,"num":0}`
				to := `{"to":"` + b.ID() + `",`
				payloads := map[string]string{
					"signal":              to + `"signal":{"type":"offer","sdp":"v=0","bytes":` + bytes + `},"type":"offer"}`,
					"ice-candidate":       to + `"candidate":{"candidate":` + bytes + `}}`,
					"screen-share-status": `{"interviewId":"iv","isSharing":true,"extra":` + bytes + `}`,
					"chat-message":        `{"interviewId":"iv","content":"hello","userRole":"recruiter"},` + bytes,
					"code-update":         `{"interviewId":"iv","questionId":"q","code":` + bytes + `,"language":"go","currentQuestionIndex":0}`,
					"language-change":     `{"interviewId":"iv","questionId":"q","language":` + bytes + `,"currentQuestionIndex":0}`,
					"question-change":     bytes,
					"ice-servers":         bytes,
					"join-room":           `{"interviewId":"other","userRole":"recruiter","mode":` + bytes + `}`,
					"recording-start":     `{"interviewId":"iv","extra":` + bytes + `}`,
					"recording-stop":      `{"interviewId":"iv","extra":` + bytes + `}`,
					"recording-consent":   `{"interviewId":"iv","agreed":` + bytes + `}`,
				}
				if len(payloads) != len(handlers) {
					t.Fatalf("%d events tried of %d", len(payloads), len(handlers))
				}
				for event, payload := range payloads {
					for _, packet := range []string{`451-["` + event + `",` + payload + `]`, "bAQID"} {
						if err := a.WriteRaw(packet); err != nil {
							t.Fatal(err)
						}
					}
					var told struct{ Event, Code, Message string }
					if err := r.wait(a, "error-message").Decode(&told); err != nil || told.Event != event || told.Code != "bad-payload" || !strings.Contains(told.Message, "binary") {
						t.Errorf("%s: told %+v, %v", event, told, err)
					}
				}
				r.wait(a, "join-error")
				r.fence("iv", a, a, b)
				r.wantNames("other", b, welcome...)
				if st := r.server.Stats(); st.Refused["bad-payload"] != uint64(len(handlers)) || st.Rooms != 1 {
					t.Errorf("%d refused, %d rooms", st.Refused["bad-payload"], st.Rooms)
				}
				var told []string
				if mode == ModeRelay {
					told = []string{"join iv " + a.ID() + " recruiter", "join iv " + b.ID() + " candidate"}
				}
				r.wantCalls(relay, told...)
			})
		}
	}
}
