package recording

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"skillsage/sfu/media"
)

// stage is a relay without connections: the test says who publishes what.
type stage struct {
	mu      sync.Mutex
	rooms   map[string]bool // which exist
	tappers []*stageTap
	sources []*stageSource
}

type stageTap struct {
	room string
	to   Tapper
}

func (s *stage) Tap(room string, t Tapper) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rooms[room] {
		return nil, errors.New("no such room")
	}
	tap := &stageTap{room, t}
	s.tappers = append(s.tappers, tap)
	for _, source := range s.sources {
		if source.room == room {
			t.SourceStarted(source)
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		tap.room = ""
	}, nil
}

func (s *stage) open(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rooms[room] = true
}

// end ends a room as the relay knows it; opened again it is another one.
func (s *stage) end(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rooms, room)
	s.sources = slices.DeleteFunc(s.sources, func(source *stageSource) bool { return source.room == room })
	for _, tap := range s.tappers {
		if tap.room == room {
			tap.room = ""
			tap.to.RoomEnded()
		}
	}
}

func (s *stage) publish(room, member, kind string) *stageSource {
	s.mu.Lock()
	defer s.mu.Unlock()
	source := &stageSource{id: sourceIDs.Add(1), room: room, member: member, kind: kind}
	s.sources = append(s.sources, source)
	for _, tap := range s.tappers {
		if tap.room == room {
			tap.to.SourceStarted(source)
		}
	}
	return source
}

var sourceIDs atomic.Uint64

type stageSource struct {
	id                 uint64
	room, member, kind string
}

func (s *stageSource) ID() uint64     { return s.id }
func (s *stageSource) Member() string { return s.member }
func (s *stageSource) Screen() bool   { return false }
func (s *stageSource) Kind() string   { return s.kind }
func (s *stageSource) Stream() string { return "stream" }

func (s *stageSource) Open(media.TapOptions) (*media.TapReader, error) { return nil, media.ErrTapEnded }
