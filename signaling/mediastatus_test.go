package signaling

import (
	"fmt"
	"testing"
)

func TestMediaStatus(t *testing.T) {
	r := start(t, Options{Mode: ModeRelay}, &recorder{})
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	stranger := r.join("other", "candidate")
	for _, told := range []struct {
		room, member, about string
	}{
		{"iv", a.ID(), "gone"},
		{"iv", a.ID(), stranger.ID()},
		{"iv", stranger.ID(), b.ID()},
		{"iv", "gone", b.ID()},
		{"no room", a.ID(), b.ID()},
	} {
		r.server.MediaStatus(told.room, told.member, MediaStatus{UserID: told.about, State: "ok"})
	}
	r.server.MediaStatus("iv", a.ID(), MediaStatus{UserID: b.ID(), State: "no-connection", Reason: "ice"})
	r.server.MediaStatus("iv", b.ID(), MediaStatus{UserID: a.ID(), IsScreenShare: true, Own: true, State: "ok"})
	r.waitText(a, "media-status", fmt.Sprintf(`{"userId":"%s","isScreenShare":false,"own":false,"state":"no-connection","reason":"ice"}`, b.ID()))
	r.waitText(b, "media-status", fmt.Sprintf(`{"userId":"%s","isScreenShare":true,"own":true,"state":"ok","reason":""}`, a.ID()))
	r.fence("iv", a, a, b)
	r.fence("other", stranger, stranger)
	if a.Count("media-status") != 1 || b.Count("media-status") != 1 || stranger.Count("media-status") != 0 {
		t.Errorf("recruiter received %q, candidate %q, a stranger %q", names(a), names(b), names(stranger))
	}
	if n := r.server.Stats().Dropped["no-such-member"]; n != 4 {
		t.Errorf("%d dropped for want of a member", n)
	}
}
