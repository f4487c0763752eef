package engineio

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

var (
	corsAny     = []string{"*"}
	corsMethods = []string{"GET,HEAD,PUT,PATCH,POST,DELETE"}
	corsTrue    = []string{"true"}
)

// Answer sets the headers of an answer, on errors too: without them a browser hides the reason from the
// page. It answers preflight requests and reports true for them.
func (c CORS) Answer(w http.ResponseWriter, r *http.Request) (done bool) {
	origins := c.Origins
	switch {
	case origins == nil:
		origins = corsAny
	case len(origins) == 0:
		return false
	}
	h := w.Header()
	if slices.Contains(origins, "*") {
		h["Access-Control-Allow-Origin"] = corsAny
	} else {
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); slices.Contains(origins, origin) {
			h["Access-Control-Allow-Origin"] = []string{origin}
			if c.Credentials {
				h["Access-Control-Allow-Credentials"] = corsTrue
			}
		}
	}
	if r.Method != http.MethodOptions {
		return false
	}
	h["Access-Control-Allow-Methods"] = corsMethods
	if asked := r.Header.Values("Access-Control-Request-Headers"); len(asked) > 0 {
		h["Access-Control-Allow-Headers"] = asked
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// originAllowed decides on a WebSocket upgrade. CORS does not apply to those: without this check any
// page could open one with its visitor's cookies.
func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if s.opts.CheckOrigin != nil {
		return s.opts.CheckOrigin(origin, r)
	}
	if slices.Contains(s.opts.CORS.Origins, "*") || slices.Contains(s.opts.CORS.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
