package jsep

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// maxFmtp is the size in bytes from which on a client's Opus parameters are not
// passed on.
const maxFmtp = 256

// OpusLocal is what a description says about Opus: the far side's words, as they
// would stand there without a relay. They are a receiver's wishes (RFC 7587
// section 7): stereo, DTX or in-band FEC reach the encoder that they are meant
// for, and nothing is added or taken away.
type OpusLocal struct {
	Parameters string     // of a=fmtp; "" keeps what the stack wrote
	RED        Redundancy // whether and where RED stands (RFC 2198)
}

// Redundancy tells what a description offers of RED.
type Redundancy int

// The places of RED in a description. Browsers send it only where it stands
// before Opus.
const (
	NoRED     Redundancy = iota
	REDBehind            // it may be sent
	REDFirst             // it is preferred
)

// OpusOf is what a client says of Opus in a section, for the far side.
func OpusOf(s *Section) OpusLocal {
	codec := find(s, "opus")
	if codec == nil {
		return OpusLocal{}
	}
	local := OpusLocal{Parameters: codec.Fmtp}
	if len(local.Parameters) > maxFmtp || strings.ContainsAny(local.Parameters, "\r\n") {
		local.Parameters = ""
	}
	switch {
	case codec.RED != 0 && codec.REDFirst:
		local.RED = REDFirst
	case codec.RED != 0:
		local.RED = REDBehind
	}
	return local
}

// write puts that into a section of the stack's.
func (o OpusLocal) write(media *sdp.MediaDescription) {
	opus, red := formatNamed(media, "opus/48000"), formatNamed(media, "red/48000")
	if opus == "" {
		return
	}
	if o.Parameters != "" {
		setFmtp(media, opus, o.Parameters)
	}
	if red == "" {
		return
	}
	isRED := func(format string) bool { return format == red }
	media.MediaName.Formats = slices.DeleteFunc(media.MediaName.Formats, isRED)
	at := slices.Index(media.MediaName.Formats, opus)
	switch o.RED {
	case NoRED:
		media.Attributes = slices.DeleteFunc(media.Attributes, func(a sdp.Attribute) bool {
			return (a.Key == "rtpmap" || a.Key == "fmtp" || a.Key == "rtcp-fb") && strings.HasPrefix(a.Value, red+" ")
		})
		return
	case REDBehind:
		at++
	}
	media.MediaName.Formats = slices.Insert(media.MediaName.Formats, at, red)
	setFmtp(media, red, opus+"/"+opus) // the stack does not know that these are payload types
}

// formatNamed is the first format of a section with that name and clock rate, "" if none.
func formatNamed(media *sdp.MediaDescription, name string) string {
	for _, a := range media.Attributes {
		if format, rest, _ := strings.Cut(a.Value, " "); a.Key == "rtpmap" &&
			strings.HasPrefix(strings.ToLower(rest)+"/", name+"/") && slices.Contains(media.MediaName.Formats, format) {
			return format
		}
	}
	return ""
}

// setFmtp replaces a format's parameters, or adds them behind its a=rtpmap.
func setFmtp(media *sdp.MediaDescription, format, parameters string) {
	line := sdp.Attribute{Key: "fmtp", Value: fmt.Sprintf("%s %s", format, parameters)}
	is := func(key string) func(sdp.Attribute) bool {
		return func(a sdp.Attribute) bool { return a.Key == key && strings.HasPrefix(a.Value, format+" ") }
	}
	media.Attributes = slices.DeleteFunc(media.Attributes, is("fmtp"))
	at := slices.IndexFunc(media.Attributes, is("rtpmap"))
	media.Attributes = slices.Insert(media.Attributes, at+1, line)
}
