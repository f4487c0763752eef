package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"skillsage/recording/compose"
)

const composeUsage = `Makes one file of a recording, with ffmpeg: the screen with the cameras in its corner,
or the cameras in a grid, and all voices together.

    skillsage compose FOLDER [flags]

FOLDER is that of one recording, in which interview.json is.

`

// composeFile runs the command compose and returns what the process ends with.
func composeFile(args []string, out, errOut io.Writer) int {
	var o compose.Options
	var size, from, to string
	flags := pflag.NewFlagSet("compose", pflag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() { fmt.Fprint(out, composeUsage, flags.FlagUsages()) }
	flags.StringVarP(&o.Output, "output", "o", "", "`file` to make, .mp4 or .webm (default: the name of FOLDER with .mp4, here)")
	flags.BoolVar(&o.Overwrite, "overwrite", false, "let it take the place of a file that is there")
	flags.StringVar(&size, "size", fmt.Sprintf("%dx%d", compose.DefaultWidth, compose.DefaultHeight), "`width x height` of the picture")
	flags.StringVar(&from, "from", "", "`time` in the recording to begin at: 90, 1m30s or 0:01:30")
	flags.StringVar(&to, "to", "", "`time` in the recording to end at")
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return exitOK
	}
	if err == nil && flags.NArg() != 1 {
		err = errors.New("compose takes the folder of one recording")
	}
	if err == nil {
		o.Width, o.Height, err = parseSize(size)
	}
	if err == nil {
		o.From, err = parseMoment("from", from)
	}
	if err == nil {
		o.To, err = parseMoment("to", to)
	}
	if err != nil {
		fmt.Fprintf(errOut, "skillsage: %v; see skillsage compose --help\n", err)
		return exitUsage
	}
	o.Folder = flags.Arg(0)
	if o.Output == "" {
		folder, err := filepath.Abs(o.Folder)
		if err != nil {
			fmt.Fprintln(errOut, "skillsage:", err)
			return exitFailed
		}
		o.Output = filepath.Base(folder) + ".mp4"
	}

	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	bar := newProgressBar(errOut)
	o.Progress = bar.show
	err = compose.Compose(ctx, o)
	bar.end()
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "skillsage: stopped; no file was made")
		return exitFailed
	case err != nil:
		fmt.Fprintln(errOut, "skillsage:", err)
		return exitFailed
	}
	fmt.Fprintln(out, o.Output)
	return exitOK
}

// parseSize reads 1280x720.
func parseSize(text string) (width, height int, err error) {
	w, h, _ := strings.Cut(text, "x")
	width, bad := strconv.Atoi(w)
	height, err = strconv.Atoi(h)
	if err = errors.Join(bad, err); err != nil {
		return 0, 0, fmt.Errorf("--size: %q is not allowed; allowed: 1280x720 and the like", text)
	}
	return width, height, nil
}

// parseMoment reads 90, 1m30s or 0:01:30; nothing is 0.
func parseMoment(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	total := 0.0
	for _, part := range strings.Split(text, ":") {
		value, err := strconv.ParseFloat(part, 64)
		if err != nil || !(value >= 0 && value < 1e6) || strings.Count(text, ":") > 2 {
			return 0, fmt.Errorf("--%s: %q is not allowed; allowed: 90, 1m30s or 0:01:30", flag, text)
		}
		total = total*60 + value
	}
	return time.Duration(total * float64(time.Second)), nil
}

// progressBar shows on a terminal how far the file is; elsewhere it writes a line now and then.
type progressBar struct {
	out      io.Writer
	terminal bool
	shown    bool
	next     int // percent from which the next line is written
}

const (
	barWidth = 40
	lineStep = 10 // percent between two lines
)

func newProgressBar(out io.Writer) *progressBar {
	b := &progressBar{out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		b.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

func (b *progressBar) show(p compose.Progress) {
	share := p.Done.Seconds() / p.Total.Seconds()
	left := ""
	if p.Speed > 0 {
		left = fmt.Sprintf(", %v left", time.Duration((p.Total-p.Done).Seconds()/p.Speed*float64(time.Second)).Round(time.Second))
	}
	text := fmt.Sprintf("%3.0f %%  %v of %v%s", 100*share, p.Done.Round(time.Second), p.Total.Round(time.Second), left)
	if b.terminal {
		full := int(share * barWidth)
		fmt.Fprintf(b.out, "\r\x1b[K[%s%s] %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), text)
		b.shown = true
	} else if percent := int(100 * share); percent >= b.next {
		fmt.Fprintln(b.out, strings.TrimSpace(text))
		b.next = percent - percent%lineStep + lineStep
	}
}

// end leaves the bar's line.
func (b *progressBar) end() {
	if b.shown {
		fmt.Fprintln(b.out)
	}
}
