package recording

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/matroska"
	"skillsage/recording/retry"
	"skillsage/recording/store"
)

const (
	busyInterval = 5 * time.Second // until a recording is looked at again that another process was still making at the start
	orphanTick   = time.Second
)

// orphanRetry says how often it is tried to finish what could not be finished: mostly for want of space.
var orphanRetry = retry.Policy{First: 5 * time.Second, Most: 5 * time.Minute}

// orphan is a recording that is to be finished: one of a process that has died, or may, or of this one, which could not write its end.
type orphan struct {
	folder   *store.Folder
	last     *manifest.Manifest // as this process would have ended it, but for the events; nil: another one's
	failures int
	due      time.Time // when to try
}

// leave has a recording finished later whose end could not be written. Its manifest is not changed.
func (r *Recorder) leave(folder *store.Folder, m *manifest.Manifest) {
	last := *m
	last.Events = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = append(r.left, &orphan{folder: folder, last: &last, failures: 1, due: time.Now().Add(orphanRetry.After(1))})
}

// finishOrphans finishes the recordings of processes that have died, also of one that dies while this one runs, and what this one
// has left.
func (r *Recorder) finishOrphans(ctx context.Context) {
	if err := r.opts.Store.Sweep(); err != nil {
		r.log.Warn("recordings that were removed have left something", "error", err)
	}
	folders, err := r.opts.Store.List()
	if err != nil {
		r.log.Error("the store of recordings can't be read", "error", err)
	}
	var all []*orphan
	for _, folder := range folders {
		all = append(all, &orphan{folder: folder})
	}
	ticker := time.NewTicker(orphanTick)
	defer ticker.Stop()
	for {
		r.mu.Lock()
		left := r.left
		r.left = nil
		r.mu.Unlock()
		all = withOwn(all, left)
		all = slices.DeleteFunc(all, func(o *orphan) bool { return ctx.Err() != nil || r.tryOrphan(ctx, o) })
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// withOwn adds what this process has left. It takes the place of what the list of the store says of it: a recording that began
// while that was made is on it.
func withOwn(all, own []*orphan) []*orphan {
	for _, left := range own {
		all = slices.DeleteFunc(all, func(o *orphan) bool { return o.folder.Path() == left.folder.Path() })
	}
	return append(all, own...)
}

// tryOrphan finishes a recording if it is time to; true: there is nothing left to be done.
func (r *Recorder) tryOrphan(ctx context.Context, o *orphan) bool {
	now := time.Now()
	if now.Before(o.due) {
		return false
	}
	unfinished, err := o.folder.Unfinished()
	if err == nil && unfinished {
		err = r.finishOrphan(ctx, o)
	}
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound):
		return true
	case ctx.Err() != nil:
	case errors.Is(err, store.ErrBusy):
		o.due = now.Add(busyInterval)
	default:
		if o.failures++; o.failures == 1 {
			r.log.Error("recording can't be finished yet", "folder", o.folder.Path(), "error", err)
		}
		o.due = now.Add(orphanRetry.After(o.failures))
	}
	return false
}

