package signaling

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"skillsage/internal/testkit/sioclient"
)

// recordingTape stands where the recorder does: these tests are about the boundary. It writes into the same book as the relay, so
// that the order between the two shows.
type recordingTape struct {
	*recorder
	server *Server
	status RecordingStatus                            // guarded by recorder.mu
	start  func(*recordingTape, string, string) error // what Start does; nil: it begins to record
}

func (t *recordingTape) Join(room, member, role string) {
	t.note("recorder: join %s %s %s", room, member, role)
}
func (t *recordingTape) Leave(room, member string) { t.note("recorder: leave %s %s", room, member) }

func (t *recordingTape) Said(room, member, event string, payload []byte) {
	t.note("recorder: said %s %s %s %s", room, member, event, payload)
}

func (t *recordingTape) Start(room, by string) error {
	t.note("recorder: start %s %s", room, by)
	if t.start != nil {
		return t.start(t, room, by)
	}
	since := time.Date(2026, 11, 26, 10, 53, 16, 250_000_000, time.UTC)
	t.tell(room, RecordingStatus{State: RecordingOn, Mode: "on-request", Consent: "notice", Recording: "r1", Since: &since})
	return nil
}

func (t *recordingTape) Stop(room, by string) error {
	t.note("recorder: stop %s %s", room, by)
	t.tell(room, RecordingStatus{State: RecordingOff, Mode: "on-request", Consent: "notice", Recording: "r1", Reason: "requested"})
	return nil
}

func (t *recordingTape) Consent(room, member string, agreed bool) error {
	t.note("recorder: consent %s %s %v", room, member, agreed)
	t.recorder.mu.Lock()
	defer t.recorder.mu.Unlock()
	return t.fail
}

func (t *recordingTape) Status(string) RecordingStatus {
	t.recorder.mu.Lock()
	defer t.recorder.mu.Unlock()
	return t.status
}

// tell tells the room from within the call, as a recorder may.
func (t *recordingTape) tell(room string, status RecordingStatus) {
	t.recorder.mu.Lock()
	t.status = status
	t.recorder.mu.Unlock()
	t.server.RecordingStatus(room, status)
}

const (
	idleStatus = `{"state":"off","mode":"on-request","consent":"notice","recording":"","pending":[],"refused":[],"reason":""}`
	onStatus   = `{"state":"recording","mode":"on-request","consent":"notice","recording":"r1","since":"2026-11-26T10:53:16.25Z","pending":[],"refused":[],"reason":""}`
	offStatus  = `{"state":"off","mode":"on-request","consent":"notice","recording":"r1","pending":[],"refused":[],"reason":"requested"}`
)

// startTaped is a server that records, with a relay or without.
func startTaped(t *testing.T, o Options, relayed bool) (*rig, *recordingTape) {
	tape := &recordingTape{recorder: &recorder{}}
	var relay Relay
	if relayed {
		relay = tape.recorder
	}
	r := start(t, o, relay, func(s *Server) {
		tape.server = s
		s.SetRecorder(tape, Recording{
			Idle:    RecordingStatus{State: RecordingOff, Mode: "on-request", Consent: "notice"},
			Started: "This is recorded.", Stopped: "This is not recorded any more.",
		})
	})
	return r, tape
}

// joinModern joins as a page does that shows recording-status itself.
func (r *rig) joinModern(room, role string, o ...sioclient.Options) *sioclient.Client {
	r.Helper()
	c := r.dial(o...)
	r.emit(c, "join-room", map[string]any{"interviewId": room, "userRole": role, "showsRecording": true})
	r.wait(c, "code-state")
	r.wait(c, "recording-status")
	return c
}

var inRoom = map[string]any{"interviewId": "iv"}

