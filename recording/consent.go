package recording

import (
	"time"

	"skillsage/recording/manifest"
)

type answer int

const (
	unanswered answer = iota
	agrees
	refuses
)

func (iv *interview) consent(id string, agreed bool, now time.Time) error {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	if iv.recorder.opts.Consent != manifest.ConsentRequired && !agreed {
		return refuse(CodeNotAllowed, "this server does not ask whether people agree to be recorded")
	}
	refusal := manifest.Event{Type: manifest.ConsentRefused, Participant: id}
	if id == Everyone {
		iv.attested = agreed
		for _, m := range iv.members {
			m.attested = agreed
		}
		refusal.Participant, refusal.By = "", API
	} else {
		m := iv.member(id)
		if m == nil {
			return refuse(CodeNotAllowed, "only a member of this room can answer whether it may be recorded")
		}
		given := refuses
		if agreed {
			given = agrees
		}
		if m.answer == given {
			return nil
		}
		m.answer, m.answered, m.asked, m.refused = given, now, true, m.refused || !agreed
		if !agreed { // who comes next may be the same person, on a page that was loaded anew
			iv.attested = false
		}
	}
	if agreed {
		iv.push(func() {
			if iv.session != nil {
				iv.putConsent(iv.session, now)
			}
		})
		return nil
	}
	iv.push(func() { iv.consentEvent(now, refusal) })
	if w := iv.wish; w != nil && w.end == nil {
		iv.endWishLocked(&ending{at: now, reason: manifest.Refused, by: id})
		if !w.begun {
			iv.declined = append(iv.declined, w)
		}
	}
	return nil
}

// agreesLocked tells whether a member may be recorded.
func (iv *interview) agreesLocked(m *member) bool {
	return iv.recorder.opts.Consent != manifest.ConsentRequired || m.answer == agrees || m.attested && !m.refused
}

// pendingLocked tells whether a member has to be asked, or has been and has not answered: one with media, or that has shown that it
// answers. Other sockets are mostly second ones of people who answer on another, like a chat's; nobody would ever answer there.
func (iv *interview) pendingLocked(m *member) bool {
	return (m.media || m.refused) && m.answer == unanswered && !iv.agreesLocked(m)
}

// hearsLocked tells whether what a socket says may be put down. One that is not asked has, as far as that can be told, the consent of the
// people in its role: there has to be one who agrees, and none who has not answered.
func (iv *interview) hearsLocked(id string) bool {
	speaker := iv.member(id)
	if speaker != nil && (iv.agreesLocked(speaker) || speaker.media || speaker.refused) {
		return iv.agreesLocked(speaker)
	}
	agreed := iv.recorder.opts.Consent != manifest.ConsentRequired
	for _, m := range iv.members {
		if speaker != nil && speaker.role != m.role {
			continue
		}
		if iv.pendingLocked(m) {
			return false
		}
		agreed = agreed || iv.agreesLocked(m)
	}
	return agreed
}

// The work of run.

// consentEvent is event for what is part of a recording although it comes before.
func (iv *interview) consentEvent(at time.Time, e manifest.Event) {
	if iv.session != nil {
		iv.session.event(at, e)
	} else if iv.recorder.opts.Consent == manifest.ConsentRequired && len(iv.asked) < 2*maxParticipants {
		iv.asked = append(iv.asked, e)
	}
}

// askConsent notes who publishes, and asks those of them who have to agree.
func (iv *interview) askConsent(now time.Time) {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	for _, t := range iv.tracks {
		m := iv.member(t.source.Member())
		if m == nil {
			continue
		}
		m.media = true
		if iv.pendingLocked(m) && !m.asked {
			m.asked = true
			iv.consentEvent(now, manifest.Event{Type: manifest.ConsentAsked, Participant: m.id})
		}
	}
}

// putConsent puts down who has agreed, where it takes that.
func (iv *interview) putConsent(s *session, now time.Time) {
	if iv.recorder.opts.Consent != manifest.ConsentRequired {
		return
	}
	iv.mu.Lock()
	defer iv.mu.Unlock()
	for _, m := range iv.members {
		if s.agreed[m.id] || !iv.agreesLocked(m) {
			continue
		}
		e, at := manifest.Event{Type: manifest.ConsentGiven, Participant: m.id}, m.answered
		if m.answer != agrees {
			if !m.media {
				continue
			}
			e.By, at = API, now
		}
		s.agreed[m.id] = true
		s.event(at, e)
	}
}

// agrees tells whether somebody may be recorded who is there.
func (iv *interview) agrees(id string) (role string, agreed bool) {
	iv.mu.Lock()
	defer iv.mu.Unlock()
	m := iv.member(id)
	if m == nil {
		return "", false
	}
	return m.role, iv.agreesLocked(m)
}
