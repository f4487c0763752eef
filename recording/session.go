package recording

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/track"
	"skillsage/sfu/media"
)

// screenMark is in the names of the files of screens, and of no others.
const screenMark = "-screen-"

// drainTime is how long a recording that has ended waits for what was taken before that and is on its way.
const drainTime = 500 * time.Millisecond

// Bounds of one recording.
const (
	maxParticipants = 1024
	maxEvents       = 100_000
	maxEventBytes   = 32 << 20
	maxEventData    = 1 << 20 // of one event
	maxFiles        = 256
	maxFilesOfOne   = 64 // participant, who may be at it to leave the others none
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
	zero    time.Time // of the room clock; a whole millisecond
	journal *journal  // nil before begin
	id      string    // set by ready
	root    *os.Root  // of its folder; set by ready

	group    sync.WaitGroup // of what writes media
	stopping chan struct{}  // closed by finish

	fileMu sync.Mutex
	files  map[string]int // guarded by fileMu: how many were made, by the base of their names
	made   map[string]int // guarded by fileMu: the same by participant; "": all

	people  map[string]int    // index in manifest.Participants
	numbers map[string]int    // participants with files, by role
	names   map[string]string // of participants with files
	screens map[string]int    // that they have shown
	sinks   []*sink
	agreed  map[string]bool // participants of whom it is put down
	readers map[*reader]struct{}
	opened  int // readers that were made
	m       manifest.Manifest
	events  int
	bytes   int
	codes   map[codeKey]*heldCode
}

type codeKey struct{ participant, question string }

// heldCode is the last code-update of somebody for a question.
type heldCode struct {
	written time.Time
	at      time.Time
	event   *manifest.Event // nil: it is written
}

// newSession makes a recording.
func newSession(iv *interview, w *wish, zero time.Time) *session {
	zero = zero.Add(-time.Duration(zero.Nanosecond()) % time.Millisecond)
	s := &session{
		iv: iv, wish: w, zero: zero, stopping: make(chan struct{}),
		people: make(map[string]int), numbers: make(map[string]int), names: make(map[string]string), screens: make(map[string]int),
		agreed:  make(map[string]bool),
		readers: make(map[*reader]struct{}), files: make(map[string]int), made: make(map[string]int), codes: make(map[codeKey]*heldCode),
		m: manifest.Manifest{
			Version: manifest.Version, Interview: iv.room, Started: zero.UTC(), State: manifest.Recording,
			Consent: manifest.Consent{Policy: iv.recorder.opts.Consent},
		},
	}
	return s
}

// begin has the recording made on disk, with the participants that it has by now.
func (s *session) begin() {
	s.journal = newJournal(s, s.wish.end != nil)
	s.iv.recorder.group.Go(s.journal.run)
}

// at is a time on the room clock. What was before is at its zero.
func (s *session) at(t time.Time) manifest.Seconds {
	return manifest.ToSeconds(max(t.Sub(s.zero), 0).Truncate(time.Millisecond))
}

// changed has the manifest written, with what is in it now.
func (s *session) changed() {
	if s.journal != nil {
		s.journal.update(s.snapshot())
	}
}

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
	if len(e.Data) > maxEventData {
		s.drop()
		return
	}
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
func (s *session) settle(now time.Time) (next time.Time) {
	next = s.flushCodes(now, false)
	for _, k := range s.sinks {
		if k.ended {
			continue
		}
		if slices.ContainsFunc(s.iv.tracks, func(t *roomTrack) bool { return t.sink == k }) {
			k.idle = time.Time{}
			continue
		}
		if k.idle.IsZero() {
			k.idle = now
		}
		over := k.idle.Add(screenIdle)
		switch {
		case s.hasLeft(k.participant), k.kind == manifest.Screen && !now.Before(over):
			k.ended = true
			k.end()
		case k.kind == manifest.Screen && over.Before(next):
			next = over
		}
	}
	return next
}

func (s *session) hasLeft(id string) bool {
	i, known := s.people[id]
	return known && s.m.Participants[i].Left != nil
}

// ready is called when the folder is there.
func (s *session) ready(id string, root *os.Root) {
	s.id, s.root = id, root
	s.iv.mu.Lock()
	s.iv.last = id
	s.wish.since = s.zero
	s.iv.mu.Unlock()
}

// sinkFor is where a source of somebody in that role goes; nil if it is not recorded.
func (s *session) sinkFor(t *roomTrack, role string) *sink {
	member := t.source.Member()
	if _, known := s.people[member]; !known {
		return nil
	}
	kind, stream := manifest.Camera, ""
	if t.source.Screen() {
		kind, stream = manifest.Screen, t.source.Stream()
	}
	own := 0
	for _, k := range s.sinks {
		if k.participant != member {
			continue
		}
		if !k.ended && k.kind == kind && k.stream == stream {
			return k
		}
		own++
	}
	if len(s.sinks) == maxFiles || own == maxFilesOfOne {
		if !t.unusable {
			s.iv.log.Warn("source is not recorded", "member", member, "error", errTooManyFiles)
			t.unusable = true
		}
		return nil
	}
	name, known := s.names[member]
	if !known {
		role = plainRole(role)
		s.numbers[role]++
		name = fmt.Sprintf("%s-%d", role, s.numbers[role])
		s.names[member] = name
	}
	if kind == manifest.Screen {
		s.screens[member]++
		name = fmt.Sprintf("%s%s%d", name, screenMark, s.screens[member])
	}
	k := newSink(s, member, kind, stream, name)
	s.sinks = append(s.sinks, k)
	return k
}

