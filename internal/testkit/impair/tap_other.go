//go:build !linux

package impair

import (
	"errors"
	"io"
)

// OpenTAP makes a TAP device, on Linux only.
func OpenTAP(string) (io.ReadWriteCloser, error) { return nil, errors.ErrUnsupported }
