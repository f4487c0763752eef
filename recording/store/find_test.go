package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	s := open(t)
	var made []*Folder
	for _, interview := range hostile {
		f, err := s.Create(interview, start)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, f)
	}
	for i, f := range made {
		found, err := s.Find(f.ID())
		if err != nil || found.Path() != f.Path() {
			t.Errorf("the recording of %.40q: %v", hostile[i], err)
		}
	}
	outside := filepath.Join(filepath.Dir(s.Dir()), "20261126T105316Z-00000000")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(s.Dir(), "b")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", ".", "..", "../" + made[0].ID(), made[0].ID() + "/", "20261126T105316Z-00000000", "20261126T105316Z-ffffffff"} {
		if f, err := s.Find(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v, %v", id, f, err)
		}
	}
}
