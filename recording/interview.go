package recording

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skillsage/recording/manifest"
)

// Bounds of one interview.
const (
	maxSaidWaiting = 4 << 20 // bytes of what was said and has not been looked at
	maxRecordings  = 64      // of one interview, until all have left
	maxFinishing   = 4       // at the same time
)

const (
	retapAfter       = 500 * time.Millisecond // the relay may hear of a room later than the recorder
	retryAfter       = time.Minute            // until ModeAlways tries again what has failed
	roleOfRecruiters = "recruiter"
)

// interview is a room that is recorded or may be. What the signaling asks for is decided at once, under mu, and
// done by one goroutine, run, which brings everything to where it should be (settle) whenever something has happened.
type interview struct {
	// Static.
	recorder *Recorder
	room     string
	log      *slog.Logger
	wake     chan struct{} // holds one token

	mu         sync.Mutex // taken after Recorder.mu
	queue      []func()   // guarded by mu: for run, in order
	waiting    int        // guarded by mu: bytes of what was said in queue
	members    []*member  // guarded by mu: who is there, in the order of coming
	emptySince time.Time  // guarded by mu: when the last one left
	wish       *wish      // guarded by mu: the last one
	declined   []*wish    // guarded by mu: ended by a refusal before a recording began, to be put down
	attested   bool       // guarded by mu: that who comes has agreed
	recordings int        // guarded by mu: begun since somebody came
	finishing  int        // guarded by mu: sessions that have ended and still write
	last       string     // guarded by mu: id of the last recording
	closing    bool       // guarded by mu

	// Owned by run.
	present int              // members, as far as queue has been worked off
	tapping *tapping         // nil: none
	untap   func()           // ends tapping
	retap   time.Time        // when Media.Tap may be tried again
	tracks  []*roomTrack     // what tapping has shown, in order
	session *session         // the recording that runs; nil: none
	told    Status           // with which Notify was called last
	asked   []manifest.Event // consent asked and refused before there is a session
}

// member is one socket of the room. Guarded by interview.mu.
type member struct {
	id, role string
	joined   time.Time
	media    bool // it publishes, or has
	asked    bool // whether it agrees
	answer   answer
	answered time.Time
	attested bool // that it agrees
	refused  bool // once: nobody else's word counts for it any more
}

// wish is that there be a recording. Guarded by interview.mu.
type wish struct {
	by    string    // a member or API; empty: ModeAlways
	begun bool      // there is a session
	since time.Time // when it began to record; zero: not yet
	end   *ending   // nil: it still holds

	until atomic.Pointer[time.Time] // not guarded; when it ended: what is captured later is not recorded
}

// ending is why and when a wish ended.
type ending struct {
	at     time.Time
	reason manifest.Reason
	detail string
	by     string // who asked for it
}

func (e *ending) failed() bool { return e.reason == manifest.Disk || e.reason == manifest.Error }

func newInterview(r *Recorder, room string) *interview {
	return &interview{recorder: r, room: room, log: r.log.With("room", room), wake: make(chan struct{}, 1)}
}

// push gives work to run. mu is held.
func (iv *interview) push(work func()) {
	iv.queue = append(iv.queue, work)
	iv.poke()
}

func (iv *interview) poke() {
	select {
	case iv.wake <- struct{}{}:
	default:
	}
}

// post is push for those who do not hold mu.
func (iv *interview) post(work func()) {
	iv.mu.Lock()
	iv.push(work)
	iv.mu.Unlock()
}

