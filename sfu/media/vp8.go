package media

import (
	"encoding/binary"
	"strings"

	"github.com/pion/webrtc/v4"
)

// vp8Descriptor is the payload descriptor of a VP8 packet (RFC 7741 section
// 4.2), with the places of what a forwarder rewrites.
type vp8Descriptor struct {
	size      int  // bytes; the payload of the frame follows
	start     bool // first packet of the frame
	pictureID uint16
	pictureAt int // offset of the picture id; 0: there is none
	longID    bool
	base      uint8 // TL0PICIDX, the running number of the lowest temporal layer's frames
	baseAt    int   // offset of TL0PICIDX; 0: there is none
	temporal  uint8 // TID
	layered   bool  // TID is there
	layerSync bool  // Y: needs nothing but the lowest temporal layer
	keyFrame  bool  // known for the first packet only
}

// parse reads the descriptor and reports whether it is well-formed.
func (d *vp8Descriptor) parse(b []byte) bool {
	*d = vp8Descriptor{}
	if len(b) < 1 {
		return false
	}
	d.start = b[0]&0x10 != 0 && b[0]&0x07 == 0 // S and PID 0
	at := 1
	if b[0]&0x80 != 0 { // X
		if len(b) < 2 {
			return false
		}
		flags := b[1]
		at = 2
		if flags&0x80 != 0 { // I
			if len(b) < at+2 {
				return false
			}
			d.pictureAt = at
			if d.longID = b[at]&0x80 != 0; d.longID {
				d.pictureID = binary.BigEndian.Uint16(b[at:]) & 0x7fff
				at++
			} else {
				d.pictureID = uint16(b[at])
			}
			at++
		}
		if flags&0x40 != 0 { // L
			if len(b) <= at {
				return false
			}
			d.baseAt, d.base = at, b[at]
			at++
		}
		if flags&0x30 != 0 { // T or K
			if len(b) <= at {
				return false
			}
			if flags&0x20 != 0 {
				d.layered, d.temporal, d.layerSync = true, b[at]>>6, b[at]&0x20 != 0
			}
			at++
		}
	}
	if len(b) <= at {
		return false
	}
	d.size = at
	d.keyFrame = d.start && b[at]&0x01 == 0 // P: inverse key frame flag (section 4.3)
	return true
}

// pictureSize is what the first packet of a key frame says of the picture; 0: it
// is not known.
func pictureSize(mimeType string, payload []byte) (width, height int) {
	var d vp8Descriptor
	if !strings.EqualFold(mimeType, webrtc.MimeTypeVP8) || !d.parse(payload) || !d.keyFrame {
		return 0, 0
	}
	// RFC 6386 section 9.1: a tag of three bytes, the start code, two sizes.
	frame := payload[d.size:]
	if len(frame) < 10 || frame[3] != 0x9d || frame[4] != 0x01 || frame[5] != 0x2a {
		return 0, 0
	}
	return int(binary.LittleEndian.Uint16(frame[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(frame[8:]) & 0x3fff)
}
