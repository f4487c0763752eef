// Package manifest is interview.json, which stands beside the media files of a recording and says what they are: who was
// there, which file is whose and where it lies on the common clock, and what happened when. docs/recording-format.md
// describes it for those who read it with other tools.
//
// All times inside are seconds on the room clock, whose zero is Manifest.Started. The timestamps inside the media files
// are on the same clock, so files that are laid over each other at zero line up.
package manifest

import (
	"cmp"
	"encoding/json"
	"math"
	"time"
)

// Version is the one that this package writes. A reader must take unknown members and types of events for additions;
// anything else would raise it.
const Version = 1

// Names of the files of a recording that are not media.
const (
	Name       = "interview.json"
	EventsName = "events.jsonl" // the events while the recording runs, one a line; gone when they are in interview.json
)

// Manifest is the whole of interview.json.
type Manifest struct {
	Version   int    `json:"version"`
	ID        string `json:"id"`        // of the recording: the name of its folder
	Interview string `json:"interview"` // as the pages gave it
	// Started is the zero of the room clock, Finished when the last file ended; nil while it runs.
	Started  time.Time  `json:"started"`
	Finished *time.Time `json:"finished"`
	Duration Seconds    `json:"duration"`
	State    State      `json:"state"`
	Reason   Reason     `json:"reason,omitempty"` // why it ended
	Detail   string     `json:"detail,omitempty"` // for people
	Consent  Consent    `json:"consent"`

	Participants []Participant `json:"participants"` // in the order in which they came
	Files        []File        `json:"files"`        // in the order in which they began
	// Events are in the order of time. As long as there are none here, they are in events.jsonl.
	Events []Event `json:"events"`
	// DroppedEvents were beyond what a recording may hold.
	DroppedEvents int `json:"droppedEvents,omitempty"`
}

// Seconds is a time on the room clock, or the length of one, with a precision of milliseconds.
type Seconds float64

// ToSeconds rounds to milliseconds.
func ToSeconds(d time.Duration) Seconds { return Seconds(math.Round(d.Seconds()*1000) / 1000) }

// Duration is s as Go's other packages know it.
func (s Seconds) Duration() time.Duration {
	return time.Duration(math.Round(float64(s)*1000)) * time.Millisecond
}

// State of a recording.
type State string

// The states. A recording whose process has died stays Recording until the next start finishes it.
const (
	Recording State = "recording"
	Finished  State = "finished"
	Failed    State = "failed" // it ended before it should have; what there is is complete
)

// Reason is why a recording ended.
type Reason string

// The reasons.
const (
	Requested Reason = "requested" // somebody stopped it
	Left      Reason = "left"      // the last member of the interview has left
	Disk      Reason = "disk"      // full, or nearly
	Error     Reason = "error"     // files could not be written, or media not be had
	Shutdown  Reason = "shutdown"  // the server was stopped
	Crash     Reason = "crash"     // the server ended without a word
	Refused   Reason = "consent"   // somebody did not agree
	Limit     Reason = "limit"     // it was as long as a recording may be
)

// Consent is how participants were asked.
type Consent struct {
	Policy ConsentPolicy `json:"policy"`
}

// ConsentPolicy says what has to happen before somebody is recorded.
type ConsentPolicy string

// The policies.
const (
	ConsentNone     ConsentPolicy = "none"
	ConsentNotice   ConsentPolicy = "notice"   // they are told
	ConsentRequired ConsentPolicy = "required" // they have agreed
)

// Participant is one socket of the interview. A person whose page was loaded anew, or which opens several sockets, is
// several of them.
type Participant struct {
	ID     string   `json:"id"`
	Role   string   `json:"role"`
	Joined Seconds  `json:"joined"`
	Left   *Seconds `json:"left"` // nil: was there at the end
}

// Kind of a file's content.
type Kind string

// The kinds. Each may have a picture, a sound or both.
const (
	Camera Kind = "camera"
	Screen Kind = "screen"
)

// Container formats, as FFmpeg calls them.
const (
	WebM     = "webm"
	Matroska = "matroska"
)

// File is one media file.
type File struct {
	Name        string  `json:"name"`
	Participant string  `json:"participant"` // ID of one
	Kind        Kind    `json:"kind"`
	Container   string  `json:"container"`
	Start       Seconds `json:"start"`    // the timestamp of its first frame
	Duration    Seconds `json:"duration"` // from Start to the end of its last frame
	Size        int64   `json:"size"`     // bytes
	SHA256      string  `json:"sha256"`   // lower-case hexadecimal; empty: not finished, or there was no time left to work it out
	Complete    bool    `json:"complete"` // it has its duration and index, and will not change any more
	Tracks      []Track `json:"tracks"`
}

// Track is one of a media file.
type Track struct {
	Kind   string  `json:"kind"`  // "video" or "audio"
	Codec  string  `json:"codec"` // VP8, VP9, AV1, H264, Opus
	Width  int     `json:"width,omitempty"`
	Height int     `json:"height,omitempty"`
	Start  Seconds `json:"start"`
}

// EventType says what an Event tells.
type EventType string

// The types, and which members of an Event they use.
const (
	Join             EventType = "join"  // Role
	Leave            EventType = "leave" //
	RoleChanged      EventType = "role"  // Role
	ShareOn          EventType = "share-on"
	ShareOff         EventType = "share-off"
	Mute             EventType = "mute"              // Track, File
	Unmute           EventType = "unmute"            // Track, File
	Chat             EventType = "chat"              // Data
	Code             EventType = "code"              // Data
	Language         EventType = "language"          // Data
	Question         EventType = "question"          // Data
	RecordingStarted EventType = "recording-started" // Participant: who wanted it, or By
	RecordingStopped EventType = "recording-stopped" // Reason, Detail; Participant or By, if somebody wanted it
	ConsentAsked     EventType = "consent-asked"
	ConsentGiven     EventType = "consent-given" // By, if not the participant
	ConsentRefused   EventType = "consent-refused"
	Gap              EventType = "gap"    // Track, File, Duration: media that never came
	Codec            EventType = "codec"  // Track, File, Detail: the codec from now on
	Source           EventType = "source" // Track, File: another source goes on with that track
)

// Event is one entry of the time line.
type Event struct {
	At          Seconds   `json:"at"`
	Type        EventType `json:"type"`
	Participant string    `json:"participant,omitempty"`

	Role     string  `json:"role,omitempty"`
	By       string  `json:"by,omitempty"` // "api": the operator's side
	File     string  `json:"file,omitempty"`
	Track    string  `json:"track,omitempty"` // "video" or "audio"
	Duration Seconds `json:"duration,omitempty"`
	Reason   Reason  `json:"reason,omitempty"`
	Detail   string  `json:"detail,omitempty"`
	// Data is what everybody in the interview got, as it was sent: see docs/protocol.md under the names of the events
	// (chat-message, code-update, language-change, question-change).
	Data json.RawMessage `json:"data,omitempty"`
}

// ByTime compares events for sorting; those of one instant keep their order.
func ByTime(a, b Event) int { return cmp.Compare(a.At, b.At) }
