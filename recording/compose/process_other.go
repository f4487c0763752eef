//go:build !linux

package compose

import "os/exec"

// tie does nothing: only Linux ends a program with the one that has started it.
func tie(*exec.Cmd) {}
