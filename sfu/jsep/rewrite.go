package jsep

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Sanitize renders the description for the leg's own WebRTC stack. Every media
// section becomes sendrecv, because the stack treats other directions as
// commands (it stops an inactive transceiver for good) while the relay keeps
// directions itself; a section that sends nothing loses its a=ssrc lines, so
// that no receiver is started for it; the simulcast streams of a paused one stay,
// since a browser names them in its first packets alone, and sends one stream for
// good when an offer does not repeat them (W3C webrtc-pc 4.4.1.5); of the formats
// only the chosen codec and its RTX or RED remain; where chosen returns nil one
// format stays under the name of a codec that the stack has, so that it can answer
// the others (Rewrite rejects the section then); Opus loses its parameters, which are between the clients and
// which the stack would take for another codec's; candidates are taken out, they
// go their own bounded way.
func (d *Description) Sanitize(chosen func(*Section) *Codec) (string, error) {
	out := *d.parsed
	out.Attributes = withoutDirections(d.parsed.Attributes)
	out.MediaDescriptions = make([]*sdp.MediaDescription, len(d.parsed.MediaDescriptions))
	for i, media := range d.parsed.MediaDescriptions {
		section := &d.Sections[i]
		clean := *media
		if section.Kind == Application {
			clean.Attributes = slices.DeleteFunc(slices.Clone(media.Attributes), isCandidate)
		} else {
			codec := chosen(section)
			stand := section
			if codec == nil {
				codec = standIn(section, media)
				quiet := *section
				quiet.Direction.Send, quiet.Paused = false, false
				stand = &quiet
			}
			clean.MediaName.Formats = formats(codec)
			clean.Attributes = append(cleanAttributes(media.Attributes, stand, codec), sdp.Attribute{Key: "sendrecv"})
			if chosen(section) == nil {
				clean.Attributes = rename(clean.Attributes, codec)
			}
		}
		out.MediaDescriptions[i] = &clean
	}
	text, err := out.Marshal()
	if err != nil {
		return "", fmt.Errorf("sdp cannot be written again: %w", err)
	}
	return string(text), nil
}

// standIn is a codec of the stack's under the first of the section's payload types
// that is a dynamic one: the stack knows the static ones by themselves, and a
// client without any codec writes "0" (RFC 3551 section 6).
func standIn(section *Section, media *sdp.MediaDescription) *Codec {
	pt := uint64(96)
	for _, format := range media.MediaName.Formats {
		if n, err := strconv.ParseUint(format, 10, 7); err == nil && n >= 96 {
			pt = n
			break
		}
	}
	name := "VP8/90000"
	if section.Kind == Audio {
		name = "opus/48000/2"
	}
	return &Codec{PayloadType: uint8(pt), Name: name}
}

// rename leaves of a section's formats the stand-in alone.
func rename(attributes []sdp.Attribute, codec *Codec) []sdp.Attribute {
	kept := slices.DeleteFunc(attributes, func(a sdp.Attribute) bool {
		return a.Key == "rtpmap" || a.Key == "fmtp" || a.Key == "rtcp-fb"
	})
	return append(kept, sdp.Attribute{Key: "rtpmap", Value: fmt.Sprintf("%d %s", codec.PayloadType, codec.Name)})
}

func formats(codec *Codec) []string {
	list := []string{strconv.Itoa(int(codec.PayloadType))}
	for _, pt := range []uint8{codec.RTX, codec.RED} {
		if pt != 0 {
			list = append(list, strconv.Itoa(int(pt)))
		}
	}
	return list
}

func withoutDirections(attributes []sdp.Attribute) []sdp.Attribute {
	return slices.DeleteFunc(slices.Clone(attributes), func(a sdp.Attribute) bool { return isDirection(a) || isCandidate(a) })
}

func isDirection(a sdp.Attribute) bool {
	return a.Value == "" && (a.Key == "sendrecv" || a.Key == "sendonly" || a.Key == "recvonly" || a.Key == "inactive")
}

func isCandidate(a sdp.Attribute) bool {
	return a.Key == "candidate" || a.Key == "end-of-candidates"
}

func cleanAttributes(attributes []sdp.Attribute, section *Section, codec *Codec) []sdp.Attribute {
	sends := section.Direction.Send && !section.Rejected
	kept := make([]sdp.Attribute, 0, len(attributes))
	for _, a := range attributes {
		switch a.Key {
		case "ssrc", "ssrc-group", "msid", "rid", "simulcast":
			if !sends {
				continue
			}
		case "rtpmap", "fmtp", "rtcp-fb":
			if !ofCodec(a.Value, codec) || codec.Name == "opus" && a.Key == "fmtp" && !ofType(a.Value, codec.RED) {
				continue
			}
		}
		if isDirection(a) || isCandidate(a) {
			continue
		}
		kept = append(kept, a)
	}
	if section.Paused && !sends && !section.Rejected {
		kept = append(kept, sdp.Attribute{Key: "msid", Value: cmp.Or(section.Stream, "-") + " " + section.Track})
		for _, rid := range section.RIDs {
			kept = append(kept, sdp.Attribute{Key: "rid", Value: rid + " send"})
		}
		kept = append(kept, sdp.Attribute{Key: "simulcast", Value: "send " + strings.Join(section.RIDs, ";")})
	}
	return kept
}