func TestRecordingIsToldToEverybody(t *testing.T) {
	r, _ := startTaped(t, Options{Mode: ModeRelay}, true)
	a, b := r.joinModern("iv", "recruiter"), r.joinModern("iv", "candidate")
	stranger := r.joinModern("other", "candidate")
	if got, want := r.call(a, "recording-start", inRoom), `{"ok":true,"status":`+onStatus+`}`; got != want {
		t.Errorf("acknowledged\n got %s\nwant %s", got, want)
	}
	late := r.dial()
	r.emit(late, "join-room", map[string]any{"interviewId": "iv", "userRole": "recruiter", "showsRecording": true})
	r.waitText(late, "recording-status", onStatus)
	if got, want := r.call(late, "recording-stop", inRoom), `{"ok":true,"status":`+offStatus+`}`; got != want {
		t.Errorf("acknowledged\n got %s\nwant %s", got, want)
	}
	for _, c := range []*sioclient.Client{a, b} {
		r.waitText(c, "recording-status", onStatus)
		r.waitText(c, "recording-status", offStatus)
	}
	r.fence("iv", a, a, b, late)
	r.fence("other", stranger, stranger)
	r.wantNames("candidate", b, append(welcome, "recording-status", "recording-status", "user-joined", "recording-status")...)
	r.wantNames("late", late, append(welcome, "recording-status", "recording-status")...)
	r.wantNames("stranger", stranger, append(welcome, "recording-status")...)
	if first := b.Events()[3]; first.Text() != idleStatus {
		t.Errorf("before the recording: %s", first.Text())
	}
}

// TestRecordingNotice: pages that do not show recordings get a line in the chat, which is no message of anybody's and not
// kept.
func TestRecordingNotice(t *testing.T) {
	r, tape := startTaped(t, Options{Mode: ModeRelay}, true)
	modern, old := r.joinModern("iv", "recruiter"), r.join("iv", "candidate")
	r.call(modern, "recording-start", inRoom)
	notice := func(c *sioclient.Client, text string) {
		t.Helper()
		if got, want := fixed(t, r.wait(c, "chat-message").Text()), `{"id":0,"content":"`+text+`","timestamp":"T","sender":"system","isOwn":false}`; got != want {
			t.Errorf("notice\n got %s\nwant %s", got, want)
		}
	}
	notice(old, "This is recorded.")
	joiner := r.join("iv", "recruiter")
	notice(joiner, "This is recorded.")
	// More of the same is no news.
	tape.tell("iv", RecordingStatus{State: RecordingOn, Pending: []string{joiner.ID()}})
	r.call(modern, "recording-stop", inRoom)
	notice(old, "This is not recorded any more.")
	notice(joiner, "This is not recorded any more.")
	after := r.dial()
	r.emit(after, "join-room", map[string]string{"interviewId": "iv", "userRole": "recruiter"})
	r.waitText(after, "chat-history", "[]")
	r.waitText(after, "recording-status", offStatus)
	r.fence("iv", modern, modern, old, joiner, after)
	if modern.Count("chat-message") != 0 || old.Count("chat-message") != 2 || joiner.Count("chat-message") != 2 || after.Count("chat-message") != 0 {
		t.Errorf("modern received %q, old %q, joiner %q, after %q", names(modern), names(old), names(joiner), names(after))
	}
	for _, call := range tape.calls() {
		if strings.Contains(call, "chat-message") {
			t.Errorf("the recorder was told: %s", call)
		}
	}
}

func TestRecordingIsForRecruitersOfTheRoom(t *testing.T) {
	r, tape := startTaped(t, Options{Mode: ModeRelay}, true)
	a, b := r.joinModern("iv", "recruiter"), r.joinModern("iv", "candidate")
	stranger, outside := r.joinModern("other", "recruiter"), r.dial()
	for _, event := range []string{"recording-start", "recording-stop"} {
		if got := r.call(b, event, inRoom); got != `{"ok":false,"code":"not-allowed","message":"only a recruiter may start and stop recordings"}` {
			t.Errorf("candidate's %s: %s", event, got)
		}
		r.emit(b, event, inRoom)
		r.waitText(b, "error-message", `{"event":"`+event+`","code":"not-allowed","message":"only a recruiter may start and stop recordings"}`)
	}
	for _, event := range []string{"recording-start", "recording-stop", "recording-consent"} {
		for _, c := range []*sioclient.Client{stranger, outside} {
			if got := r.call(c, event, map[string]any{"interviewId": "iv", "agreed": true}); got != `{"ok":false,"code":"not-joined","message":"this socket is not in that room"}` {
				t.Errorf("stranger's %s: %s", event, got)
			}
		}
	}
	r.fence("iv", a, a, b)
	if a.Count("recording-status") != 1 {
		t.Errorf("recruiter received %q", names(a))
	}
	for _, call := range tape.calls() {
		if strings.Contains(call, "start") || strings.Contains(call, "stop") || strings.Contains(call, "consent") {
			t.Errorf("the recorder was told: %s", call)
		}
	}
	if st := r.server.Stats(); st.Refused["not-allowed"] != 4 || st.Dropped["not-joined"] != 6 {
		t.Errorf("refused %v, dropped %v", st.Refused, st.Dropped)
	}
}

