package matroska

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

const (
	clusterTime  = 1000    // ms of media in a cluster, at most
	clusterBytes = 2 << 20 // in a cluster, but for its last frame
	pendingBytes = 8 << 20 // in memory, at most; then all is written
	maxTime      = 1 << 40 // ms
	flagKey      = 0x80
	blockHeader  = 4 // bytes: track, time in the cluster, flags
)

// Writer writes a file. Frames wait in memory until Flush, which puts them into
// clusters in the order of their times. A Writer is for one goroutine.
//
// After an error of the disk it writes nothing more, but Finish still finishes
// what is there.
type Writer struct {
	file    *os.File
	synced  func(time.Duration)
	head    *head
	stale   bool // the head on the disk is not the one in memory
	index   *index
	pending []frame
	arena   []byte // their data, one after the other
	spare   []byte // the arena before
	last    [maxTracks + 1]int64
	out     []byte
	err     error // of the disk
	done    bool
}

type frame struct {
	track      int
	time       int64 // ms
	key, video bool
	from, to   int // in the arena
}

// Create begins a file: the head is on the disk when it returns. The file must be
// empty; closing it stays with the caller.
func Create(f *os.File, opts Options) (*Writer, error) {
	if opts.DocType != WebM && opts.DocType != Matroska {
		return nil, fmt.Errorf("no document type %q", opts.DocType)
	}
	if stat, err := f.Stat(); err != nil || stat.Size() > 0 {
		return nil, cmp.Or(err, os.ErrExist)
	}
	w := &Writer{file: f, synced: opts.Synced, head: newHead(opts)}
	w.index = newIndex(w.head)
	if err := w.writeHead(); err != nil {
		return nil, err
	}
	if err := syncData(f); err != nil {
		return nil, err
	}
	return w, nil
}

// AddTrack adds a track, also to a file that has frames already, and returns its
// number. ErrFull: there is no room for it.
func (w *Writer) AddTrack(t Track) (int, error) {
	if len(w.head.tracks) >= maxTracks {
		return 0, ErrFull
	}
	number := w.head.add(t)
	if _, err := w.head.render(); err != nil {
		w.head.tracks = w.head.tracks[:len(w.head.tracks)-1]
		return 0, err
	}
	w.index.track(w.head.find(number))
	w.last[number] = -1
	w.stale = true
	return number, nil
}

// Resize notes the size of a track's pictures; the file tells that of the largest.
func (w *Writer) Resize(track, width, height int) {
	entry := w.head.find(track)
	if entry == nil || entry.Video == nil {
		return
	}
	if size := (videoSettings{uint64(width), uint64(height)}); size.area() > entry.Video.area() {
		*entry.Video = size
		w.stale = true
	}
}

// WriteFrame takes a copy of a frame. Its time counts from the Date of the file,
// and never goes back within a track: what comes too early, or at the same
// millisecond, is put behind the frame before it.
func (w *Writer) WriteFrame(track int, at time.Duration, key bool, data []byte) error {
	switch {
	case w.done:
		return os.ErrClosed
	case w.err != nil:
		return w.err
	case w.head.find(track) == nil:
		return fmt.Errorf("no track %d", track)
	case len(data) > MaxFrame:
		return fmt.Errorf("a frame of %d bytes", len(data))
	}
	ms := min(max(at.Round(time.Millisecond).Milliseconds(), w.last[track]+1), maxTime)
	w.last[track] = ms
	from := len(w.arena)
	w.arena = append(w.arena, data...)
	w.pending = append(w.pending, frame{track, ms, key, w.index.tracks[track].codec != Opus, from, len(w.arena)})
	if len(w.arena) > pendingBytes {
		return w.Flush(maxTime * time.Millisecond)
	}
	return nil
}

// Pending tells how many frames wait in memory.
func (w *Writer) Pending() int { return len(w.pending) }

// Size is that of the file on the disk, in bytes.
func (w *Writer) Size() int64 { return w.index.end }

// Flush writes the frames up to a time, and forces them to the disk. Later ones
// wait on.
func (w *Writer) Flush(until time.Duration) error {
	if w.err != nil || w.done {
		return w.err
	}
	slices.SortStableFunc(w.pending, func(a, b frame) int {
		if a.time != b.time {
			return cmp.Compare(a.time, b.time)
		}
		return cmp.Compare(order(a), order(b))
	})
	due := len(w.pending)
	for due > 0 && w.pending[due-1].time > until.Milliseconds() {
		due--
	}
	if due == 0 {
		return nil
	}
	if w.stale {
		if w.err = w.writeHead(); w.err != nil {
			return w.err
		}
	}
	if w.err = w.writeClusters(w.pending[:due]); w.err != nil {
		w.pending, w.arena, w.spare, w.out = nil, nil, nil, nil
		w.reread()
		return w.err
	}
	w.keep(due)
	return nil
}

// reread makes the index anew from what is in the file.
func (w *Writer) reread() {
	w.index = newIndex(w.head)
	if stat, err := w.file.Stat(); err == nil {
		w.index.scan(&source{r: w.file}, stat.Size())
	}
}

// order puts the key frame of a picture before sound of the same time, so that it can begin a cluster.
func order(f frame) int {
	if f.video && f.key {
		return 0
	}
	return 1
}

// keep forgets the first frames, and moves the data of the others to the front.
func (w *Writer) keep(from int) {
	rest := w.pending[from:]
	if len(rest) == 0 {
		w.pending, w.arena = w.pending[:0], w.arena[:0]
		return
	}
	moved := w.spare[:0]
	for i, f := range rest {
		begin := len(moved)
		moved = append(moved, w.arena[f.from:f.to]...)
		rest[i].from, rest[i].to = begin, len(moved)
	}
	w.pending = append(w.pending[:0], rest...)
	w.arena, w.spare = moved, w.arena
}

