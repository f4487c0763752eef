// Package recording writes interviews to disk: the media of everybody as they came, and what happened, on one clock.
//
// A Recorder hears of rooms from the signaling, takes media from taps of the relay, and writes folders of a store
// (recording/store) with files (recording/matroska) and a manifest (recording/manifest). It knows neither the one nor the
// wire: both sides meet it through plain strings.
package recording

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/store"
)

// Mode says which interviews are recorded.
type Mode string

// The modes.
const (
	ModeOff       Mode = "off"
	ModeOnRequest Mode = "on-request" // those for which somebody asks
	ModeAlways    Mode = "always"     // all that have media, from the first of them on, until somebody stops it
)

// Options are a Recorder's settings.
type Options struct {
	Store *store.Store
	Media Media
	Mode  Mode // default ModeOff
	// Consent is what has to happen before somebody is recorded; default manifest.ConsentNone.
	Consent manifest.ConsentPolicy
	// MinFree is the space in bytes that recordings leave on the disk; default 1 GiB.
	MinFree uint64
	// MaxDuration is how long one recording may get; default 12 h.
	MaxDuration time.Duration
	// Linger is how long a recording goes on when the last member has left, so that a page that is loaded anew finds it; default
	// 10 s. It is not part of the recording's duration if nobody comes back.
	Linger time.Duration
	// Relayed has the relay carry the media of a room; nil: it does anyway. An error means that it can't, but for ErrNoRoom: there is
	// no such room at this moment. It must not block.
	Relayed func(room string) error
	// Notify tells what has become of a room's recording, one call at a time for each room, in order. It must not block, and may call
	// the Recorder.
	Notify func(room string, status Status)
	// OnEvent hears of every step of every recording, one at a time, in order for each recording, after it is on disk. A
	// recording of which the process has died is told of again. What it does holds up the begin and the end of other recordings.
	OnEvent func(Event)
	Logger  *slog.Logger
}

