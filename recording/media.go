package recording

// Media is where a Recorder takes media from: the relay.
type Media interface {
	// Tap tells t of the sources of a room, until stop is called or the room has ended. It fails for a room that the relay does not
	// know (yet).
	Tap(room string, t Tapper) (stop func(), err error)
}

// Tapper is told of sources.
type Tapper interface {
	SourceStarted(Source)
	SourceEnded(Source)
}

// Source is one track that a member publishes.
type Source interface {
	ID() int64
	Member() string
	Role() string
	Screen() bool
	Kind() string // "audio" or "video"
	Stream() string
}
