package recording

import (
	"skillsage/sfu"
	"skillsage/sfu/media"
)

// Media is where a Recorder takes media from: FromEngine.
type Media interface {
	// Tap tells t of the sources of a room, until stop is called or the room has ended. It fails for a room that the relay does not
	// know (yet).
	Tap(room string, t Tapper) (stop func(), err error)
}

// Tapper is told of sources, as sfu.RoomTapper is.
type Tapper interface {
	SourceStarted(Source)
	SourceEnded(Source)
	RoomEnded()
}

// Source is one track that a member publishes, as sfu.TapSource is.
type Source interface {
	ID() uint64
	Member() string
	Screen() bool
	Kind() string // "audio" or "video"
	Stream() string
	Open(media.TapOptions) (*media.TapReader, error)
}

// FromEngine takes media from the relay.
func FromEngine(e *sfu.Engine) Media { return engine{e} }

type engine struct{ *sfu.Engine }

func (e engine) Tap(room string, t Tapper) (stop func(), err error) {
	return e.Engine.Tap(room, engineTapper{t})
}

type engineTapper struct{ to Tapper }

func (t engineTapper) SourceStarted(s *sfu.TapSource) { t.to.SourceStarted(s) }
func (t engineTapper) SourceEnded(s *sfu.TapSource)   { t.to.SourceEnded(s) }
func (t engineTapper) RoomEnded()                     { t.to.RoomEnded() }
