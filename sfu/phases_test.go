package sfu

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLeaveInEveryPhase leaves, joins again and closes in the middle of whatever
// is going on, and expects nothing to be left and the next call to work.
func TestLeaveInEveryPhase(t *testing.T) {
	t.Parallel()
	offer, answer := recorded(t, "chromium-camera-offer"), recorded(t, "firefox-camera-answer")
	phases := []struct {
		name string
		run  func(r *recorder)
	}{
		{"candidates without an offer", func(r *recorder) { _ = r.engine.Candidate("room", "R", "C", false, candidate(1)) }},
		{"offer just in", func(r *recorder) { r.signal("R", "C", false, "offer", offer) }},
		{"far side offered", func(r *recorder) { r.gets("C", "offer", 1) }},
		{"answer just in", func(r *recorder) { r.signal("C", "R", false, "answer", answer) }},
		{"near side answered", func(r *recorder) { r.gets("R", "answer", 1) }},
		{"re-offer just in", func(r *recorder) { r.signal("R", "C", false, "offer", recorded(r.t, "chromium-reoffer")) }},
		{"re-offer answered", func(r *recorder) { r.gets("R", "answer", 2) }},
		{"server's re-offer open", func(r *recorder) {
			r.signal("C", "R", false, "renegotiate", "")
			r.gets("C", "offer", 2)
		}},
	}
	for last := range phases {
		for _, who := range []string{"R", "C", "both", "Close"} {
			t.Run(phases[last].name+"/"+who, func(t *testing.T) {
				t.Parallel()
				r := newRecorder(t, Options{})
				r.join("R", "C", "D")
				for _, phase := range phases[:last+1] {
					phase.run(r)
				}
				if who == "Close" {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					for range 2 { // idempotent
						if err := r.engine.Close(ctx); err != nil {
							t.Fatal(err)
						}
					}
					r.join("late")
					if s := r.engine.Stats(); s.Legs != 0 || s.Rooms != 0 {
						t.Errorf("after Close: %+v", s)
					}
					return
				}
				leavers := map[string][]string{"R": {"R"}, "C": {"C"}, "both": {"R", "C"}}[who]
				for _, id := range leavers {
					r.engine.Leave("room", id)
				}
				r.eventually("legs end", func() bool { return r.engine.Stats().Legs == 0 && !r.engine.HasLegs("room") })
				r.eventually("connections close", func() bool {
					running := 0
					within(t, r.engine, func(room *room) { running = room.running })
					return running == 0
				})
				within(t, r.engine, func(room *room) {
					if len(room.early)+len(room.viewers)+len(room.rehomes) != 0 {
						t.Errorf("left behind: %v %v %v", room.early, room.viewers, room.rehomes)
					}
					for _, m := range room.members {
						if m.offering != nil || len(m.sources) != 0 {
							t.Errorf("member %s keeps %v and %d sources", m.id, m.offering, len(m.sources))
						}
					}
				})
				// The same ids, anew.
				offers, answers := len(r.descriptions("C", "offer")), len(r.descriptions("R", "answer"))
				r.join(leavers...)
				r.signal("R", "C", false, "offer", offer)
				r.gets("C", "offer", offers+1)
				r.signal("C", "R", false, "answer", answer)
				r.gets("R", "answer", answers+1)
			})
		}
	}
}

