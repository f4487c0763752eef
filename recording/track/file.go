// Package track writes what a tap hands out into a file: the camera and voice of a
// participant, or a screen with its sound.
package track

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"skillsage/recording/frames"
	"skillsage/recording/matroska"
	"skillsage/sfu/media"
)

// The times of a file: what arrives is on the disk within a second.
const (
	tick      = 100 * time.Millisecond
	flushAge  = 600 * time.Millisecond // of the oldest frame that waits
	mergeTime = 200 * time.Millisecond // how far sound and picture of the same time may arrive apart to be side by side in the file
	future    = time.Second            // how far ahead of the clock something may claim to be captured
	askAgain  = time.Second            // for a key frame
	// lateSound is how long after the first picture sound may begin. Chromium plays nothing
	// before it has found the beginning of each track, and pictures in front of it may be a hundred megabytes.
	lateSound = 10 * time.Second
)

// ErrNextFile tells that something does not fit into the file: a codec that its container
// does not have, another one for its picture, or sound long after the first picture. It goes
// into a new file.
var ErrNextFile = errors.New("does not fit into the file")

// Kind is that of a source.
type Kind int

// The kinds.
const (
	Audio Kind = iota
	Video
)

// Container names the document type that a codec's file has: matroska.WebM where that may be.
// The codec is named as in SDP, without regard to case; ok is false if it can't be recorded.
func Container(mimeType string) (docType string, ok bool) {
	switch codecID(mimeType) {
	case "":
		return "", false
	case matroska.H264:
		return matroska.Matroska, true
	}
	return matroska.WebM, true
}

func codecID(mimeType string) string {
	return map[string]string{
		"video/vp8":  matroska.VP8,
		"video/vp9":  matroska.VP9,
		"video/av1":  matroska.AV1,
		"video/h264": matroska.H264,
		"audio/opus": matroska.Opus,
	}[strings.ToLower(mimeType)]
}

// Options of a file.
type Options struct {
	Container   string    // matroska.WebM or matroska.Matroska
	Zero        time.Time // of the room clock: timestamps in the file count from here
	Application string    // who writes, for the file
	// Wait is how long the taps wait for missing packets, default 3 s: so much later
	// than a picture its sound may come.
	Wait time.Duration
	// KeyFrames is how often a key frame is asked for if none comes by itself; 0: never. Players
	// seek to key frames and decode from there on.
	KeyFrames time.Duration
	// Synced is told how long it took to force what was written to the disk, each time; nil: nobody is.
	Synced func(time.Duration)
}

// FileWriter writes one file. Its methods and those of its inputs may be called
// from several goroutines; but for Size they may wait for the disk.
type FileWriter struct {
	opts  Options
	stop  chan struct{}
	ended chan struct{}
	size  atomic.Int64

	mu       sync.Mutex
	w        *matroska.Writer
	err      error
	finished bool
	inputs   [2]*Input    // by kind: the present ones
	tracks   [2]fileTrack // by kind
	sound    soundTrack
	oldest   time.Time     // when the oldest waiting frame arrived; zero: none waits
	first    time.Duration // of the pictures
	latest   time.Duration
}

type fileTrack struct {
	number int // in the file; 0: there is none
	codec  string
}

// Input is a source of the file. Sources of a kind follow each other: an input ends when
// there is a newer one.
type Input struct {
	file    *FileWriter
	kind    Kind
	request func()

	// Guarded by the file's mutex.
	codec     media.Codec
	assembler *frames.Assembler
	asked     time.Time // for a key frame
	key       time.Time // when the last one came
	level     int
	tooLate   bool // the sound of the event that is being handled is
}

// Create begins a file, which must be empty. It has to be finished; closing f stays
// with the caller.
func Create(f *os.File, opts Options) (*FileWriter, error) {
	if opts.Wait <= 0 {
		opts.Wait = 3 * time.Second
	}
	w, err := matroska.Create(f, matroska.Options{DocType: opts.Container, Date: opts.Zero, Application: opts.Application, Synced: opts.Synced})
	if err != nil {
		return nil, err
	}
	file := &FileWriter{opts: opts, w: w, stop: make(chan struct{}), ended: make(chan struct{})}
	file.size.Store(w.Size())
	go file.run()
	return file, nil
}

// run writes what has waited long enough.
func (f *FileWriter) run() {
	defer close(f.ended)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-ticker.C:
			f.mu.Lock()
			f.tick()
			f.mu.Unlock()
		}
	}
}

// Input begins a source. request asks its publisher for a key frame; it is called with
// the file's mutex held, and may be nil for audio.
func (f *FileWriter) Input(kind Kind, request func()) *Input {
	in := &Input{file: f, kind: kind, request: request}
	f.mu.Lock()
	f.inputs[kind] = in
	f.mu.Unlock()
	return in
}

// Size is that of the file on the disk, in bytes. It does not wait for the disk.
func (f *FileWriter) Size() int64 { return f.size.Load() }

