package recording

import (
	"fmt"
	"slices"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/store"
)

// State is what a room is told of its recording.
type State string

// The states.
const (
	Off       State = "off"
	Waiting   State = "waiting" // somebody has to agree first, or it is about to begin
	Recording State = "recording"
	Failed    State = "failed" // it has ended before it should have, or could not begin
)

// Status is a room's recording at one moment.
type Status struct {
	Room      string
	State     State
	Recording string    // the id of this one or the last one; empty: there was none yet
	Since     time.Time // of Recording: when it began
	Consent   manifest.ConsentPolicy
	Pending   []string // members who have not answered yet whether they agree
	Refused   []string // members who do not
	// Reason and Detail say why it is Off or Failed; both are empty before the first recording.
	Reason manifest.Reason
	Detail string
}

func (s Status) equal(o Status) bool {
	return s.Room == o.Room && s.State == o.State && s.Recording == o.Recording && s.Since.Equal(o.Since) && s.Consent == o.Consent &&
		slices.Equal(s.Pending, o.Pending) && slices.Equal(s.Refused, o.Refused) && s.Reason == o.Reason && s.Detail == o.Detail
}

// Code says in a word why a recorder has not done what it was asked for.
type Code string

// The codes.
const (
	CodeOff          Code = "off"           // this server does not record
	CodeNoRoom       Code = "no-room"       // nobody is in such a room
	CodeNotAllowed   Code = "not-allowed"   // to this member
	CodeAlready      Code = "already"       // it runs
	CodeNotRecording Code = "not-recording" // there is nothing to stop
	CodeDisk         Code = "disk"          // there is too little space
	CodeBusy         Code = "busy"          // the room has too many recordings, or the server is about to stop
)

// Error is why a recorder has not done what it was asked for.
type Error struct {
	Code    Code
	Message string // for people
}

func (e *Error) Error() string { return e.Message }

func refuse(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// EventType is a step in the life of a recording.
type EventType string

// The steps. Each recording that has Started comes to one of the others, if need be after the next start of the server. Only a process
// that dies between the end of a recording and its Event leaves that untold; it stands in the manifest all the same.
const (
	EventStarted  EventType = "recording.started"
	EventFinished EventType = "recording.finished"
	EventFailed   EventType = "recording.failed" // it has ended before it should have; or it could not begin, and was never Started
)

// Event is a step in the life of a recording, for what is to follow from it.
type Event struct {
	Type      EventType
	At        time.Time
	Interview string // as the pages gave it
	Recording string // empty if it could not begin
	Reason    manifest.Reason
	Detail    string
	Folder    *store.Folder // nil if it could not begin
	// Manifest is what the folder has on disk, with all events once it has ended; not to be changed. nil if it could
	// not begin.
	Manifest *manifest.Manifest
}

// Stats are sums since the beginning, except for Active and Interviews.
type Stats struct {
	Interviews int // that are or may be recorded
	Active     int // recordings
	Started    uint64
	Finished   uint64
	Failed     uint64 // of those started, and those that could not begin
	Recovered  uint64 // finished after a crash; part of Finished
	Bytes      uint64 // of media files
	Frames     uint64
	Gaps       uint64 // times that media were missing
	Overflows  uint64 // of them for want of speed of the disk or the machine
	EventsLost uint64 // that were too many or too large
	Syncs      uint64 // times that files were made to last
	SyncTime   time.Duration
	Free       uint64 // bytes that the file system of the store has left
}
