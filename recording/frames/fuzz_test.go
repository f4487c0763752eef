package frames

import (
	"bytes"
	"encoding/binary"
	"testing"

	"skillsage/internal/testkit/clip"
)

// FuzzAssembler feeds packets that are made of the input: for each a byte that says how it differs from the
// one before, its length, and its payload.
func FuzzAssembler(f *testing.F) {
	for _, codec := range append(clip.VideoCodecs(), "audio/opus") {
		f.Add(codec, []byte{1, 3, 0x10, 0, 0, 0, 2, 0x90, 0x80, 2, 0, 1, 5})
		for _, payload := range [][]byte{
			{0x10, 0x50, 0x01, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00},                                     // VP8
			{0x8c, 0x12, 0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0e, 0xf6, 0x00},                               // VP9
			{0x18, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x24, 0xc6, 0xab, 0xdf, 0x3e, 0xfe, 0x24, 0x04, 0x32, 0x10, 0x10}, // AV1
			{0x18, 0x00, 0x04, 0x67, 0x42, 0xc0, 0x0a, 0x00, 0x04, 0x68, 0xce, 0x3c, 0x80, 0x00, 0x02, 0x65, 0x88}, // H.264
		} {
			f.Add(codec, append([]byte{1, byte(len(payload))}, payload...))
		}
	}
	f.Fuzz(func(t *testing.T, codec string, input []byte) {
		a, err := New(codec, "sprop-parameter-sets=Z0LACtoHgUMA,aM4G4g==")
		if err != nil {
			return
		}
		waiting := !a.sound
		emit := func(frame Frame) {
			if len(frame.Data) == 0 || len(frame.Data) > 2*MaxFrame {
				t.Errorf("a frame of %d bytes", len(frame.Data))
			}
			if waiting && !frame.Key {
				t.Error("a frame that needs others comes first")
			}
			waiting = false
			if codec == "video/H264" {
				checkUnits(t, frame.Data)
			}
		}
		var timestamp int64
		for len(input) > 2 {
			flags, size := input[0], int(input[1])
			input = input[2:]
			size = min(size, len(input))
			payload := input[:size:size]
			input = input[size:]
			before := bytes.Clone(payload)
			if flags&2 != 0 {
				timestamp++
			}
			if flags&4 != 0 {
				a.Lost()
				waiting = !a.sound
			}
			a.Push(Packet{Timestamp: timestamp, Marker: flags&1 != 0, Payload: payload}, emit)
			if !bytes.Equal(payload, before) {
				t.Error("the payload was changed")
			}
			waiting = a.NeedsKeyFrame()
		}
	})
}

// checkUnits walks over the units of an H.264 frame by their lengths.
func checkUnits(t *testing.T, b []byte) {
	for len(b) > 0 {
		if len(b) < lengthSize || int(binary.BigEndian.Uint32(b)) > len(b)-lengthSize || binary.BigEndian.Uint32(b) == 0 {
			t.Fatalf("a length that is not right before %d bytes", len(b))
		}
		b = b[lengthSize+int(binary.BigEndian.Uint32(b)):]
	}
}