// Handle takes the next event of the input's tap. ErrNextFile: the event belongs into a new
// file. frames.ErrUnsupported: into none. Other errors are of the disk, and final.
func (in *Input) Handle(event media.TapEvent) error {
	f := in.file
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.finished:
		return os.ErrClosed
	case f.err != nil:
		return f.err
	case f.inputs[in.kind] != in:
		return nil
	}
	switch event.Kind {
	case media.TapCodec:
		return in.use(event.Codec)
	case media.TapGap, media.TapSwitch:
		if in.assembler != nil {
			in.assembler.Lost()
			in.ask()
		}
	case media.TapPacket:
		if in.assembler == nil || in.codec != event.Codec {
			if err := in.use(event.Codec); err != nil {
				return err
			}
		}
		in.level, in.tooLate = event.Level, false
		in.assembler.Push(frames.Packet{
			Timestamp: event.Timestamp,
			Marker:    event.Marker,
			Payload:   event.Payload,
			Captured:  event.Captured,
		}, in.frame)
		in.ask()
		if in.tooLate {
			return fmt.Errorf("sound %v after the first picture: %w", lateSound, ErrNextFile)
		}
	}
	return f.err
}

// use prepares for a codec.
func (in *Input) use(codec media.Codec) error {
	id := codecID(codec.MimeType)
	assembler, err := frames.New(codec.MimeType, codec.FMTP)
	switch track := in.file.tracks[in.kind]; {
	case err != nil:
		return err
	case (id == matroska.Opus) != (in.kind == Audio):
		return fmt.Errorf("%w: %s", frames.ErrUnsupported, codec.MimeType)
	case id == matroska.H264 && in.file.opts.Container != matroska.Matroska, track.number != 0 && track.codec != id:
		return fmt.Errorf("%s: %w", codec.MimeType, ErrNextFile)
	}
	in.codec, in.assembler = codec, assembler
	in.ask()
	return nil
}

// ask asks for a key frame if one is needed.
func (in *Input) ask() {
	if in.kind != Video || in.request == nil || in.assembler == nil {
		return
	}
	now := time.Now()
	every := in.file.opts.KeyFrames
	due := every > 0 && !in.key.IsZero() && now.Sub(in.key) >= every
	if (in.assembler.NeedsKeyFrame() || due) && now.Sub(in.asked) >= askAgain {
		in.asked = now
		in.request()
	}
}

// frame takes a whole frame.
func (in *Input) frame(frame frames.Frame) {
	f := in.file
	if f.err != nil {
		return
	}
	now := time.Now()
	at := frame.Captured.Sub(f.opts.Zero)
	if ahead := now.Sub(f.opts.Zero) + future; at > ahead {
		at = ahead
	}
	track := &f.tracks[in.kind]
	if in.kind == Audio {
		pictures := f.tracks[Video].number != 0
		if in.tooLate = track.number == 0 && pictures && at > f.first+lateSound; in.tooLate || at < 0 {
			return
		}
		if track.number == 0 && !f.add(track, opusTrack(in.codec, frame.Data)) {
			return
		}
		f.sound.write(at, frame.Data, in.level, f.put)
		return
	}
	at = max(at, 0)
	if frame.Key {
		in.key = now
		if track.number == 0 {
			f.first = at
			if !f.add(track, matroska.Track{
				Codec:   codecID(in.codec.MimeType),
				Private: frame.Private,
				Width:   frame.Width,
				Height:  frame.Height,
			}) {
				return
			}
		}
		f.w.Resize(track.number, frame.Width, frame.Height)
	}
	f.latest = max(f.latest, at)
	f.write(track.number, at, frame.Key, frame.Data)
}

func (f *FileWriter) add(track *fileTrack, t matroska.Track) bool {
	number, err := f.w.AddTrack(t)
	if err != nil {
		f.err = err
		return false
	}
	track.number, track.codec = number, t.Codec
	return true
}

func (f *FileWriter) put(at time.Duration, packet []byte) {
	f.write(f.tracks[Audio].number, at, true, packet)
}

func (f *FileWriter) write(number int, at time.Duration, key bool, data []byte) {
	if f.err != nil {
		return
	}
	if f.oldest.IsZero() {
		f.oldest = time.Now()
	}
	f.err = f.w.WriteFrame(number, at, key, data)
}

// tick writes what has waited long enough. f.mu is held.
func (f *FileWriter) tick() {
	if f.err != nil || f.finished {
		return
	}
	now := time.Now()
	since := now.Sub(f.opts.Zero)
	// Sound that does not come any more is silence as long as there are pictures.
	f.sound.fill(min(since-f.opts.Wait-time.Second, f.latest), f.put)
	if f.oldest.IsZero() || now.Sub(f.oldest) < flushAge {
		return
	}
	f.oldest = time.Time{}
	if f.err = f.w.Flush(since - mergeTime); f.err == nil && f.w.Pending() > 0 {
		f.oldest = now.Add(-mergeTime)
	}
	f.size.Store(f.w.Size())
}

// Finish completes the file, also after an error of the disk as far as that can be
// done, and tells what is in it. matroska.ErrEmpty: there is nothing.
func (f *FileWriter) Finish() (matroska.Info, error) {
	f.mu.Lock()
	again := f.finished
	f.finished = true
	f.mu.Unlock()
	if again {
		return matroska.Info{}, os.ErrClosed
	}
	close(f.stop)
	<-f.ended
	return f.w.Finish()
}
