//go:build unix

package durable

import (
	"errors"
	"os"
	"syscall"
)

// Lock takes a folder of root for this process, until release or the end of the process; ErrLocked if another one has it. A
// file system that has no locks is taken for one that nobody else uses.
func Lock(root *os.Root, name string) (release func(), err error) {
	dir, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		_ = dir.Close()
		return nil, ErrLocked
	}
	return func() { _ = dir.Close() }, nil
}
