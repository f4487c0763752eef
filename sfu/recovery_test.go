package sfu

import (
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func up(t *testing.T, opts Options) (c *call, r, k *client) {
	t.Helper()
	c = newCall(t, opts)
	r, k = c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	k.gets("R")
	return c, r, k
}

// restartICE restarts pc, R's connection for C, by an offer, and waits for the answer.
func (c *call) restartICE(pc *webrtc.PeerConnection) {
	t := c.t
	t.Helper()
	old := parsed(t, pc.RemoteDescription().SDP).Ufrag
	offer, err := pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	if err := c.engine.Signal("room", "R", "C", false, "offer", c.clients["R"].description(offer.SDP), nil); err != nil {
		t.Fatal(err)
	}
	c.eventually("answered with credentials of its own", func() bool {
		return pc.SignalingState() == webrtc.SignalingStateStable && parsed(t, pc.RemoteDescription().SDP).Ufrag != old
	})
}

func TestICERestartOfTheClient(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{})
	legs := c.engine.Stats().LegsOpened
	pc := r.connection(clientKey{"C", false}, false)
	before := parsed(t, pc.RemoteDescription().SDP)
	for range 2 {
		c.restartICE(pc)
		r.gets("C")
		k.gets("R")
	}
	if after := parsed(t, pc.RemoteDescription().SDP); after.Fingerprint != before.Fingerprint {
		t.Error("an ICE restart has changed the DTLS certificate")
	}
	if s := c.engine.Stats(); s.LegsOpened != legs || s.Rehomed != 0 {
		t.Errorf("legs were made anew: %+v", s)
	}
}

// TestClientWithANewConnection: a page that builds its connection anew under the
// same ids, which the relay sees by the fingerprint.
func TestClientWithANewConnection(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{})
	r.closeConnection("C", false)
	r.offer("C")
	r.gets("C")
	k.gets("R")
	// Without closing the old one first.
	r.mu.Lock()
	old := r.pcs[clientKey{"C", false}]
	delete(r.pcs, clientKey{"C", false})
	r.mu.Unlock()
	r.offer("C")
	r.gets("C")
	k.gets("R")
	if err := old.GracefulClose(); err != nil {
		t.Error(err)
	}
	r.gets("C")
	if n := c.engine.Stats().Rehomed; n != 0 {
		t.Errorf("made anew %d times for it", n)
	}
}

// TestAnswersFromNewConnections: a client that answers a re-offer from a new
// connection is offered one; one that does so without end is told to start anew.
func TestAnswersFromNewConnections(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{})
	r.join("R", "C")
	answers := []string{recorded(t, "firefox-camera-answer"), recorded(t, "chromium-camera-answer")}
	r.signal("R", "C", false, "offer", recorded(t, "chromium-camera-offer"))
	first := parsed(t, r.gets("C", "offer", 1).sdp)
	r.signal("C", "R", false, "answer", answers[0])
	r.gets("R", "answer", 1)
	n := 1
	for round := range maxRestarts {
		idle(t, r.engine)
		r.signal("C", "R", false, "renegotiate", "")
		again := parsed(t, r.gets("C", "offer", n+1).sdp)
		r.signal("C", "R", false, "answer", answers[(round+1)%2])
		fresh := parsed(t, r.gets("C", "offer", n+2).sdp)
		if again.Ufrag == fresh.Ufrag || fresh.Ufrag == first.Ufrag {
			t.Error("the new connection has the old one's credentials")
		}
		if fresh.Fingerprint != first.Fingerprint {
			t.Error("the server's certificate has changed")
		}
		r.signal("C", "R", false, "answer", answers[(round+1)%2])
		n += 2
	}
	idle(t, r.engine)
	r.signal("C", "R", false, "renegotiate", "")
	r.gets("C", "offer", n+1)
	r.signal("C", "R", false, "answer", answers[(maxRestarts+1)%2])
	r.eventually("made anew", func() bool { return r.hasState("rehome R>C") })
}

// crossing keeps the offers to one member back, so that the member's own crosses them.
type crossing struct {
	*call
	to   string
	hold atomic.Bool
	held chan message
}

