// Package clapper is a clapperboard for tests: pictures that flash and a voice that beeps at the same instants, as
// VP8 frames and Opus packets on exact times, and measurements of what became of them in a recorded file.
//
// It needs ffmpeg and ffprobe.
package clapper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

const (
	// Period is the time from one clap to the next. Each begins with a key frame.
	Period = time.Second
	// Length is how long a flash and a beep last.
	Length = 100 * time.Millisecond
	// FrameRate of the pictures, 1/s.
	FrameRate = 30
	// PacketTime is what an Opus packet lasts.
	PacketTime = 20 * time.Millisecond

	lookahead = 312 // samples at 48 kHz by which an Opus decoder's output is late (RFC 7845, section 4.2: pre-skip)
	// A DTX encoder stops some time after the last sound and then sends a packet now and then (libopus: 400 ms).
	hangover = 200 * time.Millisecond
	refresh  = 400 * time.Millisecond
)

// Options say what claps look and sound like.
type Options struct {
	Width, Height int    // 0: 320x240
	Color         string // of the picture between flashes, as ffmpeg takes it; empty: a dark violet
	Tone          int    // of the beep, Hz; 0: 1000
	Noise         int    // strength of the picture's noise, which makes frames big; 0: 12, negative: none
}

// Loop is one period, which begins with a clap.
type Loop struct {
	Width, Height int
	video, audio  []Sample
}

// Sample is a frame or a packet.
type Sample struct {
	At    time.Duration // since the first clap
	Video bool
	Key   bool // the frame needs no other one
	Quiet bool // the packet would not be sent by an encoder with DTX
	Data  []byte
}

// Need skips the test where the programs are missing that this package runs.
func Need(t testing.TB) {
	t.Helper()
	for _, program := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed (scripts/install-deps)", program)
		}
	}
}

func (o Options) withDefaults() Options {
	if o.Width == 0 {
		o.Width, o.Height = 320, 240
	}
	if o.Color == "" {
		o.Color = "0x301038"
	}
	if o.Tone == 0 {
		o.Tone = 1000
	}
	if o.Noise == 0 {
		o.Noise = 12
	}
	return o
}

// noise is a filter that follows others.
func (o Options) noise() string {
	if o.Noise < 0 {
		return ""
	}
	return fmt.Sprintf(",noise=alls=%d:allf=t", o.Noise)
}

// New encodes a loop.
func New(ctx context.Context, o Options) (*Loop, error) {
	o = o.withDefaults()
	dir, err := os.MkdirTemp("", "clapper-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	picture, sound := filepath.Join(dir, "picture.ivf"), filepath.Join(dir, "sound.ogg")
	flashing := int(Length * FrameRate / time.Second)
	_, err = run(ctx, "ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", fmt.Sprintf("color=c=%s:s=%dx%d:r=%d,drawbox=c=white:t=fill:enable='lt(mod(n,%d),%d)'%s",
			o.Color, o.Width, o.Height, FrameRate, FrameRate, flashing, o.noise()),
		"-f", "lavfi", "-i", fmt.Sprintf("aevalsrc='0.5*sin(2*PI*%d*t)*lt(mod(t+%d/48000,1),%g)':s=48000:c=mono", o.Tone, lookahead, Length.Seconds()),
		"-map", "0:v", "-t", "3", "-c:v", "libvpx", "-b:v", "500k", "-g", fmt.Sprint(FrameRate), "-keyint_min", fmt.Sprint(FrameRate),
		"-lag-in-frames", "0", "-auto-alt-ref", "0", "-deadline", "realtime", "-cpu-used", "8", "-threads", "1", picture,
		"-map", "1:a", "-t", "3", "-c:a", "libopus", "-b:a", "24k", "-application", "voip", "-page_duration", "20000", sound)
	if err != nil {
		return nil, err
	}
	l := &Loop{Width: o.Width, Height: o.Height}
	if l.video, err = readFrames(picture); err != nil {
		return nil, err
	}
	if l.audio, err = readPackets(sound); err != nil {
		return nil, err
	}
	return l, nil
}

// readFrames takes the second period of a file.
func readFrames(name string) ([]Sample, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	reader, _, err := ivfreader.NewWith(f)
	if err != nil {
		return nil, err
	}
	var frames []Sample
	for n := range 2 * FrameRate {
		data, _, err := reader.ParseNextFrame()
		if err != nil {
			return nil, err
		}
		key := data[0]&1 == 0 // RFC 6386, section 9.1
		if key != (n%FrameRate == 0) {
			return nil, fmt.Errorf("frame %d of the loop: key frame is %v", n, key)
		}
		if n >= FrameRate {
			frames = append(frames, Sample{At: time.Duration(n-FrameRate) * time.Second / FrameRate, Video: true, Key: key, Data: data})
		}
	}
	return frames, nil
}

// readPackets takes the second period of a file.
func readPackets(name string) ([]Sample, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	reader, _, err := oggreader.NewWith(f)
	if err != nil {
		return nil, err
	}
	const each = int(Period / PacketTime)
	var packets []Sample
	for n := -1; n < 2*each; n++ { // the first page has comments
		data, _, err := reader.ParseNextPage()
		if err != nil {
			return nil, err
		}
		if n >= each {
			at := time.Duration(n-each) * PacketTime
			packets = append(packets, Sample{At: at, Key: true, Quiet: at >= Length+hangover, Data: data})
		}
	}
	return packets, nil
}

// Samples are those of the loop, played again and again without an end, in the order of their times. With dtx most
// packets are left out while nothing is to be heard.
func (l *Loop) Samples(dtx bool) iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		silentSince := time.Duration(0)
		for begin := time.Duration(0); ; begin += Period {
			v, a := 0, 0
			for v < len(l.video) || a < len(l.audio) {
				var s Sample
				if a == len(l.audio) || v < len(l.video) && l.video[v].At <= l.audio[a].At {
					s = l.video[v]
					v++
				} else {
					s = l.audio[a]
					a++
				}
				s.At += begin
				if !s.Video && dtx {
					if s.Quiet && s.At-silentSince < refresh {
						continue
					}
					silentSince = s.At
				}
				if !yield(s) {
					return
				}
			}
		}
	}
}

// run returns what a program writes to its output; what it complains of is in the error.
func run(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", program, err, tail(complaint.Bytes()))
	}
	return out.Bytes(), nil
}

// tail is the end of what a program has said.
func tail(text []byte) []byte {
	const most = 2000
	text = bytes.TrimSpace(text)
	return text[max(0, len(text)-most):]
}

// wait closes the reader of a program that has ended, whose first error is returned.
func wait(cmd *exec.Cmd, complaint *bytes.Buffer, r io.Closer, err error) error {
	return errors.Join(err, r.Close(), func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%s: %w: %s", cmd.Path, err, tail(complaint.Bytes()))
		}
		return nil
	}())
}
