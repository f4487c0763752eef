package compose

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	// A camera that shows nothing new for this long has been turned off, a voice without a packet for this long is
	// silent: until then its gap is filled with silence.
	cameraPause = 3 * time.Second
	voicePause  = 30 * time.Second

	// linger is how long the last picture of a camera stays.
	linger = time.Second
)

// span is a time on the room clock.
type span struct{ from, to time.Duration }

func (s span) empty() bool { return s.to <= s.from }

// cut is the part of s that is in other.
func (s span) cut(other span) span { return span{max(s.from, other.from), min(s.to, other.to)} }

// content tells when something is in a file.
type content struct {
	picture, sound []span // in order
}

// spans joins the times of packets.
type spans struct {
	pause time.Duration
	all   []span
}

func (s *spans) add(at, length time.Duration) {
	if n := len(s.all); n > 0 && at-s.all[n-1].to < s.pause {
		s.all[n-1].to = max(s.all[n-1].to, at+length)
		return
	}
	s.all = append(s.all, span{at, at + length})
}

// probe reads the times of all packets of a file.
func probe(ctx context.Context, path string, screen bool) (content, error) {
	cmd := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-f", "matroska", "-show_entries", "packet=codec_type,pts_time,duration_time",
		"-of", "csv=print_section=0", local(path))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return content{}, err
	}
	complaint := new(tail)
	cmd.Stderr = complaint
	tie(cmd)
	if err := cmd.Start(); err != nil {
		return content{}, err
	}
	c, err := readPackets(out, screen)
	_, _ = io.Copy(io.Discard, out)
	if ended := cmd.Wait(); ended != nil {
		err = fmt.Errorf("ffprobe: %w: %s", ended, complaint)
	}
	return c, err
}

// readPackets reads lines of "video,0.040000,0.033000".
func readPackets(r io.Reader, screen bool) (content, error) {
	picture, sound := spans{pause: cameraPause}, spans{pause: voicePause}
	if screen {
		picture.pause = 1 << 62 // a screen on which nothing moves is still shared
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ",")
		if len(fields) < 2 {
			continue
		}
		at, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			continue // a packet without a time shows nothing at any
		}
		length := 0.0
		if len(fields) > 2 {
			length, _ = strconv.ParseFloat(fields[2], 64) // "N/A": not told
		}
		switch fields[0] {
		case "video":
			picture.add(seconds(at), 0)
		case "audio":
			sound.add(seconds(at), seconds(length))
		}
	}
	return content{picture.all, sound.all}, lines.Err()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// local is how a file is named to ffmpeg so that its name is nothing but that.
func local(path string) string { return "file:" + path }

// tail keeps the end of what a program says.
type tail struct{ text []byte }

const tailSize = 4096 // bytes

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.text)) }
