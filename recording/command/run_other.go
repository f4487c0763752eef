//go:build !linux

package command

import (
	"context"
	"os/exec"
)

// run runs a program. What that has started is left alone.
func run(ctx context.Context, program *exec.Cmd) error { return withContext(ctx, program).Run() }