const (
	defaultMinFree     = 1 << 30
	defaultMaxDuration = 12 * time.Hour
	defaultLinger      = 10 * time.Second
)

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Mode == "" {
		o.Mode = ModeOff
	}
	if o.Consent == "" {
		o.Consent = manifest.ConsentNone
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.MaxDuration <= 0 {
		o.MaxDuration = defaultMaxDuration
	}
	if o.Linger <= 0 {
		o.Linger = defaultLinger
	}
	if o.Relayed == nil {
		o.Relayed = func(string) error { return nil }
	}
	if o.Notify == nil {
		o.Notify = func(string, Status) {}
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
}

// ErrNoRoom is what Options.Relayed says of a room that its last member is leaving, of which the Recorder is about to hear.
var ErrNoRoom = errors.New("no such room")

// API stands for a member's id where the operator's side asks for something: that is always allowed.
const API = "api"

// Everyone stands for a member's id in Consent: all who are there and who come later, of whom the operator's side
// attests that they have been asked elsewhere. Who has refused here stays with that, and who comes after a refusal, perhaps the
// same person again, is asked, unless it is attested once more.
const Everyone = "*"

// Recorder records interviews. Its methods may be called concurrently. Those that the signaling calls never block: they
// note what was asked for, and a goroutine of the interview does it.
type Recorder struct {
	// Static.
	opts Options
	log  *slog.Logger

	stop    context.CancelFunc // ends the disk guard and the search for orphans
	hashing context.Context    // ends when there is no time left to work out checksums
	unhash  context.CancelFunc
	group   sync.WaitGroup // all goroutines

	free  atomic.Uint64 // space left, as last seen
	count counters

	events sync.Mutex // held while OnEvent runs

	mu         sync.Mutex
	closed     bool                  // guarded by mu
	interviews map[string]*interview // guarded by mu; see interview.retire
	left       []*orphan             // guarded by mu: for finishOrphans
}

type counters struct {
	started, finished, failed, recovered       atomic.Uint64
	bytes, frames, gaps, overflows, eventsLost atomic.Uint64
	syncs                                      atomic.Uint64
	syncTime                                   atomic.Int64
	active                                     atomic.Int64
}

func (c *counters) synced(took time.Duration) {
	c.syncs.Add(1)
	c.syncTime.Add(int64(took))
}

// New begins to record what there is to record, and finishes recordings that a crash has left in the store.
func New(opts Options) (*Recorder, error) {
	opts.setDefaults()
	free, _, err := opts.Store.Space()
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	r := &Recorder{opts: opts, log: opts.Logger, interviews: make(map[string]*interview)}
	r.free.Store(free)
	var living context.Context
	living, r.stop = context.WithCancel(context.Background())
	r.hashing, r.unhash = context.WithCancel(context.Background())
	r.group.Go(func() { r.guardDisk(living) })
	r.group.Go(func() { r.finishOrphans(living) })
	return r, nil
}

// Join says that somebody has come into a room, or has another role there.
func (r *Recorder) Join(room, member, role string) {
	if r.opts.Mode == ModeOff {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	iv := r.interviews[room]
	if iv == nil {
		iv = newInterview(r, room)
		r.interviews[room] = iv
		r.group.Go(iv.run)
	}
	iv.join(member, role, time.Now())
}

// Leave says that a member has left.
func (r *Recorder) Leave(room, member string) {
	if iv := r.interview(room); iv != nil {
		iv.leave(member, time.Now())
	}
}

// Said hands over what a socket, which need not be a member, has told everybody in a room. event is chat-message,
// code-update, language-change, question-change or screen-share-status, payload the JSON that the others got, which nobody
// may change any more.
func (r *Recorder) Said(room, member, event string, payload []byte) {
	if iv := r.interview(room); iv != nil {
		iv.said(member, event, payload, time.Now())
	}
}

// Start asks for a recording of a room; by is a member, a recruiter, who thereby agrees to it, or API. The error is an *Error. Without one the
// recording begins in a moment, or when everybody has agreed who must.
func (r *Recorder) Start(room, by string) error {
	if r.opts.Mode == ModeOff {
		return refuse(CodeOff, "this server does not record")
	}
	iv := r.interview(room)
	if iv == nil {
		return refuse(CodeNoRoom, "nobody is in this room")
	}
	return iv.start(by, time.Now())
}

// Stop ends the recording of a room, or the wait for one; by is as with Start, and so is the error. With ModeAlways there
// is none any more then until somebody asks for it, or all have left.
func (r *Recorder) Stop(room, by string) error {
	if r.opts.Mode == ModeOff {
		return refuse(CodeOff, "this server does not record")
	}
	iv := r.interview(room)
	if iv == nil {
		return refuse(CodeNoRoom, "nobody is in this room")
	}
	return iv.stop(by, time.Now())
}

// Consent is a member's answer whether it agrees to be recorded, or the operator's for Everyone. It may come unasked, and change:
// whoever does not agree any more ends the recording. The error is an *Error.
func (r *Recorder) Consent(room, member string, agreed bool) error {
	if r.opts.Mode == ModeOff {
		return refuse(CodeOff, "this server does not record")
	}
	iv := r.interview(room)
	if iv == nil {
		return refuse(CodeNoRoom, "nobody is in this room")
	}
	return iv.consent(member, agreed, time.Now())
}

// Status is what there is to say of a room's recording.
func (r *Recorder) Status(room string) Status {
	if iv := r.interview(room); iv != nil {
		return iv.status()
	}
	return Status{Room: room, State: Off, Consent: r.opts.Consent}
}

// Active lists the rooms that are recorded or wait for it, in no order.
func (r *Recorder) Active() []Status {
	r.mu.Lock()
	all := make([]*interview, 0, len(r.interviews))
	for _, iv := range r.interviews {
		all = append(all, iv)
	}
	r.mu.Unlock()
	var active []Status
	for _, iv := range all {
		if s := iv.status(); s.State == Recording || s.State == Waiting {
			active = append(active, s)
		}
	}
	return active
}

// Stats returns the present counts.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	interviews := len(r.interviews)
	r.mu.Unlock()
	c := &r.count
	return Stats{
		Interviews: interviews, Active: int(c.active.Load()),
		Started: c.started.Load(), Finished: c.finished.Load(), Failed: c.failed.Load(), Recovered: c.recovered.Load(),
		Bytes: c.bytes.Load(), Frames: c.frames.Load(), Gaps: c.gaps.Load(), Overflows: c.overflows.Load(), EventsLost: c.eventsLost.Load(),
		Syncs: c.syncs.Load(), SyncTime: time.Duration(c.syncTime.Load()), Free: r.free.Load(),
	}
}

// Close ends all recordings, and waits until they are finished, or for ctx. Checksums for which there is no time are left
// out; what is not finished by then is by the next start.
func (r *Recorder) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	for _, iv := range r.interviews {
		iv.shutDown(time.Now())
	}
	r.mu.Unlock()
	r.stop()
	defer context.AfterFunc(ctx, r.unhash)()
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		defer time.AfterFunc(left-left/4, r.unhash).Stop()
	}
	done := make(chan struct{})
	go func() {
		r.group.Wait()
		r.unhash()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("recording: recordings are not finished: %w", ctx.Err())
	}
}

func (r *Recorder) interview(room string) *interview {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.interviews[room]
}

// tell gives a step of a recording to OnEvent.
func (r *Recorder) tell(e Event) {
	r.events.Lock()
	defer r.events.Unlock()
	r.opts.OnEvent(e)
}
