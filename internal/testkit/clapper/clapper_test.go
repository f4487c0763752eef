package clapper

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSamples(t *testing.T) {
	Need(t)
	loop, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	const length = 10 * time.Second
	var frames, keys, packets, fewer int
	last := time.Duration(0)
	for s := range loop.Samples(false) {
		if s.At >= length {
			break
		}
		if s.At < last {
			t.Fatalf("%v comes after %v", s.At, last)
		}
		last = s.At
		switch {
		case s.Video && s.Key:
			keys++
			fallthrough
		case s.Video:
			frames++
		default:
			packets++
		}
	}
	longest := time.Duration(0)
	last = 0
	for s := range loop.Samples(true) {
		if s.At >= length {
			break
		}
		if !s.Video {
			fewer++
			longest, last = max(longest, s.At-last), s.At
		}
	}
	if frames != 300 || keys != 10 || packets != 500 || fewer < 100 || fewer > 250 || longest != refresh {
		t.Errorf("%d frames, %d of them key frames, %d packets, %d with DTX, which pauses for %v", frames, keys, packets, fewer, longest)
	}
}

// TestMeasure measures files in which the picture is late by a known time, and the sound has a gap.
func TestMeasure(t *testing.T) {
	Need(t)
	for _, late := range []time.Duration{0, 100 * time.Millisecond, -200 * time.Millisecond} {
		name := filepath.Join(t.TempDir(), "late.mkv")
		file := File{Start: 2500 * time.Millisecond, End: 9500 * time.Millisecond, Late: late, Gap: [2]time.Duration{4500 * time.Millisecond, 5500 * time.Millisecond}}
		if err := file.Write(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := Decode(t.Context(), name); err != nil {
			t.Error(err)
		}
		claps, err := Measure(t.Context(), name, Where{Tone: 1000})
		if err != nil {
			t.Fatal(err)
		}
		pairs := claps.Pairs()
		if len(pairs) != 6 || len(claps.Flashes) != 7 {
			t.Fatalf("%d pairs of %v", len(pairs), claps)
		}
		for n, second := range []int{3, 4, 6, 7, 8, 9} {
			if wrong := pairs[n].Apart() - late; wrong.Abs() > 20*time.Millisecond {
				t.Errorf("clap %d: %v apart, want %v", second, pairs[n].Apart(), late)
			}
			if wrong := pairs[n].Beep - time.Duration(second)*time.Second; wrong.Abs() > 10*time.Millisecond { // ffmpeg is wrong by the encoder's delay
				t.Errorf("clap %d is at %v", second, pairs[n].Beep)
			}
		}
		if claps, err = Measure(t.Context(), name, Where{Tone: 3000}); err != nil || len(claps.Beeps) != 0 {
			t.Errorf("another tone is heard at %v: %v", claps.Beeps, err)
		}
	}
}

func TestDamageIsFound(t *testing.T) {
	Need(t)
	name := filepath.Join(t.TempDir(), "bad.mkv")
	if err := (File{End: 2 * time.Second}).Write(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[len(data)/2 : len(data)/2+2000])
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Decode(t.Context(), name); err == nil {
		t.Error("two thousand bytes are missing, and nobody complains")
	}
	if _, err := Measure(t.Context(), name, Where{}); err == nil {
		t.Error("two thousand bytes are missing, and are measured")
	}
}