// TestNeverConnecting: clients that negotiate and then send nothing.
func TestNeverConnecting(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{ConnectTimeout: 300 * time.Millisecond})
	r.join("R", "C")
	call := func() {
		offers := len(r.descriptions("C", "offer"))
		r.signal("R", "C", false, "offer", recorded(t, "chromium-camera-offer"))
		r.gets("C", "offer", offers+1)
		r.signal("C", "R", false, "answer", recorded(t, "firefox-camera-answer"))
	}
	for round := 1; round <= maxRehomes; round++ {
		call()
		r.eventually("made anew", func() bool { return r.engine.Stats().Rehomed == uint64(round) })
		if n := r.engine.Stats().Legs; n != 0 {
			t.Errorf("round %d: %d legs left", round, n)
		}
	}
	// Enough is enough: the pair is left alone.
	call()
	r.eventually("failed once more", func() bool { return r.engine.Stats().LegsFailed > maxRehomes })
	r.eventually("legs end", func() bool { return r.engine.Stats().Legs == 0 })
	if n := r.engine.Stats().Rehomed; n != maxRehomes {
		t.Errorf("made anew %d times, at most %d", n, maxRehomes)
	}
	// For a while.
	within(t, r.engine, func(room *room) {
		h := room.rehomes[pairOf("R", "C")]
		if h == nil || time.Until(h.due) < rehomeMemory/2 {
			t.Fatalf("no further attempt is due: %+v", h)
		}
		h.due = time.Now()
	})
	r.eventually("made anew once more", func() bool { return r.engine.Stats().Rehomed == maxRehomes+1 })
	call()
	r.eventually("failed again", func() bool { return r.engine.Stats().LegsFailed > maxRehomes+1 })
	r.eventually("legs end", func() bool { return r.engine.Stats().Legs == 0 })
	within(t, r.engine, func(room *room) {
		if h := room.rehomes[pairOf("R", "C")]; time.Until(h.due) < rehomeMemory {
			t.Errorf("the next attempt is due in %v", time.Until(h.due))
		}
	})
	// The caller is the one that is told to call again, after its legs were closed.
	news := r.allNews()
	i := slices.Index(news, "rehome R>C")
	if i < 0 || slices.Contains(news, "rehome C>R") {
		t.Fatalf("news %v", news)
	}
	before := news[:i]
	for _, want := range []string{"closed R>C", "closed C>R"} {
		if !slices.Contains(before, want) {
			t.Errorf("%q is not before the re-homing: %v", want, before)
		}
	}
	if !slices.ContainsFunc(before, func(s string) bool { return strings.HasPrefix(s, "failed ") }) {
		t.Errorf("no failure before the re-homing: %v", before)
	}
}

// TestScreenThatNeverConnects ends its leg and leaves the camera's alone.
func TestScreenThatNeverConnects(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{ConnectTimeout: 300 * time.Millisecond})
	r.join("R", "C")
	r.signal("C", "R", true, "offer", recorded(t, "chromium-screen-offer"))
	r.gets("R", "offer", 1)
	r.signal("R", "C", true, "answer", recorded(t, "chromium-screen-answer"))
	r.gets("C", "answer", 1)
	r.eventually("legs end", func() bool { return r.engine.Stats().Legs == 0 })
	if r.hasState("rehome") || !r.hasState("failed") {
		t.Errorf("states %v", r.states)
	}
}

// TestAnswerTimeout: a member that has answered before and now does not.
func TestAnswerTimeout(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{AnswerTimeout: 400 * time.Millisecond, FirstAnswerTimeout: time.Hour})
	r.join("R1", "R2", "C")
	r.signal("R1", "C", false, "offer", recorded(t, "chromium-camera-offer"))
	r.gets("C", "offer", 1)
	r.signal("C", "R1", false, "answer", recorded(t, "firefox-camera-answer"))
	r.gets("R1", "answer", 1)
	r.signal("R2", "C", false, "offer", recorded(t, "safari18-camera-offer"))
	r.gets("C", "offer", 2)
	r.eventually("made anew", func() bool { return r.hasState("rehome R2>C offer not answered") })
	if len(r.descriptions("R2", "answer")) != 0 {
		t.Error("answered although the far side has not")
	}
	within(t, r.engine, func(room *room) {
		for key := range room.legs {
			if key.client == "R2" || key.peer == "R2" {
				t.Errorf("leg %v is left", key)
			}
		}
	})
	news := r.allNews()
	closed, rehome := slices.Index(news, "closed C>R2"), slices.Index(news, "rehome R2>C")
	if closed < 0 || closed > rehome {
		t.Errorf("closed at %d, re-homed at %d: %v", closed, rehome, news)
	}
	if slices.Contains(news, "rehome R1>C") || slices.Contains(news, "rehome C>R2") {
		t.Errorf("others were re-homed: %v", news)
	}
	if n := r.engine.Stats().OffersUnanswered; n == 0 {
		t.Error("not counted")
	}
	// An answer that comes now is late, and does no harm.
	r.signal("C", "R2", false, "answer", recorded(t, "firefox-camera-answer"))
	idle(t, r.engine)
}

