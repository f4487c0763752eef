package frames

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
)

// Types of NAL units (H.264 table 7-1, RFC 6184 section 5.2).
const (
	nalSlice     = 1
	nalIDR       = 5
	nalSPS       = 7
	nalPPS       = 8
	nalDelimiter = 9
	nalFiller    = 12
	nalSingles   = 23 // the last that is one unit by itself
	nalSTAPA     = 24
	nalFUA       = 28
	nalTypeMask  = 0x1f
)

const (
	maxParameterSet  = 256 // bytes; those of browsers have less than 50
	maxParameterSets = 8
	lengthSize       = 4 // bytes of the length in front of each unit
)

// h264 is RFC 6184, packetization modes 0 and 1. Frames come out as files have
// them: each NAL unit behind its length (ISO/IEC 14496-15).
//
// Pion's depacketizer is not used: what it gathers of a fragmented unit has no bound, and goes
// on over a missing beginning.
type h264 struct {
	data     []byte
	fragment int // where the unit that is in fragments begins in data; -1: none is
	idr      bool
	picture  bool // the frame has a slice
	inBand   bool // the frame has an SPS
	waiting  bool // something was lost before the frame

	sends   bool // parameter sets with its key frames, as all browsers do
	sps     []byte
	pps     map[uint32][]byte
	width   int
	height  int
	private []byte // nil: to be made anew
}

func newH264(parameters string) *h264 {
	h := &h264{pps: make(map[uint32][]byte)}
	for _, parameter := range strings.Split(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "sprop-parameter-sets") { // RFC 6184 section 8.1
			continue
		}
		for _, set := range strings.Split(value, ",") {
			if unit, err := base64.StdEncoding.DecodeString(set); err == nil && len(unit) > 0 {
				h.parameterSet(unit)
			}
		}
	}
	return h
}

func (h *h264) begin(waiting bool) {
	h.data, h.fragment = h.data[:0], -1
	h.idr, h.picture, h.inBand, h.waiting = false, false, false, waiting
}

func (h *h264) add(payload []byte) error {
	kind := payload[0] & nalTypeMask
	if kind != nalFUA && h.fragment >= 0 {
		return errFrame
	}
	switch {
	case kind >= nalSlice && kind <= nalSingles:
		return h.unit(payload)
	case kind == nalSTAPA:
		for rest := payload[1:]; len(rest) > 0; {
			if len(rest) < 2 {
				return errFrame
			}
			size := int(binary.BigEndian.Uint16(rest))
			if rest = rest[2:]; size == 0 || size > len(rest) {
				return errFrame
			}
			if err := h.unit(rest[:size]); err != nil {
				return err
			}
			rest = rest[size:]
		}
		return nil
	case kind == nalFUA:
		return h.fragmented(payload)
	}
	return errFrame
}

// fragmented takes a fragment of a unit (RFC 6184 section 5.8).
func (h *h264) fragmented(payload []byte) error {
	const start, end = 0x80, 0x40
	if len(payload) < 2 {
		return errFrame
	}
	if begins := payload[1]&start != 0; begins != (h.fragment < 0) {
		return errFrame
	} else if begins {
		h.fragment = len(h.data)
		h.data = append(h.data, 0, 0, 0, 0, payload[0]&^nalTypeMask|payload[1]&nalTypeMask)
	}
	h.data = append(h.data, payload[2:]...)
	if payload[1]&end == 0 {
		return nil
	}
	unit := h.data[h.fragment+lengthSize:]
	h.data = h.data[:h.fragment]
	h.fragment = -1
	return h.unit(unit)
}

// unit appends a NAL unit; it may be where it is appended already.
func (h *h264) unit(unit []byte) error {
	switch unit[0] & nalTypeMask {
	case nalDelimiter, nalFiller: // which files do not have
		return nil
	case nalSPS, nalPPS:
		if !h.parameterSet(unit) {
			return errFrame
		}
		if unit[0]&nalTypeMask == nalSPS {
			h.inBand, h.sends = true, true
		}
	case nalIDR, nalSlice:
		r := bitReader{b: unit[1:]}
		if first := r.golomb(); !h.picture && (first != 0 || r.over) { // first_mb_in_slice: not the beginning
			return errFrame
		}
		h.picture = true
		h.idr = h.idr || unit[0]&nalTypeMask == nalIDR
	}
	h.data = binary.BigEndian.AppendUint32(h.data, uint32(len(unit)))
	h.data = append(h.data, unit...)
	return nil
}

