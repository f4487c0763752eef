package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skillsage/recording/manifest"
)

var start = time.Date(2026, 11, 26, 10, 53, 16, 500e6, time.UTC)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// hostile are ids that must neither leave the store nor meet each other, on any file system.
var hostile = []string{
	"", ".", "..", "../..", "../../etc/passwd", "/", "/etc", `..\..\windows`, `C:\`, "a/b", "a%2fb", "a\x00b", "\x00", "a", "A", "a ", "a.", " a",
	"con", "CON", "nul.txt", "com1", "COM1", "lpt0", "aux", "-rf", "--", "~root", "$(id)", "`id`", "=", "=-", "=2e", "a=2eb", "a.b",
	"ä", "a\u0308", "Ä", "面试", "\xff\xfe", "🎥", "\u202egpj.exe", ".removed-x", "interview.json", "*", "?", "a\nb",
	strings.Repeat("x", 4096), strings.Repeat("x", 4095) + "y", strings.Repeat("X", 4096), strings.Repeat("../", 1365), strings.Repeat("\x00", 160),
}

func TestHostileIDsHaveFoldersOfTheirOwn(t *testing.T) {
	s := open(t)
	names := make(map[string]string)
	for _, id := range hostile {
		f, err := s.Create(id, start)
		if err != nil {
			t.Fatalf("%.40q: %v", id, err)
		}
		if inside, err := filepath.Rel(s.Dir(), f.Path()); err != nil || strings.HasPrefix(inside, "..") || strings.Count(inside, "/") != 1 {
			t.Errorf("%.40q has its folder at %s", id, f.Path())
		}
		folded := strings.ToLower(filepath.Base(filepath.Dir(f.Path())))
		if other, taken := names[folded]; taken {
			t.Errorf("%.40q and %.40q are the same folder", id, other)
		}
		names[folded] = id
		if len(folded) > maxName {
			t.Errorf("%.40q has a name of %d bytes", id, len(folded))
		}
		if strings.Trim(folded, "abcdefghijklmnopqrstuvwxyz0123456789-_=") != "" {
			t.Errorf("%.40q has characters in its name that are not plain: %s", id, folded)
		}
		root, err := f.Root()
		if err != nil {
			t.Fatal(err)
		}
		if err := manifest.Write(root, &manifest.Manifest{Version: manifest.Version, ID: f.ID(), Interview: id}); err != nil {
			t.Fatal(err)
		}
		root.Close()
	}
	all, err := s.List()
	if err != nil || len(all) != len(hostile) {
		t.Fatalf("%d recordings are listed of %d, %v", len(all), len(hostile), err)
	}
	for _, f := range all {
		again, err := s.Folder(f.Interview(), f.ID())
		if err != nil || again.Path() != f.Path() {
			t.Errorf("%.40q is not found by its id: %v", f.Interview(), err)
		}
		if _, known := names[filepath.Base(filepath.Dir(f.Path()))]; !known {
			t.Errorf("%s is listed and was never made", f.Path())
		}
	}
	if above, err := os.ReadDir(filepath.Dir(s.Dir())); err != nil || len(above) != 1 {
		t.Errorf("something is beside the store: %v, %v", above, err)
	}
}

func FuzzEscape(f *testing.F) {
	for _, id := range hostile {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		name := escape(id)
		if len(name) > maxName || !filepath.IsLocal(name) || strings.ToLower(name) != name || strings.ContainsAny(name, "./\\") {
			t.Fatalf("%q becomes %q", id, name)
		}
		back, ok := unescape(name)
		if strings.Contains(name, longMark) == ok || ok && back != id {
			t.Fatalf("%q becomes %q, and that %q", id, name, back)
		}
	})
}

func TestBadRecordingIDsAreNotFound(t *testing.T) {
	s := open(t)
	f, err := s.Create("a", start)
	if err != nil {
		t.Fatal(err)
	}
	if !ValidID(f.ID()) || !strings.HasPrefix(f.ID(), "20261126T105316Z-") {
		t.Errorf("the id is %s", f.ID())
	}
	for _, id := range []string{"", ".", "..", "../a", f.ID() + "/", "../a/" + f.ID(), strings.ToUpper(f.ID()), f.ID()[1:], f.ID() + "\x00", "20261126T105316Z-5f3c9a2b"} {
		if _, err := s.Folder("a", id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := s.Folder("b", f.ID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("found under another interview: %v", err)
	}
}

func TestModes(t *testing.T) {
	s := open(t)
	f, err := s.Create("a", start)
	if err != nil {
		t.Fatal(err)
	}
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := manifest.Write(root, &manifest.Manifest{Version: manifest.Version}); err != nil {
		t.Fatal(err)
	}
	err = filepath.Walk(s.Dir(), func(path string, info fs.FileInfo, err error) error {
		want := FileMode
		if info.IsDir() {
			want = DirMode
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSymbolicLinksLeadNowhere(t *testing.T) {
	s := open(t)
	secret := filepath.Join(filepath.Dir(s.Dir()), "secret")
	if err := os.MkdirAll(filepath.Join(secret, "20261126T105316Z-00000000"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(secret, manifest.Name), []byte(`{"version":1,"interview":"stolen"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := s.Create("a", start)
	if err != nil {
		t.Fatal(err)
	}
	link := func(to string, elements ...string) {
		if err := os.Symlink(to, filepath.Join(append([]string{s.Dir()}, elements...)...)); err != nil {
			t.Fatal(err)
		}
	}
	link(secret, "b")
	link("a", "c")
	link(secret, "a", "20261126T105316Z-11111111")
	link(f.ID(), "a", "20261126T105316Z-22222222")
	link(filepath.Join(secret, manifest.Name), "a", f.ID(), manifest.Name)

	if all, err := s.List(); err != nil || len(all) != 1 || all[0].ID() != f.ID() {
		t.Errorf("listed: %v, %v", all, err)
	}
	if m, err := f.Manifest(); err == nil {
		t.Errorf("read from outside: %+v", m)
	}
	for _, p := range [][2]string{{"b", "20261126T105316Z-00000000"}, {"c", f.ID()}, {"a", "20261126T105316Z-11111111"}, {"a", "20261126T105316Z-22222222"}} {
		if _, err := s.Folder(p[0], p[1]); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: %v", p, err)
		}
	}
	for _, id := range []string{"b", "c"} {
		if _, err := s.Create(id, start); err == nil {
			t.Errorf("made behind the link %s", id)
		}
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(secret, manifest.Name)); err != nil {
		t.Errorf("removed outside: %v", err)
	}
}