func (iv *interview) member(id string) *member {
	for _, m := range iv.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// join is called under Recorder.mu, so that the interview can't be retired meanwhile.
func (iv *interview) join(id, role string, now time.Time) {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	if m := iv.member(id); m != nil {
		if m.role != role {
			m.role = role
			iv.push(func() { iv.event(now, manifest.Event{Type: manifest.RoleChanged, Participant: id, Role: role}) })
		}
		return
	}
	if len(iv.members) == 0 {
		iv.recordings = 0
		if iv.wish == nil || iv.wish.end != nil {
			iv.wish, iv.attested = nil, false
		}
	}
	m := &member{id: id, role: role, joined: now, attested: iv.attested}
	iv.members = append(iv.members, m)
	iv.push(func() { iv.joined(m.id, role, now) })
}

func (iv *interview) leave(id string, now time.Time) {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	if iv.member(id) == nil {
		return
	}
	iv.members = slices.DeleteFunc(iv.members, func(m *member) bool { return m.id == id })
	if len(iv.members) == 0 {
		iv.emptySince = now
	}
	iv.push(func() { iv.left(id, now) })
}

func (iv *interview) said(id, event string, payload []byte, now time.Time) {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	if iv.wish == nil || !iv.wish.begun || iv.wish.end != nil || !iv.hearsLocked(id) {
		return
	}
	if iv.waiting+len(payload) > maxSaidWaiting {
		iv.recorder.count.eventsLost.Add(1)
		return
	}
	cost := len(payload) + 256
	iv.waiting += cost
	iv.push(func() {
		iv.mu.Lock()
		iv.waiting -= cost
		iv.mu.Unlock()
		if iv.session != nil {
			iv.session.said(id, event, payload, now)
		}
	})
}

func (iv *interview) start(by string, now time.Time) error {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	starter := iv.member(by)
	switch {
	case len(iv.members) == 0:
		return refuse(CodeNoRoom, "nobody is in this room")
	case by != API && (starter == nil || starter.role != roleOfRecruiters):
		return refuse(CodeNotAllowed, "only a recruiter of this room may start a recording")
	case iv.wish != nil && iv.wish.end == nil:
		return refuse(CodeAlready, "this room is being recorded, or about to be")
	case iv.closing:
		return refuse(CodeBusy, "the server is about to stop")
	case iv.recorder.diskLow():
		return refuse(CodeDisk, "the disk for recordings is nearly full")
	case iv.finishing >= maxFinishing || iv.recordings >= maxRecordings:
		return refuse(CodeBusy, "this room has too many recordings; try again later")
	}
	for _, m := range iv.members {
		if m.answer == refuses {
			m.answer, m.asked = unanswered, false
		}
	}
	if starter != nil && starter.answer != agrees {
		starter.answer, starter.answered = agrees, now
	}
	iv.wish = &wish{by: by}
	iv.poke()
	return nil
}

func (iv *interview) stop(by string, now time.Time) error {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	if by != API {
		if m := iv.member(by); m == nil || m.role != roleOfRecruiters {
			return refuse(CodeNotAllowed, "only a recruiter of this room may stop a recording")
		}
	}
	if iv.wish == nil || iv.wish.end != nil {
		return refuse(CodeNotRecording, "this room is not being recorded")
	}
	iv.endWishLocked(&ending{at: now, reason: manifest.Requested, by: by})
	return nil
}

// endWishLocked ends the wish that holds, if there is one.
func (iv *interview) endWishLocked(e *ending) {
	if iv.wish != nil && iv.wish.end == nil {
		iv.wish.end = e
		iv.wish.until.Store(&e.at)
		iv.poke()
	}
}

// fail ends the recording, because of what detail says.
func (iv *interview) fail(w *wish, reason manifest.Reason, detail string) {
	iv.mu.Lock()
	if iv.wish == w {
		iv.endWishLocked(&ending{at: time.Now(), reason: reason, detail: detail})
	}
	iv.mu.Unlock()
}

// diskLow ends the recording for want of space.
func (iv *interview) diskLow(detail string) {
	iv.mu.Lock()
	iv.endWishLocked(&ending{at: time.Now(), reason: manifest.Disk, detail: detail})
	iv.mu.Unlock()
}

// shutDown ends everything. It is called under Recorder.mu.
func (iv *interview) shutDown(now time.Time) {
	iv.mu.Lock()
	iv.closing = true
	iv.endWishLocked(&ending{at: now, reason: manifest.Shutdown})
	iv.poke()
	iv.mu.Unlock()
}

func (iv *interview) status() Status {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	return iv.statusLocked()
}

func (iv *interview) statusLocked() Status {
	s := Status{Room: iv.room, State: Off, Recording: iv.last, Consent: iv.recorder.opts.Consent}
	for _, m := range iv.members {
		if m.answer == refuses {
			s.Refused = append(s.Refused, m.id)
		}
	}
	w := iv.wish
	switch {
	case w == nil:
	case w.end == nil:
		s.State = Waiting
		if !w.since.IsZero() {
			s.State, s.Since = Recording, w.since
		}
		for _, m := range iv.members {
			if iv.pendingLocked(m) {
				s.Pending = append(s.Pending, m.id)
			}
		}
	default:
		s.Reason, s.Detail = w.end.reason, w.end.detail
		if w.end.failed() {
			s.State = Failed
		}
	}
	return s
}

// The work of run.

// event puts something down that has happened.
func (iv *interview) event(at time.Time, e manifest.Event) {
	if iv.session != nil {
		iv.session.event(at, e)
	}
}

func (iv *interview) joined(id, role string, at time.Time) {
	if iv.present++; iv.present == 1 {
		iv.told = Status{} // who was told has left
		iv.retap = time.Time{}
	}
	if iv.session != nil {
		iv.session.joined(id, role, at)
		iv.session.event(at, manifest.Event{Type: manifest.Join, Participant: id, Role: role})
	}
}

func (iv *interview) left(id string, at time.Time) {
	if iv.session != nil {
		iv.session.left(id, at)
		iv.session.event(at, manifest.Event{Type: manifest.Leave, Participant: id})
	}
	if iv.present--; iv.present == 0 {
		iv.endTap() // the relay's room is gone
	}
}

// run is the interview's goroutine.
func (iv *interview) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var batch []func()
	for {
		iv.mu.Lock()
		batch, iv.queue = iv.queue, batch[:0]
		iv.mu.Unlock()
		for _, work := range batch {
			work()
		}
		clear(batch)
		next, idle := iv.settle(time.Now())
		iv.tell() // before another interview may speak for the room
		if idle && iv.retire() {
			return
		}
		timer.Reset(max(time.Until(next), time.Millisecond))
		select {
		case <-iv.wake:
		case <-timer.C:
		}
	}
}

