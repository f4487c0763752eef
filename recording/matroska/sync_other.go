//go:build !linux

package matroska

import "os"

func syncData(f *os.File) error { return f.Sync() }
