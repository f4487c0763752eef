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

// parcel is a packet on its way to somebody.
type parcel[To any] struct {
	at   time.Time
	data []byte
	to   To
}

// pipe is one direction of a Link or a Wire: whoever reads packets pushes them, one goroutine (run) sends each
// when its time has come.
type pipe[To any] struct {
	write    func(To, []byte) error // static
	overhead int                    // static; bytes that the rate counts for each packet beside what was read
	wake     chan struct{}          // holds one token while the head of an empty queue is new

	mu     sync.Mutex
	shaper *shaper      // guarded by mu
	queue  []parcel[To] // guarded by mu; oldest first, from head on
	head   int
	spare  [][]byte // guarded by mu
	count  Counters // guarded by mu
}

func newPipe[To any](s *shaper, overhead int, write func(To, []byte) error) *pipe[To] {
	return &pipe[To]{shaper: s, overhead: overhead, write: write, wake: make(chan struct{}, 1)}
}

// set changes the settings, or says what is wrong with them. Packets on their way keep their time of arrival.
func (p *pipe[To]) set(s Settings) error {
	if err := s.check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shaper.settings = s
	return nil
}

func (p *pipe[To]) counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := p.count
	count.Waiting = len(p.queue) - p.head
	return count
}

// lose counts a packet that does not even reach the pipe.
func (p *pipe[To]) lose(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came(data)
	p.count.Lost++
}

// came must be called with mu held.
func (p *pipe[To]) came(data []byte) {
	p.count.Packets++
	p.count.Bytes += uint64(len(data))
}

// push copies the packet.
func (p *pipe[To]) push(to To, data []byte) {
	now := time.Now()
	p.mu.Lock()
	p.came(data)
	waiting := len(p.queue) - p.head
	if waiting >= maxQueued {
		p.count.Dropped++
		p.mu.Unlock()
		return
	}
	at, verdict := p.shaper.admit(now, len(data)+p.overhead)
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
		p.queue = append(p.queue, parcel[To]{at: at, data: append(buffer, data...), to: to})
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
func (p *pipe[To]) run(done <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next, ok, wait := p.next(time.Now())
		switch {
		case ok:
			err := p.write(next.to, next.data)
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
func (p *pipe[To]) next(now time.Time) (parcel[To], bool, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.head == len(p.queue) {
		p.queue, p.head = p.queue[:0], 0
		return parcel[To]{}, false, 0
	}
	oldest := &p.queue[p.head]
	if wait := oldest.at.Sub(now); wait > 0 {
		return parcel[To]{}, false, wait
	}
	taken := *oldest
	*oldest = parcel[To]{}
	p.head++
	return taken, true, 0
}

func (p *pipe[To]) sent(done parcel[To], err error) {
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
