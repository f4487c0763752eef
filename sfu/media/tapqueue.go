package media

import (
	"slices"
	"sync"

	"github.com/pion/webrtc/v4"
)

const (
	tapChunkRecords   = 32
	videoChunkPayload = 32 << 10
	audioChunkPayload = 4 << 10
	tapChunkOverhead  = 6 << 10 // about what the records of a chunk take
	leastTapBuffer    = 64 << 10
	keptChunks        = 4 // empty ones are kept for the next burst
)

// tapQueue holds what the live path has copied for a tap, in order of arrival, until
// the reader gives it back. Its mutex is a leaf and held for a few instructions, or the copying
// of one packet.
type tapQueue struct {
	// Static.
	video bool
	chunk int // bytes of payload in a chunk
	most  int // chunks

	mu      sync.Mutex  // guards the rest
	layer   *layer      // whose packets are copied; nil: none yet
	chunks  []*tapChunk // not taken to their end; the last one is being written
	taken   int         // records of chunks[0] that have been taken
	free    []*tapChunk
	made    int  // chunks that there are
	waiting bool // the reader is, for anything new
	overrun bool // something has been left out since the last record
	ended   bool
	closed  bool
}

// tapChunk is memory for some records.
type tapChunk struct {
	records  [tapChunkRecords]tapRecord
	used     int // records; guarded by the queue's mutex
	payload  []byte
	filled   int // bytes of payload; likewise
	released int // records that the reader has given back; likewise
}

// tapRecord is a packet, or a report on the publisher's clock.
type tapRecord struct {
	chunk    *tapChunk
	layer    *layer
	sequence uint64 // the layer's
	arrival  int64
	stream   *Upstream
	clock    *sharedClock // as known then; nil: not at all
	line     instant      // of a report, in the stream's timestamps
	format   *format
	payload  []byte // empty: the number turned out to be padding

	timestamp uint32 // the layer's
	source    uint32 // the stream's
	report    bool   // it is no packet
	level     int8   // -1: not known
	marker    bool
	key       bool
	begins    bool // from here on this layer is copied
	restarts  bool // another carrier
	overrun   bool // records in front of this one were left out

	// The reader's.
	number    uint64 // of the tap
	unwrapped int64  // timestamp of the tap
	late      bool   // one behind it came before
	announced bool   // the events in front of it were handed out
}

func (q *tapQueue) init(kind webrtc.RTPCodecType, buffer int) {
	q.video = kind == webrtc.RTPCodecTypeVideo
	q.chunk = audioChunkPayload
	if q.video {
		q.chunk = videoChunkPayload
	}
	q.most = max(max(buffer, leastTapBuffer)/(q.chunk+tapChunkOverhead), 2)
}

// packet copies a packet, if its layer is the one that the tap reads. wakes: the reader
// waits for it; awaitingKey: it would like to go on with this layer, but this is
// no key frame.
func (q *tapQueue) packet(l *layer, u *Upstream, out *outgoing, clock *sharedClock) (wakes, awaitingKey bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.ended {
		return false, false
	}
	begins := false
	if !out.late && l != q.layer {
		wanted := l.source.choose(unlimitedRank)
		if len(out.payload) == 0 || q.video && !out.key {
			return false, q.video && l == wanted
		}
		if q.layer != nil && q.layer.active.Load() && l != wanted && !closer(l, q.layer, wanted) {
			return false, false
		}
		begins = true
	}
	if q.layer == nil && !begins {
		return false, false
	}
	r := q.record(len(out.payload))
	if r == nil {
		q.overrun = true
		return false, false
	}
	if begins {
		q.layer = l
	}
	r.layer, r.stream, r.sequence, r.arrival = l, u, out.sequence, out.arrival
	r.timestamp, r.source = out.timestamp, out.source
	r.format, r.clock = out.format, clock
	r.marker, r.key, r.begins, r.restarts = out.marker, out.key, begins, out.restarts
	r.overrun, q.overrun = q.overrun, false
	r.level = -1
	if len(out.level) == 1 {
		r.level = int8(out.level[0] & 0x7f)
	}
	copy(r.payload, out.payload)
	return q.wakes(), false
}

// report notes what a sender report says of a stream, or, without a clock, that the earlier
// ones hold no longer.
func (q *tapQueue) report(u *Upstream, line instant, clock *sharedClock) (wakes bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.ended {
		return false
	}
	r := q.record(0)
	if r == nil { // the next one will do
		return false
	}
	r.report, r.stream, r.line, r.clock = true, u, line, clock
	return q.wakes()
}

// record makes room for a record with that much payload; nil: there is none.
// q.mu is held.
func (q *tapQueue) record(size int) *tapRecord {
	var c *tapChunk
	if n := len(q.chunks); n > 0 {
		c = q.chunks[n-1]
	}
	if c == nil || c.used == tapChunkRecords || c.filled+size > len(c.payload) {
		if c = q.another(size); c == nil {
			return nil
		}
		q.chunks = append(q.chunks, c)
	}
	r := &c.records[c.used]
	*r = tapRecord{chunk: c, payload: c.payload[c.filled : c.filled+size : c.filled+size]}
	c.used++
	c.filled += size
	return r
}

// another is an empty chunk; nil: there may be no more. q.mu is held.
func (q *tapQueue) another(size int) *tapChunk {
	if size > q.chunk {
		return nil
	}
	if n := len(q.free); n > 0 {
		c := q.free[n-1]
		q.free = q.free[:n-1]
		return c
	}
	if q.made == q.most {
		return nil
	}
	q.made++
	return &tapChunk{payload: make([]byte, q.chunk)}
}

// wakes tells whether the reader waits, and does no more. q.mu is held.
func (q *tapQueue) wakes() bool {
	waiting := q.waiting
	q.waiting = false
	return waiting
}

// queueState is what a reader has to know of its queue.
type queueState struct {
	pressed bool // memory becomes short
	overrun bool // something that came last was left out
	ended   bool
}

// take appends the records that have come since the last call to dst, and gives back those
// that are not needed any more. If waits is set and there are none, the reader is woken by
// the next one.
func (q *tapQueue) take(dst, done []*tapRecord, waits bool) ([]*tapRecord, queueState) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range done {
		q.release(r)
	}
	for i, c := range q.chunks {
		for ; q.taken < c.used; q.taken++ {
			dst = append(dst, &c.records[q.taken])
		}
		if i < len(q.chunks)-1 {
			q.taken = 0
		}
	}
	if n := len(q.chunks); n > 1 {
		q.chunks = slices.Delete(q.chunks, 0, n-1)
	}
	q.waiting = waits && len(dst) == 0
	return dst, queueState{pressed: (q.made-len(q.free))*4 > q.most*3, overrun: q.overrun, ended: q.ended}
}

// release takes a record back. q.mu is held.
func (q *tapQueue) release(r *tapRecord) {
	if q.closed {
		return
	}
	c := r.chunk
	c.released++
	if c.released < c.used {
		return
	}
	c.used, c.filled, c.released = 0, 0, 0
	if len(q.chunks) > 0 && q.chunks[0] == c {
		q.taken = 0
		if len(q.chunks) == 1 { // it is being written
			return
		}
		q.chunks = slices.Delete(q.chunks, 0, 1)
	}
	if len(q.free) < keptChunks {
		q.free = append(q.free, c)
	} else {
		q.made--
	}
}

// current is the layer that is copied, nil if there is none yet.
func (q *tapQueue) current() *layer {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.layer
}

func (q *tapQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
}

func (q *tapQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.chunks, q.free, q.made = nil, nil, 0
}
