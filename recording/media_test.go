package recording

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"skillsage/internal/testkit/clapper"
	"skillsage/internal/testkit/clip"
	"skillsage/recording/manifest"
)

// checkFiles looks at the files of a recording that has ended as a player would, and returns them by name.
func checkFiles(t *testing.T, e Event, m *manifest.Manifest) map[string]manifest.File {
	t.Helper()
	files := make(map[string]manifest.File)
	for _, f := range m.Files {
		files[f.Name] = f
		name := filepath.Join(e.Folder.Path(), f.Name)
		content, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		sum := sha256.Sum256(content)
		if !f.Complete || f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len(content)) || len(f.Tracks) == 0 {
			t.Errorf("%s of %d bytes is described as %+v", f.Name, len(content), f)
		}
		if err := clapper.Decode(t.Context(), name); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		t.Logf("%s from %v for %v, of %s: %+v", f.Name, f.Start, f.Duration, f.Participant, f.Tracks)
		if f.Start < 0 || f.Start+f.Duration > m.Duration+0.1 {
			t.Errorf("%s lies outside of the recording of %v s", f.Name, m.Duration)
		}
	}
	entries, err := os.ReadDir(e.Folder.Path())
	if err != nil || len(entries) != len(files)+1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	return files
}

// claps measures a file of camera and voice. They must be in sync, and one clap must follow the other without a break.
func claps(t *testing.T, e Event, f manifest.File) clapper.Claps {
	t.Helper()
	c, err := clapper.Measure(t.Context(), filepath.Join(e.Folder.Path(), f.Name), clapper.Where{})
	if err != nil {
		t.Fatalf("%s: %v", f.Name, err)
	}
	for _, p := range c.Pairs() {
		if p.Apart().Abs() > 80*time.Millisecond {
			t.Errorf("%s: picture and voice are %v apart", f.Name, p.Apart())
		}
	}
	return c
}

func names(files map[string]manifest.File) []string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func wantNames(t *testing.T, files map[string]manifest.File, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := names(files); !slices.Equal(got, want) {
		t.Fatalf("the files are %q, not %q", got, want)
	}
}

func TestACallIsRecorded(t *testing.T) {
	s := newScene(t)
	r := newRig(t, Options{Media: FromEngine(s.engine)})
	s.enter(r, "room", "c", "candidate")
	s.enter(r, "room", "r", "recruiter").call("c")
	must(t, r.Start("room", "r"))
	r.untilState("room", Recording)
	time.Sleep(2500 * time.Millisecond)
	end := s.person("room", "c").share("r", "screen")
	time.Sleep(2 * time.Second)
	end()
	s.person("room", "r").cut()
	time.Sleep(2500 * time.Millisecond)
	must(t, r.Stop("room", "r"))
	e := r.untilEvent(EventFinished, 1)
	m := r.concluded(e)
	files := checkFiles(t, e, m)
	wantNames(t, files, "candidate-1.webm", "recruiter-1.webm", "candidate-1-screen-1.webm")
	for name, participant := range map[string]string{"candidate-1.webm": "c", "recruiter-1.webm": "r"} {
		f := files[name]
		if c := claps(t, e, f); len(c.Pairs()) < 4 || f.Participant != participant || f.Kind != manifest.Camera {
			t.Errorf("%s has %+v and is %+v", name, c, f)
		}
	}
	if f := files["candidate-1-screen-1.webm"]; f.Participant != "c" || f.Kind != manifest.Screen || f.Duration < 0.5 || f.Duration > 3 {
		t.Errorf("the screen is %+v", f)
	}
	for _, track := range []string{"audio", "video"} {
		if !slices.ContainsFunc(m.Events, func(e manifest.Event) bool {
			return e.Type == manifest.Mute && e.Participant == "r" && e.Track == track && e.File == "recruiter-1.webm" && e.At > 4
		}) {
			t.Errorf("nothing tells that the recruiter's %s fell silent: %+v", track, m.Events)
		}
	}
	if stats := r.Stats(); stats.Started != 1 || stats.Finished != 1 || stats.Failed != 0 || stats.Active != 0 || stats.Bytes < 50_000 || stats.Frames < 200 || stats.Syncs < 8 || stats.SyncTime <= 0 {
		t.Errorf("counted: %+v", stats)
	}
}

