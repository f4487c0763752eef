package icetcp

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skillsage/network/traffic"
)

// What would wait too long for a peer that takes too little is given up by its kind. Times are in ns; sizes are of all
// that waits.
const (
	repairWait = int64(150 * time.Millisecond)
	videoWait  = int64(300 * time.Millisecond)
	resumeWait = int64(100 * time.Millisecond) // below it video goes on, with its next frame
	audioWait  = int64(time.Second)
	videoSize  = 256 << 10 // the key frame of a shared screen, with which a viewer begins
	resumeSize = 64 << 10
	audioSize  = videoSize + 64<<10
	maxSize    = 512 << 10 // the end of the connection
)

const (
	chunkSize = 8 << 10 // bytes of one write at most: what is on its way can't be dropped any more
	maxCuts   = 16      // streams of one connection whose frame is being left out

	// The rate of a connection is measured while something waits, over so long and so many bytes at least: the kernel
	// takes some at once, and then none for a while. It is believed for rateLife, or until more has left than it allows.
	rateSpan  = int64(50 * time.Millisecond)
	rateBytes = int64(2 * unsentLimit)
	rateLife  = int64(10 * time.Second)
)

var errOverflow = errors.New("icetcp: the peer takes too little")

// chunk is a run of frames that leaves with one system call.
type chunk struct {
	at      int64 // when its first packet came
	size    int
	packets int
	data    [chunkSize]byte
}

// chunks are shared by all connections: one that has nothing to send holds none.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

// queue is what waits to be written to one connection. Who writes into it never blocks.
//
// A stream can lose packets only here, so what is lost is chosen: a picture that has lost a part is lost as a
// whole, and the frames after it wait until the queue has drained, since one without its predecessors is worth as
// little as a part of one. Viewers ask for what they miss by themselves; when that comes while the queue is still
// long, it is given up first of all.
type queue struct {
	// Static.
	all   *atomic.Int64 // bytes in all queues,
	most  int64         // above which only what is never dropped makes them longer
	count *counters
	wake  chan struct{} // holds one token while the writer has something to do

	mu        sync.Mutex // guards the rest
	waiting   []*chunk   // the first one is on its way while writing
	writing   bool
	size      int // bytes that wait
	congested bool
	cuts      []cut
	finishing bool // nothing more is taken
	closed    bool
	rate      rate
}

// rate is how fast packets leave while others wait.
type rate struct {
	value   int64 // byte/s; 0: not known
	at      int64 // when it was measured
	left    int64 // bytes that have left since then
	since   int64 // when the queue began to be never empty; 0: it is
	written int64 // bytes that have left since then
}

// cut is a frame of which no more is sent.
type cut struct {
	ssrc, timestamp uint32
}

func newQueue(m *Mux) queue {
	return queue{all: &m.queued, most: m.opts.MaxQueued, count: &m.count, wake: make(chan struct{}, 1)}
}

// push copies a packet into the queue, or drops it. It is an error if the packet is too long for a frame, if the queue
// has ended, or if it is to (errOverflow).
func (q *queue) push(packet []byte, kind traffic.Kind, now int64) error {
	need := frameHeader + len(packet)
	if len(packet) > maxPacket {
		return errFrame
	}
	q.mu.Lock()
	if q.finishing {
		q.mu.Unlock()
		return net.ErrClosed
	}
	if q.refuses(packet, kind, now) {
		q.mu.Unlock()
		q.count.dropped[kind].Add(1)
		return nil
	}
	if q.size+need > maxSize {
		q.mu.Unlock()
		return errOverflow
	}
	c := q.tail(need, now)
	binary.BigEndian.PutUint16(c.data[c.size:], uint16(len(packet)))
	copy(c.data[c.size+frameHeader:], packet)
	c.size += need
	c.packets++
	q.size += need
	q.all.Add(int64(need))
	rouse := !q.writing
	q.mu.Unlock()
	if rouse {
		q.rouse()
	}
	return nil
}

// tail is the chunk that has room for need bytes more. mu is held.
func (q *queue) tail(need int, now int64) *chunk {
	if n := len(q.waiting); n > 1 || n == 1 && !q.writing {
		if c := q.waiting[n-1]; c.size+need <= chunkSize {
			return c
		}
	}
	c := chunks.Get().(*chunk)
	c.at, c.size, c.packets = now, 0, 0
	q.waiting = append(q.waiting, c)
	return c
}

