// Package clip makes encoded sound and pictures with ffmpeg, for tests, cuts them
// into RTP payloads, and reads in finished files what can be seen and heard.
//
// Once in a second the picture is white for a tenth of it, and there is a beep for as long.
package clip

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

// FPS is how many pictures there are in a second.
const FPS = 25

// Frame is a picture or a packet of sound.
type Frame struct {
	At   time.Duration
	Data []byte
}

// Options of a picture.
type Options struct {
	Seconds int
	Size    string        // WIDTHxHEIGHT; default 160x120
	GOP     int           // pictures from a key frame to the next; default 50
	Args    []string      // further arguments of ffmpeg's encoder
	From    time.Duration // the time of the first picture
}

type format struct {
	encoder   string
	args      []string
	container string
	payloader func() rtp.Payloader
}

var formats = map[string]format{
	"video/VP8": {"libvpx", []string{"-deadline", "realtime", "-cpu-used", "8", "-auto-alt-ref", "0"}, "ivf",
		func() rtp.Payloader { return &codecs.VP8Payloader{EnablePictureID: true} }},
	"video/VP9": {"libvpx-vp9", []string{"-deadline", "realtime", "-cpu-used", "8", "-auto-alt-ref", "0", "-lag-in-frames", "0"}, "ivf",
		func() rtp.Payloader { return &codecs.VP9Payloader{FlexibleMode: true} }},
	"video/AV1": {"libaom-av1", []string{"-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0"}, "ivf",
		func() rtp.Payloader { return &codecs.AV1Payloader{} }},
	"video/H264": {"libx264", []string{"-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-x264-params", "aud=1:repeat-headers=1"}, "h264",
		func() rtp.Payloader { return &codecs.H264Payloader{} }},
}

// VideoCodecs lists the codecs that there are, named as in SDP.
func VideoCodecs() []string { return []string{"video/VP8", "video/VP9", "video/AV1", "video/H264"} }

// Need skips a test where ffmpeg is not installed.
func Need(t testing.TB) {
	t.Helper()
	for _, program := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed (scripts/install-deps does that)", program)
		}
	}
}

var encoders = sync.OnceValue(func() string {
	out, _ := exec.Command("ffmpeg", "-v", "error", "-encoders").Output()
	return string(out)
})

var (
	cacheMu sync.Mutex
	cache   = map[string][]byte{} // what ffmpeg made, by its arguments
)