// finishOrphan finishes one recording, unless another process is still at it.
func (r *Recorder) finishOrphan(ctx context.Context, o *orphan) error {
	folder := o.folder
	release, err := folder.Lock()
	if err != nil {
		return err
	}
	defer release()
	root, err := folder.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	m, err := manifest.Read(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// It died before the first manifest was there, and so before any media were.
		if names, err := mediaFiles(root); err != nil || len(names) > 0 {
			return errors.Join(err, fmt.Errorf("%s is missing beside %d media files; they are left as they are", manifest.Name, len(names)))
		}
		release()
		return folder.Remove()
	case err != nil:
		return err
	}
	if err := root.Remove(reserveName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(m.Events) > 0 { // and so all that is beside it; it died just then
		return root.Remove(manifest.EventsName)
	}
	told := o.last != nil || m.State != manifest.Recording
	if o.last != nil {
		m = o.last
		var events []manifest.Event
		if events, err = manifest.ReadEvents(root); err == nil {
			err = putEnd(root, events, m)
		}
	} else if !told {
		err = r.recover(ctx, root, m)
	}
	if err == nil {
		err = conclude(root, m)
	}
	if err != nil {
		return err
	}
	r.log.Info("recording that was left is finished", "interview", m.Interview, "recording", m.ID, "duration", m.Duration.Duration())
	if told {
		return nil
	}
	r.count.recovered.Add(1)
	r.count.finished.Add(1)
	r.tell(Event{
		Type: EventFinished, At: time.Now(), Interview: m.Interview, Recording: m.ID, Reason: m.Reason, Folder: folder, Manifest: m,
	})
	return nil
}

// recover brings what a crash has left of a recording to an end: its files, and its manifest but for the events.
func (r *Recorder) recover(ctx context.Context, root *os.Root, m *manifest.Manifest) error {
	events, err := manifest.ReadEvents(root)
	if err != nil {
		return err
	}
	var end manifest.Seconds
	for _, e := range events {
		end = max(end, e.At)
	}
	names, err := mediaFiles(root)
	if err != nil {
		return err
	}
	m.Files = slices.DeleteFunc(m.Files, func(f manifest.File) bool { return !slices.Contains(names, f.Name) })
	for _, name := range names {
		i := slices.IndexFunc(m.Files, func(f manifest.File) bool { return f.Name == name })
		if i < 0 {
			i = len(m.Files)
			m.Files = append(m.Files, manifest.File{Name: name, Kind: kindOf(name)})
		}
		f, err := r.recoverFile(ctx, root, name)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, matroska.ErrEmpty):
			if err := root.Remove(name); err != nil {
				return err
			}
			m.Files = slices.Delete(m.Files, i, i+1)
			continue
		case err != nil:
			r.log.Error("file of a recording can't be repaired", "recording", m.ID, "file", name, "error", err)
		}
		f.Participant, f.Kind = m.Files[i].Participant, m.Files[i].Kind
		m.Files[i] = f
		end = max(end, f.Start+f.Duration)
	}
	finished := m.Started.Add(end.Duration())
	m.State, m.Reason, m.Duration, m.Finished = manifest.Finished, manifest.Crash, end, &finished
	return putEnd(root, events, m)
}

// putEnd adds the end of a recording to its events, unless it is there.
func putEnd(root *os.Root, events []manifest.Event, m *manifest.Manifest) error {
	if slices.ContainsFunc(events, func(e manifest.Event) bool { return e.Type == manifest.RecordingStopped }) {
		return nil
	}
	return appendEvent(root, &manifest.Event{At: m.Duration, Type: manifest.RecordingStopped, Reason: m.Reason, Detail: m.Detail})
}

// kindOf guesses from the name of a file what is in it, where the manifest was not yet told.
func kindOf(name string) manifest.Kind {
	if strings.Contains(name, screenMark) {
		return manifest.Screen
	}
	return manifest.Camera
}

// recoverFile repairs a file, and describes it, also one that can't be repaired.
func (r *Recorder) recoverFile(ctx context.Context, root *os.Root, name string) (manifest.File, error) {
	entry := manifest.File{Name: name, Container: containerOf(name)}
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return entry, err
	}
	defer f.Close()
	info, err := matroska.Repair(f)
	if err == nil {
		entry = describe(name, info)
		entry.SHA256 = checksum(ctx, f)
		return entry, nil
	}
	if info, err := matroska.Inspect(f); err == nil { // what plays of it
		entry = describe(name, info)
		entry.Complete = false
	}
	if stat, err := f.Stat(); err == nil {
		entry.Size = stat.Size()
	}
	return entry, err
}

// mediaFiles lists the media files of a recording.
func mediaFiles(root *os.Root) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if ext := path.Ext(e.Name()); e.Type().IsRegular() && (ext == extension(matroska.WebM) || ext == extension(matroska.Matroska)) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// appendEvent adds to the events of a recording that nobody writes any more. What was torn before it is on a line of its own then.
func appendEvent(root *os.Root, e *manifest.Event) error {
	f, err := root.OpenFile(manifest.EventsName, os.O_WRONLY|os.O_APPEND|os.O_CREATE, store.FileMode)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n")
	return errors.Join(err, manifest.EncodeEvent(f, e), f.Close())
}
