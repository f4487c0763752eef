package compose

import (
	"os/exec"
	"syscall"
)

// tie has a program killed with the thread that starts it, and keeps what is typed at the terminal from it.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
