//go:build !unix

package durable

import "os"

// Lock takes a folder of root for this process; here nobody else is kept from doing so.
func Lock(root *os.Root, name string) (release func(), err error) {
	dir, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	return func() { _ = dir.Close() }, nil
}
