// Package jsep reads and rewrites session descriptions (RFC 8829, RFC 8866).
//
// A leg's WebRTC stack only ever sees a sanitised description, and a client
// only ever sees a rewritten one: directions, stream ids and codecs are the
// relay's decisions, while credentials, payload types and SSRCs stay the
// stack's. Everything here is pure: no I/O, no goroutines, no shared state.
package jsep

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"skillsage/sfu/fmtp"
)

// Bounds of what a client may send. A browser's largest offers stay far below.
const (
	MaxSize       = 256 << 10 // bytes of one description
	MaxSections   = 64        // m= sections
	MaxAttributes = 1024      // a= lines of one section
	MaxCandidates = 64        // a=candidate lines taken from one description
	maxToken      = 256       // bytes of a mid, stream id, ufrag
	maxRIDs       = 16        // simulcast streams of one section
)

// Kind is the media kind of an m= section.
type Kind string

// The kinds a relay knows.
const (
	Audio       Kind = "audio"
	Video       Kind = "video"
	Application Kind = "application"
)

// Direction is an m= section's direction (RFC 8866 section 6.7) seen from the
// side that wrote the description.
type Direction struct{ Send, Recv bool }

func (d Direction) String() string {
	switch d {
	case Direction{true, true}:
		return "sendrecv"
	case Direction{true, false}:
		return "sendonly"
	case Direction{false, true}:
		return "recvonly"
	}
	return "inactive"
}

// Codec is one payload type of an m= section.
type Codec struct {
	PayloadType uint8
	Name        string // lower case, as "vp8"
	ClockRate   uint32
	Channels    uint16
	Fmtp        string
	RTX         uint8 // payload type of its retransmission format (RFC 4588), 0 if none
	// RED is the payload type of the format that carries Opus with copies of
	// earlier packets (RFC 2198), 0 if none. Browsers send it where REDFirst.
	RED      uint8
	REDFirst bool // it stands before Opus
}

// Section is what a relay needs to know of one m= section.
type Section struct {
	MID       string
	Kind      Kind
	Direction Direction // as the client wrote it
	Rejected  bool      // port 0 without a=bundle-only
	Stream    string    // first msid stream id, empty if none or "-"
	Track     string    // msid track id
	Codecs    []Codec   // in the client's order of preference, RTX and RED folded into their base codec
	RIDs      []string  // of the streams that it sends with simulcast (RFC 8853), in its order; nil without
	// Paused says that it sends nothing now and may send Stream and Track in the
	// streams of RIDs again. Parse cannot know that.
	Paused bool
}

// Description is a parsed offer or answer. It is immutable after Parse.
type Description struct {
	Sections    []Section
	Fingerprint string   // of the DTLS certificate, algorithm and value in lower case
	Ufrag       string   // ICE user name fragment of the bundled transport
	Candidates  []string // a=candidate values, at most MaxCandidates

	parsed *sdp.SessionDescription
}

// Clone copies the sections, for whoever reads into them more than they say.
func (d *Description) Clone() *Description {
	clone := *d
	clone.Sections = slices.Clone(d.Sections)
	return &clone
}

// Section returns the section with that mid, or nil.
func (d *Description) Section(mid string) *Section {
	for i := range d.Sections {
		if d.Sections[i].MID == mid {
			return &d.Sections[i]
		}
	}
	return nil
}

// HasApplication tells whether a data channel section is offered or accepted.
func (d *Description) HasApplication() bool {
	for i := range d.Sections {
		if d.Sections[i].Kind == Application && !d.Sections[i].Rejected {
			return true
		}
	}
	return false
}

