package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// Payloads as encoders send them (shortened at the end).
var keyFramePayloads = []struct {
	name, mime string
	payload    []byte
	key        bool
}{
	{"libvpx VP8, first packet of a key frame", webrtc.MimeTypeVP8,
		[]byte{0x90, 0x80, 0x8b, 0x2c, 0x30, 0x4d, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01}, true},
	{"VP8 with TL0PICIDX, TID and KEYIDX", webrtc.MimeTypeVP8,
		[]byte{0x90, 0xe0, 0x85, 0x10, 0x07, 0x20, 0x50, 0x4d, 0x00, 0x9d, 0x01, 0x2a}, true},
	{"VP8 without extensions", webrtc.MimeTypeVP8, []byte{0x10, 0x50, 0x4d, 0x00, 0x9d, 0x01, 0x2a}, true},
	{"VP8 delta frame", webrtc.MimeTypeVP8, []byte{0x90, 0x80, 0x8b, 0x2d, 0x31, 0x03, 0x00, 0x01}, false},
	{"VP8 continuation of a key frame", webrtc.MimeTypeVP8, []byte{0x80, 0x80, 0x8b, 0x2c, 0x30, 0x4d}, false},
	{"VP8 second partition", webrtc.MimeTypeVP8, []byte{0x91, 0x80, 0x8b, 0x2c, 0x30}, false},
	{"VP8 cut in the descriptor", webrtc.MimeTypeVP8, []byte{0x90, 0x80, 0x8b}, false},
	{"VP8 cut before the frame", webrtc.MimeTypeVP8, []byte{0x90, 0x80, 0x8b, 0x2c}, false},

	{"VP9 flexible mode, key frame", webrtc.MimeTypeVP9, []byte{0x98, 0x8a, 0x11, 0x82, 0x49, 0x83}, true},
	{"VP9 non-flexible, key frame with scalability structure", webrtc.MimeTypeVP9,
		[]byte{0xaa, 0x8a, 0x11, 0x00, 0x01, 0x18, 0x02, 0x80, 0x01, 0xe0}, true},
	{"VP9 inter frame", webrtc.MimeTypeVP9, []byte{0xd8, 0x8a, 0x12, 0x01, 0x86}, false},
	{"VP9 continuation of a key frame", webrtc.MimeTypeVP9, []byte{0x84, 0x8a, 0x11, 0x00}, false},
	{"VP9 upper spatial layer", webrtc.MimeTypeVP9, []byte{0xa8, 0x8a, 0x11, 0x02, 0x01, 0x00}, false},
	{"VP9 cut", webrtc.MimeTypeVP9, []byte{0xa8, 0x8a}, false},

	{"H264 STAP-A of SPS and PPS, as libwebrtc sends it", webrtc.MimeTypeH264,
		[]byte{0x78, 0x00, 0x0f, 0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a, 0x00, 0x04, 0x68, 0xce, 0x3c, 0x80}, true},
	{"H264 SPS alone", webrtc.MimeTypeH264, []byte{0x67, 0x42, 0xe0, 0x1f}, true},
	{"H264 STAP-A with an access unit delimiter first", webrtc.MimeTypeH264,
		[]byte{0x78, 0x00, 0x02, 0x09, 0x10, 0x00, 0x04, 0x67, 0x42, 0xe0, 0x1f}, true},
	{"H264 PPS alone", webrtc.MimeTypeH264, []byte{0x68, 0xce, 0x3c, 0x80}, false},
	{"H264 FU-A, start of an IDR slice", webrtc.MimeTypeH264, []byte{0x7c, 0x85, 0xb8, 0x04}, false},
	{"H264 slice that is no IDR", webrtc.MimeTypeH264, []byte{0x41, 0x9a, 0x26}, false},
	{"H264 STAP-A with a size beyond the end", webrtc.MimeTypeH264, []byte{0x78, 0x00, 0xff, 0x67}, false},
	{"H264 STAP-A with a size of 0", webrtc.MimeTypeH264, []byte{0x78, 0x00, 0x00, 0x67, 0x42}, false},

	{"AV1 first packet of a coded video sequence", webrtc.MimeTypeAV1, []byte{0x18, 0x0a, 0x0b, 0x00, 0x00, 0x00}, true},
	{"AV1 the same, to be continued", webrtc.MimeTypeAV1, []byte{0x58, 0x0a, 0x0b}, true},
	{"AV1 inter frame", webrtc.MimeTypeAV1, []byte{0x10, 0x32, 0x0b}, false},
	{"AV1 continuation", webrtc.MimeTypeAV1, []byte{0x90, 0x01, 0x02}, false},
	{"AV1 header alone", webrtc.MimeTypeAV1, []byte{0x18}, false},
}