// A camera that is opened again goes on in the same file, on the same clock.
func TestACameraThatIsOpenedAgainGoesOn(t *testing.T) {
	s := newScene(t)
	r := newRig(t, Options{Media: FromEngine(s.engine)})
	s.enter(r, "room", "c", "candidate")
	s.enter(r, "room", "r", "recruiter").call("c")
	must(t, r.Start("room", "r"))
	time.Sleep(2500 * time.Millisecond)
	p := s.person("room", "r")
	pc, err := p.connection(call{"c", false}, false)
	must(t, err)
	p.cut()
	for _, sender := range pc.GetSenders() {
		must(t, pc.RemoveTrack(sender))
	}
	_, err = p.publish(pc, "other-camera", p.kinds...)
	must(t, err)
	p.offer(call{"c", false}, false)
	time.Sleep(4 * time.Second)
	must(t, r.Stop("room", "r"))
	e := r.untilEvent(EventFinished, 1)
	m := r.concluded(e)
	files := checkFiles(t, e, m)
	wantNames(t, files, "candidate-1.webm", "recruiter-1.webm")
	c := claps(t, e, files["recruiter-1.webm"])
	if len(c.Pairs()) < 4 {
		t.Errorf("found %+v", c)
	}
	if !slices.ContainsFunc(m.Events, func(e manifest.Event) bool {
		return e.Type == manifest.Source && e.Participant == "r" && e.Track == "video" && e.File == "recruiter-1.webm"
	}) {
		t.Errorf("nothing tells of it: %+v", m.Events)
	}
	// The second one began to clap at another time; each has a second between two claps.
	var moved int
	for i, flash := range c.Flashes[1:] {
		if math.Abs((flash - c.Flashes[i] - time.Second).Seconds()) > 0.07 {
			moved++
		}
	}
	if moved > 1 || files["recruiter-1.webm"].Duration < 5.5 {
		t.Errorf("claps at %v in %+v", c.Flashes, files["recruiter-1.webm"])
	}
}

func TestAReloadIsANewParticipantWithAFileOfTheirOwn(t *testing.T) {
	s := newScene(t)
	r := newRig(t, Options{Media: FromEngine(s.engine)})
	first := s.enter(r, "room", "c", "candidate")
	s.enter(r, "room", "r", "recruiter").call("c")
	must(t, r.Start("room", API))
	time.Sleep(2 * time.Second)
	first.leave(r)
	s.enter(r, "room", "c2", "candidate")
	s.person("room", "r").call("c2")
	time.Sleep(2500 * time.Millisecond)
	s.person("room", "r").leave(r)
	s.person("room", "c2").leave(r)
	e := r.untilEvent(EventFinished, 1)
	m := r.concluded(e)
	files := checkFiles(t, e, m)
	wantNames(t, files, "candidate-1.webm", "candidate-2.webm", "recruiter-1.webm")
	one, two := files["candidate-1.webm"], files["candidate-2.webm"]
	if one.Participant != "c" || two.Participant != "c2" || two.Start < one.Start+one.Duration {
		t.Errorf("the files are %+v and %+v", one, two)
	}
	if m.Reason != manifest.Left || m.Participants[0].Left == nil || *m.Participants[0].Left > two.Start {
		t.Errorf("the manifest is %+v", m)
	}
}

func TestTwoInterviewsAtOnce(t *testing.T) {
	s := newScene(t)
	r := newRig(t, Options{Media: FromEngine(s.engine), Mode: ModeAlways})
	rooms := []string{"room/../a", "ROOM/../a"}
	for _, room := range rooms {
		s.enter(r, room, "c", "candidate")
		s.enter(r, room, "r", "recruiter").call("c")
	}
	for _, room := range rooms {
		r.untilState(room, Recording)
	}
	time.Sleep(2500 * time.Millisecond)
	r.close()
	for n := range rooms {
		e := r.untilEvent(EventFinished, n+1)
		m := r.concluded(e)
		if !slices.Contains(rooms, m.Interview) || m.Reason != manifest.Shutdown {
			t.Errorf("the manifest is %+v", m)
		}
		wantNames(t, checkFiles(t, e, m), "candidate-1.webm", "recruiter-1.webm")
	}
}