// tell calls Notify if there is news.
func (iv *interview) tell() {
	status := iv.status()
	if status.equal(iv.told) || iv.told.Room == "" && status.State == Off && status.Reason == "" {
		return
	}
	iv.told = status
	iv.recorder.opts.Notify(iv.room, status)
}

// settle brings everything to where it should be. It returns when to look again, and whether nothing is to be recorded.
func (iv *interview) settle(now time.Time) (next time.Time, idle bool) {
	next = now.Add(time.Hour)
	soon := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	iv.mu.Lock()
	iv.timeOutLocked(now, soon)
	iv.wishLocked(now, soon)
	active := iv.wish != nil && iv.wish.end == nil
	declined := iv.declined
	over := iv.session != nil && iv.session.wish.end != nil
	if len(iv.queue) > 0 && (over || len(declined) > 0) { // with what was before the end
		iv.mu.Unlock()
		return now, false
	}
	iv.declined = nil
	if over {
		iv.finishing++
	}
	iv.mu.Unlock()

	if s := iv.session; over {
		iv.putConsent(s, now)
		iv.session = nil
		s.finish()
	}
	for _, w := range declined {
		iv.putDown(w)
	}
	if !active {
		iv.endTap()
		iv.asked = nil
		return next, true
	}
	if iv.tapping == nil && iv.present > 0 {
		iv.tap(now)
		if iv.tapping == nil {
			soon(iv.retap)
		}
	}
	iv.askConsent(now)
	if iv.session == nil && iv.tapping != nil {
		iv.begin(now)
	}
	if s := iv.session; s != nil {
		iv.putConsent(s, now)
		iv.openTracks(s)
		soon(s.settle(now))
	}
	return next, false
}

// timeOutLocked ends what has lasted long enough.
func (iv *interview) timeOutLocked(now time.Time, soon func(time.Time)) {
	w := iv.wish
	if w == nil || w.end != nil {
		return
	}
	if len(iv.members) == 0 {
		if over := iv.emptySince.Add(iv.recorder.opts.Linger); now.Before(over) {
			soon(over)
		} else {
			iv.endWishLocked(&ending{at: iv.emptySince, reason: manifest.Left})
		}
	}
	if !w.since.IsZero() {
		if over := w.since.Add(iv.recorder.opts.MaxDuration); now.Before(over) {
			soon(over)
		} else {
			iv.endWishLocked(&ending{at: now, reason: manifest.Limit, detail: "a recording may be " + iv.recorder.opts.MaxDuration.String() + " long"})
		}
	}
}