// refuses decides whether a packet is dropped. mu is held.
func (q *queue) refuses(packet []byte, kind traffic.Kind, now int64) bool {
	if kind == traffic.Control {
		return false
	}
	wait := q.wait(now)
	full := q.size > chunkSize && q.all.Load() > q.most
	switch {
	case wait > videoWait || q.size > videoSize || full:
		q.congested = true
	case wait < resumeWait && q.size < resumeSize:
		q.congested = false
	}
	switch kind {
	case traffic.Audio:
		return wait > audioWait || q.size > audioSize || full
	case traffic.Video:
		return q.cutsOut(packet)
	}
	return q.congested || wait > repairWait
}

// wait is how long a packet that comes now is behind those that are there: as long as the first of them has been there,
// or as long as they take at the rate at which the last ones left. mu is held.
func (q *queue) wait(now int64) int64 {
	if len(q.waiting) == 0 {
		return 0
	}
	wait := now - q.waiting[0].at
	if q.rate.known(now) {
		wait = max(wait, int64(q.size)*int64(time.Second)/q.rate.value)
	}
	return wait
}

// cutsOut decides whether a packet is left out with the rest of its frame. mu is held.
func (q *queue) cutsOut(packet []byte) bool {
	if len(packet) < 12 || !q.congested && len(q.cuts) == 0 {
		return q.congested
	}
	timestamp, ssrc := binary.BigEndian.Uint32(packet[4:]), binary.BigEndian.Uint32(packet[8:])
	for i := range q.cuts {
		c := &q.cuts[i]
		if c.ssrc != ssrc {
			continue
		}
		newer := int32(timestamp-c.timestamp) > 0
		if newer && !q.congested {
			q.cuts[i] = q.cuts[len(q.cuts)-1]
			q.cuts = q.cuts[:len(q.cuts)-1]
			return false
		}
		if newer {
			c.timestamp = timestamp
		}
		return true
	}
	if !q.congested {
		return false
	}
	if len(q.cuts) < maxCuts {
		q.cuts = append(q.cuts, cut{ssrc, timestamp})
	}
	return true
}

func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take gives the writer what waits longest; nil: nothing does, and last tells that nothing will any more.
func (q *queue) take(now int64) (c *chunk, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) == 0 {
		return nil, q.finishing
	}
	q.writing = true
	if q.rate.since == 0 {
		q.rate.since = now
	}
	return q.waiting[0], false
}

// release takes back the chunk that take has given, when it has been written.
func (q *queue) release(c *chunk, now int64) {
	q.mu.Lock()
	q.writing = false
	q.waiting = slices.Delete(q.waiting, 0, 1)
	q.shrink(c.size)
	q.rate.note(int64(c.size), now)
	if len(q.waiting) == 0 {
		q.rate.since, q.rate.written = 0, 0
	}
	q.mu.Unlock()
	chunks.Put(c)
}

// note takes bytes that have left.
func (r *rate) note(bytes, now int64) {
	r.left += bytes
	r.written += bytes
	if span := now - r.since; span >= rateSpan && r.written >= rateBytes {
		value := r.written * int64(time.Second) / span
		if r.known(now) {
			value = (value + r.value) / 2
		}
		*r = rate{value: max(value, 1), at: now, since: now}
		return
	}
	if r.known(now) && r.left > r.value*(now-r.at)/int64(time.Second)+rateBytes {
		r.value = 0
	}
}

func (r *rate) known(now int64) bool { return r.value > 0 && now-r.at < rateLife }

// shrink notes that so many bytes wait no more. mu is held.
func (q *queue) shrink(bytes int) {
	q.size -= bytes
	q.all.Add(-int64(bytes))
}

// finish takes nothing more in; the writer sends what waits.
func (q *queue) finish() {
	q.mu.Lock()
	q.finishing = true
	q.mu.Unlock()
	q.rouse()
}

// close drops what waits, but for the chunk on its way.
func (q *queue) close() {
	q.mu.Lock()
	q.finishing, q.closed = true, true
	rest := q.waiting
	if q.writing {
		rest = rest[1:]
	}
	for _, c := range rest {
		q.shrink(c.size)
		chunks.Put(c)
	}
	q.waiting = slices.Delete(q.waiting, len(q.waiting)-len(rest), len(q.waiting))
	q.mu.Unlock()
	q.rouse()
}
