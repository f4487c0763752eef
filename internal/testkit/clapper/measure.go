package clapper

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	bright = 170 // of 255: the mean of a picture that flashes
	// loud is the sample from which there is a beep: the claps reach half of 32767.
	loud  = 2600
	pause = 150 * time.Millisecond // of silence, or darkness, between two claps at least
	// Partners of a clap are not farther apart than this; it must be less than half a period.
	farthest = 450 * time.Millisecond
)

// Where tells what of a file to measure.
type Where struct {
	Crop string // part of the picture as width:height:x:y; empty: all
	Tone int    // Hz: other sounds do not count; 0: all sounds count
}

// Claps are what a file shows and lets hear, as times in the file.
type Claps struct {
	Flashes, Beeps []time.Duration
}

// Pair is a flash and the beep that belongs to it.
type Pair struct{ Flash, Beep time.Duration }

// Apart is by how much the picture is late; negative: the voice is.
func (p Pair) Apart() time.Duration { return p.Flash - p.Beep }

// Pairs are the flashes that have a beep, in order.
func (c Claps) Pairs() (pairs []Pair) {
	beeps := c.Beeps
	for _, flash := range c.Flashes {
		for len(beeps) > 1 && (beeps[1]-flash).Abs() < (beeps[0]-flash).Abs() {
			beeps = beeps[1:]
		}
		if len(beeps) > 0 && (beeps[0]-flash).Abs() < farthest {
			pairs = append(pairs, Pair{flash, beeps[0]})
		}
	}
	return pairs
}

// Measure finds the claps of a file by decoding all of it. Damage that a decoder complains of is an error.
func Measure(ctx context.Context, name string, w Where) (Claps, error) {
	var (
		c                  Claps
		pictures, listened error
		both               sync.WaitGroup
	)
	both.Go(func() { c.Flashes, pictures = flashes(ctx, name, w) })
	both.Go(func() { c.Beeps, listened = Beeps(ctx, name, w) })
	both.Wait()
	return c, errors.Join(pictures, listened)
}

// Decode decodes all of a file, where every complaint of a decoder is an error.
func Decode(ctx context.Context, name string) error {
	// With the time base that it takes by itself two frames that are not quite regular may have the same time, which it complains of.
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", name, "-map", "0",
		"-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-f", "null", "-")
	said, err := cmd.CombinedOutput()
	if err == nil && len(said) > 0 {
		err = errors.New("complaints")
	}
	if err != nil {
		return fmt.Errorf("decoding %s: %w: %s", name, err, tail(said))
	}
	return nil
}

// flashes finds the moments at which a picture turns bright.
func flashes(ctx context.Context, name string, w Where) ([]time.Duration, error) {
	filter := "scale=16:16,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"
	if w.Crop != "" {
		filter = "crop=" + w.Crop + "," + filter
	}
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-v", "error", "-copyts", "-reinit_filter", "0", "-i", name, "-map", "0:v:0",
		"-vf", filter, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-f", "null", "/dev/null")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var found []time.Duration
	var e edges
	lines := bufio.NewScanner(out)
	var at time.Duration
	for lines.Scan() {
		line := lines.Text()
		if _, text, ok := strings.Cut(line, "pts_time:"); ok {
			at, err = seconds(strings.TrimSpace(text))
		} else if _, text, ok := strings.Cut(line, "YAVG="); ok {
			var mean float64
			if mean, err = strconv.ParseFloat(text, 64); err == nil && e.rises(at, mean > bright) {
				found = append(found, at)
			}
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = lines.Err()
	}
	err = wait(cmd, &complaint, out, err)
	if err == nil && complaint.Len() > 0 {
		err = fmt.Errorf("decoding %s: %s", name, tail(complaint.Bytes()))
	}
	return found, err
}

// edges tells the beginnings of what goes on and off.
type edges struct {
	began bool
	last  time.Duration // when it last was on
}

func (e *edges) rises(at time.Duration, on bool) bool {
	if !on {
		return false
	}
	rises := !e.began || at-e.last > pause
	e.began, e.last = true, at
	return rises
}

// shown is a line of ashowinfo.
var shown = regexp.MustCompile(`\bpts_time:(\S+) .*\bnb_samples:(\d+)`)

// heard is a piece of decoded sound.
type heard struct {
	first int64         // number of its first sample
	at    time.Duration // of that sample
}

const rate = 48000 // samples/s of decoded sound

// Beeps finds the moments at which sound begins. Silence that is no sound in the file but a gap in its times counts.
func Beeps(ctx context.Context, name string, w Where) ([]time.Duration, error) {
	filter := "aformat=sample_fmts=s16:channel_layouts=mono:sample_rates=48000"
	if w.Tone > 0 {
		filter += fmt.Sprintf(",bandpass=f=%d:width_type=h:w=300,bandpass=f=%d:width_type=h:w=300", w.Tone, w.Tone)
	}
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-v", "level+info", "-copyts", "-i", name, "-map", "0:a:0",
		"-af", filter+",ashowinfo", "-f", "s16le", "pipe:1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var (
		pieces    []heard
		complaint bytes.Buffer
		wrong     error
		reading   sync.WaitGroup
	)
	reading.Go(func() { pieces, wrong = readPieces(said, &complaint) })
	onsets, err := readOnsets(out)
	reading.Wait()
	err = wait(cmd, &complaint, out, errors.Join(err, wrong))
	if err == nil && bytes.Contains(complaint.Bytes(), []byte("[error]")) {
		err = fmt.Errorf("decoding %s: %s", name, tail(complaint.Bytes()))
	}
	if err != nil {
		return nil, err
	}

	// Only now it is known when the samples were.
	var found []time.Duration
	var e edges
	piece := 0
	for _, o := range onsets {
		for piece+1 < len(pieces) && pieces[piece+1].first <= o {
			piece++
		}
		if piece == len(pieces) {
			return nil, errors.New("sound without a time")
		}
		at := pieces[piece].at + time.Duration(o-pieces[piece].first)*time.Second/rate
		if e.rises(at, true) {
			found = append(found, at)
		}
	}
	return found, nil
}

// readPieces reads the lines of ashowinfo.
func readPieces(r io.Reader, complaint *bytes.Buffer) (pieces []heard, err error) {
	var samples int64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		m := shown.FindStringSubmatch(lines.Text())
		if m == nil {
			complaint.WriteString(lines.Text() + "\n")
			continue
		}
		at, bad := seconds(m[1])
		n, bad2 := strconv.ParseInt(m[2], 10, 64)
		if err = errors.Join(err, bad, bad2); err != nil {
			continue // the program must not wait for a reader
		}
		pieces = append(pieces, heard{samples, at})
		samples += n
	}
	return pieces, errors.Join(err, lines.Err())
}

// readOnsets finds the loud samples of 16 bits; of those that follow each other closely only one in a millisecond.
func readOnsets(r io.Reader) (onsets []int64, err error) {
	const least = int16(loud)
	buffered := bufio.NewReaderSize(r, 1<<16)
	var sample [2]byte
	next := int64(0)
	for n := int64(0); ; n++ {
		if _, err := io.ReadFull(buffered, sample[:]); err != nil {
			if err == io.EOF {
				err = nil
			}
			return onsets, err
		}
		if value := int16(binary.LittleEndian.Uint16(sample[:])); (value > least || value < -least) && n >= next {
			onsets = append(onsets, n)
			next = n + rate/1000
		}
	}
}

// seconds reads a time of ffmpeg's.
func seconds(text string) (time.Duration, error) {
	value, err := strconv.ParseFloat(text, 64)
	return time.Duration(value * float64(time.Second)), err
}
