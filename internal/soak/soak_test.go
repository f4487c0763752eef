package soak

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"go.uber.org/goleak"

	"skillsage/config"
	"skillsage/internal/testkit/muxes"
	"skillsage/network"
	"skillsage/sfu"
)

var (
	soakTime  = flag.Duration("soak.time", 24*time.Second, "how long the interviews last, both halves together")
	soakSeed  = flag.Uint64("soak.seed", 1, "of what happens; 0 takes one from the clock")
	soakRooms = flag.Int("soak.rooms", 2, "interviews at a time")
)

const (
	warmUp = 3 * time.Second
	// patience is what connections get to end, and what is left then is a leak.
	patience = 20 * time.Second
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soak is one run.
type soak struct {
	t      *testing.T
	start  time.Time
	port   *network.Port
	engine *sfu.Engine
	pauses pauses

	mu    sync.Mutex
	rooms map[string]*room           // guarded by mu
	gaps  map[string][]time.Duration // guarded by mu: the longest gap after each event, by its kind

	pictures, voices, asked, foreign, broken, troubles, asks, echoes, told atomic.Uint64
}

// Send implements sfu.Outbox.
func (s *soak) Send(roomID, to, from string, screen bool, kind, sdp string) {
	c := s.client(roomID, to)
	if c == nil {
		return
	}
	key := connKey{from, screen}
	c.hear(func() {
		if kind == "offer" {
			c.onOffer(key, sdp)
		} else {
			c.onAnswer(key, sdp)
		}
	})
}

// State implements sfu.Outbox. A call that is made anew looks to its members as if the other had left, and to
// its caller as if the other had come back.
func (s *soak) State(roomID, member, peer string, screen bool, state, reason string) {
	r := s.room(roomID)
	if r == nil {
		return
	}
	switch state {
	case "rehome", "refused", "failed":
		r.remember(fmt.Sprintf("  %s: %s towards %s, screen: %v, %s", state, member, peer, screen, reason))
	}
	if state != "rehome" {
		return
	}
	if c := r.member(peer); c != nil {
		c.hear(func() { c.forget(member, true) })
	}
	if c := r.member(member); c != nil {
		c.hear(func() {
			c.forget(peer, true)
			if r.member(peer) != nil {
				c.offer(connKey{peer, false}, false)
			}
		})
	}
}

// Unsupported implements sfu.Outbox.
func (s *soak) Unsupported(roomID, member, peer string, screen bool, kind, reason string) {
	if r := s.room(roomID); r != nil {
		r.fail(time.Now(), fmt.Sprintf("%s and %s were told to share no %s codec: %s", member, peer, kind, reason))
	}
}

// Quality implements sfu.Outbox.
func (s *soak) Quality(roomID, member string, legs []sfu.Quality) {
	s.told.Add(1)
	for _, q := range legs {
		if r := s.room(roomID); r != nil && (q.LossUp > 1 || q.LossDown > 1 || q.RTT < 0 || q.RTT > time.Minute || q.Level == "") {
			r.fail(time.Now(), fmt.Sprintf("%s was told of its leg to %s: %+v", member, q.Peer, q))
		}
	}
}

// MediaStatus implements sfu.Outbox. Of a client that sends, something comes.
func (s *soak) MediaStatus(roomID, member string, status sfu.MediaStatus) {
	r := s.room(roomID)
	if r == nil || !status.Own {
		return
	}
	r.remember(fmt.Sprintf("  %s was told of its media to %s, screen: %v: %s %s", member, status.Peer, status.Screen, status.State, status.Reason))
	if c := r.member(member); c != nil && c.kind == healthy && !c.bad.Load() && status.State == sfu.NoMedia {
		r.fail(time.Now(), fmt.Sprintf("%s, who sends, was told that it does not: %s", member, status.Reason))
	}
}

// Probe implements sfu.Outbox.
func (s *soak) Probe(roomID, member string) {
	if c := s.client(roomID, member); c != nil {
		c.hear(func() { c.say(func() { s.engine.Alive(roomID, member) }) })
	}
}

func (s *soak) room(id string) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[id]
}