func TestRemove(t *testing.T) {
	s := open(t)
	f, err := s.Create("a", start)
	if err != nil {
		t.Fatal(err)
	}
	release, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); !errors.Is(err, ErrBusy) {
		t.Errorf("removed while in use: %v", err)
	}
	release()
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Root(); !errors.Is(err, ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
	if err := f.Remove(); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if left, err := os.ReadDir(s.Dir()); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestSweepEndsWhatWasCutShort(t *testing.T) {
	s := open(t)
	kept, err := s.Create("a", start)
	if err != nil {
		t.Fatal(err)
	}
	half, err := s.Create("b", start)
	if err != nil {
		t.Fatal(err)
	}
	young, old := newMark+"20261126T105316Z-00000001", newMark+"20261126T105316Z-00000002"
	for _, name := range []string{young, old} {
		if err := os.Mkdir(filepath.Join(s.Dir(), "a", name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(s.Dir(), "a", old), start, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(half.Path(), filepath.Join(filepath.Dir(half.Path()), removedMark+half.ID())); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.Dir(), "lost+found"), 0o700); err != nil { // of the file system
		t.Fatal(err)
	}
	if all, err := s.List(); err != nil || len(all) != 1 {
		t.Errorf("listed: %v, %v", all, err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.Dir()); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
	if left, err := os.ReadDir(filepath.Join(s.Dir(), "a")); err != nil || len(left) != 2 || left[0].Name() != young {
		t.Errorf("left of the interview: %v, %v", left, err)
	}
	if _, err := kept.Root(); err != nil {
		t.Error(err)
	}
}

func TestSpace(t *testing.T) {
	free, total, err := open(t).Space()
	if err != nil || free == 0 || total < free {
		t.Errorf("%d of %d bytes are free, %v", free, total, err)
	}
}

func TestFoldersAreMadeWhileOthersAreRemoved(t *testing.T) {
	s := open(t)
	stop := make(chan struct{})
	var sweeper sync.WaitGroup
	defer func() {
		close(stop)
		sweeper.Wait()
	}()
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Sweep(); err != nil {
				t.Error(err)
			}
		}
	})
	for range 50 {
		f, err := s.Create("a", start)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Remove(); err != nil {
			t.Fatal(err)
		}
	}
}
