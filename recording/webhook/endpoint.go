package webhook

import (
	"cmp"
	"container/heap"
	"errors"
	"io/fs"
	"log/slog"
	"path"
	"sync"
	"time"
)

// endpoint delivers to one URL: streams beside each other, the messages of one stream one after the other.
type endpoint struct {
	q    *Queue
	url  string
	log  *slog.Logger
	wake chan struct{} // of run; holds one

	mu sync.Mutex
	// guarded by mu
	streams map[string]*stream // that have something to send
	due     schedule           // those of them that no attempt runs for
	sending int                // attempts that run
	pause   time.Time          // nothing is sent before
}

// stream is guarded by the endpoint's mu.
type stream struct {
	letters []*letter // the next one first
	next    time.Time
}

func newEndpoint(q *Queue, url string) *endpoint {
	return &endpoint{q: q, url: url, log: q.opts.Logger, wake: make(chan struct{}, 1), streams: make(map[string]*stream)}
}

// add appends to the letter's stream.
func (e *endpoint) add(l *letter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.streams[l.stream]; s != nil {
		s.letters = append(s.letters, l)
		return
	}
	s := &stream{letters: []*letter{l}, next: time.Now()}
	e.streams[l.stream] = s
	heap.Push(&e.due, s)
	e.poke()
}

func (e *endpoint) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run begins attempts when they are due, until the queue ends.
func (e *endpoint) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(e.begin())
		select {
		case <-e.q.ctx.Done():
			return
		case <-e.wake:
		case <-timer.C:
		}
	}
}

// begin begins what is due and tells when it should be called again; a wake may come first.
func (e *endpoint) begin() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.sending < e.q.opts.Parallel && len(e.due) > 0 {
		s := e.due[0]
		at := s.next
		if at.Before(e.pause) {
			at = e.pause
		}
		if wait := time.Until(at); wait > 0 {
			return wait
		}
		heap.Pop(&e.due)
		e.sending++
		first := s.letters[0]
		e.q.group.Go(func() { e.attempt(s, first) })
	}
	return time.Hour
}

// attempt sends the first letter of a stream, and says when the stream goes on.
func (e *endpoint) attempt(s *stream, l *letter) {
	next := time.Now()
	gone := true
	switch outcome := e.q.send(l); {
	case outcome.err == nil:
		e.log.Debug("webhook delivered", "id", l.id, "type", l.kind, "status", outcome.status)
		e.forget(l, e.q.opts.Dir.Remove(path.Join(WaitingDir, fileName(l.number))))
		e.q.delivered.Add(1)
	case e.q.ctx.Err() != nil:
		gone = false // the next start tries it again
	default:
		e.q.failed.Add(1)
		l.failures++
		if outcome.final || time.Since(l.added) >= e.q.opts.RetryFor {
			e.giveUp(l, outcome.err)
			break
		}
		gone = false
		next = next.Add(max(outcome.after, e.q.opts.Retry.After(l.failures)))
		e.log.Warn("webhook failed", "id", l.id, "type", l.kind, "attempt", l.failures,
			"again", next.Round(time.Second), "error", outcome.err)
		if outcome.after > 0 {
			e.hold(next)
		}
	}
	e.ended(s, gone, next)
}

// hold sends nothing to the URL for a while, as it has asked for.
func (e *endpoint) hold(until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pause.Before(until) {
		e.pause = until
	}
}

// ended puts the stream back.
func (e *endpoint) ended(s *stream, gone bool, next time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sending--
	name := s.letters[0].stream
	if gone {
		s.letters = s.letters[1:]
	}
	if len(s.letters) == 0 {
		delete(e.streams, name)
	} else {
		s.next = next
		heap.Push(&e.due, s)
	}
	e.poke()
}

// giveUp keeps a letter among the dead.
func (e *endpoint) giveUp(l *letter, cause error) {
	e.log.Error("webhook given up", "id", l.id, "type", l.kind, "attempts", l.failures,
		"file", path.Join(deadDir, fileName(l.number)), "error", cause)
	e.forget(l, e.q.moveToDead(l.number))
	e.q.dead.Add(1)
}

// forget ends the waiting of a letter whose file has been moved away, with this error.
func (e *endpoint) forget(l *letter, err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.log.Error("webhook stays in the queue, and will come again after a restart", "id", l.id, "error", err)
	}
	e.q.mu.Lock()
	defer e.q.mu.Unlock()
	e.q.drop(l)
}

// schedule is a heap of streams, the one that is due first at its top.
type schedule []*stream

func (s schedule) Len() int { return len(s) }
func (s schedule) Less(i, j int) bool {
	return cmp.Or(s[i].next.Compare(s[j].next), cmp.Compare(s[i].letters[0].number, s[j].letters[0].number)) < 0
}
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(x any)   { *s = append(*s, x.(*stream)) }
func (s *schedule) Pop() any {
	last := len(*s) - 1
	x := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return x
}
