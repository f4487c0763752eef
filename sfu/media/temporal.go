package media

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/pion/webrtc/v4"
)

// frame is what a payload's descriptor says of the picture it belongs to.
type frame struct {
	key      bool  // the first packet of a key frame
	layered  bool  // temporal layers are told
	temporal uint8 // 0: needed by all others
	// sync: a viewer may go over to this temporal layer here (VP8), or to higher
	// ones after this picture (VP9).
	sync bool
	vp9  bool
	// obu: AV1, whose packets may begin inside an OBU, and do if continues is set.
	obu, continues bool

	// VP8: what a forwarder rewrites, and where it stands; a place of 0: nowhere.
	pictureAt, baseAt uint8
	longID            bool
	pictureID         uint16
	base              uint8
}

// frameDescriber gives the function that reads the descriptors of a codec; nil
// for audio.
func frameDescriber(mimeType string) func([]byte) frame {
	if strings.EqualFold(mimeType, webrtc.MimeTypeVP8) {
		return describeVP8
	}
	detect := keyFrameDetector(mimeType)
	switch {
	case detect == nil:
		return nil
	case strings.EqualFold(mimeType, webrtc.MimeTypeVP9):
		return describeVP9
	case strings.EqualFold(mimeType, webrtc.MimeTypeAV1):
		return describeAV1
	}
	return func(b []byte) frame { return frame{key: detect(b)} }
}

func describeVP8(b []byte) frame {
	var d vp8Descriptor
	if !d.parse(b) {
		return frame{}
	}
	return frame{
		key: d.keyFrame, layered: d.layered, temporal: d.temporal, sync: d.layerSync,
		pictureAt: uint8(d.pictureAt), baseAt: uint8(d.baseAt), longID: d.longID, pictureID: d.pictureID, base: d.base,
	}
}

// describeVP9 reads the payload descriptor (RFC 9628 section 4.2). References
// between pictures are told by the distance of picture ids, which therefore stay
// as they are. Spatial layers inside the stream are all forwarded.
func describeVP9(b []byte) frame {
	f := frame{key: startsKeyFrameVP9(b), vp9: true}
	if len(b) < 1 || b[0]&0x20 == 0 { // L
		return f
	}
	at := 1
	if b[0]&0x80 != 0 { // I
		if len(b) > at && b[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if len(b) > at {
		f.layered, f.temporal, f.sync = true, b[at]>>5, b[at]&0x10 != 0
	}
	return f
}

// rewrite changes the picture id and TL0PICIDX of a VP8 payload.
func (d *frame) rewrite(payload []byte, pictureID uint16, base uint8) {
	if d.pictureAt != 0 {
		if d.longID {
			binary.BigEndian.PutUint16(payload[d.pictureAt:], pictureID|0x8000)
		} else {
			payload[d.pictureAt] = byte(pictureID & 0x7f)
		}
	}
	if d.baseAt != 0 {
		payload[d.baseAt] = base
	}
}

// rewrites reports whether the descriptor of a packet of the segment has to be
// changed.
func (s *segment) rewrites(d *frame) bool {
	return d.pictureAt != 0 && s.pictures != 0 || d.baseAt != 0 && s.bases != 0
}

// rewrite changes a copy of a packet's payload to what the feed sends of it:
// nothing, if it belongs to a temporal layer that was not being sent.
func (s *segment) rewrite(payload []byte) []byte {
	if s.describe == nil || s.limit == unlimited && s.pictures == 0 && s.bases == 0 {
		return payload
	}
	d := s.describe(payload)
	if d.layered && d.temporal > s.limit {
		return nil
	}
	if s.rewrites(&d) {
		d.rewrite(payload, d.pictureID-s.pictures, d.base-s.bases)
	}
	return payload
}

// unlimited is the limit that lets all temporal layers through.
const unlimited = math.MaxUint8

// picture is how a feed stands in the pictures that it sends. Guarded by the
// feed's mutex.
type picture struct {
	fates fates // AV1

	limit     uint8  // the highest temporal layer that is being sent
	timestamp uint32 // of the layer's present picture
	started   bool   // timestamp is valid
	dropped   bool   // the present picture is not sent

	sent bool // id and base are valid
	id   uint16
	base uint8
}

// limitOf is the highest temporal layer that a packed target allows.
func limitOf(target uint32) uint8 {
	if limit := uint8(target >> 8); limit < math.MaxInt8 {
		return limit
	}
	return unlimited
}

// passes decides whether the picture of a packet, which is in order, is sent.
// f.mu is held.
func (f *Feed) passes(out *outgoing) bool {
	p := &f.picture
	if p.started && p.timestamp == out.timestamp {
		return !p.dropped
	}
	p.started, p.timestamp = true, out.timestamp
	if out.frame.continues { // its first packet is missing, and with it the layer
		p.dropped = false
		p.fates.note(out.timestamp, false)
		return true
	}
	target := limitOf(f.target.Load())
	temporal := out.frame.temporal
	switch {
	// In AV1 what follows a picture of the lowest layer refers to nothing before it.
	case target < p.limit || out.key || out.frame.obu && temporal == 0:
		p.limit = target
	case !out.frame.vp9 && out.frame.sync && temporal <= target && temporal == p.limit+1:
		p.limit = temporal
	}
	p.dropped = temporal > p.limit
	if out.frame.obu {
		p.fates.note(out.timestamp, p.dropped)
	}
	before := p.limit
	if out.frame.vp9 && out.frame.sync && !p.dropped {
		p.limit = target // from the next picture on
	}
	if last := f.segments.last(); last.limit < before && !p.dropped {
		f.resume(last, out.sequence, before)
	}
	return !p.dropped
}

// resume begins a segment with another limit at a packet that is sent.
func (f *Feed) resume(last *segment, first uint64, limit uint8) {
	next := *last
	next.from, next.first, next.limit = last.from+first-last.first, first, limit
	f.push(next)
}

// push adds a segment, in the place of the last one if nothing has been sent in
// that. f.mu is held.
func (f *Feed) push(next segment) {
	if f.segments.count > 0 && f.segments.last().from == next.from && f.sequence.highest < next.from {
		*f.segments.last() = next
		return
	}
	f.segments.push(next)
}

// leaveOut closes the gap of a packet that is not sent: the next one gets its
// number and, if it was a picture's first, its picture id. Numbers of packets
// that are missing between two packets of this picture are closed up too, since
// they are of this picture; others stay free. f.mu is held.
func (f *Feed) leaveOut(out *outgoing, begins bool) {
	last := f.segments.last()
	next := *last
	next.first, next.limit = out.sequence+1, f.picture.limit
	if begins {
		next.pictures++
		next.from = last.from + out.sequence - last.first
	}
	f.push(next)
}

// follow makes a segment's picture ids go on where those sent so far ended. f.mu
// is held.
func (f *Feed) follow(s *segment, first *frame) {
	p := &f.picture
	if p.sent && first.pictureAt != 0 {
		s.pictures = first.pictureID - p.id - 1
	}
	if p.sent && first.baseAt != 0 {
		s.bases = first.base - p.base - 1
	}
	p.started, p.fates = false, fates{}
}

// sentPicture remembers the ids of the last packet sent in order. f.mu is held.
func (f *Feed) sentPicture(s *segment, d *frame) {
	if d.pictureAt != 0 {
		p := &f.picture
		p.sent, p.id, p.base = true, d.pictureID-s.pictures, d.base-s.bases
	}
}
