// Package compose makes one file of a recording, with ffmpeg: the screen with the cameras in its corner, or all cameras
// in a grid, as they came and went, and all voices together.
package compose

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"skillsage/recording/manifest"
)

// Options of Compose.
type Options struct {
	Folder string // of the recording: where its interview.json is
	Output string // ends with .mp4 (H.264 and AAC) or .webm (VP9 and Opus)
	// Overwrite lets an output take the place of a file that is there.
	Overwrite     bool
	Width, Height int // of the picture, even; 0: 1280 by 720
	// From and To are on the room clock; To 0 means the end.
	From, To time.Duration
	// Progress, if not nil, is told how far it is, about twice a second.
	Progress func(Progress)
}

// Progress is how far a file is.
type Progress struct {
	Done, Total time.Duration // of the composed file
	Speed       float64       // times real time; 0: not known yet
}

// The formats by the end of the output's name.
var formats = map[string][]string{
	".mp4": {"-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-pix_fmt", "yuv420p", "-g", "150",
		"-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", "-f", "mp4"},
	".webm": {"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "7", "-row-mt", "1", "-b:v", "0", "-crf", "34", "-g", "150",
		"-c:a", "libopus", "-b:a", "96k", "-f", "webm"},
}

const (
	// DefaultWidth and DefaultHeight are those of a composed picture, in pixels.
	DefaultWidth, DefaultHeight = 1280, 720

	minSize, maxSize = 64, 7680 // pixels

	grace = 5 * time.Second // for ffmpeg to end when it is told to
)

// ErrUnfinished says that a recording is still going on, or that nobody has finished it after a crash.
var ErrUnfinished = errors.New("the recording is not finished: it is running, or the server has crashed and finishes it when it starts again")

// Compose makes the file. Whatever goes wrong, no part of a file is left; when ctx ends, ffmpeg is ended.
func Compose(ctx context.Context, o Options) error {
	o.Width, o.Height = cmp.Or(o.Width, DefaultWidth), cmp.Or(o.Height, DefaultHeight)
	format, err := o.check()
	if err != nil {
		return err
	}
	for _, program := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed, or not in the PATH; it is part of ffmpeg (on Debian: apt-get install ffmpeg)", program)
		}
	}
	// What is started ends with the thread that has started it, which therefore must not end before (see tie).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	inputs, window, err := o.open(ctx)
	if err != nil {
		return err
	}
	p := makePlan(inputs, window, o.Width, o.Height)
	c := p.command(inputs, o.Width, o.Height)

	// In the folder of the output, so that it can be renamed there.
	part, err := os.CreateTemp(filepath.Dir(o.Output), "."+filepath.Base(o.Output)+".*.part")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	defer part.Close()
	args := append([]string{"-nostdin", "-hide_banner", "-v", "error", "-nostats", "-progress", "pipe:1", "-stats_period", "0.5"}, c.inputs...)
	args = append(args, "-filter_complex", c.graph.String(), "-map", "[picture]", "-map", "[sound]", "-t", secs(p.length()))
	args = append(append(args, format...), "-y", local(part.Name()))
	if err := encode(ctx, args, p.length(), o.Progress); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	return os.Rename(part.Name(), o.Output)
}

// check returns the arguments for the format of the output.
func (o *Options) check() (format []string, err error) {
	format = formats[strings.ToLower(filepath.Ext(o.Output))]
	switch {
	case format == nil:
		return nil, fmt.Errorf("the name of the output %q does not end with .mp4 or .webm", o.Output)
	case o.Width%2 != 0 || o.Height%2 != 0 || min(o.Width, o.Height) < minSize || max(o.Width, o.Height) > maxSize:
		return nil, fmt.Errorf("a picture of %dx%d is not possible; allowed: even numbers from %d to %d", o.Width, o.Height, minSize, maxSize)
	case o.From < 0 || o.To != 0 && o.To <= o.From:
		return nil, fmt.Errorf("nothing lies between %v and %v", o.From, o.To)
	}
	if _, err := os.Lstat(o.Output); err == nil && !o.Overwrite {
		return nil, fmt.Errorf("%s is there already", o.Output)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return format, nil
}

// open reads what there is of the recording.
func (o *Options) open(ctx context.Context) (inputs []input, window span, err error) {
	folder, err := os.OpenRoot(o.Folder)
	if err != nil {
		return nil, span{}, err
	}
	defer folder.Close()
	m, err := manifest.Read(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, span{}, fmt.Errorf("%s is not the folder of a recording: it has no %s", o.Folder, manifest.Name)
	}
	if err != nil {
		return nil, span{}, err
	}
	if m.State == manifest.Recording {
		return nil, span{}, ErrUnfinished
	}
	end := m.Duration.Duration()
	for _, file := range m.Files {
		if !filepath.IsLocal(file.Name) || filepath.Base(file.Name) != file.Name {
			return nil, span{}, fmt.Errorf("%s names a file %q that is not beside it", manifest.Name, file.Name)
		}
		if !file.Complete {
			return nil, span{}, fmt.Errorf("%s: %w", file.Name, ErrUnfinished)
		}
		info, err := folder.Stat(file.Name)
		if err != nil {
			return nil, span{}, fmt.Errorf("a file of the recording is missing: %w", err)
		}
		if !info.Mode().IsRegular() {
			return nil, span{}, fmt.Errorf("%s is no regular file", file.Name)
		}
		path, err := filepath.Abs(filepath.Join(o.Folder, file.Name))
		if err != nil {
			return nil, span{}, err
		}
		in := input{File: file, path: path}
		if in.content, err = probe(ctx, path, file.Kind == manifest.Screen); err != nil {
			return nil, span{}, fmt.Errorf("%s can't be read: %w", file.Name, err)
		}
		inputs = append(inputs, in)
		end = max(end, (file.Start + file.Duration).Duration())
	}
	window = span{o.From, end}
	if o.To != 0 {
		window.to = min(o.To, end)
	}
	if len(inputs) == 0 || window.empty() {
		return nil, span{}, fmt.Errorf("nothing was recorded between %v and %v; the recording is %v long", o.From, cmp.Or(o.To, end), end)
	}
	return inputs, window, nil
}

// encode runs ffmpeg to its end.
func encode(ctx context.Context, args []string, total time.Duration, tell func(Progress)) error {
	cmd := exec.CommandContext(ctx, "ffmpeg", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	complaint := new(tail)
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	tie(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	last := follow(out, total, tell)
	_, _ = io.Copy(io.Discard, out)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, complaint)
	}
	if last.Done = total; tell != nil { // its last frames are in no report
		tell(last)
	}
	return nil
}

// follow reads what ffmpeg -progress writes, and returns the last report.
func follow(r io.Reader, total time.Duration, tell func(Progress)) Progress {
	now := Progress{Total: total}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		switch key {
		case "out_time_us":
			if us, err := strconv.ParseInt(value, 10, 64); err == nil {
				now.Done = min(max(time.Duration(us)*time.Microsecond, now.Done), total)
			}
		case "speed":
			now.Speed, _ = strconv.ParseFloat(strings.TrimSuffix(value, "x"), 64) // "N/A" at the beginning
		case "progress": // the last line of each report
			if tell != nil {
				tell(now)
			}
		}
	}
	return now
}
