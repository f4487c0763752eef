package sfu_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"os/exec"
	"sync"
	"testing"
	"time"

	"skillsage/sfu"
)

// TestOpusReachesACommand runs the example with a command that copies.
func TestOpusReachesACommand(t *testing.T) {
	t.Parallel()
	engine, leave := sfu.Call(t)
	var mu sync.Mutex
	voices := map[string]*bytes.Buffer{} // to be read when the commands have ended
	pipe := &opusPipe{ctx: t.Context(), log: slog.New(slog.NewTextHandler(t.Output(), nil)), command: func(ctx context.Context, s *sfu.TapSource) *exec.Cmd {
		mu.Lock()
		defer mu.Unlock()
		voices[s.Member()] = new(bytes.Buffer)
		cmd := exec.CommandContext(ctx, "cat")
		cmd.Stdout = voices[s.Member()]
		return cmd
	}}
	stop, err := engine.Tap("room", pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	time.Sleep(4 * time.Second) // of voice
	leave()
	pipe.running.Wait()
	for _, member := range []string{"R", "C"} {
		ogg := voices[member].Bytes()
		last := bytes.LastIndex(ogg, []byte("OggS"))
		if !bytes.HasPrefix(ogg, []byte("OggS")) || !bytes.Contains(ogg, []byte("OpusHead")) || last+14 > len(ogg) {
			t.Fatalf("%s: no Ogg stream: % .80x", member, ogg)
		}
		// RFC 7845 section 4: a page's granule position is the number of samples up to its end.
		if seconds := float64(binary.LittleEndian.Uint64(ogg[last+6:])) / 48000; seconds < 1 || seconds > 30 {
			t.Errorf("%s: %.1f s of voice", member, seconds)
		}
	}
}
