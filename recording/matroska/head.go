package matroska

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/at-wat/ebml-go"
)

// The head is one page, so that writing it anew either happens or does not, and
// each of its parts has a fixed place: a change leaves most bytes as they are.
const (
	headSize   = 4096
	seekRoom   = 96  // SeekHead
	infoRoom   = 256 // Info
	timeScale  = 1e6 // ns: timestamps are milliseconds, which WebM demands
	maxText    = 64
	maxTracks  = 16 // numbers up to 126 have one byte
	muxingName = "skillsage"
)

// head is all that stands before the first cluster.
type head struct {
	docType string
	info    segmentInfo
	tracks  []trackEntry
	size    int64 // of the whole file; 0: it is not finished
	cues    int64 // where the Cues are in the file; 0: nowhere
}

type headerElements struct {
	EBML struct {
		EBMLVersion        uint64
		EBMLReadVersion    uint64
		EBMLMaxIDLength    uint64
		EBMLMaxSizeLength  uint64
		EBMLDocType        string
		DocTypeVersion     uint64 `ebml:"EBMLDocTypeVersion"`
		DocTypeReadVersion uint64 `ebml:"EBMLDocTypeReadVersion"`
	}
}

type seekElements struct {
	SeekHead struct {
		Seek []seekEntry
	}
}

type seekEntry struct {
	SeekID       []byte
	SeekPosition uint64 `ebml:"SeekPosition,size=8"`
}

type infoElements struct {
	Info segmentInfo
}

type segmentInfo struct {
	TimestampScale uint64
	MuxingApp      string
	WritingApp     string
	DateUTC        time.Time `ebml:"DateUTC,omitempty,size=8"`
	Duration       float64   `ebml:"Duration,omitempty"` // ms
}

type trackElements struct {
	Tracks struct {
		TrackEntry []trackEntry
	}
}

type trackEntry struct {
	TrackNumber  uint64
	TrackUID     uint64
	TrackType    uint64
	FlagLacing   uint64
	Language     string
	CodecID      string
	CodecPrivate []byte `ebml:"CodecPrivate,omitempty"`
	CodecDelay   uint64 `ebml:"CodecDelay,omitempty"`  // ns
	SeekPreRoll  uint64 `ebml:"SeekPreRoll,omitempty"` // ns
	Video        *videoSettings
	Audio        *audioSettings
}

type videoSettings struct {
	PixelWidth  uint64
	PixelHeight uint64
}

func (v *videoSettings) area() uint64 { return v.PixelWidth * v.PixelHeight }

type audioSettings struct {
	SamplingFrequency float64
	Channels          uint64
}

// Values of TrackType.
const (
	typeVideo = 1
	typeAudio = 2
)

func newHead(opts Options) *head {
	h := &head{docType: opts.DocType, info: segmentInfo{
		TimestampScale: timeScale,
		MuxingApp:      muxingName,
		WritingApp:     opts.Application[:min(len(opts.Application), maxText)],
	}}
	if h.info.WritingApp == "" {
		h.info.WritingApp = muxingName
	}
	if !opts.Date.IsZero() {
		h.info.DateUTC = opts.Date
	}
	return h
}

// add appends a track and returns its number.
func (h *head) add(t Track) int {
	number := 1
	for _, entry := range h.tracks {
		number = max(number, int(entry.TrackNumber)+1)
	}
	entry := trackEntry{
		TrackNumber:  uint64(number),
		TrackUID:     uint64(number),
		Language:     "und",
		CodecID:      t.Codec,
		CodecPrivate: slices.Clone(t.Private),
		CodecDelay:   uint64(t.Delay),
		SeekPreRoll:  uint64(t.PreRoll),
	}
	if t.Video() {
		entry.TrackType = typeVideo
		entry.Video = &videoSettings{uint64(t.Width), uint64(t.Height)}
	} else {
		entry.TrackType = typeAudio
		entry.Audio = &audioSettings{48000, uint64(t.Channels)}
	}
	h.tracks = append(h.tracks, entry)
	return number
}

// base is where the data of the Segment begin: positions in the file count from there.
func (h *head) base() int64 { return int64(len(h.opening()) + 8) }

// opening is the EBML header and the identifier of the Segment.
func (h *head) opening() []byte {
	var header headerElements
	header.EBML.EBMLVersion = 1
	header.EBML.EBMLReadVersion = 1
	header.EBML.EBMLMaxIDLength = 4
	header.EBML.EBMLMaxSizeLength = 8
	header.EBML.EBMLDocType = h.docType
	header.EBML.DocTypeVersion = 4
	header.EBML.DocTypeReadVersion = 2
	out := &bytes.Buffer{}
	ebml.Marshal(&header, out) //nolint:errcheck // numbers and a text are always marshalled
	return binary.BigEndian.AppendUint32(out.Bytes(), idSegment)
}

