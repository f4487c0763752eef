// Package command runs the operator's program for a recording.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what is run, and what it may cost.
type Options struct {
	// Args are the program and its arguments. No shell looks at them.
	Args     []string
	Timeout  time.Duration // of one run; default 1 h
	Parallel int           // runs at the same time; default 1
	Logger   *slog.Logger  // default: slog.Default
}

// secretPrefix is what the names of variables begin with that the program does not get: the server's own settings, with its secrets.
const secretPrefix = "SKILLSAGE_"

const (
	maxOutput = 64 << 10 // bytes of a run that are logged
	maxLine   = 1 << 10  // bytes of one line of them
	// grace is the time from SIGTERM to SIGKILL. The server itself has not much more when it ends.
	grace = 500 * time.Millisecond
)

// Runner runs the program. Its methods are safe for concurrent use.
type Runner struct {
	opts  Options // static
	path  string
	slots chan struct{}

	runs, failed atomic.Uint64
}

// Stats count runs since New.
type Stats struct {
	Runs    uint64 // that have ended
	Failed  uint64 // of them
	Running int
}

// New looks the program up.
func New(opts Options) (*Runner, error) {
	if len(opts.Args) == 0 {
		return nil, errors.New("no program is named")
	}
	path, err := exec.LookPath(opts.Args[0])
	if err == nil {
		path, err = filepath.Abs(path) // it runs in another folder
	}
	if err != nil {
		return nil, err
	}
	if opts.Timeout <= 0 {
		opts.Timeout = time.Hour
	}
	if opts.Parallel <= 0 {
		opts.Parallel = 1
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	return &Runner{opts: opts, path: path, slots: make(chan struct{}, opts.Parallel)}, nil
}

// Stats counts.
func (r *Runner) Stats() Stats {
	return Stats{Runs: r.runs.Load(), Failed: r.failed.Load(), Running: len(r.slots)}
}

// ErrStopped means that a run was ended by its context, or never begun, which says nothing about the program.
var ErrStopped = errors.New("the program was stopped")

// Run waits for a free place and runs the program in dir, with variables beside the server's own environment (NAME=value),
// until it ends or ctx does. It and all that it has started, unless that has made itself a process group of its own, are asked to
// end (SIGTERM) after the timeout and with ctx, and are killed half a second later; what is left of them at the program's own end is killed.
// What it writes goes to the log, under name. The error is nil if its status was 0.
func (r *Runner) Run(ctx context.Context, name, dir string, variables []string) error {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return ErrStopped
	}
	if ctx.Err() != nil {
		return ErrStopped
	}
	limited, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	output := &output{log: r.opts.Logger.With("program", r.opts.Args[0], "for", name)}
	defer output.end()
	err := run(limited, &exec.Cmd{
		Path:   r.path,
		Args:   r.opts.Args,
		Env:    environment(variables),
		Dir:    dir,
		Stdout: output,
		Stderr: output,
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return ErrStopped
	case err != nil && limited.Err() != nil:
		err = fmt.Errorf("it has run for longer than %s: %w", r.opts.Timeout, err)
	}
	r.runs.Add(1)
	if err != nil {
		r.failed.Add(1)
	}
	return err
}

// withContext is a program that ends with ctx.
func withContext(ctx context.Context, program *exec.Cmd) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program.Path)
	cmd.Args, cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = program.Args, program.Env, program.Dir, program.Stdout, program.Stderr
	cmd.WaitDelay = grace
	return cmd
}

// environment is the server's without its settings. A zero byte, which has no place in a variable, is left out.
func environment(variables []string) []string {
	var all []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, secretPrefix) {
			all = append(all, entry)
		}
	}
	for _, entry := range variables {
		all = append(all, strings.ReplaceAll(entry, "\x00", ""))
	}
	return all
}

// output writes lines to the log, as long as they are not too many.
type output struct {
	log *slog.Logger

	mu sync.Mutex
	// guarded by mu
	line   []byte
	cut    bool // the rest of this line is left out
	logged int  // bytes
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		rest = after
		if room := maxLine - len(o.line); len(part) > room {
			part, o.cut = part[:room], true
		}
		o.line = append(o.line, part...)
		if whole {
			o.flush()
		}
	}
	return len(p), nil
}

// flush logs the line. The caller holds o.mu.
func (o *output) flush() {
	line := strings.TrimRight(strings.ToValidUTF8(string(o.line), "\uFFFD"), "\r")
	if o.cut {
		line += "…"
	}
	was := o.logged
	o.logged += len(o.line) + 1
	o.line, o.cut = o.line[:0], false
	switch {
	case o.logged <= maxOutput:
		o.log.Info("output", "line", line)
	case was <= maxOutput:
		o.log.Warn("more output is not logged", "limit", maxOutput)
	}
}

// end logs a line that has no end.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.line) > 0 {
		o.flush()
	}
}
