package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"skillsage/internal/doctor"
)

var reportOfATest = &doctor.Report{
	Time: time.Date(2026, 11, 26, 8, 9, 10, 0, time.UTC), Took: 12.5, Page: "127.0.0.1:5000", Verdict: "1 thing does not work.", Failed: true,
	Checks: []doctor.Check{
		{Area: "media over UDP", Status: doctor.Fail, Tried: "asked <b>", Result: "silence", Advice: "open the port"},
		{Area: "clock", Status: doctor.OK, Tried: "asked", Result: "it is right"},
	},
}

func TestDoctorPages(t *testing.T) {
	h := NewAdmin(AdminOptions{Health: &Health{}, Signaling: fixedSignaling(fixed{}), Version: "v1", Token: token,
		Doctor: func(context.Context) *doctor.Report { return reportOfATest }})
	w := ask(h, "http://localhost/doctor.json", "Authorization", "Bearer "+token)
	var got doctor.Report
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || !reflect.DeepEqual(&got, reportOfATest) {
		t.Errorf("%d %s: %v", w.Code, w.Body, err)
	}
	w = ask(h, "http://localhost/doctor", "Authorization", "Bearer "+token)
	for _, want := range []string{"1 thing does not work.", `<span class="status fail">fail</span>`, "asked &lt;b&gt;: silence<p>open the port</p>", "08:09:10 UTC"} {
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d, no %q in\n%s", w.Code, want, w.Body)
		}
	}
	for _, path := range []string{"/doctor", "/doctor.json"} {
		if w := ask(h, "http://localhost"+path); w.Code != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d", path, w.Code)
		}
		if w := ask(admin("", fixed{}), "http://localhost"+path); w.Code != http.StatusNotFound {
			t.Errorf("%s without a doctor: %d", path, w.Code)
		}
	}
}

// Who asks while a report is being made is told to come back; a client that goes away ends its report.
func TestOneReportAtATime(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	h := NewAdmin(AdminOptions{Health: &Health{}, Signaling: fixedSignaling(fixed{}), Doctor: func(ctx context.Context) *doctor.Report {
		entered <- struct{}{}
		<-ctx.Done()
		return reportOfATest
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(left)
		askContext(ctx, h, "http://localhost/doctor.json")
	}()
	<-entered
	for _, path := range []string{"/doctor", "/doctor.json"} {
		if w := ask(h, "http://localhost"+path); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	cancel()
	<-left
	go func() { <-entered }()
	gone, end := context.WithCancel(t.Context())
	end()
	if w := askContext(gone, h, "http://localhost/doctor.json"); w.Code != 200 {
		t.Errorf("the next one: %d", w.Code)
	}
}
