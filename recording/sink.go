package recording

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/track"
	"skillsage/sfu/media"
)

const (
	// screenIdle is how long the file of a screen waits for the share to go on, on another connection.
	screenIdle = 15 * time.Second
	// pictureWait is how long a voice waits for the camera beside it, whose codec decides on the format of their file.
	pictureWait = 2 * time.Second
)

var (
	errTooManyFiles = errors.New("the recording, or the participant's part of it, has too many files")
	errCodec        = errors.New("this codec can't be recorded")
)

// sink is where one participant's camera and voice go, or one screen with its sound: a file, and another one whenever a codec
// does not fit into the last.
type sink struct {
	// Static.
	session     *session
	participant string
	kind        manifest.Kind
	stream      string // of a screen
	base        string // what the names of its files have in common

	// Owned by the interview's goroutine.
	idle  time.Time // since when it has no source; zero: it has one
	ended bool

	readers      sync.WaitGroup
	pictures     atomic.Bool   // it has a source of pictures
	pictureKnown chan struct{} // closed when their codec is known
	pictureOnce  sync.Once     // for that

	mu      sync.Mutex // held while a file is written
	output  *output    // guarded by mu: the present file; nil: none
	active  [2]*reader // guarded by mu: who writes, by kind
	picture string     // guarded by mu: MIME type of the pictures; empty: not known yet
}

func newSink(s *session, participant string, kind manifest.Kind, stream, base string) *sink {
	return &sink{session: s, participant: participant, kind: kind, stream: stream, base: base, pictureKnown: make(chan struct{})}
}

// write gives an event to the present file, or to a new one if it does not fit there.
func (k *sink) write(r *reader, event *media.TapEvent) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.active[r.kind] != r {
		return nil
	}
	if r.kind == track.Video {
		k.picture = event.Codec.MimeType
		k.pictureOnce.Do(func() { close(k.pictureKnown) })
	}
	var err error
	for range 2 {
		if k.output == nil {
			if k.output, err = k.begin(event); err != nil {
				return err
			}
		}
		if r.output != k.output {
			r.output, r.input = k.output, k.output.writer.Input(r.kind, r.tap.RequestKeyFrame)
			k.output.begun(r.kind, event)
		}
		if err = r.input.Handle(*event); !errors.Is(err, track.ErrNextFile) {
			break
		}
		k.session.group.Go(k.output.finish)
		k.output = nil
	}
	if err == nil {
		k.output.measure()
	}
	return err
}

// begin makes the next file. mu is held.
func (k *sink) begin(event *media.TapEvent) (*output, error) {
	mimeType := event.Codec.MimeType
	if k.picture != "" {
		mimeType = k.picture
	}
	container, ok := track.Container(mimeType)
	if !ok {
		return nil, errCodec
	}
	return k.session.create(k, container)
}

// takeOver makes r the one who writes its kind, when what the one before has read is written if that has ended. False if there
// is a newer one meanwhile.
func (k *sink) takeOver(r *reader) bool {
	if r.kind == track.Audio {
		k.awaitPicture()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		before := k.active[r.kind]
		switch {
		case before == nil || before.finished():
			k.active[r.kind], r.follows = r, before != nil
			return true
		case before.number > r.number:
			return false
		}
		if !before.ended.Load() {
			before.tap.Close()
		}
		k.mu.Unlock()
		<-before.done
		k.mu.Lock()
	}
}

// awaitPicture waits until the first picture's codec is known, if there is to be one.
func (k *sink) awaitPicture() {
	if !k.pictures.Load() {
		return
	}
	timer := time.NewTimer(pictureWait)
	defer timer.Stop()
	select {
	case <-k.pictureKnown:
	case <-k.session.stopping:
	case <-timer.C:
	}
}

// end finishes the file in the background, when all sources have been read, which their readers see to.
func (k *sink) end() {
	k.session.group.Go(func() {
		k.readers.Wait()
		k.mu.Lock()
		o := k.output
		k.output = nil
		k.mu.Unlock()
		if o != nil {
			o.finish()
		}
	})
}
