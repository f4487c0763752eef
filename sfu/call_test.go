package sfu

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func TestTwoPartyCall(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	k.gets("R")
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.streams["camera-C"] || len(r.streams) != 1 {
		t.Errorf("recruiter saw streams %v, want the candidate's own id alone", r.streams)
	}
}

func TestAnswerWaitsForTheFarSide(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, s := c.join("R", "recruiter"), c.join("S", "candidate")
	s.silent.Store(true)
	r.offer("S")
	c.eventually("offer to the silent socket", func() bool { return s.offersSeen() == 1 })
	time.Sleep(300 * time.Millisecond) // time enough for a wrong answer to show
	for _, what := range c.sent() {
		if strings.HasPrefix(what, "R<") {
			t.Errorf("recruiter got %q although nobody answered", what)
		}
	}
}

func TestSilentSocketIsParkedAndMayComeLate(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{FirstAnswerTimeout: 400 * time.Millisecond})
	r, s := c.join("R", "recruiter"), c.join("S", "candidate")
	q := c.join("Q", "recruiter")
	s.silent.Store(true)
	r.offer("S")
	c.eventually("one offer", func() bool { return s.offersSeen() == 1 })
	q.offer("S")
	c.eventually("parked", func() bool { return c.engine.Stats().OffersUnanswered == 1 })
	if n := s.offersSeen(); n != 1 {
		t.Fatalf("a socket that never answered got %d offers", n)
	}
	// The camera prompt is answered at last: an answer to a connection that is gone.
	s.silent.Store(false)
	late := s.connection(clientKey{"R", false}, true)
	desc, err := late.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.closeConnection("R", false) // what it answers next is a connection of its own
	if err := c.engine.Signal("room", "S", "R", false, "answer", desc.SDP, nil); err != nil {
		t.Fatal(err)
	}
	r.gets("S")
	q.gets("S")
	s.gets("R")
	s.gets("Q")
}

func TestTwoWaitingRecruiters(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r1, r2 := c.join("R1", "recruiter"), c.join("R2", "recruiter")
	k := c.join("C", "candidate")
	r1.offer("C")
	r2.offer("C")
	r1.gets("C")
	r2.gets("C")
	k.gets("R1")
	k.gets("R2")
	// The second offer went out only after the first was answered.
	sent := c.sent()
	first, second := slices.Index(sent, "R1<C answer"), slices.Index(sent, "C<R2 offer")
	if i := slices.Index(sent, "C<R1 offer"); i > second {
		first, second = slices.Index(sent, "R2<C answer"), slices.Index(sent, "C<R1 offer")
	}
	if first < 0 || second < 0 || first > second+1 {
		t.Errorf("offers overlapped: %v", sent)
	}
}

func TestCrossingFirstOffers(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	a, b := c.join("A", "recruiter"), c.join("B", "recruiter")
	// Neither rolls back, as two clients that both believe to be the caller.
	a.silent.Store(true)
	b.silent.Store(true)
	a.offer("B")
	b.offer("A")
	a.gets("B")
	b.gets("A")
}

func TestScreenShareStopAndSecondShare(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	for round := range 2 {
		c.engine.ScreenShareStatus("room", "C", true)
		pc := k.connection(clientKey{"R", true}, false)
		stream := []string{"screen-one", "screen-two"}[round]
		k.addTracks(pc, stream, "video")
		k.addTracks(pc, stream, "video") // the clone that common clients add
		k.offerOn(clientKey{"R", true}, false)
		r.receives("C video screen", "C video")
		c.engine.ScreenShareStatus("room", "C", false)
		k.closeConnection("R", true)
		c.eventually("viewer is told by renegotiation", func() bool {
			r.mu.Lock()
			viewer := r.pcs[clientKey{"C", true}]
			r.mu.Unlock()
			return viewer.RemoteDescription() != nil && !strings.Contains(viewer.RemoteDescription().SDP, "a=sendrecv") &&
				!strings.Contains(viewer.RemoteDescription().SDP, "a=sendonly")
		})
	}
	r.gets("C")
	r.mu.Lock()
	defer r.mu.Unlock()
	if state := r.pcs[clientKey{"C", true}].ConnectionState(); state != webrtc.PeerConnectionStateConnected {
		t.Errorf("viewer's connection is %s after two shares, want it kept", state)
	}
}

