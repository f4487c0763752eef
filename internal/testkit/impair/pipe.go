package impair

import (
	"sync"
	"time"
)

const (
	// readSize is more than any packet of WebRTC has; what is larger is cut.
	readSize = 2048
	// maxQueued bounds the packets on their way in one direction: 16 MiB.
	maxQueued = 8192
	// maxSpare bounds the buffers kept for reuse.
	maxSpare = 256
)

// Counters of one direction since the start.
type Counters struct {
	Packets   uint64 `json:"packets"`   // came in
	Bytes     uint64 `json:"bytes"`     // came in, without headers
	Forwarded uint64 `json:"forwarded"` // went out
	Lost      uint64 `json:"lost"`      // by Settings.Loss, or of a client that was cut
	Dropped   uint64 `json:"dropped"`   // because the queue was full
	Failed    uint64 `json:"failed"`    // the system refused to send
	Waiting   int    `json:"waiting"`   // on their way now
}

// parcel is a packet on its way.
type parcel struct {
	at   time.Time
	data []byte
	flow *flow
}

// pipe is one direction of a Link: whoever reads packets pushes them, one goroutine (run) sends each
// when its time has come.
type pipe struct {
	write func(*flow, []byte) error // static
	wake  chan struct{}             // holds one token while the head of an empty queue is new

	mu     sync.Mutex
	shaper *shaper  // guarded by mu
	queue  []parcel // guarded by mu; oldest first, from head on
	head   int
	spare  [][]byte // guarded by mu
	count  Counters // guarded by mu
}

func newPipe(s *shaper, write func(*flow, []byte) error) *pipe {
	return &pipe{shaper: s, write: write, wake: make(chan struct{}, 1)}
}

func (p *pipe) set(s Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shaper.settings = s
}

func (p *pipe) counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := p.count
	count.Waiting = len(p.queue) - p.head
	return count
}

// push copies the packet.
func (p *pipe) push(f *flow, data []byte) {
	now := time.Now()
	p.mu.Lock()
	p.count.Packets++
	p.count.Bytes += uint64(len(data))
	waiting := len(p.queue) - p.head
	if waiting >= maxQueued {
		p.count.Dropped++
		p.mu.Unlock()
		return
	}
	at, verdict := time.Time{}, lost
	if !f.cut.Load() {
		at, verdict = p.shaper.admit(now, len(data))
	}
	switch verdict {
	case lost:
		p.count.Lost++
	case full:
		p.count.Dropped++
	case pass:
		var buffer []byte
		if n := len(p.spare); n > 0 {
			buffer, p.spare = p.spare[n-1][:0], p.spare[:n-1]
		} else {
			buffer = make([]byte, 0, readSize)
		}
		if len(p.queue) == cap(p.queue) && p.head > len(p.queue)/2 {
			// Make room at the end by moving what waits to the front.
			n := copy(p.queue, p.queue[p.head:])
			clear(p.queue[n:])
			p.queue, p.head = p.queue[:n], 0
		}
		p.queue = append(p.queue, parcel{at: at, data: append(buffer, data...), flow: f})
	}
	p.mu.Unlock()
	if verdict == pass && waiting == 0 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// run sends until done is closed; what still waits then is dropped.
func (p *pipe) run(done <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next, ok, wait := p.next(time.Now())
		switch {
		case ok:
			err := p.write(next.flow, next.data)
			p.sent(next, err)
			select {
			case <-done:
				return
			default:
			}
			continue
		case wait > 0:
			timer.Reset(wait)
		default:
			timer.Stop()
		}
		select {
		case <-done:
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// next takes the oldest packet if its time has come, else it says how long that will be; 0 if none waits.
func (p *pipe) next(now time.Time) (parcel, bool, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.head == len(p.queue) {
		p.queue, p.head = p.queue[:0], 0
		return parcel{}, false, 0
	}
	oldest := &p.queue[p.head]
	if wait := oldest.at.Sub(now); wait > 0 {
		return parcel{}, false, wait
	}
	taken := *oldest
	*oldest = parcel{}
	p.head++
	return taken, true, 0
}

func (p *pipe) sent(done parcel, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.count.Failed++
	} else {
		p.count.Forwarded++
	}
	if len(p.spare) < maxSpare {
		p.spare = append(p.spare, done.data)
	}
}
