package recording

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skillsage/internal/testkit/clapper"
	"skillsage/recording/manifest"
)

// checkFiles looks at the files of a recording that has ended as a player would.
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
		if !f.Complete || f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len(content)) {
			t.Errorf("%s of %d bytes is described as %+v", f.Name, len(content), f)
		}
		if err := clapper.Decode(t.Context(), name); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		claps, err := clapper.Measure(t.Context(), name, clapper.Where{})
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		t.Logf("%s from %v for %v: %d flashes, %d beeps, %+v", f.Name, f.Start, f.Duration, len(claps.Flashes), len(claps.Beeps), f.Tracks)
		for _, p := range claps.Pairs() {
			if p.Apart().Abs() > 40*time.Millisecond {
				t.Errorf("%s: picture and voice are %v apart", f.Name, p.Apart())
			}
		}
	}
	entries, err := os.ReadDir(e.Folder.Path())
	if err != nil || len(entries) != len(files)+1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	return files
}

func TestACallIsRecorded(t *testing.T) {
	s := newScene(t)
	r := newRig(t, Options{Media: FromEngine(s.engine)})
	c := s.enter(r, "room", "c", "candidate")
	rec := s.enter(r, "room", "r", "recruiter")
	rec.call("c")
	must(t, r.Start("room", "r"))
	r.untilState("room", Recording)
	time.Sleep(2500 * time.Millisecond)
	end := c.share("r", "screen")
	time.Sleep(2 * time.Second)
	end()
	time.Sleep(time.Second)
	must(t, r.Stop("room", "r"))
	e := r.untilEvent(EventFinished, 1)
	m := r.concluded(e)
	files := checkFiles(t, e, m)
	if len(files) != 3 {
		t.Fatalf("the files are %+v", files)
	}
	for name, participant := range map[string]string{"candidate-1.webm": "c", "recruiter-1.webm": "r", "candidate-1-screen-1.webm": "c"} {
		f, ok := files[name]
		if !ok || f.Participant != participant || (f.Kind == manifest.Screen) != (name == "candidate-1-screen-1.webm") {
			t.Errorf("%s is %+v", name, f)
		}
	}
	_ = rec
}