func TestKeyFrameDetection(t *testing.T) {
	for _, c := range keyFramePayloads {
		detect := keyFrameDetector(c.mime)
		if got := detect(c.payload); got != c.key {
			t.Errorf("%s: %v", c.name, got)
		}
		if detect(nil) || detect([]byte{}) {
			t.Errorf("%s: an empty payload is a key frame", c.mime)
		}
	}
	if keyFrameDetector(webrtc.MimeTypeOpus) != nil {
		t.Error("audio has key frames")
	}
}

// TestKeyFrameDetectionOfPayloaders packs frames with Pion's payloaders: exactly
// one packet of a key frame starts it, and none of another frame.
func TestKeyFrameDetectionOfPayloaders(t *testing.T) {
	idr := append([]byte{0x65}, make([]byte, 5000)...)
	for i := range idr[1:] {
		idr[1+i] = 0x55
	}
	annexB := func(units ...[]byte) (b []byte) {
		for _, unit := range units {
			b = append(append(b, 0, 0, 0, 1), unit...)
		}
		return b
	}
	vp8Key := append([]byte{0x10, 0, 0, 0x9d, 1, 0x2a}, make([]byte, 4000)...)
	vp8Delta := append([]byte{0x11, 0, 0}, make([]byte, 4000)...)
	for _, c := range []struct {
		name, mime string
		payloads   [][]byte
		starts     int
	}{
		{"H264 key frame", webrtc.MimeTypeH264, (&codecs.H264Payloader{}).Payload(1200,
			annexB([]byte{0x67, 0x42, 0xe0, 0x1f}, []byte{0x68, 0xce, 0x3c, 0x80}, idr)), 1},
		{"H264 other frame", webrtc.MimeTypeH264, (&codecs.H264Payloader{}).Payload(1200,
			annexB(append([]byte{0x41}, idr[1:]...))), 0},
		{"VP8 key frame", webrtc.MimeTypeVP8, (&codecs.VP8Payloader{EnablePictureID: true}).Payload(1200, vp8Key), 1},
		{"VP8 other frame", webrtc.MimeTypeVP8, (&codecs.VP8Payloader{EnablePictureID: true}).Payload(1200, vp8Delta), 0},
	} {
		starts := 0
		for _, payload := range c.payloads {
			if keyFrameDetector(c.mime)(payload) {
				starts++
			}
		}
		if len(c.payloads) < 2 || starts != c.starts {
			t.Errorf("%s: %d of %d packets start a key frame, want %d", c.name, starts, len(c.payloads), c.starts)
		}
	}
}

func FuzzKeyFrameDetection(f *testing.F) {
	for _, c := range keyFramePayloads {
		f.Add(c.payload)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeVP9, webrtc.MimeTypeH264, webrtc.MimeTypeAV1} {
			key := keyFrameDetector(mime)(b)
			d := frameDescriber(mime)(b)
			if d.key != key {
				t.Errorf("%s % x: key frame %v, described as %+v", mime, b, key, d)
			}
			d.rewrite(bytes.Clone(b), 0x1234, 0x56)
		}
	})
}