func TestRecordingConsent(t *testing.T) {
	r, tape := startTaped(t, Options{Mode: ModeRelay}, true)
	tape.start = func(tape *recordingTape, room, by string) error {
		tape.tell(room, RecordingStatus{State: RecordingWaiting, Mode: "on-request", Consent: "required", Pending: []string{by}, Refused: []string{"x"}})
		return nil
	}
	a, b := r.joinModern("iv", "recruiter"), r.join("iv", "candidate")
	r.call(a, "recording-start", inRoom)
	want := `{"state":"waiting","mode":"on-request","consent":"required","recording":"","pending":["` + a.ID() + `"],"refused":["x"],"reason":""}`
	r.waitText(b, "recording-status", idleStatus)
	r.waitText(b, "recording-status", want)
	if got := r.call(b, "recording-consent", map[string]any{"interviewId": "iv", "agreed": false}); got != `{"ok":true,"status":`+want+`}` {
		t.Errorf("acknowledged: %s", got)
	}
	tape.setFail(&RecordingError{Code: "not-recording", Message: "nobody has asked"})
	if got := r.call(b, "recording-consent", map[string]any{"interviewId": "iv", "agreed": true}); got != `{"ok":false,"code":"not-recording","message":"nobody has asked"}` {
		t.Errorf("acknowledged: %s", got)
	}
	tape.setFail(errors.New("of its own"))
	r.emit(b, "recording-consent", map[string]any{"interviewId": "iv", "agreed": true})
	r.waitText(b, "error-message", `{"event":"recording-consent","code":"busy","message":"of its own"}`)
	r.fence("iv", b, a, b)
	calls := slices.DeleteFunc(tape.calls(), func(call string) bool { return !strings.Contains(call, "consent") })
	if want := []string{"recorder: consent iv " + b.ID() + " false", "recorder: consent iv " + b.ID() + " true", "recorder: consent iv " + b.ID() + " true"}; !slices.Equal(calls, want) {
		t.Errorf("the recorder was told %q, want %q", calls, want)
	}
	if b.Count("chat-message") != 0 {
		t.Error("an old page was told of a recording that does not run yet")
	}
	if st := r.server.Stats(); st.Refused["not-recording"] != 1 || st.Refused["busy"] != 1 {
		t.Errorf("refused %v", st.Refused)
	}
}

func TestServerThatDoesNotRecord(t *testing.T) {
	r := start(t, Options{Mode: ModeRelay}, &recorder{})
	a := r.join("iv", "recruiter")
	for event, payload := range map[string]map[string]any{"recording-start": inRoom, "recording-stop": inRoom, "recording-consent": {"interviewId": "iv", "agreed": true}} {
		if got := r.call(a, event, payload); got != `{"ok":false,"code":"off","message":"this server does not record"}` {
			t.Errorf("%s acknowledged: %s", event, got)
		}
	}
	r.wantNames("recruiter", a, welcome...)
}

