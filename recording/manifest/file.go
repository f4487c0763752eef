package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// MaxSize bounds what Read and ReadEvents take, in bytes.
const MaxSize = 256 << 20

// ErrVersion says that a manifest was written by a later version of the program.
var ErrVersion = errors.New("manifest: made by a later version")

// Read reads the manifest of the recording in folder.
func Read(folder *os.Root) (*Manifest, error) {
	f, err := folder.Open(Name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("manifest: %s is longer than %d bytes", Name, MaxSize)
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("manifest: %s: %w", Name, err)
	}
	if m.Version > Version {
		return nil, fmt.Errorf("%w: %d", ErrVersion, m.Version)
	}
	return m, nil
}

// Write writes the manifest into the folder of its recording, so that whoever reads it sees the old one or the new
// one, even after power has been lost.
func Write(folder *os.Root, m *Manifest) error {
	const temporary = Name + ".new"
	f, err := folder.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 64<<10)
	err = encoder(out).Encode(m.complete())
	err = errors.Join(err, out.Flush())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = folder.Rename(temporary, Name)
	}
	if err != nil {
		_ = folder.Remove(temporary)
		return err
	}
	return SyncDir(folder)
}

// complete has lists where the zero value has none: they are never null in JSON.
func (m *Manifest) complete() *Manifest {
	c := *m
	if c.Participants == nil {
		c.Participants = []Participant{}
	}
	if c.Files == nil {
		c.Files = []File{}
	}
	if c.Events == nil {
		c.Events = []Event{}
	}
	return &c
}

// SyncDir makes what was created, renamed or removed in a folder last.
func SyncDir(folder *os.Root) error {
	if runtime.GOOS == "windows" {
		return nil // which has nothing of the kind
	}
	d, err := folder.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// EncodeEvent writes an event as a line of events.jsonl.
func EncodeEvent(w io.Writer, e *Event) error { return encoder(w).Encode(e) }

func encoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// ReadEvents reads events.jsonl of the recording in folder. None is no error. A line that a crash has cut short, and
// what is no event, is left out.
func ReadEvents(folder *os.Root) ([]Event, error) {
	f, err := folder.Open(EventsName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxSize))
	if err != nil {
		return nil, err
	}
	var events []Event
	for line := range bytes.Lines(text) {
		var e Event
		if line[len(line)-1] == '\n' && json.Unmarshal(line, &e) == nil && e.Type != "" {
			events = append(events, e)
		}
	}
	return events, nil
}
