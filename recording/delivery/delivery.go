// Package delivery does what is to follow a recording: it brings it to a bucket, tells others of it, runs the operator's
// program for it, and removes what need not be kept.
//
// The order for each recording, each step only when the one before is done:
//
//  1. recording.started is handed to the webhooks, as soon as it runs.
//  2. When it has ended its files are uploaded, the manifest last, and verified.
//  3. recording.finished or recording.failed is handed to the webhooks: what it says of where the recording is has become true.
//  4. The operator's program runs, while the files are still on this machine.
//  5. If so configured, and if all of that has succeeded, the folder is removed from this machine.
//
// How far a recording has come is in a file of its folder, so that a crash at any moment makes nothing worse than a step that is done
// twice. A recording without such a file has not been seen yet, whatever the reason.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"skillsage/recording"
	"skillsage/recording/command"
	"skillsage/recording/durable"
	"skillsage/recording/retention"
	"skillsage/recording/retry"
	"skillsage/recording/store"
	"skillsage/recording/upload"
	"skillsage/recording/webhook"
)

// Options say what follows a recording. What is nil is left out.
type Options struct {
	Store          *store.Store
	Webhooks       *webhook.Options // but for Dir, which is in the store
	Upload         *upload.Uploader // Close closes it
	DeleteUploaded bool             // removes a recording from this machine when everything else has succeeded
	Command        *command.Runner
	Keep           retention.Policy

	Uploads  int           // recordings that are uploaded at the same time; default 2
	Attempts int           // to run the command for one recording; default 3
	Retry    retry.Policy  // of uploads and the command; default: from 10 s to 30 min
	Interval time.Duration // between two looks at all recordings; default 1 h
	Logger   *slog.Logger  // default: slog.Default
}

const (
	// dirName is the folder in the store that is no recording's.
	dirName     = ".delivery"
	webhooksDir = dirName + "/webhooks"

	pollInterval = 5 * time.Second // of what another process, or a repair, may bring to an end
	maxLoose     = 1000            // events without a folder that wait to be told
)