// Parse reads a client's offer or answer. The error says, in words meant for
// the client's developer, what cannot be accepted.
func Parse(text string) (*Description, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("sdp is %d bytes long, at most %d are accepted", len(text), MaxSize)
	}
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("sdp is empty")
	}
	if !strings.HasPrefix(strings.TrimLeft(text, " \r\n\t"), "v=") {
		return nil, errors.New("sdp does not parse: it does not begin with v=0")
	}
	parsed := &sdp.SessionDescription{}
	if err := parsed.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("sdp does not parse: %.200s", err.Error()) // the stack quotes the line, however long
	}
	if n := len(parsed.MediaDescriptions); n > MaxSections {
		return nil, fmt.Errorf("sdp has %d m= sections, at most %d are accepted", n, MaxSections)
	}
	d := &Description{parsed: parsed}
	d.Fingerprint = fingerprint(parsed.Attributes)
	d.Ufrag, _ = parsed.Attribute("ice-ufrag")
	mids := make(map[string]bool, len(parsed.MediaDescriptions))
	for i, media := range parsed.MediaDescriptions {
		section, err := d.parseSection(i, media)
		if err != nil {
			return nil, err
		}
		if mids[section.MID] {
			return nil, fmt.Errorf("sdp has two m= sections with mid %q", section.MID)
		}
		mids[section.MID] = true
		d.Sections = append(d.Sections, section)
	}
	if len(d.Sections) == 0 {
		return d, nil // the caller decides what an empty offer means
	}
	if d.Fingerprint == "" {
		return nil, errors.New("sdp has no a=fingerprint: only DTLS-SRTP is supported")
	}
	if d.Ufrag == "" || len(d.Ufrag) > maxToken {
		return nil, errors.New("sdp has no usable a=ice-ufrag")
	}
	return d, nil
}

func (d *Description) parseSection(index int, media *sdp.MediaDescription) (Section, error) {
	kind := Kind(media.MediaName.Media)
	where := fmt.Sprintf("m= section %d (%.20q)", index, media.MediaName.Media)
	if kind != Audio && kind != Video && kind != Application {
		return Section{}, fmt.Errorf("%s: only audio, video and application are supported", where)
	}
	if len(media.Attributes) > MaxAttributes {
		return Section{}, fmt.Errorf("%s has %d attributes, at most %d are accepted", where, len(media.Attributes), MaxAttributes)
	}
	s := Section{Kind: kind, Direction: Direction{true, true}}
	setDirection(&s.Direction, d.parsed.Attributes)
	setDirection(&s.Direction, media.Attributes)
	_, bundleOnly := media.Attribute("bundle-only")
	s.Rejected = media.MediaName.Port.Value == 0 && !bundleOnly
	for _, a := range media.Attributes {
		switch a.Key {
		case "mid":
			s.MID = a.Value
		case "msid":
			if s.Stream == "" && s.Track == "" {
				stream, track, _ := strings.Cut(a.Value, " ")
				if stream != "-" {
					s.Stream = stream
				}
				s.Track = track
			}
		case "candidate":
			if len(d.Candidates) < MaxCandidates && len(a.Value) <= 1024 {
				d.Candidates = append(d.Candidates, a.Value)
			}
		case "ice-ufrag":
			if d.Ufrag == "" {
				d.Ufrag = a.Value
			}
		}
	}
	if s.MID == "" || len(s.MID) > maxToken || strings.ContainsAny(s.MID, " \t") {
		return Section{}, fmt.Errorf("%s has no usable a=mid", where)
	}
	if len(s.Stream) > maxToken || len(s.Track) > maxToken {
		return Section{}, fmt.Errorf("%s has an a=msid of more than %d bytes", where, maxToken)
	}
	if d.Fingerprint == "" {
		d.Fingerprint = fingerprint(media.Attributes)
	}
	if kind != Application {
		s.Codecs = parseCodecs(media)
		s.RIDs = parseRIDs(media)
	}
	return s, nil
}

func setDirection(d *Direction, attributes []sdp.Attribute) {
	for _, a := range attributes {
		switch a.Key {
		case "sendrecv":
			*d = Direction{true, true}
		case "sendonly":
			*d = Direction{true, false}
		case "recvonly":
			*d = Direction{false, true}
		case "inactive":
			*d = Direction{}
		}
	}
}

