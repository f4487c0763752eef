package signaling

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"skillsage/signaling/socketio"
)

// Recorder is what a room needs of whoever records it. It is given to the Server with SetRecorder, is told of everybody
// who comes and goes in whatever mode the room is, and of what is said, and answers through Server.RecordingStatus and
// Server.Relayed.
//
// No method may block or wait for a lock that is held during a call of either: the calls come from whichever goroutine is
// handing out the room's messages. The calls of one room come one at a time and in one order: Join after the relay's and
// before anything the member does, Leave after the relay's. Ids and roles are as with Relay. An error of Start, Stop and
// Consent may be a *RecordingError; its text goes to the client.
type Recorder interface {
	Join(room, member, role string)
	Leave(room, member string)

	// Said hands over what a socket, which need not be a member, has told the others: event is chat-message, code-update,
	// language-change, question-change or screen-share-status, payload the JSON that they got. It belongs to the recorder
	// after the call.
	Said(room, member, event string, payload []byte)

	// Start and Stop are what a recruiter asks for, Consent is a member's answer.
	Start(room, by string) error
	Stop(room, by string) error
	Consent(room, member string, agreed bool) error

	// Status is what there is to say of a room at this moment.
	Status(room string) RecordingStatus
}

// RecordingError is why a recorder has not done what it was asked for.
type RecordingError struct {
	Code    string // one of the words that docs/protocol.md lists for recordings
	Message string
}

func (e *RecordingError) Error() string { return e.Message }

// The states of a recording.
const (
	RecordingOff     = "off"
	RecordingWaiting = "waiting" // for somebody's consent
	RecordingOn      = "recording"
	RecordingFailed  = "failed"
)

// RecordingStatus is whether a room is recorded, as `recording-status` tells it.
type RecordingStatus struct {
	State     string     `json:"state"`           // off, waiting, recording or failed
	Mode      string     `json:"mode"`            // on-request or always: who starts recordings
	Consent   string     `json:"consent"`         // none, notice or required
	Recording string     `json:"recording"`       // the recording's id; empty before the first one
	Since     *time.Time `json:"since,omitempty"` // of its begin, in UTC and whole milliseconds; nil unless it runs
	Pending   []string   `json:"pending"`         // members who have not answered yet
	Refused   []string   `json:"refused"`         // members who do not agree
	Reason    string     `json:"reason"`          // a word: why it is off or has failed; empty otherwise
}

// MarshalJSON never writes null for a list: clients read its length.
func (s RecordingStatus) MarshalJSON() ([]byte, error) {
	type plain RecordingStatus
	for _, list := range []*[]string{&s.Pending, &s.Refused} {
		if *list == nil {
			*list = []string{}
		}
	}
	return json.Marshal(plain(s))
}

// Recording is how a Server tells of recordings.
type Recording struct {
	// Idle is what members of a room are told that has not been recorded yet.
	Idle RecordingStatus

	// Started and Stopped are what members read in the chat whose pages do not show `recording-status` themselves. An empty
	// one is not sent.
	Started, Stopped string
}

// SetRecorder sets who records rooms. It must be called before the first request is served; without a recorder no room
// is ever recorded, and nobody hears of recordings.
func (s *Server) SetRecorder(recorder Recorder, o Recording) { s.recorder, s.recording = recorder, o }

// RecordingStatus tells everybody in a room, now and when they join, what has become of its recording. The slices belong to
// the server after the call. It never blocks and may be called from any goroutine; calls for one room must not overlap.
func (s *Server) RecordingStatus(room string, status RecordingStatus) {
	r := s.rooms.find(room)
	if r == nil {
		s.stats.drop(dropNoRoom)
		return
	}
	r.mu.Lock()
	before := r.recording.State
	r.recording = status
	r.postAll(nil, mustEncode("recording-status", status))
	switch {
	case before != RecordingOn && status.State == RecordingOn:
		r.noticeLocked(r.list, s.recording.Started)
	case before == RecordingOn && status.State != RecordingOn:
		r.noticeLocked(r.list, s.recording.Stopped)
	}
	r.deliverLocked()
}

