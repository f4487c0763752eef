package recording

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"skillsage/recording/manifest"
)

func TestARecordingFromStartToStop(t *testing.T) {
	r := newRig(t, Options{})
	r.stage.open("room")
	r.Join("room", "c", "candidate")
	r.Join("room", "r", "recruiter")
	wantCode(t, r.Start("room", "c"), CodeNotAllowed)
	wantCode(t, r.Start("room", "stranger"), CodeNotAllowed)
	wantCode(t, r.Start("other", API), CodeNoRoom)
	wantCode(t, r.Stop("room", "r"), CodeNotRecording)
	if s := r.Status("room"); s.State != Off || s.Reason != "" || len(r.Active()) != 0 {
		t.Errorf("before it: %+v", s)
	}

	must(t, r.Start("room", "r"))
	wantCode(t, r.Start("room", "r"), CodeAlready)
	if s := r.Status("room"); s.State != Waiting && s.State != Recording {
		t.Errorf("just after the start: %+v", s)
	}
	status := r.untilState("room", Recording)
	if status.Recording == "" || time.Since(status.Since) > time.Minute || status.Consent != manifest.ConsentNone {
		t.Errorf("the status is %+v", status)
	}
	if active := r.Active(); len(active) != 1 || active[0].Room != "room" {
		t.Errorf("active are %+v", active)
	}
	r.Said("room", "c", "chat-message", []byte(`{"content":"hi"}`))
	r.Said("room", "c", "chat-message", []byte(`{"content":`))
	r.Said("room", "c", "signal", []byte(`{}`))
	r.Said("room", "c", "screen-share-status", []byte(`{"userId":"c","isSharing":true}`))
	r.Said("room", "c", "screen-share-status", []byte(`{"userId":"c","isSharing":false}`))
	r.Said("room", "chat", "language-change", []byte(`{"language":"go"}`))
	r.Said("room", "r", "question-change", []byte(`{"questionId":1}`))
	r.Join("room", "late", "recruiter")
	r.Join("room", "late", "candidate")
	r.Leave("room", "late")
	wantCode(t, r.Stop("room", "c"), CodeNotAllowed)
	must(t, r.Stop("room", "r"))
	wantCode(t, r.Stop("room", "r"), CodeNotRecording)
	if s := r.untilState("room", Off); s.Reason != manifest.Requested || s.Recording != status.Recording {
		t.Errorf("afterwards: %+v", s)
	}

	started, finished := r.untilEvent(EventStarted, 1), r.untilEvent(EventFinished, 1)
	if started.Recording != status.Recording || finished.Recording != status.Recording || started.Manifest.State != manifest.Recording {
		t.Errorf("started %+v, finished %+v", started, finished)
	}
	m := r.concluded(finished)
	if m.State != manifest.Finished || m.Reason != manifest.Requested || m.Interview != "room" || m.ID != status.Recording || !m.Started.Equal(status.Since.Truncate(time.Millisecond)) {
		t.Errorf("the manifest is %+v", m)
	}
	wantTypes(t, m, manifest.RecordingStarted, manifest.Chat, manifest.ShareOn, manifest.ShareOff, manifest.Language, manifest.Question,
		manifest.Join, manifest.RoleChanged, manifest.Leave, manifest.RecordingStopped)
	if string(m.Events[1].Data) != `{"content":"hi"}` || m.Events[1].Participant != "c" || m.DroppedEvents != 1 {
		t.Errorf("the events are %+v, %d dropped", m.Events, m.DroppedEvents)
	}
	if len(m.Participants) != 3 || m.Participants[0].Left != nil || m.Participants[2].Left == nil {
		t.Errorf("the participants are %+v", m.Participants)
	}
}

