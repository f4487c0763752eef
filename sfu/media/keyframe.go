package media

import (
	"strings"

	"github.com/pion/webrtc/v4"
)

// keyFrameKind is the kind of media that has key frames.
const keyFrameKind = webrtc.RTPCodecTypeVideo

// keyFrameDetector gives the function that recognises the first packet of a key
// frame in a codec's payloads; nil for audio and codecs that are not known.
func keyFrameDetector(mimeType string) func(payload []byte) bool {
	switch {
	case strings.EqualFold(mimeType, webrtc.MimeTypeVP8):
		return startsKeyFrameVP8
	case strings.EqualFold(mimeType, webrtc.MimeTypeVP9):
		return startsKeyFrameVP9
	case strings.EqualFold(mimeType, webrtc.MimeTypeH264):
		return startsKeyFrameH264
	case strings.EqualFold(mimeType, webrtc.MimeTypeAV1):
		return startsKeyFrameAV1
	}
	return nil
}

// startsKeyFrameVP8 looks at the payload descriptor (RFC 7741 section 4.2) and
// the first byte of the frame's header (section 4.3).
func startsKeyFrameVP8(b []byte) bool {
	var d vp8Descriptor
	return d.parse(b) && d.keyFrame
}

// startsKeyFrameVP9 looks at the payload descriptor (RFC 9628 section 4.2): the
// start of a frame that is not predicted from others, of the lowest spatial
// layer.
func startsKeyFrameVP9(b []byte) bool {
	if len(b) < 1 {
		return false
	}
	const pictureID, predicted, layers, start = 0x80, 0x40, 0x20, 0x08
	if b[0]&predicted != 0 || b[0]&start == 0 {
		return false
	}
	at := 1
	if b[0]&pictureID != 0 {
		if len(b) <= at {
			return false
		}
		if b[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if b[0]&layers != 0 {
		if len(b) <= at {
			return false
		}
		if b[at]>>1&0x07 != 0 { // SID
			return false
		}
	}
	return true
}

// startsKeyFrameH264 looks for a sequence parameter set (RFC 6184): what a
// decoder needs first, and what WebRTC encoders send in front of each IDR
// picture.
func startsKeyFrameH264(b []byte) bool {
	const sps, stapA = 7, 24
	if len(b) < 1 {
		return false
	}
	switch b[0] & 0x1f {
	case sps:
		return true
	case stapA: // section 5.7.1: units, each after its size in 16 bits
		for units := b[1:]; len(units) > 2; {
			size := int(units[0])<<8 | int(units[1])
			units = units[2:]
			if size == 0 || size > len(units) {
				return false
			}
			if units[0]&0x1f == sps {
				return true
			}
			units = units[size:]
		}
	}
	return false
}

// startsKeyFrameAV1 looks at the aggregation header (AV1 RTP section 4.4): N
// marks the first packet of a coded video sequence.
func startsKeyFrameAV1(b []byte) bool {
	return len(b) > 1 && b[0]&0x08 != 0 && b[0]&0x80 == 0
}