func (o *Options) defaults() {
	if o.Uploads <= 0 {
		o.Uploads = 2
	}
	if o.Attempts <= 0 {
		o.Attempts = 3
	}
	if o.Retry == (retry.Policy{}) {
		o.Retry = retry.Policy{First: 10 * time.Second, Most: 30 * time.Minute}
	}
	if o.Interval <= 0 {
		o.Interval = time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Delivery is at work from New to Close. Its methods are safe for concurrent use.
type Delivery struct {
	// static
	opts    Options
	log     *slog.Logger
	root    *os.Root        // of the store
	ctx     context.Context // ends with the delivery
	cancel  context.CancelFunc
	group   sync.WaitGroup // all goroutines
	uploads chan struct{}  // holds one for each that runs
	ready   chan struct{}  // closed when the recordings are ours

	// written before ready is closed, and read only after that
	hooks    *webhook.Queue // nil: nobody is told
	hooksDir *os.Root       // nil likewise
	release  func()         // lets another process have the recordings

	mu sync.Mutex
	// guarded by mu
	closed bool
	jobs   map[string]*job // by the recording's id
	loose  int             // events that wait without a folder

	count counters
}

type counters struct {
	uploaded, uploadedBytes, uploadFailures atomic.Uint64
	commandsGivenUp                         atomic.Uint64
	delivered, deleted                      atomic.Uint64
	expired, displaced, freed               atomic.Uint64
}

// Stats are sums since New, but for Recording, Waiting and what those of the parts say themselves.
type Stats struct {
	Recording int // that are being made
	Waiting   int // that have ended, and for which something is still to be done

	Uploaded       uint64 // recordings
	UploadedBytes  uint64
	UploadFailures uint64 // attempts

	CommandsGivenUp uint64 // recordings for which the program has failed each time
	Delivered       uint64 // recordings for which everything is done
	Deleted         uint64 // of them, those that were removed from this machine then

	Expired   uint64 // recordings removed for their age
	Displaced uint64 // recordings removed for their share of the disk
	Freed     uint64 // bytes that both have freed

	Webhooks webhook.Stats // zero without webhooks
	Command  command.Stats // zero without a program
}

// New begins with what an earlier process has left to do. While that one is still there it waits for its end.
func New(opts Options) (*Delivery, error) {
	opts.defaults()
	d := &Delivery{
		opts: opts, log: opts.Logger, jobs: make(map[string]*job),
		uploads: make(chan struct{}, opts.Uploads), ready: make(chan struct{}),
	}
	var err error
	if d.root, err = os.OpenRoot(opts.Store.Dir()); err != nil {
		return nil, err
	}
	if err := d.root.MkdirAll(webhooksDir, store.DirMode); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.group.Go(d.run)
	return d, nil
}

// MessagesWait tells whether a delivery has left messages for webhooks with a store, which may be of recordings that are not
// there any more.
func MessagesWait(folders *store.Store) bool {
	queue, err := os.ReadDir(filepath.Join(folders.Dir(), filepath.FromSlash(webhooksDir), webhook.WaitingDir))
	return err == nil && len(queue) > 0
}

// run looks after all recordings from time to time.
func (d *Delivery) run() {
	if !d.take() {
		return
	}
	close(d.ready)
	if d.opts.Upload != nil {
		d.group.Go(d.tryBucket)
	}
	ticker := time.NewTicker(d.opts.Interval)
	defer ticker.Stop()
	for {
		d.scan()
		d.keep()
		select {
		case <-ticker.C:
		case <-d.ctx.Done():
			return
		}
	}
}

// take waits until no other process has the recordings, and opens what depends on that.
func (d *Delivery) take() bool {
	waiting := false
	for {
		err := d.open()
		if err == nil {
			return true
		}
		if !waiting {
			d.log.Warn("nothing follows recordings yet", "error", err)
			waiting = true
		}
		if !d.sleep(pollInterval) {
			return false
		}
	}
}

func (d *Delivery) open() error {
	release, err := durable.Lock(d.root, dirName)
	if err != nil {
		return err
	}
	if d.opts.Webhooks != nil {
		if err := d.openHooks(*d.opts.Webhooks); err != nil {
			release()
			return err
		}
	}
	d.release = release
	return nil
}

func (d *Delivery) openHooks(opts webhook.Options) (err error) {
	if opts.Dir, err = d.root.OpenRoot(webhooksDir); err != nil {
		return err
	}
	if d.hooks, err = webhook.Open(opts); err != nil {
		return errors.Join(err, opts.Dir.Close())
	}
	d.hooksDir = opts.Dir
	return nil
}

// tryBucket tells the operator early of a bucket that can't be used.
func (d *Delivery) tryBucket() {
	if err := d.opts.Upload.Check(d.ctx); err != nil && d.ctx.Err() == nil {
		d.log.Warn("the bucket for recordings can't be used, as it seems", "error", err)
	}
}

// Handle is told of each step of each recording. It does not block.
func (d *Delivery) Handle(e recording.Event) {
	if e.Folder == nil {
		d.tellLoose(e)
		return
	}
	d.job(e.Folder)
}

// job sees to a recording, and looks at it again if that is done already.
func (d *Delivery) job(folder *store.Folder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if j := d.jobs[folder.ID()]; j != nil {
		j.poke()
		return
	}
	j := &job{Delivery: d, folder: folder, log: d.log.With("recording", folder.ID()), wake: make(chan struct{}, 1)}
	d.jobs[folder.ID()] = j
	d.group.Go(func() {
		j.run()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.jobs, folder.ID())
	})
}

// tellLoose tells of a recording that could not begin, and so has no folder. What has not been told when the process ends is lost.
func (d *Delivery) tellLoose(e recording.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opts.Webhooks == nil || d.closed {
		return
	}
	if d.loose >= maxLoose {
		d.log.Error("too many recordings that could not begin: nobody is told of this one", "interview", e.Interview)
		return
	}
	d.loose++
	d.group.Go(func() {
		message, err := looseMessage(e)
		if err == nil && d.begun() {
			d.untilDone(d.log, "telling of it", nil, func() error { return d.hooks.Add(message) })
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.loose--
	})
}

// begun waits until the recordings are ours; false: the end came first.
func (d *Delivery) begun() bool {
	select {
	case <-d.ready:
		return d.ctx.Err() == nil
	case <-d.ctx.Done():
		return false
	}
}

// untilDone tries something again and again; false: the delivery has ended, or gone says that it is not needed any more.
func (d *Delivery) untilDone(log *slog.Logger, what string, gone func() bool, try func() error) bool {
	for failures := 1; ; failures++ {
		err := try()
		if err == nil {
			return true
		}
		if d.ctx.Err() != nil || gone != nil && gone() {
			return false
		}
		wait := d.opts.Retry.After(failures)
		log.Warn(what+" has failed", "attempt", failures, "again", wait.Round(time.Second), "error", err)
		if !d.sleep(wait) {
			return false
		}
	}
}

// sleep waits; false: the delivery has ended.
func (d *Delivery) sleep(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}

// Stats counts.
func (d *Delivery) Stats() Stats {
	c := &d.count
	s := Stats{
		Uploaded: c.uploaded.Load(), UploadedBytes: c.uploadedBytes.Load(), UploadFailures: c.uploadFailures.Load(),
		CommandsGivenUp: c.commandsGivenUp.Load(), Delivered: c.delivered.Load(), Deleted: c.deleted.Load(),
		Expired: c.expired.Load(), Displaced: c.displaced.Load(), Freed: c.freed.Load(),
	}
	if d.opts.Command != nil {
		s.Command = d.opts.Command.Stats()
	}
	select {
	case <-d.ready:
		if d.hooks != nil {
			s.Webhooks = d.hooks.Stats()
		}
	default:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, j := range d.jobs {
		if j.ended.Load() {
			s.Waiting++
		} else {
			s.Recording++
		}
	}
	return s
}

// Close ends what runs; the next start goes on with it. An error means that something had not ended when ctx did.
func (d *Delivery) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.end(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("what follows recordings has not ended: %w", ctx.Err())
	}
}

// end waits for everything and gives it back.
func (d *Delivery) end(ctx context.Context) error {
	d.group.Wait()
	var err error
	if d.hooks != nil {
		err = errors.Join(d.hooks.Close(ctx), d.hooksDir.Close())
	}
	if d.opts.Upload != nil {
		err = errors.Join(err, d.opts.Upload.Close())
	}
	if d.release != nil {
		d.release()
	}
	return errors.Join(err, d.root.Close())
}
