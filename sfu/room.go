package sfu

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
)

// tickInterval is how often a room with legs looks at its deadlines.
const tickInterval = 200 * time.Millisecond

// Rooms look in crowds, all at the same instants of the wall clock: one wake-up serves them all. Those of a
// big server are spread.
const (
	tickCrowd = 32
	tickShift = 25 * time.Millisecond
)

// legKey names a leg: the connection to client in the name of peer, for the
// camera or for a screen share. Both directions of both use the same leg.
type legKey struct {
	client, peer string
	screen       bool
}

// opposite is the leg that carries the other half of the same call.
func (k legKey) opposite() legKey { return legKey{k.peer, k.client, k.screen} }

// room owns all negotiation of one interview: one goroutine runs everything
// that its inbox holds, so nothing of it needs a lock. Calls into the WebRTC
// stack take time and run in goroutines of their own that post their results.
type room struct {
	// Static.
	engine *Engine
	id     string
	log    *slog.Logger
	inbox  inbox

	// Guarded by engine.mu.
	present map[string]bool
	tapped  int // tappers

	// Read anywhere, written by run.
	legCount atomic.Int64

	// Owned by run.
	members     map[string]*member
	everyone    []*member // the same
	legs        map[legKey]*leg
	order       []*leg                               // the same, oldest first; copied when one goes: who goes through it may drop some
	early       map[legKey][]webrtc.ICECandidateInit // candidates without an offer yet
	rehomes     map[[2]string]*rehoming
	troubles    map[legKey]trouble      // what both members of a call were told of the media of one
	viewers     map[legKey]int          // times a running share was offered to a viewer that was not called
	unsupported map[unsupportedKey]bool // what both members of a call were told
	adapted     time.Time
	adapting    adapting
	tappers     []*tapping
	running     int // goroutines that will post a result
	meter       roomMeter
	ending      bool
	ended       bool
}

func newRoom(e *Engine, id string) *room {
	return &room{
		engine: e, id: id, log: e.log.With("room", id), inbox: newInbox(),
		present:     make(map[string]bool),
		members:     make(map[string]*member),
		legs:        make(map[legKey]*leg),
		early:       make(map[legKey][]webrtc.ICECandidateInit),
		rehomes:     make(map[[2]string]*rehoming),
		troubles:    make(map[legKey]trouble),
		viewers:     make(map[legKey]int),
		unsupported: make(map[unsupportedKey]bool),
	}
}

// run is the room's goroutine. It ends when the room has ended and every
// goroutine that works for it has reported.
func (r *room) run() {
	ticker := time.NewTimer(tickInterval)
	ticker.Stop()
	defer ticker.Stop()
	shift := time.Duration(r.engine.roomsMade.Add(1)/tickCrowd) * tickShift % tickInterval
	ticking := false
	var batch []entry
	for !r.ended || r.running > 0 {
		select {
		case <-r.inbox.wake:
			batch = r.inbox.take(batch)
			for _, e := range batch {
				e.run()
			}
			clear(batch)
			if r.ending && !r.ended {
				r.end()
			}
		case now := <-ticker.C:
			r.tick(now)
			ticker.Reset(untilTick(time.Now(), shift))
		}
		if want := len(r.legs) > 0 || r.waits(); want != ticking {
			ticking = want
			if want {
				ticker.Reset(untilTick(time.Now(), shift))
			} else {
				ticker.Stop()
			}
		}
	}
}

// untilTick is the time to the next tick, at least half an interval.
func untilTick(now time.Time, shift time.Duration) time.Duration {
	least := now.Add(tickInterval/2 - shift)
	past := time.Duration(least.UnixNano()) % tickInterval
	return tickInterval/2 + (tickInterval-past)%tickInterval
}

func (r *room) submit(run func()) error {
	if !r.inbox.submit(func() {
		if !r.ended {
			run()
		}
	}) {
		return errBusy
	}
	return nil
}