// TestUnansweredShareOffers: a viewer that takes no share is asked a few times, not for ever.
func TestUnansweredShareOffers(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{AnswerTimeout: time.Second})
	v, w, s := c.join("V", "recruiter"), c.join("W", "recruiter"), c.join("S", "candidate")
	v.offer("S")
	w.offer("S")
	v.gets("S")
	w.gets("S")
	w.silent.Store(true)
	before := w.offersSeen()
	s.screen.Store("screen")
	c.engine.ScreenShareStatus("room", "S", true)
	s.addTracks(s.connection(clientKey{"V", true}, false), "screen", "video")
	s.offerOn(clientKey{"V", true}, false)
	v.receives("S video screen")
	c.eventually("given up", func() bool {
		calls := 0
		within(t, c.engine, func(room *room) {
			if room.legs[legKey{"W", "S", true}] == nil {
				calls = room.viewers[legKey{"W", "S", true}]
			}
		})
		return calls == maxViewerCalls
	})
	if got := w.offersSeen() - before; got != maxViewerCalls {
		t.Errorf("asked %d times, want %d", got, maxViewerCalls)
	}
	v.receives("S video screen", "S video")
	w.gets("S")
	if c.hasState("rehome V>S false") || c.hasState("rehome W>S false") {
		t.Errorf("a camera call was made anew: %v", c.states)
	}
}

// TestShareThatLasts: once a viewer has been shown a share for a while, earlier attempts count no more.
func TestShareThatLasts(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{})
	k.addTracks(k.connection(clientKey{"R", true}, false), "screen", "video")
	k.offerOn(clientKey{"R", true}, false)
	r.receives("C video screen")
	key := legKey{"R", "C", true}
	calls := func() (n int) {
		within(t, c.engine, func(room *room) { n = room.viewers[key] })
		return n
	}
	within(t, c.engine, func(room *room) { room.viewers[key] = maxViewerCalls })
	time.Sleep(2 * tickInterval)
	if n := calls(); n != maxViewerCalls {
		t.Errorf("%d calls are remembered of a share that has just begun", n)
	}
	within(t, c.engine, func(room *room) {
		l := room.legs[key]
		l.connectedAt = l.connectedAt.Add(-viewedFor)
	})
	c.eventually("they are forgotten", func() bool { return calls() == 0 })
}

// TestCloseWhileBusy closes an engine under load from many goroutines.
func TestCloseWhileBusy(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{})
	offer, answer := recorded(t, "chromium-camera-offer"), recorded(t, "firefox-camera-answer")
	stop := make(chan struct{})
	done := make(chan struct{})
	const workers = 6
	for w := range workers {
		room := fmt.Sprint("room", w%3)
		a, b := fmt.Sprint("A", w), fmt.Sprint("B", w)
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				r.engine.Join(room, a, "recruiter")
				r.engine.Join(room, b, "candidate")
				_ = r.engine.Signal(room, a, b, false, "offer", offer, nil)
				_ = r.engine.Candidate(room, a, b, false, candidate(w))
				_ = r.engine.Signal(room, b, a, false, "answer", answer, nil)
				r.engine.ScreenShareStatus(room, b, true)
				r.engine.Stats()
				r.engine.HasLegs(room)
				r.engine.Leave(room, b)
				r.engine.Leave(room, a)
			}
		}()
	}
	r.eventually("under way", func() bool { return r.engine.Stats().LegsOpened > 60 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.engine.Close(ctx); err != nil {
		t.Error(err)
	}
	if s := r.engine.Stats(); s.Legs != 0 || s.Rooms != 0 {
		t.Errorf("after Close: %+v", s)
	}
	close(stop)
	for range workers {
		<-done
	}
	if s := r.engine.Stats(); s.Legs != 0 || s.Rooms != 0 {
		t.Errorf("opened after Close: %+v", s)
	}
}
