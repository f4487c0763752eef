package sfu

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// split gives what an engine says to Pion clients and to the test.
type split struct {
	call *call
	rec  *recorder
}

func (s split) Send(room, to, from string, screen bool, kind, sdp string) {
	s.rec.Send(room, to, from, screen, kind, sdp)
	s.call.Send(room, to, from, screen, kind, sdp)
}

func (s split) State(room, member, peer string, screen bool, state, reason string) {
	s.rec.State(room, member, peer, screen, state, reason)
	s.call.State(room, member, peer, screen, state, reason)
}

func (s split) Unsupported(room, member, peer string, screen bool, kind, reason string) {
	s.rec.Unsupported(room, member, peer, screen, kind, reason)
	s.call.Unsupported(room, member, peer, screen, kind, reason)
}

func (s split) Quality(room, member string, legs []Quality) { s.call.Quality(room, member, legs) }

func (s split) MediaStatus(room, member string, status MediaStatus) {
	s.call.MediaStatus(room, member, status)
}

func (s split) Probe(room, member string) { s.call.Probe(room, member) }

func (s split) forget() {
	s.rec.mu.Lock()
	s.rec.said, s.rec.states, s.rec.news = nil, nil, nil
	s.rec.mu.Unlock()
	s.call.mu.Lock()
	s.call.order, s.call.states, s.call.media = nil, nil, nil
	s.call.mu.Unlock()
}

// TestChurn makes and ends calls, most of them of words alone and left in
// different phases, some with media and silent sockets beside them, and expects
// goroutines and memory to be back where they were. SFU_CHURN sets the rounds.
func TestChurn(t *testing.T) {
	rounds := 200
	if n, err := strconv.Atoi(os.Getenv("SFU_CHURN")); err == nil {
		rounds = n
	}
	c := newCall(t, Options{})
	s := split{call: c, rec: &recorder{t: t, engine: c.engine}}
	c.engine.SetOutbox(s)
	offer, answer := recorded(t, "chromium-camera-offer-candidates"), recorded(t, "firefox-camera-answer")
	screen, viewer := recorded(t, "chromium-screen-offer"), recorded(t, "chromium-screen-answer")

	words := func(n int) {
		r, k, silent := fmt.Sprint("R", n), fmt.Sprint("C", n), fmt.Sprint("S", n)
		s.rec.join(r, k, silent)
		s.rec.signal(r, silent, false, "offer", offer)
		s.rec.signal(r, k, false, "offer", offer)
		if n%4 > 0 {
			s.rec.gets(k, "offer", 1)
			s.rec.signal(k, r, false, "answer", answer)
		}
		if n%4 > 1 {
			s.rec.gets(r, "answer", 1)
			s.rec.signal(k, r, true, "offer", screen)
		}
		if n%4 > 2 {
			s.rec.gets(r, "offer", 1)
			s.rec.signal(r, k, true, "answer", viewer)
			s.rec.gets(k, "answer", 1)
		}
		for _, id := range []string{r, k, silent} {
			c.engine.Leave("room", id)
		}
	}
	media := func(n int) {
		r, k, silent := c.join(fmt.Sprint("MR", n), "recruiter"), c.join(fmt.Sprint("MC", n), "candidate"), c.join(fmt.Sprint("MS", n), "candidate")
		silent.silent.Store(true)
		r.offer(silent.id)
		r.offer(k.id)
		r.gets(k.id)
		k.gets(r.id)
		for _, p := range []*client{k, silent, r} {
			p.leave()
		}
	}
	settled := func(goroutines int) bool {
		return poll(patience, func() bool {
			stats := c.engine.Stats()
			return stats.Legs == 0 && stats.Rooms == 0 && runtime.NumGoroutine() <= goroutines
		})
	}

	start := runtime.NumGoroutine()
	words(-1) // what is made once is made now
	media(-1)
	if !settled(start) {
		t.Fatalf("%d goroutines after the first calls, %d before: %+v", runtime.NumGoroutine(), start, c.engine.Stats())
	}
	s.forget()
	debug.FreeOSMemory()
	before := heap()
	for n := range rounds {
		if n%50 == 49 {
			media(n)
		} else {
			words(n)
		}
		s.forget()
	}
	if !settled(start) {
		buf := make([]byte, 1<<16)
		t.Fatalf("%d goroutines after %d rounds, %d before: %+v\n%s", runtime.NumGoroutine(), rounds, start, c.engine.Stats(), buf[:runtime.Stack(buf, true)])
	}
	var after uint64
	if !poll(5*time.Second, func() bool { after = heap(); return after < before+2<<20 }) {
		t.Errorf("heap grew from %d to %d bytes in %d rounds", before, after, rounds)
	}
	t.Logf("%d rounds, %d legs: heap %d kB before, %d kB after; %d goroutines", rounds, c.engine.Stats().LegsOpened, before>>10, after>>10, runtime.NumGoroutine())
}
