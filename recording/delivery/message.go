package delivery

import (
	"crypto/rand"
	"encoding/json"
	"path"
	"path/filepath"
	"strings"
	"time"

	"skillsage/recording"
	"skillsage/recording/manifest"
	"skillsage/recording/upload"
	"skillsage/recording/webhook"
)

// payload is the body of a webhook; docs/recording-delivery.md describes it.
type payload struct {
	Type      recording.EventType `json:"type"`
	Timestamp time.Time           `json:"timestamp"`
	Data      data                `json:"data"`
}

type data struct {
	Interview    string                 `json:"interview"`
	Recording    string                 `json:"recording"` // empty: it could not begin
	State        manifest.State         `json:"state"`
	Reason       manifest.Reason        `json:"reason,omitempty"`
	Detail       string                 `json:"detail,omitempty"`
	Started      time.Time              `json:"started,omitzero"`
	Finished     *time.Time             `json:"finished,omitempty"`
	Duration     *manifest.Seconds      `json:"duration,omitempty"`
	Folder       string                 `json:"folder,omitempty"` // below recording.dir, with slashes
	Manifest     string                 `json:"manifest,omitempty"`
	Uploaded     *uploaded              `json:"uploaded,omitempty"`
	Abridged     bool                   `json:"abridged,omitempty"` // participants and files are too many; the manifest has them
	Participants []manifest.Participant `json:"participants,omitempty"`
	Files        []file                 `json:"files,omitempty"`
}

// uploaded is where the recording is beside this machine.
type uploaded struct {
	URL string `json:"url"` // of the folder: a slash and the name of a file are to be added
	// Whole is false if a file is missing there, or not as it should be.
	Whole bool `json:"whole"`
}

type file struct {
	manifest.File
	Problem upload.Problem `json:"problem,omitempty"`
}

// eventOf is what is told of a recording that has ended.
func eventOf(m *manifest.Manifest) recording.EventType {
	if m.State == manifest.Failed {
		return recording.EventFailed
	}
	return recording.EventFinished
}

// message is what a webhook says of a recording.
func (j *job) message(kind recording.EventType, m *manifest.Manifest) (webhook.Message, error) {
	p := payload{Type: kind, Timestamp: m.Started, Data: data{
		Interview: m.Interview,
		Recording: m.ID,
		State:     m.State,
		Reason:    m.Reason,
		Detail:    m.Detail,
		Started:   m.Started,
		Folder:    j.key(),
		Manifest:  manifest.Name,
	}}
	if kind == recording.EventStarted {
		// It may have ended since, but that is another message.
		p.Data.State, p.Data.Reason, p.Data.Detail = manifest.Recording, "", ""
	} else {
		end := ending(m)
		p.Timestamp, p.Data.Finished, p.Data.Duration, p.Data.Participants = end, &end, &m.Duration, m.Participants
		for _, f := range m.Files {
			told := file{File: f}
			if j.state.Upload != nil {
				told.Problem = j.state.Upload.Files[f.Name].Problem
			}
			p.Data.Files = append(p.Data.Files, told)
		}
		if j.state.Upload != nil {
			p.Data.Uploaded = &uploaded{j.state.Upload.To, j.state.Upload.Whole(j.files(m))}
		}
	}
	return encode(p, m.ID)
}

// looseMessage is what a webhook says of a recording that could not begin.
func looseMessage(e recording.Event) (webhook.Message, error) {
	return encode(payload{Type: e.Type, Timestamp: e.At, Data: data{
		Interview: e.Interview, Recording: e.Recording, State: manifest.Failed, Reason: e.Reason, Detail: e.Detail,
	}}, "none-"+rand.Text())
}

// encode makes a message about a recording. Its id depends on nothing but what it tells, so that a message that is made anew after a crash is
// known by it.
func encode(p payload, about string) (webhook.Message, error) {
	p.Timestamp = p.Timestamp.UTC()
	body, err := json.Marshal(p)
	if err == nil && len(body) > webhook.MaxBody {
		p.Data.Abridged, p.Data.Participants, p.Data.Files = true, nil, nil
		body, err = json.Marshal(p)
	}
	_, step, _ := strings.Cut(string(p.Type), ".")
	return webhook.Message{ID: "msg_" + about + "_" + step, Stream: about, Type: string(p.Type), Body: body}, err
}

// key is the folder's path below the store's, with slashes: the same in a bucket.
func (j *job) key() string {
	relative, err := filepath.Rel(j.opts.Store.Dir(), j.folder.Path())
	if err != nil { // both are made of the same path
		return j.folder.ID()
	}
	return filepath.ToSlash(relative)
}

// contentTypes by the endings of files' names.
var contentTypes = map[string]string{
	".webm": "video/webm",
	".mkv":  "video/x-matroska",
	".json": "application/json",
}

// files are what is uploaded of a recording: its media, and then the manifest.
func (j *job) files(m *manifest.Manifest) upload.Folder {
	folder := upload.Folder{Key: j.key()}
	for _, f := range m.Files {
		// The manifest is on a disk where others may write; a name never leads out of the folder.
		if f.Name != path.Base(f.Name) || f.Name == ".." || f.Name == manifest.Name {
			j.log.Error("a file of the manifest has a name that no file can have", "file", f.Name)
			continue
		}
		folder.Files = append(folder.Files, upload.File{Name: f.Name, ContentType: contentTypes[path.Ext(f.Name)], SHA256: f.SHA256})
	}
	folder.Files = append(folder.Files, upload.File{Name: manifest.Name, ContentType: contentTypes[path.Ext(manifest.Name)]})
	return folder
}

// absolute is a path that holds wherever a program runs.
func absolute(name string) string {
	if whole, err := filepath.Abs(name); err == nil {
		return whole
	}
	return name
}