// TestRecorderIsToldInOrder: of each event of a member the relay hears first, and both in the order of what happened; what is said
// arrives as the others get it, also from a page that only names the room.
func TestRecorderIsToldInOrder(t *testing.T) {
	r, tape := startTaped(t, Options{Mode: ModeRelay}, true)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	outside := r.dial()
	var want []string
	for _, c := range []*sioclient.Client{a, b} {
		role := map[*sioclient.Client]string{a: "recruiter", b: "candidate"}[c]
		want = append(want, "join iv "+c.ID()+" "+role, "recorder: join iv "+c.ID()+" "+role)
	}
	said := func(c *sioclient.Client, event, payload string) {
		r.emitRaw(c, event, payload)
		want = append(want, "recorder: said iv "+c.ID()+" "+event+" "+r.wait(a, event).Text())
	}
	said(b, "chat-message", `{"interviewId":"iv","content":"\u00e9 <b>","userRole":"candidate"}`)
	said(outside, "chat-message", `{"interviewId":"iv","content":"late","userRole":"candidate"}`)
	said(b, "code-update", `{"interviewId":"iv","questionId":"q","code":"x","language":"go","currentQuestionIndex":1}`)
	said(b, "language-change", `{"interviewId":"iv","questionId":"q","language":"c","currentQuestionIndex":1}`)
	said(a, "question-change", `{"interviewId":"iv","questionId":"q","currentQuestionIndex":2}`)
	said(b, "screen-share-status", `{"interviewId":"iv","isSharing":true}`)
	want = append(want, fmt.Sprintf("status iv %s true", b.ID()))
	b.Close()
	r.wait(a, "user-left")
	want = append(want, "leave iv "+b.ID(), "recorder: leave iv "+b.ID())
	r.wantCalls(tape.recorder, want...)
}

// TestRecoveredMemberHearsOfTheRecording: what happened while a client was away is no less true.
func TestRecoveredMemberHearsOfTheRecording(t *testing.T) {
	o := withGrace(time.Minute)
	o.Mode = ModeRelay
	r, tape := startTaped(t, o, true)
	a, b := r.joinModern("iv", "recruiter"), r.join("iv", "candidate")
	r.waitText(b, "recording-status", idleStatus)
	words := b.Recovery()
	b.Abort()
	r.eventually("suspended", func() bool { return r.server.Stats().SocketIO.Suspended == 1 })
	r.call(a, "recording-start", inRoom)
	back := r.dial(sioclient.Options{Recover: words})
	r.waitText(back, "recording-status", onStatus)
	r.wait(back, "chat-message")
	r.wantCalls(tape.recorder, "join iv "+a.ID()+" recruiter", "recorder: join iv "+a.ID()+" recruiter", "join iv "+b.ID()+" candidate",
		"recorder: join iv "+b.ID()+" candidate", "recorder: start iv "+a.ID(), "alive iv "+b.ID())
}

// TestRecordingsAreNotAskedForTooOften: each makes files, or an event for everybody.
func TestRecordingsAreNotAskedForTooOften(t *testing.T) {
	r, _ := startTaped(t, Options{Mode: ModeRelay}, true)
	a, b := r.joinModern("iv", "recruiter"), r.joinModern("iv", "candidate")
	for range recordingBurst {
		r.call(b, "recording-consent", map[string]any{"interviewId": "iv", "agreed": true})
	}
	if got := r.call(b, "recording-consent", map[string]any{"interviewId": "iv", "agreed": false}); !strings.Contains(got, `"code":"busy"`) {
		t.Errorf("acknowledged: %s", got)
	}
	if got := r.call(a, "recording-start", inRoom); !strings.Contains(got, `"ok":true`) {
		t.Errorf("another socket's: %s", got)
	}
}