func TestLateViewerSeesRunningShare(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r1, k := c.join("R1", "recruiter"), c.join("C", "candidate")
	r1.offer("C")
	r1.gets("C")
	c.engine.ScreenShareStatus("room", "C", true)
	k.screen.Store("screen")
	k.addTracks(k.connection(clientKey{"R1", true}, false), "screen", "video")
	k.offerOn(clientKey{"R1", true}, false)
	r1.receives("C video screen")
	r2 := c.join("R2", "recruiter")
	r2.offer("C")
	r2.gets("C")
	r2.receives("C video screen")
	// The viewer for whom the share was sent goes; the picture comes back for the other.
	r1.leave()
	k.closeConnection("R1", true)
	r2.receives("C video screen")
}

// TestShareComesBackBesideASilentSocket: a sharer's client also calls sockets that never answer (a chat's). That
// offer waits for ever, and is no share that anybody could see.
func TestShareComesBackBesideASilentSocket(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r1, k, s := c.join("R1", "recruiter"), c.join("C", "candidate"), c.join("S", "recruiter")
	s.silent.Store(true)
	r1.offer("C")
	r1.gets("C")
	c.engine.ScreenShareStatus("room", "C", true)
	k.screen.Store("screen")
	for _, id := range []string{"S", "R1"} {
		k.addTracks(k.connection(clientKey{id, true}, false), "screen", "video")
		k.offerOn(clientKey{id, true}, false)
	}
	r1.receives("C video screen")
	r2 := c.join("R2", "recruiter")
	r2.offer("C")
	r2.gets("C")
	r2.receives("C video screen")
	r1.leave()
	k.closeConnection("R1", true)
	r2.receives("C video screen")
}

func TestGrowingOfferIsAnsweredAndTheNewestCameraForwarded(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	k.gets("R")
	pc := r.connection(clientKey{"C", false}, false)
	for _, sender := range pc.GetSenders() {
		if track := sender.Track(); track != nil && track.Kind() == webrtc.RTPCodecTypeVideo {
			if err := pc.RemoveTrack(sender); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.addTracks(pc, "camera-again", "audio", "video")
	r.offerOn(clientKey{"C", false}, false)
	k.gets("R")
	r.gets("C")
}

func TestSecondStreamOnOneConnection(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	pc := k.connection(clientKey{"R", false}, false)
	k.addTracks(pc, "second", "video")
	k.offerOn(clientKey{"R", false}, false)
	c.eventually("recruiter sees a second stream", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.streams["second"]
	})
	r.gets("C")
}

func TestSwappedCameraIsAskedFor(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{SilenceTimeout: 1500 * time.Millisecond})
	r := c.join("R", "recruiter")
	k := c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	pc := k.connection(clientKey{"R", false}, false)
	// The page opens its camera anew and tells nobody.
	for _, sender := range pc.GetSenders() {
		if track := sender.Track(); track != nil && track.Kind() == webrtc.RTPCodecTypeVideo {
			if err := pc.RemoveTrack(sender); err != nil {
				t.Fatal(err)
			}
		}
	}
	k.addTracks(pc, "camera-again", "audio", "video")
	c.eventually("asked for", func() bool { return c.engine.Stats().Refilled > 0 })
	r.gets("C")
}

func TestDataChannelIsBridged(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	got := make(chan string, 4)
	at := k.connection(clientKey{"R", false}, true)
	at.OnDataChannel(func(dc *webrtc.DataChannel) {
		dc.OnMessage(func(m webrtc.DataChannelMessage) {
			got <- dc.Label() + " " + string(m.Data)
			_ = dc.SendText("back")
		})
	})
	from := r.connection(clientKey{"C", false}, true)
	dc, err := from.CreateDataChannel("chat", nil)
	if err != nil {
		t.Fatal(err)
	}
	dc.OnMessage(func(m webrtc.DataChannelMessage) { got <- string(m.Data) })
	dc.OnOpen(func() { _ = dc.SendText("hello") })
	r.offer("C")
	for _, want := range []string{"chat hello", "back"} {
		select {
		case text := <-got:
			if text != want {
				t.Fatalf("got %q, want %q", text, want)
			}
		case <-time.After(15 * time.Second):
			t.Fatalf("no %q came through", want)
		}
	}
}

func TestReloadRecovers(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	k.leave()
	c.eventually("legs end", func() bool { return c.engine.Stats().Legs == 0 })
	k2 := c.join("C2", "candidate")
	r.offer("C2")
	r.gets("C2")
	k2.gets("R")
}