// ErrNoRoom tells that the last member of a room has left, or nobody has come.
var ErrNoRoom = errors.New("nobody is in this room")

var errNoRelay = errors.New("this server has no relay")

// Relayed has the relay carry the media of a room from now on, whatever its mode was: only those can be recorded. Calls
// that go from browser to browser are built anew, as by State with "rehome". The error may be ErrNoRoom. It never blocks and
// may be called from any goroutine.
func (s *Server) Relayed(room string) error {
	if s.relay == nil {
		return errNoRelay
	}
	r := s.rooms.find(room)
	if r == nil {
		return ErrNoRoom
	}
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return ErrNoRoom
	}
	r.recorded = true
	if r.mode != ModeRelay {
		r.relayCallsLocked()
		s.log.Info("room is relayed from now on", "room", r.id)
	}
	r.deliverLocked()
	return nil
}

// relayCallsLocked turns a peer-to-peer room into a relayed one. Old pages know no other way to another connection than that
// the one they had it with leaves and comes back: each sees the others leave, then those join whom it calls, and who has to
// answer gets a fresh room-users. That comes last, or newer pages would take it for a reason to call as well.
func (r *room) relayCallsLocked() {
	r.setModeLocked(ModeRelay)
	r.postAll(nil, mustEncode("room-mode", roomModeOut{Mode: ModeRelay}))
	for _, m := range r.list {
		r.tellICEServersLocked(m)
	}
	if !r.called {
		return
	}
	for _, m := range r.list {
		r.postAll(m, encodeUserLeft(m.id))
	}
	users := r.encodeUsers()
	for i, m := range r.list {
		for j, other := range r.list {
			// Recruiters make the offers, among themselves those who were there first.
			if other != m && m.role == roleRecruiter && (other.role == roleCandidate || j > i) {
				r.post(m, encodeUserJoined(other))
			}
		}
		r.post(m, users)
	}
}

type roomModeOut struct {
	Mode Mode `json:"mode"`
}

// tellRecordingLocked tells a joiner whether it is recorded; r.mu is held.
func (r *room) tellRecordingLocked(m *member) {
	if r.server.recorder == nil {
		return
	}
	r.post(m, mustEncode("recording-status", r.recording))
	if r.recording.State == RecordingOn {
		r.noticeLocked([]*member{m}, r.server.recording.Started)
	}
}

// noticeSender is no role, so that no page takes a notice for its own message or for somebody's.
const noticeSender = "system"

// noticeLocked writes to the chat of pages that would not show a recording otherwise. It is not kept: who joins is told
// what holds then.
func (r *room) noticeLocked(to []*member, text string) {
	if text == "" {
		return
	}
	var msg *socketio.Message
	for _, m := range to {
		if m.showsRecording {
			continue
		}
		if msg == nil {
			now := time.Now()
			msg = mustEncode("chat-message", noticeOut{
				ID: r.chat.nextID(now), Content: text, Timestamp: now.UTC().Format(timestampLayout), Sender: noticeSender,
			})
		}
		r.post(m, msg)
	}
}

type noticeOut struct {
	ID        int64  `json:"id"`
	Content   string `json:"content"`
	Timestamp string `json:"timestamp"`
	Sender    string `json:"sender"`
	IsOwn     bool   `json:"isOwn"`
}

// saidLocked tells the recorder what a socket says, in the JSON that the others get; r.mu is held.
func (r *room) saidLocked(c *conn, event string, payload ...[]byte) {
	recorder := r.server.recorder
	if recorder == nil {
		return
	}
	whole := slices.Concat(payload...)
	r.postCall(func() { recorder.Said(r.id, c.id, event, whole) })
}

func (r *room) recorderJoinLocked(m *member) {
	if recorder := r.server.recorder; recorder != nil {
		r.postCall(func() { recorder.Join(r.id, m.id, m.role) })
	}
}