func (x *crossing) Send(room, to, from string, screen bool, kind, sdp string) {
	if to == x.to && kind == "offer" && x.hold.Load() {
		x.held <- message{from, screen, kind, sdp}
		return
	}
	x.call.Send(room, to, from, screen, kind, sdp)
}

// cross brings a call up and has the server offer again, which the member does not see yet.
func cross(t *testing.T) (c *call, r, k *client, m message) {
	t.Helper()
	c = newCall(t, Options{AnswerTimeout: time.Hour})
	x := &crossing{call: c, to: "R", held: make(chan message, 8)}
	c.engine.SetOutbox(x)
	r, k = c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	k.gets("R")
	x.hold.Store(true)
	if err := c.engine.Signal("room", "R", "C", false, "renegotiate", "", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case m = <-x.held:
	case <-time.After(patience):
		t.Fatal("no offer of the server's")
	}
	x.hold.Store(false)
	return c, r, k, m
}

func (c *call) answersTo(id, from string) int {
	n := 0
	for _, line := range c.sent() {
		if line == id+"<"+from+" answer" {
			n++
		}
	}
	return n
}

// TestGlareWithAPoliteClient: its own offer dies with its answer to the server's.
func TestGlareWithAPoliteClient(t *testing.T) {
	t.Parallel()
	c, r, k, m := cross(t)
	pc := r.connection(clientKey{"C", false}, false)
	answers := c.answersTo("R", "C")
	own, err := pc.CreateOffer(nil) // sent and rolled back
	if err != nil {
		t.Fatal(err)
	}
	if err := c.engine.Signal("room", "R", "C", false, "offer", own.SDP, nil); err != nil {
		t.Fatal(err)
	}
	r.inbox <- m
	c.eventually("the server's offer is settled", func() bool {
		settled := false
		within(t, c.engine, func(room *room) {
			l := room.legs[legKey{"R", "C", false}]
			settled = l != nil && l.out == nil && l.answer == nil && l.held == nil && !l.busy
		})
		return settled
	})
	if n := c.answersTo("R", "C"); n != answers {
		t.Errorf("an offer that was rolled back got an answer")
	}
	r.gets("C")
	k.gets("R")
	r.addTracks(pc, "second", "video")
	r.offerOn(clientKey{"C", false}, false)
	c.eventually("a later offer is answered", func() bool { return c.answersTo("R", "C") > answers })
	r.gets("C")
	k.gets("R")
	if s := c.engine.Stats(); s.Glares == 0 || s.Rehomed != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestGlareWithAnImpoliteClient: it ignores the server's offer and waits for its answer.
func TestGlareWithAnImpoliteClient(t *testing.T) {
	t.Parallel()
	c, r, k, _ := cross(t)
	pc := r.connection(clientKey{"C", false}, false)
	r.addTracks(pc, "second", "video")
	r.offerOn(clientKey{"C", false}, false)
	c.eventually("its offer is answered", func() bool { return pc.SignalingState() == webrtc.SignalingStateStable })
	r.gets("C")
	k.gets("R")
	c.eventually("the far side sees the added stream", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.streams["second"]
	})
	if s := c.engine.Stats(); s.Glares == 0 || s.Rehomed != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestRecruitersCallEachOther: who is about to call is not called.
func TestRecruitersCallEachOther(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	a, b := c.join("A", "recruiter"), c.join("B", "recruiter")
	a.offer("B")
	time.Sleep(callTimeout / 4)
	b.offer("A")
	a.gets("B")
	b.gets("A")
	if s := c.engine.Stats(); s.Glares != 0 || s.Rehomed != 0 {
		t.Errorf("stats %+v", s)
	}
	sent := c.sent()
	answer, offer := slices.Index(sent, "B<A answer"), slices.Index(sent, "B<A offer")
	if answer < 0 || offer >= 0 && offer < answer {
		t.Errorf("called although it was about to call: %v", sent)
	}
}

// TestRecruiterWhoDoesNotCall gets the offer of the one who does.
func TestRecruiterWhoDoesNotCall(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	a, b := c.join("A", "recruiter"), c.join("B", "recruiter")
	a.offer("B")
	b.gets("A")
	a.gets("B")
}

// TestFirstGlareWithAPoliteClient: it has rolled back elsewhere, and does not here. Only
// a later offer is worth the long wait.
func TestFirstGlareWithAPoliteClient(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{AnswerTimeout: time.Hour})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	within(t, c.engine, func(room *room) { room.members["C"].polite = true })
	k.silent.Store(true)
	r.offer("C")
	c.eventually("the server calls", func() bool { return k.offersSeen() == 1 })
	k.offer("R")
	k.gets("R")
	r.gets("C")
	if s := c.engine.Stats(); s.Glares != 1 || s.Rehomed != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestNoCandidatesAfterARollback: Chromium may find no address for a connection that it
// rolled back, and only another connection helps.
func TestNoCandidatesAfterARollback(t *testing.T) {
	t.Parallel()
	for _, found := range []bool{false, true} {
		t.Run(fmt.Sprint("found ", found), func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, Options{ConnectTimeout: time.Hour})
			r.join("R", "C")
			answer := recorded(t, "chromium-camera-answer")
			if !found {
				answer = regexp.MustCompile(`(?m)^a=candidate:.*\n`).ReplaceAllString(answer, "")
			}
			r.signal("R", "C", false, "offer", recorded(t, "chromium-camera-offer"))
			r.gets("C", "offer", 1)
			r.signal("C", "R", false, "offer", recorded(t, "chromium-recvonly-offer"))
			r.signal("C", "R", false, "answer", answer)
			r.gets("R", "answer", 1)
			if !found {
				r.eventually("made anew", func() bool { return r.hasState("rehome R>C no candidates") })
				return
			}
			time.Sleep(candidateTimeout + 3*tickInterval)
			if r.hasState("rehome") {
				t.Errorf("given up although it tries: %v", r.states)
			}
		})
	}
}

