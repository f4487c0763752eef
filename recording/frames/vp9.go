package frames

import (
	"github.com/pion/rtp/codecs"
	header "github.com/pion/rtp/codecs/vp9"
)

const maxLayers = 8 // spatial layers of a VP9 picture

// vp9 is RFC 9628. The spatial layers of a picture stay together: decoders show the highest
// of them (that of ffmpeg each of them, one after the other, as pictures of the same time).
type vp9 struct {
	data   []byte
	starts []int // of the layers' frames in data
	width  int   // of the highest layer, if the packets tell
	height int
}

func (v *vp9) begin(bool) {
	v.data, v.starts = v.data[:0], v.starts[:0]
	v.width, v.height = 0, 0
}

func (v *vp9) add(payload []byte) error {
	var p codecs.VP9Packet // a fresh one each time: it adds to its lists
	part, err := p.Unmarshal(payload)
	if err != nil {
		return err
	}
	switch {
	case p.B:
		if len(v.starts) == maxLayers {
			return errFrame
		}
		v.starts = append(v.starts, len(v.data))
	case len(v.starts) == 0:
		return errFrame
	}
	v.data = append(v.data, part...)
	if p.V && p.Y {
		top := len(p.Width) - 1
		v.width, v.height = int(p.Width[top]), int(p.Height[top])
	}
	return nil
}

func (v *vp9) finish(f *Frame) error {
	var h header.Header
	if err := h.Unmarshal(v.data); err != nil {
		return err
	}
	if f.Key = !h.ShowExistingFrame && !h.NonKeyFrame; f.Key {
		f.Width, f.Height = max(int(h.Width()), v.width), max(int(h.Height()), v.height)
	}
	v.bundle()
	f.Data = v.data
	return nil
}

// bundle makes one superframe of the frames of several spatial layers, as which an encoder would
// have put them out: an index at the end tells their sizes (VP9 bitstream specification annex B).
func (v *vp9) bundle() {
	if len(v.starts) < 2 {
		return
	}
	const sizeBytes = 4
	marker := byte(0xc0 | (sizeBytes-1)<<3 | (len(v.starts) - 1))
	end := len(v.data)
	v.data = append(v.data, marker)
	for i, start := range v.starts {
		next := end
		if i+1 < len(v.starts) {
			next = v.starts[i+1]
		}
		size := next - start
		v.data = append(v.data, byte(size), byte(size>>8), byte(size>>16), byte(size>>24))
	}
	v.data = append(v.data, marker)
}
