package frames

import (
	"encoding/binary"

	"github.com/pion/rtp/codecs"
)

// vp8 is RFC 7741.
type vp8 struct{ data []byte }

func (v *vp8) begin(bool) { v.data = v.data[:0] }

func (v *vp8) add(payload []byte) error {
	var p codecs.VP8Packet
	part, err := p.Unmarshal(payload)
	if err != nil {
		return err
	}
	if begins := p.S == 1 && p.PID == 0; begins != (len(v.data) == 0) {
		return errFrame
	}
	v.data = append(v.data, part...)
	return nil
}

// finish reads the frame header (RFC 6386 section 9.1).
func (v *vp8) finish(f *Frame) error {
	const tag, delta = 3, 0x01
	if len(v.data) <= tag {
		return errFrame
	}
	f.Data = v.data
	if v.data[0]&delta != 0 {
		return nil
	}
	if len(v.data) < 10 || v.data[3] != 0x9d || v.data[4] != 0x01 || v.data[5] != 0x2a {
		return errFrame
	}
	f.Key = true
	f.Width = int(binary.LittleEndian.Uint16(v.data[6:]) & 0x3fff)
	f.Height = int(binary.LittleEndian.Uint16(v.data[8:]) & 0x3fff)
	return nil
}
