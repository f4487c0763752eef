package signaling

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"skillsage/internal/testkit/sioclient"
)

func TestConnectionQuality(t *testing.T) {
	r := start(t, Options{Mode: ModeRelay}, &recorder{})
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	stranger := r.join("other", "candidate")
	loss, rtt, fair, estimate := 0.02, 31.5, "fair", uint64(600000)
	said := func() []ConnectionQuality {
		return []ConnectionQuality{
			{UserID: "gone", Quality: "good"},
			{UserID: stranger.ID(), Quality: "good"},
			{UserID: b.ID(), Quality: "good", PeerQuality: &fair, RTT: &rtt, LossUp: &loss, BitrateUp: 1200, BitrateDown: 3400,
				Transport: "udp", CandidateType: "prflx", Estimate: &estimate},
			{UserID: b.ID(), IsScreenShare: true, Quality: "lost", Transport: "udp", CandidateType: "host"},
		}
	}
	want := fmt.Sprintf(`[{"userId":"%[1]s","isScreenShare":false,"quality":"good","peerQuality":"fair","rtt":31.5,"lossUp":0.02,"lossDown":null,`+
		`"bitrateUp":1200,"bitrateDown":3400,"transport":"udp","candidateType":"prflx","estimate":600000},`+
		`{"userId":"%[1]s","isScreenShare":true,"quality":"lost","peerQuality":null,"rtt":null,"lossUp":null,"lossDown":null,`+
		`"bitrateUp":0,"bitrateDown":0,"transport":"udp","candidateType":"host","estimate":null}]`, b.ID())
	r.server.Quality("iv", a.ID(), said())
	r.waitText(a, "connection-quality", want)
	r.server.Quality("iv", a.ID(), said()[:2]) // nothing is left of it
	r.server.Quality("iv", stranger.ID(), said())
	r.server.Quality("iv", "gone", said())
	r.server.Quality("no room", a.ID(), said())
	r.fence("iv", a, a, b)
	r.fence("other", stranger, stranger)
	if a.Count("connection-quality") != 1 || b.Count("connection-quality") != 0 || stranger.Count("connection-quality") != 0 {
		t.Errorf("recruiter received %q, candidate %q, a stranger %q", names(a), names(b), names(stranger))
	}
}

// A socket that is not read would be closed for the length of its queue; figures that come by the clock are dropped
// before that.
func TestConnectionQualityOfASlowSocket(t *testing.T) {
	options := Options{Mode: ModeRelay}
	options.SocketIO.Engine.QueuePackets = 16
	r := start(t, options, &recorder{})
	b := r.join("iv", "candidate")
	r.pollOnce("iv") // and never again
	var slow struct{ UserID string }
	if err := r.wait(b, "user-joined").Decode(&slow); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		r.server.Quality("iv", slow.UserID, []ConnectionQuality{{UserID: b.ID(), Quality: "good"}})
	}
	if st := r.server.Stats(); st.Members != 2 || st.SocketIO.VolatileDropped != 200 {
		t.Errorf("%d members are left, %d of 200 were dropped", st.Members, st.SocketIO.VolatileDropped)
	}
	r.fence("iv", b, b)
	if b.Count("user-left") != 0 {
		t.Error("the slow socket was closed")
	}
}

// pollOnce joins over long-polling and then asks for nothing any more.
func (r *rig) pollOnce(room string) {
	r.Helper()
	url := r.url + "/socket.io/?EIO=4&transport=polling"
	exchange := func(method, url, body string) string {
		request, err := http.NewRequestWithContext(r.ctx, method, url, strings.NewReader(body))
		if err != nil {
			r.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			r.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 200 {
			r.Fatalf("%s: %d %q, %v", method, response.StatusCode, text, err)
		}
		return string(text)
	}
	var hello struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(exchange("GET", url, ""), "0")), &hello); err != nil {
		r.Fatal(err)
	}
	url += "&sid=" + hello.SID
	exchange("POST", url, "40")
	exchange("GET", url, "")
	exchange("POST", url, `42["join-room",{"interviewId":"`+room+`","userRole":"recruiter"}]`)
}

// A suspended socket is told afterwards what it has missed, old figures excepted.
func TestConnectionQualityWhileAway(t *testing.T) {
	options := withGrace(time.Minute)
	options.Mode = ModeRelay
	r := start(t, options, &recorder{})
	a, b := r.join("iv", "recruiter"), r.join("iv", "candidate")
	r.fence("iv", a, a)
	recovery := a.Recovery()
	a.Abort()
	r.eventually("suspended", func() bool { return r.server.Stats().SocketIO.Suspended == 1 })
	r.server.Quality("iv", a.ID(), []ConnectionQuality{{UserID: b.ID(), Quality: "good"}})
	r.server.Unsupported("iv", a.ID(), b.ID(), false, "video", "none")
	back := r.dial(sioclient.Options{Recover: recovery})
	r.wait(back, "media-unsupported")
	if back.Count("connection-quality") != 0 {
		t.Errorf("received %q", names(back))
	}
}
