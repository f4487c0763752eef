package httpapi

import (
	"errors"
	"net/http"
	"time"
)

// Recorder is what the API needs of whoever makes the recordings. Errors may be a *RecorderError.
type Recorder interface {
	Start(interview, by string) error
	Stop(interview, by string) error
	Consent(interview, member string, agreed bool) error
	Status(interview string) RecorderStatus
	Active() []RecorderStatus
}

// RecorderStatus is whether an interview is recorded.
type RecorderStatus struct {
	Interview string     `json:"interview"`
	State     string     `json:"state"` // off, waiting, recording or failed
	Recording string     `json:"recording,omitempty"`
	Since     *time.Time `json:"since,omitempty"`
	Consent   string     `json:"consent"` // none, notice or required
	Pending   []string   `json:"pending"` // members who have not answered yet
	Refused   []string   `json:"refused"` // members who do not agree
	Reason    string     `json:"reason,omitempty"`
	Detail    string     `json:"detail,omitempty"`
}

// RecorderError is why the recorder has not done what it was asked for.
type RecorderError struct{ Code, Message string }

func (e *RecorderError) Error() string { return e.Message }

// byAPI is who asks for what comes over the API.
const byAPI = "api"

// recorderStatus are the answers for the codes of the recorder's errors; others are conflicts with what there is.
var recorderStatus = map[string]int{
	"no-room":     http.StatusNotFound,
	"not-allowed": http.StatusForbidden,
	"disk":        http.StatusInsufficientStorage,
	"busy":        http.StatusServiceUnavailable,
}

func explainRecorder(err error) error {
	refused := new(RecorderError)
	if !errors.As(err, &refused) {
		return err
	}
	status := recorderStatus[refused.Code]
	if status == 0 {
		status = http.StatusConflict
	}
	return &problem{status, refused.Code, refused.Message}
}

func (s *Recordings) recorder() (Recorder, error) {
	if s.o.Recorder == nil {
		return nil, &problem{http.StatusConflict, "off", "this server records nothing (recording.mode is off)"}
	}
	return s.o.Recorder, nil
}

// status tells of one interview, or of all that are recorded at this moment or wait for consent.
func (s *Recordings) status(w http.ResponseWriter, r *http.Request) (any, error) {
	recorder, err := s.recorder()
	if err != nil {
		return nil, err
	}
	if query := r.URL.Query(); query.Has("interview") {
		return recorder.Status(query.Get("interview")), nil
	}
	answer := struct {
		Interviews []RecorderStatus `json:"interviews"`
	}{recorder.Active()}
	if answer.Interviews == nil {
		answer.Interviews = []RecorderStatus{}
	}
	return answer, nil
}

type interviewWish struct {
	Interview string `json:"interview"`
}

func (s *Recordings) start(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.steer(w, r, func(recorder Recorder, interview string) error { return recorder.Start(interview, byAPI) })
}

func (s *Recordings) stop(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.steer(w, r, func(recorder Recorder, interview string) error { return recorder.Stop(interview, byAPI) })
}

// steer has the recorder do something with the interview that the request names, and answers with what has become of it.
func (s *Recordings) steer(w http.ResponseWriter, r *http.Request, do func(recorder Recorder, interview string) error) (any, error) {
	recorder, err := s.recorder()
	if err != nil {
		return nil, err
	}
	var wish interviewWish
	if err := readJSON(w, r, &wish); err != nil {
		return nil, err
	}
	if wish.Interview == "" {
		return nil, badRequest("interview: is missing; it is the id of a running interview")
	}
	if err := do(recorder, wish.Interview); err != nil {
		return nil, explainRecorder(err)
	}
	return recorder.Status(wish.Interview), nil
}

// consent passes on what a member has answered to the platform instead of to the page.
func (s *Recordings) consent(w http.ResponseWriter, r *http.Request) (any, error) {
	recorder, err := s.recorder()
	if err != nil {
		return nil, err
	}
	var wish struct {
		interviewWish
		Member string `json:"member"`
		Agreed *bool  `json:"agreed"`
	}
	if err := readJSON(w, r, &wish); err != nil {
		return nil, err
	}
	switch {
	case wish.Interview == "":
		return nil, badRequest("interview: is missing; it is the id of a running interview")
	case wish.Member == "":
		return nil, badRequest("member: is missing; it is the socket id of who was asked, as the interview's status lists it under pending")
	case wish.Agreed == nil:
		return nil, badRequest("agreed: is missing; true or false")
	}
	if err := recorder.Consent(wish.Interview, wish.Member, *wish.Agreed); err != nil {
		return nil, explainRecorder(err)
	}
	return recorder.Status(wish.Interview), nil
}
