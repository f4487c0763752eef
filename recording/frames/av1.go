package frames

import (
	"slices"

	"github.com/pion/rtp/codecs"
	"github.com/pion/rtp/codecs/av1/obu"
)

// av1 is the RTP payload format for AV1, version 1.0. Frames come out as files have them: temporal units whose OBUs have sizes,
// without temporal delimiters (AV1 Codec ISO Media File Format Binding section 2.4).
type av1 struct {
	data      []byte
	parts     *codecs.AV1Depacketizer
	continued bool // the last packet ended in the middle of an OBU

	sequence []byte // the sequence header of private
	width    int
	height   int
	private  []byte
}

func (a *av1) begin(bool) {
	a.data, a.continued = a.data[:0], false
	a.parts = &codecs.AV1Depacketizer{}
}

func (a *av1) add(payload []byte) error {
	const z, y = 0x80, 0x40 // the first element continues an OBU; the last one is continued
	if continues := payload[0]&z != 0; continues != a.continued {
		return errFrame
	}
	units, err := a.parts.Unmarshal(payload)
	if err != nil {
		return err
	}
	a.continued = payload[0]&y != 0
	a.data = append(a.data, units...)
	return nil
}

func (a *av1) finish(f *Frame) error {
	if a.continued || len(a.data) == 0 {
		return errFrame
	}
	f.Data = a.data
	var sequence []byte
	for rest := a.data; len(rest) > 0; {
		h, content, whole, err := nextOBU(rest)
		if err != nil {
			return err
		}
		switch h.Type {
		case obu.OBUSequenceHeader:
			sequence = rest[:whole]
			if !slices.Equal(sequence, a.sequence) && !a.describe(sequence, content) {
				return errFrame
			}
		case obu.OBUFrame, obu.OBUFrameHeader: // the first one decides
			if len(content) == 0 {
				return errFrame
			}
			const shows, kind, shown = 0x80, 0x60, 0x10 // show_existing_frame, frame_type (0: key frame), show_frame
			if sequence != nil && content[0]&(shows|kind|shown) == shown {
				f.Key, f.Width, f.Height, f.Private = true, a.width, a.height, a.private
			}
			return nil
		}
		rest = rest[whole:]
	}
	return errFrame // nothing to be seen
}

// nextOBU reads the OBU at the beginning of b, which has a size: its header, its
// content, and how many bytes it takes.
func nextOBU(b []byte) (*obu.Header, []byte, int, error) {
	h, err := obu.ParseOBUHeader(b)
	if err != nil {
		return nil, nil, 0, err
	}
	if !h.HasSizeField {
		return nil, nil, 0, errFrame
	}
	at := h.Size()
	size, n, err := obu.ReadLeb128(b[at:])
	if err != nil {
		return nil, nil, 0, err
	}
	if at += int(n); size > uint(len(b)-at) {
		return nil, nil, 0, errFrame
	}
	return h, b[at : at+int(size)], at + int(size), nil
}

// describe makes the AV1CodecConfigurationRecord (AV1 Codec ISO Media File Format Binding section 2.3)
// from a sequence header OBU (AV1 specification section 5.5), and reports whether it could be read.
func (a *av1) describe(unit, content []byte) bool {
	if len(unit) > maxParameterSet {
		return false
	}
	r := &bitReader{b: content}
	profile := r.bits(3)
	r.skip(1) // still_picture
	reduced := r.flag()
	var level, tier uint32
	if reduced {
		level = r.bits(5)
	} else {
		decoderModel, delayBits := false, 0
		if r.flag() { // timing_info_present_flag
			r.skip(64)
			if r.flag() { // equal_picture_interval
				r.golomb()
			}
			if decoderModel = r.flag(); decoderModel {
				delayBits = int(r.bits(5)) + 1
				r.skip(32 + 5 + 5)
			}
		}
		initialDelay := r.flag()
		points := int(r.bits(5)) + 1
		for i := range points {
			r.skip(12) // operating_point_idc
			pointLevel, pointTier := r.bits(5), uint32(0)
			if pointLevel > 7 {
				pointTier = r.bit()
			}
			if i == 0 {
				level, tier = pointLevel, pointTier
			}
			if decoderModel && r.flag() {
				r.skip(2*delayBits + 1)
			}
			if initialDelay && r.flag() {
				r.skip(4)
			}
		}
	}
	widthBits, heightBits := int(r.bits(4))+1, int(r.bits(4))+1
	width, height := int(r.bits(widthBits))+1, int(r.bits(heightBits))+1
	if !reduced && r.flag() { // frame_id_numbers_present_flag
		r.skip(4 + 3)
	}
	r.skip(3) // superblocks, filter_intra, intra_edge_filter
	if !reduced {
		r.skip(4) // interintra, masked, warped, dual filter
		if r.flag() {
			r.skip(2) // enable_order_hint: jnt_comp, ref_frame_mvs
			skipScreenContent(r)
			r.skip(3) // order_hint_bits_minus_1
		} else {
			skipScreenContent(r)
		}
	}
	r.skip(3) // superres, cdef, restoration
	color := colorConfig(r, profile)
	if r.over {
		return false
	}
	a.sequence, a.width, a.height = slices.Clone(unit), width, height
	a.private = append([]byte{1<<7 | 1, byte(profile<<5 | level), byte(tier<<7) | color, 0}, unit...)
	return true
}

// skipScreenContent skips seq_force_screen_content_tools and seq_force_integer_mv.
func skipScreenContent(r *bitReader) {
	force := uint32(2)
	if !r.flag() {
		force = r.bit()
	}
	if force > 0 && !r.flag() {
		r.skip(1)
	}
}

// colorConfig reads color_config (AV1 specification section 5.5.2) into the lower bits of the record's third byte: high
// bit depth, twelve bits, monochrome, subsampling in x and y, position of chroma samples.
func colorConfig(r *bitReader, profile uint32) byte {
	high := r.bit()
	var twelve, mono uint32
	if profile == 2 && high == 1 {
		twelve = r.bit()
	}
	if profile != 1 {
		mono = r.bit()
	}
	primaries, transfer, matrix := uint32(2), uint32(2), uint32(2) // not told
	if r.flag() {
		primaries, transfer, matrix = r.bits(8), r.bits(8), r.bits(8)
	}
	x, y, position := uint32(1), uint32(1), uint32(0)
	switch {
	case mono == 1:
		r.skip(1)
	case primaries == 1 && transfer == 13 && matrix == 0: // sRGB
		x, y = 0, 0
	default:
		r.skip(1)
		switch {
		case profile == 1:
			x, y = 0, 0
		case profile == 2 && twelve == 1:
			if x, y = r.bit(), 0; x == 1 {
				y = r.bit()
			}
		case profile == 2:
			y = 0
		}
		if x == 1 && y == 1 {
			position = r.bits(2)
		}
	}
	return byte(high<<6 | twelve<<5 | mono<<4 | x<<3 | y<<2 | position)
}
