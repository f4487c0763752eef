package matroska

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// FuzzRepair holds Repair to this: it does not fail in another way than by an error,
// changes no file that it refuses, and is done after one run.
func FuzzRepair(f *testing.F) {
	path := f.TempDir() + "/seed"
	file, err := os.Create(path)
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	w, err := Create(file, Options{DocType: WebM, Date: time.Unix(1e9, 0)})
	if err != nil {
		f.Fatal(err)
	}
	audio, _ := w.AddTrack(Track{Codec: Opus, Private: opusHead, Channels: 1})
	video, _ := w.AddTrack(Track{Codec: VP8, Width: 640, Height: 480})
	for i := range 20 {
		w.WriteFrame(audio, time.Duration(i)*200*time.Millisecond, true, []byte{0xf8, 0xff, 0xfe}) //nolint:errcheck // below
		w.WriteFrame(video, time.Duration(i)*200*time.Millisecond, i%5 == 0, []byte{1, 2, 3, 4})   //nolint:errcheck // below
	}
	if err := w.Flush(time.Hour); err != nil {
		f.Fatal(err)
	}
	unfinished, _ := os.ReadFile(path)
	if _, err := w.Finish(); err != nil {
		f.Fatal(err)
	}
	finished, _ := os.ReadFile(path)
	f.Add(false, uint16(0), []byte{}, unfinished[headSize:])
	f.Add(true, uint16(300), []byte{}, finished[headSize:])
	f.Add(true, uint16(40), []byte{1, 2, 3}, finished[headSize:len(finished)-20])
	// Inputs are short if they say only how a file's head differs from a good one.
	f.Fuzz(func(t *testing.T, done bool, at uint16, patch, tail []byte) {
		page := bytes.Clone(unfinished[:headSize])
		if done {
			page = bytes.Clone(finished[:headSize])
		}
		copy(page[at%headSize:], patch)
		content := append(page, tail...)
		file, err := os.CreateTemp(memory(), "fuzz")
		if err != nil {
			t.Fatal(err)
		}
		path := file.Name()
		defer os.Remove(path)
		defer file.Close()
		if _, err := file.Write(content); err != nil {
			t.Fatal(err)
		}
		info, err := Repair(file)
		repaired, _ := os.ReadFile(path)
		if err != nil {
			if !bytes.Equal(content, repaired) {
				t.Errorf("changed in spite of %v", err)
			}
			return
		}
		if !info.Complete || info.Size != int64(len(repaired)) || len(info.Tracks) == 0 {
			t.Errorf("%+v", info)
		}
		if _, err := Repair(file); err != nil {
			t.Errorf("the second time: %v", err)
		}
		if again, _ := os.ReadFile(path); !bytes.Equal(again, repaired) {
			t.Error("the second repair changed the file")
		}
	})
}

// memory is a directory in which forcing files to the disk takes no time, if there is one.
func memory() string {
	const dir = "/dev/shm"
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}
