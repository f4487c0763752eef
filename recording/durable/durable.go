// Package durable writes small files so that a crash or a power failure leaves the old content or the new one, whole.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
)

// ErrLocked means that another process has a folder.
var ErrLocked = errors.New("another process uses it")

// temporary is what names of files have that are not finished; CleanUp removes them.
const temporary = ".tmp-"

// Write makes name, or replaces it, with content and mode 0600. When it returns without an error both the content and the
// name have reached the disk. name may be below folders of root, which must be there.
func Write(root *os.Root, name string, content []byte) error {
	if err := Put(root, name, content); err != nil {
		return err
	}
	return SyncDir(root, path.Dir(name))
}

// Put is Write for several files at once: their content has reached the disk when it returns, their names have after a SyncDir.
func Put(root *os.Root, name string, content []byte) error {
	temp := path.Join(path.Dir(name), temporary+rand.Text())
	file, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return nil
}

// SyncDir brings the names in a folder of root to the disk.
func SyncDir(root *os.Root, name string) error {
	if runtime.GOOS == "windows" {
		return nil // which has nothing of the kind
	}
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// CleanUp removes what Write or Put had not finished in a folder of root when the process ended. Nobody may be writing there.
func CleanUp(root *os.Root, name string) error {
	entries, err := fs.ReadDir(root.FS(), name)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporary) {
			if err := root.Remove(path.Join(name, entry.Name())); err != nil {
				return fmt.Errorf("an unfinished file: %w", err)
			}
		}
	}
	return nil
}