// plainRole is a role as part of a file's name.
func plainRole(role string) string {
	const maxRole = 32
	for _, c := range role {
		if c < 'a' || c > 'z' {
			return "participant"
		}
	}
	if role == "" || len(role) > maxRole {
		return "participant"
	}
	return role
}

// open begins to record a source.
func (s *session) open(t *roomTrack) {
	if s.root == nil {
		return
	}
	tap, err := t.source.Open(media.TapOptions{Wait: tapWait})
	if err != nil {
		s.iv.log.Warn("source can't be recorded", "member", t.source.Member(), "error", err)
		t.unusable = true
		return
	}
	s.opened++
	r := newReader(t.sink, t, s.opened, tap)
	if r.kind == track.Video {
		t.sink.pictures.Store(true)
	}
	t.reader = r
	s.readers[r] = struct{}{}
	t.sink.readers.Go(r.run)
}

// readerDone is called when a reader has ended.
func (s *session) readerDone(r *reader, err error) {
	delete(s.readers, r)
	if r.track.reader == r {
		r.track.reader = nil
		r.track.unusable = err != nil
	}
	if err == nil {
		return
	}
	s.iv.log.Error("source is not recorded any more", "member", r.sink.participant, "kind", kindName(r.kind), "error", err)
	if fatal(err) {
		s.iv.fail(s.wish, reasonOf(err), err.Error())
	}
}

// setFile puts a file into the manifest, or says more of it.
func (s *session) setFile(f manifest.File) {
	i := s.file(f.Name)
	if i < 0 {
		s.m.Files = append(s.m.Files, f)
	} else {
		s.m.Files[i] = f
	}
	s.changed()
}

func (s *session) file(name string) int {
	return slices.IndexFunc(s.m.Files, func(f manifest.File) bool { return f.Name == name })
}

// addTrack says that a file has a track.
func (s *session) addTrack(name string, t manifest.Track) {
	i := s.file(name)
	if i < 0 {
		return
	}
	f := &s.m.Files[i]
	if !slices.ContainsFunc(f.Tracks, func(other manifest.Track) bool { return other.Kind == t.Kind }) {
		f.Tracks = append(slices.Clone(f.Tracks), t) // snapshots have the old ones
		s.changed()
	}
}

// fileDone is called when a file has been finished, as far as that went.
func (s *session) fileDone(f manifest.File, err error) {
	s.fileFailed(f.Name, err)
	s.setFile(f)
}

// fileGone is called when a file had no content.
func (s *session) fileGone(name string, err error) {
	s.fileFailed(name, err)
	if i := s.file(name); i >= 0 {
		s.m.Files = slices.Delete(s.m.Files, i, i+1)
		s.changed()
	}
}

func (s *session) fileFailed(name string, err error) {
	if err != nil {
		s.iv.log.Error("file of a recording is not whole", "recording", s.id, "file", name, "error", err)
		s.iv.fail(s.wish, reasonOf(err), err.Error())
	}
}

// finish ends the recording. The interview forgets it, except that finishing counts it until all is on disk.
func (s *session) finish() {
	iv, end := s.iv, s.wish.end // which does not change any more
	close(s.stopping)
	for _, t := range iv.tracks {
		t.sink, t.reader, t.unusable = nil, nil, false
	}
	s.flushCodes(end.at, true)
	e := manifest.Event{Type: manifest.RecordingStopped, Reason: end.reason, Detail: end.detail}
	e.Participant, e.By = credit(end.by)
	s.event(end.at, e)
	readers := slices.Collect(maps.Keys(s.readers))
	s.group.Go(func() { drain(readers) })
	sinks := slices.DeleteFunc(s.sinks, func(k *sink) bool { return k.ended })
	root := s.root
	s.group.Go(func() {
		if end.failed() && root != nil {
			_ = root.Remove(reserveName) // files can be finished with it
		}
		for _, k := range sinks {
			k.end()
		}
	})
	iv.recorder.group.Go(func() {
		s.group.Wait()
		iv.post(func() { s.conclude(end) })
	})
}

// drain lets readers come to an end by themselves for a while, and then ends them.
func drain(readers []*reader) {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	for _, r := range readers {
		select {
		case <-r.done:
		case <-timer.C:
			for _, r := range readers {
				r.tap.Close()
			}
			return
		}
	}
}

// conclude is called when all files are finished.
func (s *session) conclude(end *ending) {
	finished := s.zero.Add(max(end.at.Sub(s.zero), 0)).UTC().Truncate(time.Millisecond)
	s.m.Finished, s.m.Duration, s.m.Reason, s.m.Detail = &finished, s.at(end.at), end.reason, end.detail
	s.m.State = manifest.Finished
	if end.failed() {
		s.m.State = manifest.Failed
	}
	s.journal.finish(s.snapshot())
}
