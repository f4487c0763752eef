package recording

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"skillsage/recording/frames"
	"skillsage/recording/manifest"
	"skillsage/recording/matroska"
	"skillsage/recording/track"
	"skillsage/sfu/media"
)

const tapWait = 3 * time.Second // for repairs

// Of the events of one source more than these are only counted.
const (
	eventRate  = rate.Limit(1) // per second
	eventBurst = 20
)

// reader takes one source to its sink. It has a goroutine, run.
type reader struct {
	// Static.
	sink   *sink
	track  *roomTrack
	kind   track.Kind
	number int       // a newer one's is higher
	from   time.Time // nothing is recorded that was captured before
	tap    *media.TapReader
	done   chan struct{} // closed when run has ended

	ended atomic.Bool // the source has; what there is of it is still to be read

	// Guarded by sink.mu.
	output *output
	input  *track.Input

	// Owned by run.
	follows bool // there was another source before it
	limit   *rate.Limiter
	codec   string    // MIME type
	gap     time.Time // since when media are missing; zero: they are not
}

func newReader(k *sink, t *roomTrack, number int, tap *media.TapReader) *reader {
	r := &reader{sink: k, track: t, kind: track.Video, number: number, from: time.Now(), tap: tap, done: make(chan struct{}), limit: rate.NewLimiter(eventRate, eventBurst)}
	if t.source.Kind() == kindName(track.Audio) {
		r.kind = track.Audio
	}
	return r
}

func (r *reader) run() {
	s := r.sink.session
	err := r.read()
	r.tap.Close()
	close(r.done)
	s.iv.post(func() { s.readerDone(r, err) })
}

func (r *reader) finished() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// read reads until there is no more, the recording has ended, or an error of writing.
func (r *reader) read() error {
	s := r.sink.session
	began := false
	for {
		event, err := r.tap.Next(context.Background())
		if err != nil {
			return nil // the end of the source, or of the recording
		}
		packet := event.Kind == media.TapPacket
		if packet && event.Captured.Before(r.from) {
			continue
		}
		if until := s.wish.until.Load(); packet && until != nil && event.Captured.After(*until) {
			return nil
		}
		if packet && !began || event.Kind == media.TapCodec {
			if _, ok := track.Container(event.Codec.MimeType); !ok {
				return errCodec
			}
			if !began && !r.sink.takeOver(r) {
				return nil
			}
			began = true
		}
		if began {
			if err := r.sink.write(r, &event); err != nil {
				return err
			}
		}
		if began && r.follows {
			r.follows = false
			r.tell(event.Captured, manifest.Event{Type: manifest.Source})
		}
		r.note(&event)
	}
}

// note counts, and puts down what is worth it.
func (r *reader) note(event *media.TapEvent) {
	count := &r.sink.session.iv.recorder.count
	switch event.Kind {
	case media.TapPacket:
		if r.kind == track.Audio || event.Marker {
			count.frames.Add(1)
		}
		if !r.gap.IsZero() {
			r.tell(r.gap, manifest.Event{Type: manifest.Gap, Duration: manifest.ToSeconds(max(event.Captured.Sub(r.gap), 0))})
			r.gap = time.Time{}
		}
	case media.TapGap:
		count.gaps.Add(1)
		if event.Reason == media.GapOverflow {
			count.overflows.Add(1)
		}
		if r.gap.IsZero() {
			r.gap = event.Captured
		}
	case media.TapSwitch:
		r.tell(event.Captured, manifest.Event{Type: manifest.Source})
	case media.TapCodec:
		if r.codec != "" && r.codec != event.Codec.MimeType {
			r.tell(event.Captured, manifest.Event{Type: manifest.Codec, Detail: codecName(event.Codec.MimeType)})
		}
		r.codec = event.Codec.MimeType
	case media.TapMuted:
		r.tell(event.Captured, manifest.Event{Type: manifest.Mute})
	case media.TapUnmuted:
		r.tell(event.Captured, manifest.Event{Type: manifest.Unmute})
	}
}

// tell has an event put down.
func (r *reader) tell(at time.Time, e manifest.Event) {
	s := r.sink.session
	if at.IsZero() {
		at = time.Now()
	}
	if !r.limit.Allow() {
		return
	}
	e.Participant, e.Track = r.sink.participant, kindName(r.kind)
	r.sink.mu.Lock()
	if r.output != nil {
		e.File = r.output.name
	}
	r.sink.mu.Unlock()
	s.iv.post(func() { s.event(at, e) })
}

func kindName(k track.Kind) string {
	if k == track.Audio {
		return "audio"
	}
	return "video"
}

// fatal tells whether an error of a reader is the end of the recording, and not only of what it has read: what a participant
// sends never is.
func fatal(err error) bool {
	for _, own := range []error{errCodec, errTooManyFiles, frames.ErrUnsupported, matroska.ErrFull, track.ErrNextFile} {
		if errors.Is(err, own) {
			return false
		}
	}
	return err != nil
}
