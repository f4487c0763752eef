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
	"skillsage/recording/store"
)

// busyInterval is how often recordings are looked at again that another process was still making at the start.
const busyInterval = 5 * time.Second

// finishOrphans finishes the recordings of processes that have died, also of one that dies while this one runs.
func (r *Recorder) finishOrphans(ctx context.Context) {
	if err := r.opts.Store.Sweep(); err != nil {
		r.log.Warn("recordings that were removed have left something", "error", err)
	}
	folders, err := r.opts.Store.List()
	if err != nil {
		r.log.Error("the store of recordings can't be read", "error", err)
	}
	ticker := time.NewTicker(busyInterval)
	defer ticker.Stop()
	for {
		var busy []*store.Folder
		for _, folder := range folders {
			if ctx.Err() != nil {
				return
			}
			unfinished, err := folder.Unfinished()
			if err == nil && unfinished {
				err = r.finishOrphan(ctx, folder)
			}
			switch {
			case errors.Is(err, store.ErrBusy):
				busy = append(busy, folder)
			case err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil:
				r.log.Error("recording can't be finished", "folder", folder.Path(), "error", err)
			}
		}
		if folders = busy; len(busy) == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
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
	told := m.State != manifest.Recording
	if !told {
		if err := r.recover(ctx, root, m); err != nil {
			return err
		}
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
	if slices.ContainsFunc(events, func(e manifest.Event) bool { return e.Type == manifest.RecordingStopped }) {
		return nil
	}
	return appendEvent(root, &manifest.Event{At: end, Type: manifest.RecordingStopped, Reason: manifest.Crash})
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
