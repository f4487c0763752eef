package recording

import (
	"encoding/json"
	"slices"
	"time"

	"skillsage/recording/manifest"
)

// Bounds of one recording.
const (
	maxParticipants = 1024
	maxEvents       = 100_000
	maxEventBytes   = 32 << 20
	maxEventData    = 1 << 20 // of one event
)

// Each key that somebody presses is a code-update with all of the code: of those that follow each other within codeInterval the
// last one is kept, and within slowCodeInterval when half of maxEventBytes has been used.
const (
	codeInterval     = time.Second
	slowCodeInterval = 10 * time.Second
	maxCodes         = 64 // texts of which the last event is waiting
)

// session is one recording. It belongs to the interview's goroutine.
type session struct {
	iv      *interview
	wish    *wish
	zero    time.Time // of the room clock
	journal *journal

	people map[string]int // index in manifest.Participants
	m      manifest.Manifest
	events int
	bytes  int
	codes  map[codeKey]*heldCode
}

type codeKey struct{ participant, question string }

// heldCode is the last code-update of somebody for a question.
type heldCode struct {
	written time.Time
	at      time.Time
	event   *manifest.Event // nil: it is written
}

// newSession begins a recording. iv.mu is held.
func newSession(iv *interview, w *wish, zero time.Time) *session {
	s := &session{
		iv: iv, wish: w, zero: zero, people: make(map[string]int), codes: make(map[codeKey]*heldCode),
		m: manifest.Manifest{
			Version: manifest.Version, Interview: iv.room, Started: zero.UTC().Truncate(time.Millisecond), State: manifest.Recording,
			Consent: manifest.Consent{Policy: iv.recorder.opts.Consent},
		},
	}
	s.journal = newJournal(s, w.end != nil)
	iv.recorder.group.Go(s.journal.run)
	return s
}

// at is a time on the room clock. What was before is at its zero.
func (s *session) at(t time.Time) manifest.Seconds { return manifest.ToSeconds(max(t.Sub(s.zero), 0)) }

// over tells whether the recording is to end.
func (s *session) over() bool {
	s.iv.mu.Lock()
	defer s.iv.mu.Unlock()
	return s.wish.end != nil
}

// changed has the manifest written, with what is in it now.
func (s *session) changed() { s.journal.update(s.snapshot()) }

func (s *session) snapshot() *manifest.Manifest {
	m := s.m
	m.Participants = slices.Clone(m.Participants)
	m.Files = slices.Clone(m.Files)
	return &m
}

func (s *session) joined(id, role string, at time.Time) {
	if i, known := s.people[id]; known {
		s.m.Participants[i].Left = nil
		s.changed()
		return
	}
	if len(s.people) == maxParticipants {
		return
	}
	s.people[id] = len(s.m.Participants)
	s.m.Participants = append(s.m.Participants, manifest.Participant{ID: id, Role: role, Joined: s.at(at)})
	s.changed()
}

func (s *session) left(id string, at time.Time) {
	if i, known := s.people[id]; known {
		left := s.at(at)
		s.m.Participants[i].Left = &left
		s.changed()
	}
}

// event puts something down. What others said may take less than all of the space that there is, so that it never hides who came
// and went.
func (s *session) event(at time.Time, e manifest.Event) {
	const overhead = 128
	size := overhead + len(e.Participant) + len(e.Role) + len(e.Detail) + len(e.Data)
	events, bytes := maxEvents, maxEventBytes
	if e.Data != nil {
		events, bytes = events-events/8, bytes-bytes/8
	}
	if s.events >= events || s.bytes+size > bytes || len(e.Data) > maxEventData {
		s.drop()
		return
	}
	s.events++
	s.bytes += size
	e.At = s.at(at)
	if !s.journal.append(&e) {
		s.drop()
	}
}

func (s *session) drop() {
	s.m.DroppedEvents++
	s.iv.recorder.count.eventsLost.Add(1)
}

// said puts down what somebody has told everybody.
func (s *session) said(id, event string, payload []byte, at time.Time) {
	if !json.Valid(payload) {
		s.drop()
		return
	}
	e := manifest.Event{Participant: id, Data: payload}
	switch event {
	case "chat-message":
		e.Type = manifest.Chat
	case "language-change":
		e.Type = manifest.Language
	case "question-change":
		e.Type = manifest.Question
	case "code-update":
		e.Type = manifest.Code
		s.code(at, e)
		return
	case "screen-share-status":
		var status struct {
			IsSharing bool `json:"isSharing"`
		}
		if json.Unmarshal(payload, &status) != nil {
			s.drop()
			return
		}
		e.Type, e.Data = manifest.ShareOff, nil
		if status.IsSharing {
			e.Type = manifest.ShareOn
		}
	default:
		return
	}
	s.event(at, e)
}

// code puts down a code-update, or holds it until it is known whether another one follows.
func (s *session) code(at time.Time, e manifest.Event) {
	var about struct {
		Question json.RawMessage `json:"questionId"`
	}
	_ = json.Unmarshal(e.Data, &about) // an update about nothing is one as well
	key := codeKey{e.Participant, string(about.Question)}
	held := s.codes[key]
	if held == nil {
		if len(s.codes) == maxCodes {
			s.flushCodes(at, true)
			clear(s.codes)
		}
		held = &heldCode{}
		s.codes[key] = held
	}
	held.at, held.event = at, &e
	s.flushCodes(at, false)
}

func (s *session) codeInterval() time.Duration {
	if s.bytes > maxEventBytes/2 {
		return slowCodeInterval
	}
	return codeInterval
}

// flushCodes puts down the code-updates that have been held long enough, or all, and returns when the next one will have been.
func (s *session) flushCodes(now time.Time, all bool) (next time.Time) {
	next = now.Add(time.Hour)
	for _, held := range s.codes {
		if held.event == nil {
			continue
		}
		if due := held.written.Add(s.codeInterval()); !all && now.Before(due) {
			if due.Before(next) {
				next = due
			}
			continue
		}
		s.event(held.at, *held.event)
		held.event, held.written = nil, now
	}
	return next
}

// settle does what is due, and returns when to look again.
func (s *session) settle(now time.Time) time.Time { return s.flushCodes(now, false) }

// ready is called when the folder is there.
func (s *session) ready(id string) {
	s.iv.mu.Lock()
	s.iv.last = id
	s.wish.since = s.zero
	s.iv.mu.Unlock()
}

// open begins to record a source; false if that can't be done now.
func (s *session) open(*track) bool { return false }

// close ends the recording of a source.
func (s *session) close(*track) {}

// finish ends the recording. The interview forgets it, except that finishing counts it until all is on disk.
func (s *session) finish() {
	s.iv.mu.Lock()
	end := s.wish.end
	s.iv.finishing++
	s.iv.mu.Unlock()
	s.flushCodes(end.at, true)
	e := manifest.Event{Type: manifest.RecordingStopped, Reason: end.reason, Detail: end.detail}
	if end.by != API {
		e.Participant = end.by
	}
	s.event(end.at, e)
	finished := end.at.UTC().Truncate(time.Millisecond)
	s.m.Finished, s.m.Duration, s.m.Reason, s.m.Detail = &finished, s.at(end.at), end.reason, end.detail
	s.m.State = manifest.Finished
	if end.failed() {
		s.m.State = manifest.Failed
	}
	s.journal.finish(s.snapshot())
}
