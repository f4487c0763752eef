package sfu

import (
	"errors"
	"slices"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/media"
)

// maxTappers bounds the tappers of one room.
const maxTappers = 8

// Errors of Engine.Tap.
var (
	ErrNoRoom         = errors.New("sfu: nobody is in that room")
	ErrTooManyTappers = errors.New("sfu: the room has too many tappers")
)

// Tapper is told of the sources of a room. Its methods are called on the room's
// goroutine, never two at a time, and must not block or call the Engine's Close; they may call
// TapSource.Open.
type Tapper interface {
	// SourceStarted tells of a source that a member publishes, by what it says: its
	// packets, if any, are still to come.
	SourceStarted(*TapSource)
	// SourceEnded tells that a source is not published any more, or that its member or
	// the room is gone. Its readers get io.EOF when they have read what there is.
	SourceEnded(*TapSource)
}

// RoomTapper is a Tapper that is told of the end of the room as well, like of the sources. A room of the same
// id may be there already by then: it is another one, and tapped anew.
type RoomTapper interface {
	Tapper
	RoomEnded()
}

// TapSource is one track that a member publishes: a voice, a camera, a screen or its
// sound, whichever connections it comes by. A camera that was opened again is another one.
// Immutable, and safe for concurrent use.
type TapSource struct {
	id     uint64
	member string
	role   string
	screen bool
	kind   webrtc.RTPCodecType
	stream string
	media  *media.Source
}

// ID is unique in the life of the Engine.
func (s *TapSource) ID() uint64 { return s.id }

// Member is the id of the member who publishes it.
func (s *TapSource) Member() string { return s.member }

// Role is that of the member when the source was first seen.
func (s *TapSource) Role() string { return s.role }

// Screen tells a shared screen and its sound from camera and voice.
func (s *TapSource) Screen() bool { return s.screen }

// Kind is "audio" or "video".
func (s *TapSource) Kind() string { return s.kind.String() }

// Stream is the id of the media stream that the member announced: what belongs together,
// like a camera and its voice, has the same.
func (s *TapSource) Stream() string { return s.stream }

// Open begins to copy the source's packets; see media.Source.Tap. It fails with
// media.ErrTapEnded or media.ErrTooManyTaps. The reader must be closed.
func (s *TapSource) Open(opts media.TapOptions) (*media.TapReader, error) { return s.media.Tap(opts) }

// Tap tells t of all sources of a room, until stop is called or the room has ended. Those
// that are there already come first, in a moment. A room without members is an error, and so are
// too many tappers. After stop has returned no new call of t's methods begins, but one
// may not have ended yet; readers go on.
func (e *Engine) Tap(roomID string, t Tapper) (stop func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rooms[roomID]
	if r == nil {
		return nil, ErrNoRoom
	}
	if r.tapped == maxTappers {
		return nil, ErrTooManyTappers
	}
	r.tapped++
	tapping := &tapping{to: t}
	r.inbox.push(func() { r.attach(tapping) })
	return func() {
		if tapping.stopped.Swap(true) {
			return
		}
		e.mu.Lock()
		r.tapped--
		e.mu.Unlock()
		r.inbox.push(func() { r.detach(tapping) })
	}, nil
}

// tapping is a Tapper of a room.
type tapping struct {
	to      Tapper
	stopped atomic.Bool
}

func (t *tapping) started(s *TapSource) {
	if !t.stopped.Load() {
		t.to.SourceStarted(s)
	}
}

func (t *tapping) ended(s *TapSource) {
	if !t.stopped.Load() {
		t.to.SourceEnded(s)
	}
}

// attach begins to tell a tapper.
func (r *room) attach(t *tapping) {
	if r.ended {
		return
	}
	for _, m := range r.everyone {
		for _, shown := range m.shown {
			t.started(shown.tap)
		}
	}
	r.tappers = append(r.tappers, t)
	r.showTaps() // nobody may have kept account before
}

func (r *room) detach(t *tapping) {
	r.tappers = slices.DeleteFunc(r.tappers, func(other *tapping) bool { return other == t })
	if len(r.tappers) > 0 {
		return
	}
	for _, m := range r.everyone {
		clear(m.shown)
	}
}

// endTaps tells the tappers that nothing more will come.
func (r *room) endTaps() {
	for _, t := range r.tappers {
		if to, wants := t.to.(RoomTapper); wants && !t.stopped.Load() {
			to.RoomEnded()
		}
	}
}

// tapKey tells what tappers see as one source: uploads of the same track in another codec or
// size are none of their own.
type tapKey struct {
	screen bool
	stream string
	kind   webrtc.RTPCodecType
}

// shownSource is what stands for such a track.
type shownSource struct {
	source *source
	tap    *TapSource
}

// showTaps tells the tappers of what is new.
func (r *room) showTaps() {
	if len(r.tappers) == 0 {
		return
	}
	for _, m := range r.everyone {
		for _, s := range m.sources {
			key := &s.key
			track := tapKey{key.screen, key.stream, key.kind}
			if _, known := m.shown[track]; known || key.small || m.hasEarlier(s) {
				continue
			}
			tap := &TapSource{
				id: r.engine.tapSources.Add(1), member: m.id, role: m.role, screen: s.screen,
				kind: key.kind, stream: key.stream, media: s.media,
			}
			m.shown[track] = shownSource{s, tap}
			for _, t := range r.tappers {
				t.started(tap)
			}
		}
	}
}

// hasEarlier tells whether the track of a source has been published longer in another codec.
func (m *member) hasEarlier(s *source) bool {
	for _, other := range m.sources {
		key := other.key
		if key.codec = s.key.codec; key == s.key && other.number < s.number && !other.key.small {
			return true
		}
	}
	return false
}

// hideTap tells the tappers of the end of a source.
func (r *room) hideTap(s *source) {
	for key, shown := range s.member.shown {
		if shown.source != s {
			continue
		}
		delete(s.member.shown, key)
		for _, t := range r.tappers {
			t.ended(shown.tap)
		}
	}
}
