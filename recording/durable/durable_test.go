package durable

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func folder(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// Whoever reads sees one of the contents as a whole, and nothing else is left.
func TestWrite(t *testing.T) {
	root := folder(t)
	if err := root.Mkdir("sub", 0o700); err != nil {
		t.Fatal(err)
	}
	content := func(i int) []byte { return bytes.Repeat(fmt.Append(nil, i%10), 100_000) }
	if err := Write(root, "sub/file", content(0)); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for range 10 {
				if err := Write(root, "sub/file", content(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		got, err := root.ReadFile("sub/file")
		if err != nil || len(got) != 100_000 || !bytes.Equal(got, bytes.Repeat(got[:1], len(got))) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	group.Wait()
	info, err := root.Stat("sub/file")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if names, _ := filepath.Glob(filepath.Join(root.Name(), "sub", "*")); len(names) != 1 {
		t.Errorf("left: %v", names)
	}
}

// What can't be written leaves what was there, and no rest.
func TestWriteFails(t *testing.T) {
	root := folder(t)
	if err := root.MkdirAll("file/inside", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(root, "file", []byte("x")); err == nil {
		t.Error("a folder was replaced")
	}
	if err := Write(root, "none/file", []byte("x")); err == nil {
		t.Error("a file without its folder")
	}
	if err := Write(root, "../file", []byte("x")); err == nil {
		t.Error("a file outside")
	}
	if entries, err := os.ReadDir(root.Name()); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestCleanUp(t *testing.T) {
	root := folder(t)
	for _, name := range []string{"a", temporary + "X", temporary + "Y"} {
		if err := root.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := CleanUp(root, "."); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root.Name())
	if err != nil || len(entries) != 1 || entries[0].Name() != "a" {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestLock(t *testing.T) {
	root := folder(t)
	release, err := Lock(root, ".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(root, "."); err != ErrLocked {
		t.Errorf("taken twice: %v", err)
	}
	release()
	if release, err = Lock(root, "."); err != nil {
		t.Fatal(err)
	}
	release()
	if _, err := Lock(root, "none"); err == nil || err == ErrLocked {
		t.Errorf("%v", err)
	}
}
