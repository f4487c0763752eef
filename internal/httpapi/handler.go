// Package httpapi is everything that is asked over plain HTTP: the room page, health, and the operator's metrics and
// debug page.
package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"skillsage/signaling"
)

// Health is the answer of /healthz. The zero value is healthy. It is safe for concurrent use.
type Health struct{ draining atomic.Bool }

// Drain makes /healthz answer 503 from now on, so that load balancers send new people elsewhere.
func (h *Health) Drain() { h.draining.Store(true) }

func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	status, word := http.StatusOK, "ok"
	if h.draining.Load() {
		status, word = http.StatusServiceUnavailable, "draining"
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A client that has gone away is no concern of the server's health.
	_ = json.NewEncoder(w).Encode(map[string]string{"status": word})
}

// New is the handler of the public listener. Everything below /socket.io goes to sockets as it is: path and headers of
// that protocol are its own; so does /ice-servers. assets is the built room page, nil when it has not been built. admin is served
// below /admin/ and watch, which shows recordings to who has a link, below /watch/; nil: not at all.
func New(sockets http.Handler, health *Health, assets fs.FS, admin, watch http.Handler) http.Handler {
	page := pageHandler(assets)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/socket.io"), r.URL.Path == signaling.ICEServersPath:
			sockets.ServeHTTP(w, r)
		case r.URL.Path == "/healthz":
			health.ServeHTTP(w, r)
		case admin != nil && r.URL.Path == "/admin":
			http.Redirect(w, r, "/admin/", http.StatusMovedPermanently)
		case admin != nil && strings.HasPrefix(r.URL.Path, "/admin/"):
			http.StripPrefix("/admin", admin).ServeHTTP(w, r)
		case watch != nil && strings.HasPrefix(r.URL.Path, watchPath):
			watch.ServeHTTP(w, r)
		default:
			if readOnly(w, r) {
				page.ServeHTTP(w, r)
			}
		}
	})
}

// HTTPSOnly sends what came without TLS to the same address on https, but for /healthz, which load balancers ask for without.
func HTTPSOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS != nil || r.URL.Path == "/healthz":
			next.ServeHTTP(w, r)
		case !strings.HasPrefix(r.URL.Path, "/") || !hostPattern.MatchString(r.Host):
			http.Error(w, "this is served over https only", http.StatusBadRequest)
		default: // 308 keeps method and body
			http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusPermanentRedirect)
		}
	})
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

const notBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>skillsage</title>
<h1>The room page has not been built</h1>
<p>Signaling is served at <code>/socket.io/</code> all the same. To have the page, run
<code>make web</code> and build the server again, or <code>make run</code>, which does both.</p>
</html>
`

// pageHandler serves the files of the room page; its start page is at "/" only.
func pageHandler(assets fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPageHeaders(w.Header(), r.Host)
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if name == "" {
			name = "index.html"
		}
		if assets == nil {
			if name != "index.html" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = io.WriteString(w, notBuilt)
			return
		}
		content, err := fs.ReadFile(assets, name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		// The build gives files below assets/ names made of their content.
		if strings.HasPrefix(name, "assets/") {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			w.Header().Set("Cache-Control", "no-cache")
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]{1,255}$`)

// setPageHeaders lets the page do what it needs, camera, microphone and screen included, and no more.
func setPageHeaders(h http.Header, host string) {
	connect := "'self'"
	// Not every browser's 'self' covers WebSockets, so the host is named. It comes from the client and
	// stands in a header of ours, hence the pattern.
	if hostPattern.MatchString(host) {
		connect += " ws://" + host + " wss://" + host
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "+
		"img-src 'self' data: blob:; media-src 'self' blob: mediastream:; connect-src "+connect+"; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'self'")
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self)")
	h.Set("X-Content-Type-Options", "nosniff")
	// The address of a room is its key: other sites must not learn it from a link in the chat.
	h.Set("Referrer-Policy", "no-referrer")
}
