package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The server has one processor for itself, the load the other.
const (
	serverCPU = 0
	loadCPU   = 1
)

// process is a server that is measured.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	url   string // of the signaling; "" for the floor
	admin string
}

// pinSelf starts this program again on loadCPU, so that its runtime sees one
// processor. It returns only on an error, or when that has happened already.
func pinSelf() error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return err
	}
	if set.Count() == 1 && set.IsSet(loadCPU) {
		return nil
	}
	if !set.IsSet(serverCPU) || !set.IsSet(loadCPU) {
		return errors.New("two processors are needed, 0 and 1")
	}
	// Above whatever else runs here, where that is permitted.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -15)
	runtime.LockOSThread()
	set.Zero()
	set.Set(loadCPU)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, os.Environ())
}

// launch starts a program on a processor; a negative one means anywhere.
func launch(cpu int, name string, args ...string) (*process, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "GODEBUG=") // the same for both
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	if cpu < 0 {
		return p, cmd.Start()
	}
	// A child inherits the affinity of the thread that forks it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return nil, err
	}
	defer unix.SchedSetaffinity(0, &before)
	return p, cmd.Start()
}

// startServer runs skillsage in relay mode on loopback. If recordings is a folder, everything is recorded into it.
func startServer(cpu int, binary, recordings string) (*process, error) {
	var ports [2]string
	for i := range ports {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer free.Close()
		_, ports[i], _ = net.SplitHostPort(free.Addr().String())
		free.Close()
	}
	args := []string{"--server.address", "127.0.0.1", "--server.port", ports[0], "--admin.listen", "127.0.0.1:" + ports[1],
		"--relay.mode", "relay", "--network.addresses", "127.0.0.1", "--log.level", "warn"}
	if recordings != "" {
		args = append(args, "--recording.mode", "always", "--recording.dir", recordings)
	}
	p, err := launch(cpu, binary, args...)
	if err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, p.out)
	p.url, p.admin = "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(p.admin + "/healthz"); err == nil {
			resp.Body.Close()
			return p, nil
		}
		if time.Now().After(deadline) {
			p.stop()
			return nil, errors.New("the server does not answer")
		}
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// cpu is the time that the process's threads have been running, user and system.
func (p *process) cpu() time.Duration {
	// stat counts in ticks of 10 ms, schedstat in nanoseconds.
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	var total time.Duration
	for _, task := range tasks {
		if text, err := os.ReadFile(task); err == nil {
			ns, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			total += time.Duration(ns)
		}
	}
	return total
}

// metrics are the server's, by name without labels.
func (p *process) metrics() (map[string]float64, error) {
	resp, err := http.Get(p.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	values := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name[0] != '#' {
			values[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return values, nil
}

// busy is how long a processor has not been idle, by /proc/stat, in ticks of 10 ms.
func busy(cpu int) time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] != "cpu"+strconv.Itoa(cpu) {
			continue
		}
		var ticks int
		for i, field := range fields[1:] {
			n, _ := strconv.Atoi(field)
			if i != 3 && i != 4 && i < 8 { // idle, iowait; guests are in user already
				ticks += n
			}
		}
		return time.Duration(ticks) * 10 * time.Millisecond
	}
	return 0
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
