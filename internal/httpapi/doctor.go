package httpapi

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"sync"
	"time"

	"skillsage/internal/doctor"
)

//go:embed doctor.html
var doctorText string

var doctorTemplate = template.Must(template.New("doctor").Parse(doctorText))

// doctorPage makes a report when somebody asks for it, one at a time.
type doctorPage struct {
	run     func(ctx context.Context) *doctor.Report // ends within doctor.Limit
	version string
	running sync.Mutex
}

// report makes one, or answers that another one is being made.
func (p *doctorPage) report(w http.ResponseWriter, r *http.Request) *doctor.Report {
	if !p.running.TryLock() {
		w.Header().Set("Retry-After", strconv.Itoa(int(doctor.Limit.Seconds())))
		http.Error(w, "a report is being made for somebody else; ask again in some seconds", http.StatusTooManyRequests)
		return nil
	}
	defer p.running.Unlock()
	return p.run(r.Context())
}

func (p *doctorPage) json(w http.ResponseWriter, r *http.Request) {
	report := p.report(w, r)
	if report == nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that has gone away is no concern of ours.
	_ = json.NewEncoder(w).Encode(report)
}

func (p *doctorPage) html(w http.ResponseWriter, r *http.Request) {
	report := p.report(w, r)
	if report == nil {
		return
	}
	var body bytes.Buffer
	view := struct {
		*doctor.Report
		Version, When string
	}{report, p.version, report.Time.Format(time.TimeOnly + " UTC")}
	if err := doctorTemplate.Execute(&body, view); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = body.WriteTo(w)
}
