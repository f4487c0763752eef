package signaling

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skillsage/internal/testkit/sioclient"
)

func TestForwardedBytes(t *testing.T) {
	r := start(t, Options{}, nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	from := `{"from":"` + a.ID() + `"`
	to := `{"to":"` + b.ID() + `"`
	sdp := `{"type":"offer","sdp":"v=0\r\no=- 1 <&> \u2028 \ud800 9007199254740993\r\n", "n": 9007199254740993, "x":[ 1.50 ]}`
	tests := []struct{ name, event, in, out string }{
		{"offer without a flag", "signal", to + `,"from":"spoofed","signal":` + sdp + `,"type":"offer"}`, from + `,"signal":` + sdp + `,"type":"offer"}`},
		{"answer, screen", "signal", to + `,"from":"x","signal":{"type":"answer","sdp":""},"type":"answer","isScreenShare":true}`, from + `,"signal":{"type":"answer","sdp":""},"type":"answer","isScreenShare":true}`},
		{"camera by false", "signal", to + `,"signal":{},"type":"offer","isScreenShare":false}`, from + `,"signal":{},"type":"offer","isScreenShare":false}`},
		{"null flag is no flag", "signal", to + `,"signal":{},"type":"offer","isScreenShare":null}`, from + `,"signal":{},"type":"offer"}`},
		{"renegotiate", "signal", to + `,"signal":{"type":"renegotiate","renegotiate":true},"type":"renegotiate"}`, from + `,"signal":{"type":"renegotiate","renegotiate":true},"type":"renegotiate"}`},
		{"transceiverRequest", "signal", to + `,"signal":{"transceiverRequest":{"kind":"video"}},"type":"transceiverRequest","isScreenShare":false}`, from + `,"signal":{"transceiverRequest":{"kind":"video"}},"type":"transceiverRequest","isScreenShare":false}`},
		{"no type", "signal", to + `,"signal":{"candidate":{"candidate":"c"}}}`, from + `,"signal":{"candidate":{"candidate":"c"}}}`},
		{"no signal", "signal", to + `,"type":"bye"}`, from + `,"type":"bye"}`},
		{"other members stay behind", "signal", to + `,"signal":{},"type":"offer","TO":"x","__proto__":{"from":"x"}}`, from + `,"signal":{},"type":"offer"}`},
		{"escaped to", "signal", `{"to":"\u00` + fmt.Sprintf("%02x", b.ID()[0]) + b.ID()[1:] + `","signal":{},"type":"offer"}`, from + `,"signal":{},"type":"offer"}`},
		{"candidate", "ice-candidate", to + `,"candidate":{"candidate":"candidate:1 1 udp 2 ::1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"ab"},"isScreenShare":false}`,
			from + `,"candidate":{"candidate":"candidate:1 1 udp 2 ::1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"ab"},"isScreenShare":false}`},
		{"candidate without a flag, from ignored", "ice-candidate", to + `,"from":"x","candidate":{}}`, from + `,"candidate":{}}`},
		{"empty candidate", "ice-candidate", to + `,"candidate":{"candidate":"","sdpMid":"1"},"isScreenShare":true}`, from + `,"candidate":{"candidate":"","sdpMid":"1"},"isScreenShare":true}`},
		{"no more candidates", "ice-candidate", to + `,"candidate":null}`, from + `,"candidate":null}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.emitRaw(a, tt.event, tt.in)
			r.waitText(b, tt.event, tt.out)
		})
	}
	// The sender learns nothing unless it asks.
	if got := r.call(a, "ice-candidate", map[string]any{"to": b.ID(), "candidate": map[string]any{}}); got != `{"ok":true}` {
		t.Errorf("acknowledged: %s", got)
	}
	r.wantNames("sender", a, append(welcome, "user-joined")...)
}

func TestForwardedOnlyWithinTheRoom(t *testing.T) {
	r := start(t, Options{}, nil)
	a, b := r.join("one", "recruiter"), r.join("one", "candidate")
	stranger, outside := r.join("two", "candidate"), r.dial()
	for _, to := range []string{stranger.ID(), outside.ID(), b.ID() + "-screen", "", "one", "__proto__", strings.Repeat("x", 4000)} {
		r.emit(a, "signal", map[string]any{"to": to, "from": a.ID(), "signal": map[string]string{"type": "offer", "sdp": ""}, "type": "offer"})
		r.emit(a, "ice-candidate", map[string]any{"to": to, "candidate": map[string]any{}})
	}
	// Sockets that are in no room reach nobody, not even where they know an id.
	r.emit(outside, "signal", map[string]any{"to": a.ID(), "signal": map[string]string{"type": "offer", "sdp": ""}, "type": "offer"})
	r.emit(outside, "ice-candidate", map[string]any{"to": a.ID(), "candidate": map[string]any{}})
	for event, arg := range map[string]map[string]any{
		"signal":        {"to": a.ID(), "signal": map[string]any{}, "type": "offer"},
		"ice-candidate": {"to": a.ID(), "candidate": map[string]any{}},
	} {
		if got := r.call(outside, event, arg); got != `{"ok":false,"code":"not-joined","message":"this socket is in no room"}` {
			t.Errorf("%s acknowledged: %s", event, got)
		}
	}
	if got := r.call(a, "ice-candidate", map[string]any{"to": stranger.ID(), "candidate": map[string]any{}}); got !=
		`{"ok":false,"code":"no-such-member","message":"to is nobody in this room"}` {
		t.Errorf("acknowledged: %s", got)
	}
	r.fence("one", a, a, b)
	r.fence("two", stranger, stranger)
	r.wantNames("sender", a, append(welcome, "user-joined")...)
	r.wantNames("member", b, welcome...)
	r.wantNames("stranger", stranger, welcome...)
	r.wantNames("outside", outside)
	if d := r.server.Stats().Dropped; d["no-such-member"] != 15 || d["not-joined"] != 4 {
		t.Errorf("dropped %v, want 15 no-such-member and 4 not-joined", d)
	}
}

func TestSignalsBeforeAJoinAreHarmless(t *testing.T) {
	r := start(t, Options{}, nil)
	a := r.dial()
	r.emit(a, "ice-candidate", map[string]any{"to": "x", "candidate": map[string]any{}})
	r.emit(a, "signal", map[string]any{"to": "x", "signal": map[string]any{}, "type": "offer"})
	r.emit(a, "screen-share-status", map[string]any{"interviewId": "iv", "isSharing": true})
	r.emit(a, "chat-message", map[string]any{"interviewId": "iv", "content": "early", "userRole": "candidate"})
	r.rejoin(a, "iv", "candidate")
	r.wantNames("sender", a, welcome...)
}

func TestSignalToOneself(t *testing.T) {
	r := start(t, Options{}, nil)
	a := r.join("iv", "recruiter")
	r.emitRaw(a, "signal", `{"to":"`+a.ID()+`","signal":{},"type":"offer"}`)
	r.waitText(a, "signal", `{"from":"`+a.ID()+`","signal":{},"type":"offer"}`)
}

func TestScreenShareStatus(t *testing.T) {
	r := start(t, Options{}, nil)
	a, b, c := r.join("iv", "recruiter"), r.join("iv", "recruiter"), r.join("iv", "candidate")
	for _, sharing := range []bool{true, false} {
		r.emit(c, "screen-share-status", map[string]any{"interviewId": "iv", "isSharing": sharing})
		want := fmt.Sprintf(`{"userId":"%s","isSharing":%v}`, c.ID(), sharing)
		r.waitText(a, "screen-share-status", want)
		r.waitText(b, "screen-share-status", want)
	}
	r.fence("iv", c, c)
	r.wantNames("sharer", c, welcome...)
}

// TestOrderPerAddressee: the status of a share comes before its offer, an offer before its candidates, and a member's
// arrival before anything it says.
func TestOrderPerAddressee(t *testing.T) {
	r := start(t, Options{}, nil)
	a := r.join("iv", "recruiter")
	b := r.join("iv", "candidate")
	want := append(welcome, "user-joined")
	for range 50 {
		r.emit(b, "screen-share-status", map[string]any{"interviewId": "iv", "isSharing": true})
		r.emit(b, "signal", map[string]any{"to": a.ID(), "signal": map[string]any{}, "type": "offer", "isScreenShare": true})
		r.emit(b, "ice-candidate", map[string]any{"to": a.ID(), "candidate": map[string]any{}, "isScreenShare": true})
		want = append(want, "screen-share-status", "signal", "ice-candidate")
	}
	r.fence("iv", b, a)
	r.wantNames("recruiter", a, want...)
}

// hostile payloads are answered with an error that names what is wrong, and change nothing. TO stands for a member,
// ROOM for the room.
var hostile = []struct{ event, payload, code, names string }{
	{"signal", ``, "bad-payload", "payload"},
	{"signal", `null`, "bad-payload", "payload"},
	{"signal", `[]`, "bad-payload", "payload"},
	{"signal", `"offer"`, "bad-payload", "payload"},
	{"signal", `{}`, "bad-payload", "to is missing"},
	{"signal", `{"to":null,"signal":{},"type":"offer"}`, "bad-payload", "to must"},
	{"signal", `{"to":["TO"],"signal":{},"type":"offer"}`, "bad-payload", "to must"},
	{"signal", `{"to":"TO","to":"TO","signal":{},"type":"offer"}`, "bad-payload", `"to" twice`},
	{"signal", `{"to":"TO","signal":{},"signal":{},"type":"offer"}`, "bad-payload", `"signal" twice`},
	{"signal", `{"to":"TO","type":"offer"}`, "bad-payload", "signal is missing"},
	{"signal", `{"to":"TO","type":"answer","signal":null}`, "bad-payload", "signal must"},
	{"signal", `{"to":"TO","type":"offer","signal":"v=0"}`, "bad-payload", "signal must"},
	{"signal", `{"to":"TO","type":"offer","signal":[1]}`, "bad-payload", "signal must"},
	{"signal", `{"to":"TO","type":5,"signal":{}}`, "bad-payload", "type must"},
	{"signal", `{"to":"TO","type":"` + strings.Repeat("t", 300) + `","signal":{}}`, "too-large", "type"},
	{"signal", `{"to":"TO","type":"offer","signal":{},"isScreenShare":"true"}`, "bad-payload", "isScreenShare"},
	{"signal", `{"to":"TO","type":"offer","signal":{},"isScreenShare":1}`, "bad-payload", "isScreenShare"},
	{"signal", `{"to":"TO","type":"offer","signal":{"type":"offer","sdp":"` + strings.Repeat("a", 300<<10) + `"}}`, "too-large", "signal"},
	{"ice-candidate", ``, "bad-payload", "payload"},
	{"ice-candidate", `{"candidate":{}}`, "bad-payload", "to is missing"},
	{"ice-candidate", `{"to":7,"candidate":{}}`, "bad-payload", "to must"},
	{"ice-candidate", `{"to":"TO"}`, "bad-payload", "candidate is missing"},
	{"ice-candidate", `{"to":"TO","candidate":5}`, "bad-payload", "candidate must"},
	{"ice-candidate", `{"to":"TO","candidate":[]}`, "bad-payload", "candidate must"},
	{"ice-candidate", `{"to":"TO","candidate":{"candidate":"` + strings.Repeat("c", 9000) + `"}}`, "too-large", "candidate"},
	{"ice-candidate", `{"to":"TO","candidate":{},"isScreenShare":{}}`, "bad-payload", "isScreenShare"},
	{"screen-share-status", `{"isSharing":true}`, "bad-payload", "interviewId"},
	{"screen-share-status", `{"interviewId":"ROOM"}`, "bad-payload", "isSharing"},
	{"screen-share-status", `{"interviewId":"ROOM","isSharing":"yes"}`, "bad-payload", "isSharing"},
	{"screen-share-status", `{"interviewId":["ROOM"],"isSharing":true}`, "bad-payload", "interviewId"},
	{"chat-message", `{"interviewId":"ROOM","userRole":"candidate"}`, "bad-payload", "content"},
	{"chat-message", `{"interviewId":"ROOM","content":{"a":1}}`, "bad-payload", "content"},
	{"chat-message", `{"interviewId":"ROOM","content":"x","userRole":{}}`, "bad-payload", "userRole"},
	{"chat-message", `{"interviewId":"ROOM","content":"x","userRole":"` + strings.Repeat("r", 300) + `"}`, "too-large", "userRole"},
	{"chat-message", `{"interviewId":"ROOM","content":"` + strings.Repeat("x", 17<<10) + `","userRole":"candidate"}`, "too-large", "content"},
	{"chat-message", `{"content":"x","userRole":"candidate"}`, "bad-payload", "interviewId"},
	{"code-update", `null`, "bad-payload", "payload"},
	{"code-update", `{"interviewId":"ROOM","questionId":{},"code":"x"}`, "bad-payload", "questionId"},
	{"code-update", `{"interviewId":"ROOM","questionId":true,"code":"x"}`, "bad-payload", "questionId"},
	{"code-update", `{"interviewId":"ROOM","questionId":"` + strings.Repeat("q", 300) + `","code":"x"}`, "too-large", "questionId"},
	{"code-update", `{"interviewId":"ROOM","questionId":"q","code":5}`, "bad-payload", "code"},
	{"code-update", `{"interviewId":"ROOM","questionId":"q","code":"` + strings.Repeat("c", 129<<10) + `"}`, "too-large", "code"},
	{"code-update", `{"interviewId":"ROOM","questionId":"q","code":"x","language":[]}`, "bad-payload", "language"},
	{"code-update", `{"interviewId":"ROOM","questionId":"q","code":"x","currentQuestionIndex":"1"}`, "bad-payload", "currentQuestionIndex"},
	{"code-update", `{"interviewId":"ROOM","questionId":"q","code":"x","currentQuestionIndex":` + strings.Repeat("9", 40) + `}`, "too-large", "currentQuestionIndex"},
	{"language-change", `{"interviewId":"ROOM","questionId":"q","language":1}`, "bad-payload", "language"},
	{"question-change", `{"interviewId":"ROOM","questionId":[],"currentQuestionIndex":1}`, "bad-payload", "questionId"},
	{"question-change", `{"interviewId":"ROOM","questionId":"q","currentQuestionIndex":{}}`, "bad-payload", "currentQuestionIndex"},
	{"recording-start", ``, "bad-payload", "payload"},
	{"recording-start", `{}`, "bad-payload", "interviewId is missing"},
	{"recording-start", `{"interviewId":null}`, "bad-payload", "interviewId"},
	{"recording-stop", `{"interviewId":["ROOM"]}`, "bad-payload", "interviewId"},
	{"recording-stop", `{"interviewId":"` + strings.Repeat("x", 257) + `"}`, "too-large", "interviewId"},
	{"recording-consent", `{"agreed":true}`, "bad-payload", "interviewId"},
	{"recording-consent", `{"interviewId":"ROOM"}`, "bad-payload", "agreed is missing"},
	{"recording-consent", `{"interviewId":"ROOM","agreed":"true"}`, "bad-payload", "agreed must"},
	{"recording-consent", `{"interviewId":"ROOM","agreed":true,"agreed":false}`, "bad-payload", `"agreed" twice`},
}

func TestHostilePayloads(t *testing.T) {
	for _, mode := range []Mode{ModeP2P, ModeRelay} {
		t.Run(string(mode), func(t *testing.T) {
			relay := &recorder{}
			r := start(t, Options{Mode: mode}, relay)
			a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
			fill := strings.NewReplacer("TO", b.ID(), "ROOM", "iv")
			for _, tt := range hostile {
				r.emitRaw(a, tt.event, fill.Replace(tt.payload))
				var told struct{ Event, Code, Message string }
				if err := r.wait(a, "error-message").Decode(&told); err != nil {
					t.Fatal(err)
				}
				if told.Event != tt.event || told.Code != tt.code || !strings.Contains(told.Message, tt.names) || len(told.Message) > 200 {
					t.Errorf("%s %.80s\n got %+v\nwant %s naming %s", tt.event, tt.payload, told, tt.code, tt.names)
				}
			}
			if got := r.call(a, "signal", map[string]any{"to": 5}); got != `{"ok":false,"code":"bad-payload","message":"to must be a string"}` {
				t.Errorf("acknowledged: %s", got)
			}
			r.fence("iv", a, a, b)
			r.wantNames("other member", b, welcome...)
			c := r.dial()
			r.emit(c, "join-room", map[string]string{"interviewId": "iv", "userRole": "recruiter"})
			r.waitText(c, "chat-history", `[]`)
			r.waitText(c, "code-state", `{"codeUpdates":{},"currentQuestionIndex":0}`)
			var told []string
			if mode == ModeRelay {
				told = []string{"join iv " + a.ID() + " recruiter", "join iv " + b.ID() + " candidate", "join iv " + c.ID() + " recruiter"}
			}
			r.fence("iv", c, c)
			r.wantCalls(relay, told...)
			if n := r.server.Stats().Refused; n["bad-payload"]+n["too-large"] != uint64(len(hostile)+1) {
				t.Errorf("counted %v, want %d", n, len(hostile)+1)
			}
		})
	}
}

// TestCandidateFlood: ten thousand candidates at full speed all arrive, in order; the two sockets and their room live,
// and another room does not notice.
func TestCandidateFlood(t *testing.T) {
	r := start(t, Options{Limits: Limits{EventRate: 20_000}}, nil)
	var last atomic.Int64
	count := make(chan int64, 1)
	a := r.join("iv", "candidate")
	b := r.join("iv", "recruiter", sioclient.Options{Discard: false, OnEvent: func(_ *sioclient.Client, e sioclient.Event) {
		var in struct{ Candidate struct{ N int64 } }
		if e.Name == "ice-candidate" && e.Decode(&in) == nil && last.CompareAndSwap(in.Candidate.N-1, in.Candidate.N) && in.Candidate.N == 10_000 {
			count <- in.Candidate.N
		}
	}})
	for i := 1; i <= 10_000; i++ {
		r.emitRaw(a, "ice-candidate", fmt.Sprintf(`{"to":"%s","candidate":{"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host","n":%d}}`, b.ID(), i))
	}
	select {
	case <-count:
	case <-r.ctx.Done():
		t.Fatalf("%d of 10000 in order", last.Load())
	}
	r.fence("iv", a, a, b)
	if st := r.server.Stats(); st.CandidatesForwarded != 10_000 {
		t.Errorf("%d forwarded", st.CandidatesForwarded)
	}
}

// TestCandidatesForNothing: a flood to nobody, before and after a join.
func TestCandidatesForNothing(t *testing.T) {
	r := start(t, Options{Limits: Limits{EventRate: 20_000}}, nil)
	a := r.dial()
	other := r.join("iv", "recruiter")
	for range 5000 {
		r.emitRaw(a, "ice-candidate", `{"to":"nobody","candidate":{}}`)
	}
	r.rejoin(a, "iv", "candidate")
	for range 5000 {
		r.emitRaw(a, "ice-candidate", `{"to":"`+other.ID()+`-screen","candidate":{}}`)
	}
	r.fence("iv", a, a, other)
	if other.Count("ice-candidate") != 0 || a.Count("error-message") > 1 {
		t.Error("somebody noticed")
	}
	if d := r.server.Stats().Dropped; d["not-joined"] != 5000 || d["no-such-member"] != 5000 {
		t.Errorf("dropped %v", d)
	}
}

// TestRateSlowsOnlyTheSender: above its rate a socket is read more slowly, loses nothing, is told once, and others go on.
func TestRateSlowsOnlyTheSender(t *testing.T) {
	const events, rate, burst = 30, 10, 10
	r := start(t, Options{Limits: Limits{EventRate: rate, EventBurst: burst}}, nil)
	b := r.join("iv", "recruiter")
	began := time.Now()
	a := r.join("iv", "candidate")
	for range events {
		r.emit(a, "ice-candidate", map[string]any{"to": b.ID(), "candidate": map[string]any{}})
	}
	got := r.call(b, "chat-message", map[string]any{"interviewId": "iv", "content": "I go on", "userRole": "recruiter"})
	if n := b.Count("ice-candidate"); got != `{"ok":true}` || n == events {
		t.Errorf("acknowledged %s after %d candidates", got, n)
	}
	r.fence("iv", a, b)
	// The join and the fence count as well.
	if took, least := time.Since(began), (events+2-burst)*time.Second/rate; took < least {
		t.Errorf("%d events in %v, want no less than %v", events+2, took, least)
	}
	if n := b.Count("ice-candidate"); n != events {
		t.Errorf("%d candidates arrived, want %d", n, events)
	}
	r.wait(a, "error-message")
	if st := r.server.Stats(); st.Delayed == 0 || st.Refused["rate-limited"] != 1 {
		t.Errorf("%d delayed, told %d times", st.Delayed, st.Refused["rate-limited"])
	}
}

// TestBrokenJSONEndsOnlyItsSender: bytes that would break the addressee's parser never get that far.
func TestBrokenJSONEndsOnlyItsSender(t *testing.T) {
	r := start(t, Options{}, nil)
	b := r.join("iv", "candidate")
	for _, signal := range []string{"{\"sdp\":\"\x1e42[1]\"}", `{"sdp":"\x"}`, `{"sdp":}`, "{\"sdp\":\"\xff\"}", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)} {
		a := r.join("iv", "recruiter")
		_ = a.EmitRaw("signal", `{"to":"`+b.ID()+`","signal":`+signal+`,"type":"x"}`)
		ctx, cancel := context.WithTimeout(r.ctx, patience)
		select {
		case <-a.Done():
		case <-ctx.Done():
			t.Errorf("%.30q: the sender's socket lives", signal)
		}
		cancel()
	}
	r.fence("iv", b, b)
	if b.Count("signal") != 0 {
		t.Error("something was forwarded")
	}
}
