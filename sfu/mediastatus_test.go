package sfu

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// troubles counts what an engine's members were told, by reason.
func troubles(e *Engine) map[MediaReason]uint64 {
	counts := make(map[MediaReason]uint64)
	for i, n := range e.Stats().MediaTroubles {
		if n > 0 {
			counts[MediaReasons[i].Reason] = n
		}
	}
	return counts
}

// TestMediaStatusOfAClientThatIsNotReached: an answer, and then not one packet.
func TestMediaStatusOfAClientThatIsNotReached(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{MediaTimeout: 300 * time.Millisecond})
	r.join("R", "C", "D")
	r.signal("R", "C", false, "offer", recorded(t, "chromium-camera-offer"))
	r.gets("C", "offer", 1)
	time.Sleep(3 * tickInterval)
	if told := r.toldMedia(); len(told) != 0 {
		t.Errorf("told before the answer: %q", told)
	}
	r.signal("C", "R", false, "answer", recorded(t, "firefox-camera-answer"))
	r.gets("R", "answer", 1)
	r.eventually("all are told", func() bool { return len(r.toldMedia()) == 4 })
	time.Sleep(3 * tickInterval)
	told := r.toldMedia()
	slices.Sort(told)
	want := []string{
		"C is told of R: no-connection ice", "C is told of own, to R: no-connection ice",
		"R is told of C: no-connection ice", "R is told of own, to C: no-connection ice",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%q, want\n%q", told, want)
	}
	if n := troubles(r.engine)[ReasonICE]; n != 2 {
		t.Errorf("%d counted", n)
	}
	r.engine.Leave("room", "C")
	within(t, r.engine, func(room *room) {
		if len(room.troubles) != 0 {
			t.Errorf("left behind: %v", room.troubles)
		}
	})
}

// TestMediaStatusOfALostClient: it was there, is not heard of for a while, and is there again.
func TestMediaStatusOfALostClient(t *testing.T) {
	t.Parallel()
	c, r, k := lined(t, Options{MediaTimeout: 3500 * time.Millisecond})
	k.cutOff.Store(true)
	k.darken(true)
	c.eventually("both are told", func() bool { return len(c.toldMedia()) == 2 })
	k.darken(false)
	together(r, k)
	c.eventually("both are told of the end", func() bool { return len(c.toldMedia()) == 4 })
	want := []string{
		"C is told of own, to R: no-connection lost", "R is told of C: no-connection lost",
		"C is told of own, to R: ok", "R is told of C: ok",
	}
	if told := c.toldMedia(); !slices.Equal(told, want) {
		t.Errorf("told\n%q, want\n%q", told, want)
	}
	if counts := troubles(c.engine); counts[ReasonLost] != 1 || len(counts) != 1 {
		t.Errorf("counted %v", counts)
	}
}

// TestMediaStatusOfAClientThatSendsNothing: its description says that it does.
func TestMediaStatusOfAClientThatSendsNothing(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{MediaTimeout: time.Second})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	pc := k.connection(clientKey{"R", false}, false)
	for mime, kind := range map[string]string{webrtc.MimeTypeVP8: "video", webrtc.MimeTypeOpus: "audio"} {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, kind, "camera-C")
		if err == nil {
			_, err = pc.AddTrack(track)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r.offer("C")
	k.gets("R")
	c.eventually("both are told", func() bool { return len(c.toldMedia()) == 2 })
	want := []string{"C is told of own, to R: no-media never", "R is told of C: no-media never"}
	if told := c.toldMedia(); !slices.Equal(told, want) {
		t.Errorf("told\n%q, want\n%q", told, want)
	}
	if counts := troubles(c.engine); counts[ReasonNever] != 1 || len(counts) != 1 {
		t.Errorf("counted %v", counts)
	}
}

// TestMediaStatusOfATrackThatStops: a camera is missed, a screen may stand still. One of several viewers is
// told as all are.
func TestMediaStatusOfATrackThatStops(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{MediaTimeout: time.Second, SilenceTimeout: 500 * time.Millisecond})
	k := c.join("C", "candidate")
	var stops []func()
	recruiters := []*client{c.join("Q", "recruiter"), c.join("R", "recruiter")}
	for _, r := range recruiters {
		stops = append(stops, k.addTracks(k.connection(clientKey{r.id, false}, false), k.stream, "audio", "video"))
		r.offer("C")
		r.gets("C")
	}
	screen := k.connection(clientKey{"R", true}, false)
	stopScreen := k.addTracks(screen, "screen", "video")
	k.offerOn(clientKey{"R", true}, false)
	recruiters[1].receives("C video screen")
	stopScreen()
	for _, stop := range stops {
		stop()
	}
	c.eventually("all are told", func() bool { return len(c.toldMedia()) >= 4 })
	time.Sleep(5 * tickInterval)
	told := c.toldMedia()
	slices.Sort(told)
	want := []string{
		"C is told of own, to Q: no-media stopped", "C is told of own, to R: no-media stopped",
		"Q is told of C: no-media stopped", "R is told of C: no-media stopped",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%q, want\n%q", told, want)
	}
}

// TestMediaStatusOfAGoodCall: nothing is told.
func TestMediaStatusOfAGoodCall(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{MediaTimeout: time.Second})
	k.addTracks(k.connection(clientKey{"R", true}, false), "screen", "video")
	k.offerOn(clientKey{"R", true}, false)
	r.receives("C video screen")
	time.Sleep(2 * time.Second)
	k.closeConnection("R", true)
	c.engine.ScreenShareStatus("room", "C", false)
	time.Sleep(time.Second)
	k.gets("R")
	if told := c.toldMedia(); len(told) != 0 {
		t.Errorf("told %q", told)
	}
}
