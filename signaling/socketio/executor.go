package socketio

import (
	"bytes"
	"sync"
)

// executor runs what happens on one connection, one thing at a time and in order,
// without a goroutine of its own: whoever brings something and finds it idle runs
// it, and whatever others leave meanwhile. There are two queues. Packets wait
// while it is held (a CONNECT is being decided elsewhere); tasks do not.
type executor struct {
	tracker *tracker                       // static
	handle  func(data []byte, binary bool) // static
	limit   struct{ packets, bytes int }   // static; bounds of the packet queue

	mu      sync.Mutex
	running bool           // guarded by mu
	held    bool           // guarded by mu
	stopped bool           // guarded by mu: packets are dropped from now on
	final   func()         // guarded by mu: runs once the packets before it are done or can't be
	tasks   []func()       // guarded by mu
	packets []queuedPacket // guarded by mu
	bytes   int            // guarded by mu; of packets
}

type queuedPacket struct {
	data   []byte
	binary bool
}

// packet handles a packet now or queues a copy of it. False means that the queue is full.
func (e *executor) packet(data []byte, binary bool) bool {
	e.mu.Lock()
	if e.stopped || e.final != nil {
		e.mu.Unlock()
		return true
	}
	if e.running || e.held || len(e.packets) > 0 {
		defer e.mu.Unlock()
		if len(e.packets) >= e.limit.packets || e.bytes+len(data) > e.limit.bytes {
			return false
		}
		e.packets = append(e.packets, queuedPacket{bytes.Clone(data), binary})
		e.bytes += len(data)
		return true
	}
	e.running = true
	e.mu.Unlock()
	e.handle(data, binary)
	e.drain()
	return true
}

// run runs task on the calling goroutine, or leaves it to the one that is running.
func (e *executor) run(task func()) {
	if e.add(task) {
		e.drain()
	}
}

// post has task run on another goroutine; it never runs it before returning.
func (e *executor) post(task func()) {
	if e.add(task) {
		e.tracker.start(e.drain)
	}
}

// finish has task run after the packets that came before it, on the calling
// goroutine or the one that is running. If packets are held, they are dropped.
func (e *executor) finish(task func()) {
	e.mu.Lock()
	e.final = task
	if e.running {
		e.mu.Unlock()
		return
	}
	e.running = true
	e.mu.Unlock()
	e.drain()
}

// add reports whether the caller has to drain.
func (e *executor) add(task func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tasks = append(e.tasks, task)
	if e.running {
		return false
	}
	e.running = true
	return true
}

func (e *executor) drain() {
	e.mu.Lock()
	for {
		switch {
		case len(e.tasks) > 0:
			task := e.tasks[0]
			e.tasks[0] = nil
			e.tasks = e.tasks[1:]
			e.mu.Unlock()
			task()
		case len(e.packets) > 0 && !e.held:
			p := e.packets[0]
			e.packets[0] = queuedPacket{}
			e.packets = e.packets[1:]
			e.bytes -= len(p.data)
			e.mu.Unlock()
			e.handle(p.data, p.binary)
		case e.final != nil:
			final := e.final
			e.final, e.stopped, e.packets, e.bytes = nil, true, nil, 0
			e.mu.Unlock()
			final()
		default:
			if len(e.tasks) == 0 {
				e.tasks = nil
			}
			if len(e.packets) == 0 {
				e.packets = nil
			}
			e.running = false
			e.mu.Unlock()
			return
		}
		e.mu.Lock()
	}
}

// hold keeps packets waiting until release; to be called from within.
func (e *executor) hold() { e.setHeld(true) }

// release lets packets pass again; to be called from within.
func (e *executor) release() { e.setHeld(false) }

func (e *executor) setHeld(held bool) {
	e.mu.Lock()
	e.held = held
	e.mu.Unlock()
}

// stop drops the packets that wait and all that come.
func (e *executor) stop() {
	e.mu.Lock()
	e.stopped = true
	e.packets, e.bytes = nil, 0
	e.mu.Unlock()
}
