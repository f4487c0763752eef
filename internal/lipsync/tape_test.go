package lipsync

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"skillsage/recording"
	"skillsage/recording/manifest"
	"skillsage/recording/store"
	"skillsage/sfu"
	"skillsage/sfu/media"
)

// tape is a recorder, and what it has recorded.
type tape struct {
	t        *testing.T
	store    *store.Store
	recorder *recording.Recorder
	ended    chan recording.Event
}

func newTape(t *testing.T, dir string, engine *sfu.Engine) *tape {
	t.Helper()
	folders, err := store.Open(filepath.Join(dir, "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	p := &tape{t: t, store: folders, ended: make(chan recording.Event, 1)}
	p.recorder, err = recording.New(recording.Options{
		Store: folders, Media: recording.FromEngine(engine), Mode: recording.ModeAlways, MinFree: 1,
		OnEvent: func(e recording.Event) {
			if e.Type != recording.EventStarted {
				p.ended <- e
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// finish ends the recording, which is to have one file, and returns the name of that and the zero of the room clock.
func (p *tape) finish() (file string, zero time.Time) {
	p.t.Helper()
	if err := p.recorder.Stop(room, recording.API); err != nil {
		p.t.Fatal(err)
	}
	e := <-p.ended
	if len(e.Manifest.Files) != 1 || e.Type != recording.EventFinished {
		p.t.Fatalf("%s with the files %v: %s", e.Type, e.Manifest.Files, e.Detail)
	}
	if f := e.Manifest.Files[0]; !f.Complete || f.Kind != manifest.Camera || len(f.Tracks) != 2 {
		p.t.Errorf("the file is %+v", f)
	}
	return filepath.Join(e.Folder.Path(), e.Manifest.Files[0].Name), e.Manifest.Started
}

func (p *tape) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(p.recorder.Close(ctx), p.store.Close()); err != nil {
		p.t.Error(err)
	}
}

// stranger listens to what one member publishes, to know what the line has taken for good.
type stranger struct {
	t      *testing.T
	member string
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	kinds map[string]*heard // guarded by mu: by kind of source
}

// heard is what came of one kind.
type heard struct {
	packets, missing int
	holes            []time.Time // when the first packet after some that are missing was captured
}

func newStranger(t *testing.T, member string) *stranger {
	s := &stranger{t: t, member: member, kinds: map[string]*heard{"audio": {}, "video": {}}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

func (s *stranger) SourceStarted(source *sfu.TapSource) {
	if source.Member() != s.member {
		return
	}
	reader, err := source.Open(media.TapOptions{})
	if err != nil {
		s.t.Error(err)
		return
	}
	s.wg.Go(func() {
		defer reader.Close()
		hole := false
		for {
			event, err := reader.Next(s.ctx)
			if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
				return
			}
			if err != nil {
				s.t.Error(err)
				return
			}
			s.mu.Lock()
			h := s.kinds[source.Kind()]
			switch event.Kind {
			case media.TapGap:
				h.missing += int(event.Last - event.Sequence + 1)
				hole = true
			case media.TapPacket:
				h.packets++
				if hole {
					h.holes = append(h.holes, event.Captured)
				}
				hole = false
			}
			s.mu.Unlock()
		}
	})
}

func (s *stranger) SourceEnded(*sfu.TapSource) {}

func (s *stranger) close() {
	s.stop()
	s.wg.Wait()
}