// TestCameraThatStartsDuringTheCall: a page that had no camera when the server called
// it gets sections for the tracks it adds while it answers.
func TestCameraThatStartsDuringTheCall(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{SilenceTimeout: 500 * time.Millisecond})
	x := &crossing{call: c, to: "B", held: make(chan message, 8)}
	c.engine.SetOutbox(x)
	a, b := c.join("A", "recruiter"), c.join("B", "recruiter")
	x.hold.Store(true)
	a.offer("B")
	var m message
	select {
	case m = <-x.held:
	case <-time.After(patience):
		t.Fatal("no offer of the server's")
	}
	x.hold.Store(false)
	empty := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
	if err := c.engine.Signal("room", "B", "A", false, "offer", empty, nil); err != nil {
		t.Fatal(err)
	}
	pc := b.connection(clientKey{"A", false}, false)
	b.inbox <- m // answered without a track
	b.gets("A")
	b.addTracks(pc, b.stream, "audio", "video")
	a.gets("B")
	if s := c.engine.Stats(); s.Rehomed != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestSharerClosesItsConnection: DTLS says so at once; the viewer is told and keeps its connection.
func TestSharerClosesItsConnection(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{})
	k.addTracks(k.connection(clientKey{"R", true}, false), "screen", "video")
	k.offerOn(clientKey{"R", true}, false)
	r.receives("C video screen")
	offers := r.offersSeen()
	k.closeConnection("R", true)
	c.eventually("the leg ends", func() bool { return c.hasState("closed C>R true") })
	c.eventually("the viewer is told", func() bool { return r.offersSeen() > offers })
	within(t, c.engine, func(room *room) {
		if room.legs[legKey{"R", "C", true}] == nil {
			t.Error("the viewer's connection went with the share")
		}
	})
	r.gets("C")
	k.gets("R")
	// The camera's connection closed by the client, too, and called again.
	r.closeConnection("C", false)
	c.eventually("the camera's leg ends", func() bool { return c.hasState("closed R>C false") })
	r.offer("C")
	r.gets("C")
	k.gets("R")
}
