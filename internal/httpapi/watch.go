package httpapi

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"skillsage/recording/manifest"
)

const playerNotBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>skillsage</title>
<h1>The player has not been built</h1>
<p>To have it, run <code>make web</code> and build the server again. The files of recordings can be had all the same.</p>
</html>
`

// setPlayerHeaders lets the page play what comes from this server, and no more.
func setPlayerHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Permissions-Policy", "camera=(), microphone=(), display-capture=(), geolocation=()")
}

// page sends the start page of the player.
func (s *Recordings) page(w http.ResponseWriter, r *http.Request, status int) {
	setPlayerHeaders(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	text := []byte(playerNotBuilt)
	if s.o.Player != nil {
		var err error
		if text, err = fs.ReadFile(s.o.Player, "index.html"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text) // whoever has gone away is no concern of ours
	}
}

// asset sends a file that the player's page refers to; false if there is none of that name.
func (s *Recordings) asset(w http.ResponseWriter, r *http.Request, name string) bool {
	if s.o.Player == nil || !fs.ValidPath(name) {
		return false
	}
	content, err := fs.ReadFile(s.o.Player, name)
	if err != nil {
		return false
	}
	// The build gives them names made of their content.
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	return true
}

// Watch is the part of the public listener below /watch/: the player with one recording, for who has a link to it.
//
//	/watch/{link}                  the page
//	/watch/{link}/manifest.json    the manifest, without the interview's id
//	/watch/{link}/files/{name}     a media file
//	/watch/assets/{name}           what the page is made of
func (s *Recordings) Watch() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // the address is the key
		h.Set("Cache-Control", "private, no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Robots-Tag", "noindex")
		if !readOnly(w, r) {
			return
		}
		link, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, watchPath), "/")
		if link == "assets" {
			if !s.asset(w, r, link+"/"+rest) {
				http.NotFound(w, r)
			}
			return
		}
		id, err := s.o.Links.recording(link)
		switch {
		case rest == "":
			// The page itself asks for the manifest and says what is wrong.
			s.page(w, r, linkStatus(err))
		case err != nil:
			writeProblem(w, &problem{linkStatus(err), linkCode(err), err.Error()})
		default:
			if err := s.watch(w, r, id, rest); err != nil {
				writeProblem(w, err)
			}
		}
	})
}

func linkStatus(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, errLinkExpired):
		return http.StatusGone
	}
	return http.StatusNotFound
}

func linkCode(err error) string {
	if errors.Is(err, errLinkExpired) {
		return "expired"
	}
	return "bad-link"
}

// watch serves what belongs to the recording of a good link.
func (s *Recordings) watch(w http.ResponseWriter, r *http.Request, id, rest string) error {
	folder, err := s.folder(id)
	if err != nil {
		return err
	}
	if rest == "manifest.json" {
		m, err := s.read(r, folder)
		if err != nil {
			return err
		}
		writeCompressed(w, r, forGuests(m))
		return nil
	}
	if name, ok := strings.CutPrefix(rest, "files/"); ok {
		return serveMedia(w, r, folder, name)
	}
	return &problem{http.StatusNotFound, "not-found", "a link leads to manifest.json and files/, nothing else"}
}

// forGuests leaves out what only the operator should know: the interview's id, with which one could enter it, and what
// the system said, which may name folders.
func forGuests(m *manifest.Manifest) *manifest.Manifest {
	m.Interview, m.Detail = "", ""
	for i := range m.Events {
		if m.Events[i].Type == manifest.RecordingStopped {
			m.Events[i].Detail = ""
		}
	}
	return m
}

// pages are those of the operator: the list of recordings, and the player for each.
func (s *Recordings) pages(mux *http.ServeMux) {
	mux.HandleFunc("/recordings", func(w http.ResponseWriter, r *http.Request) { s.page(w, r, http.StatusOK) })
	mux.HandleFunc("/recordings/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "../recordings") // the page knows its own address: these may stand below a prefix
		w.WriteHeader(http.StatusPermanentRedirect)
	})
	mux.HandleFunc("/assets/", func(w http.ResponseWriter, r *http.Request) {
		if !s.asset(w, r, strings.TrimPrefix(r.URL.Path, "/")) {
			http.NotFound(w, r)
		}
	})
}
