package sfu

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"

	"github.com/pion/webrtc/v4"
)

// Bounds of what waits for a description that may never come.
const (
	maxCandidateBytes = 2048
	maxLegCandidates  = 64  // waiting at one leg
	maxAddedPerUfrag  = 128 // given to the stack for one set of credentials
	maxEarlyKeys      = 32  // connections of one room with candidates but no offer yet
	maxOwnCandidates  = 32  // of the server, in one description
)

// parseCandidate reads an RTCIceCandidateInit, also wrapped as
// {"type":"candidate","candidate":{…}}. usable is false for what needs no
// answer: an end of candidates, an mDNS name (the browser's own checks reveal
// the address), an active TCP candidate.
func parseCandidate(raw []byte) (init webrtc.ICECandidateInit, usable bool, err error) {
	if len(raw) > maxCandidateBytes {
		return init, false, fmt.Errorf("candidate is %d bytes long, at most %d are accepted", len(raw), maxCandidateBytes)
	}
	var message struct {
		Candidate        json.RawMessage `json:"candidate"`
		SDPMid           *string         `json:"sdpMid"`
		SDPMLineIndex    *uint16         `json:"sdpMLineIndex"`
		UsernameFragment *string         `json:"usernameFragment"`
	}
	if string(raw) == "null" || len(raw) == 0 {
		return init, false, nil
	}
	if err := json.Unmarshal(raw, &message); err != nil {
		return init, false, errors.New("candidate is not an RTCIceCandidateInit object")
	}
	if len(message.Candidate) > 0 && message.Candidate[0] == '{' {
		return parseCandidate(message.Candidate)
	}
	var line string
	if len(message.Candidate) > 0 && string(message.Candidate) != "null" {
		if err := json.Unmarshal(message.Candidate, &line); err != nil {
			return init, false, errors.New("candidate.candidate is not a string")
		}
	}
	init = webrtc.ICECandidateInit{Candidate: line, SDPMid: message.SDPMid, SDPMLineIndex: message.SDPMLineIndex}
	if message.UsernameFragment != nil {
		init.UsernameFragment = message.UsernameFragment
	}
	fields := strings.Fields(strings.TrimPrefix(line, "candidate:"))
	switch {
	case len(fields) == 0:
		return init, false, nil
	case len(fields) < 8:
		return init, false, errors.New("candidate.candidate is not an ICE candidate line (RFC 8839 section 5.1)")
	}
	return init, usableCandidate(line), nil
}

func usableCandidate(line string) bool {
	fields := strings.Fields(strings.TrimPrefix(line, "candidate:"))
	return len(fields) >= 8 && fields[1] == "1" && strings.EqualFold(fields[2], "udp") &&
		!strings.HasSuffix(fields[4], ".local")
}

// ufrag returns the credentials a candidate names, empty if it names none.
func ufrag(c webrtc.ICECandidateInit) string {
	if c.UsernameFragment != nil {
		return *c.UsernameFragment
	}
	fields := strings.Fields(c.Candidate)
	for i := 8; i+1 < len(fields); i += 2 {
		if fields[i] == "ufrag" {
			return fields[i+1]
		}
	}
	return ""
}

// parseTransceiverRequest reads what a client that never offers asks for:
// {"type":"transceiverRequest","transceiverRequest":{"kind":"video"}}.
func parseTransceiverRequest(raw []byte) (webrtc.RTPCodecType, error) {
	var message struct {
		TransceiverRequest struct {
			Kind string `json:"kind"`
		} `json:"transceiverRequest"`
	}
	if len(raw) > maxCandidateBytes || json.Unmarshal(raw, &message) != nil {
		return 0, errors.New("transceiverRequest is not an object with a kind")
	}
	switch kind := webrtc.NewRTPCodecType(message.TransceiverRequest.Kind); kind {
	case webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo:
		return kind, nil
	}
	return 0, errors.New(`transceiverRequest.kind must be "audio" or "video"`)
}

