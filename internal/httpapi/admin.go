package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"

	"skillsage/internal/doctor"
)

// AdminOptions are what the operator's pages show, and to whom.
type AdminOptions struct {
	Health    *Health
	Signaling SignalingStats
	Front     FrontStats
	Relay     RelayStats     // nil without a media relay
	Media     MediaStats     // nil without a media port
	TCPMedia  TCPStats       // nil when media do not use TCP
	TURN      TURNStats      // nil without a TURN server
	Recording RecordingStats // nil where nothing is recorded
	Delivery  DeliveryStats  // nil likewise
	// Recordings is nil where nothing is and was recorded.
	Recordings *Recordings
	// Doctor tries what clients will do and says what came of it, within doctor.Limit; nil: there is no such page. It is
	// called once at a time.
	Doctor  func(ctx context.Context) *doctor.Report
	Version string
	// Token is the password. Without one the pages are for loopback listeners only, and are given only to who asks
	// for them under a loopback name.
	Token string
}

// NewAdmin is the handler of the operator's pages: the debug page at /, /rooms.json, /metrics, /doctor and /doctor.json,
// /debug/pprof/, the recordings at /recordings and below /api/ and, open to all who reach it, /healthz.
func NewAdmin(o AdminOptions) http.Handler {
	page := &debugPage{relay: o.Relay, recordings: o.Recordings != nil, version: o.Version}
	metrics := metricsHandler(o)
	pages := http.NewServeMux()
	pages.HandleFunc("/{$}", page.html)
	pages.HandleFunc("/rooms.json", page.json)
	pages.HandleFunc("/style.css", page.style)
	pages.Handle("/metrics", metrics)
	if o.Doctor != nil {
		reports := &doctorPage{run: o.Doctor, version: o.Version}
		pages.HandleFunc("/doctor", reports.html)
		pages.HandleFunc("/doctor.json", reports.json)
	}
	pages.HandleFunc("/debug/pprof/", pprof.Index)
	pages.HandleFunc("/debug/pprof/cmdline", http.NotFound) // may hold the token
	pages.HandleFunc("/debug/pprof/profile", pprof.Profile)
	pages.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	pages.HandleFunc("/debug/pprof/trace", pprof.Trace)
	api := http.NotFoundHandler()
	if o.Recordings != nil {
		o.Recordings.pages(pages)
		api = o.Recordings.api()
	}
	admit := loopbackNames
	if o.Token != "" {
		admit = bearerOf(o.Token)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.URL.Path == "/healthz":
			o.Health.ServeHTTP(w, r)
		case !admit(w, r):
		case fromElsewhere(r):
			http.Error(w, "this is not for other sites", http.StatusForbidden)
		case strings.HasPrefix(r.URL.Path, "/api/"):
			api.ServeHTTP(w, r)
		case readOnly(w, r):
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			pages.ServeHTTP(w, r)
		}
	})
}

// loopbackNames lets in who asks for a loopback name: another name that points to this machine belongs to a web page
// that wants to read what is here (DNS rebinding).
func loopbackNames(w http.ResponseWriter, r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	addr, err := netip.ParseAddr(host)
	if strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback() {
		return true
	}
	http.Error(w, "without admin.token this is only for localhost, 127.0.0.1 and the like", http.StatusForbidden)
	return false
}

// bearerOf lets in who knows the token, as Bearer (RFC 6750) or as the password of HTTP Basic (RFC 7617), with any name.
func bearerOf(token string) func(http.ResponseWriter, *http.Request) bool {
	// Hashes have one length, so that the time that the comparison takes tells nothing of the token's.
	want := sha256.Sum256([]byte(token))
	return func(w http.ResponseWriter, r *http.Request) bool {
		given, ok := "", false
		if scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
			given, ok = strings.TrimSpace(rest), true
		} else if _, password, basic := r.BasicAuth(); basic {
			given, ok = password, true
		}
		got := sha256.Sum256([]byte(given))
		if ok && subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="skillsage admin", charset="UTF-8"`)
		http.Error(w, "the admin token is missing or wrong", http.StatusUnauthorized)
		return false
	}
}

// fromElsewhere tells whether a page of another site asks in its visitor's name; opening a link is no such thing.
func fromElsewhere(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}
