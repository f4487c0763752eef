package store

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"skillsage/recording/manifest"
)

// Folder is the folder of one recording. It holds nothing open; its methods may be called concurrently.
type Folder struct {
	store     *Store
	parent    string // the interview's folder
	id        string
	interview string
	known     bool // interview is; else only the manifest tells it
}

// ID is the recording's.
func (f *Folder) ID() string { return f.id }

// Interview is the id that the pages gave; of a very long one that was listed only the manifest tells it, and without
// one it is what is left of it in the folder's name.
func (f *Folder) Interview() string {
	if f.known {
		return f.interview
	}
	if root, err := f.Root(); err == nil {
		defer root.Close()
		if m, err := manifest.Read(root); err == nil && escape(m.Interview) == f.parent {
			return m.Interview
		}
	}
	return f.parent
}

// Path is where the folder is, for people and programs outside; this one goes by Root.
func (f *Folder) Path() string { return filepath.Join(f.store.dir, f.parent, f.id) }

func (f *Folder) path() string { return path.Join(f.parent, f.id) }

// Root opens the folder. The caller closes it. ErrNotFound if it has been removed.
func (f *Folder) Root() (*os.Root, error) {
	if f.store.checkDir(f.path()) != nil {
		return nil, ErrNotFound
	}
	root, err := f.store.root.OpenRoot(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return root, err
}

// Manifest reads interview.json, with the events that are still beside it as long as the recording runs.
func (f *Folder) Manifest() (*manifest.Manifest, error) {
	root, err := f.Root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	m, err := manifest.Read(root)
	if err != nil {
		return nil, err
	}
	if len(m.Events) == 0 {
		events, err := manifest.ReadEvents(root)
		if err != nil {
			return nil, err
		}
		m.Events = append(m.Events, events...)
		slices.SortStableFunc(m.Events, manifest.ByTime)
	}
	return m, nil
}

// Unfinished tells whether the recording is still being made, or was when its process died.
func (f *Folder) Unfinished() (bool, error) {
	for _, name := range []string{manifest.EventsName, manifest.Name} {
		_, err := f.store.root.Lstat(path.Join(f.path(), name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if found := err == nil; found == (name == manifest.EventsName) {
			return true, nil
		}
	}
	return false, nil
}

// Lock keeps others from removing or finishing the recording, in this process and others, until release; ErrBusy if
// somebody else has it. The end of a process releases it.
func (f *Folder) Lock() (release func(), err error) {
	if f.store.checkDir(f.path()) != nil {
		return nil, ErrNotFound
	}
	release, err = f.store.lock(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return release, err
}

// Size is what the recording's files take, in bytes.
func (f *Folder) Size() (int64, error) {
	root, err := f.Root()
	if err != nil {
		return 0, err
	}
	defer root.Close()
	var size int64
	err = fs.WalkDir(root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since
		}
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// Remove deletes the recording, and the interview's folder when that was its last one. ErrBusy while it is being made.
// What is cut short is left to Sweep, and is no recording any more.
func (f *Folder) Remove() error {
	release, err := f.Lock()
	if err != nil {
		return err
	}
	defer release()
	removed := path.Join(f.parent, removedMark+f.id)
	if err := f.store.root.Rename(f.path(), removed); err != nil {
		return err
	}
	if err := f.store.root.RemoveAll(removed); err != nil {
		return err
	}
	f.store.removeParent(f.parent)
	return nil
}