// onCandidate gives a candidate to its leg, or keeps it for the description
// that it belongs to: both can arrive in either order.
func (r *room) onCandidate(key legKey, c webrtc.ICECandidateInit) {
	if r.members[key.client] == nil || r.members[key.peer] == nil {
		r.engine.count.candidatesDropped.Add(1)
		return
	}
	l := r.legs[key]
	if l == nil {
		early := r.early[key]
		if len(early) >= maxLegCandidates || (early == nil && len(r.early) >= maxEarlyKeys) {
			r.engine.count.candidatesDropped.Add(1)
			return
		}
		r.early[key] = append(early, c)
		return
	}
	l.addCandidate(c)
}

func (l *leg) addCandidate(c webrtc.ICECandidateInit) {
	if len(l.candidates) >= maxLegCandidates {
		l.room.engine.count.candidatesDropped.Add(1)
		return
	}
	l.candidates = append(l.candidates, c)
	l.flushCandidates()
}

// flushCandidates hands over what fits the description the stack has. The rest
// waits for its own; what names older credentials is dropped with the leg or by
// the bound.
func (l *leg) flushCandidates() {
	if l.conn == nil || l.applied == nil || l.busy {
		return
	}
	rest := l.candidates[:0]
	var ready []webrtc.ICECandidateInit
	for _, c := range l.candidates {
		switch u := ufrag(c); {
		case u != "" && u != l.applied.Ufrag:
			rest = append(rest, c)
		case l.candidatesAdded >= maxAddedPerUfrag:
			l.room.engine.count.candidatesDropped.Add(1)
		default:
			l.candidatesAdded++
			ready = append(ready, c)
		}
	}
	l.candidates = rest
	if len(ready) == 0 {
		return
	}
	conn := l.conn
	l.start(func() func() {
		for _, c := range ready {
			_ = conn.pc.AddICECandidate(c) // a bad address is the client's loss alone
		}
		return func() {}
	})
}

// takeInlineCandidate takes a candidate that stood in a description.
func (l *leg) takeInlineCandidate(value, ufrag string) {
	init := webrtc.ICECandidateInit{Candidate: "candidate:" + value, UsernameFragment: &ufrag}
	if usableCandidate(init.Candidate) && len(l.candidates) < maxLegCandidates {
		l.candidates = append(l.candidates, init)
	}
}

// Protocols of a Candidate.
const (
	UDP    = "udp"
	TCP    = "tcp"    // passive (RFC 6544)
	SSLTCP = "ssltcp" // passive, behind what looks like a TLS handshake (libwebrtc)
)

// Candidate is an address at which clients reach the server, as a host candidate:
// whatever translates it on the way has the same on both sides.
type Candidate struct {
	Protocol string
	Addr     netip.AddrPort
}

// Type preferences of host candidates: RFC 8445 section 5.1.2.2 has 126; TCP
// comes after UDP (RFC 6544 section 4.2), by the value that libwebrtc has.
var typePreference = map[string]uint32{UDP: 126, TCP: 90, SSLTCP: 89}

// candidates are the values of the server's own a=candidate attributes (RFC
// 8839 section 5.1), nil for those of the stack.
func (e *Engine) candidates() []string {
	if e.opts.Candidates == nil {
		return nil
	}
	return candidateValues(e.opts.Candidates())
}

func candidateValues(all []Candidate) []string {
	var values []string
	for i, c := range all[:min(len(all), maxOwnCandidates)] {
		// The local preference of TCP is 2^13 * 4 for passive ones plus one of 13 bits
		// (RFC 6544 section 4.2); for UDP it is free.
		local, suffix := uint32(65535-i), ""
		if c.Protocol != UDP {
			local, suffix = 4<<13|uint32(8191-i), " tcptype passive"
		}
		values = append(values, fmt.Sprintf("%d 1 %s %d %s %d typ host%s", foundation(c), c.Protocol,
			typePreference[c.Protocol]<<24|local<<8|(256-1), c.Addr.Addr(), c.Addr.Port(), suffix))
	}
	return values
}

// foundation is the same for candidates of one protocol and address (RFC 8445 section 5.1.1.3).
func foundation(c Candidate) uint32 {
	return crc32.ChecksumIEEE([]byte("host " + c.Protocol + " " + c.Addr.Addr().String()))
}
