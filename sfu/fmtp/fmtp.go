// Package fmtp reads format-specific parameters (RFC 8866 section 6.15) and
// tells which payload formats mean the same, however they are spelled. Pure: no
// I/O, no shared state.
package fmtp

import (
	"strconv"
	"strings"
)

// Value returns one parameter of a parameter list, "" if it is not there.
// Names are compared without regard to case.
func Value(line, name string) string {
	for parameter := range strings.SplitSeq(line, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func valueOr(line, name, otherwise string) string {
	if value := Value(line, name); value != "" {
		return value
	}
	return otherwise
}

// Same reports whether whoever negotiated one format of a codec can decode the
// other: the same profile and, for H.264, packetization mode. Levels are not
// compared: they bound what is sent, and a receiver's is no promise of a sender's
// (RFC 6184 section 8.2.2, level-asymmetry-allowed). codec is its lower-case name.
func Same(codec, a, b string) bool {
	switch codec {
	case "h264":
		return packetizationMode(a) == packetizationMode(b) && sameH264(ProfileOf(a), ProfileOf(b))
	case "vp9":
		return valueOr(a, "profile-id", "0") == valueOr(b, "profile-id", "0")
	case "av1":
		return valueOr(a, "profile", "0") == valueOr(b, "profile", "0")
	}
	return true
}

// Rank tells how well a format of a codec suits a relay, which sends what one
// client makes to all others: 0 not at all, since not every endpoint of that
// codec decodes it; of several, the highest. codec is its lower-case name.
func Rank(codec, line string) int {
	switch codec {
	case "h264":
		// Mode 1 alone: without it a picture must fit single packets (RFC 6184
		// section 6.2). Every endpoint has Constrained Baseline (RFC 7742 section 6.2).
		if packetizationMode(line) != "1" {
			return 0
		}
		switch ProfileOf(line) {
		case H264ConstrainedBaseline:
			return 2
		case H264Baseline:
			return 1
		}
		return 0
	case "vp9", "av1":
		if !Same(codec, line, "") {
			return 0
		}
	}
	return 1
}

func packetizationMode(line string) string { return valueOr(line, "packetization-mode", "0") }

// H264Profile is a profile of H.264, as far as the differences matter here.
type H264Profile int

// The profiles of RFC 6184 table 5. Others are H264Unknown.
const (
	H264Unknown H264Profile = iota
	H264ConstrainedBaseline
	H264Baseline
	H264Main
	H264Extended
	H264High
	H264ConstrainedHigh
)

// profile_idc and the bits of profile-iop that tell profiles apart, in the order
// in which they are tried (RFC 6184 table 5). The bits are constraint_set0_flag
// (0x80) to constraint_set5_flag (0x04).
var h264Profiles = []struct {
	idc, mask, bits uint8
	profile         H264Profile
}{
	{0x42, 0x4f, 0x40, H264ConstrainedBaseline},
	{0x4d, 0x8f, 0x80, H264ConstrainedBaseline},
	{0x58, 0xcf, 0xc0, H264ConstrainedBaseline},
	{0x42, 0x4f, 0x00, H264Baseline},
	{0x58, 0xcf, 0x80, H264Baseline},
	{0x4d, 0xaf, 0x00, H264Main},
	{0x58, 0xcf, 0x00, H264Extended},
	{0x64, 0xff, 0x00, H264High},
	{0x64, 0xff, 0x0c, H264ConstrainedHigh},
}

// ProfileOf reads the profile of an H.264 parameter list; without one it is
// Baseline (RFC 6184 section 8.1).
func ProfileOf(line string) H264Profile {
	id := valueOr(line, "profile-level-id", "42000a")
	n, err := strconv.ParseUint(id, 16, 32)
	if err != nil || len(id) != 6 {
		return H264Unknown
	}
	idc, iop := uint8(n>>16), uint8(n>>8)
	for _, p := range h264Profiles {
		if p.idc == idc && iop&p.mask == p.bits {
			return p.profile
		}
	}
	return H264Unknown
}

// sameH264: what browsers call Baseline has none of its additions (flexible
// macroblock ordering, redundant slices), so both kinds decode each other.
func sameH264(a, b H264Profile) bool {
	plain := func(p H264Profile) bool { return p == H264ConstrainedBaseline || p == H264Baseline }
	return a == b && a != H264Unknown || plain(a) && plain(b)
}
