package httpapi

import (
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"sync"
	"time"

	"skillsage/recording/manifest"
	"skillsage/recording/store"
)

const (
	defaultPage = 50 // recordings in one answer
	maxPage     = 200

	maxFound   = 1024 // recordings whose folders are remembered
	maxReading = 4    // manifests read at the same time: one may be large
)

// RecordingsOptions are what recordings are watched and steered with.
type RecordingsOptions struct {
	Store *store.Store
	Links *Links
	// Recorder starts and stops recordings; nil where nothing is recorded any more, and what there is can be watched.
	Recorder Recorder
	// Player is the built page that plays recordings, nil when it has not been built.
	Player fs.FS
	// URL is where browsers find the public listener, without a slash at the end; empty if that is not known. Then links are paths.
	URL string
}

// Recordings is the API of recordings and the pages that show them. It is safe for concurrent use.
type Recordings struct {
	o       RecordingsOptions
	reading chan struct{} // a semaphore

	mu    sync.Mutex
	found map[string]*store.Folder // by the recording's id
}

// NewRecordings makes the handlers of recordings: Watch for the public listener, the others by AdminOptions.Recordings.
func NewRecordings(o RecordingsOptions) *Recordings {
	return &Recordings{o: o, reading: make(chan struct{}, maxReading), found: make(map[string]*store.Folder)}
}

// api is what programs and the pages of the operator ask, below /api/ of the admin handler.
func (s *Recordings) api() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/recordings", methods{"GET": s.list})
	mux.Handle("/api/recordings/{id}", methods{"GET": s.manifest, "DELETE": s.remove})
	mux.Handle("/api/recordings/{id}/files/{name}", methods{"GET": s.media})
	mux.Handle("/api/recordings/{id}/links", methods{"POST": s.link})
	mux.Handle("/api/recorder", methods{"GET": s.status})
	mux.Handle("/api/recorder/start", methods{"POST": s.start})
	mux.Handle("/api/recorder/stop", methods{"POST": s.stop})
	mux.Handle("/api/recorder/consent", methods{"POST": s.consent})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, &problem{http.StatusNotFound, "not-found", "the API has no " + r.URL.Path})
	})
	return mux
}

var (
	errNoRecording = &problem{http.StatusNotFound, "no-recording", "there is no such recording"}
	errInUse       = &problem{http.StatusConflict, "busy", "the recording is still being made; stop it first"}
)

// explain makes what the store says a problem.
func explain(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return errNoRecording
	case errors.Is(err, store.ErrBusy):
		return errInUse
	}
	return err
}

// folder finds the recording of that id.
func (s *Recordings) folder(id string) (*store.Folder, error) {
	s.mu.Lock()
	folder := s.found[id]
	s.mu.Unlock()
	if folder != nil {
		return folder, nil // whoever opens it hears if it is gone
	}
	folder, err := s.o.Store.Find(id)
	if err != nil {
		return nil, explain(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.found) >= maxFound {
		clear(s.found)
	}
	s.found[id] = folder
	return folder, nil
}

func (s *Recordings) read(r *http.Request, folder *store.Folder) (*manifest.Manifest, error) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	m, err := folder.Manifest()
	return m, explain(err)
}

// listed is a recording in the list.
type listed struct {
	ID           string           `json:"id"`
	Interview    string           `json:"interview"`
	Started      *time.Time       `json:"started"`
	Finished     *time.Time       `json:"finished"`
	Duration     manifest.Seconds `json:"duration"` // s
	State        manifest.State   `json:"state"`
	Reason       manifest.Reason  `json:"reason,omitempty"`
	Detail       string           `json:"detail,omitempty"`
	Participants []listedPerson   `json:"participants"`
	Files        int              `json:"files"`
	Size         int64            `json:"size"`            // bytes of all its files
	Error        string           `json:"error,omitempty"` // why the manifest could not be read
}

type listedPerson struct {
	ID   string `json:"id"`
	Role string `json:"role"`
}

