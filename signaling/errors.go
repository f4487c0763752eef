package signaling

import "skillsage/signaling/socketio"

// code names a reason for which something was refused; clients see it, so the words are part of the wire contract
// (docs/protocol.md).
type code string

const (
	codeBadPayload     code = "bad-payload"     // a member of the payload is missing or of the wrong kind
	codeTooLarge       code = "too-large"       // a member of the payload is longer than allowed
	codeUnknownRole    code = "unknown-role"    // userRole is neither recruiter nor candidate
	codeBadDescription code = "bad-description" // the relay can't use a session description or candidate
	codeNotJoined      code = "not-joined"      // the socket is in no room; only ever an acknowledgement
	codeNoRoom         code = "no-such-room"    // nobody is in the named room; only ever an acknowledgement
	codeNoMember       code = "no-such-member"  // `to` is not in the sender's room; only ever an acknowledgement
	codeRoomFull       code = "room-full"
	codeTooManyRooms   code = "too-many-rooms"
	codeDraining       code = "draining" // the server is about to stop and opens no new room
	codeModeRefused    code = "mode-refused"
	codeRateLimited    code = "rate-limited" // the socket sends too much and is slowed down

	// Of recordings, some of them a Recorder's own words.
	codeRecordingOff  code = "off"         // the server records nothing
	codeNotAllowed    code = "not-allowed" // this member may not ask for that
	codeRecordingOn   code = "already"
	codeNotRecording  code = "not-recording"
	codeRecordingDisk code = "disk" // no room for another recording, or it can't be written
	codeRecordingBusy code = "busy"
)

// refusal is an error for the client. Its text may name what the client sent, shortened and quoted, and nothing of
// anybody else's.
type refusal struct {
	code   code
	text   string
	silent bool       // dropped as the original did, and told only in an acknowledgement that was asked for
	drop   dropReason // of a silent one
}

// What is dropped silently, so that late, stray and early events of honest pages cause no noise.
var (
	ignoreNotJoined = &refusal{code: codeNotJoined, text: "this socket is in no room", silent: true, drop: dropNotJoined}
	ignoreElsewhere = &refusal{code: codeNotJoined, text: "this socket is not in that room", silent: true, drop: dropNotJoined}
	ignoreNoMember  = &refusal{code: codeNoMember, text: "to is nobody in this room", silent: true, drop: dropNoMember}
	ignoreNoRoom    = &refusal{code: codeNoRoom, text: "nobody is in this room", silent: true, drop: dropNoRoom}
	ignoreSelf      = &refusal{code: codeNoMember, text: "to is the sender", silent: true, drop: dropSelf}
)

// refuseBinary is for attachments: JSON is forwarded byte for byte, and would arrive with a placeholder in their place.
var refuseBinary = &refusal{code: codeBadPayload, text: "binary data is not part of this protocol; the payload must be JSON alone"}

type ackOK struct {
	OK bool `json:"ok"`
}

type ackError struct {
	OK      bool   `json:"ok"`
	Code    code   `json:"code"`
	Message string `json:"message"`
}

type errorOut struct {
	Event   string `json:"event,omitempty"`
	Code    code   `json:"code"`
	Message string `json:"message"`
}

func encodeError(event string, c code, text string) *socketio.Message {
	return mustEncode("error-message", errorOut{Event: event, Code: c, Message: text})
}

// mustEncode is for values of this package's own types, which always encode.
func mustEncode(event string, v any) *socketio.Message {
	msg, err := socketio.Encode(event, v)
	if err != nil {
		panic("signaling: " + event + ": " + err.Error())
	}
	return msg
}
