package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	fewest, most = 3, 5 // of those with media; the others come on top
	maxMembers   = 7
	farthest     = 60 * time.Millisecond // of a client from the signaling, each way
	remembered   = 60
)

// room is one interview. What happens in it is decided by its own goroutine from its own random numbers.
type room struct {
	// Static.
	soak *soak
	id   string
	wg   sync.WaitGroup // what an event leaves to be done later
	done chan struct{}  // closed when the room's time is over

	// Owned by run.
	random *rand.Rand
	number int
	busy   map[*client]bool // their lines are being made bad

	mu      sync.Mutex
	members map[string]*client // guarded by mu
	events  []string           // guarded by mu: the latest
	kind    string             // guarded by mu: of the latest event
	worst   time.Duration      // guarded by mu: the longest gap since then
}

func newRoom(s *soak, id string, seed, stream uint64) *room {
	return &room{
		soak: s, id: id, done: make(chan struct{}), random: rand.New(rand.NewPCG(seed, stream)),
		busy: make(map[*client]bool), members: make(map[string]*client),
	}
}

// run lives through one interview.
func (r *room) run(length time.Duration) {
	over := time.After(length)
	for range fewest {
		r.happens(event{kind: "begin", do: (*room).eventJoin})
	}
	deck := slices.Clone(events) // every kind once, then by weight
	r.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	for living := true; living; {
		select {
		case <-over:
			living = false
		case <-time.After(200*time.Millisecond + time.Duration(r.random.Int64N(int64(time.Second)))):
			if len(r.list(healthy)) < fewest {
				r.happens(event{kind: "join", do: (*room).eventJoin})
				continue
			}
			i := 0
			for i < len(deck) && !r.happens(deck[i]) { // what cannot happen now waits for its time
				i++
			}
			if i == len(deck) {
				deck = r.deal() // it is played out, or what is left waits for what is not in it
			} else {
				deck = slices.Delete(deck, i, i+1)
			}
		}
	}
	close(r.done)
	r.wg.Wait()
	r.settleWorst("end")
	for _, c := range r.list(healthy, silent, cutOff) {
		r.leave(c, r.random.IntN(2) == 0)
	}
	r.wg.Wait()
}

// deal is as many of each event as it has weight, shuffled.
func (r *room) deal() (deck []event) {
	for _, e := range events {
		deck = append(deck, slices.Repeat([]event{e}, e.weight)...)
	}
	r.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

func (r *room) happens(e event) bool {
	what := e.do(r)
	if what == "" {
		return false
	}
	r.settleWorst(e.kind)
	r.remember(e.kind + ": " + what)
	return true
}

// settleWorst ends the account of the latest event and begins that of the next.
func (r *room) settleWorst(next string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kind != "" {
		r.soak.tell(r.kind, r.worst)
	}
	r.kind, r.worst = next, 0
}

func (r *room) note(gap time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.worst = max(r.worst, gap)
}

func (r *room) began(after time.Duration) { r.soak.tell("(first picture)", after) }

func (r *room) remember(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) == remembered {
		r.events = slices.Delete(r.events, 0, 1)
	}
	r.events = append(r.events, fmt.Sprintf("%9.3f %s", time.Since(r.soak.start).Seconds(), text))
}

func (r *room) fail(now time.Time, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.soak.t.Errorf("%s, %.3f s: %s. What happened before:\n%s", r.id, now.Sub(r.soak.start).Seconds(), what, strings.Join(r.events, "\n"))
}

// list is who is there, of these kinds, in an order that depends on nothing.
func (r *room) list(kinds ...kind) (list []*client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.members {
		if slices.Contains(kinds, c.kind) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *client) int { return strings.Compare(a.id, b.id) })
	return list
}

func (r *room) member(id string) *client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members[id]
}

// pick is one of the healthy members that are fit for it, nil if none is.
func (r *room) pick(fit func(*client) bool) *client {
	list := slices.DeleteFunc(r.list(healthy), func(c *client) bool { return r.busy[c] || fit != nil && !fit(c) })
	if len(list) == 0 {
		return nil
	}
	return list[r.random.IntN(len(list))]
}

func (c *client) sharing() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.screen
}

// expect begins a flow.
func (r *room) expect(viewer, source *client, screen bool) {
	if viewer.kind != healthy || source.kind != healthy {
		return
	}
	now := time.Now()
	viewer.mu.Lock()
	viewer.flows[connKey{source.id, screen}] = &flow{room: r, viewer: viewer, source: source, screen: screen, due: now, last: now}
	viewer.mu.Unlock()
}

// forgo ends a flow with a last look at it.
func (r *room) forgo(viewer, source *client, screen bool) {
	viewer.mu.Lock()
	key := connKey{source.id, screen}
	f := viewer.flows[key]
	delete(viewer.flows, key)
	viewer.mu.Unlock()
	if f != nil {
		f.check(time.Now())
	}
}

func (r *room) join(k kind) *client { return r.admit(k, r.random.IntN(3) > 0) }

// admit has somebody join, with a line of its own or not.
func (r *room) admit(k kind, line bool) *client {
	r.number++
	c, err := newClient(r, fmt.Sprintf("%c%d", "HSX"[k], r.number), k, line, r.random.IntN(2) == 0,
		time.Duration(r.random.Int64N(int64(farthest))), r.random.Uint64())
	if err != nil {
		r.soak.t.Errorf("client: %v", err)
		return nil
	}
	others := r.list(healthy, silent, cutOff)
	r.mu.Lock()
	r.members[c.id] = c
	r.mu.Unlock()
	role := "recruiter"
	if r.number%3 == 0 {
		role = "candidate"
	}
	r.soak.engine.Join(r.id, c.id, role)
	for _, other := range others {
		r.expect(c, other, false)
		r.expect(other, c, false)
		if other.sharing() != "" {
			r.expect(c, other, true)
		}
		if other.kind != silent {
			other.hear(func() {
				other.offer(connKey{c.id, false}, false)
				if other.calls && other.sharing() != "" {
					other.offer(connKey{c.id, true}, false)
				}
			})
		}
	}
	return c
}

// leave takes a member out of the room: its page closes its connections before the server hears of it, or after.
func (r *room) leave(c *client, closesFirst bool) {
	r.mu.Lock()
	delete(r.members, c.id)
	r.mu.Unlock()
	delete(r.busy, c)
	others := r.list(healthy, silent, cutOff)
	for _, other := range others {
		for _, screen := range []bool{false, true} {
			r.forgo(other, c, screen)
			r.forgo(c, other, screen)
		}
	}
	if closesFirst {
		c.close()
	}
	r.soak.engine.Leave(r.id, c.id)
	for _, other := range others {
		other.hear(func() { other.forget(c.id, true) })
	}
	if !closesFirst {
		r.wg.Go(c.close)
	}
}