// spawn runs work outside the room's goroutine; what it returns runs inside.
func (r *room) spawn(work func() func()) {
	r.running++
	go func() {
		done := work()
		r.inbox.push(func() {
			r.running--
			done()
		})
	}()
}

func (r *room) join(id, role string) {
	if m := r.members[id]; m != nil {
		m.role = role
		return
	}
	m := newMember(r, id, role)
	r.members[id] = m
	r.everyone = append(r.everyone, m)
}

func (r *room) leave(id string) {
	m := r.members[id]
	if m == nil {
		return
	}
	delete(r.members, id)
	r.everyone = slices.DeleteFunc(r.everyone, func(other *member) bool { return other == m })
	for key, l := range r.legs {
		if key.client == id || key.peer == id {
			r.drop(l, "member left")
		}
	}
	for key := range r.early {
		if key.client == id || key.peer == id {
			delete(r.early, key)
		}
	}
	for key := range r.troubles {
		if key.client == id || key.peer == id {
			delete(r.troubles, key)
		}
	}
	for key := range r.viewers {
		if key.client == id || key.peer == id {
			delete(r.viewers, key)
		}
	}
	for key := range r.unsupported {
		if key.pair[0] == id || key.pair[1] == id {
			delete(r.unsupported, key)
		}
	}
	for pair := range r.rehomes {
		if pair[0] == id || pair[1] == id {
			delete(r.rehomes, pair)
		}
	}
	m.close()
	r.settle()
}

func (r *room) end() {
	r.ended = true
	for id := range r.members {
		r.leave(id)
	}
	r.endTaps()
}

// leg returns the leg of that key, made if need be; nil if a member is missing
// or a limit is reached.
func (r *room) leg(key legKey) *leg {
	if l := r.legs[key]; l != nil {
		return l
	}
	client, peer := r.members[key.client], r.members[key.peer]
	if client == nil || peer == nil || client == peer {
		return nil
	}
	e := r.engine
	if e.count.legs.Load() >= int64(e.opts.MaxLegs) || r.legCount.Load() >= int64(e.opts.MaxLegsPerRoom) {
		e.count.refused.Add(1)
		return nil
	}
	l := newLeg(r, client, peer, key)
	r.legs[key] = l
	if l.opposite = r.legs[key.opposite()]; l.opposite != nil {
		l.opposite.opposite = l
	}
	r.legCount.Add(1)
	e.count.legs.Add(1)
	e.count.opened.Add(1)
	l.candidates = r.early[key]
	delete(r.early, key)
	return l
}

// settle brings every leg as far as it can go: sources to their feeds, waiting
// offers to answers, needed offers out. It is called after whatever may have
// changed any of that; it is idempotent and costs a look at each leg.
func (r *room) settle() {
	if r.ended {
		return
	}
	for _, l := range r.order {
		l.client.publish(l)
	}
	now := time.Now()
	for _, m := range r.everyone {
		m.elect(now)
	}
	r.showTaps()
	r.offerScreens()
	for _, l := range r.order {
		l.feed()
		l.advance()
	}
}

// tick looks at the deadlines.
func (r *room) tick(now time.Time) {
	r.retryRehomes(now)
	for _, l := range r.order {
		l.checkDeadlines(now)
		l.forgiveViewer(now)
	}
	r.checkPaths(now)
	for _, l := range r.order {
		l.checkStall(now)
		l.checkMedia(now)
	}
	r.adapt(now)
	r.settle()
	r.measure(now)
}

func (r *room) send(l *leg, kind, sdp string) {
	if out := r.engine.outbox; out != nil {
		out.Send(r.id, l.key.client, l.key.peer, l.key.screen, kind, sdp)
	}
}

func (r *room) state(l *leg, state, reason string) {
	if out := r.engine.outbox; out != nil {
		out.State(r.id, l.key.client, l.key.peer, l.key.screen, state, reason)
	}
}
