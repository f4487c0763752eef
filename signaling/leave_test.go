package signaling

import (
	"context"
	"strings"
	"testing"
	"time"

	"skillsage/internal/testkit/sioclient"
	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio"
)

// TestUserLeftOnce: every kind of ending is told exactly once, with recovery on and off.
func TestUserLeftOnce(t *testing.T) {
	endings := []struct {
		name      string
		transport string
		end       func(r *rig, c *sioclient.Client)
	}{
		{"close frame", sioclient.WebSocket, func(_ *rig, c *sioclient.Client) { c.Close() }},
		{"close packet by polling", sioclient.Polling, func(_ *rig, c *sioclient.Client) { c.Close() }},
		{"disconnect packet", sioclient.WebSocket, func(r *rig, c *sioclient.Client) { _ = c.Disconnect() }},
		{"disconnect packet, then close frame", sioclient.Upgrade, func(r *rig, c *sioclient.Client) { _ = c.Disconnect(); c.Close() }},
		{"cut connection", sioclient.WebSocket, func(_ *rig, c *sioclient.Client) { c.Abort() }},
		{"cut polling", sioclient.Polling, func(_ *rig, c *sioclient.Client) { c.Abort() }},
		{"silence", sioclient.WebSocket, func(_ *rig, c *sioclient.Client) { c.Mute() }},
		{"broken packet", sioclient.WebSocket, func(_ *rig, c *sioclient.Client) { _ = c.WriteRaw("4x") }},
		{"another room", sioclient.WebSocket, func(r *rig, c *sioclient.Client) { r.rejoin(c, "other", "candidate"); c.Close() }},
		{"many joins, then a cut", sioclient.WebSocket, func(r *rig, c *sioclient.Client) {
			for range 20 {
				r.rejoin(c, "iv", "candidate")
			}
			c.Abort()
		}},
	}
	for _, grace := range []time.Duration{0, 50 * time.Millisecond} {
		for _, tt := range endings {
			t.Run(tt.name+" grace "+grace.String(), func(t *testing.T) {
				t.Parallel()
				o := withGrace(grace)
				o.SocketIO.Engine = engineio.Options{PingInterval: 200 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
				relay := &recorder{}
				o.Mode = ModeRelay
				r := start(t, o, relay)
				a := r.join("iv", "recruiter")
				b := r.join("iv", "candidate", sioclient.Options{Transport: tt.transport})
				tt.end(r, b)
				r.waitText(a, "user-left", `{"userId":"`+b.ID()+`"}`)
				b.Abort()
				r.eventually("the socket is gone", func() bool { return r.server.Stats().SocketIO.Sockets == 1 })
				r.fence("iv", a, a)
				if n := a.Count("user-left"); n != 1 {
					t.Errorf("%d times user-left", n)
				}
				told := 0
				for _, call := range relay.calls() {
					if call == "leave iv "+b.ID() {
						told++
					}
				}
				if told != 1 {
					t.Errorf("the relay was told %d times", told)
				}
			})
		}
	}
}

// TestGoodbyeNeedsNoGrace: a closing word ends the membership at once, however long a broken one would be kept.
func TestGoodbyeNeedsNoGrace(t *testing.T) {
	r := start(t, withGrace(time.Hour), nil)
	a := r.join("iv", "recruiter")
	for _, transport := range []string{sioclient.WebSocket, sioclient.Polling, sioclient.Upgrade} {
		b := r.join("iv", "candidate", sioclient.Options{Transport: transport})
		b.Close()
		r.wait(a, "user-left")
		b = r.join("iv", "candidate", sioclient.Options{Transport: transport})
		if err := b.Disconnect(); err != nil {
			t.Fatal(err)
		}
		r.wait(a, "user-left")
	}
}

// TestBrokenConnectionComesBack: within the grace nobody is told anything, and the member misses nothing.
func TestBrokenConnectionComesBack(t *testing.T) {
	r := start(t, withGrace(time.Hour), nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.fence("iv", a, b)
	words := b.Recovery()
	b.Abort()
	r.eventually("the server has noticed", func() bool { return r.server.Stats().SocketIO.Suspended == 1 })
	r.emit(a, "signal", map[string]any{"to": b.ID(), "signal": map[string]any{"n": 1}, "type": "offer"})
	r.emit(a, "ice-candidate", map[string]any{"to": b.ID(), "candidate": map[string]any{}})
	r.fence("iv", a, a)

	again := r.dial(sioclient.Options{Recover: words})
	if again.ID() != b.ID() {
		t.Fatalf("came back as %s, was %s", again.ID(), b.ID())
	}
	r.wait(again, "signal")
	r.wait(again, "ice-candidate")
	r.emit(again, "ice-candidate", map[string]any{"to": a.ID(), "candidate": map[string]any{}})
	r.wait(a, "ice-candidate") // still a member, without having joined again
	r.fence("iv", again, a, again)
	if n := a.Count("user-left") + again.Count("user-joined"); n != 0 {
		t.Errorf("somebody was told of a leave: %q, %q", names(a), names(again))
	}
	again.Close()
	r.waitText(a, "user-left", `{"userId":"`+b.ID()+`"}`)
}

// TestGhostMakesPlace: in a full room the oldest broken connection of the joiner's role goes, told before the join.
func TestGhostMakesPlace(t *testing.T) {
	o := withGrace(time.Hour)
	o.Limits.MembersPerRoom = 3
	o.Mode = ModeRelay
	relay := &recorder{}
	r := start(t, o, relay)
	a := r.join("iv", "recruiter")
	ghosts := make([]*sioclient.Client, 2)
	for i := range ghosts {
		ghosts[i] = r.join("iv", "candidate")
		r.fence("iv", a, ghosts[i])
	}
	// The second breaks first, and so is the older ghost.
	for i, n := range []int{1, 0} {
		ghosts[n].Abort()
		r.eventually("the server has noticed", func() bool { return r.server.Stats().SocketIO.Suspended == int64(i+1) })
	}
	// Of another role there is no ghost.
	if got := r.call(r.dial(), "join-room", map[string]string{"interviewId": "iv", "userRole": "recruiter"}); !strings.Contains(got, "room-full") {
		t.Errorf("acknowledged: %s", got)
	}
	c := r.join("iv", "candidate")
	r.waitText(a, "user-left", `{"userId":"`+ghosts[1].ID()+`"}`)
	r.fence("iv", c, a, c)
	got := names(a)
	if last := got[len(got)-2:]; last[0] != "user-left" || last[1] != "user-joined" {
		t.Errorf("recruiter received %q", got)
	}
	r.wantCalls(relay, "join iv "+a.ID()+" recruiter", "join iv "+ghosts[0].ID()+" candidate", "join iv "+ghosts[1].ID()+" candidate",
		"leave iv "+ghosts[1].ID(), "join iv "+c.ID()+" candidate")
	if st := r.server.Stats(); st.Evicted != 1 || st.Members != 3 {
		t.Errorf("%d evicted, %d members", st.Evicted, st.Members)
	}
	// The evicted one's client comes back to a fresh socket, joins as it would, and takes the other ghost's place.
	back := r.dial(sioclient.Options{Recover: ghosts[1].Recovery()})
	if back.ID() == ghosts[1].ID() {
		t.Error("the evicted socket was recovered")
	}
	r.rejoin(back, "iv", "candidate")
	r.wait(a, "user-left")
	if n := a.Count("user-left"); n != 2 {
		t.Errorf("%d times user-left", n)
	}
}

// TestResumeAfterEviction is the race in which a client returns while its place is being given away.
func TestResumeAfterEviction(t *testing.T) {
	r := start(t, withGrace(time.Hour), nil)
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.fence("iv", a, b)
	room := r.server.rooms.find("iv")
	words := b.Recovery()
	b.Abort()
	r.eventually("the server has noticed", func() bool { return r.server.Stats().SocketIO.Suspended == 1 })
	room.mu.Lock()
	room.removeLocked(room.members[b.ID()]) // as evictLocked does, without ending the socket
	room.deliverLocked()
	r.wait(a, "user-left")
	again := r.dial(sioclient.Options{Recover: words})
	r.waitText(a, "user-joined", `{"userId":"`+b.ID()+`","userRole":"candidate"}`)
	r.wait(a, "user-joined")
	r.wait(again, "room-users")
	r.fence("iv", again, a, again)
}

// TestCloseEndsEverything: whatever the sockets do, Close returns and leaves nothing; goleak and the rig check the rest.
func TestCloseEndsEverything(t *testing.T) {
	r := start(t, withGrace(time.Hour), nil)
	a := r.join("iv", "recruiter")
	ghost := r.join("iv", "candidate")
	r.fence("iv", a, ghost)
	ghost.Abort()
	r.eventually("the server has noticed", func() bool { return r.server.Stats().SocketIO.Suspended == 1 })
	flood := r.join("iv", "candidate")
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for flood.EmitRaw("ice-candidate", `{"to":"`+a.ID()+`","candidate":{}}`) == nil {
		}
	}()
	r.wait(a, "ice-candidate")
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	for range 2 { // idempotent
		if err := r.server.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	<-stop
	if _, err := sioclient.Dial(ctx, r.url, sioclient.Options{}); err == nil {
		t.Error("a closed server accepts sockets")
	}
}

// TestSlowReaderIsNotWaitedFor: a member that reads nothing ends; the others go on meanwhile.
func TestSlowReaderIsNotWaitedFor(t *testing.T) {
	o := Options{SocketIO: socketio.Options{Engine: engineio.Options{QueuePackets: 50, QueueBytes: 64 << 10}}}
	r := start(t, o, nil)
	a := r.join("iv", "recruiter")
	block := make(chan struct{})
	slow := r.join("iv", "candidate", sioclient.Options{OnEvent: func(_ *sioclient.Client, e sioclient.Event) {
		if e.Name == "code-update" {
			<-block
		}
	}})
	defer close(block)
	code := strings.Repeat("x", 100<<10)
	for a.Count("user-left") == 0 {
		if r.ctx.Err() != nil {
			t.Fatal("the slow reader was never ended")
		}
		r.call(a, "code-update", map[string]any{"interviewId": "iv", "questionId": "q", "code": code, "language": "go", "currentQuestionIndex": 0})
	}
	r.waitText(a, "user-left", `{"userId":"`+slow.ID()+`"}`)
	r.fence("iv", a, a)
}