func (s *soak) client(roomID, id string) *client {
	if r := s.room(roomID); r != nil {
		return r.member(id)
	}
	return nil
}

func (s *soak) tell(kind string, gap time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps[kind] = append(s.gaps[kind], gap)
}

// interviews runs rooms side by side until their time is over and everybody has left.
func (s *soak) interviews(rooms int, length time.Duration, seed uint64) {
	var running sync.WaitGroup
	for n := range rooms {
		r := s.open(fmt.Sprint("room", n), seed, uint64(n))
		running.Go(func() { r.run(length) })
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(over) })
	running.Wait()
	close(over)
	watching.Wait()
	s.mu.Lock()
	clear(s.rooms)
	s.mu.Unlock()
}

func (s *soak) open(id string, seed, stream uint64) *room {
	r := newRoom(s, id, seed, stream)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rooms[id] = r
	return r
}

// watch looks at the pictures that do not come.
func (s *soak) watch(over <-chan struct{}) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		var rooms []*room
		for _, r := range s.rooms {
			rooms = append(rooms, r)
		}
		s.mu.Unlock()
		for _, r := range rooms {
			for _, c := range r.list(healthy) {
				c.mu.Lock()
				var flows []*flow
				for _, f := range c.flows {
					flows = append(flows, f)
				}
				c.mu.Unlock()
				for _, f := range flows {
					f.check(time.Now())
				}
			}
		}
	}
}

// held is what a process holds.
type held struct {
	goroutines, files, legs, rooms, counted, conns, addresses int
	heap                                                      uint64
}

func (h held) String() string {
	return fmt.Sprintf("%d goroutines, %d kB of heap, %d open files, %d legs, %d rooms, %d mux connections (%d in the muxes, with %d addresses)",
		h.goroutines, h.heap>>10, h.files, h.legs, h.rooms, h.counted, h.conns, h.addresses)
}

// same tells whether h is what was there before, but for the heap.
func (h held) same(before held) bool {
	h.heap, before.heap = 0, 0
	return h == before
}

func (s *soak) measure() held {
	stats := s.engine.Stats()
	conns, addresses, err := muxes.Entries(s.port.Mux().(*ice.MultiUDPMuxDefault))
	if err != nil {
		s.t.Error(err)
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		s.t.Error(err)
	}
	h := held{
		goroutines: runtime.NumGoroutine(), files: len(files) - 1, legs: stats.Legs, rooms: stats.Rooms, // one to read the list
		counted: s.port.Stats().Connections, conns: conns, addresses: addresses,
	}
	debug.FreeOSMemory() // two collections empty the pools
	debug.FreeOSMemory()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	h.heap = mem.HeapAlloc
	return h
}

