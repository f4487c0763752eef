// Package packets hands datagrams from one goroutine to another in bounded queues.
package packets

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Size is the largest packet that a Queue takes, in bytes.
const Size = 2048

type packet struct {
	from netip.AddrPort
	at   time.Time // when it came; only where a Queue has a maxAge
	n    int
	data [Size]byte
}

var pool = sync.Pool{New: func() any { return new(packet) }}

// Queue is a first-in, first-out queue of packets. Writers never wait: when it is full, the oldest packet is dropped, and
// so is what has waited too long; both are counted. It is safe for concurrent use.
type Queue struct {
	// Static.
	maxAge  time.Duration
	dropped *atomic.Uint64

	mu     sync.Mutex
	some   sync.Cond // on mu: the queue is closed or not empty
	ring   []*packet // guarded by mu
	first  int       // guarded by mu
	len    int       // guarded by mu
	closed bool      // guarded by mu
}

// NewQueue makes a queue of at most limit packets, none of which is handed out when it is older than maxAge (0: there is
// no such limit). What is dropped is added to dropped.
func NewQueue(limit int, maxAge time.Duration, dropped *atomic.Uint64) *Queue {
	q := &Queue{maxAge: maxAge, dropped: dropped, ring: make([]*packet, limit)}
	q.some.L = &q.mu
	return q
}

// Put copies a packet into the queue. It does not block.
func (q *Queue) Put(data []byte, from netip.AddrPort) {
	if len(data) > Size {
		q.dropped.Add(1)
		return
	}
	p := pool.Get().(*packet)
	p.from, p.n = from, copy(p.data[:], data)
	if q.maxAge > 0 {
		p.at = time.Now()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		pool.Put(p)
		q.dropped.Add(1)
		return
	case q.len == len(q.ring):
		pool.Put(q.takeOut())
		q.dropped.Add(1)
	}
	q.ring[(q.first+q.len)%len(q.ring)] = p
	q.len++
	q.some.Signal()
}

// Take waits for a packet and copies it into b, cut off if it does not fit. The error of a closed queue is net.ErrClosed.
func (q *Queue) Take(b []byte) (int, netip.AddrPort, error) {
	q.mu.Lock()
	for {
		for q.len == 0 && !q.closed {
			q.some.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return 0, netip.AddrPort{}, net.ErrClosed
		}
		if p := q.next(); p != nil {
			q.mu.Unlock()
			n, from := p.unpack(b)
			return n, from, nil
		}
	}
}

// TryTake is Take without waiting; false: there is none.
func (q *Queue) TryTake(b []byte) (n int, from netip.AddrPort, ok bool) {
	q.mu.Lock()
	var p *packet
	for p == nil && q.len > 0 {
		p = q.next()
	}
	q.mu.Unlock()
	if p == nil {
		return 0, netip.AddrPort{}, false
	}
	n, from = p.unpack(b)
	return n, from, true
}

// takeOut takes the oldest packet out. q.mu is held, and the queue is not empty.
func (q *Queue) takeOut() *packet {
	p := q.ring[q.first]
	q.ring[q.first] = nil
	q.first = (q.first + 1) % len(q.ring)
	q.len--
	return p
}

// next is takeOut for who wants to have the packet; nil if it was too old.
func (q *Queue) next() *packet {
	p := q.takeOut()
	if q.maxAge > 0 && time.Since(p.at) > q.maxAge {
		pool.Put(p)
		q.dropped.Add(1)
		return nil
	}
	return p
}

func (p *packet) unpack(b []byte) (int, netip.AddrPort) {
	n, from := copy(b, p.data[:p.n]), p.from
	pool.Put(p)
	return n, from
}

// Len is the number of packets that wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.len
}

// Close drops what waits, uncounted, and wakes the readers. It is idempotent.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	clear(q.ring)
	q.len = 0
	q.mu.Unlock()
	q.some.Broadcast()
}
