package jsep

import (
	"slices"
	"strings"
	"testing"
)

// three is a client's section that sends three sizes, as Chromium describes it.
const three = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=fingerprint:sha-256 AA\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\na=setup:actpass\r\na=rtcp-mux\r\n" +
	"a=msid:camera picture\r\na=sendrecv\r\na=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n"

func TestParseRIDs(t *testing.T) {
	for simulcast, want := range map[string]string{
		"send q;h;f":                        "q h f",
		"send q;~h;~f":                      "q h f",
		"recv x;y send q,h;f":               "q f",
		"send q;h;f recv x":                 "q h f",
		"send q;unheard;q;f":                "q f",
		"recv q;h;f":                        "",
		"send":                              "",
		"":                                  "",
		"send " + strings.Repeat(";", 1000): "",
	} {
		d := parse(t, strings.Replace(three, "send q;h;f", simulcast, 1))
		if got := strings.Join(d.Sections[0].RIDs, " "); got != want {
			t.Errorf("a=simulcast:%.40s: %q, want %q", simulcast, got, want)
		}
	}
	if d := parse(t, strings.Replace(three, "a=simulcast:send q;h;f\r\n", "", 1)); d.Sections[0].RIDs != nil {
		t.Errorf("without a=simulcast: %v", d.Sections[0].RIDs)
	}
}

// The stack goes on knowing the streams of a section that pauses, whatever its
// client says of them then, and of no other.
func TestSanitizeKeepsPausedSimulcast(t *testing.T) {
	want := []string{"a=rid:q send", "a=rid:h send", "a=rid:f send", "a=simulcast:send q;h;f"}
	quiet := strings.Replace(three, "a=sendrecv", "a=recvonly", 1)
	silent := quiet[:strings.Index(quiet, "a=rid:")]
	silent = strings.Replace(silent, "a=msid:camera picture\r\n", "", 1)
	for name, text := range map[string]string{"with": quiet, "without": silent} {
		for _, paused := range []bool{true, false} {
			d := parse(t, text).Clone()
			if paused {
				s := &d.Sections[0]
				s.Paused, s.RIDs, s.Stream, s.Track = true, []string{"q", "h", "f"}, "camera", "picture"
			}
			clean, err := d.Sanitize(choose)
			if err != nil {
				t.Fatal(err)
			}
			got := append(lines(t, clean, "0", "a=rid:"), lines(t, clean, "0", "a=simulcast:")...)
			if paused != slices.Equal(got, want) || !paused && len(got) > 0 {
				t.Errorf("%s lines, paused %v: %q", name, paused, got)
			}
			if got := lines(t, clean, "0", "a=msid:"); paused != slices.Equal(got, []string{"a=msid:camera picture"}) || !paused && len(got) > 0 {
				t.Errorf("%s lines, paused %v: %q", name, paused, got)
			}
		}
	}
	d := parse(t, strings.Replace(quiet, "m=video 9 ", "m=video 0 ", 1)).Clone()
	d.Sections[0].Paused, d.Sections[0].RIDs = true, []string{"q"}
	if clean, err := d.Sanitize(choose); err != nil || strings.Contains(clean, "simulcast") {
		t.Errorf("a rejected section has streams: %v\n%s", err, clean)
	}
}