// parameterSet keeps an SPS or PPS, and reports whether it makes sense.
func (h *h264) parameterSet(unit []byte) bool {
	if len(unit) < 4 || len(unit) > maxParameterSet {
		return false
	}
	switch unit[0] & nalTypeMask {
	case nalSPS:
		if slices.Equal(unit, h.sps) {
			return true
		}
		width, height, ok := pictureSizeH264(unit)
		if !ok {
			return false
		}
		h.sps, h.width, h.height = slices.Clone(unit), width, height
	case nalPPS:
		r := bitReader{b: unescape(unit[1:])}
		id := r.golomb()
		if r.over || id > 255 {
			return false
		}
		if slices.Equal(unit, h.pps[id]) {
			return true
		}
		if h.pps[id] == nil && len(h.pps) == maxParameterSets {
			clear(h.pps)
		}
		h.pps[id] = slices.Clone(unit)
	}
	h.private = nil
	return true
}

func (h *h264) finish(f *Frame) error {
	if h.fragment >= 0 || !h.picture {
		return errFrame
	}
	f.Data = h.data
	if !h.idr {
		return nil
	}
	if h.sps == nil || len(h.pps) == 0 {
		return errFrame
	}
	if h.waiting && h.sends && !h.inBand { // others may have been lost
		return errFrame
	}
	if !h.inBand { // so that a decoder may begin at any key frame, whatever was before it
		h.data = append(h.parameterSets(), h.data...)
		f.Data = h.data
	}
	if h.private == nil {
		h.private = h.record()
	}
	f.Key, f.Width, f.Height, f.Private = true, h.width, h.height, h.private
	return nil
}

// sorted lists the PPS by their identifiers.
func (h *h264) sorted() [][]byte {
	var ids []uint32
	for id := range h.pps {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var list [][]byte
	for _, id := range ids {
		list = append(list, h.pps[id])
	}
	return list
}

func (h *h264) parameterSets() []byte {
	var b []byte
	for _, set := range append([][]byte{h.sps}, h.sorted()...) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(set)))
		b = append(b, set...)
	}
	return b
}

// record is the AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1),
// without the extension for High profiles, which decoders do without.
func (h *h264) record() []byte {
	b := []byte{1, h.sps[1], h.sps[2], h.sps[3], 0xfc | (lengthSize - 1), 0xe0 | 1}
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.sps)))
	b = append(b, h.sps...)
	sets := h.sorted()
	b = append(b, byte(len(sets)))
	for _, set := range sets {
		b = binary.BigEndian.AppendUint16(b, uint16(len(set)))
		b = append(b, set...)
	}
	return b
}

// unescape drops the emulation prevention bytes (H.264 section 7.3.1).
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}

// pictureSizeH264 reads the size out of an SPS (H.264 section 7.3.2.1.1).
func pictureSizeH264(sps []byte) (width, height int, ok bool) {
	r := &bitReader{b: unescape(sps[1:])}
	profile := r.bits(8)
	r.skip(16) // constraints, level
	r.golomb() // seq_parameter_set_id
	chroma, planes := uint32(1), false
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		if chroma = r.golomb(); chroma == 3 {
			planes = r.flag()
		}
		r.golomb() // bit_depth_luma_minus8
		r.golomb() // bit_depth_chroma_minus8
		r.skip(1)
		if r.flag() { // seq_scaling_matrix_present_flag
			lists := 8
			if chroma == 3 {
				lists = 12
			}
			for i := range lists {
				if r.flag() {
					skipScalingList(r, i)
				}
			}
		}
	}
	r.golomb()          // log2_max_frame_num_minus4
	switch r.golomb() { // pic_order_cnt_type
	case 0:
		r.golomb()
	case 1:
		r.skip(1)
		r.golomb()
		r.golomb()
		n := r.golomb()
		if n > 255 {
			return 0, 0, false
		}
		for range n {
			r.golomb()
		}
	}
	r.golomb() // max_num_ref_frames
	r.skip(1)
	columns := int64(r.golomb()) + 1
	rows := int64(r.golomb()) + 1
	fields := int64(1)
	if !r.flag() { // frame_mbs_only_flag
		fields = 2
		r.skip(1)
	}
	r.skip(1) // direct_8x8_inference_flag
	var crop [4]int64
	if r.flag() {
		for i := range crop {
			crop[i] = int64(r.golomb())
		}
	}
	unitX, unitY := int64(1), fields
	if !planes && (chroma == 1 || chroma == 2) {
		unitX = 2
	}
	if !planes && chroma == 1 {
		unitY *= 2
	}
	w := columns*16 - unitX*(crop[0]+crop[1])
	h := rows*16*fields - unitY*(crop[2]+crop[3])
	if r.over || w < 1 || h < 1 || w > 1<<14 || h > 1<<14 {
		return 0, 0, false
	}
	return int(w), int(h), true
}

func skipScalingList(r *bitReader, i int) {
	size := 16
	if i >= 6 {
		size = 64
	}
	last, next := int32(8), int32(8)
	for range size {
		if next != 0 {
			next = (last + r.signedGolomb() + 256) % 256
		}
		if next != 0 {
			last = next
		}
	}
}
