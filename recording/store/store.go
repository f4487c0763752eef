// Package store keeps the recordings of interviews as folders of files:
//
//	<dir>/<escaped id of the interview>/<id of the recording>/
//
// Nothing that came from the network is ever part of a path unescaped, and everything goes through an os.Root, so
// that no symbolic link leads out of the store. Folders have mode 0700 and files 0600.
package store

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"skillsage/recording/manifest"
)

// Modes of what a store makes.
const (
	DirMode  fs.FileMode = 0o700
	FileMode fs.FileMode = 0o600
)

var (
	// ErrNotFound says that there is no such recording.
	ErrNotFound = errors.New("no such recording")
	// ErrBusy says that a recording is still being made, or finished, by this process or another one.
	ErrBusy = errors.New("the recording is in use")
)

// Store is a folder of recordings. Its methods may be called concurrently, and several processes may have the same one.
type Store struct {
	dir  string
	root *os.Root
}

// Open opens the store in dir, which is made if need be.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, DirMode); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Store{dir: dir, root: root}, nil
}

// Close gives the store's file descriptor back.
func (s *Store) Close() error { return s.root.Close() }

// Dir is where the store is.
func (s *Store) Dir() string { return s.dir }

// Space is what the store's file system has left and has at all, in bytes.
func (s *Store) Space() (free, total uint64, err error) { return space(s.dir) }

// ValidID tells whether id has the form of a recording's id: 20261126T105316Z-5f3c9a2b, the time of its start in UTC and
// 32 random bits.
func ValidID(id string) bool {
	const form = "00000000T000000Z-xxxxxxxx"
	if len(id) != len(form) {
		return false
	}
	for i := range len(form) {
		digit := '0' <= id[i] && id[i] <= '9'
		switch form[i] {
		case '0':
			if !digit {
				return false
			}
		case 'x':
			if !digit && (id[i] < 'a' || id[i] > 'f') {
				return false
			}
		default:
			if id[i] != form[i] {
				return false
			}
		}
	}
	return true
}

// newID makes the id of a recording that starts at that time.
func newID(at time.Time) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return at.UTC().Format("20060102T150405Z-") + hex.EncodeToString(random[:])
}

// Create makes the folder of a recording of interview that starts at that time.
func (s *Store) Create(interview string, at time.Time) (*Folder, error) {
	name := escape(interview)
	for range 8 {
		f := &Folder{store: s, interview: interview, known: true, id: newID(at), parent: name}
		if err := s.root.Mkdir(name, DirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := s.checkDir(name); err != nil {
			return nil, err
		}
		err := s.root.Mkdir(f.path(), DirMode)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
			continue // the id is taken, or the last recording of the interview was just removed with its folder
		}
		if err != nil {
			return nil, err
		}
		for _, dir := range []string{".", name} {
			if err := s.syncDir(dir); err != nil {
				_ = s.root.Remove(f.path())
				return nil, err
			}
		}
		return f, nil
	}
	return nil, fmt.Errorf("store: no folder could be made for a recording in %s", name)
}

// Folder finds a recording; ErrNotFound if there is none of that id.
func (s *Store) Folder(interview, id string) (*Folder, error) {
	f := &Folder{store: s, interview: interview, known: true, id: id, parent: escape(interview)}
	if !ValidID(id) || s.checkDir(f.parent) != nil || s.checkDir(f.path()) != nil {
		return nil, ErrNotFound
	}
	return f, nil
}

// Interview lists the recordings of one interview, oldest first.
func (s *Store) Interview(interview string) ([]*Folder, error) {
	return s.list(nil, escape(interview), interview, true)
}

// List lists all recordings, oldest first. A folder that can't be read is left out; the error says so beside the rest.
func (s *Store) List() ([]*Folder, error) {
	entries, err := s.readDir(".")
	if err != nil {
		return nil, err
	}
	var all []*Folder
	var errs error
	for _, e := range entries {
		interview, known, ok := interviewOf(e)
		if !ok {
			continue
		}
		all, err = s.list(all, e.Name(), interview, known)
		errs = errors.Join(errs, err)
	}
	slices.SortStableFunc(all, func(a, b *Folder) int { return cmp.Compare(a.id, b.id) })
	return all, errs
}

// interviewOf tells the interview whose folder e is, known being false for one of which the name does not tell it; ok is
// false for what is no interview's folder.
func interviewOf(e fs.DirEntry) (interview string, known, ok bool) {
	interview, known = unescape(e.Name())
	return interview, known, e.IsDir() && (known || strings.Contains(e.Name(), longMark))
}

// list appends the recordings in one interview's folder, by id.
func (s *Store) list(to []*Folder, parent, interview string, known bool) ([]*Folder, error) {
	if s.checkDir(parent) != nil {
		return to, nil
	}
	entries, err := s.readDir(parent)
	if err != nil {
		return to, err
	}
	for _, e := range entries {
		if e.IsDir() && ValidID(e.Name()) {
			to = append(to, &Folder{store: s, parent: parent, interview: interview, known: known, id: e.Name()})
		}
	}
	return to, nil
}

// Sweep removes what a Folder.Remove has left that was cut short.
func (s *Store) Sweep() error {
	entries, err := s.readDir(".")
	if err != nil {
		return err
	}
	var errs error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		inner, err := s.readDir(e.Name())
		errs = errors.Join(errs, err)
		for _, r := range inner {
			if id, removed := strings.CutPrefix(r.Name(), removedMark); removed && ValidID(id) {
				errs = errors.Join(errs, s.root.RemoveAll(path.Join(e.Name(), r.Name())))
			}
		}
		_ = s.root.Remove(e.Name()) // if it is empty
	}
	return errs
}

// readDir lists a folder of the store by name.
func (s *Store) readDir(name string) ([]fs.DirEntry, error) {
	d, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries, err
}

// checkDir makes sure of a folder that is none by a symbolic link only.
func (s *Store) checkDir(name string) error {
	info, err := s.root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "open", Path: name, Err: errors.New("not a folder of the store")}
	}
	return nil
}

func (s *Store) syncDir(name string) error {
	sub, err := s.root.OpenRoot(name)
	if err != nil {
		return err
	}
	return errors.Join(manifest.SyncDir(sub), sub.Close())
}