// list answers with the recordings, the newest first, a page at a time.
func (s *Recordings) list(w http.ResponseWriter, r *http.Request) (any, error) {
	query := r.URL.Query()
	limit := defaultPage
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return nil, badRequest("limit: %q is not a whole number from 1 to %d", text, maxPage)
		}
		limit = n
	}
	after := query.Get("after")
	if after != "" && !store.ValidID(after) {
		return nil, badRequest("after: %q is not the id of a recording; pass on what the answer before called next", after)
	}
	var all []*store.Folder
	var err error
	if query.Has("interview") {
		all, err = s.o.Store.Interview(query.Get("interview"))
	} else {
		all, err = s.o.Store.List()
	}
	if err != nil && len(all) == 0 {
		return nil, err
	}
	var page struct {
		Recordings []listed `json:"recordings"`
		Next       string   `json:"next,omitempty"` // what to ask for with after; empty at the end
	}
	page.Recordings = []listed{}
	for i := len(all) - 1; i >= 0; i-- {
		if after != "" && all[i].ID() >= after {
			continue
		}
		if len(page.Recordings) == limit {
			page.Next = page.Recordings[limit-1].ID
			break
		}
		one, err := s.describe(r, all[i])
		if err != nil {
			return nil, err
		}
		if one != nil {
			page.Recordings = append(page.Recordings, *one)
		}
	}
	return page, nil
}

// describe makes the entry of a recording; nil if it has just been removed.
func (s *Recordings) describe(r *http.Request, folder *store.Folder) (*listed, error) {
	one := &listed{ID: folder.ID(), Participants: []listedPerson{}}
	m, err := s.read(r, folder)
	switch {
	case r.Context().Err() != nil:
		return nil, err
	case errors.Is(err, errNoRecording):
		root, err := folder.Root()
		if err != nil {
			return nil, nil
		}
		_ = root.Close()
		one.Error = "there is no " + manifest.Name
	case err != nil:
		one.Error = err.Error()
	}
	if m == nil {
		one.Interview, one.State = folder.Interview(), manifest.Failed
	} else {
		one.Interview, one.Started, one.Finished, one.Duration = m.Interview, &m.Started, m.Finished, m.Duration
		one.State, one.Reason, one.Detail, one.Files = m.State, m.Reason, m.Detail, len(m.Files)
		for _, p := range m.Participants {
			one.Participants = append(one.Participants, listedPerson{p.ID, p.Role})
		}
	}
	// What can't be counted now may be counted next time.
	one.Size, _ = folder.Size()
	return one, nil
}

func (s *Recordings) manifest(w http.ResponseWriter, r *http.Request) (any, error) {
	folder, err := s.folder(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	m, err := s.read(r, folder)
	if err != nil {
		return nil, err
	}
	writeCompressed(w, r, m)
	return nil, nil
}

func (s *Recordings) media(w http.ResponseWriter, r *http.Request) (any, error) {
	folder, err := s.folder(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return nil, serveMedia(w, r, folder, r.PathValue("name"))
}

func (s *Recordings) remove(w http.ResponseWriter, r *http.Request) (any, error) {
	id := r.PathValue("id")
	folder, err := s.folder(id)
	if err != nil {
		return nil, err
	}
	if err := folder.Remove(); err != nil {
		return nil, explain(err)
	}
	s.mu.Lock()
	delete(s.found, id)
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
	return nil, nil
}

// link makes a link that shows one recording to whoever has it.
func (s *Recordings) link(w http.ResponseWriter, r *http.Request) (any, error) {
	var wish struct {
		TTL string `json:"ttl"`
	}
	if err := readJSON(w, r, &wish); err != nil {
		return nil, err
	}
	var ttl time.Duration
	if wish.TTL != "" {
		var err error
		if ttl, err = time.ParseDuration(wish.TTL); err != nil || ttl < MinLinkTTL || ttl > MaxLinkTTL {
			return nil, badRequest("ttl: %q is not a time with its unit (30m, 24h) from %s to %s", wish.TTL, MinLinkTTL, MaxLinkTTL)
		}
	}
	folder, err := s.folder(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	root, err := folder.Root()
	if err != nil {
		return nil, explain(err)
	}
	_ = root.Close()
	link, expires := s.o.Links.Make(folder.ID(), ttl)
	answer := struct {
		Path    string    `json:"path"`
		URL     string    `json:"url,omitempty"`
		Expires time.Time `json:"expires"`
	}{Path: watchPath + link, Expires: expires}
	if s.o.URL != "" {
		answer.URL = s.o.URL + answer.Path
	}
	return answer, nil
}