// Nobody is recorded who has not agreed.
func TestMediaBeforeConsentAreNotRecorded(t *testing.T) {
	s := newScene(t)
	r := newRig(t, Options{Media: FromEngine(s.engine), Consent: manifest.ConsentRequired})
	s.enter(r, "room", "c", "candidate")
	s.enter(r, "room", "r", "recruiter").call("c")
	must(t, r.Start("room", "r"))
	r.until("the candidate is asked", func() bool { return len(r.told("room").Pending) == 1 })
	time.Sleep(time.Second)
	must(t, r.Consent("room", "c", true))
	r.untilState("room", Recording)
	s.enter(r, "room", "late", "recruiter").call("c")
	r.until("the late one is asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"late"}) })
	time.Sleep(1500 * time.Millisecond)
	before := time.Now()
	must(t, r.Consent("room", "late", true))
	time.Sleep(2 * time.Second)
	refused := time.Now()
	must(t, r.Consent("room", "late", false))
	time.Sleep(time.Second)
	e := r.untilEvent(EventFinished, 1)
	m := r.concluded(e)
	files := checkFiles(t, e, m)
	wantNames(t, files, "candidate-1.webm", "recruiter-1.webm", "recruiter-2.webm")
	const margin = 60 * time.Millisecond // of the estimate of when something was captured, and of a frame
	if f := files["recruiter-2.webm"]; f.Start.Duration() < before.Sub(m.Started)-margin {
		t.Errorf("recorded from %v on, and asked until %v", f.Start, before.Sub(m.Started))
	}
	for name, f := range files {
		if (f.Start + f.Duration).Duration() > refused.Sub(m.Started)+margin {
			t.Errorf("%s goes on to %v, after the refusal at %v", name, f.Start+f.Duration, refused.Sub(m.Started))
		}
	}
}

// H.264 has another container, which is known only when the picture is there; a voice that came long before it has to go on in a
// second file.
func TestH264IsInMatroska(t *testing.T) {
	s := newScene(t)
	s.h264 = clip.Video(t, "video/H264", clip.Options{Seconds: 3, GOP: clip.FPS})
	r := newRig(t, Options{Media: FromEngine(s.engine)})
	c := s.enter(r, "room", "c", "candidate")
	s.enter(r, "room", "r", "recruiter")
	must(t, r.Start("room", "r"))
	r.untilState("room", Recording)
	c.kinds = []string{"audio"}
	c.call("r")
	time.Sleep(pictureWait + time.Second)
	pc, err := c.connection(call{"r", false}, false)
	must(t, err)
	_, err = c.publish(pc, c.stream, "video")
	must(t, err)
	c.offer(call{"r", false}, false)
	time.Sleep(3 * time.Second)
	must(t, r.Stop("room", "r"))
	e := r.untilEvent(EventFinished, 1)
	m := r.concluded(e)
	files := checkFiles(t, e, m)
	wantNames(t, files, "candidate-1.webm", "candidate-1-2.mkv", "recruiter-1.mkv")
	first, second := files["candidate-1.webm"], files["candidate-1-2.mkv"]
	if len(first.Tracks) != 1 || len(second.Tracks) != 2 || second.Container != manifest.Matroska || second.Participant != "c" {
		t.Errorf("the files are %+v and %+v", first, second)
	}
	if end := first.Start + first.Duration; math.Abs(float64(second.Start-end)) > 0.1 {
		t.Errorf("the second file begins at %v s and the first ends at %v s", second.Start, end)
	}
	if codec := files["recruiter-1.mkv"].Tracks[0].Codec; codec != "H264" && codec != "Opus" {
		t.Errorf("the codec is %s", codec)
	}
}
