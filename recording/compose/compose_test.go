package compose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skillsage/internal/testkit/clapper"
	"skillsage/recording/manifest"
)

const ms = time.Millisecond

// person is one file of a test's recording.
type person struct {
	clapper.File
	name string
	kind manifest.Kind
}

// record makes dir the folder of a recording.
func record(t *testing.T, dir string, people ...person) string {
	t.Helper()
	clapper.Need(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m := &manifest.Manifest{Version: manifest.Version, ID: "test", State: manifest.Finished}
	for _, p := range people {
		p.Noise = -1
		if err := p.Write(t.Context(), filepath.Join(dir, p.name)); err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, manifest.File{
			Name: p.name, Participant: strings.TrimSuffix(p.name, ".webm"), Kind: p.kind, Complete: true,
			Start: manifest.ToSeconds(p.Start), Duration: manifest.ToSeconds(p.End - p.Start),
		})
		m.Duration = max(m.Duration, manifest.ToSeconds(p.End))
	}
	write(t, dir, m)
	return dir
}

func write(t *testing.T, dir string, m *manifest.Manifest) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := manifest.Write(root, m); err != nil {
		t.Fatal(err)
	}
}

// interview is one of 20 s: a candidate whose voice pauses; a recruiter who comes at 4 s; a screen from 8 to 14 s. It is made
// once for all tests, which must not change it.
func interview(t *testing.T) string {
	t.Helper()
	makeInterview.Do(func() {
		var err error
		if common, err = os.MkdirTemp("", "compose-"); err != nil {
			t.Fatal(err)
		}
		interviewFolder = record(t, filepath.Join(common, "interview"),
			person{clapper.File{Start: 300 * ms, End: 20 * s, Gap: [2]time.Duration{5300 * ms, 6300 * ms}, Options: clapper.Options{Color: "0x600000", Tone: 1000}}, "candidate.webm", manifest.Camera},
			person{clapper.File{Start: 4 * s, End: 20 * s, Shift: 500 * ms, Options: clapper.Options{Width: 320, Height: 180, Color: "0x000070", Tone: 3000}}, "recruiter.webm", manifest.Camera},
			person{clapper.File{Start: 8 * s, End: 14 * s, Mute: true, Shift: 250 * ms, Options: clapper.Options{Width: 320, Height: 200, Color: "0x005000"}}, "screen.webm", manifest.Screen},
		)
	})
	if interviewFolder == "" {
		t.Fatal("there is no interview to compose")
	}
	return interviewFolder
}

var (
	common          string // a folder
	makeInterview   sync.Once
	interviewFolder string
)

