package track

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"skillsage/internal/testkit/clip"
	"skillsage/recording/frames"
	"skillsage/recording/matroska"
	"skillsage/sfu/media"
)

// step is something that happens at a time of the room clock.
type step struct {
	at time.Duration
	do func(*scene)
}

// scene is a file that is being recorded, on a clock that runs only in the test.
type scene struct {
	t     *testing.T
	path  string
	file  *FileWriter
	zero  time.Time
	asked int // for key frames
	input [2]*Input
	next  [2]uint64 // sequence number
}

// play records what the steps do, and finishes the file.
func play(t *testing.T, opts Options, start time.Duration, steps ...[]step) (string, matroska.Info) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	var info matroska.Info
	synctest.Test(t, func(t *testing.T) {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s := &scene{t: t, path: path, zero: time.Now().Add(-start)}
		opts.Zero = s.zero
		if s.file, err = Create(f, opts); err != nil {
			t.Fatal(err)
		}
		all := slices.Concat(steps...)
		slices.SortStableFunc(all, func(a, b step) int { return cmp.Compare(a.at, b.at) })
		for _, step := range all {
			time.Sleep(time.Until(s.zero.Add(step.at)))
			step.do(s)
		}
		if info, err = s.file.Finish(); err != nil {
			t.Fatal(err)
		}
	})
	return path, info
}

func (s *scene) handle(kind Kind, event media.TapEvent) {
	s.t.Helper()
	if s.input[kind] == nil {
		s.begin(kind)
	}
	if err := s.input[kind].Handle(event); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) begin(kind Kind) { s.input[kind] = s.file.Input(kind, func() { s.asked++ }) }

var opus = media.Codec{MimeType: "audio/opus", ClockRate: 48000, Channels: 2, FMTP: "minptime=10;useinbandfec=1"}

// source sends a clip's frames from a time on. Each packet is late by what delay gives;
// one for which drop says so never comes.
type source struct {
	kind   Kind
	codec  media.Codec
	frames []clip.Frame
	start  time.Duration
	delay  func(i int) time.Duration
	drop   func(i, j int) bool
	level  int
}

func (o source) steps() []step {
	if o.codec.MimeType == "" {
		o.codec = opus
	}
	var list []step
	var latest time.Duration
	for i, payloads := range clip.Payloads(o.codec.MimeType, o.frames) {
		at := o.start + o.frames[i].At
		arrives := at
		if o.delay != nil {
			arrives += o.delay(i)
		}
		latest = max(latest, arrives) // in order, as from a tap
		for j, payload := range payloads {
			event := media.TapEvent{
				Kind: media.TapPacket, Codec: o.codec, Timestamp: int64(at * time.Duration(o.codec.ClockRate) / time.Second),
				Marker: j == len(payloads)-1, Payload: payload, Level: o.level,
			}
			if o.drop != nil && o.drop(i, j) {
				event = media.TapEvent{Kind: media.TapGap}
			}
			list = append(list, step{latest, func(s *scene) {
				event.Captured = s.zero.Add(at)
				s.next[o.kind]++
				event.Sequence = s.next[o.kind]
				s.handle(o.kind, event)
			}})
		}
	}
	return list
}

func video(mimeType string) media.Codec { return media.Codec{MimeType: mimeType, ClockRate: 90000} }

// checkSync compares where flashes and beeps are with where they belong: at each whole second from start on.
func checkSync(t *testing.T, name string, list []time.Duration, start time.Duration, tolerance time.Duration) {
	t.Helper()
	for _, at := range list {
		if off := (at - start + time.Second/2) % time.Second; (off - time.Second/2).Abs() > tolerance {
			t.Errorf("a %s at %v", name, at)
		}
	}
}

