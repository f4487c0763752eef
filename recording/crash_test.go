package recording

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skillsage/recording/manifest"
)

// childDir names, in the environment, the store of a test that is to run in a process of its own.
const childDir = "RECORDING_TEST_DIR"

// child runs a test of this package in a process of its own, prepared by prepare.
func child(t *testing.T, test, dir string, prepare func(*exec.Cmd)) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	prepare(cmd)
	return cmd
}

// What kill -9 leaves is finished by the next start: at most the last second is missing.
func TestKillLosesAtMostASecond(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		recordUntilKilled(t, dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "recordings")
	cmd := child(t, t.Name(), dir, func(*exec.Cmd) {})
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	recording := false
	for lines := bufio.NewScanner(out); !recording && lines.Scan(); {
		recording = strings.Contains(lines.Text(), "IS RECORDING")
	}
	if !recording {
		_ = cmd.Wait()
		t.Fatal("the process does not record")
	}
	time.Sleep(3500 * time.Millisecond)
	killed := time.Now()
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()

	r := newRigAt(t, dir, Options{})
	e := r.untilEvent(EventFinished, 1)
	m := r.concluded(e)
	if m.State != manifest.Finished || m.Reason != manifest.Crash || e.Reason != manifest.Crash || e.Interview != "room" || m.Interview != "room" {
		t.Errorf("the manifest is %+v", m)
	}
	if lost := killed.Sub(*m.Finished); lost > 1200*time.Millisecond {
		t.Errorf("%v were lost", lost)
	}
	files := checkFiles(t, e, m)
	wantNames(t, files, "candidate-1.webm", "recruiter-1.webm")
	for name, participant := range map[string]string{"candidate-1.webm": "c", "recruiter-1.webm": "r"} {
		f := files[name]
		if f.Participant != participant || len(f.Tracks) != 2 || len(claps(t, e, f).Pairs()) < 2 {
			t.Errorf("%s is %+v", name, f)
		}
	}
	if all := types(m); len(all) < 3 || all[0] != manifest.RecordingStarted || all[1] != manifest.Chat || all[len(all)-1] != manifest.RecordingStopped {
		t.Errorf("the events are %q", all)
	}
	if s := r.Stats(); s.Recovered != 1 || s.Finished != 1 {
		t.Errorf("counted: %+v", s)
	}
	r.close()

	// There is nothing to be done any more for the start after that one.
	again := newRigAt(t, dir, Options{})
	time.Sleep(300 * time.Millisecond)
	again.close()
	if len(again.events) != 0 {
		t.Errorf("told again: %+v", again.events)
	}
}

func recordUntilKilled(t *testing.T, dir string) {
	s := newScene(t)
	r := newRigAt(t, dir, Options{Media: FromEngine(s.engine)})
	s.enter(r, "room", "c", "candidate")
	s.enter(r, "room", "r", "recruiter").call("c")
	must(t, r.Start("room", "r"))
	r.untilState("room", Recording)
	r.Said("room", "c", "chat-message", []byte(`{"content":"hi"}`))
	fmt.Println("IS RECORDING")
	time.Sleep(time.Minute)
}

// Orphans that other starts, or a full disk, have left at any step of their end.
func TestOrphansOfEveryKind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	r := newRigAt(t, dir, Options{})
	for _, room := range []string{"whole", "torn", "merged", "living", "broken", "lost", "new"} {
		r.stage.open(room)
		r.Join(room, "r", "recruiter")
		must(t, r.Start(room, "r"))
		r.untilState(room, Recording)
	}
	r.close()
	folders, err := r.store.List()
	must(t, err)
	for _, f := range folders {
		root, err := f.Root()
		must(t, err)
		defer root.Close()
		m, err := manifest.Read(root)
		must(t, err)
		write := func(name, text string) { must(t, root.WriteFile(name, []byte(text), 0o600)) }
		crash := func() {
			m.Events, m.State, m.Finished, m.Reason = nil, manifest.Recording, nil, ""
			must(t, manifest.Write(root, m))
		}
		switch m.Interview {
		case "whole": // with the state and the events that it had, but an end
			crash()
			write(manifest.EventsName, `{"at":0,"type":"recording-started"}`+"\n"+`{"at":7.5,"type":"chat","data":"hi"}`+"\n")
			write("candidate-1.webm", "")
			write("recruiter-1.webm", strings.Repeat("no media", 10_000))
		case "torn":
			crash()
			write(manifest.EventsName, `{"at":0,"type":"recording-started"}`+"\n"+`{"at":7.5,"ty`)
			write(manifest.Name+".new", "{")
		case "merged": // only the events file was not removed yet
			write(manifest.EventsName, `{"at":0,"type":"recording-started"}`+"\n")
		case "living":
			crash()
			write(manifest.EventsName, "")
			release, err := f.Lock()
			must(t, err)
			defer release()
		case "broken":
			write(manifest.Name, "{")
			write(manifest.EventsName, "")
		case "lost": // by whatever was done to it
			write("candidate-1.webm", "media")
			must(t, root.Remove(manifest.Name))
		case "new": // it died just after the folder was made
			must(t, root.Remove(manifest.Name))
		}
	}

	again := newRigAt(t, dir, Options{})
	again.untilEvent(EventFinished, 2)
	again.until("the one that was merged is finished", func() bool {
		for _, f := range folders {
			if unfinished, err := f.Unfinished(); f.Interview() == "merged" {
				return err == nil && !unfinished
			}
		}
		return false
	})
	again.close()
	for _, e := range again.events {
		m := again.concluded(e)
		switch m.Interview {
		case "whole":
			if len(m.Files) != 1 || m.Duration != 7.5 {
				t.Errorf("the manifest is %+v", m)
			} else if f := m.Files[0]; f.Name != "recruiter-1.webm" || f.Container != "webm" || f.Size != 80_000 || f.Complete {
				t.Errorf("the manifest is %+v", m)
			}
			wantTypes(t, m, manifest.RecordingStarted, manifest.Chat, manifest.RecordingStopped)
		case "torn":
			wantTypes(t, m, manifest.RecordingStarted, manifest.RecordingStopped)
		default:
			t.Errorf("told of %+v", e)
		}
	}
	for _, f := range folders {
		if _, err := os.Stat(f.Path()); os.IsNotExist(err) != (f.Interview() == "new") {
			t.Errorf("%s: %v", f.Interview(), err)
		}
		unfinished, err := f.Unfinished()
		must(t, err)
		if left := f.Interview() == "living" || f.Interview() == "broken" || f.Interview() == "lost" || f.Interview() == "new"; left != unfinished {
			t.Errorf("%s is unfinished: %v", f.Interview(), unfinished)
		}
	}
}

