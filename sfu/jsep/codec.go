package jsep

import (
	"slices"

	"skillsage/sfu/fmtp"
)

// DefaultVideo is the order in which a relay prefers video codecs: VP8 is
// mandatory everywhere (RFC 7742 section 5), H.264 is what a client without it
// has, and the others follow.
var DefaultVideo = []string{"vp8", "h264", "vp9", "av1"}

// Choose picks the one codec a relay carries in a section, nil if it carries
// none of them: prefer first if it is offered (the name of a codec, may be
// empty), then the order of the policy.
func Choose(s *Section, policy []string, prefer string) *Codec {
	if s.Kind == Audio {
		policy, prefer = []string{"opus"}, ""
	}
	if prefer != "" {
		if codec := find(s, prefer); codec != nil {
			return codec
		}
	}
	for _, name := range policy {
		if codec := find(s, name); codec != nil {
			return codec
		}
	}
	return nil
}

// find returns the format of a codec that suits a relay best, of equal ones the
// client's first; nil if none does.
func find(s *Section, name string) *Codec {
	var best *Codec
	for i := range s.Codecs {
		if c := &s.Codecs[i]; c.Name == name && c.rank() > 0 && (best == nil || c.rank() > best.rank()) {
			best = c
		}
	}
	return best
}

// Takes lists the codecs of a section that a relay can carry, by name, in the
// client's order.
func (s *Section) Takes() []string {
	var names []string
	for i := range s.Codecs {
		if c := &s.Codecs[i]; c.rank() > 0 && !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// rank tells the formats of a codec that every endpoint of that codec takes from
// the others that share its name; 0: not to be carried.
func (c *Codec) rank() int {
	switch c.Name {
	case "opus":
		if c.ClockRate != 48000 { // RFC 7587 section 4.1
			return 0
		}
	case "vp8", "vp9", "h264", "av1":
	default:
		return 0
	}
	return fmtp.Rank(c.Name, c.Fmtp)
}