func TestConsentOfEverybodyWithMedia(t *testing.T) {
	r := newRig(t, Options{Consent: manifest.ConsentRequired})
	r.stage.open("room")
	for id, role := range map[string]string{"c": "candidate", "r": "recruiter", "r2": "recruiter", "chat": "candidate"} {
		r.Join("room", id, role)
	}
	for _, id := range []string{"c", "r", "r2"} {
		r.stage.publish("room", id, "video")
	}
	must(t, r.Start("room", "r"))
	r.until("two are asked", func() bool { return len(r.told("room").Pending) == 2 })
	must(t, r.Consent("room", "c", true))
	r.until("one is asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"r2"}) })
	if s := r.Status("room"); s.State != Waiting {
		t.Errorf("begun without the last one: %+v", s)
	}
	must(t, r.Consent("room", "r2", true))
	r.untilState("room", Recording)

	// A late one is asked, and what they say is not put down until then.
	r.Join("room", "late", "observer")
	r.stage.publish("room", "late", "audio")
	r.until("the late one is asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"late"}) })
	r.Said("room", "late", "chat-message", []byte(`"before"`))
	must(t, r.Consent("room", "late", true))
	r.Said("room", "late", "chat-message", []byte(`"after"`))
	must(t, r.Consent("room", "c", false))
	if s := r.untilState("room", Off); s.Reason != manifest.Refused || !slices.Equal(s.Refused, []string{"c"}) {
		t.Errorf("after the refusal: %+v", s)
	}
	m := r.concluded(r.untilEvent(EventFinished, 1))
	if m.Reason != manifest.Refused || m.Consent.Policy != manifest.ConsentRequired {
		t.Errorf("the manifest is %+v", m)
	}
	wantTypes(t, m, manifest.RecordingStarted, manifest.ConsentAsked, manifest.ConsentAsked, manifest.ConsentGiven, manifest.ConsentGiven, manifest.ConsentGiven,
		manifest.Join, manifest.ConsentAsked, manifest.ConsentGiven, manifest.Chat, manifest.ConsentRefused, manifest.RecordingStopped)

	// Who starts again asks again.
	must(t, r.Start("room", "r"))
	r.until("the one who refused is asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"c"}) })
	must(t, r.Consent("room", "c", false))
	m = r.concluded(r.untilEvent(EventFinished, 2))
	if m.Reason != manifest.Refused || m.Duration != 0 || len(m.Files) != 0 {
		t.Errorf("what is put down of the refusal is %+v", m)
	}
	wantTypes(t, m, manifest.RecordingStarted, manifest.ConsentAsked, manifest.ConsentRefused,
		manifest.ConsentGiven, manifest.ConsentGiven, manifest.ConsentGiven, manifest.RecordingStopped)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events[2:] {
		if e.Type == EventStarted {
			t.Errorf("told that it has started: %+v", e)
		}
	}
}

// What the platform attests holds for all but those who say otherwise.
func TestConsentThatWasGivenElsewhere(t *testing.T) {
	r := newRig(t, Options{Consent: manifest.ConsentRequired})
	r.stage.open("room")
	r.Join("room", "c", "candidate")
	r.stage.publish("room", "c", "video")
	must(t, r.Consent("room", Everyone, true))
	must(t, r.Start("room", API))
	r.untilState("room", Recording)
	r.Join("room", "late", "recruiter")
	r.stage.publish("room", "late", "video")
	r.until("the late one's consent is put down", func() bool {
		all, err := r.store.List()
		must(t, err)
		m, err := all[0].Manifest()
		return err == nil && len(m.Events) > 3
	})
	if s := r.Status("room"); len(s.Pending) != 0 {
		t.Errorf("asked although it was attested: %+v", s)
	}
	must(t, r.Consent("room", "c", false))
	r.untilState("room", Off)
	m := r.concluded(r.untilEvent(EventFinished, 1))
	wantTypes(t, m, manifest.RecordingStarted, manifest.ConsentGiven, manifest.Join, manifest.ConsentGiven, manifest.ConsentRefused, manifest.RecordingStopped)
	if e := m.Events[1]; e.Participant != "c" || e.By != API {
		t.Errorf("put down is %+v", e)
	}
	must(t, r.Start("room", API))
	r.until("the one who had refused is asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"c"}) })
}

// Who has refused and loads the page anew is another member, of whom nobody has attested anything.
func TestWhoHasRefusedIsAskedAfterAReload(t *testing.T) {
	r := newRig(t, Options{Consent: manifest.ConsentRequired, Mode: ModeAlways})
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	r.Join("room", "c", "candidate")
	r.stage.publish("room", "r", "video")
	r.stage.publish("room", "c", "video")
	r.until("somebody is asked", func() bool { return len(r.told("room").Pending) == 2 })
	must(t, r.Consent("room", Everyone, true))
	r.untilState("room", Recording)
	must(t, r.Consent("room", "c", false))
	r.untilState("room", Off)
	r.Leave("room", "c")
	r.Join("room", "again", "candidate")
	r.stage.publish("room", "again", "video")
	r.until("they are asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"again"}) })
	if s := r.Status("room"); s.State != Waiting {
		t.Errorf("begun without asking: %+v", s)
	}
	must(t, r.Consent("room", Everyone, true)) // the platform has talked to them
	r.untilState("room", Recording)
}

// Words are media like others: who has not agreed is not heard, without a camera either.
func TestWordsWithoutAPicture(t *testing.T) {
	r := newRig(t, Options{Consent: manifest.ConsentRequired})
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	r.Join("room", "c", "candidate")
	r.stage.publish("room", "r", "video")
	must(t, r.Consent("room", "c", false))
	must(t, r.Start("room", "r"))
	r.until("who has refused is asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"c"}) })
	r.Leave("room", "c")
	r.untilState("room", Recording)
	r.Join("room", "quiet", "candidate")
	r.Join("room", "r's chat", "recruiter")
	r.Said("room", "quiet", "chat-message", []byte(`"nobody has asked me"`))
	r.Said("room", "r's chat", "chat-message", []byte(`"asked"`))
	must(t, r.Consent("room", "quiet", true))
	r.Said("room", "quiet", "chat-message", []byte(`"agreed"`))
	must(t, r.Stop("room", "r"))
	wantSaid(t, r.concluded(r.untilEvent(EventFinished, 1)), `"asked"`, `"agreed"`)
}

// wantSaid compares what of the chat was put down.
func wantSaid(t *testing.T, m *manifest.Manifest, want ...string) {
	t.Helper()
	var said []string
	for _, e := range m.Events {
		if e.Type == manifest.Chat {
			said = append(said, string(e.Data))
		}
	}
	if !slices.Equal(said, want) {
		t.Errorf("put down is %q, not %q", said, want)
	}
}

// The next member may come before the last one has left, and then be in another room of the relay's.
func TestTheRelaysRoomEndsBeforeThatOfTheSignaling(t *testing.T) {
	var gone atomic.Bool
	r := newRig(t, Options{Mode: ModeAlways, Consent: manifest.ConsentRequired, Relayed: func(string) error {
		if gone.Load() {
			return ErrNoRoom
		}
		return nil
	}})
	r.stage.open("room")
	r.Join("room", "c", "candidate")
	r.stage.publish("room", "c", "video")
	r.until("the first one is asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"c"}) })
	must(t, r.Consent("room", "c", true))
	first := r.untilState("room", Recording)
	gone.Store(true)
	r.stage.end("room")
	time.Sleep(2 * retapAfter) // in vain
	gone.Store(false)
	r.stage.open("room")
	r.Join("room", "next", "candidate")
	r.Leave("room", "c")
	r.stage.publish("room", "next", "video")
	r.until("the next one is asked", func() bool { return slices.Equal(r.told("room").Pending, []string{"next"}) })
	if s := r.Status("room"); s.State != Recording || s.Recording != first.Recording {
		t.Errorf("the recording has become %+v", s)
	}
}

func TestAReloadIsNotTheEnd(t *testing.T) {
	r := newRig(t, Options{Linger: 300 * time.Millisecond})
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	must(t, r.Start("room", "r"))
	first := r.untilState("room", Recording)
	r.Leave("room", "r")
	r.Join("room", "again", "recruiter")
	time.Sleep(600 * time.Millisecond)
	if s := r.Status("room"); s.State != Recording || s.Recording != first.Recording {
		t.Errorf("after the reload: %+v", s)
	}
	r.mu.Lock()
	if told := r.statuses["room"]; !told[len(told)-1].equal(first) {
		t.Errorf("the page was told %+v", told)
	}
	r.mu.Unlock()
	left := time.Now()
	r.Leave("room", "again")
	m := r.concluded(r.untilEvent(EventFinished, 1))
	if m.Reason != manifest.Left || m.Finished.After(left.Add(250*time.Millisecond)) {
		t.Errorf("ended %v after the last one has left: %+v", m.Finished.Sub(left), m)
	}
	r.until("nothing is left", func() bool { return r.Stats().Interviews == 0 })
}

func TestAlways(t *testing.T) {
	r := newRig(t, Options{Mode: ModeAlways})
	r.Join("room", "c", "candidate")
	r.Join("room", "r", "recruiter")
	time.Sleep(100 * time.Millisecond)
	if s := r.Status("room"); s.State != Waiting {
		t.Errorf("without media: %+v", s)
	}
	r.stage.open("room")
	r.stage.publish("room", "c", "video")
	r.untilState("room", Recording)
	must(t, r.Stop("room", "r"))
	r.untilState("room", Off)
	r.untilEvent(EventFinished, 1)
	r.Join("room", "late", "candidate")
	time.Sleep(100 * time.Millisecond)
	if s := r.Status("room"); s.State != Off {
		t.Errorf("begun again against somebody's will: %+v", s)
	}
	for _, id := range []string{"c", "r", "late"} {
		r.Leave("room", id)
	}
	r.Join("room", "next", "candidate")
	r.stage.publish("room", "next", "video")
	r.untilState("room", Recording)
}

func TestShutdownFinishesAll(t *testing.T) {
	r := newRig(t, Options{})
	for _, room := range []string{"one", "two"} {
		r.stage.open(room)
		r.Join(room, "r", "recruiter")
		must(t, r.Start(room, API))
		r.untilState(room, Recording)
	}
	r.close()
	for n := range 2 {
		if m := r.concluded(r.untilEvent(EventFinished, n+1)); m.Reason != manifest.Shutdown {
			t.Errorf("the manifest is %+v", m)
		}
	}
	r.Join("three", "r", "recruiter")
	wantCode(t, r.Start("three", API), CodeNoRoom)
}

// Who waits for the end of all recordings waits no longer than they want to.
func TestCloseTakesNoLongerThanItMay(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, Options{OnEvent: func(Event) { <-release }})
	r.stage.open("room")
	r.Join("room", "r", "recruiter")
	must(t, r.Start("room", "r"))
	r.untilEvent(EventStarted, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed with %v", err)
	}
	close(release)
}