// run gives ffmpeg's output.
func run(t testing.TB, args ...string) []byte {
	t.Helper()
	key := strings.Join(args, " ")
	cacheMu.Lock()
	defer cacheMu.Unlock()
	if out := cache[key]; out != nil {
		return out
	}
	var stderr bytes.Buffer
	cmd := exec.Command("ffmpeg", append([]string{"-v", "error", "-nostdin"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", key, err, &stderr)
	}
	cache[key] = out
	return out
}

// Video encodes pictures that move and flash.
func Video(t testing.TB, codec string, opts Options) []Frame {
	t.Helper()
	Need(t)
	f := formats[codec]
	if !strings.Contains(encoders(), " "+f.encoder+" ") {
		t.Skipf("ffmpeg has no encoder %s", f.encoder)
	}
	if opts.Size == "" {
		opts.Size = "160x120"
	}
	if opts.GOP == 0 {
		opts.GOP = 2 * FPS
	}
	args := []string{"-f", "lavfi", "-i", fmt.Sprintf(
		"testsrc2=s=%s:r=%d:d=%d,hue=b=-4,drawbox=enable='lt(mod(t,1),0.0999)':color=white:t=fill,format=yuv420p", opts.Size, FPS, opts.Seconds),
		"-c:v", f.encoder, "-g", strconv.Itoa(opts.GOP), "-b:v", "200k", "-threads", "1"}
	args = append(args, f.args...)
	args = append(args, opts.Args...)
	out := run(t, append(args, "-f", f.container, "-")...)
	var data [][]byte
	if f.container == "ivf" {
		data = splitIVF(t, out)
	} else {
		data = splitH264(out)
	}
	if len(data) != opts.Seconds*FPS {
		t.Fatalf("%s: %d pictures", codec, len(data))
	}
	frames := make([]Frame, len(data))
	for i := range data {
		frames[i] = Frame{opts.From + time.Duration(i)*time.Second/FPS, data[i]}
	}
	return frames
}

// Audio encodes a beep in each second as Opus, in packets of 20 ms. With DTX most packets of silence are
// left out, as encoders do (those of ffmpeg can't).
func Audio(t testing.TB, seconds int, dtx bool) []Frame {
	t.Helper()
	Need(t)
	args := []string{"-f", "lavfi", "-i", fmt.Sprintf("aevalsrc='if(lt(mod(t,1),0.1),0.5*sin(2*PI*1000*t),0)':s=48000:d=%d", seconds),
		"-c:a", "libopus", "-b:a", "32k", "-page_duration", "20000", "-application", "voip"}
	reader, _, err := oggreader.NewWith(bytes.NewReader(run(t, append(args, "-f", "ogg", "-")...)))
	if err != nil {
		t.Fatal(err)
	}
	var frames []Frame
	for {
		page, header, err := reader.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(page, []byte("OpusTags")) {
			continue
		}
		const packet = 20 * time.Millisecond
		at := max(0, (time.Duration(header.GranulePosition)*time.Second/48000 - packet).Truncate(packet))
		if dtx && len(page) <= 3 && at%(400*time.Millisecond) != 0 {
			continue
		}
		frames = append(frames, Frame{at, bytes.Clone(page)})
	}
}

func splitIVF(t testing.TB, b []byte) [][]byte {
	t.Helper()
	reader, _, err := ivfreader.NewWith(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	for {
		frame, _, err := reader.ParseNextFrame()
		if err != nil {
			return list
		}
		list = append(list, frame)
	}
}

// splitH264 cuts at the access unit delimiters.
func splitH264(b []byte) [][]byte {
	delimiter := []byte{0, 0, 0, 1, 9}
	var list [][]byte
	for _, unit := range bytes.Split(b, delimiter) {
		if len(unit) > 1 {
			list = append(list, append(bytes.Clone(delimiter), unit...))
		}
	}
	return list
}

// Payloads cuts frames into the payloads of RTP packets, as a list for each frame.
func Payloads(codec string, frames []Frame) [][][]byte {
	payloader := rtp.Payloader(&codecs.OpusPayloader{})
	if f, ok := formats[codec]; ok {
		payloader = f.payloader()
	}
	list := make([][][]byte, len(frames))
	for i, frame := range frames {
		list[i] = payloader.Payload(1100, frame.Data)
	}
	return list
}

// Decode decodes a file and fails the test if the decoders have anything to complain of. It returns
// how many pictures there were.
func Decode(t testing.TB, file string) int {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-v", "warning", "-nostdin", "-err_detect", "explode", "-xerror", "-copyts",
		"-i", file, "-map", "0", "-fps_mode", "passthrough", "-progress", "-", "-f", "null", "-")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("decoding %s: %v\n%s", file, err, &stderr)
	}
	count := 0
	for _, m := range regexp.MustCompile(`(?m)^frame=(\d+)`).FindAllSubmatch(out, -1) {
		count, _ = strconv.Atoi(string(m[1]))
	}
	return count
}

// Flashes tells when the picture of a file becomes white, and Beeps when a beep begins.
func Flashes(t testing.TB, file string) []time.Duration {
	t.Helper()
	out := filter(t, file, "-an", "-vf", "scale=16:16,showinfo")
	var list []time.Duration
	white := false
	for _, m := range regexp.MustCompile(`pts_time:([\d.]+).*mean:\[(\d+) `).FindAllStringSubmatch(out, -1) {
		luma, _ := strconv.Atoi(m[2])
		if luma > 200 && !white {
			list = append(list, seconds(t, m[1]))
		}
		white = luma > 200
	}
	return list
}

// Beeps tells when each beep in a file begins.
func Beeps(t testing.TB, file string) []time.Duration {
	t.Helper()
	out := filter(t, file, "-vn", "-af", "silencedetect=noise=-30dB:d=0.2")
	var end time.Duration
	for _, p := range Packets(t, file) {
		if p.Kind == "audio" {
			end = p.At
		}
	}
	var list []time.Duration
	for _, m := range regexp.MustCompile(`silence_end: ([\d.]+)`).FindAllStringSubmatch(out, -1) {
		if at := seconds(t, m[1]); at < end { // the end of the file ends a silence, too
			list = append(list, at)
		}
	}
	return list
}

// SoundLength is how long a file's sound is if its samples are played one after the other.
func SoundLength(t testing.TB, file string) time.Duration {
	t.Helper()
	const rate = 48000
	out, err := exec.Command("ffmpeg", "-v", "error", "-nostdin", "-i", file, "-vn", "-ac", "1", "-ar", strconv.Itoa(rate), "-f", "s16le", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	return time.Duration(len(out)/2) * time.Second / rate
}

// filter gives what ffmpeg's filters say of a file.
func filter(t testing.TB, file string, args ...string) string {
	t.Helper()
	out, err := exec.Command("ffmpeg", append(append([]string{"-v", "info", "-nostdin", "-copyts", "-i", file}, args...),
		"-fps_mode", "passthrough", "-f", "null", "-")...).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return string(out)
}

func seconds(t testing.TB, s string) time.Duration {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(f * float64(time.Second)).Round(time.Microsecond)
}

// Packet is one of a file as ffprobe shows it.
type Packet struct {
	Kind string // "video" or "audio"
	At   time.Duration
	Key  bool
}

// Packets lists those of a file, in its order.
func Packets(t testing.TB, file string) []Packet {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "packet=codec_type,pts_time,flags", "-of", "csv=p=0", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, out)
	}
	var list []Packet
	for _, line := range strings.Fields(string(out)) {
		parts := strings.Split(line, ",")
		if len(parts) < 3 {
			t.Fatalf("ffprobe: %s", out)
		}
		list = append(list, Packet{parts[0], seconds(t, parts[1]), strings.Contains(parts[2], "K")})
	}
	return list
}

// Duration is that of a file by its head.
func Duration(t testing.TB, file string) time.Duration {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, out)
	}
	return seconds(t, strings.TrimSpace(string(out)))
}
