package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skillsage/internal/testkit/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shell runs a script, which only tests do.
func shell(t *testing.T, opts Options, script string, args ...string) (*Runner, *journal.Journal) {
	t.Helper()
	log := new(journal.Journal)
	opts.Args = append([]string{"sh", "-c", script, "sh"}, args...)
	opts.Logger = slog.New(slog.NewTextHandler(log, nil))
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r, log
}

func TestRun(t *testing.T) {
	t.Setenv("SKILLSAGE_ADMIN_TOKEN", "secret")
	t.Setenv("OTHER", "other")
	dir := t.TempDir()
	r, log := shell(t, Options{}, `pwd; echo "[$1] [$RECORDING] [$SKILLSAGE_ADMIN_TOKEN] [$OTHER]" >&2; printf last`, "$(id) ; x")
	if err := r.Run(t.Context(), "me", dir, []string{"RECORDING=a\x00 b"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"line=" + dir + "\n", `line="[$(id) ; x] [a b] [] [other]"`, "line=last\n", "for=me"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in\n%s", want, log)
		}
	}
	if s := r.Stats(); s != (Stats{Runs: 1}) {
		t.Errorf("%+v", s)
	}
}

// A relative path starts where the server does.
func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("here", []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Args: []string{"./here"}})
	if err == nil {
		err = r.Run(t.Context(), "me", t.TempDir(), nil)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestFailure(t *testing.T) {
	r, _ := shell(t, Options{}, `exit 3`)
	var exit *exec.ExitError
	if err := r.Run(t.Context(), "me", t.TempDir(), nil); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("%v", err)
	}
	if err := r.Run(t.Context(), "me", filepath.Join(t.TempDir(), "none"), nil); err == nil {
		t.Error("run nowhere")
	}
	if s := r.Stats(); s != (Stats{Runs: 2, Failed: 2}) {
		t.Errorf("%+v", s)
	}
	for _, args := range [][]string{nil, {"there-is-no-such-program"}, {""}} {
		if _, err := New(Options{Args: args}); err == nil {
			t.Errorf("%q", args)
		}
	}
}

// However much it writes, the log gets a little of it and the program is not held up.
func TestOutput(t *testing.T) {
	r, log := shell(t, Options{}, `head -c 5000 /dev/zero | tr '\0' x; echo; yes | head -c 10000000; echo the end`)
	if err := r.Run(t.Context(), "me", t.TempDir(), nil); err != nil {
		t.Fatal(err)
	}
	text := log.String()
	if !strings.Contains(text, strings.Repeat("x", maxLine)+"…") || strings.Contains(text, strings.Repeat("x", maxLine+1)) {
		t.Error("the long line")
	}
	if n := strings.Count(text, "level=INFO"); n > maxOutput/2 || strings.Count(text, "level=WARN") != 1 || strings.Contains(text, "the end") {
		t.Errorf("%d lines", n)
	}
}

// alive tells whether a process is there and no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z'
}

// children waits for a script to write the numbers of processes into a file.
func children(t *testing.T, name string, want int) []int {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		text, _ := os.ReadFile(name)
		if fields := strings.Fields(string(text)); len(fields) == want {
			var pids []int
			for _, field := range fields {
				pid, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
			return pids
		}
		if time.Now().After(end) {
			t.Fatal("no children")
		}
	}
}

func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				t.Fatalf("%d is still there", pid)
			}
		}
	}
}

// Its whole group ends with it: after a time, when the server ends, also if it will not listen, and when it ends by itself.
func TestEnds(t *testing.T) {
	const family = `trap "" TERM; sleep 300 & echo $! >> pids; (trap "" TERM; sleep 301 & echo $! >> pids; wait) & echo $$ >> pids; `
	for _, c := range []struct {
		name, script string
		timeout      time.Duration
		cancel       bool
		want         string
	}{
		{"timeout", family + "wait; wait", 300 * time.Millisecond, false, "longer than 300ms"},
		{"close", family + "wait; wait", time.Minute, true, ErrStopped.Error()},
		{"itself", family + "until [ $(wc -l < pids) = 3 ]; do sleep 0.01; done; exit 0", time.Minute, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r, _ := shell(t, Options{Timeout: c.timeout}, c.script)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- r.Run(ctx, "me", dir, nil) }()
			pids := children(t, filepath.Join(dir, "pids"), 3)
			if c.cancel {
				cancel()
			}
			select {
			case err := <-result:
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%v, want %q", err, c.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("hangs")
			}
			gone(t, pids)
		})
	}
}

func TestParallel(t *testing.T) {
	dir := t.TempDir()
	// Each fails if another one is there.
	r, _ := shell(t, Options{}, `mkdir one || exit 1; sleep 0.02; rmdir one`)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if err := r.Run(t.Context(), "me", dir, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx, "me", dir, nil); !errors.Is(err, ErrStopped) || r.Stats().Runs != 5 {
		t.Errorf("%v, %+v", err, r.Stats())
	}
}

// When the server is killed its program is too.
func TestServerKilled(t *testing.T) {
	if dir := os.Getenv("COMMAND_TEST_DIR"); dir != "" {
		r, _ := shell(t, Options{}, `echo $$ > pids; exec sleep 300`)
		_ = r.Run(t.Context(), "me", dir, nil)
		return
	}
	dir := t.TempDir()
	server := exec.Command(os.Args[0], "-test.run", "^TestServerKilled$")
	server.Env = append(os.Environ(), "COMMAND_TEST_DIR="+dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	pids := children(t, filepath.Join(dir, "pids"), 1)
	_ = server.Process.Kill()
	_ = server.Wait()
	gone(t, pids)
}
