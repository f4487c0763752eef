package jsep

import "strings"

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

func find(s *Section, name string) *Codec {
	for i := range s.Codecs {
		if c := &s.Codecs[i]; c.Name == name && carried(c) {
			return c
		}
	}
	return nil
}

// carried tells the formats of a codec that every endpoint of that codec takes
// from the others that share its name.
func carried(c *Codec) bool {
	switch c.Name {
	case "opus":
		return c.ClockRate == 48000
	case "h264":
		// Constrained Baseline and Baseline, single NAL or FU-A with STAP-A
		// (RFC 6184 section 6.3): the profile every browser decodes.
		profile := strings.ToLower(fmtpValue(c.Fmtp, "profile-level-id"))
		return fmtpValue(c.Fmtp, "packetization-mode") == "1" && strings.HasPrefix(profile, "42")
	case "vp9":
		profile := fmtpValue(c.Fmtp, "profile-id")
		return profile == "" || profile == "0"
	case "av1":
		profile := fmtpValue(c.Fmtp, "profile")
		return profile == "" || profile == "0"
	}
	return true
}
