package recording

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/store"
)

// finishOrphans finishes the recordings of processes that have died.
func (r *Recorder) finishOrphans(ctx context.Context) {
	if err := r.opts.Store.Sweep(); err != nil {
		r.log.Warn("recordings that were removed have left something", "error", err)
	}
	folders, err := r.opts.Store.List()
	if err != nil {
		r.log.Error("the store of recordings can't be read", "error", err)
	}
	for _, folder := range folders {
		if ctx.Err() != nil {
			return
		}
		unfinished, err := folder.Unfinished()
		if err == nil && unfinished {
			err = r.finishOrphan(ctx, folder)
		}
		if err != nil && !errors.Is(err, store.ErrBusy) && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
			r.log.Error("recording can't be finished", "folder", folder.Path(), "error", err)
		}
	}
}

// finishOrphan finishes one recording, unless another process is still at it.
func (r *Recorder) finishOrphan(ctx context.Context, folder *store.Folder) error {
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
	told := m.State != manifest.Recording
	if !told {
		events, err := manifest.ReadEvents(root)
		if err != nil {
			return err
		}
		m.State, m.Reason = manifest.Finished, manifest.Crash
		for _, e := range events {
			m.Duration = max(m.Duration, e.At)
		}
		for _, f := range m.Files {
			m.Duration = max(m.Duration, f.Start+f.Duration)
		}
		finished := m.Started.Add(m.Duration.Duration())
		m.Finished = &finished
	}
	if err := conclude(root, m); err != nil {
		return err
	}
	r.log.Info("recording of a process that has died is finished", "interview", m.Interview, "recording", m.ID, "duration", m.Duration.Duration())
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
