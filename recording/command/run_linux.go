package command

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// run runs a program in a process group of its own.
func run(ctx context.Context, program *exec.Cmd) error {
	// The kernel kills the program when the thread that has started it ends, which happens when the server is killed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := withContext(ctx, program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return err
	}
	// Once it has ended, but before Wait gives its number back to the system, the rest of its group can be killed and nobody else.
	group := cmd.Process.Pid
	for errors.Is(unix.Waitid(unix.P_PID, group, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	_ = syscall.Kill(-group, syscall.SIGKILL)
	return cmd.Wait()
}