func TestCallsOfEveryCodec(t *testing.T) {
	const start = 600 * time.Second
	const offset = 420 * time.Millisecond
	for _, codec := range clip.VideoCodecs() {
		t.Run(codec, func(t *testing.T) {
			container, ok := Container(codec)
			if !ok {
				t.Fatal("no container")
			}
			pictures := clip.Video(t, codec, clip.Options{Seconds: 6})
			sound := clip.Audio(t, 6, false)
			random := rand.New(rand.NewPCG(1, 2))
			jitter := func(int) time.Duration { return time.Duration(random.IntN(80)) * time.Millisecond }
			path, info := play(t, Options{Container: container}, start,
				source{kind: Video, codec: video(codec), frames: pictures, start: start + offset, delay: jitter}.steps(),
				source{kind: Audio, frames: sound, start: start + offset, delay: jitter}.steps(),
			)
			if n := clip.Decode(t, path); n != len(pictures) {
				t.Errorf("%d of %d pictures", n, len(pictures))
			}
			if info.Start != start+offset || (info.End-info.Start-6*time.Second).Abs() > 50*time.Millisecond {
				t.Errorf("from %v to %v", info.Start, info.End)
			}
			if d := clip.Duration(t, path); (d - info.End).Abs() > time.Millisecond {
				t.Errorf("ffprobe's duration %v", d)
			}
			flashes, beeps := clip.Flashes(t, path), clip.Beeps(t, path)
			if len(flashes) < 5 || len(beeps) < 5 {
				t.Errorf("%d flashes, %d beeps", len(flashes), len(beeps))
			}
			checkSync(t, "flash", flashes, start+offset, 2*time.Millisecond)
			checkSync(t, "beep", beeps, start+offset, 15*time.Millisecond)
			packets := clip.Packets(t, path)
			if !packets[0].Key || slices.IndexFunc(packets, func(p clip.Packet) bool { return p.Kind == "video" }) > 3 {
				t.Errorf("the file begins with %+v", packets[:4])
			}
			checkOrder(t, packets, 100*time.Millisecond)
		})
	}
}

// checkOrder tells whether packets are in the order of their times, but for a little.
func checkOrder(t *testing.T, packets []clip.Packet, tolerance time.Duration) {
	t.Helper()
	var latest time.Duration
	last := map[string]time.Duration{"audio": -time.Second}
	for _, p := range packets {
		if p.At < latest-tolerance {
			t.Errorf("%s of %v behind %v", p.Kind, p.At, latest)
		}
		if p.At <= last[p.Kind] {
			t.Errorf("%s of %v twice", p.Kind, p.At)
		}
		last[p.Kind], latest = p.At, max(latest, p.At)
	}
}

