package frames

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"skillsage/internal/testkit/clip"
)

type got struct {
	Frame
	data []byte
}

// push sends the packets of a clip but for those that drop names, and returns what came out.
func push(t testing.TB, a *Assembler, payloads [][][]byte, drop func(frame, packet int) bool) []got {
	t.Helper()
	var list []got
	for i, frame := range payloads {
		for j, payload := range frame {
			if drop != nil && drop(i, j) {
				a.Lost()
				continue
			}
			a.Push(Packet{Timestamp: int64(i), Marker: j == len(frame)-1, Payload: payload}, func(f Frame) {
				list = append(list, got{f, bytes.Clone(f.Data)})
			})
		}
	}
	return list
}

func TestFramesComeOutAsTheyWereEncoded(t *testing.T) {
	for _, codec := range clip.VideoCodecs() {
		t.Run(codec, func(t *testing.T) {
			frames := clip.Video(t, codec, clip.Options{Seconds: 4, Size: "320x180"})
			a, err := New(codec, "")
			if err != nil {
				t.Fatal(err)
			}
			list := push(t, a, clip.Payloads(codec, frames), nil)
			if len(list) != len(frames) {
				t.Fatalf("%d of %d frames", len(list), len(frames))
			}
			for i, f := range list {
				if f.Key != (i%50 == 0) {
					t.Errorf("frame %d: key %v", i, f.Key)
				}
				if f.Key && (f.Width != 320 || f.Height != 180) {
					t.Errorf("frame %d: %d x %d", i, f.Width, f.Height)
				}
				if f.Key && (f.Private != nil) != (codec == "video/AV1" || codec == "video/H264") {
					t.Errorf("frame %d: private %x", i, f.Private)
				}
				if (codec == "video/VP8" || codec == "video/VP9") && !bytes.Equal(f.data, frames[i].Data) {
					t.Errorf("frame %d is another", i)
				}
			}
		})
	}
}

func TestNothingIsTakenBetweenALossAndTheNextKeyFrame(t *testing.T) {
	for _, codec := range clip.VideoCodecs() {
		t.Run(codec, func(t *testing.T) {
			payloads := clip.Payloads(codec, clip.Video(t, codec, clip.Options{Seconds: 4, Size: "320x180", GOP: 40}))
			if len(payloads[40]) < 3 {
				t.Fatalf("the key frame has only %d packets", len(payloads[40]))
			}
			for _, packet := range []int{0, 1, len(payloads[40]) - 1} {
				// A packet of a picture, and one of the key frame that would end the gap.
				a, _ := New(codec, "")
				list := push(t, a, payloads[:80], func(i, j int) bool {
					return i == 10 && j == 0 || i == 40 && j == packet
				})
				if len(list) != 10 || list[9].Timestamp != 9 || !a.NeedsKeyFrame() {
					t.Errorf("without packet %d: %d frames, needs a key frame: %v", packet, len(list), a.NeedsKeyFrame())
				}
				list = push(t, a, payloads[80:], nil)
				if len(list) != 20 || !list[0].Key || a.NeedsKeyFrame() {
					t.Errorf("%d frames after the gap", len(list))
				}
			}
		})
	}
}

func TestSpatialLayersOfVP9AreOnePicture(t *testing.T) {
	frames := clip.Video(t, "video/VP9", clip.Options{Seconds: 4, Size: "320x180"})
	base, upper := frames[0].Data, frames[1].Data
	const predicted, layers, begin, end, structure = 0x40, 0x20, 0x08, 0x04, 0x02
	a, _ := New("video/VP9", "")
	list := push(t, a, [][][]byte{{
		append([]byte{layers | begin | end | structure, 0, 0, 0x30, 320 >> 8, 320 & 0xff, 0, 180, 640 >> 8, 640 & 0xff, 360 >> 8, 360 & 0xff}, base...),
		append([]byte{predicted | layers | begin | end, 0x03, 0}, upper...),
	}}, nil)
	if len(list) != 1 || !list[0].Key || list[0].Width != 640 || list[0].Height != 360 {
		t.Fatalf("%+v", list)
	}
	index := []byte{0xd9} // two frames, sizes of four bytes
	for _, layer := range [][]byte{base, upper} {
		index = binary.LittleEndian.AppendUint32(index, uint32(len(layer)))
	}
	if want := slices.Concat(base, upper, index, []byte{0xd9}); !bytes.Equal(list[0].data, want) {
		t.Errorf("%d bytes, not %d", len(list[0].data), len(want))
	}
}