// TestRecordedRoomIsRelayed: calls from browser to browser are built anew when a recording begins, and the room does not go
// back.
func TestRecordedRoomIsRelayed(t *testing.T) {
	r, tape := startTaped(t, Options{Mode: ModeP2P, RoomMode: RoomModeRecruiter}, true)
	tape.start = func(tape *recordingTape, room, by string) error { return tape.server.Relayed(room) }
	r.server.SetICEServers(time.Hour, func(_ string, mode Mode) []ICEServer { return []ICEServer{{URLs: []string{"stun:" + string(mode)}}} })
	a, b, c := r.joinModern("iv", "recruiter"), r.joinModern("iv", "recruiter"), r.joinModern("iv", "candidate")
	r.emitRaw(a, "signal", `{"to":"`+c.ID()+`","signal":{"type":"offer","sdp":"v=0"},"type":"offer"}`)
	r.wait(c, "signal")
	r.fence("iv", a, a, b, c)
	before := map[*sioclient.Client]int{a: len(a.Events()), b: len(b.Events()), c: len(c.Events())}
	if got := r.call(a, "recording-start", inRoom); !strings.Contains(got, `"ok":true`) {
		t.Fatalf("acknowledged: %s", got)
	}
	r.emitRaw(a, "signal", `{"to":"`+c.ID()+`","signal":{"type":"offer","sdp":"v=1"},"type":"offer"}`)
	r.fence("iv", a, a, b, c)
	joined := func(other *sioclient.Client) string {
		role := map[*sioclient.Client]string{a: "recruiter", b: "recruiter", c: "candidate"}[other]
		return "user-joined " + `{"userId":"` + other.ID() + `","userRole":"` + role + `"}`
	}
	left := func(other *sioclient.Client) string { return `user-left {"userId":"` + other.ID() + `"}` }
	users := fmt.Sprintf(`room-users {"%s":{"userRole":"recruiter"},"%s":{"userRole":"recruiter"},"%s":{"userRole":"candidate"}}`, a.ID(), b.ID(), c.ID())
	mode, servers := `room-mode {"mode":"relay"}`, `ice-servers {"iceServers":[{"urls":["stun:relay"]}],"ttl":3600}`
	for client, want := range map[*sioclient.Client][]string{
		a: {mode, servers, left(b), left(c), joined(b), joined(c), users},
		b: {mode, servers, left(a), left(c), joined(c), users},
		c: {mode, servers, left(a), left(b), users},
	} {
		var got []string
		for _, e := range client.Events()[before[client]:] {
			if e.Name != "question-change" {
				got = append(got, e.Name+" "+e.Text())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("received\n got %q\nwant %q", got, want)
		}
	}
	var told []string
	for _, call := range tape.calls() {
		if !strings.HasPrefix(call, "recorder:") {
			told = append(told, call)
		}
	}
	want := []string{"join iv " + a.ID() + " recruiter", "join iv " + b.ID() + " recruiter", "join iv " + c.ID() + " candidate",
		fmt.Sprintf(`signal iv %s %s false offer "v=1" `, a.ID(), c.ID())}
	if !slices.Equal(told, want) {
		t.Errorf("the relay was told %q, want %q", told, want)
	}
	// Asking again changes nothing, and nobody gets the room back.
	if err := r.server.Relayed("iv"); err != nil {
		t.Error(err)
	}
	got := r.call(a, "join-room", map[string]string{"interviewId": "iv", "userRole": "recruiter", "mode": "p2p"})
	var ack struct {
		Mode    string
		Warning struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(got), &ack); err != nil || ack.Mode != "relay" || ack.Warning.Code != "mode-refused" || !strings.Contains(ack.Warning.Message, "recorded") {
		t.Errorf("acknowledged: %s", got)
	}
	r.fence("iv", c, c)
	if c.Count("user-left") != 2 {
		t.Errorf("received %q", names(c))
	}
}

// TestRelayedBeforeAnybodyHasCalled: there is nothing to build anew.
func TestRelayedBeforeAnybodyHasCalled(t *testing.T) {
	r, tape := startTaped(t, Options{Mode: ModeP2P, RoomMode: RoomModeRecruiter}, true)
	a, b := r.joinModern("iv", "recruiter"), r.joinModern("iv", "candidate")
	if err := r.server.Relayed("iv"); err != nil {
		t.Fatal(err)
	}
	r.waitText(b, "room-mode", `{"mode":"relay"}`)
	r.fence("iv", a, a, b)
	r.wantNames("recruiter", a, append(welcome, "recording-status", "user-joined", "room-mode")...)
	r.wantNames("candidate", b, append(welcome, "recording-status", "room-mode")...)
	if calls := tape.calls(); !slices.Contains(calls, "join iv "+b.ID()+" candidate") {
		t.Errorf("the relay was told %q", calls)
	}
}

func TestRelayedIsRefused(t *testing.T) {
	r, _ := startTaped(t, Options{}, false)
	r.join("iv", "recruiter")
	if err := r.server.Relayed("iv"); err == nil {
		t.Error("a server without a relay relays")
	}
	r, _ = startTaped(t, Options{}, true)
	if err := r.server.Relayed("iv"); err == nil {
		t.Error("a room that is not there is relayed")
	}
	r.server.RecordingStatus("iv", RecordingStatus{State: RecordingOn})
	if d := r.server.Stats().Dropped; d["no-such-room"] != 1 {
		t.Errorf("dropped %v", d)
	}
}
