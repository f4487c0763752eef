package matroska

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"skillsage/internal/testkit/clip"
)

func TestAFullDiskLeavesAFinishedFile(t *testing.T) {
	sound := clip.Audio(t, 10, false)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	f, err := os.Create(filepath.Join(dir, "file.webm"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := Create(f, Options{DocType: WebM})
	if err != nil {
		t.Fatal(err)
	}
	number, _ := w.AddTrack(Track{Codec: Opus, Private: opusHead, Channels: 1})
	for i := 0; err == nil; i++ {
		at := time.Duration(i) * 20 * time.Millisecond
		if err = w.WriteFrame(number, at, true, sound[i%len(sound)].Data); err == nil && i%25 == 24 {
			err = w.Flush(at)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if again := w.Flush(time.Hour); !errors.Is(again, syscall.ENOSPC) {
		t.Errorf("then %v", again)
	}
	// What is left of the disk goes to somebody else.
	other, err := os.Create(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for err == nil {
		_, err = other.Write(make([]byte, 4096))
	}
	info, err := w.Finish()
	if !errors.Is(err, syscall.ENOSPC) || !info.Complete || info.End < 10*time.Second {
		t.Errorf("%+v, %v", info, err)
	}
	if h, err := readHead(f); err != nil || h.cues == 0 {
		t.Errorf("%+v, %v: no index", h, err)
	}
	clip.Decode(t, f.Name())
	if d := clip.Duration(t, f.Name()); d != info.End {
		t.Errorf("lasts %v, not %v", d, info.End)
	}
}