// writeClusters puts frames into clusters, behind those that are there.
func (w *Writer) writeClusters(frames []frame) error {
	w.out = w.out[:0]
	begin := w.index.end
	for len(frames) > 0 {
		n, size := 0, 0
		for n < len(frames) && (n == 0 ||
			!(frames[n].video && frames[n].key) &&
				frames[n].time-frames[0].time < clusterTime &&
				size < clusterBytes) {
			size += frames[n].to - frames[n].from
			n++
		}
		w.appendCluster(frames[:n])
		frames = frames[n:]
	}
	if _, err := w.file.WriteAt(w.out, begin); err != nil {
		return errors.Join(err, w.file.Truncate(begin))
	}
	start := time.Now()
	err := syncData(w.file)
	if w.synced != nil {
		w.synced(time.Since(start))
	}
	return err
}

// appendCluster adds a cluster to what is to be written, and to the index.
func (w *Writer) appendCluster(frames []frame) {
	base := frames[0].time
	w.index.cluster(frames[0].track, base, frames[0].key)
	begin := len(w.out)
	out := binary.BigEndian.AppendUint32(w.out, idCluster)
	out = appendSize(out, 0)
	out = append(out, idTimestamp, 1<<7|8)
	out = binary.BigEndian.AppendUint64(out, uint64(base))
	for _, f := range frames {
		data := w.arena[f.from:f.to]
		out = append(out, idSimpleBlock)
		out = appendSize(out, blockHeader+len(data))
		out = append(out, 1<<7|byte(f.track))
		out = binary.BigEndian.AppendUint16(out, uint16(f.time-base))
		var flags byte
		if f.key {
			flags = flagKey
		}
		out = append(out, flags)
		out = append(out, data...)
		w.index.frame(f.track, f.time, data)
	}
	size := out[begin+4 : begin+4]
	appendSize(size, len(out)-begin-8)
	w.index.end += int64(len(out) - begin)
	w.out = out
}

// writeHead brings the head on the disk up to date.
func (w *Writer) writeHead() error {
	page, err := w.head.render()
	if err != nil {
		return err
	}
	if _, err := w.file.WriteAt(page, 0); err != nil {
		return err
	}
	w.stale = false
	return nil
}

// Finish writes what waits, then the Cues, and completes the head. It tells what
// the file holds also when it returns an error, as far as the file could be
// finished. ErrEmpty: it holds nothing.
func (w *Writer) Finish() (Info, error) {
	if w.done {
		return Info{}, os.ErrClosed
	}
	w.Flush(maxTime * time.Millisecond) //nolint:errcheck // the first error is kept
	w.done = true
	info, err := finish(w.file, w.head, w.index)
	return info, cmp.Or(w.err, err)
}

// makeRoom is how many clusters are given up, at most, where a disk is too full for the Cues.
const makeRoom = 4

// finish makes a finished file of a head and the clusters in the index; what
// follows them is overwritten. Where it stops halfway, doing it again completes it.
func finish(f *os.File, h *head, x *index) (Info, error) {
	base := h.base()
	for tries := 0; ; tries++ {
		if x.empty() {
			return Info{}, ErrEmpty
		}
		cues, err := x.renderCues(base)
		if err != nil {
			return Info{}, err
		}
		h.cues, h.size = x.end, x.end+int64(len(cues))
		if err = replaceTail(f, x.end, cues); err == nil {
			break
		}
		if tries == makeRoom || x.latest == headSize {
			// Without Cues the file plays, but browsers do not seek in it.
			h.cues, h.size = 0, x.end
			if f.Truncate(x.end) != nil {
				return Info{}, err
			}
			break
		}
		end := x.latest
		x = newIndex(h)
		x.scan(&source{r: f}, end)
	}
	h.tracks = slices.DeleteFunc(h.tracks, func(t trackEntry) bool { return x.tracks[t.TrackNumber].frames == 0 })
	_, end := x.times()
	h.info.Duration = float64(end)
	page, err := h.render()
	if err != nil {
		return Info{}, err
	}
	if err := replaceHead(f, page); err != nil {
		return Info{}, err
	}
	return describe(h, x, h.size), nil
}

// replaceTail makes a file end with b at an offset, and has that on the disk
// before anything refers to it.
func replaceTail(f *os.File, at int64, b []byte) error {
	there := make([]byte, len(b)+1)
	if n, _ := f.ReadAt(there, at); n == len(b) && bytes.Equal(there[:n], b) {
		return nil
	}
	if err := f.Truncate(at); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return syncData(f)
}

func replaceHead(f *os.File, page []byte) error {
	there := make([]byte, headSize)
	if _, err := f.ReadAt(there, 0); err == nil && bytes.Equal(there, page) {
		return nil
	}
	if _, err := f.WriteAt(page, 0); err != nil {
		return err
	}
	return syncData(f)
}

func describe(h *head, x *index, size int64) Info {
	info := Info{DocType: h.docType, Size: size, Complete: h.size == size && size > 0}
	if date := h.info.DateUTC; !date.IsZero() {
		info.Date = date.UTC()
	}
	start, end := x.times()
	info.Start, info.End = time.Duration(start)*time.Millisecond, time.Duration(end)*time.Millisecond
	for i := range h.tracks {
		entry := &h.tracks[i]
		t := &x.tracks[entry.TrackNumber]
		if t.frames == 0 {
			continue
		}
		info.Tracks = append(info.Tracks, TrackInfo{
			Track:  entry.track(),
			Number: int(entry.TrackNumber),
			Frames: t.frames,
			First:  time.Duration(t.first) * time.Millisecond,
			End:    time.Duration(t.last+t.length) * time.Millisecond,
		})
	}
	return info
}
