package soak

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/impair"
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

// event is something that happens; do tells what, or "" when it cannot happen now.
type event struct {
	kind   string
	weight int
	do     func(*room) string
}

var events = []event{
	{"join", 3, (*room).eventJoin},
	{"leave", 2, (*room).eventLeave},
	{"vanish", 2, (*room).eventVanish},
	{"reload", 3, (*room).eventReload},
	{"carrier leaves", 4, (*room).eventCarrierLeaves},
	{"share on", 3, (*room).eventShareOn},
	{"share off", 2, (*room).eventShareOff},
	{"loss", 3, (*room).eventLoss},
	{"outage", 2, (*room).eventOutage},
	{"cut off joins", 1, (*room).eventCutOff},
	{"silent joins", 1, (*room).eventSilent},
	{"offers again", 2, (*room).eventOffer},
	{"ICE restart", 2, (*room).eventRestart},
	{"data channel", 2, (*room).eventData},
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

func (r *room) join(k kind) *client {
	r.number++
	c, err := newClient(r, fmt.Sprintf("%c%d", "HSX"[k], r.number), k, r.random.IntN(3) > 0, r.random.IntN(2) == 0,
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

func (r *room) eventJoin() string {
	if len(r.list(healthy)) >= most || len(r.list(healthy, silent, cutOff)) >= maxMembers {
		return ""
	}
	c := r.join(healthy)
	if c == nil {
		return ""
	}
	if c.link != nil {
		return c.id + " through a line of its own"
	}
	return c.id
}

func (r *room) eventLeave() string {
	if others := r.list(silent, cutOff); len(others) > 0 && r.random.IntN(2) == 0 {
		r.leave(others[0], true)
		return others[0].id
	}
	c := r.pick(nil)
	if c == nil {
		return ""
	}
	first := r.random.IntN(2) == 0
	r.leave(c, first)
	return fmt.Sprintf("%s, its connections first: %v", c.id, first)
}

// eventVanish cuts a member's line; that it is gone shows only later.
func (r *room) eventVanish() string {
	c := r.pick(func(c *client) bool { return c.link != nil })
	if c == nil {
		return ""
	}
	r.cut(c, impair.Settings{Loss: 1}, true)
	select {
	case <-time.After(500*time.Millisecond + time.Duration(r.random.Int64N(int64(2*time.Second)))):
	case <-r.done:
	}
	r.leave(c, false)
	return c.id
}

// cut makes a member's line bad.
func (r *room) cut(c *client, s impair.Settings, outage bool) {
	r.busy[c] = true
	if outage {
		c.outages.begin(time.Now())
	}
	if err := c.link.SetUp(s); err != nil {
		r.soak.t.Error(err)
	}
	if err := c.link.SetDown(s); err != nil {
		r.soak.t.Error(err)
	}
}

// mend makes it good again after a while; the line is not chosen for anything else until the event is over.
func (r *room) mend(c *client, after time.Duration) {
	r.wg.Go(func() {
		select {
		case <-time.After(after):
		case <-c.done:
		case <-r.done:
		}
		_ = c.link.SetUp(impair.Settings{})
		_ = c.link.SetDown(impair.Settings{})
		c.outages.end(time.Now())
	})
}

func (r *room) eventReload() string {
	c := r.pick(nil)
	if c == nil {
		return ""
	}
	r.leave(c, r.random.IntN(2) == 0)
	if next := r.join(healthy); next != nil {
		return c.id + " is " + next.id
	}
	return c.id
}

// eventCarrierLeaves has that member leave for whom another uploads its camera to all.
func (r *room) eventCarrierLeaves() string {
	source := r.pick(nil)
	if source == nil {
		return ""
	}
	for _, id := range source.carries() {
		if viewer := r.member(id); viewer != nil && viewer.kind == healthy && !r.busy[viewer] {
			first := r.random.IntN(2) == 0
			r.leave(viewer, first)
			return fmt.Sprintf("%s, for whom %s uploads; its connections first: %v", id, source.id, first)
		}
	}
	return ""
}

func (r *room) eventShareOn() string {
	if slices.ContainsFunc(r.list(healthy), func(c *client) bool { return c.sharing() != "" }) {
		return ""
	}
	c := r.pick(nil)
	if c == nil {
		return ""
	}
	r.number++
	c.mu.Lock()
	c.screen = fmt.Sprint("screen-", r.number)
	c.mu.Unlock()
	c.say(func() { r.soak.engine.ScreenShareStatus(r.id, c.id, true) })
	for _, other := range r.list(healthy, silent, cutOff) {
		if other == c {
			continue
		}
		r.expect(other, c, true)
		c.hear(func() {
			key := connKey{other.id, true}
			c.forget(other.id, false) // on which it may have seen the other's
			c.offer(key, false)
		})
	}
	return c.id
}

func (r *room) eventShareOff() string {
	c := r.pick(func(c *client) bool { return c.sharing() != "" })
	if c == nil {
		return ""
	}
	c.mu.Lock()
	c.screen = ""
	c.mu.Unlock()
	saysFirst := r.random.IntN(2) == 0
	others := r.list(healthy, silent, cutOff)
	for _, other := range others {
		r.forgo(other, c, true)
	}
	over := func() { r.soak.engine.ScreenShareStatus(r.id, c.id, false) }
	if saysFirst {
		c.say(over)
	}
	c.hear(func() {
		for _, other := range others {
			c.forget(other.id, false)
		}
		if !saysFirst {
			c.say(over)
		}
	})
	return fmt.Sprintf("%s, says so first: %v", c.id, saysFirst)
}

func (r *room) eventLoss() string {
	c := r.pick(func(c *client) bool { return c.link != nil })
	if c == nil {
		return ""
	}
	share, length := 0.1+0.1*r.random.Float64(), time.Second+time.Duration(r.random.Int64N(int64(3*time.Second)))
	r.cut(c, impair.Settings{Loss: share, Delay: time.Duration(r.random.Int64N(int64(50 * time.Millisecond)))}, false)
	r.mend(c, length)
	defer delete(r.busy, c)
	return fmt.Sprintf("%s loses %.0f %% each way for %s", c.id, 100*share, length.Round(time.Millisecond))
}

func (r *room) eventOutage() string {
	c := r.pick(func(c *client) bool { return c.link != nil })
	if c == nil {
		return ""
	}
	length := 300*time.Millisecond + time.Duration(r.random.Int64N(int64(2*time.Second)))
	r.cut(c, impair.Settings{Loss: 1}, true)
	r.mend(c, length)
	defer delete(r.busy, c)
	return fmt.Sprintf("%s for %s", c.id, length.Round(time.Millisecond))
}

func (r *room) eventCutOff() string {
	if len(r.list(cutOff)) > 0 {
		return ""
	}
	if c := r.join(cutOff); c != nil {
		return c.id
	}
	return ""
}

func (r *room) eventSilent() string {
	if len(r.list(silent)) > 0 {
		return ""
	}
	if c := r.join(silent); c != nil {
		return c.id
	}
	return ""
}

func (r *room) eventOffer() string { return r.offersAgain(false) }

func (r *room) eventRestart() string { return r.offersAgain(true) }

func (r *room) offersAgain(restart bool) string {
	c, key := r.connection()
	if c == nil {
		return ""
	}
	c.hear(func() {
		if c.conn(key) != nil {
			c.offer(key, restart)
		}
	})
	return c.id + " to " + key.peer
}

// connection is a member's camera connection that is up.
func (r *room) connection() (*client, connKey) {
	c := r.pick(nil)
	if c == nil {
		return nil, connKey{}
	}
	for _, other := range r.list(healthy) {
		key := connKey{other.id, false}
		if one := c.conn(key); one != nil && one.pc.ConnectionState() == webrtc.PeerConnectionStateConnected {
			return c, key
		}
	}
	return nil, connKey{}
}

func (r *room) eventData() string {
	c, key := r.connection()
	if c == nil {
		return ""
	}
	c.hear(func() {
		one := c.conn(key)
		if one == nil {
			return
		}
		r.soak.asks.Add(1)
		if one.chat != nil {
			_ = one.chat.SendText("hello again")
			return
		}
		chat, err := one.pc.CreateDataChannel("chat", nil)
		if err != nil {
			c.trouble("opens a data channel", err)
			return
		}
		one.chat = chat
		chat.OnOpen(func() { _ = chat.SendText("hello") })
		chat.OnMessage(func(webrtc.DataChannelMessage) { r.soak.echoes.Add(1) })
		c.offer(key, false)
	})
	return c.id + " with " + key.peer
}