func TestWhatDoesNotFitGoesIntoTheNextFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := Create(f, Options{Container: matroska.WebM, Zero: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	in := w.Input(Video, func() {})
	for codec, want := range map[string]error{"video/H264": ErrNextFile, "video/H265": frames.ErrUnsupported, "audio/opus": frames.ErrUnsupported, "video/vp8": nil} {
		if err := in.Handle(media.TapEvent{Kind: media.TapCodec, Codec: video(codec)}); !errors.Is(err, want) {
			t.Errorf("%s: %v", codec, err)
		}
	}
	if _, err := w.Finish(); !errors.Is(err, matroska.ErrEmpty) {
		t.Errorf("finished with %v", err)
	}
	if err := in.Handle(media.TapEvent{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestSoundThatComesLongAfterThePictureGoesIntoTheNextFile(t *testing.T) {
	pictures, sound := clip.Video(t, "video/VP8", clip.Options{Seconds: 12}), clip.Audio(t, 1, false)
	late := 0
	path, info := play(t, Options{Container: matroska.WebM}, 0,
		source{kind: Video, codec: video("video/VP8"), frames: pictures}.steps(),
		[]step{{11 * time.Second, func(s *scene) {
			in := s.file.Input(Audio, nil)
			err := in.Handle(media.TapEvent{Kind: media.TapPacket, Codec: opus, Payload: sound[0].Data, Captured: time.Now()})
			if errors.Is(err, ErrNextFile) {
				late++
			}
		}}})
	if late != 1 || len(info.Tracks) != 1 {
		t.Errorf("%+v", info)
	}
	clip.Decode(t, path)
}

func TestACameraThatIsTurnedOnLaterAndGoesAway(t *testing.T) {
	pictures, sound := clip.Video(t, "video/VP8", clip.Options{Seconds: 8}), clip.Audio(t, 20, false)
	camera := source{kind: Video, codec: video("video/VP8"), frames: pictures}
	again := camera
	camera.start, again.start = 2*time.Second, 12*time.Second
	camera.frames = camera.frames[:4*clip.FPS+7] // ends in the middle of its pictures
	path, info := play(t, Options{Container: matroska.WebM}, 0,
		source{kind: Audio, frames: sound}.steps(),
		camera.steps(),
		[]step{{11 * time.Second, func(s *scene) { s.begin(Video) }}},
		again.steps())
	if n := clip.Decode(t, path); n != len(camera.frames)+len(pictures) {
		t.Errorf("%d pictures", n)
	}
	checkSync(t, "flash", clip.Flashes(t, path), 0, 2*time.Millisecond)
	checkSync(t, "beep", clip.Beeps(t, path), 0, 15*time.Millisecond)
	if len(info.Tracks) != 2 || info.Tracks[1].First != 2*time.Second || info.End != 20*time.Second+20*time.Millisecond && info.End != 20*time.Second {
		t.Errorf("%+v", info)
	}
}

func TestThePictureMayChangeItsSize(t *testing.T) {
	for _, codec := range clip.VideoCodecs() {
		t.Run(codec, func(t *testing.T) {
			container, _ := Container(codec)
			var steps [][]step
			count := 0
			for i, size := range []string{"160x120", "320x180", "120x160"} {
				pictures := clip.Video(t, codec, clip.Options{Seconds: 2, Size: size})
				count += len(pictures)
				o := source{kind: Video, codec: video(codec), frames: pictures, start: time.Duration(i) * 2 * time.Second}
				steps = append(steps, []step{{o.start, func(s *scene) {
					s.handle(Video, media.TapEvent{Kind: media.TapSwitch})
				}}}, o.steps())
			}
			path, info := play(t, Options{Container: container}, 0, steps...)
			if n := clip.Decode(t, path); n != count {
				t.Errorf("%d of %d pictures", n, count)
			}
			if track := info.Tracks[0]; track.Width != 320 || track.Height != 180 {
				t.Errorf("%d x %d", track.Width, track.Height)
			}
		})
	}
}

func TestLossIsAGapInTime(t *testing.T) {
	for codec, seconds := range map[string]int{"video/VP8": 60, "video/H264": 20} {
		t.Run(codec, func(t *testing.T) {
			container, _ := Container(codec)
			pictures, sound := clip.Video(t, codec, clip.Options{Seconds: seconds}), clip.Audio(t, seconds, true)
			if len(sound) > seconds*40 {
				t.Fatalf("%d packets: nothing was left out of the silence", len(sound))
			}
			random := rand.New(rand.NewPCG(3, 4))
			lossy := func(percent int) func(int, int) bool {
				return func(int, int) bool { return random.IntN(100) < percent }
			}
			var asked int
			path, info := play(t, Options{Container: container}, 0,
				source{kind: Video, codec: video(codec), frames: pictures, drop: lossy(1)}.steps(),
				source{kind: Audio, frames: sound, drop: lossy(5)}.steps(),
				[]step{{time.Duration(seconds) * time.Second, func(s *scene) { asked = s.asked }}})
			n := clip.Decode(t, path)
			if n < 5*clip.FPS || n == len(pictures) {
				t.Errorf("%d of %d pictures", n, len(pictures))
			}
			if asked == 0 || asked > seconds+1 {
				t.Errorf("asked for %d key frames", asked)
			}
			flashes, beeps := clip.Flashes(t, path), clip.Beeps(t, path)
			if len(flashes) < 5 || len(beeps) < seconds/2 {
				t.Errorf("%d flashes, %d beeps", len(flashes), len(beeps))
			}
			// A flash may be later if its first picture is missing.
			checkSync(t, "flash", flashes, 0, 2*time.Millisecond+3*time.Second/clip.FPS)
			checkSync(t, "beep", beeps, 0, 50*time.Millisecond)
			if (info.End - time.Duration(seconds)*time.Second).Abs() > 2*time.Second {
				t.Errorf("until %v", info.End)
			}
			checkHoles(t, path)
		})
	}
}

// checkHoles tells whether a file's sound goes on without a break.
func checkHoles(t *testing.T, path string) {
	t.Helper()
	var next time.Duration
	for _, p := range clip.Packets(t, path) {
		if p.Kind != "audio" {
			continue
		}
		if p.At > next+125*time.Millisecond && next > 0 {
			t.Errorf("no sound from %v to %v", next, p.At)
		}
		next = p.At
	}
}

func TestWhatArrivesIsOnTheDiskWithinASecond(t *testing.T) {
	pictures, sound := clip.Video(t, "video/VP8", clip.Options{Seconds: 10}), clip.Audio(t, 10, false)
	var checks []step
	for at := 3 * time.Second; at < 10*time.Second; at += 37 * time.Millisecond {
		checks = append(checks, step{at, func(s *scene) {
			f, err := os.Open(s.path)
			if err != nil {
				s.t.Fatal(err)
			}
			defer f.Close()
			info, err := matroska.Inspect(f)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, track := range info.Tracks {
				if track.End < at-time.Second {
					s.t.Errorf("at %v the file's %s ends at %v", at, track.Codec, track.End)
				}
			}
		}})
	}
	play(t, Options{Container: matroska.WebM}, 0,
		source{kind: Video, codec: video("video/VP8"), frames: pictures}.steps(),
		source{kind: Audio, frames: sound}.steps(),
		checks)
}

func TestRepairedPacketsMayComeLate(t *testing.T) {
	pictures, sound := clip.Video(t, "video/VP8", clip.Options{Seconds: 12}), clip.Audio(t, 12, false)
	stall := func(from, to int, by time.Duration) func(int) time.Duration {
		return func(i int) time.Duration {
			if i >= from && i < to {
				return by
			}
			return 0
		}
	}
	path, _ := play(t, Options{Container: matroska.WebM}, 0,
		source{kind: Video, codec: video("video/VP8"), frames: pictures, delay: stall(50, 51, 3*time.Second)}.steps(),
		source{kind: Audio, frames: sound, delay: stall(300, 301, 3*time.Second)}.steps())
	if n := clip.Decode(t, path); n != len(pictures) {
		t.Errorf("%d of %d pictures", n, len(pictures))
	}
	flashes, beeps := clip.Flashes(t, path), clip.Beeps(t, path)
	if len(flashes) < 11 || len(beeps) < 11 {
		t.Errorf("%d flashes, %d beeps", len(flashes), len(beeps))
	}
	checkSync(t, "flash", flashes, 0, 2*time.Millisecond)
	checkSync(t, "beep", beeps, 0, 15*time.Millisecond)
	checkHoles(t, path)
}

func TestAClockThatIsNotExactDoesNotPullSoundAndPictureApart(t *testing.T) {
	const seconds = 60
	for name, ppm := range map[string]time.Duration{"fast": -800, "slow": 800} {
		t.Run(name, func(t *testing.T) {
			sound := slices.Clone(clip.Audio(t, seconds, false))
			for i := range sound { // captured later and later, or earlier and earlier
				sound[i].At += sound[i].At * ppm / 1_000_000
			}
			path, _ := play(t, Options{Container: matroska.WebM}, 0, source{kind: Audio, frames: sound, level: 30}.steps())
			beeps := clip.Beeps(t, path)
			if len(beeps) < seconds-2 {
				t.Errorf("%d beeps", len(beeps))
			}
			for _, at := range beeps {
				was := at - at*ppm/1_000_000
				if off := (was + time.Second/2) % time.Second; (off - time.Second/2).Abs() > 35*time.Millisecond {
					t.Errorf("a beep at %v", at)
				}
			}
			checkContiguous(t, path)
		})
	}
}

// checkContiguous tells whether packets of sound follow each other without holes and overlaps: a
// player that pays no attention to their timestamps is right all the same.
func checkContiguous(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := matroska.Inspect(f)
	if err != nil {
		t.Fatal(err)
	}
	if length := clip.SoundLength(t, path); (length - (info.End - info.Start)).Abs() > 10*time.Millisecond {
		t.Errorf("%v of sound from %v to %v", length, info.Start, info.End)
	}
}