// A server may start while another one still ends, and then does not come to its end.
func TestOrphanOfAProcessThatDiesLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	r := recordedAt(t, dir, Options{})
	r.close()
	folders, err := r.store.List()
	must(t, err)
	root, err := folders[0].Root()
	must(t, err)
	defer root.Close()
	m, err := manifest.Read(root)
	must(t, err)
	m.Events, m.State, m.Finished, m.Reason = nil, manifest.Recording, nil, ""
	must(t, manifest.Write(root, m))
	must(t, root.WriteFile(manifest.EventsName, []byte(`{"at":1.5,"type":"recording-started"}`+"\n"), 0o600))
	alive, err := folders[0].Lock()
	must(t, err)
	again := newRigAt(t, dir, Options{})
	time.Sleep(300 * time.Millisecond)
	if unfinished, err := folders[0].Unfinished(); err != nil || !unfinished {
		t.Errorf("finished although somebody is at it: %v", err)
	}
	alive()
	if m := again.concluded(again.untilEvent(EventFinished, 1)); m.Reason != manifest.Crash || m.Duration != 1.5 {
		t.Errorf("the manifest is %+v", m)
	}
}

// A recording of one's own that is taken for another's as well, because it began while the store was being listed, is finished as
// its own process ends it, and once.
func TestTheOwnEndGoesBefore(t *testing.T) {
	r := recorded(t, Options{})
	list := func() (all []*orphan) {
		folders, err := r.store.List()
		must(t, err)
		for _, folder := range folders {
			all = append(all, &orphan{folder: folder})
		}
		return all
	}
	listed, own := list(), list()
	if len(own) != 1 {
		t.Fatalf("%d recordings", len(own))
	}
	own[0].last = new(manifest.Manifest)
	if all := withOwn(listed, own); len(all) != 1 || all[0] != own[0] {
		t.Errorf("%d are to be finished, the first with an end: %v", len(all), all[0].last != nil)
	}
	if all := withOwn(list(), nil); len(all) != 1 {
		t.Errorf("%d of those of others", len(all))
	}
}

// What keeps the end of a recording from being written may pass.
func TestTheEndIsWrittenWhenItCanBe(t *testing.T) {
	r := recorded(t, Options{})
	folders, err := r.store.List()
	must(t, err)
	way := filepath.Join(folders[0].Path(), manifest.Name+".new")
	must(t, os.MkdirAll(filepath.Join(way, "in"), 0o700))
	must(t, r.Stop("room", "r"))
	e := r.untilEvent(EventFinished, 1)
	if unfinished, err := folders[0].Unfinished(); err != nil || !unfinished {
		t.Errorf("it could be written: %v", err)
	}
	must(t, os.RemoveAll(way))
	r.until("it is finished", func() bool {
		unfinished, err := folders[0].Unfinished()
		return err == nil && !unfinished
	})
	m := r.concluded(e)
	if m.State != manifest.Finished || m.Reason != manifest.Requested {
		t.Errorf("the manifest is %+v", m)
	}
	wantTypes(t, m, manifest.RecordingStarted, manifest.RecordingStopped)
	if s := r.Stats(); s.Finished != 1 || s.Recovered != 0 {
		t.Errorf("counted %+v", s)
	}
}