// parseRIDs lists the RTP stream ids of a=simulcast's send direction (RFC 8853
// section 5.1) that an a=rid line describes (RFC 8851): of alternatives the first,
// whether paused or not. There should be one such line; some stacks write one for
// each direction.
func parseRIDs(media *sdp.MediaDescription) []string {
	described := make(map[string]bool)
	list := ""
	for _, a := range media.Attributes {
		switch a.Key {
		case "rid":
			if id, rest, _ := strings.Cut(a.Value, " "); rest == "send" || strings.HasPrefix(rest, "send ") {
				described[id] = true
			}
		case "simulcast":
			fields := strings.Fields(a.Value)
			if at := slices.Index(fields, "send") + 1; at > 0 && at < len(fields) {
				list = fields[at]
			}
		}
	}
	var ids []string
	for alternatives := range strings.SplitSeq(list, ";") {
		id, _, _ := strings.Cut(alternatives, ",")
		if id = strings.TrimPrefix(id, "~"); described[id] && len(ids) < maxRIDs {
			described[id] = false
			ids = append(ids, id)
		}
	}
	return ids
}

func fingerprint(attributes []sdp.Attribute) string {
	for _, a := range attributes {
		if a.Key == "fingerprint" && len(a.Value) <= 2*maxToken {
			return strings.ToLower(a.Value)
		}
	}
	return ""
}

// parseCodecs lists an m= section's formats in their order, with fmtp and RTX.
func parseCodecs(media *sdp.MediaDescription) []Codec {
	byType := make(map[uint8]*Codec)
	var order []uint8
	for _, format := range media.MediaName.Formats {
		pt, err := strconv.ParseUint(format, 10, 7)
		if err != nil || byType[uint8(pt)] != nil {
			continue
		}
		byType[uint8(pt)] = &Codec{PayloadType: uint8(pt)}
		order = append(order, uint8(pt))
	}
	for _, a := range media.Attributes {
		if a.Key != "rtpmap" && a.Key != "fmtp" {
			continue
		}
		first, rest, _ := strings.Cut(a.Value, " ")
		pt, err := strconv.ParseUint(first, 10, 7)
		codec := byType[uint8(pt)]
		if err != nil || codec == nil {
			continue
		}
		if a.Key == "fmtp" {
			codec.Fmtp = rest
			continue
		}
		parts := strings.Split(rest, "/")
		codec.Name = strings.ToLower(parts[0])
		if len(parts) > 1 {
			rate, _ := strconv.ParseUint(parts[1], 10, 32)
			codec.ClockRate = uint32(rate)
		}
		if len(parts) > 2 {
			channels, _ := strconv.ParseUint(parts[2], 10, 16)
			codec.Channels = uint16(channels)
		}
	}
	for _, pt := range order {
		codec := byType[pt]
		if codec.Name != "rtx" {
			continue
		}
		apt, err := strconv.ParseUint(fmtp.Value(codec.Fmtp, "apt"), 10, 7)
		if base := byType[uint8(apt)]; err == nil && base != nil && base.Name != "rtx" && base.RTX == 0 {
			base.RTX = pt
		}
	}
	for i, pt := range order {
		codec := byType[pt]
		if !codec.redundant() {
			continue
		}
		if base := redundantOf(codec, order, byType); base != nil && base.RED == 0 {
			base.RED, base.REDFirst = pt, slices.Index(order, base.PayloadType) > i
		}
	}
	codecs := make([]Codec, 0, len(order))
	for _, pt := range order {
		if codec := byType[pt]; codec.Name != "" && codec.Name != "rtx" && !codec.redundant() {
			codecs = append(codecs, *codec)
		}
	}
	return codecs
}

// redundant tells the audio format of RFC 2198 from the video format of that name.
func (c *Codec) redundant() bool { return c.Name == "red" && c.ClockRate == 48000 }

// redundantOf is the Opus that a RED format carries: what its parameters name, all
// blocks the same; without parameters the first; nil if there is none.
func redundantOf(red *Codec, order []uint8, byType map[uint8]*Codec) *Codec {
	blocks := strings.Split(strings.TrimSpace(red.Fmtp), "/")
	for _, pt := range order {
		if byType[pt].Name != "opus" {
			continue
		}
		if red.Fmtp == "" || !slices.ContainsFunc(blocks, func(b string) bool { return b != strconv.Itoa(int(pt)) }) {
			return byType[pt]
		}
	}
	return nil
}