func TestMain(m *testing.M) {
	code := m.Run()
	if common != "" { // a test that is killed has none
		os.RemoveAll(common)
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// film is all pictures of a file, in small.
type film struct {
	rgb  []byte
	w, h int
}

const shrunk = 16 // times smaller

func watch(t *testing.T, path string, w, h int) *film {
	t.Helper()
	f := &film{w: w / shrunk, h: h / shrunk}
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0:v", "-vf", fmt.Sprintf("scale=%d:%d:flags=area", f.w, f.h),
		"-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	f.rgb = out
	return f
}

// color names the one at a point of the picture at a time.
func (f *film) color(at time.Duration, x, y int) string {
	frame := int(at * frameRate / s)
	pixel := f.rgb[3*(frame*f.w*f.h+y/shrunk*f.w+x/shrunk):]
	r, g, b := int(pixel[0]), int(pixel[1]), int(pixel[2])
	switch {
	case r > 2*max(g, b):
		return "red"
	case g > 2*max(r, b):
		return "green"
	case b > 2*max(r, g):
		return "blue"
	case max(r, g, b) < 60:
		return "dark"
	case min(r, g, b) > 170:
		return "white"
	}
	return fmt.Sprintf("%d, %d, %d", r, g, b)
}

// flashes are the times from which a point is white.
func (f *film) flashes(x, y int, from, to time.Duration) (found []time.Duration) {
	white := true
	for frame := int(from * frameRate / s); frame < int(to*frameRate/s); frame++ {
		at := time.Duration(frame) * s / frameRate
		now := f.color(at+ms, x, y) == "white"
		if now && !white {
			found = append(found, at)
		}
		white = now
	}
	return found
}

// claps checks that the picture at a point flashes at certain seconds between from and to, and at no others, and that
// the beeps are heard at the same moments.
func (f *film) claps(t *testing.T, point [2]int, beeps []time.Duration, shift, from, to time.Duration, want ...int) {
	t.Helper()
	c := clapper.Claps{Flashes: f.flashes(point[0], point[1], from, to), Beeps: beeps}
	pairs := c.Pairs()
	if len(pairs) != len(want) {
		t.Errorf("%d claps from %v to %v, want %d: %v", len(pairs), from, to, len(want), pairs)
		return
	}
	for n, second := range want {
		if pairs[n].Apart().Abs() > 40*ms {
			t.Errorf("at %d s picture and voice are %v apart", second, pairs[n].Apart())
		}
		if wrong := pairs[n].Beep - time.Duration(second)*s - shift; wrong.Abs() > 20*ms {
			t.Errorf("the clap of second %d is heard at %v", second, pairs[n].Beep)
		}
	}
}

func beeps(t *testing.T, path string, tone int) []time.Duration {
	t.Helper()
	found, err := clapper.Beeps(t.Context(), path, clapper.Where{Tone: tone})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// see checks colours at a time, by point.
func (f *film) see(t *testing.T, at time.Duration, want map[[2]int]string) {
	t.Helper()
	for point, color := range want {
		if got := f.color(at, point[0], point[1]); got != color {
			t.Errorf("at %v the picture at %v is %s, want %s", at, point, got, color)
		}
	}
}

// At 640x360, what is where: the middle of the whole picture and of its halves, and the places in the corner.
var (
	middle, left, right = [2]int{328, 184}, [2]int{152, 184}, [2]int{488, 184}
	first, second       = [2]int{568, 312}, [2]int{424, 312}
)

func TestComposedInterview(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.mp4")
	var last Progress
	err := Compose(t.Context(), Options{Folder: interview(t), Output: out, Width: 640, Height: 360, Progress: func(p Progress) {
		if p.Done < last.Done || p.Total != 20*s {
			t.Errorf("progress %v after %v", p, last)
		}
		last = p
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last.Done != 20*s {
		t.Errorf("progress ended at %v", last.Done)
	}
	if err := clapper.Decode(t.Context(), out); err != nil {
		t.Error(err)
	}
	if length := duration(t, out); (length - 20*s).Abs() > 60*ms {
		t.Errorf("it is %v long", length)
	}
	if files, _ := os.ReadDir(filepath.Dir(out)); len(files) != 1 {
		t.Errorf("files are left: %v", files)
	}

	f := watch(t, out, 640, 360)
	frame := s / frameRate
	f.see(t, 200*ms, map[[2]int]string{middle: "dark", left: "dark", right: "dark"})
	f.see(t, 2700*ms, map[[2]int]string{middle: "red", left: "red", right: "red"})
	f.see(t, 4*s-2*frame, map[[2]int]string{middle: "red", left: "red", right: "red"})
	f.see(t, 4*s+200*ms, map[[2]int]string{middle: "blue", left: "red", right: "blue"})
	f.see(t, 8*s-2*frame, map[[2]int]string{middle: "blue", left: "red", right: "blue"})
	f.see(t, 8*s+2*frame, map[[2]int]string{middle: "green", left: "green", right: "green", second: "blue"})
	f.see(t, 8*s+200*ms, map[[2]int]string{middle: "green", left: "green", right: "green", first: "red", second: "blue"})
	f.see(t, 14*s-2*frame, map[[2]int]string{middle: "green", first: "red", second: "blue"})
	f.see(t, 14*s+200*ms, map[[2]int]string{middle: "blue", left: "red", right: "blue", first: "dark"})

	// The candidate's voice pauses at 6 s, its picture does not.
	candidate, recruiter := beeps(t, out, 1000), beeps(t, out, 3000)
	if len(candidate) != 18 || len(recruiter) != 16 {
		t.Errorf("beeps at %v and %v", candidate, recruiter)
	}
	f.claps(t, left, candidate, 0, 500*ms, 5500*ms, 1, 2, 3, 4, 5)
	f.claps(t, left, candidate, 0, 6500*ms, 7900*ms, 7)
	f.claps(t, first, candidate, 0, 8500*ms, 14*s, 9, 10, 11, 12, 13)
	f.claps(t, left, candidate, 0, 14500*ms, 20*s, 15, 16, 17, 18, 19)
	f.claps(t, right, recruiter, 500*ms, 4200*ms, 8*s, 4, 5, 6, 7)
	f.claps(t, second, recruiter, 500*ms, 8200*ms, 14*s, 8, 9, 10, 11, 12, 13)
	f.claps(t, right, recruiter, 500*ms, 14200*ms, 20*s, 14, 15, 16, 17, 18, 19)
}

// TestPart composes a part, as WebM.
func TestPart(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.webm")
	err := Compose(t.Context(), Options{Folder: interview(t), Output: out, Width: 640, Height: 360, From: 12500 * ms, To: 17500 * ms})
	if err != nil {
		t.Fatal(err)
	}
	if err := clapper.Decode(t.Context(), out); err != nil {
		t.Error(err)
	}
	if length := duration(t, out); (length - 5*s).Abs() > 60*ms {
		t.Errorf("it is %v long", length)
	}
	f := watch(t, out, 640, 360)
	f.see(t, 0, map[[2]int]string{middle: "green", first: "red"})
	f.see(t, 1200*ms, map[[2]int]string{middle: "green", first: "red", second: "blue"})
	f.see(t, 1700*ms, map[[2]int]string{middle: "blue", left: "red", right: "blue"})
	f.claps(t, left, beeps(t, out, 1000), 500*ms, 2*s, 5*s, 2, 3, 4)
	f.claps(t, right, beeps(t, out, 3000), 0, 1700*ms, 5*s, 2, 3, 4)
}

// TestSizeChanges composes a file in which the picture changes its size and shape, twice.
func TestSizeChanges(t *testing.T) {
	dir := record(t, t.TempDir(), person{clapper.File{End: 3 * s, Options: clapper.Options{Color: "0x600000"}}, "a.webm", manifest.Camera})
	var list strings.Builder
	for n, size := range [][2]int{{320, 240}, {180, 320}, {640, 360}} {
		name := filepath.Join(dir, fmt.Sprintf("%d.webm", n))
		if err := (clapper.File{End: 3 * s, Options: clapper.Options{Width: size[0], Height: size[1], Color: "0x600000", Noise: -1}}).Write(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&list, "file '%s'\nduration 3\n", name)
	}
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("ffmpeg", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", filepath.Join(dir, "list"), "-c", "copy",
		filepath.Join(dir, "a.webm")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	change(t, dir, func(m *manifest.Manifest) { m.Files[0].Duration, m.Duration = 9, 9 })
	out := filepath.Join(t.TempDir(), "out.mp4")
	if err := Compose(t.Context(), Options{Folder: dir, Output: out, Width: 640, Height: 360}); err != nil {
		t.Fatal(err)
	}
	f := watch(t, out, 640, 360)
	edge, narrow := [2]int{24, 184}, [2]int{104, 184}
	f.see(t, 2500*ms, map[[2]int]string{middle: "red", narrow: "red", edge: "dark"})
	f.see(t, 5500*ms, map[[2]int]string{middle: "red", narrow: "dark", edge: "dark"})
	f.see(t, 8500*ms, map[[2]int]string{middle: "red", narrow: "red", edge: "red"})
	f.claps(t, middle, beeps(t, out, 1000), 0, 500*ms, 9*s, 1, 2, 3, 4, 5, 6, 7, 8)
}

// change changes the manifest of a recording.
func change(t *testing.T, dir string, how func(*manifest.Manifest)) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m, err := manifest.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	how(m)
	write(t, dir, m)
}

// TestLongPause composes a recording in which nothing happens for long.
func TestLongPause(t *testing.T) {
	dir := record(t, t.TempDir(),
		person{clapper.File{End: 3 * s}, "a.webm", manifest.Camera},
		person{clapper.File{Start: 97 * s, End: 100 * s, Options: clapper.Options{Tone: 3000}}, "b.webm", manifest.Camera})
	out := filepath.Join(t.TempDir(), "out.mp4")
	if err := Compose(t.Context(), Options{Folder: dir, Output: out, Width: 64, Height: 64}); err != nil {
		t.Fatal(err)
	}
	if length := duration(t, out); (length - 100*s).Abs() > 60*ms {
		t.Errorf("it is %v long", length)
	}
	if at := beeps(t, out, 1000); len(at) != 3 || at[0] > 20*ms {
		t.Errorf("the first beeps are at %v", at)
	}
	if at := beeps(t, out, 3000); len(at) != 3 || (at[0]-97*s).Abs() > 20*ms {
		t.Errorf("the last beeps are at %v", at)
	}
}

func TestErrors(t *testing.T) {
	dir := record(t, t.TempDir(), person{clapper.File{End: s}, "a.webm", manifest.Camera})
	elsewhere := t.TempDir()
	out := filepath.Join(elsewhere, "out.mp4")
	there := filepath.Join(elsewhere, "there.mp4")
	if err := os.WriteFile(there, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Options{Folder: dir, Output: out}
	for _, c := range []struct {
		name string
		want string
		how  func(*Options, *manifest.Manifest)
	}{
		{"no recording", "is not the folder of a recording", func(o *Options, _ *manifest.Manifest) { o.Folder = elsewhere }},
		{"no folder", "no such file", func(o *Options, _ *manifest.Manifest) { o.Folder = filepath.Join(elsewhere, "none") }},
		{"a running recording", "not finished", func(_ *Options, m *manifest.Manifest) { m.State = manifest.Recording }},
		{"an unfinished file", "a.webm: the recording is not finished", func(_ *Options, m *manifest.Manifest) { m.Files[0].Complete = false }},
		{"a missing file", "missing", func(_ *Options, m *manifest.Manifest) { m.Files[0].Name = "b.webm" }},
		{"another folder's file", "not beside it", func(_ *Options, m *manifest.Manifest) { m.Files[0].Name = "../" + filepath.Base(dir) + "/a.webm" }},
		{"an empty name", "not beside it", func(_ *Options, m *manifest.Manifest) { m.Files[0].Name = "" }},
		{"a folder for a file", "no regular file", func(_ *Options, m *manifest.Manifest) { m.Files[0].Name = "." }},
		{"no media", "can't be read", func(_ *Options, m *manifest.Manifest) { m.Files[0].Name = manifest.Name }},
		{"no files", "nothing was recorded", func(_ *Options, m *manifest.Manifest) { m.Files = nil }},
		{"after the end", "nothing was recorded", func(o *Options, _ *manifest.Manifest) { o.From = 2 * s }},
		{"backwards", "nothing lies between", func(o *Options, _ *manifest.Manifest) { o.From, o.To = 2*s, s }},
		{"another format", "does not end with", func(o *Options, _ *manifest.Manifest) { o.Output += ".avi" }},
		{"an odd size", "not possible", func(o *Options, _ *manifest.Manifest) { o.Width, o.Height = 641, 360 }},
		{"a file that is there", "is there already", func(o *Options, _ *manifest.Manifest) { o.Output = there }},
		{"a folder that is not there", "no such file", func(o *Options, _ *manifest.Manifest) { o.Output = filepath.Join(elsewhere, "none", "out.mp4") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good
			var before manifest.Manifest
			change(t, dir, func(m *manifest.Manifest) {
				before = *m
				before.Files = slices.Clone(m.Files)
				c.how(&o, m)
			})
			err := Compose(t.Context(), o)
			write(t, dir, &before)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want: %s", err, c.want)
			}
		})
	}
	t.Run("no ffmpeg", func(t *testing.T) {
		t.Setenv("PATH", elsewhere)
		if err := Compose(t.Context(), good); err == nil || !strings.Contains(err.Error(), "ffmpeg is not installed") {
			t.Error(err)
		}
	})
	if files, _ := os.ReadDir(elsewhere); len(files) != 1 {
		t.Errorf("files are left: %v", files)
	}
	if text, _ := os.ReadFile(there); string(text) != "precious" {
		t.Error("a file that was there is another one")
	}
	good.Output, good.Overwrite, good.Width, good.Height = there, true, 64, 64
	if err := Compose(t.Context(), good); err != nil {
		t.Error(err)
	}
	if err := clapper.Decode(t.Context(), there); err != nil {
		t.Error(err)
	}
}

// encoders are the processes that write a file whose name begins so.
func encoders(t *testing.T, name string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if text, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(text), "ffmpeg\x00") && strings.Contains(string(text), name) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * s); !condition(); time.Sleep(20 * ms) {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// TestCancel: when the context ends so does ffmpeg, and nothing is left.
func TestCancel(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	dir := record(t, t.TempDir(), person{clapper.File{End: 3 * s}, "a.webm", manifest.Camera}, person{clapper.File{Start: 7197 * s, End: 7200 * s}, "b.webm", manifest.Camera})
	out := filepath.Join(t.TempDir(), "out.mp4")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Compose(ctx, Options{Folder: dir, Output: out}) }()
	eventually(t, "ffmpeg runs", func() bool { return len(encoders(t, filepath.Dir(out))) == 1 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left := encoders(t, filepath.Dir(out)); len(left) != 0 {
		t.Errorf("ffmpeg goes on: %v", left)
	}
	if files, _ := os.ReadDir(filepath.Dir(out)); len(files) != 0 {
		t.Errorf("files are left: %v", files)
	}
}

// TestKilled: ffmpeg ends with its parent, however that ends.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can do that")
	}
	if out := os.Getenv("COMPOSE_TEST_OUTPUT"); out != "" {
		t.Fatal(Compose(t.Context(), Options{Folder: os.Getenv("COMPOSE_TEST_FOLDER"), Output: out}))
	}
	dir := record(t, t.TempDir(), person{clapper.File{End: 3 * s}, "a.webm", manifest.Camera}, person{clapper.File{Start: 7197 * s, End: 7200 * s}, "b.webm", manifest.Camera})
	out := filepath.Join(t.TempDir(), "out.mp4")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
	cmd.Env = append(os.Environ(), "COMPOSE_TEST_FOLDER="+dir, "COMPOSE_TEST_OUTPUT="+out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ffmpeg runs", func() bool { return len(encoders(t, filepath.Dir(out))) == 1 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "ffmpeg ends", func() bool { return len(encoders(t, filepath.Dir(out))) == 0 })
}

func duration(t *testing.T, path string) time.Duration {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var length float64
	if _, err := fmt.Sscan(string(out), &length); err != nil {
		t.Fatal(err)
	}
	return seconds(length)
}
