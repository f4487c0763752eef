package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skillsage/recording/manifest"
)

// recorded is a rig with one room that is being recorded.
func recorded(t *testing.T, opts Options) *rig {
	t.Helper()
	return recordedAt(t, filepath.Join(t.TempDir(), "recordings"), opts)
}

func recordedAt(t *testing.T, dir string, opts Options) *rig {
	t.Helper()
	r := newRigAt(t, dir, opts)
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	must(t, r.Start("room", "r"))
	r.untilState("room", Recording)
	return r
}

func TestRoomsOfHostileNames(t *testing.T) {
	r := newRig(t, Options{})
	rooms := []string{
		"", ".", "..", "../../../tmp/x", "a/b", `a\b`, "a\x00b", "A", "a", "con", "NUL", "ä", "\xff", strings.Repeat("x", 4096), strings.Repeat("x", 4095) + "y", "interview.json",
	}
	for _, room := range rooms {
		r.stage.open(room)
		r.Join(room, "r", "recruiter")
		must(t, r.Start(room, "r"))
	}
	for _, room := range rooms {
		r.untilState(room, Recording)
	}
	r.close()
	found := make(map[string]bool)
	folders, err := r.store.List()
	must(t, err)
	for _, f := range folders {
		m, err := f.Manifest()
		must(t, err)
		// JSON has no bytes that are no text.
		if want := strings.ToValidUTF8(f.Interview(), "\uFFFD"); m.Interview != want {
			t.Errorf("%.40q says that it is %.40q", f.Interview(), m.Interview)
		}
		found[f.Interview()] = true
	}
	for _, room := range rooms {
		if !found[room] {
			t.Errorf("%.40q was not recorded", room)
		}
	}
	if beside, err := os.ReadDir(filepath.Dir(r.store.Dir())); err != nil || len(beside) != 1 {
		t.Errorf("beside the store: %v, %v", beside, err)
	}
}

