package matroska

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func create(t *testing.T, opts Options) (*os.File, *Writer) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w, err := Create(f, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f, w
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestRepairMakesWhatFinishMakes(t *testing.T) {
	f, w := create(t, Options{DocType: WebM, Date: time.Unix(1700000000, 5000000)})
	audio := must[int](t)(w.AddTrack(Track{Codec: Opus, Private: []byte("OpusHead"), Channels: 2, Delay: 6500 * time.Microsecond, PreRoll: 80 * time.Millisecond}))
	var video int
	for i := range 500 {
		at := 10*time.Minute + time.Duration(i)*20*time.Millisecond
		if err := w.WriteFrame(audio, at, true, []byte{0xf8, 0xff, 0xfe}); err != nil {
			t.Fatal(err)
		}
		if i == 100 {
			video = must[int](t)(w.AddTrack(Track{Codec: VP8, Width: 640, Height: 480}))
		}
		if i >= 100 && i%2 == 0 {
			if err := w.WriteFrame(video, at, i%100 == 0, bytes.Repeat([]byte{1}, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		if i%35 == 0 {
			if err := w.Flush(at - 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(time.Hour); err != nil {
		t.Fatal(err)
	}
	crashed := must[[]byte](t)(os.ReadFile(f.Name()))
	info := must[Info](t)(w.Finish())
	finished := must[[]byte](t)(os.ReadFile(f.Name()))
	if !info.Complete || info.Start != 10*time.Minute || info.End != 10*time.Minute+10*time.Second || len(info.Tracks) != 2 {
		t.Errorf("%+v", info)
	}

	torn := filepath.Join(t.TempDir(), "torn")
	if err := os.WriteFile(torn, append(crashed, finished[headSize:headSize+100]...), 0o600); err != nil {
		t.Fatal(err)
	}
	g := must[*os.File](t)(os.OpenFile(torn, os.O_RDWR, 0))
	defer g.Close()
	for range 2 {
		must[Info](t)(Repair(g))
		if got := must[[]byte](t)(os.ReadFile(torn)); !bytes.Equal(got, finished) {
			t.Fatalf("%d bytes, not the %d that Finish wrote", len(got), len(finished))
		}
	}
}

func TestDatesAreKept(t *testing.T) {
	for _, date := range []time.Time{{}, time.Date(2001, 1, 1, 0, 0, 2, 5e8, time.UTC), time.Date(2026, 11, 26, 10, 53, 16, 123e6, time.UTC)} {
		f, w := create(t, Options{DocType: WebM, Date: date})
		number := must[int](t)(w.AddTrack(Track{Codec: Opus, Private: opusHead, Channels: 1}))
		if err := w.WriteFrame(number, 0, true, []byte{0xf8, 0xff, 0xfe}); err != nil {
			t.Fatal(err)
		}
		must[Info](t)(w.Finish())
		if info := must[Info](t)(Inspect(f)); !info.Date.Equal(date) {
			t.Errorf("%v, not %v", info.Date, date)
		}
	}
}

// TestLastPicture: nobody knows for how long the last picture was to be seen; where pictures are rare, the file still ends
// soon after it.
func TestLastPicture(t *testing.T) {
	for _, c := range []struct{ apart, end time.Duration }{
		{40 * time.Millisecond, 440 * time.Millisecond},
		{500 * time.Millisecond, 5100 * time.Millisecond},
	} {
		_, w := create(t, Options{DocType: WebM})
		number := must[int](t)(w.AddTrack(Track{Codec: VP8, Width: 640, Height: 480}))
		for n := range time.Duration(11) {
			if err := w.WriteFrame(number, n*c.apart, n == 0, []byte{1}); err != nil {
				t.Fatal(err)
			}
		}
		if info := must[Info](t)(w.Finish()); info.End != c.end {
			t.Errorf("with a picture each %v it ends at %v, not %v", c.apart, info.End, c.end)
		}
	}
}
