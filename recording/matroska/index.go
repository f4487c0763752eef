package matroska

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/at-wat/ebml-go"

	"skillsage/recording/frames"
)

// Bounds of the index: a seek is followed by decoding from the last key frame,
// so more than one entry in half a second is of no use; one for a while without
// key frames leads to the sound.
const (
	cueSpacing = 500  // ms, at least; doubled whenever there are too many
	cueGap     = 5000 // ms, at most while there are frames
	maxCues    = 8192
)

// index is what has to be known of the clusters to finish a file. The writer
// keeps it as it goes, Repair reads it out of the file.
type index struct {
	tracks  [maxTracks + 1]trackIndex // by number
	cues    []cue                     // in the order of the file
	spacing int64
	latest  int64 // offset of the last cluster
	end     int64 // offset behind it
}

type trackIndex struct {
	codec  string
	frames int
	first  int64 // ms
	last   int64 // ms
	length int64 // ms, of the last frame
}

type cue struct {
	time    int64 // ms
	track   int
	cluster int64 // offset in the file
}

// maxPicture bounds in ms for how long the last picture is thought to be shown, so that a file does not end later than what was filmed where the
// pictures before had become rare.
const maxPicture = 100

func newIndex(h *head) *index {
	x := &index{spacing: cueSpacing, end: headSize}
	for _, entry := range h.tracks {
		x.track(&entry)
	}
	return x
}

func (x *index) track(entry *trackEntry) { x.tracks[entry.TrackNumber].codec = entry.CodecID }

// frame notes a frame. It may be the beginning of what it shows: only Opus tells
// there how long that lasts.
func (x *index) frame(number int, at int64, data []byte) {
	t := &x.tracks[number]
	length := min(at-t.last, maxPicture) // of a picture: as long as the one before
	if t.codec == Opus {
		length = int64((frames.OpusDuration(data) + time.Millisecond - 1) / time.Millisecond)
	}
	if t.frames == 0 {
		t.first, t.last = at, at
		if t.codec != Opus {
			length = 0
		}
	}
	t.frames++
	t.first = min(t.first, at)
	if at >= t.last {
		t.last, t.length = at, max(length, 0)
	}
}

// cluster notes a cluster at the end, by its first frame.
func (x *index) cluster(number int, at int64, key bool) {
	x.latest = x.end
	picture := x.tracks[number].codec != Opus
	if n := len(x.cues); n > 0 {
		since := at - x.cues[n-1].time
		if since < x.spacing || !picture && since < max(cueGap, x.spacing) {
			return
		}
	}
	if !key {
		return
	}
	x.cues = append(x.cues, cue{at, number, x.end})
	if len(x.cues) > maxCues {
		x.spacing *= 2
		kept := x.cues[:0]
		for i, c := range x.cues {
			if i%2 == 0 {
				kept = append(kept, c)
			}
		}
		x.cues = kept
	}
}

// times gives the earliest frame's time and the latest frame's end, in ms.
func (x *index) times() (start, end int64) {
	first := true
	for i := range x.tracks {
		t := &x.tracks[i]
		if t.frames == 0 {
			continue
		}
		if first || t.first < start {
			start = t.first
		}
		end = max(end, t.last+t.length)
		first = false
	}
	return start, end
}

func (x *index) empty() bool {
	return !slices.ContainsFunc(x.tracks[:], func(t trackIndex) bool { return t.frames > 0 })
}

type cueElements struct {
	Cues struct {
		CuePoint []cuePoint
	}
}

type cuePoint struct {
	CueTime           uint64
	CueTrackPositions cuePosition
}

type cuePosition struct {
	CueTrack           uint64
	CueClusterPosition uint64
}

// renderCues gives the bytes of the Cues; positions count from base.
func (x *index) renderCues(base int64) ([]byte, error) {
	var elements cueElements
	sorted := slices.Clone(x.cues)
	slices.SortStableFunc(sorted, func(a, b cue) int { return cmp.Compare(a.time, b.time) })
	for _, c := range sorted {
		elements.Cues.CuePoint = append(elements.Cues.CuePoint,
			cuePoint{uint64(c.time), cuePosition{uint64(c.track), uint64(c.cluster - base)}})
	}
	out := &bytes.Buffer{}
	err := ebml.Marshal(&elements, out)
	return out.Bytes(), err
}

// scan reads clusters from the end of the head on. It ends at the first element
// that is not a whole cluster of known tracks, and leaves in x.end where that is.
func (x *index) scan(file *source, limit int64) {
	var blocks []block
	for {
		cluster, ok := readElement(file, x.end, limit)
		if !ok || cluster.id != idCluster {
			return
		}
		if blocks, ok = x.readCluster(blocks[:0], file, cluster); !ok {
			return
		}
		first := blocks[0]
		x.cluster(first.track, first.time, first.key)
		for i := range blocks {
			x.frame(blocks[i].track, blocks[i].time, blocks[i].begin[:])
		}
		x.end = cluster.end()
	}
}

type block struct {
	track int
	time  int64 // ms
	key   bool
	begin [2]byte // of the frame
}

// readCluster reads what there is to know of the blocks of a cluster, and tells
// whether it is whole.
func (x *index) readCluster(blocks []block, file *source, cluster element) ([]block, bool) {
	stamp, ok := readElement(file, cluster.data, cluster.end())
	if !ok || stamp.id != idTimestamp || stamp.size != 8 {
		return blocks, false
	}
	var buf [8]byte
	if _, err := file.ReadAt(buf[:], stamp.data); err != nil {
		return blocks, false
	}
	base := binary.BigEndian.Uint64(buf[:])
	if base > maxTime {
		return blocks, false
	}
	for at := stamp.end(); at < cluster.end(); {
		e, ok := readElement(file, at, cluster.end())
		if !ok || e.id != idSimpleBlock || e.size < blockHeader {
			return blocks, false
		}
		var content [blockHeader + 2]byte
		if n, _ := file.ReadAt(content[:min(int64(len(content)), e.size)], e.data); n < blockHeader {
			return blocks, false
		}
		number := int(content[0]) - 1<<7
		if number < 1 || number > maxTracks || x.tracks[number].codec == "" {
			return blocks, false
		}
		blocks = append(blocks, block{
			track: number,
			time:  int64(base) + int64(int16(binary.BigEndian.Uint16(content[1:]))),
			key:   content[3]&flagKey != 0,
			begin: [2]byte(content[blockHeader:]),
		})
		at = e.end()
	}
	return blocks, len(blocks) > 0
}
