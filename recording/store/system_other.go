//go:build !unix

package store

import (
	"math"
	"os"
)

func lockFile(*os.File) error { return nil }

func space(string) (free, total uint64, err error) { return math.MaxUint64, math.MaxUint64, nil }
