// Package matroska writes WebM and Matroska files (RFC 9559) that play at every
// moment of their life: while they are written, after a crash, and finished.
//
// A file begins with a head of fixed size, which is written anew in place
// whenever it changes: a track comes, a picture grows, the file is finished.
// Clusters of known size follow, each put there by one write and forced to the
// disk. Finish appends Cues and fills in sizes, duration and the place of the
// Cues; Repair does the same for a file whose writer has died, and cuts off what
// was torn.
//
// Timestamps are milliseconds on a clock of the caller's; they need not begin at 0.
package matroska

import (
	"errors"
	"strings"
	"time"
)

// The document types: WebM is for VP8, VP9, AV1 and Opus only.
const (
	WebM     = "webm"
	Matroska = "matroska"
)

// Codec identifiers (RFC 9559 section 5.1.4.1.21 and the codec mappings).
const (
	VP8  = "V_VP8"
	VP9  = "V_VP9"
	AV1  = "V_AV1"
	H264 = "V_MPEG4/ISO/AVC"
	Opus = "A_OPUS"
)

// MaxFrame is the largest frame that is written, in bytes.
const MaxFrame = 16 << 20

var (
	// ErrFull tells that the head has no room for another track.
	ErrFull = errors.New("no room for another track in the head of the file")
	// ErrEmpty tells that a file holds nothing worth keeping: its writer died before the head was there, or a frame.
	ErrEmpty = errors.New("the file holds no media")
	// ErrForeign tells that this package has not written a file.
	ErrForeign = errors.New("not a file of this package's making")
	// ErrDamaged tells that a file is broken elsewhere than at its end, as no crash leaves it.
	ErrDamaged = errors.New("the file is damaged")
)

// Options of a new file.
type Options struct {
	DocType     string    // WebM or Matroska
	Date        time.Time // the instant of timestamp 0; zero: not told
	Application string    // who writes; at most 64 bytes are kept
	// Synced is told how long it took to force clusters to the disk, each time; nil: nobody is.
	Synced func(time.Duration)
}

// Track describes a track.
type Track struct {
	Codec    string        // one of the identifiers above
	Private  []byte        // CodecPrivate
	Width    int           // of a picture, in pixels
	Height   int           //
	Channels int           // of sound
	Delay    time.Duration // CodecDelay: what the decoder puts out late
	PreRoll  time.Duration // SeekPreRoll: what has to be decoded before the place that is sought
}

// Video tells whether it is a track of pictures.
func (t *Track) Video() bool { return strings.HasPrefix(t.Codec, "V_") }

// TrackInfo is what there is of a track.
type TrackInfo struct {
	Track
	Number int
	Frames int
	First  time.Duration // of its first frame
	End    time.Duration // of its last frame, with that frame's duration as far as it is known
}

// Info is what there is of a file.
type Info struct {
	DocType  string
	Date     time.Time
	Start    time.Duration // the earliest frame
	End      time.Duration // the end of the last one; the Duration that players show
	Tracks   []TrackInfo   // those that have frames
	Size     int64         // of the file, in bytes
	Complete bool          // it has been finished
	Torn     int64         // bytes behind the last whole cluster of a file that has not been finished
}