func (h *head) find(number int) *trackEntry {
	for i := range h.tracks {
		if h.tracks[i].TrackNumber == uint64(number) {
			return &h.tracks[i]
		}
	}
	return nil
}

func (t *trackEntry) track() Track {
	track := Track{
		Codec:   t.CodecID,
		Private: t.CodecPrivate,
		Delay:   time.Duration(t.CodecDelay),
		PreRoll: time.Duration(t.SeekPreRoll),
	}
	if t.Video != nil {
		track.Width, track.Height = int(t.Video.PixelWidth), int(t.Video.PixelHeight)
	}
	if t.Audio != nil {
		track.Channels = int(t.Audio.Channels)
	}
	return track
}

// render gives the bytes of the head, always headSize. It fails with ErrFull if
// the tracks do not fit.
func (h *head) render() ([]byte, error) {
	out := bytes.NewBuffer(h.opening())
	base := out.Len() + 8
	size := uint64(unknownSize)
	if h.size > 0 {
		size = uint64(h.size) - uint64(base)
	}
	out.Write(binary.BigEndian.AppendUint64(nil, 1<<56|size))

	info, tracks := base+seekRoom, base+seekRoom+infoRoom
	var seek seekElements
	seek.SeekHead.Seek = []seekEntry{
		{[]byte{0x15, 0x49, 0xa9, 0x66}, uint64(info - base)},
		{[]byte{0x16, 0x54, 0xae, 0x6b}, uint64(tracks - base)},
	}
	if h.cues > 0 {
		seek.SeekHead.Seek = append(seek.SeekHead.Seek,
			seekEntry{binary.BigEndian.AppendUint32(nil, idCues), uint64(h.cues) - uint64(base)})
	}
	for _, part := range []struct {
		elements any
		end      int
	}{
		{&seek, info},
		{&infoElements{h.info}, tracks},
		{&trackElements{struct{ TrackEntry []trackEntry }{h.tracks}}, headSize},
	} {
		if err := ebml.Marshal(part.elements, out); err != nil {
			return nil, err
		}
		if out.Len() > part.end-2 {
			return nil, ErrFull
		}
		out.Write(void(part.end - out.Len()))
	}
	return out.Bytes(), nil
}

// readHead reads what render has written. ErrForeign: it has not.
func readHead(r io.ReaderAt) (*head, error) {
	page := make([]byte, headSize)
	n, err := r.ReadAt(page, 0)
	if n < headSize {
		if err == io.EOF {
			return nil, ErrEmpty
		}
		return nil, err
	}
	first, ok := parseElement(page)
	if !ok || first.id != idEBML || first.end() > infoRoom {
		return nil, ErrForeign
	}
	var header headerElements
	if err := ebml.Unmarshal(bytes.NewReader(page[:first.end()]), &header); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	segment := page[first.end():]
	if binary.BigEndian.Uint32(segment) != idSegment || segment[4] != 1 {
		return nil, ErrForeign
	}
	var body struct {
		SeekHead struct{ Seek []seekEntry }
		Info     segmentInfo
		Tracks   struct{ TrackEntry []trackEntry }
	}
	if err := ebml.Unmarshal(bytes.NewReader(segment[12:]), &body, ebml.WithMaxLeafElementSize(headSize)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	base := first.end() + 12
	h := &head{docType: header.EBML.EBMLDocType, info: body.Info, tracks: body.Tracks.TrackEntry}
	if size := binary.BigEndian.Uint64(segment[4:]) &^ (1 << 56); size != unknownSize {
		h.size = base + int64(size)
	}
	for _, s := range body.SeekHead.Seek {
		if len(s.SeekID) == 4 && binary.BigEndian.Uint32(s.SeekID) == idCues {
			h.cues = base + int64(s.SeekPosition)
		}
	}
	if h.info.MuxingApp != muxingName || h.info.TimestampScale != timeScale || !h.numbered() {
		return nil, ErrForeign
	}
	return h, nil
}

// numbered tells whether the tracks have numbers of their own that this package
// gives.
func (h *head) numbered() bool {
	seen := make(map[uint64]bool)
	for _, entry := range h.tracks {
		if n := entry.TrackNumber; n == 0 || n > maxTracks || seen[n] {
			return false
		}
		seen[entry.TrackNumber] = true
	}
	return true
}
