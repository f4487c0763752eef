package soak

import (
	"slices"
	"sync"
	"testing"
	"time"

	"skillsage/internal/testkit/impair"
)

// play is one interview of so many members with lines of their own, in which what happens is written down. Whatever
// freezes somebody's picture for too long fails the test.
func play(t *testing.T, members int, script func(*room, []*client)) {
	t.Parallel() // all wait most of the time
	s, end := newSoak(t)
	defer end()
	r := s.open("room", *soakSeed, 0)
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(over) })
	var clients []*client
	for range members {
		clients = append(clients, r.admit(healthy, true))
	}
	r.eventually("everybody sees everybody", func() bool {
		for _, c := range clients {
			c.mu.Lock()
			flows := len(c.flows)
			for _, f := range c.flows {
				f.mu.Lock()
				if f.begun {
					flows--
				}
				f.mu.Unlock()
			}
			c.mu.Unlock()
			if flows > 0 {
				return false
			}
		}
		return true
	})
	script(r, clients)
	close(r.done)
	r.wg.Wait()
	close(over)
	watching.Wait()
	for _, c := range r.list(healthy) {
		r.leave(c, true)
	}
}

func (r *room) eventually(what string, ok func() bool) {
	r.soak.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.soak.t.Fatalf("not in time: %s", what)
		}
	}
}

// TestUploadLeavesADarkConnection: when one connection of several fails, of which no stack says anything for
// seconds, and it is the one on which a member uploads, the others see the member's picture again by another one.
func TestUploadLeavesADarkConnection(t *testing.T) {
	play(t, 4, func(r *room, clients []*client) {
		c := clients[0]
		r.eventually("one upload", func() bool { return len(c.carries()) == 1 })
		peer := c.carries()[0]
		if !r.cutLeg(c, peer, 4500*time.Millisecond) {
			t.Fatal("the connection cannot be cut")
		}
		r.remember(c.id + " to " + peer + " is cut")
		time.Sleep(4 * time.Second)
		if now := c.carries(); !slices.ContainsFunc(now, func(id string) bool { return id != peer }) {
			t.Errorf("%s uploads on %q", c.id, now)
		}
	})
}

// TestLossPausesNothing: what some seconds of loss without a queue make of the limit is no reason to take a picture
// away for long, neither at once nor when ICE has been restarted on a line that is good again.
func TestLossPausesNothing(t *testing.T) {
	play(t, 4, func(r *room, clients []*client) {
		c := clients[1]
		r.cut(c, impair.Settings{Loss: 0.17, Delay: 20 * time.Millisecond}, false)
		r.mend(c, 4*time.Second)
		time.Sleep(4500 * time.Millisecond)
		c.hear(func() { c.offer(connKey{clients[0].id, false}, true) })
		time.Sleep(4 * time.Second)
	})
}

// TestRoomAgain: a picture for which there was no room is back soon after there is, and nobody else's stood still.
func TestRoomAgain(t *testing.T) {
	play(t, 4, func(r *room, clients []*client) {
		r.narrow(clients[1], 300_000, 5*time.Second)
		time.Sleep(9 * time.Second)
	})
}

// TestCarrierLeavesInTheDark: the upload moves while nothing passes, the request for a key frame included.
func TestCarrierLeavesInTheDark(t *testing.T) {
	play(t, 4, func(r *room, clients []*client) {
		c := clients[0]
		r.eventually("one upload", func() bool { return len(c.carries()) == 1 })
		peer := r.member(c.carries()[0])
		r.cut(c, impair.Settings{Loss: 1}, true)
		r.mend(c, 2*time.Second)
		time.Sleep(850 * time.Millisecond) // what is asked for in the rest of the dark is lost, too
		r.leave(peer, true)
		r.settleWorst("carrier left")
		time.Sleep(4 * time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.worst > 1500*time.Millisecond {
			t.Errorf("somebody's picture stood still for %v", r.worst)
		}
	})
}