func (r *room) recorderLeaveLocked(m *member) {
	if recorder := r.server.recorder; recorder != nil {
		r.postCall(func() { recorder.Leave(r.id, m.id) })
	}
}

// How often one socket may start and stop recordings, or answer whether it agrees: each makes files, or an event for
// everybody.
const (
	recordingRate  = rate.Limit(0.5) // per second
	recordingBurst = 8
)

type recordingAck struct {
	OK     bool            `json:"ok"`
	Status RecordingStatus `json:"status"`
}

var (
	controlNames = []string{"interviewId"}
	consentNames = []string{"interviewId", "agreed"}
)

func (c *conn) onRecordingStart(ev *socketio.Event, payload []byte) (any, *refusal) {
	return c.controlRecording(ev, payload, Recorder.Start)
}

func (c *conn) onRecordingStop(ev *socketio.Event, payload []byte) (any, *refusal) {
	return c.controlRecording(ev, payload, Recorder.Stop)
}

func (c *conn) controlRecording(ev *socketio.Event, payload []byte, verb func(recorder Recorder, room, by string) error) (any, *refusal) {
	var f [1][]byte
	if why := fields(payload, controlNames, f[:]); why != nil {
		return nil, why
	}
	return c.askRecorder(ev, f[0], true, func(recorder Recorder, room string) error { return verb(recorder, room, c.id) })
}

func (c *conn) onRecordingConsent(ev *socketio.Event, payload []byte) (any, *refusal) {
	interview, agreed, why := parseConsent(payload)
	if why != nil {
		return nil, why
	}
	return c.askRecorder(ev, interview, false, func(recorder Recorder, room string) error { return recorder.Consent(room, c.id, agreed) })
}

func parseConsent(payload []byte) (interview []byte, agreed bool, why *refusal) {
	var f [2][]byte
	if why = fields(payload, consentNames, f[:]); why != nil {
		return nil, false, why
	}
	switch string(f[1]) {
	case "true", "false":
		return f[0], string(f[1]) == "true", nil
	case "":
		return nil, false, missing("agreed")
	}
	return nil, false, badField("agreed", "true or false")
}

// askRecorder has the recorder do something that a member of a room asks for, of a recruiter alone if recruiters is set. Unlike
// the chat this is not open to sockets that only name a room: they have no role.
func (c *conn) askRecorder(ev *socketio.Event, rawID []byte, recruiters bool, ask func(recorder Recorder, room string) error) (any, *refusal) {
	id, why := interviewID(rawID)
	if why != nil {
		return nil, why
	}
	recorder := c.server.recorder
	if recorder == nil {
		return nil, &refusal{code: codeRecordingOff, text: "this server does not record"}
	}
	m := c.member.Load()
	if m == nil || m.room.id != id {
		return nil, ignoreElsewhere
	}
	if c.recordings == nil {
		c.recordings = rate.NewLimiter(recordingRate, recordingBurst)
	}
	if !c.recordings.Allow() {
		return nil, &refusal{code: codeRecordingBusy, text: "this socket asks too often; try again in a few seconds"}
	}
	r := m.room
	r.mu.Lock()
	switch {
	case m.gone:
		why = ignoreElsewhere
	case recruiters && m.role != roleRecruiter:
		why = &refusal{code: codeNotAllowed, text: "only a recruiter may start and stop recordings"}
	}
	if why != nil {
		r.mu.Unlock()
		return nil, why
	}
	later := c.later(ev)
	r.postCall(func() {
		if err := ask(recorder, r.id); err != nil {
			later(nil, notRecorded(err))
			return
		}
		later(recordingAck{OK: true, Status: recorder.Status(r.id)}, nil)
	})
	r.deliverLocked()
	return nil, errLater
}

// notRecorded is what a recorder's error is to the client.
func notRecorded(err error) *refusal {
	var known *RecordingError
	if errors.As(err, &known) {
		return &refusal{code: code(known.Code), text: known.Message}
	}
	return &refusal{code: codeRecordingBusy, text: err.Error()}
}
