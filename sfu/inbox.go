package sfu

import "sync"

// maxSubmitted bounds what clients may have waiting in one room.
const maxSubmitted = 2048

// inbox is a room's queue of work. What clients send is bounded; what the
// room's own goroutines and the stack report is bounded by the number of legs
// and must never be lost, so it is always taken.
type inbox struct {
	wake chan struct{} // capacity 1

	mu        sync.Mutex
	queue     []entry // guarded by mu
	submitted int     // guarded by mu: entries of clients
}

type entry struct {
	run       func()
	submitted bool
}

func newInbox() inbox { return inbox{wake: make(chan struct{}, 1)} }

// push queues work of the server itself.
func (b *inbox) push(run func()) { b.add(entry{run: run}) }

// submit queues work of a client; false when too much of it is waiting.
func (b *inbox) submit(run func()) bool { return b.add(entry{run: run, submitted: true}) }

func (b *inbox) add(e entry) bool {
	b.mu.Lock()
	if e.submitted {
		if b.submitted >= maxSubmitted {
			b.mu.Unlock()
			return false
		}
		b.submitted++
	}
	b.queue = append(b.queue, e)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns all that waits, in order.
func (b *inbox) take(into []entry) []entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	into, b.queue = b.queue, into[:0]
	b.submitted = 0
	return into
}
