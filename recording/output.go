package recording

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/matroska"
	"skillsage/recording/store"
	"skillsage/recording/track"
	"skillsage/sfu/media"
)

const (
	application    = "skillsage" // who has written a file, in its head
	measureEvery   = time.Second
	keyFrames      = 10 * time.Second // the longest way to where a player can begin to decode
	hashBufferSize = 256 << 10
)

// output is one file that is being written.
type output struct {
	session   *session
	sink      *sink
	name      string
	container string
	file      *os.File
	writer    *track.FileWriter

	// Guarded by sink.mu.
	size     int64 // that has been counted
	measured time.Time
}

// create makes the next file of a sink. It is called by readers.
func (s *session) create(k *sink, container string) (*output, error) {
	s.fileMu.Lock()
	if s.made[""] == maxFiles || s.made[k.participant] == maxFilesOfOne {
		s.fileMu.Unlock()
		return nil, errTooManyFiles
	}
	s.made[""]++
	s.made[k.participant]++
	s.files[k.base]++
	n := s.files[k.base]
	s.fileMu.Unlock()
	name := k.base
	if n > 1 {
		name = fmt.Sprintf("%s-%d", name, n)
	}
	name += extension(container)
	f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, store.FileMode)
	if err != nil {
		return nil, err
	}
	w, err := track.Create(f, track.Options{
		Container: container, Zero: s.zero, Application: application, Wait: tapWait, KeyFrames: keyFrames, Synced: s.iv.recorder.count.synced,
	})
	if err == nil {
		err = manifest.SyncDir(s.root)
	}
	if err != nil {
		if w != nil {
			_, _ = w.Finish()
		}
		_ = f.Close()
		_ = s.root.Remove(name)
		return nil, err
	}
	entry := manifest.File{Name: name, Participant: k.participant, Kind: k.kind, Container: container, Start: s.at(time.Now())}
	s.iv.post(func() { s.setFile(entry) })
	return &output{session: s, sink: k, name: name, container: container, file: f, writer: w}, nil
}

// extension is what the names of a container's files end with.
func extension(container string) string {
	if container == matroska.Matroska {
		return ".mkv"
	}
	return ".webm"
}

// containerOf is what the name of a file says of its container.
func containerOf(name string) string {
	if path.Ext(name) == extension(matroska.Matroska) {
		return matroska.Matroska
	}
	return matroska.WebM
}

// begun says in the manifest that there is a track. sink.mu is held.
func (o *output) begun(kind track.Kind, event *media.TapEvent) {
	s := o.session
	t := manifest.Track{Kind: kindName(kind), Codec: codecName(event.Codec.MimeType), Start: s.at(event.Captured)}
	s.iv.post(func() { s.addTrack(o.name, t) })
}

// measure counts what has been written. sink.mu is held.
func (o *output) measure() {
	if now := time.Now(); now.Sub(o.measured) >= measureEvery {
		o.measured = now
		o.count(o.writer.Size())
	}
}

func (o *output) count(size int64) {
	if size > o.size {
		o.session.iv.recorder.count.bytes.Add(uint64(size - o.size))
		o.size = size
	}
}

// finish completes the file, and says in the manifest what came of it.
func (o *output) finish() {
	s := o.session
	info, err := o.writer.Finish()
	if errors.Is(err, matroska.ErrEmpty) {
		err := errors.Join(o.file.Close(), s.root.Remove(o.name))
		s.iv.post(func() { s.fileGone(o.name, err) })
		return
	}
	if !info.Complete {
		if there, err := matroska.Inspect(o.file); err == nil {
			info = there
		}
	}
	entry := describe(o.name, info)
	entry.Participant, entry.Kind, entry.Container = o.sink.participant, o.sink.kind, o.container
	o.count(entry.Size)
	if entry.Complete {
		entry.SHA256 = checksum(s.iv.recorder.hashing, o.file)
	}
	err = errors.Join(err, o.file.Close())
	s.iv.post(func() { s.fileDone(entry, err) })
}

// describe is a file's entry in the manifest, as far as the file tells.
func describe(name string, info matroska.Info) manifest.File {
	f := manifest.File{
		Name: name, Container: info.DocType, Start: manifest.ToSeconds(info.Start), Duration: manifest.ToSeconds(info.End - info.Start),
		Size: info.Size, Complete: info.Complete,
	}
	for _, t := range info.Tracks {
		kind := track.Audio
		if t.Video() {
			kind = track.Video
		}
		f.Tracks = append(f.Tracks, manifest.Track{
			Kind: kindName(kind), Codec: trackCodecs[t.Codec], Width: t.Width, Height: t.Height, Start: manifest.ToSeconds(t.First),
		})
	}
	return f
}

// trackCodecs are the names of codecs in the manifest, by those in files.
var trackCodecs = map[string]string{
	matroska.VP8: "VP8", matroska.VP9: "VP9", matroska.AV1: "AV1", matroska.H264: "H264", matroska.Opus: "Opus",
}

// codecName is the name of a codec in the manifest.
func codecName(mimeType string) string {
	_, subtype, _ := strings.Cut(mimeType, "/")
	for _, name := range trackCodecs {
		if strings.EqualFold(name, subtype) {
			return name
		}
	}
	return subtype
}

// checksum is the SHA-256 of a file in hexadecimal; empty if it can't be read, or ctx is over.
func checksum(ctx context.Context, f *os.File) string {
	hash := sha256.New()
	buffer := make([]byte, hashBufferSize)
	for at := int64(0); ctx.Err() == nil; {
		n, err := f.ReadAt(buffer, at)
		hash.Write(buffer[:n])
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(hash.Sum(nil))
		case err != nil:
			return ""
		}
	}
	return ""
}