// wishLocked wishes for a recording where all interviews are recorded.
func (iv *interview) wishLocked(now time.Time, soon func(time.Time)) {
	if iv.recorder.opts.Mode != ModeAlways || len(iv.members) == 0 || iv.closing || iv.recordings >= maxRecordings || iv.finishing >= maxFinishing {
		return
	}
	if w := iv.wish; w != nil {
		switch {
		case w.end == nil || iv.vetoedLocked(w.end):
			return
		case w.end.failed():
			if over := w.end.at.Add(retryAfter); now.Before(over) {
				soon(over)
				return
			}
		}
	}
	if iv.recorder.diskLow() {
		soon(now.Add(diskInterval))
		if iv.wish == nil || iv.wish.end.reason != manifest.Disk {
			iv.noSpaceLocked(now)
		}
		return
	}
	iv.wish = &wish{}
	iv.poke()
}

// noSpaceLocked has everybody told that what should be recorded is not.
func (iv *interview) noSpaceLocked(now time.Time) {
	const detail = "the disk for recordings is nearly full"
	iv.wish = &wish{end: &ending{at: now, reason: manifest.Disk, detail: detail}}
	iv.log.Error("interview is not recorded", "error", detail)
	r := iv.recorder
	r.count.failed.Add(1)
	r.group.Go(func() {
		r.tell(Event{Type: EventFailed, At: now, Interview: iv.room, Reason: manifest.Disk, Detail: detail})
	})
}

// vetoedLocked tells whether a recording ended by the will of somebody, which holds until they change it, or all have left.
func (iv *interview) vetoedLocked(e *ending) bool {
	switch {
	case e.reason == manifest.Requested || e.by == Everyone:
		return true
	case e.reason == manifest.Refused:
		return slices.ContainsFunc(iv.members, func(m *member) bool { return m.answer == refuses })
	}
	return false
}

// retire ends an interview of which nothing is left.
func (iv *interview) retire() bool {
	r := iv.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	iv.mu.Lock()
	defer iv.mu.Unlock()
	if len(iv.queue) > 0 || iv.finishing > 0 || iv.session != nil || len(iv.declined) > 0 || len(iv.members) > 0 && !iv.closing || iv.wish != nil && iv.wish.end == nil {
		return false
	}
	delete(r.interviews, iv.room)
	return true
}

// begin makes a recording, if all is there that it takes.
func (iv *interview) begin(now time.Time) {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	w := iv.wish
	if w == nil || w.end != nil || len(iv.queue) > 0 { // with who came or went before
		return
	}
	media := false
	for _, m := range iv.members {
		media = media || m.media
		if iv.pendingLocked(m) {
			return
		}
	}
	if !media && (w.by == "" || iv.recorder.opts.Consent == manifest.ConsentRequired) {
		return
	}
	iv.session = iv.newSessionLocked(w, now)
}

// putDown makes a recording of nothing but a refusal.
func (iv *interview) putDown(w *wish) {
	iv.mu.Lock()
	if iv.recordings >= maxRecordings || iv.finishing >= maxFinishing {
		iv.mu.Unlock()
		return
	}
	s := iv.newSessionLocked(w, w.end.at)
	iv.finishing++
	iv.mu.Unlock()
	iv.putConsent(s, w.end.at)
	s.finish()
}

// newSessionLocked makes a recording of who is there.
func (iv *interview) newSessionLocked(w *wish, zero time.Time) *session {
	iv.recordings++
	w.begun = true
	s := newSession(iv, w, zero)
	for _, m := range iv.members {
		s.joined(m.id, m.role, m.joined)
	}
	s.begin()
	e := manifest.Event{Type: manifest.RecordingStarted}
	e.Participant, e.By = credit(w.by)
	s.event(s.zero, e)
	for _, e := range iv.asked {
		s.event(s.zero, e)
	}
	iv.asked = nil
	return s
}

// credit is whom an event says that something was done by: a participant, or else the operator's side.
func credit(by string) (participant, operator string) {
	if by == API || by == Everyone {
		return "", API
	}
	return by, ""
}
