// Package frames puts the payloads of RTP packets together to the frames that
// decoders and files take. It is pure: packets come in their order, each once,
// and whoever calls it tells when some are missing.
//
// After a loss pictures are left out up to the next key frame: without what was
// lost, those in between can't be decoded whole.
package frames

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxFrame is the largest picture that is put together, in bytes; a larger one counts as lost.
const MaxFrame = 4 << 20

// ErrUnsupported tells that there is no way to put the frames of a codec together.
var ErrUnsupported = errors.New("codec not supported")

// Packet is what matters of an RTP packet.
type Packet struct {
	Timestamp int64 // in units of the codec's clock, without wraps
	Marker    bool
	Payload   []byte    // empty: padding
	Captured  time.Time // when what it shows was taken
}

// Frame is a picture, or a packet of sound.
type Frame struct {
	Data      []byte // valid until the function returns that it was given to
	Timestamp int64
	Captured  time.Time // of the first packet

	// Key: decoding may begin here. The other fields are of key frames only.
	Key     bool
	Width   int // of the picture in pixels; 0: not known
	Height  int
	Private []byte // what a file has to tell a decoder beforehand (avcC, av1C); nil: nothing
}

// Assembler puts frames together. It is for one goroutine.
type Assembler struct {
	format format
	sound  bool

	open      bool // a frame has begun
	broken    bool // and can't become whole
	size      int  // bytes of its payloads
	timestamp int64
	captured  time.Time

	waiting bool // for a key frame
}

// format is what is particular to a codec's frames.
type format interface {
	// begin forgets the last frame. waiting: only a key frame will do.
	begin(waiting bool)
	// add takes the next payload of the frame. An error: it can't become whole.
	add(payload []byte) error
	// finish completes the frame, as far as its content tells.
	finish(*Frame) error
}

var errFrame = errors.New("not a whole frame")

// New makes an Assembler for a codec, named as in SDP ("video/VP8") with its format parameters.
// It fails with ErrUnsupported.
func New(mimeType, parameters string) (*Assembler, error) {
	a := &Assembler{waiting: true}
	switch strings.ToLower(mimeType) {
	case "video/vp8":
		a.format = &vp8{}
	case "video/vp9":
		a.format = &vp9{}
	case "video/av1":
		a.format = &av1{}
	case "video/h264":
		a.format = newH264(parameters)
	case "audio/opus":
		a.format, a.sound, a.waiting = &opus{}, true, false
	default:
		return nil, fmt.Errorf("%w: %s", ErrUnsupported, mimeType)
	}
	return a, nil
}

// Push takes the next packet and calls emit for each frame that it completes, at
// most two.
func (a *Assembler) Push(p Packet, emit func(Frame)) {
	if len(p.Payload) == 0 {
		return
	}
	if a.open && p.Timestamp != a.timestamp {
		a.close(emit) // nothing is missing, so its sender sets no marker
	}
	if !a.open {
		a.open, a.broken, a.size = true, false, 0
		a.timestamp, a.captured = p.Timestamp, p.Captured
		a.format.begin(a.waiting)
	}
	a.size += len(p.Payload)
	if !a.broken && (a.size > MaxFrame || a.format.add(p.Payload) != nil) {
		a.broken = true
	}
	if p.Marker || a.sound {
		a.close(emit)
	}
}

func (a *Assembler) close(emit func(Frame)) {
	a.open = false
	frame := Frame{Timestamp: a.timestamp, Captured: a.captured}
	if a.broken || a.format.finish(&frame) != nil {
		a.Lost()
		return
	}
	if a.waiting && !frame.Key {
		return
	}
	a.waiting = false
	emit(frame)
}

// Lost tells that packets are missing between the last one and the next, or that
// the next is of another encoder.
func (a *Assembler) Lost() {
	a.open = false
	a.waiting = !a.sound
}

// NeedsKeyFrame tells whether pictures are left out until a key frame comes.
func (a *Assembler) NeedsKeyFrame() bool { return a.waiting }