// ofCodec tells whether an rtpmap, fmtp or rtcp-fb value speaks of that codec,
// its RTX, its RED or, for feedback, of every payload type.
func ofCodec(value string, codec *Codec) bool {
	return strings.HasPrefix(value, "* ") || ofType(value, codec.PayloadType) || ofType(value, codec.RTX) || ofType(value, codec.RED)
}

// ofType tells whether a value begins with that payload type, 0 for none.
func ofType(value string, pt uint8) bool {
	first, _, _ := strings.Cut(value, " ")
	n, err := strconv.ParseUint(first, 10, 7)
	return err == nil && pt != 0 && uint8(n) == pt
}

// Local is the relay's decision for one m= section of a description it sends.
type Local struct {
	Send, Recv bool
	Reject     bool // port 0 (RFC 8829 section 5.3.1)
	// Paused says that the section sent before and may again. Its sources stay
	// announced, without a stream: Chromium never shows a source again that it
	// was told of, then not, then told of again.
	Paused bool
	Opus   OpusLocal // of an audio section
}

// Rewrite turns a description made by the leg's WebRTC stack into the one the
// client gets: the relay's directions, no sources announced where nothing is
// sent, and no candidates for a second component that RTCP multiplexing never
// uses. A section that decide does not know keeps what the stack wrote.
// candidates (values of a=candidate) take the place of the stack's; nil keeps those.
func Rewrite(text string, decide func(mid string) (Local, bool), candidates []string) (string, error) {
	parsed := &sdp.SessionDescription{}
	if err := parsed.UnmarshalString(text); err != nil {
		return "", fmt.Errorf("own description does not parse: %w", err)
	}
	var rejected []string
	for _, media := range parsed.MediaDescriptions {
		media.Attributes = slices.DeleteFunc(media.Attributes, isRTCPCandidate)
		mid, _ := media.Attribute("mid")
		local, known := decide(mid)
		if !known {
			continue
		}
		if local.Reject {
			media.MediaName.Port.Value = 0
			rejected = append(rejected, mid)
		}
		if media.MediaName.Media == string(Application) {
			continue
		}
		direction := Direction{Send: local.Send && !local.Reject, Recv: local.Recv && !local.Reject}
		media.Attributes = slices.DeleteFunc(media.Attributes, func(a sdp.Attribute) bool {
			if direction.Send || isDirection(a) {
				return isDirection(a)
			}
			switch a.Key {
			case "msid":
				return true
			case "ssrc":
				return !local.Paused || !strings.Contains(a.Value, " cname:")
			case "ssrc-group":
				return !local.Paused
			}
			return false
		})
		media.Attributes = append(media.Attributes, sdp.Attribute{Key: direction.String()})
		if media.MediaName.Media == string(Audio) {
			local.Opus.write(media)
		}
	}
	if len(rejected) > 0 {
		unbundle(parsed, rejected)
	}
	if len(rejected) > 0 || candidates != nil {
		placeCandidates(parsed, candidates)
	}
	out, err := parsed.Marshal()
	if err != nil {
		return "", fmt.Errorf("own description cannot be written: %w", err)
	}
	return string(out), nil
}

// placeCandidates puts all candidates, or the given ones in their place, into the first section that is not rejected: no
// browser looks for them in a rejected one.
func placeCandidates(parsed *sdp.SessionDescription, given []string) {
	var all []sdp.Attribute
	for _, media := range parsed.MediaDescriptions {
		media.Attributes = slices.DeleteFunc(media.Attributes, func(a sdp.Attribute) bool {
			if isCandidate(a) {
				all = append(all, a)
			}
			return isCandidate(a)
		})
	}
	if given != nil {
		complete := slices.ContainsFunc(all, func(a sdp.Attribute) bool { return a.Key == "end-of-candidates" })
		all = nil
		for _, value := range given {
			all = append(all, sdp.Attribute{Key: "candidate", Value: value})
		}
		if complete {
			all = append(all, sdp.Attribute{Key: "end-of-candidates"})
		}
	}
	for _, media := range parsed.MediaDescriptions {
		if media.MediaName.Port.Value != 0 {
			media.Attributes = append(media.Attributes, all...)
			return
		}
	}
}

// isRTCPCandidate matches candidates of component 2.
func isRTCPCandidate(a sdp.Attribute) bool {
	if a.Key != "candidate" {
		return false
	}
	fields := strings.Fields(a.Value)
	return len(fields) > 1 && fields[1] == "2"
}

// unbundle takes rejected sections out of the BUNDLE group (RFC 9143 section 7.3.3).
func unbundle(parsed *sdp.SessionDescription, rejected []string) {
	for i, a := range parsed.Attributes {
		if a.Key != "group" || !strings.HasPrefix(a.Value, "BUNDLE") {
			continue
		}
		mids := slices.DeleteFunc(strings.Fields(a.Value), func(mid string) bool { return slices.Contains(rejected, mid) })
		parsed.Attributes[i].Value = strings.Join(mids, " ")
	}
}
