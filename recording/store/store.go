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
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"skillsage/recording/manifest"
)

// Modes of what a store makes.
const (
	DirMode  fs.FileMode = 0o700
	FileMode fs.FileMode = 0o600
)

// What precedes the id in the name of a folder that is being made, and of one that is being removed.
const (
	newMark     = ".new-"
	removedMark = ".removed-"
)

const madeWithin = time.Minute // a folder is made in, or else its maker has died

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

	parents sync.Mutex // held while a folder of an interview is made or removed; other processes have to be reckoned with
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
	f, release, err := s.CreateLocked(interview, at)
	if err == nil {
		release()
	}
	return f, err
}

// CreateLocked is Create and Folder.Lock at once: nobody ever finds the folder without its lock.
func (s *Store) CreateLocked(interview string, at time.Time) (f *Folder, release func(), err error) {
	parent := escape(interview)
	for range 8 {
		f = &Folder{store: s, interview: interview, known: true, id: newID(at), parent: parent}
		release, err = s.create(f)
		if err == nil {
			return f, release, nil
		}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		// The id is taken, or the interview's folder was just removed because it was empty.
	}
	return nil, nil, err
}

func (s *Store) create(f *Folder) (release func(), err error) {
	s.parents.Lock()
	defer s.parents.Unlock()
	if err := s.root.Mkdir(f.parent, DirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := s.checkDir(f.parent); err != nil {
		return nil, err
	}
	if _, err := s.root.Lstat(f.path()); err == nil {
		return nil, fs.ErrExist
	}
	made := path.Join(f.parent, newMark+f.id)
	if err := s.root.Mkdir(made, DirMode); err != nil {
		return nil, err
	}
	if release, err = s.lock(made); err != nil {
		return nil, err
	}
	err = s.root.Rename(made, f.path())
	for _, dir := range []string{".", f.parent} {
		if err == nil {
			err = s.syncDir(dir)
		}
	}
	if err != nil {
		_ = s.root.Remove(made)
		_ = s.root.Remove(f.path())
		release()
		return nil, err
	}
	return release, nil
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

// Sweep removes what a Create or a Folder.Remove has left that was cut short.
func (s *Store) Sweep() error {
	entries, err := s.readDir(".")
	if err != nil {
		return err
	}
	var errs error
	for _, e := range entries {
		if _, _, ok := interviewOf(e); !ok { // lost+found, for one
			continue
		}
		inner, err := s.readDir(e.Name())
		errs = errors.Join(errs, err)
		for _, r := range inner {
			if s.rest(e.Name(), r.Name()) {
				errs = errors.Join(errs, s.sweep(path.Join(e.Name(), r.Name())))
			}
		}
		s.removeParent(e.Name())
	}
	return errs
}

// removeParent removes the folder of an interview if it is empty.
func (s *Store) removeParent(name string) {
	s.parents.Lock()
	defer s.parents.Unlock()
	_ = s.root.Remove(name)
}

// sweep removes a folder, unless somebody is at it.
func (s *Store) sweep(name string) error {
	release, err := s.lock(name)
	if errors.Is(err, ErrBusy) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	return s.root.RemoveAll(name)
}

// rest tells whether a folder was left by something that was cut short.
func (s *Store) rest(parent, name string) bool {
	if id, marked := strings.CutPrefix(name, removedMark); marked {
		return ValidID(id)
	}
	id, marked := strings.CutPrefix(name, newMark)
	if !marked || !ValidID(id) {
		return false
	}
	info, err := s.root.Lstat(path.Join(parent, name))
	return err == nil && time.Since(info.ModTime()) > madeWithin
}

// lock takes the lock of a folder, which stays with it when it is renamed.
func (s *Store) lock(name string) (release func(), err error) {
	dir, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	if err := lockFile(dir); err != nil {
		_ = dir.Close()
		return nil, err
	}
	return func() { _ = dir.Close() }, nil
}

// readDir lists a folder of the store by name. One that has just been removed is empty.
func (s *Store) readDir(name string) ([]fs.DirEntry, error) {
	d, err := s.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
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
