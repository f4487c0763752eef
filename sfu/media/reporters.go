package media

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	crowd         = 64                   // ports of one reporter
	reportGrid    = int64(100e6)         // what is sent at intervals is sent at multiples of this, shifted
	reportShift   = int64(25e6)          // by one of a few multiples of this, another one for each reporter
	reporterPause = int64(1e6)           // between two looks, unless it is woken
	never         = int64(math.MaxInt64) // a time that does not come
)

// reporters send the RTCP of the ports of an API, each that of a crowd: what is due for many at the same time costs
// one wake-up.
type reporters struct {
	mu   sync.Mutex
	list []*reporter // guarded by mu
}

// reporter is one goroutine. It begins with the first port of its crowd and ends with the last. What it does for one
// port must not hold up the others: neither wires nor the sockets below the stack block.
type reporter struct {
	// Static.
	all   *reporters
	shift int64         // of the instants at which it sends, see Port.together
	wake  chan struct{} // makes it look at once; holds one token

	taken uint64 // slots of ports, as bits; guarded by all.mu
	ports [crowd]atomic.Pointer[Port]

	poked atomic.Uint64 // slots of the ports that have something to do, as bits
	next  atomic.Int64  // when it looks next, poked or not

	// Owned by the goroutine.
	due     [crowd]int64 // when it is to look at each port
	scratch reportScratch
}

// join gives a port a reporter, which works for it until it has seen that the port is closed.
func (rs *reporters) join(p *Port) {
	p.wg.Add(1)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	i := slices.IndexFunc(rs.list, func(r *reporter) bool { return r.taken != math.MaxUint64 })
	if i < 0 {
		i = len(rs.list)
		r := &reporter{all: rs, shift: int64(i) * reportShift % reportGrid, wake: make(chan struct{}, 1)}
		for slot := range r.due {
			r.due[slot] = never
		}
		r.next.Store(never)
		rs.list = append(rs.list, r)
		go r.run()
	}
	r := rs.list[i]
	p.reporter, p.slot, p.shift = r, bits.TrailingZeros64(^r.taken), r.shift
	r.taken |= 1 << p.slot
	r.ports[p.slot].Store(p)
}

// leave frees a slot; true: it was the last one.
func (r *reporter) leave(slot int) bool {
	r.due[slot] = never
	r.ports[slot].Store(nil)
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	r.taken &^= 1 << slot
	if r.taken != 0 {
		return false
	}
	r.all.list = slices.DeleteFunc(r.all.list, func(other *reporter) bool { return other == r })
	return true
}

// run looks at the ports that were poked and at those for which something is due.
func (r *reporter) run() {
	timer := time.NewTimer(time.Duration(never))
	defer timer.Stop()
	for {
		select {
		case <-r.wake:
		case <-timer.C:
		}
		poked, now, next := r.poked.Swap(0), monotonic(), never
		for slot := range r.due {
			if poked>>slot&1 != 0 || r.due[slot] <= now {
				if ended := r.look(slot); ended {
					return
				}
			}
			next = min(next, r.due[slot])
		}
		timer.Reset(time.Duration(max(next-monotonic(), reporterPause)))
		r.next.Store(next)
		if r.poked.Load() != 0 { // perhaps by somebody who has seen the next look that came before
			r.signal()
		}
	}
}

// look looks at a port; true: there is none left.
func (r *reporter) look(slot int) (ended bool) {
	p := r.ports[slot].Load()
	if p == nil {
		return false // it was poked when it had left
	}
	todo := task(p.todo.Swap(0))
	if todo&taskEnd != 0 {
		ended = r.leave(slot)
		p.wg.Done()
		return ended
	}
	r.due[slot] = p.report(todo, &r.scratch, monotonic())
	return false
}

func (r *reporter) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// poke makes the port's reporter do something at once.
func (p *Port) poke(todo task) { p.pokeBy(todo, 0) }

// pokeBy makes the port's reporter do something when it looks next, and at a time at the latest.
func (p *Port) pokeBy(todo task, at int64) {
	r := p.reporter
	if r == nil {
		return // it has not begun
	}
	p.todo.Or(uint32(todo))
	r.poked.Or(1 << p.slot)
	if at < r.next.Load() {
		r.signal()
	}
}
