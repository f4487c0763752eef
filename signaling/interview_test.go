package signaling

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"skillsage/internal/testkit/sioclient"
)

var isoTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// fixed replaces what depends on the clock, after checking its form.
func fixed(t *testing.T, text string) string {
	t.Helper()
	return regexp.MustCompile(`"(timestamp|lastUpdated)":"([^"]*)"`).ReplaceAllStringFunc(
		regexp.MustCompile(`"id":\d{13}`).ReplaceAllString(text, `"id":0`),
		func(m string) string {
			name, value, _ := strings.Cut(m, ":")
			if !isoTime.MatchString(strings.Trim(value, `"`)) {
				t.Errorf("%s is not ISO 8601 in milliseconds", m)
			}
			return name + `:"T"`
		})
}

func TestExtras(t *testing.T) {
	r := start(t, Options{}, nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	for _, tt := range []struct{ event, in, out string }{
		{"chat-message", `{"interviewId":"iv","content":"h\u00e9 <b>","userRole":"candidate"}`, `{"id":0,"content":"h\u00e9 <b>","timestamp":"T","sender":"candidate","isOwn":false}`},
		{"chat-message", `{"interviewId":"iv","content":"","userRole":"anybody"}`, `{"id":0,"content":"","timestamp":"T","sender":"anybody","isOwn":false}`},
		{"code-update", `{"interviewId":"iv","questionId":"q1","code":"a\n","language":"go","currentQuestionIndex":1}`, `{"questionId":"q1","code":"a\n","language":"go","currentQuestionIndex":1,"timestamp":"T"}`},
		{"code-update", `{"interviewId":"iv","questionId":7,"code":"b","language":"java","currentQuestionIndex":0}`, `{"questionId":7,"code":"b","language":"java","currentQuestionIndex":0,"timestamp":"T"}`},
		{"code-update", `{"interviewId":"iv","questionId":"7","code":"c","language":"java","currentQuestionIndex":0}`, `{"questionId":"7","code":"c","language":"java","currentQuestionIndex":0,"timestamp":"T"}`},
		{"code-update", `{"interviewId":"iv","code":"early","language":"java"}`, `{"code":"early","language":"java","timestamp":"T"}`},
		{"code-update", `{"interviewId":"iv","questionId":"__proto__","code":"p","language":"js","currentQuestionIndex":0}`, `{"questionId":"__proto__","code":"p","language":"js","currentQuestionIndex":0,"timestamp":"T"}`},
		{"language-change", `{"interviewId":"iv","questionId":"q1","language":"rust","currentQuestionIndex":1}`, `{"questionId":"q1","language":"rust","currentQuestionIndex":1,"timestamp":"T"}`},
		{"language-change", `{"interviewId":"iv","questionId":"unknown","language":"c","currentQuestionIndex":1}`, `{"questionId":"unknown","language":"c","currentQuestionIndex":1,"timestamp":"T"}`},
		{"question-change", `{"interviewId":"iv","questionId":"q2","currentQuestionIndex":2}`, `{"questionId":"q2","currentQuestionIndex":2,"timestamp":"T"}`},
	} {
		r.emitRaw(b, tt.event, tt.in)
		for _, c := range []*sioclient.Client{a, b} { // the sender too
			if got := fixed(t, r.wait(c, tt.event).Text()); got != tt.out {
				t.Errorf("%s %s\n got %s\nwant %s", tt.event, tt.in, got, tt.out)
			}
		}
	}

	c := r.dial()
	r.emit(c, "join-room", map[string]string{"interviewId": "iv", "userRole": "recruiter"})
	if got, want := fixed(t, r.wait(c, "chat-history").Text()), `[{"id":0,"content":"h\u00e9 <b>","timestamp":"T","sender":"candidate"},{"id":0,"content":"","timestamp":"T","sender":"anybody"}]`; got != want {
		t.Errorf("chat-history\n got %s\nwant %s", got, want)
	}
	text := fixed(t, r.wait(c, "code-state").Text())
	var state struct {
		CodeUpdates          map[string]json.RawMessage
		CurrentQuestionIndex json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	want := map[string]string{
		"q1":        `{"code":"a\n","language":"rust","currentQuestionIndex":1,"lastUpdated":"T","updatedBy":"` + b.ID() + `"}`,
		"7":         `{"code":"c","language":"java","currentQuestionIndex":0,"lastUpdated":"T","updatedBy":"` + b.ID() + `"}`,
		"undefined": `{"code":"early","language":"java","lastUpdated":"T","updatedBy":"` + b.ID() + `"}`,
		"__proto__": `{"code":"p","language":"js","currentQuestionIndex":0,"lastUpdated":"T","updatedBy":"` + b.ID() + `"}`,
	}
	if string(state.CurrentQuestionIndex) != "2" || len(state.CodeUpdates) != len(want) {
		t.Errorf("code-state %s", text)
	}
	for question, entry := range want {
		if got := string(state.CodeUpdates[question]); got != entry {
			t.Errorf("question %s\n got %s\nwant %s", question, got, entry)
		}
	}
}

// TestExtrasFromOutside: pages that joined once go on after a reconnect without joining again.
func TestExtrasFromOutside(t *testing.T) {
	r := start(t, Options{}, nil)
	a, outside := r.join("iv", "recruiter"), r.dial()
	member := r.join("other", "candidate") // of another room
	r.emitRaw(outside, "chat-message", `{"interviewId":"iv","content":"back","userRole":"candidate"}`)
	r.emitRaw(outside, "code-update", `{"interviewId":"iv","questionId":"q","code":"x","language":"go","currentQuestionIndex":0}`)
	r.emitRaw(outside, "language-change", `{"interviewId":"iv","questionId":"q","language":"c","currentQuestionIndex":0}`)
	r.emitRaw(outside, "question-change", `{"interviewId":"iv","questionId":"q","currentQuestionIndex":3}`)
	r.emitRaw(outside, "screen-share-status", `{"interviewId":"iv","isSharing":true}`)
	for _, event := range []string{"chat-message", "code-update", "language-change", "question-change"} {
		r.wait(a, event)
	}
	r.waitText(a, "screen-share-status", `{"userId":"`+outside.ID()+`","isSharing":true}`)
	r.emitRaw(member, "chat-message", `{"interviewId":"iv","content":"from next door","userRole":"candidate"}`)
	r.wait(a, "chat-message")
	// A room with nobody in it keeps nothing and is not made by this.
	r.emitRaw(outside, "chat-message", `{"interviewId":"nowhere","content":"x","userRole":"candidate"}`)
	if got := r.call(outside, "chat-message", map[string]string{"interviewId": "nowhere", "content": "x", "userRole": "candidate"}); got !=
		`{"ok":false,"code":"no-such-room","message":"nobody is in this room"}` {
		t.Errorf("acknowledged: %s", got)
	}
	r.wantNames("outside", outside)
	r.fence("other", member, member)
	r.wantNames("next door", member, welcome...)
	if st := r.server.Stats(); st.Rooms != 2 || st.Dropped["no-such-room"] != 2 {
		t.Errorf("%d rooms, dropped %v", st.Rooms, st.Dropped)
	}
}

func TestChatIDsAreUniqueAndRising(t *testing.T) {
	r := start(t, Options{}, nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	before := time.Now().UnixMilli()
	for range 200 {
		r.emitRaw(a, "chat-message", `{"interviewId":"iv","content":"x","userRole":"recruiter"}`)
	}
	last := before - 1
	for range 200 {
		var m struct{ ID int64 }
		if err := r.wait(b, "chat-message").Decode(&m); err != nil || m.ID <= last {
			t.Fatalf("id %d after %d, %v", m.ID, last, err)
		}
		last = m.ID
	}
	if limit := time.Now().UnixMilli() + 200; last > limit {
		t.Errorf("last id %d is beyond %d", last, limit)
	}
}

func TestChatHistoryIsBounded(t *testing.T) {
	r := start(t, Options{Limits: Limits{ChatMessages: 10, ChatBytes: 1000}}, nil)
	a := r.join("iv", "recruiter")
	history := func() []struct{ Content string } {
		c := r.dial()
		defer c.Close()
		r.emit(c, "join-room", map[string]string{"interviewId": "iv", "userRole": "candidate"})
		e := r.wait(c, "chat-history")
		var kept []struct{ Content string }
		if err := e.Decode(&kept); err != nil {
			t.Fatal(err)
		}
		if len(e.Text()) > 1000+12 {
			t.Errorf("history of %d bytes", len(e.Text()))
		}
		return kept
	}
	say := func(content string) {
		r.call(a, "chat-message", map[string]string{"interviewId": "iv", "content": content, "userRole": "recruiter"})
	}
	for i := range 25 {
		say(fmt.Sprint(i))
	}
	if kept := history(); len(kept) != 10 || kept[0].Content != "15" || kept[9].Content != "24" {
		t.Errorf("kept %v", kept)
	}
	say(strings.Repeat("x", 700))
	if kept := history(); len(kept) == 0 || len(kept) > 3 || len(kept[len(kept)-1].Content) != 700 {
		t.Errorf("kept %d messages", len(kept))
	}
}

func TestCodeStateIsBounded(t *testing.T) {
	limits := Limits{Questions: 3, CodeTotal: 1000}.withDefaults()
	s := newCodeState(&limits)
	put := func(question string, size int) {
		s.update(question, &questionCode{name: []byte(`"` + question + `"`), code: []byte(`"` + strings.Repeat("c", size) + `"`)})
	}
	has := func(want string) {
		t.Helper()
		got := ""
		total := 0
		for _, q := range []string{"a", "b", "c", "d", "e"} {
			if s.questions[q] != nil {
				got += q
				total += s.questions[q].size()
			}
		}
		if got != want || total != s.bytes {
			t.Errorf("kept %q with %d bytes, counted %d; want %q", got, total, s.bytes, want)
		}
	}
	put("a", 10)
	put("b", 10)
	put("c", 10)
	put("a", 20) // now b is the oldest
	put("d", 10)
	has("acd")
	s.setLanguage("a", []byte(`"go"`))
	s.setLanguage("a", []byte(`"c"`))
	s.setLanguage("nothing", []byte(`"c"`))
	s.setLanguage("d", nil)
	has("acd")
	put("e", 990)
	has("e")
	put("a", 2000) // more than may be kept at all
	has("")
	if text := string(s.currentIndex); text != "0" {
		t.Errorf("index %s", text)
	}
}
