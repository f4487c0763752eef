package signaling

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skillsage/internal/testkit/sioclient"
)

// recorder stands where the media server does and writes down what it is told: these tests are about the boundary.
type recorder struct {
	mu      sync.Mutex
	log     []string
	legs    bool
	fail    error
	onJoin  func(room, member, role string)
	onOffer func(room, from, to, sdp string)
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *recorder) calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// wantCalls compares all that the relay has been told with what it should have been. An acknowledgement does not wait for
// the relay, and whoever hands out a room's parcels may hand out another's: so what is missing may still come. What is
// too much shows for certain only behind a fence.
func (r *rig) wantCalls(relay *recorder, want ...string) {
	r.Helper()
	deadline := time.Now().Add(patience)
	for len(relay.calls()) < len(want) && time.Now().Before(deadline) {
		time.Sleep(2 * time.Millisecond)
	}
	if got := relay.calls(); !slices.Equal(got, want) {
		r.Errorf("the relay was told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (r *recorder) Join(room, member, role string) {
	r.note("join %s %s %s", room, member, role)
	if r.onJoin != nil {
		r.onJoin(room, member, role)
	}
}

func (r *recorder) Leave(room, member string) { r.note("leave %s %s", room, member) }

func (r *recorder) Signal(room, from, to string, screen bool, kind, sdp string, payload []byte) error {
	r.note("signal %s %s %s %v %s %q %s", room, from, to, screen, kind, sdp, payload)
	if r.onOffer != nil && kind == "offer" {
		r.onOffer(room, from, to, sdp)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fail
}

func (r *recorder) Candidate(room, from, to string, screen bool, candidate []byte) error {
	r.note("candidate %s %s %s %v %s", room, from, to, screen, candidate)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fail
}

func (r *recorder) ScreenShareStatus(room, member string, sharing bool) {
	r.note("status %s %s %v", room, member, sharing)
}

func (r *recorder) Alive(room, member string) { r.note("alive %s %s", room, member) }

func (r *recorder) HasLegs(string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.legs
}

func (r *recorder) setFail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

func (r *recorder) setLegs(legs bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.legs = legs
}

func TestRelayIsToldInOrder(t *testing.T) {
	relay := &recorder{}
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	A, B := a.ID(), b.ID()
	r.emitRaw(a, "signal", `{"to":"`+B+`","from":"spoofed","signal":{"type":"offer","sdp":"v=0\r\na=\u00e9\r\n"},"type":"offer"}`)
	r.emitRaw(a, "ice-candidate", `{"to":"`+B+`","candidate":{"candidate":"c1"},"isScreenShare":false}`)
	r.emitRaw(a, "ice-candidate", `{"to":"`+B+`","candidate":null,"isScreenShare":false}`)
	r.fence("iv", a, b)
	r.emitRaw(b, "signal", `{"to":"`+A+`","signal":{"type":"answer","sdp":"v=1"},"type":"answer"}`)
	r.emitRaw(b, "screen-share-status", `{"interviewId":"iv","isSharing":true}`)
	r.emitRaw(b, "signal", `{"to":"`+A+`","signal":{"type":"offer","sdp":"v=2"},"type":"offer","isScreenShare":true}`)
	r.emitRaw(b, "signal", `{"to":"`+A+`","signal":{"renegotiate":true},"type":"renegotiate"}`)
	r.emitRaw(b, "signal", `{"to":"`+A+`","signal":{"type":"transceiverRequest"}}`)
	r.emitRaw(b, "signal", `{"to":"`+A+`","type":"ping"}`)
	r.emitRaw(b, "ice-candidate", `{"to":"`+A+`","candidate":{"candidate":""},"isScreenShare":true}`)
	// None of these reaches the relay.
	r.emitRaw(a, "signal", `{"to":"`+B+`-screen","signal":{"type":"offer","sdp":""},"type":"offer"}`)
	r.emitRaw(a, "signal", `{"to":"`+A+`","signal":{"type":"offer","sdp":""},"type":"offer"}`)
	r.emitRaw(a, "ice-candidate", `{"to":"nobody","candidate":{}}`)
	r.fence("iv", b, a)
	r.fence("iv", a, b)
	b.Close()
	r.wait(a, "user-left")
	r.fence("iv", a, a)
	r.wantCalls(relay,
		"join iv "+A+" recruiter",
		"join iv "+B+" candidate",
		fmt.Sprintf(`signal iv %s %s false offer "v=0\r\na=é\r\n" `, A, B),
		fmt.Sprintf(`candidate iv %s %s false {"candidate":"c1"}`, A, B),
		fmt.Sprintf(`signal iv %s %s false answer "v=1" `, B, A),
		fmt.Sprintf("status iv %s true", B),
		fmt.Sprintf(`signal iv %s %s true offer "v=2" `, B, A),
		fmt.Sprintf(`signal iv %s %s false renegotiate "" {"renegotiate":true}`, B, A),
		fmt.Sprintf(`signal iv %s %s false transceiverRequest "" {"type":"transceiverRequest"}`, B, A),
		fmt.Sprintf(`signal iv %s %s false ping "" `, B, A),
		fmt.Sprintf(`candidate iv %s %s true {"candidate":""}`, B, A),
		"leave iv "+B,
	)
	// Nothing was forwarded past it.
	if a.Count("signal")+b.Count("signal")+a.Count("ice-candidate")+b.Count("ice-candidate") != 0 {
		t.Error("a signal went from member to member")
	}
	if d := r.server.Stats().Dropped; d["no-such-member"] != 2 || d["to-self"] != 1 {
		t.Errorf("dropped %v", d)
	}
}

func TestRelayedDescriptionsAreChecked(t *testing.T) {
	relay := &recorder{}
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	for _, tt := range []struct{ payload, names string }{
		{`"signal":{"type":"offer"},"type":"offer"`, "signal.sdp is missing"},
		{`"signal":{"type":"offer","sdp":5},"type":"offer"`, "signal.sdp must be a string"},
		{`"signal":{"type":"offer","sdp":"a","sdp":"b"},"type":"offer"`, `"sdp" twice`},
		{`"signal":{"type":"answer","sdp":"a"},"type":"offer"`, "signal.type must be offer"},
		{`"signal":{"type":7,"sdp":"a"},"type":"offer"`, "signal.type must be offer"},
		{`"signal":{"SDP":"a"},"type":"offer"`, "signal.sdp is missing"},
		{`"signal":{}`, "type is missing"},
		{`"signal":{"type":["offer"]}`, "type must be a short string"},
	} {
		r.emitRaw(a, "signal", `{"to":"`+b.ID()+`",`+tt.payload+`}`)
		var told struct{ Event, Code, Message string }
		if err := r.wait(a, "error-message").Decode(&told); err != nil || told.Code != "bad-payload" || !strings.Contains(told.Message, tt.names) {
			t.Errorf("%s\n got %+v, want %q", tt.payload, told, tt.names)
		}
	}
	// Without a type beside it, the description's own word counts.
	r.emitRaw(a, "signal", `{"to":"`+b.ID()+`","signal":{"type":"offer","sdp":"s"}}`)
	r.fence("iv", a, a)
	r.wantCalls(relay, "join iv "+a.ID()+" recruiter", "join iv "+b.ID()+" candidate",
		fmt.Sprintf(`signal iv %s %s false offer "s" `, a.ID(), b.ID()))
}

func TestRelayRefusals(t *testing.T) {
	relay := &recorder{}
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	offer := map[string]any{"to": b.ID(), "signal": map[string]string{"type": "offer", "sdp": "x"}, "type": "offer"}
	candidate := map[string]any{"to": b.ID(), "candidate": map[string]any{}}
	if got := r.call(a, "signal", offer) + r.call(a, "ice-candidate", candidate); got != `{"ok":true}{"ok":true}` {
		t.Errorf("acknowledged: %s", got)
	}
	relay.setFail(errors.New("line 3 is no SDP"))
	want := `{"ok":false,"code":"bad-description","message":"line 3 is no SDP"}`
	if got := r.call(a, "signal", offer); got != want {
		t.Errorf("acknowledged: %s", got)
	}
	if got := r.call(a, "ice-candidate", candidate); got != want {
		t.Errorf("acknowledged: %s", got)
	}
	r.emit(a, "signal", offer)
	r.waitText(a, "error-message", `{"event":"signal","code":"bad-description","message":"line 3 is no SDP"}`)
	r.emit(a, "ice-candidate", candidate)
	r.waitText(a, "error-message", `{"event":"ice-candidate","code":"bad-description","message":"line 3 is no SDP"}`)
	// What turns out only later comes by State.
	r.server.State("iv", a.ID(), b.ID(), false, "refused", "no codec in common")
	r.waitText(a, "error-message", `{"event":"signal","code":"bad-description","message":"no codec in common"}`)
	r.fence("iv", b, b)
	r.wantNames("other", b, welcome...)
}

func TestMediaUnsupported(t *testing.T) {
	relay := &recorder{}
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	stranger := r.join("other", "candidate")
	r.server.Unsupported("iv", a.ID(), b.ID(), true, "video", "no video codec in common")
	r.waitText(a, "media-unsupported", fmt.Sprintf(`{"userId":"%s","kind":"video","isScreenShare":true,"reason":"no video codec in common"}`, b.ID()))
	r.server.Unsupported("iv", b.ID(), a.ID(), false, "audio", "none")
	r.waitText(b, "media-unsupported", fmt.Sprintf(`{"userId":"%s","kind":"audio","isScreenShare":false,"reason":"none"}`, a.ID()))
	for _, pair := range [][2]string{{a.ID(), "gone"}, {"gone", a.ID()}, {stranger.ID(), a.ID()}, {a.ID(), stranger.ID()}} {
		r.server.Unsupported("iv", pair[0], pair[1], false, "video", "")
	}
	r.server.Unsupported("no room", a.ID(), b.ID(), false, "video", "")
	r.fence("iv", a, a, b)
	r.fence("other", stranger, stranger)
	if a.Count("media-unsupported") != 1 || b.Count("media-unsupported") != 1 || stranger.Count("media-unsupported") != 0 {
		t.Errorf("recruiter received %q, candidate %q, a stranger %q", names(a), names(b), names(stranger))
	}
}

func TestRelaySends(t *testing.T) {
	relay := &recorder{}
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	stranger := r.join("other", "candidate")
	for i := range 100 {
		r.server.Send("iv", b.ID(), a.ID(), i%2 == 1, "offer", fmt.Sprintf("v=%d\r\n<&>", i))
	}
	for i := range 100 {
		r.waitText(b, "signal", fmt.Sprintf(`{"from":"%s","signal":{"type":"offer","sdp":"v=%d\r\n<&>"},"type":"offer","isScreenShare":%v}`, a.ID(), i, i%2 == 1))
	}
	// In nobody's name, to nobody, nowhere.
	r.server.Send("iv", b.ID(), "gone", false, "offer", "")
	r.server.Send("iv", b.ID(), stranger.ID(), false, "offer", "")
	r.server.Send("iv", "gone", a.ID(), false, "offer", "")
	r.server.Send("iv", stranger.ID(), a.ID(), false, "offer", "")
	r.server.Send("no room", b.ID(), a.ID(), false, "offer", "")
	r.server.State("no room", b.ID(), a.ID(), false, "rehome", "")
	r.server.State("iv", b.ID(), "gone", false, "rehome", "")
	r.server.State("iv", "gone", "gone", false, "refused", "")
	r.server.State("iv", a.ID(), b.ID(), false, "connected", "")
	r.server.State("iv", a.ID(), b.ID(), false, "news", "")
	r.fence("iv", a, a, b)
	r.fence("other", stranger, stranger)
	r.wantNames("stranger", stranger, welcome...)
	if a.Count("signal") != 0 || b.Count("signal") != 100 || b.Count("user-left") != 0 {
		t.Errorf("recruiter received %q, candidate %q", names(a), names(b))
	}
	st := r.server.Stats()
	if st.RelaySent != 100 || st.Dropped["no-such-member"] != 4 || st.LegStates["connected"] != 1 || st.LegStates["other"] != 1 {
		t.Errorf("counted %+v", st)
	}
}

func TestRehome(t *testing.T) {
	relay := &recorder{}
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b, c := r.join("iv", "recruiter"), r.join("iv", "candidate"), r.join("iv", "recruiter")
	r.server.State("iv", a.ID(), b.ID(), false, "rehome", "no answer in 10 s")
	r.waitText(a, "user-left", `{"userId":"`+b.ID()+`"}`)
	r.wait(a, "user-joined") // of b's own arrival
	r.wait(a, "user-joined") // of c's
	r.waitText(a, "user-joined", `{"userId":"`+b.ID()+`","userRole":"candidate"}`)
	r.waitText(b, "user-left", `{"userId":"`+a.ID()+`"}`)
	users := fmt.Sprintf(`{"%s":{"userRole":"recruiter"},"%s":{"userRole":"candidate"},"%s":{"userRole":"recruiter"}}`, a.ID(), b.ID(), c.ID())
	r.waitText(b, "room-users", users)
	r.fence("iv", c, a, b, c)
	r.wantNames("who offered", a, append(welcome, "user-joined", "user-joined", "user-left", "user-joined")...)
	r.wantNames("who answers", b, append(welcome, "user-joined", "user-left", "room-users")...)
	r.wantNames("third", c, welcome...)
	r.wantCalls(relay, "join iv "+a.ID()+" recruiter", "join iv "+b.ID()+" candidate", "join iv "+c.ID()+" recruiter")
}

// TestRelayMayCallBack: a relay that answers from within its own methods neither locks up nor gets ahead of what it
// answers to, however many threads of it call.
func TestRelayMayCallBack(t *testing.T) {
	relay := &recorder{}
	var server *Server
	relay.onJoin = func(room, member, role string) {
		server.Send(room, member, member, true, "offer", "running share") // sent before the joiner's own room-users?
	}
	relay.onOffer = func(room, from, to, sdp string) {
		server.Send(room, to, from, false, "offer", sdp)
		server.State(room, from, to, false, "refused", "because")
	}
	r := start(t, Options{Mode: ModeRelay}, relay)
	server = r.server
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.wait(a, "signal")
	r.wait(b, "signal")
	var threads sync.WaitGroup
	for range 4 {
		threads.Go(func() {
			for range 50 {
				r.server.Send("iv", a.ID(), b.ID(), false, "offer", "x")
			}
		})
	}
	for range 50 {
		r.emit(a, "signal", map[string]any{"to": b.ID(), "signal": map[string]string{"type": "offer", "sdp": "y"}, "type": "offer"})
	}
	threads.Wait()
	r.fence("iv", a, a, b)
	if got := names(b)[:4]; !slices.Equal(got, append(welcome, "signal")) {
		t.Errorf("the joiner received %q first", got)
	}
	if n, m, e := a.Count("signal"), b.Count("signal"), a.Count("error-message"); n != 201 || m != 51 || e != 50 {
		t.Errorf("%d and %d signals, %d errors; want 201, 51, 50", n, m, e)
	}
}

func TestRelayPanicIsContained(t *testing.T) {
	relay := &recorder{}
	relay.onOffer = func(string, string, string, string) { panic("bug") }
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.emit(a, "signal", map[string]any{"to": b.ID(), "signal": map[string]string{"type": "offer", "sdp": "y"}, "type": "offer"})
	r.fence("iv", a, a, b)
	if n := r.server.stats.panics.Swap(0); n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

func TestModeOfARoom(t *testing.T) {
	type step struct {
		role, mode string
		want       string // mode after the join
		refused    string // why not; "" = granted
	}
	tests := []struct {
		name     string
		preset   Mode
		roomMode RoomMode
		relay    bool
		steps    []step
	}{
		{"server's relay", ModeRelay, RoomModeServer, true, []step{{"recruiter", `"relay"`, "relay", ""}, {"recruiter", `"p2p"`, "relay", "the server's"}}},
		{"server's p2p", ModeP2P, RoomModeServer, true, []step{{"recruiter", `"relay"`, "p2p", "the server's"}}},
		{"no relay", ModeRelay, RoomModeRecruiter, false, []step{{"recruiter", "", "p2p", ""}, {"recruiter", `"relay"`, "p2p", "no relay"}}},
		{"recruiter opens", ModeRelay, RoomModeRecruiter, true, []step{{"recruiter", `"p2p"`, "p2p", ""}, {"candidate", "", "p2p", ""}}},
		{"recruiter changes", ModeP2P, RoomModeRecruiter, true, []step{{"candidate", "", "p2p", ""}, {"recruiter", `"relay"`, "relay", ""}, {"recruiter", `"p2p"`, "p2p", ""}}},
		{"candidate may not", ModeRelay, RoomModeRecruiter, true, []step{{"candidate", `"p2p"`, "relay", "only a recruiter"}, {"candidate", `"relay"`, "relay", ""}}},
		{"unknown mode", ModeRelay, RoomModeRecruiter, true, []step{{"recruiter", `"sfu"`, "relay", "must be relay or p2p"}, {"recruiter", `7`, "relay", "must be relay or p2p"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var relay Relay
			if tt.relay {
				relay = &recorder{}
			}
			r := start(t, Options{Mode: tt.preset, RoomMode: tt.roomMode}, relay)
			for _, s := range tt.steps {
				payload := map[string]any{"interviewId": "iv", "userRole": s.role}
				if s.mode != "" {
					payload["mode"] = rawJSON(s.mode)
				}
				got := r.call(r.dial(), "join-room", payload)
				if !strings.Contains(got, `"ok":true`) || !strings.Contains(got, `"mode":"`+s.want+`"`) {
					t.Errorf("%+v: %s", s, got)
				}
				if refused := strings.Contains(got, `"warning":{"code":"mode-refused"`); refused != (s.refused != "") || !strings.Contains(got, s.refused) {
					t.Errorf("%+v: %s", s, got)
				}
			}
		})
	}
}

func TestModeIsFixedByTheFirstCall(t *testing.T) {
	relay := &recorder{}
	r := start(t, Options{Mode: ModeP2P, RoomMode: RoomModeRecruiter}, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	choose := func(mode string) string {
		return r.call(a, "join-room", map[string]any{"interviewId": "iv", "userRole": "recruiter", "mode": mode})
	}
	if got := choose("relay"); !strings.Contains(got, `"mode":"relay"}`) {
		t.Fatal(got)
	}
	told := []string{"join iv " + a.ID() + " recruiter", "join iv " + b.ID() + " candidate"}
	r.fence("iv", a, a)
	r.wantCalls(relay, told...)
	relay.setLegs(true)
	if got := choose("p2p"); !strings.Contains(got, `"mode":"relay","warning":{"code":"mode-refused"`) {
		t.Error(got)
	}
	r.fence("iv", a, a)
	r.wantCalls(relay, told...)
	relay.setLegs(false)
	if got := choose("p2p"); !strings.Contains(got, `"mode":"p2p"}`) {
		t.Error(got)
	}
	told = append(told, "leave iv "+a.ID(), "leave iv "+b.ID())
	r.fence("iv", a, a)
	r.wantCalls(relay, told...)
	r.emit(a, "signal", map[string]any{"to": b.ID(), "signal": map[string]string{"type": "offer", "sdp": ""}, "type": "offer"})
	r.wait(b, "signal")
	if got := choose("relay"); !strings.Contains(got, "the call has begun") {
		t.Error(got)
	}
	// Without an acknowledgement the refusal comes as an event, and the join stands.
	r.emit(a, "join-room", map[string]any{"interviewId": "iv", "userRole": "recruiter", "mode": "relay"})
	r.waitText(a, "error-message", `{"event":"join-room","code":"mode-refused","message":"the call has begun; the room stays in mode p2p"}`)
	if a.Count("join-error") != 0 {
		t.Error("the join failed")
	}
	r.fence("iv", a, a)
	r.wantCalls(relay, told...)
}

// TestProbe: the relay hears of a client that lives, and of nobody else.
func TestProbe(t *testing.T) {
	for _, transport := range []string{sioclient.WebSocket, sioclient.Polling} {
		t.Run(transport, func(t *testing.T) {
			relay := &recorder{}
			options := withGrace(time.Minute)
			options.Mode = ModeRelay
			r := start(t, options, relay)
			a := r.join("iv", "recruiter", sioclient.Options{Transport: transport})
			mute := r.join("iv", "candidate")
			joins := []string{"join iv " + a.ID() + " recruiter", "join iv " + mute.ID() + " candidate"}
			mute.Mute()
			r.server.Probe("iv", mute.ID())
			r.server.Probe("iv", "gone")
			r.server.Probe("no room", a.ID())
			r.server.Probe("iv", a.ID())
			r.wantCalls(relay, append(joins, "alive iv "+a.ID())...)

			// A client that is away is asked nothing; it tells by coming back.
			recovery := a.Recovery()
			time.Sleep(200 * time.Millisecond) // between two polls the server does not notice
			a.Abort()
			r.eventually("suspended", func() bool { return r.server.Stats().SocketIO.Suspended == 1 })
			r.server.Probe("iv", a.ID())
			back := r.dial(sioclient.Options{Transport: transport, Recover: recovery})
			if back.ID() != a.ID() {
				t.Fatal("not recovered")
			}
			r.fence("iv", back, back)
			r.wantCalls(relay, append(joins, "alive iv "+a.ID(), "alive iv "+a.ID())...)
		})
	}
}

// TestProbeOfOneWhoLeaves: the relay hears nothing more of a member after its leave.
func TestProbeOfOneWhoLeaves(t *testing.T) {
	relay := &recorder{}
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	A, B := a.ID(), b.ID()
	for range 20 {
		r.server.Probe("iv", B)
	}
	r.emit(b, "join-room", map[string]any{"interviewId": "other", "userRole": "candidate"})
	r.wait(a, "user-left")
	r.server.Probe("iv", B)
	r.server.Probe("other", B)
	r.wait(b, "code-state")
	r.eventually("heard of in the other room", func() bool { return slices.Contains(relay.calls(), "alive other "+B) })
	calls := relay.calls()
	left := slices.Index(calls, "leave iv "+B)
	if left < 0 || slices.Contains(calls[left:], "alive iv "+B) {
		t.Errorf("the relay was told\n%s", strings.Join(calls, "\n"))
	}
	if slices.Contains(calls, "alive iv "+A) {
		t.Error("heard of somebody who was not asked")
	}
}
