package signaling

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"skillsage/internal/testkit/sioclient"
)

// TestChurnLeavesNothing: thousands of rounds of joining and leaving, and goroutines and heap are back where they were.
func TestChurnLeavesNothing(t *testing.T) {
	r := start(t, withGrace(20*time.Millisecond), nil)
	stay := r.dial(sioclient.Options{Discard: true})
	r.call(stay, "join-room", map[string]string{"interviewId": "stays", "userRole": "recruiter"})

	round := func(n int) {
		clients := make([]*sioclient.Client, 2)
		for i, role := range []string{"recruiter", "candidate"} {
			c, err := sioclient.Dial(r.ctx, r.url, sioclient.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			clients[i] = c
			// Each socket goes through several rooms, the last of them shared.
			for _, room := range []string{fmt.Sprint("own ", n, i), "stays", fmt.Sprint("room ", n%7)} {
				if _, err := c.Call(r.ctx, "join-room", map[string]string{"interviewId": room, "userRole": role}); err != nil {
					t.Error(err)
				}
			}
		}
		_ = clients[0].Emit("signal", map[string]any{"to": clients[1].ID(), "signal": map[string]string{"type": "offer", "sdp": "v=0"}, "type": "offer"})
		_ = clients[1].Emit("chat-message", map[string]any{"interviewId": fmt.Sprint("room ", n%7), "content": "hello", "userRole": "candidate"})
		switch n % 3 {
		case 0:
			clients[0].Abort()
		case 1:
			clients[0].Close()
		case 2:
			_ = clients[0].Disconnect()
			clients[0].Close()
		}
		clients[1].Close()
	}
	settle := func() (goroutines int, heap uint64) {
		r.eventually("everybody has left", func() bool {
			st := r.server.Stats()
			return st.Members == 1 && st.Rooms == 1 && st.SocketIO.Sockets == 1
		})
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc
	}
	run := func(from, to int) {
		var workers sync.WaitGroup
		for w := range 4 {
			workers.Go(func() {
				for n := from + w; n < to; n += 4 {
					round(n)
				}
			})
		}
		workers.Wait()
	}
	run(0, 100) // warm up pools and buffers
	goroutines, heap := settle()
	rounds := 500 // of six joins each
	if testing.Short() {
		rounds = 200
	}
	run(100, 100+rounds)
	r.eventually("goroutines are back", func() bool { n, _ := settle(); return n <= goroutines+4 })
	_, after := settle()
	if after > heap+1<<20 {
		t.Errorf("heap grew from %d to %d bytes in %d rounds", heap, after, rounds)
	}
	t.Logf("%d joins; heap %d -> %d bytes, goroutines %d", r.server.Stats().Joined, heap, after, goroutines)
}

// TestConcurrentViews: whatever joins, moves and leaves at once, what each socket hears of its rooms makes sense: nobody
// leaves who had not come, nobody comes twice, nobody speaks who is not there, and in the end all agree.
func TestConcurrentViews(t *testing.T) {
	r := start(t, Options{}, nil)
	const rooms = 3
	var clients []*sioclient.Client
	for range 8 {
		clients = append(clients, r.dial())
	}
	var workers sync.WaitGroup
	for i, c := range clients {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 60 {
				room := fmt.Sprint("room ", random.IntN(rooms))
				if _, err := c.Call(r.ctx, "join-room", map[string]string{"interviewId": room, "userRole": "recruiter"}); err != nil {
					t.Error(err)
					return
				}
				for range 3 {
					_ = c.Emit("ice-candidate", map[string]any{"to": clients[random.IntN(len(clients))].ID(), "candidate": map[string]any{}})
				}
			}
			if _, err := c.Call(r.ctx, "join-room", map[string]string{"interviewId": "last", "userRole": "recruiter"}); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	r.fence("last", clients[0], clients...)
	for i, c := range clients {
		var present map[string]bool
		for n, e := range c.Events() {
			var who struct{ UserID, From string }
			_ = e.Decode(&who)
			switch e.Name {
			case "room-users":
				var users map[string]struct{}
				if err := e.Decode(&users); err != nil {
					t.Fatal(err)
				}
				present = map[string]bool{}
				for id := range users {
					present[id] = true
				}
				if !present[c.ID()] {
					t.Errorf("client %d is not in its own room-users", i)
				}
			case "user-joined":
				if present[who.UserID] {
					t.Errorf("client %d, event %d: %s joined twice", i, n, who.UserID)
				}
				present[who.UserID] = true
			case "user-left":
				if !present[who.UserID] {
					t.Errorf("client %d, event %d: %s left without having come", i, n, who.UserID)
				}
				delete(present, who.UserID)
			case "ice-candidate":
				if !present[who.From] {
					t.Errorf("client %d, event %d: %s speaks and is not there", i, n, who.From)
				}
			}
		}
		if len(present) != len(clients) {
			t.Errorf("client %d sees %d of %d in the last room", i, len(present), len(clients))
		}
	}
}

// TestRoomsDoNotWaitForEachOther: a room whose relay call hangs (which it must not) still holds up nobody elsewhere.
func TestRoomsDoNotWaitForEachOther(t *testing.T) {
	release := make(chan struct{})
	relay := &recorder{onOffer: func(string, string, string, string) { <-release }}
	r := start(t, Options{Mode: ModeRelay}, relay)
	a, b := r.join("stuck", "recruiter"), r.join("stuck", "candidate")
	c, d := r.join("free", "recruiter"), r.join("free", "candidate")
	r.emit(a, "signal", map[string]any{"to": b.ID(), "signal": map[string]string{"type": "offer", "sdp": ""}, "type": "offer"})
	r.eventually("the call hangs", func() bool { return len(relay.calls()) == 5 })
	r.fence("free", c, c, d)
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	if _, err := r.dial().Call(ctx, "join-room", map[string]string{"interviewId": "new", "userRole": "recruiter"}); err != nil {
		t.Error(err)
	}
	close(release)
	r.fence("stuck", b, a, b)
}
