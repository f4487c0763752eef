package matroska

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"skillsage/internal/testkit/clip"
)

// crashed is a file whose writer got to the end but did not finish it, and where its clusters end.
func crashed(t testing.TB) (content []byte, ends []int) {
	t.Helper()
	pictures, sound := clip.Video(t, "video/VP8", clip.Options{Seconds: 5, GOP: 30}), clip.Audio(t, 5, false)
	f, err := os.Create(filepath.Join(t.TempDir(), "crashed"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := Create(f, Options{DocType: WebM})
	if err != nil {
		t.Fatal(err)
	}
	video, _ := w.AddTrack(Track{Codec: VP8, Width: 160, Height: 120})
	audio, _ := w.AddTrack(Track{Codec: Opus, Private: opusHead, Channels: 1, Delay: 6500 * time.Microsecond, PreRoll: 80 * time.Millisecond})
	for i, p := range pictures {
		if err := w.WriteFrame(video, time.Minute+p.At, i%30 == 0, p.Data); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range sound {
		if err := w.WriteFrame(audio, time.Minute+s.At, true, s.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(time.Hour); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(headSize); at < int64(len(content)); {
		e, ok := readElement(bytes.NewReader(content), at, int64(len(content)))
		if !ok {
			t.Fatalf("no element at %d", at)
		}
		at = e.end()
		ends = append(ends, int(at))
	}
	if len(ends) < 5 {
		t.Fatalf("%d clusters", len(ends))
	}
	return content, ends
}

var opusHead = []byte("OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00")

func write(t testing.TB, content []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file.webm"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFilesThatEndAnywhereAreRepaired(t *testing.T) {
	content, ends := crashed(t)
	whole := func(length int) (n int) { // clusters
		for n < len(ends) && ends[n] <= length {
			n++
		}
		return n
	}
	lengths := []int{0, 1, headSize / 2, headSize - 1, headSize, headSize + 1}
	for i, end := range ends {
		before := headSize
		if i > 0 {
			before = ends[i-1]
		}
		lengths = append(lengths, (before+end)/2, end-1, end, end+3, end+9)
	}
	for i, length := range lengths {
		length = min(length, len(content))
		f := write(t, content[:length])
		info, err := Repair(f)
		if whole(length) == 0 {
			if !errors.Is(err, ErrEmpty) {
				t.Errorf("%d bytes: %v", length, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d bytes: %v", length, err)
			continue
		}
		end := ends[whole(length)-1]
		if !info.Complete || info.Torn != int64(length-end) {
			t.Errorf("%d bytes: %+v", length, info)
		}
		repaired, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(repaired[headSize:end], content[headSize:end]) {
			t.Errorf("%d bytes: the clusters were changed", length)
		}
		if i == len(lengths)/2 {
			if d := clip.Duration(t, f.Name()); d != info.End {
				t.Errorf("%d bytes: lasts %v, not %v", length, d, info.End)
			}
			clip.Decode(t, f.Name())
		}
		again, err := Repair(f)
		if repairedAgain, _ := os.ReadFile(f.Name()); err != nil || again.Torn != 0 || !bytes.Equal(repaired, repairedAgain) {
			t.Errorf("%d bytes: repaired again: %v, %+v", length, err, again)
		}
	}
}

// A repair that is interrupted leaves a file on which the next one ends in the same result.
func TestARepairMayBeInterrupted(t *testing.T) {
	content, ends := crashed(t)
	whole := write(t, content)
	if _, err := Repair(whole); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(whole.Name())
	if err != nil {
		t.Fatal(err)
	}
	end := ends[len(ends)-1]
	for length := end; length <= len(want); length++ { // in the middle of writing the Cues
		f := write(t, slices.Concat(content[:headSize], want[headSize:length]))
		if _, err := Repair(f); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(f.Name()); !bytes.Equal(got, want) {
			t.Errorf("interrupted at %d: another file", length)
		}
	}
}

func TestADamagedFileIsLeftAsItIs(t *testing.T) {
	content, ends := crashed(t)
	f := write(t, content)
	if _, err := Repair(f); err != nil {
		t.Fatal(err)
	}
	finished, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	finished[ends[1]+2] ^= 0xff
	for name, content := range map[string][]byte{
		"finished":   finished,
		"unfinished": slices.Concat(content[:ends[1]], make([]byte, maxTorn+1)),
	} {
		f := write(t, content)
		if _, err := Repair(f); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(f.Name()); !bytes.Equal(got, content) {
			t.Errorf("%s: changed", name)
		}
	}
}

func TestUnfinishedFilesPlay(t *testing.T) {
	content, ends := crashed(t)
	f := write(t, content)
	if n := clip.Decode(t, f.Name()); n != 5*clip.FPS {
		t.Errorf("%d pictures", n)
	}
	info, err := Inspect(f)
	if err != nil || info.Complete || info.Torn != 0 || info.Start != time.Minute || (info.End-time.Minute-5*time.Second).Abs() > 20*time.Millisecond {
		t.Errorf("%+v, %v", info, err)
	}
	if got, _ := os.ReadFile(f.Name()); !bytes.Equal(got, content) {
		t.Error("looking changes the file")
	}
	f = write(t, content[:ends[2]+77])
	if info, err = Inspect(f); err != nil || info.Torn != 77 {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestMain is also the process that TestKilledWriters kills.
func TestMain(m *testing.M) {
	if path := os.Getenv("WRITE_TO"); path != "" {
		fmt.Println(writeForever(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever writes a file and tells after each flush until when there is sound in it.
func writeForever(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w, err := Create(f, Options{DocType: Matroska})
	if err != nil {
		return err
	}
	number, err := w.AddTrack(Track{Codec: Opus, Private: opusHead, Channels: 1})
	for i := 0; err == nil; i++ {
		at := time.Duration(i) * 20 * time.Millisecond
		if err = w.WriteFrame(number, at, true, bytes.Repeat([]byte{0xf8}, 1000)); err == nil && i%20 == 19 {
			err = w.Flush(at)
			fmt.Println("written", at.Milliseconds())
		}
	}
	return err
}

func TestKilledWriters(t *testing.T) {
	for round := range 5 {
		path := filepath.Join(t.TempDir(), "file")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "WRITE_TO="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		written := time.Duration(-1)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, ms, ok := bytes.Cut(lines.Bytes(), []byte("written ")); ok {
				n, _ := strconv.Atoi(string(ms))
				if written = time.Duration(n) * time.Millisecond; n > 400*(round+1) {
					cmd.Process.Kill() //nolint:errcheck // Wait tells
				}
			}
		}
		cmd.Wait() //nolint:errcheck // killed
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		info, err := Repair(f)
		f.Close()
		if err != nil || info.End < written {
			t.Errorf("%+v, %v; %v had been written", info, err, written)
		}
	}
}
