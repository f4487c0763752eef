package recording

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/store"
)

const (
	journalInterval = time.Second // between two writes
	maxUnwritten    = 4 << 20     // bytes of what others said that wait for the disk; of all events twice as much
)

// A full disk must not keep the manifest from being finished: reserveName is a file that is given up then.
const (
	reserveName = "reserve"
	reserveSize = 256 << 10
)

// journal is what a recording has on disk apart from media. All writing is done by its goroutine, run; the other methods
// never block.
type journal struct {
	// Static.
	session  *session
	recorder *Recorder
	first    *manifest.Manifest // as the recording begins
	declined bool               // it is of a refusal only
	wake     chan struct{}      // holds one token

	mu     sync.Mutex
	lines  bytes.Buffer       // guarded by mu: events that are not written
	latest *manifest.Manifest // guarded by mu: the one to be written; nil: none
	final  bool               // guarded by mu: latest is the last one

	// Owned by run.
	folder  *store.Folder
	root    *os.Root
	events  *os.File
	rest    []byte // events that could not be written
	release func() // of the folder's lock
}

func newJournal(s *session, declined bool) *journal {
	return &journal{session: s, recorder: s.iv.recorder, first: s.snapshot(), declined: declined, wake: make(chan struct{}, 1)}
}

// append adds an event; false if too much is waiting.
func (j *journal) append(e *manifest.Event) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.lines.Len()
	if before > 2*maxUnwritten || before > maxUnwritten && e.Data != nil {
		return false
	}
	if err := manifest.EncodeEvent(&j.lines, e); err != nil {
		j.lines.Truncate(before)
		return false
	}
	j.poke()
	return true
}

// update has a manifest written. It belongs to the journal from now on.
func (j *journal) update(m *manifest.Manifest) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.latest = m
	j.poke()
}

// finish has the last manifest written, all events in it, and ends the journal.
func (j *journal) finish(m *manifest.Manifest) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.latest, j.final = m, true
	j.poke()
}

func (j *journal) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// take returns what is to be written.
func (j *journal) take() (lines []byte, latest *manifest.Manifest, final bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines = bytes.Clone(j.lines.Bytes())
	j.lines.Reset()
	latest, j.latest = j.latest, nil
	if latest != nil && j.folder != nil {
		latest.ID = j.folder.ID()
	}
	return lines, latest, j.final
}

func (j *journal) run() {
	started := j.begin()
	for {
		lines, latest, final := j.take()
		if final {
			j.end(lines, latest, started)
			return
		}
		if started {
			err := j.write(lines)
			if err == nil && latest != nil {
				err = manifest.Write(j.root, latest)
			}
			if err != nil {
				j.fail(err)
			}
		}
		j.pause()
	}
}

// pause waits for more, and then for as long as it takes for writing to be worth while; not for the last.
func (j *journal) pause() {
	<-j.wake
	timer := time.NewTimer(journalInterval)
	defer timer.Stop()
	for {
		j.mu.Lock()
		final := j.final
		j.mu.Unlock()
		if final {
			return
		}
		select {
		case <-j.wake:
		case <-timer.C:
			return
		}
	}
}

func (j *journal) fail(err error) {
	j.session.iv.log.Error("recording can't be written", "error", err)
	j.session.iv.fail(j.session.wish, reasonOf(err), err.Error())
}

// begin makes the folder.
func (j *journal) begin() bool {
	s, r := j.session, j.recorder
	folder, release, err := r.opts.Store.CreateLocked(s.iv.room, s.zero)
	if err == nil {
		j.folder, j.release = folder, release
		err = j.open()
	}
	if err != nil {
		j.close()
		if folder != nil {
			_ = folder.Remove()
		}
		j.folder = nil
		j.fail(err)
		return false
	}
	r.count.started.Add(1)
	r.count.active.Add(1)
	s.iv.log.Info("recording has begun", "recording", folder.ID(), "folder", folder.Path())
	if !j.declined {
		r.tell(Event{Type: EventStarted, At: s.zero, Interview: s.iv.room, Recording: folder.ID(), Folder: folder, Manifest: j.first})
	}
	s.iv.post(func() { s.ready(folder.ID(), j.root) })
	return true
}

func (j *journal) open() (err error) {
	if j.root, err = j.folder.Root(); err != nil {
		return err
	}
	if err = j.root.WriteFile(reserveName, make([]byte, reserveSize), store.FileMode); err != nil {
		return err
	}
	if j.events, err = j.root.OpenFile(manifest.EventsName, os.O_WRONLY|os.O_CREATE|os.O_APPEND|os.O_EXCL, store.FileMode); err != nil {
		return err
	}
	j.first.ID = j.folder.ID()
	return manifest.Write(j.root, j.first)
}

// close gives up everything that is open.
func (j *journal) close() {
	if j.events != nil {
		_ = j.events.Close()
	}
	if j.root != nil {
		_ = j.root.Close()
	}
	if j.release != nil {
		j.release()
	}
}

// write appends events and makes them last.
func (j *journal) write(lines []byte) error {
	j.rest = append(j.rest, lines...)
	if len(j.rest) == 0 {
		return nil
	}
	n, err := j.events.Write(j.rest)
	j.rest = append(j.rest[:0], j.rest[n:]...)
	if err != nil {
		return err
	}
	start := time.Now()
	err = j.events.Sync()
	j.recorder.count.synced(time.Since(start))
	return err
}

// end writes the last manifest.
func (j *journal) end(lines []byte, m *manifest.Manifest, started bool) {
	s, r := j.session, j.recorder
	event := Event{Type: EventFinished, At: time.Now(), Interview: m.Interview, Recording: m.ID, Reason: m.Reason, Detail: m.Detail, Folder: j.folder}
	if m.State == manifest.Failed {
		event.Type = EventFailed
	}
	var err error
	if started {
		_ = j.root.Remove(reserveName)
		err = errors.Join(j.write(lines), conclude(j.root, m))
		if err != nil {
			s.iv.log.Error("recording can't be concluded yet", "recording", m.ID, "error", err)
		}
		r.count.active.Add(-1)
		event.Manifest = m
	}
	j.close()
	if err != nil {
		r.leave(j.folder, m)
	}
	s.iv.log.Info("recording has ended", "recording", m.ID, "reason", string(m.Reason), "detail", m.Detail, "duration", m.Duration.Duration())
	switch {
	case event.Type == EventFailed:
		r.count.failed.Add(1)
		r.tell(event)
	case started:
		r.count.finished.Add(1)
		r.tell(event)
	}
	s.iv.mu.Lock()
	s.iv.finishing--
	s.iv.poke()
	s.iv.mu.Unlock()
}

// conclude writes the last manifest of a recording, and puts the events into it that are beside it.
func conclude(root *os.Root, m *manifest.Manifest) error {
	events, err := manifest.ReadEvents(root)
	if err != nil {
		return err
	}
	slices.SortStableFunc(events, manifest.ByTime)
	m.Events = events
	if err = manifest.Write(root, m); err != nil {
		// There may be no space for all of it. Without its events it is short, and they are found beside it.
		short := *m
		short.Events = nil
		return errors.Join(err, manifest.Write(root, &short))
	}
	if err = root.Remove(manifest.EventsName); err != nil {
		return err
	}
	return manifest.SyncDir(root)
}