// settled waits until everything is as it was before.
func (s *soak) settled(before held, what string) held {
	deadline := time.Now().Add(patience)
	for {
		now := s.measure()
		if now.same(before) {
			return now
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<18)
			stacks = stacks[:runtime.Stack(stacks, true)]
			s.t.Errorf("%s left something behind\nbefore: %s\nafter:  %s\n%s", what, before, now, stacks)
			return now
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// heapSlack is what the heap may grow in the second half of a run beyond the first, which was the same. It is not
// held against the empty server's, because the runtime keeps the descriptors of as many goroutines as ever ran at a
// time (some 400 bytes each, most of what a run leaves), and the port the buffers of its longest queue.
const heapSlack = 1 << 20

// newSoak is a server without interviews, and what ends it.
func newSoak(t *testing.T) (s *soak, end func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("SFU_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	port, err := network.Open(network.Options{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := config.Load(nil, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := sfu.New(sfu.Options{
		Logger: log, UDPMux: port.Mux(), Route: port.Route, IncludeLoopback: true,
		SmallUploads: defaults.Relay.SmallUploads == "on", PanelPercentile: defaults.Relay.PanelPercentile,
		// Short, so that what they are for happens.
		ConnectTimeout: 5 * time.Second, FirstAnswerTimeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	s = &soak{t: t, start: time.Now(), port: port, engine: engine, rooms: make(map[string]*room), gaps: make(map[string][]time.Duration)}
	engine.SetOutbox(s)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { s.pauses.watch(done) })
	return s, func() {
		close(done)
		watching.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := engine.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := port.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSoak plays two equal halves and expects of each that nothing is left of it.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay with -soak.seed %d -soak.time %s -soak.rooms %d", seed, *soakTime, *soakRooms)
	s, end := newSoak(t)
	empty := s.measure()
	s.interviews(1, warmUp, seed) // what is made once is made now
	empty = s.settled(empty, "the first interview")
	var after [2]held
	for half := range after {
		s.interviews(*soakRooms, *soakTime/2, seed)
		after[half] = s.settled(empty, fmt.Sprintf("half %d", half+1))
	}
	s.report(empty, after)
	if grown := int64(after[1].heap) - int64(after[0].heap); grown > heapSlack {
		t.Errorf("the heap grew by %d kB in the second half, at most %d kB are expected", grown>>10, heapSlack>>10)
	}
	end()
	// A run in which nothing arrived has proved nothing.
	if s.pictures.Load() == 0 || s.voices.Load() == 0 || len(s.gaps) < 3 {
		t.Errorf("%d pictures and %d packets of voice arrived, %d kinds of events happened", s.pictures.Load(), s.voices.Load(), len(s.gaps))
	}
}

func (s *soak) report(empty held, after [2]held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	fmt.Fprintf(&text, "the longest freeze of any viewer after each event, in ms:\n%-16s %6s %6s %6s %6s\n", "event", "count", "p50", "p99", "max")
	kinds := make([]string, 0, len(s.gaps))
	for kind := range s.gaps {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		gaps := s.gaps[kind]
		slices.Sort(gaps)
		fmt.Fprintf(&text, "%-16s %6d %6d %6d %6d\n", kind, len(gaps), gaps[len(gaps)/2].Milliseconds(),
			gaps[len(gaps)*99/100].Milliseconds(), gaps[len(gaps)-1].Milliseconds())
	}
	e, n := s.engine.Stats(), s.port.Stats()
	fmt.Fprintf(&text, "legs: %d opened, %d connected, %d failed, %d re-homed, ICE restarted %d times; uploads moved %d, made small or common %d, carriers switched %d, tracks asked for again %d, glares %d, unanswered %d\n",
		e.LegsOpened, e.LegsConnected, e.LegsFailed, e.Rehomed, e.ICERestarts, e.UploadsMoved, e.SmallUploads, e.CarrierSwitch, e.Refilled, e.Glares, e.OffersUnanswered)
	fmt.Fprintf(&text, "viewers: %d pictures, %d packets of voice, %d key frames asked for, %d pictures without the one before, %d unknown packets; %d errors of their own\n",
		s.pictures.Load(), s.voices.Load(), s.asked.Load(), s.broken.Load(), s.foreign.Load(), s.troubles.Load())
	fmt.Fprintf(&text, "data channels: %d messages, %d echoes; %d times members were told how their legs do; port: %d packets in, %d out, %d dropped, %d failed\n",
		s.asks.Load(), s.echoes.Load(), s.told.Load(), n.PacketsIn, n.PacketsOut, n.Dropped, n.Failed)
	s.pauses.mu.Lock()
	fmt.Fprintf(&text, "this machine paused for %s in all, which counts as nobody's freeze\n", s.pauses.total.Round(time.Millisecond))
	s.pauses.mu.Unlock()
	fmt.Fprintf(&text, "before: %s\nhalf 1: %s\nhalf 2: %s", empty, after[0], after[1])
	s.t.Log(text.String())
}
