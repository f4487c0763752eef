package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"skillsage/recording"
	"skillsage/recording/manifest"
)

// Recorder is what the API needs of recording.Recorder.
type Recorder interface {
	Start(interview, by string) error
	Stop(interview, by string) error
	Consent(interview, member string, agreed bool) error
	Status(interview string) recording.Status
	Active() []recording.Status
}

// recorderStatus is a recording.Status in JSON.
type recorderStatus struct {
	Interview string                 `json:"interview"`
	State     recording.State        `json:"state"`
	Recording string                 `json:"recording,omitempty"`
	Since     *time.Time             `json:"since,omitempty"` // nil unless it runs
	Consent   manifest.ConsentPolicy `json:"consent"`
	Pending   []string               `json:"pending"`
	Refused   []string               `json:"refused"`
	Reason    manifest.Reason        `json:"reason,omitempty"`
	Detail    string                 `json:"detail,omitempty"`
}

func statusOf(s recording.Status) recorderStatus {
	status := recorderStatus{
		Interview: s.Room, State: s.State, Recording: s.Recording, Consent: s.Consent, Reason: s.Reason, Detail: s.Detail,
		Pending: append([]string{}, s.Pending...), Refused: append([]string{}, s.Refused...), // [] rather than null
	}
	if !s.Since.IsZero() {
		since := s.Since.UTC().Truncate(time.Millisecond)
		status.Since = &since
	}
	return status
}

// codeStatus are the answers for what the recorder does not do; others are conflicts with what there is.
var codeStatus = map[recording.Code]int{
	recording.CodeNoRoom:     http.StatusNotFound,
	recording.CodeNotAllowed: http.StatusForbidden,
	recording.CodeDisk:       http.StatusInsufficientStorage,
	recording.CodeBusy:       http.StatusServiceUnavailable,
}

func explainRecorder(err error) error {
	refused := new(recording.Error)
	if !errors.As(err, &refused) {
		return err
	}
	status := codeStatus[refused.Code]
	if status == 0 {
		status = http.StatusConflict
	}
	return &problem{status, string(refused.Code), refused.Message}
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
		return statusOf(recorder.Status(query.Get("interview"))), nil
	}
	var answer struct {
		Interviews []recorderStatus `json:"interviews"`
	}
	answer.Interviews = []recorderStatus{}
	for _, s := range recorder.Active() {
		answer.Interviews = append(answer.Interviews, statusOf(s))
	}
	slices.SortFunc(answer.Interviews, func(a, b recorderStatus) int { return strings.Compare(a.Interview, b.Interview) })
	return answer, nil
}

type interviewWish struct {
	Interview string `json:"interview"`
}

func (s *Recordings) start(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.steer(w, r, func(recorder Recorder, interview string) error { return recorder.Start(interview, recording.API) })
}

func (s *Recordings) stop(w http.ResponseWriter, r *http.Request) (any, error) {
	return s.steer(w, r, func(recorder Recorder, interview string) error { return recorder.Stop(interview, recording.API) })
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
	return statusOf(recorder.Status(wish.Interview)), nil
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
		return nil, badRequest("member: is missing; it is the socket id of who was asked, as the status lists it under pending, or * for everybody")
	case wish.Agreed == nil:
		return nil, badRequest("agreed: is missing; true or false")
	}
	if err := recorder.Consent(wish.Interview, wish.Member, *wish.Agreed); err != nil {
		return nil, explainRecorder(err)
	}
	return statusOf(recorder.Status(wish.Interview)), nil
}
