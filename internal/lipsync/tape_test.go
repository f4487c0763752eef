package lipsync

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"skillsage/recording/matroska"
	"skillsage/recording/track"
	"skillsage/sfu"
	"skillsage/sfu/media"
)

// tape writes what one member publishes into a file.
type tape struct {
	t      *testing.T
	member string
	file   *os.File
	writer *track.FileWriter
	ctx    context.Context
	stop   context.CancelFunc
	zero   time.Time
	wg     sync.WaitGroup

	// Each owned by the goroutine of its kind; to be read after wg.Wait.
	packets, missing [2]int             // by track.Kind
	holes            [2][]time.Duration // ends of gaps, in the file
}

func newTape(t *testing.T, dir, member string, zero time.Time, now func() time.Time) *tape {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "claps.webm"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	tape := &tape{t: t, member: member, file: f, zero: zero}
	tape.ctx, tape.stop = context.WithCancel(context.Background())
	if tape.writer, err = track.Create(f, track.Options{Container: matroska.WebM, Zero: zero, Now: now}); err != nil {
		t.Fatal(err)
	}
	return tape
}

func (p *tape) SourceStarted(s *sfu.TapSource) {
	if s.Member() != p.member {
		return
	}
	reader, err := s.Open(media.TapOptions{})
	if err != nil {
		p.t.Error(err)
		return
	}
	kind := track.Audio
	if s.Kind() == "video" {
		kind = track.Video
	}
	input := p.writer.Input(kind, reader.RequestKeyFrame)
	p.wg.Go(func() {
		defer reader.Close()
		hole := false
		for {
			event, err := reader.Next(p.ctx)
			if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
				return
			}
			if err != nil {
				p.t.Error(err)
				return
			}
			switch event.Kind {
			case media.TapGap:
				p.missing[kind] += int(event.Last - event.Sequence + 1)
				hole = true
			case media.TapPacket:
				p.packets[kind]++
				if hole {
					p.holes[kind] = append(p.holes[kind], event.Captured.Sub(p.zero))
					hole = false
				}
			}
			if err := input.Handle(event); err != nil {
				p.t.Error(err)
				return
			}
		}
	})
}

func (p *tape) SourceEnded(*sfu.TapSource) {}

// finish ends the file and returns its name.
func (p *tape) finish() string {
	p.t.Helper()
	p.stop()
	p.wg.Wait()
	if _, err := p.writer.Finish(); err != nil {
		p.t.Error(err)
	}
	if err := p.file.Close(); err != nil {
		p.t.Error(err)
	}
	return p.file.Name()
}