func TestWhatIsSaidIsBounded(t *testing.T) {
	r := recorded(t, Options{})
	big, err := json.Marshal(strings.Repeat("x", 500_000))
	must(t, err)
	huge, err := json.Marshal(strings.Repeat("x", maxEventData))
	must(t, err)
	r.Said("room", "r", "chat-message", huge)
	for n := range 200 { // 100 MB
		r.Said("room", "r", "chat-message", big)
		if n%4 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	for range 2000 {
		r.Said("room", "r", "chat-message", []byte(strings.Repeat("[", 20_000)))
	}
	time.Sleep(100 * time.Millisecond)
	r.Join("room", "last", "candidate")
	must(t, r.Stop("room", "r"))
	e := r.untilEvent(EventFinished, 1)
	m := r.concluded(e)
	if size, err := e.Folder.Size(); err != nil || size > maxEventBytes+1<<20 {
		t.Errorf("it takes %d bytes, %v", size, err)
	}
	if m.DroppedEvents == 0 || r.Stats().EventsLost < 1000 || len(m.Events) < 5 {
		t.Errorf("%d events, %d dropped", len(m.Events), m.DroppedEvents)
	}
	// Who comes and goes is put down whatever was said.
	if all := types(m); all[len(all)-1] != manifest.RecordingStopped || all[len(all)-2] != manifest.Join {
		t.Errorf("the last events are %q", all[max(0, len(all)-3):])
	}
}

// While somebody types, one text in a second is kept, and the last one in any case.
func TestCodeIsKeptOnceASecond(t *testing.T) {
	r := recorded(t, Options{})
	begin := time.Now()
	last := 0
	for ; time.Since(begin) < 1500*time.Millisecond; last++ {
		r.Said("room", "r", "code-update", fmt.Appendf(nil, `{"questionId":1,"code":"%d"}`, last))
		r.Said("room", "r", "code-update", fmt.Appendf(nil, `{"questionId":"%d","code":"x"}`, last%(2*maxCodes)))
		time.Sleep(5 * time.Millisecond)
	}
	r.Said("room", "r", "code-update", fmt.Appendf(nil, `{"questionId":1,"code":"%d"}`, last))
	must(t, r.Stop("room", "r"))
	m := r.concluded(r.untilEvent(EventFinished, 1))
	var texts []string
	previous := manifest.Seconds(-1)
	for _, e := range m.Events {
		var about struct {
			Question json.RawMessage `json:"questionId"`
			Code     string          `json:"code"`
		}
		if e.At < previous {
			t.Errorf("%+v comes after %v", e, previous)
		}
		previous = e.At
		if e.Type == manifest.Code {
			must(t, json.Unmarshal(e.Data, &about))
			if string(about.Question) == "1" {
				texts = append(texts, about.Code)
			}
		}
	}
	if len(texts) < 2 || len(texts) > 20 || texts[0] != "0" || texts[len(texts)-1] != fmt.Sprint(last) {
		t.Errorf("kept are %q of %d", texts, last)
	}
}

func TestTooManyParticipants(t *testing.T) {
	r := recorded(t, Options{})
	for n := range 2 * maxParticipants {
		r.Join("room", fmt.Sprint(n), "candidate")
	}
	for n := range 2 * maxParticipants {
		r.Leave("room", fmt.Sprint(n))
	}
	must(t, r.Stop("room", API))
	m := r.concluded(r.untilEvent(EventFinished, 1))
	if len(m.Participants) != maxParticipants {
		t.Errorf("%d participants", len(m.Participants))
	}
}

// Who begins screen after screen, or changes codecs back and forth, leaves the others their files.
func TestNobodyTakesTheFilesOfAll(t *testing.T) {
	r := newRig(t, Options{})
	iv := newInterview(r.Recorder, "room")
	s := newSession(iv, &wish{}, time.Now())
	for _, id := range []string{"many", "other"} {
		s.joined(id, "candidate", s.zero)
	}
	of := func(member, stream string) *sink {
		return s.sinkFor(&roomTrack{source: screenSource{&stageSource{member: member, kind: "video"}, stream}}, "candidate")
	}
	for n := range maxFiles {
		if k := of("many", fmt.Sprint(n)); (k != nil) != (n < maxFilesOfOne) {
			t.Fatalf("number %d: %v", n, k)
		}
	}
	if of("other", "0") == nil {
		t.Error("nothing is left for the other")
	}

	folder, err := r.store.Create("room", s.zero)
	must(t, err)
	s.root, err = folder.Root()
	must(t, err)
	defer s.root.Close()
	create := func(k *sink) error {
		o, err := s.create(k, "webm")
		if err == nil {
			o.finish()
		}
		return err
	}
	for n := range maxFilesOfOne + 1 {
		if err := create(of("many", "0")); errors.Is(err, errTooManyFiles) != (n == maxFilesOfOne) {
			t.Fatalf("file %d: %v", n, err)
		}
	}
	if fatal(errTooManyFiles) {
		t.Error("and all end")
	}
	must(t, create(of("other", "0")))
}

type screenSource struct {
	*stageSource
	stream string
}

func (s screenSource) Screen() bool   { return true }
func (s screenSource) Stream() string { return s.stream }

func TestARecordingHasAnEnd(t *testing.T) {
	r := recorded(t, Options{MaxDuration: 300 * time.Millisecond})
	m := r.concluded(r.untilEvent(EventFinished, 1))
	if m.Reason != manifest.Limit || m.Duration < 0.3 || m.State != manifest.Finished {
		t.Errorf("the manifest is %+v", m)
	}
}

func TestTooManyRecordings(t *testing.T) {
	r := newRig(t, Options{})
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	for n := range maxRecordings {
		must(t, r.Start("room", "r"))
		r.untilState("room", Recording)
		must(t, r.Stop("room", "r"))
		r.untilEvent(EventFinished, n+1)
		r.until("it is over", func() bool { return r.finishing("room") == 0 })
	}
	wantCode(t, r.Start("room", "r"), CodeBusy)
}

func (r *rig) finishing(room string) int {
	iv := r.interview(room)
	iv.mu.Lock()
	defer iv.mu.Unlock()
	return iv.finishing
}

func TestLittleSpaceLeft(t *testing.T) {
	r := newRig(t, Options{MinFree: 1 << 62})
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	wantCode(t, r.Start("room", "r"), CodeDisk)
	if folders, err := r.store.List(); err != nil || len(folders) != 0 {
		t.Errorf("made are %v, %v", folders, err)
	}
}

// Where all interviews are to be recorded nobody asks for it, and so nobody would notice.
func TestLittleSpaceLeftForAll(t *testing.T) {
	r := newRig(t, Options{Mode: ModeAlways, MinFree: 1 << 62})
	r.stage.open("room")
	r.Join("room", "c", "candidate")
	r.stage.publish("room", "c", "video")
	if s := r.untilState("room", Failed); s.Reason != manifest.Disk {
		t.Errorf("told %+v", s)
	}
	if e := r.untilEvent(EventFailed, 1); e.Interview != "room" || e.Recording != "" || e.Folder != nil || e.Reason != manifest.Disk {
		t.Errorf("the event is %+v", e)
	}
	r.Join("room", "r", "recruiter")
	r.until("all is done", func() bool { return len(r.interview("room").wake) == 0 })
	r.close()
	if s := r.Stats(); s.Failed != 1 || s.Started != 0 {
		t.Errorf("counted %+v", s)
	}
	if folders, err := r.store.List(); err != nil || len(folders) != 0 {
		t.Errorf("made are %v, %v", folders, err)
	}
}
