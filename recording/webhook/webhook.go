// Package webhook tells others over HTTP what has happened: messages are signed as the Standard Webhooks specification
// (version 1.0.0) has it, and kept on disk until each URL has taken them.
package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skillsage/recording/retry"
)

// Options say who is told, and what that may cost.
type Options struct {
	URLs    []string // http or https; each gets every message
	Secrets [][]byte // what messages are signed with, by each of them; at least one (ParseSecret)
	Dir     *os.Root // folder of the queue, which must have nothing else in it; it stays the caller's

	MaxQueued int           // messages that wait, counted once for each URL; default 10000
	MaxDead   int           // messages kept that could not be delivered, the latest; default 1000
	RetryFor  time.Duration // how long a message is tried; default 3 days
	Timeout   time.Duration // of one attempt, until the answer has been read; default 15 s
	Parallel  int           // attempts at one URL at the same time; default 4
	Retry     retry.Policy  // default: from 5 s to 1 h
	Agent     string        // User-Agent; default skillsage
	Logger    *slog.Logger  // default: slog.Default
}

func (o *Options) defaults() {
	set(&o.MaxQueued, 10_000)
	set(&o.MaxDead, 1000)
	set(&o.RetryFor, 3*24*time.Hour)
	set(&o.Timeout, 15*time.Second)
	set(&o.Parallel, 4)
	set(&o.Retry, retry.Policy{First: 5 * time.Second, Most: time.Hour})
	set(&o.Agent, "skillsage")
	set(&o.Logger, slog.Default())
}

func set[T comparable](p *T, value T) {
	if *p == *new(T) {
		*p = value
	}
}

// Message is what URLs are told.
type Message struct {
	ID     string // webhook-id, the same in each attempt: letters, digits, hyphens and underscores
	Stream string // of messages of one stream a URL gets the next one when it has taken the one before
	Type   string // for the log
	Body   []byte // JSON of at most MaxBody bytes
}

// MaxBody bounds a message's body, in bytes.
const MaxBody = 1 << 20

var (
	// ErrFull means that too many messages wait already.
	ErrFull = errors.New("too many webhooks wait to be delivered")
	// ErrClosed means that the queue has been closed.
	ErrClosed = errors.New("the webhook queue is closed")

	idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)
)

// Stats are sums since Open, but for Queued and Oldest, which hold now.
type Stats struct {
	Queued    int       // messages that wait, for each URL
	Oldest    time.Time // when the oldest of them was added; zero if there is none
	Delivered uint64
	Failed    uint64 // attempts
	Dead      uint64 // messages given up
}

// Queue delivers messages. Its methods are safe for concurrent use.
type Queue struct {
	opts   Options // static
	client *http.Client
	ctx    context.Context // ends with the queue
	cancel context.CancelFunc
	group  sync.WaitGroup // the endpoints and their attempts

	endpoints []*endpoint // static, in the order of Options.URLs

	adding sync.Mutex // taken before mu, for as long as files are written
	mu     sync.Mutex
	// guarded by mu
	closed  bool
	last    uint64 // number of the latest file
	queued  map[place]*letter
	streams map[string]int // how many letters of each are queued

	delivered, failed, dead atomic.Uint64
}

// Open takes up what an earlier queue in the same folder has left and begins to deliver it.
func Open(opts Options) (*Queue, error) {
	opts.defaults()
	if len(opts.Secrets) == 0 {
		return nil, errors.New("webhooks need a secret to be signed with")
	}
	q := &Queue{opts: opts, queued: make(map[place]*letter), streams: make(map[string]int), client: newClient(opts.Timeout)}
	for i, text := range opts.URLs {
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("webhook URL number %d is no URL of http or https", i+1)
		}
		if slices.Contains(opts.URLs[:i], text) {
			return nil, fmt.Errorf("webhook URL number %d is there twice", i+1)
		}
		q.endpoints = append(q.endpoints, newEndpoint(q, text))
	}
	if err := q.load(); err != nil {
		return nil, fmt.Errorf("the webhook queue: %w", err)
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	for _, e := range q.endpoints {
		q.group.Go(e.run)
	}
	return q, nil
}

// Add hands a message to all URLs. When it returns without an error the message is on disk and will be
// tried until it is taken or Options.RetryFor is over. A message whose ID still waits at a URL is not added there again, so that
// whoever does not know whether Add has succeeded may call it once more.
func (q *Queue) Add(m Message) error {
	if !idPattern.MatchString(m.ID) || len(m.Body) > MaxBody || !json.Valid(m.Body) {
		return fmt.Errorf("webhook %.64q of %d bytes is not allowed", m.ID, len(m.Body))
	}
	q.adding.Lock()
	defer q.adding.Unlock()
	letters, err := q.reserve(m)
	if err != nil || len(letters) == 0 {
		return err
	}
	if err := q.store(m, letters); err != nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, l := range letters {
			q.drop(l)
		}
		return err
	}
	for _, l := range letters {
		l.endpoint.add(l)
	}
	return nil
}

// reserve makes the letters of a message, one for each URL that has it not yet.
func (q *Queue) reserve(m Message) ([]*letter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, ErrClosed
	}
	var letters []*letter
	for _, e := range q.endpoints {
		if q.queued[place{e, m.ID}] == nil {
			letters = append(letters, &letter{id: m.ID, stream: m.Stream, kind: m.Type, added: time.Now(), endpoint: e})
		}
	}
	if len(q.queued)+len(letters) > q.opts.MaxQueued {
		return nil, ErrFull
	}
	for _, l := range letters {
		q.last++
		l.number = q.last
		q.keep(l)
	}
	return letters, nil
}

// place is where a message waits.
type place struct {
	endpoint *endpoint
	id       string
}

// keep counts a letter. The caller holds q.mu.
func (q *Queue) keep(l *letter) {
	q.queued[place{l.endpoint, l.id}] = l
	q.streams[l.stream]++
}

// drop is the reverse of keep. The caller holds q.mu.
func (q *Queue) drop(l *letter) {
	delete(q.queued, place{l.endpoint, l.id})
	if q.streams[l.stream]--; q.streams[l.stream] == 0 {
		delete(q.streams, l.stream)
	}
}

// Waiting tells whether a message of the stream still waits for a URL.
func (q *Queue) Waiting(stream string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.streams[stream] > 0
}

// Stats counts.
func (q *Queue) Stats() Stats {
	s := Stats{Delivered: q.delivered.Load(), Failed: q.failed.Load(), Dead: q.dead.Load()}
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Queued = len(q.queued)
	for _, l := range q.queued {
		if s.Oldest.IsZero() || l.added.Before(s.Oldest) {
			s.Oldest = l.added
		}
	}
	return s
}

// Close ends attempts that run, which come again when the queue is opened anew. An error means that they had not ended when ctx did.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		q.group.Wait()
		q.client.CloseIdleConnections()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
