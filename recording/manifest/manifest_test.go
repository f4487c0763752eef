package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func folder(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func full() *Manifest {
	end := time.Date(2026, 11, 26, 11, 0, 0, 120e6, time.UTC)
	left := Seconds(12.5)
	return &Manifest{
		Version: Version, ID: "20261126T105316Z-5f3c9a2b", Interview: "a/b <c>", Started: end.Add(-time.Minute), Finished: &end, Duration: 60,
		State: Finished, Reason: Left, Consent: Consent{Policy: ConsentRequired},
		Participants: []Participant{{ID: "x", Role: "candidate", Joined: 0.004, Left: &left}, {ID: "y", Role: "recruiter"}},
		Files: []File{{
			Name: "candidate-1.webm", Participant: "x", Kind: Camera, Container: WebM, Start: 0.42, Duration: 12.2, Size: 4711, SHA256: strings.Repeat("0", 64), Complete: true,
			Tracks: []Track{{Kind: "video", Codec: "VP8", Width: 640, Height: 480, Start: 0.42}, {Kind: "audio", Codec: "Opus", Start: 0.44}},
		}},
		Events: []Event{{At: 0, Type: RecordingStarted, Participant: "y"}, {At: 1.5, Type: Chat, Participant: "x", Data: json.RawMessage(`{"content":"<hi>"}`)}},
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	root := folder(t)
	for _, m := range []*Manifest{full(), {Version: Version, Participants: []Participant{}, Files: []File{}, Events: []Event{}}} {
		if err := Write(root, m); err != nil {
			t.Fatal(err)
		}
		got, err := Read(root)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("wrote %+v\n read %+v", m, got)
		}
	}
	if entries, err := os.ReadDir(root.Name()); err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	root := folder(t)
	if err := Write(root, &Manifest{Version: Version}); err != nil {
		t.Fatal(err)
	}
	text, err := root.ReadFile(Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{`"participants":[]`, `"files":[]`, `"events":[]`, `"finished":null`} {
		if !strings.Contains(string(text), list) {
			t.Errorf("%s is missing in %s", list, text)
		}
	}
}

// What fails must leave the manifest that was there.
func TestAWriteThatFailsChangesNothing(t *testing.T) {
	root := folder(t)
	if err := Write(root, full()); err != nil {
		t.Fatal(err)
	}
	broken := full()
	broken.Events[1].Data = json.RawMessage(`{"content":`)
	if err := Write(root, broken); err == nil {
		t.Fatal("written")
	}
	if got, err := Read(root); err != nil || !reflect.DeepEqual(got, full()) {
		t.Errorf("read %+v, %v", got, err)
	}
	if entries, err := os.ReadDir(root.Name()); err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

func TestReadRefuses(t *testing.T) {
	root := folder(t)
	for _, text := range []string{"", "{", "[]", `{"version": "1"}`, `{"version": 2}`} {
		if err := os.WriteFile(filepath.Join(root.Name(), Name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := Read(root); err == nil {
			t.Errorf("%q was read as %+v", text, m)
		} else if late := strings.Contains(text, ": 2"); late != errors.Is(err, ErrVersion) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReadEventsLeavesOutWhatIsTorn(t *testing.T) {
	root := folder(t)
	if events, err := ReadEvents(root); err != nil || events != nil {
		t.Errorf("without a file: %v, %v", events, err)
	}
	var text bytes.Buffer
	for _, e := range full().Events {
		if err := EncodeEvent(&text, &e); err != nil {
			t.Fatal(err)
		}
	}
	text.WriteString("\n\x00\x00\x00\n{}\n{\"at\":3,\"type\":\"join\"}\n{\"at\":4,\"type\":\"leave\"}")
	if err := os.WriteFile(filepath.Join(root.Name(), EventsName), text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := ReadEvents(root)
	if want := append(full().Events, Event{At: 3, Type: Join}); err != nil || !reflect.DeepEqual(events, want) {
		t.Errorf("read %+v, %v", events, err)
	}
}

func TestSecondsHaveMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0", 1234567 * time.Microsecond: "1.235", 12*time.Hour + 7*time.Millisecond: "43200.007"} {
		s := ToSeconds(d)
		if text, err := json.Marshal(s); err != nil || string(text) != want {
			t.Errorf("%v is %s, %v", d, text, err)
		}
		if s.Duration() != d.Round(time.Millisecond) {
			t.Errorf("%v comes back as %v", d, s.Duration())
		}
	}
}
