package jsep

import (
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

func choose(s *Section) *Codec { return Choose(s, DefaultVideo, "") }

// lines returns the attribute lines of one m= section that begin with a prefix.
func lines(t testing.TB, text, mid, prefix string) []string {
	t.Helper()
	for _, part := range strings.Split(text, "\r\nm=")[1:] {
		if !strings.Contains(part+"\r\n", "\r\na=mid:"+mid+"\r\n") {
			continue
		}
		var found []string
		for _, line := range strings.Split(part, "\r\n")[1:] {
			if strings.HasPrefix(line, prefix) {
				found = append(found, line)
			}
		}
		return found
	}
	t.Fatalf("no section %q", mid)
	return nil
}

func TestSanitizeBrowsers(t *testing.T) {
	for name, text := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			d := parse(t, text)
			clean, err := d.Sanitize(choose)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(clean, "a=candidate:") || strings.Contains(clean, "a=end-of-candidates") {
				t.Error("candidates are left")
			}
			again := parse(t, clean)
			if again.Fingerprint != d.Fingerprint || again.Ufrag != d.Ufrag || len(again.Sections) != len(d.Sections) {
				t.Fatal("transport or sections have changed")
			}
			for i, s := range again.Sections {
				was := d.Sections[i]
				if s.MID != was.MID || s.Kind != was.Kind || s.Rejected != was.Rejected {
					t.Errorf("section %d is %s %s, was %s %s", i, s.MID, s.Kind, was.MID, was.Kind)
				}
				if s.Kind == Application {
					continue
				}
				if got := lines(t, clean, s.MID, "a=sendrecv"); s.Direction.String() != "sendrecv" || len(got) != 1 {
					t.Errorf("section %s is %s, %d direction lines", s.MID, s.Direction, len(got))
				}
				want := *choose(&was)
				if want.REDFirst = false; want.Name == "opus" {
					want.Fmtp = ""
				}
				if len(s.Codecs) != 1 || s.Codecs[0] != want {
					t.Errorf("section %s has %+v, want the chosen codec alone", s.MID, s.Codecs)
				}
				ssrcs := len(lines(t, clean, s.MID, "a=ssrc"))
				if want := len(lines(t, text, s.MID, "a=ssrc")); was.Direction.Send && ssrcs != want {
					t.Errorf("section %s sends and has %d of %d a=ssrc lines", s.MID, ssrcs, want)
				}
				if !was.Direction.Send && ssrcs+len(lines(t, clean, s.MID, "a=msid")) != 0 {
					t.Errorf("section %s sends nothing and announces sources", s.MID)
				}
			}
			if strings.Contains(name, "answer") {
				return
			}
			// The stack takes it and answers every section.
			pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: clean}); err != nil {
				t.Fatal(err)
			}
			answer, err := pc.CreateAnswer(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(answer.SDP, "\r\nm="); got != len(d.Sections) {
				t.Errorf("the stack answers %d of %d sections", got, len(d.Sections))
			}
		})
	}
}

func TestSanitizeLeavesTheDescriptionAlone(t *testing.T) {
	d := parse(t, fixture(t, "chromium-screen-offer"))
	before, err := d.parsed.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	first, _ := d.Sanitize(choose)
	second, _ := d.Sanitize(choose)
	after, err := d.parsed.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) || first != second {
		t.Error("Sanitize changes its receiver")
	}
}

// The stack gets a codec of its own in the place of those it does not know: it
// could not answer the other sections otherwise. Rewrite rejects the section.
func TestSanitizeWithoutACommonCodec(t *testing.T) {
	for _, name := range []string{"safari18-camera-offer", "chromium-screen-offer", "firefox-reoffer"} {
		d := parse(t, fixture(t, name))
		clean, err := d.Sanitize(func(*Section) *Codec { return nil })
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range parse(t, clean).Sections {
			want := Codec{PayloadType: d.Sections[i].Codecs[0].PayloadType, Name: "vp8", ClockRate: 90000}
			if s.Kind == Audio {
				want = Codec{PayloadType: want.PayloadType, Name: "opus", ClockRate: 48000, Channels: 2}
			}
			if len(s.Codecs) != 1 || s.Codecs[0] != want {
				t.Errorf("%s: section %s has %+v, want %+v", name, s.MID, s.Codecs, want)
			}
			if announced := append(lines(t, clean, s.MID, "a=ssrc"), lines(t, clean, s.MID, "a=msid")...); len(announced) != 0 {
				t.Errorf("%s: section %s announces %v", name, s.MID, announced)
			}
		}
	}
}

// own is a description as the WebRTC stack makes them.
func own(t *testing.T) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, mime := range []string{webrtc.MimeTypeOpus, webrtc.MimeTypeVP8} {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, mime, "stream")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pc.AddTrack(track); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pc.CreateDataChannel("data", nil); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}

func TestRewriteDirections(t *testing.T) {
	text := own(t)
	for _, c := range []struct {
		local     Local
		direction string
		sources   bool
		port      int
	}{
		{Local{Send: true, Recv: true}, "sendrecv", true, 9},
		{Local{Send: true}, "sendonly", true, 9},
		{Local{Recv: true}, "recvonly", false, 9},
		{Local{}, "inactive", false, 9},
		{Local{Send: true, Recv: true, Reject: true}, "inactive", false, 0},
	} {
		out, err := Rewrite(text, func(mid string) (Local, bool) { return c.local, mid == "1" }, nil)
		if err != nil {
			t.Fatal(err)
		}
		parsed := &sdp.SessionDescription{}
		if err := parsed.UnmarshalString(out); err != nil {
			t.Fatal(err)
		}
		if port := parsed.MediaDescriptions[1].MediaName.Port.Value; port != c.port {
			t.Errorf("%+v: port %d, want %d", c.local, port, c.port)
		}
		video := lines(t, out, "1", "a=")
		directions := slices.DeleteFunc(slices.Clone(video), func(l string) bool {
			return !slices.Contains([]string{"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"}, l)
		})
		if len(directions) != 1 || directions[0] != "a="+c.direction {
			t.Errorf("%+v: %v, want one a=%s", c.local, directions, c.direction)
		}
		sources := len(lines(t, out, "1", "a=ssrc")) > 0 && len(lines(t, out, "1", "a=msid:")) > 0
		none := len(lines(t, out, "1", "a=ssrc"))+len(lines(t, out, "1", "a=msid:")) == 0
		if (c.sources && !sources) || (!c.sources && !none) {
			t.Errorf("%+v: sources announced: %v", c.local, lines(t, out, "1", "a=ssrc"))
		}
		// A section that decide does not know keeps what the stack wrote.
		if !slices.Equal(lines(t, out, "0", "a="), lines(t, text, "0", "a=")) || !slices.Equal(lines(t, out, "2", "a="), lines(t, text, "2", "a=")) {
			t.Errorf("%+v: other sections have changed", c.local)
		}
		group, _ := parsed.Attribute("group")
		if want := map[bool]string{false: "BUNDLE 0 1 2", true: "BUNDLE 0 2"}[c.local.Reject]; group != want {
			t.Errorf("%+v: %s, want %s", c.local, group, want)
		}
	}
}

func TestRewriteDropsRTCPCandidates(t *testing.T) {
	text := strings.Replace(own(t), "a=mid:0\r\n", "a=mid:0\r\n"+
		"a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n"+
		"a=candidate:1 2 udp 2130706431 192.0.2.1 5000 typ host\r\n", 1)
	out, err := Rewrite(text, func(string) (Local, bool) { return Local{}, false }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(t, out, "0", "a=candidate"); len(got) != 1 || !strings.HasPrefix(got[0], "a=candidate:1 1 udp") {
		t.Errorf("candidates %v", got)
	}
	// Candidates of a rejected section go where they are looked for.
	out, err = Rewrite(text, func(mid string) (Local, bool) { return Local{Reject: true}, mid == "0" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if here, there := lines(t, out, "0", "a=candidate"), lines(t, out, "1", "a=candidate"); len(here) != 0 || len(there) != 1 {
		t.Errorf("candidates %v in the rejected section, %v in the next", here, there)
	}
	if _, err := Rewrite("nonsense", nil, nil); err == nil {
		t.Error("no error for what is no description")
	}
}

// The relay's own candidates take the place of the stack's, in the first section that is not rejected.
func TestRewriteReplacesCandidates(t *testing.T) {
	const stack = "a=candidate:1 1 udp 2130706431 10.0.0.1 5000 typ host\r\na=candidate:1 2 udp 2130706431 10.0.0.1 5000 typ host\r\n"
	ours := []string{"7 1 udp 2130706431 192.0.2.1 443 typ host", "8 1 tcp 1518280447 192.0.2.1 443 typ host tcptype passive"}
	want := []string{"a=candidate:" + ours[0], "a=candidate:" + ours[1]}
	for _, complete := range []bool{false, true} {
		text, wanted := own(t), want
		if complete {
			text = strings.Replace(text, "a=mid:0\r\n", "a=mid:0\r\n"+stack+"a=end-of-candidates\r\n", 1)
			wanted = append(slices.Clone(want), "a=end-of-candidates")
		}
		for _, rejected := range []string{"", "0"} {
			out, err := Rewrite(text, func(mid string) (Local, bool) { return Local{Reject: mid == rejected}, true }, ours)
			if err != nil {
				t.Fatal(err)
			}
			first, other := "0", "1"
			if rejected == "0" {
				first, other = "1", "0"
			}
			got := append(lines(t, out, first, "a=candidate"), lines(t, out, first, "a=end-of")...)
			if !slices.Equal(got, wanted) {
				t.Errorf("complete %v, %q rejected: %v, want %v", complete, rejected, got, wanted)
			}
			if n := strings.Count(out, "candidate"); n != len(wanted) || len(lines(t, out, other, "a=candidate")) != 0 {
				t.Errorf("complete %v, %q rejected: %d lines speak of candidates\n%s", complete, rejected, n, out)
			}
		}
	}
}

// FuzzParse: whatever parses is sanitised and rewritten into descriptions that parse again.
func FuzzParse(f *testing.F) {
	for _, text := range fixtures(f) {
		f.Add(text)
	}
	f.Add(minimal)
	f.Add(strings.ReplaceAll(minimal, "\r\n", "\n"))
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil || len(d.Sections) == 0 { // nothing is answered to the latter
			return
		}
		if len(d.Sections) > MaxSections || len(d.Candidates) > MaxCandidates {
			t.Fatalf("%d sections, %d candidates", len(d.Sections), len(d.Candidates))
		}
		clean, err := d.Sanitize(choose)
		if err != nil {
			t.Fatalf("does not sanitise: %v", err)
		}
		if err := (&sdp.SessionDescription{}).UnmarshalString(clean); err != nil {
			t.Fatalf("sanitised text does not parse: %v", err)
		}
		out, err := Rewrite(text, func(mid string) (Local, bool) {
			return Local{Send: len(mid)%2 == 0, Recv: len(mid)%3 == 0, Reject: len(mid)%5 == 0}, len(mid)%7 != 6
		}, nil)
		if err != nil {
			t.Fatalf("does not rewrite: %v", err)
		}
		if err := (&sdp.SessionDescription{}).UnmarshalString(out); err != nil {
			t.Fatalf("rewritten text does not parse: %v", err)
		}
	})
}

// A paused section keeps its sources announced, without a stream; one that
// never sent announces none.
func TestRewritePaused(t *testing.T) {
	own := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE s0\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:s0\r\na=rtpmap:96 VP8/90000\r\n" +
		"a=ssrc-group:FID 7 8\r\na=ssrc:7 cname:x\r\na=ssrc:7 msid:x y\r\na=ssrc:8 cname:x\r\na=msid:x y\r\na=sendrecv\r\n"
	for _, paused := range []bool{true, false} {
		text, err := Rewrite(own, func(string) (Local, bool) { return Local{Recv: true, Paused: paused}, true }, nil)
		if err != nil {
			t.Fatal(err)
		}
		for line, want := range map[string]bool{
			"a=ssrc:7 cname:x": paused, "a=ssrc:8 cname:x": paused, "a=ssrc-group:FID 7 8": paused,
			"msid:": false, "a=recvonly": true,
		} {
			if got := strings.Contains(text, line); got != want {
				t.Errorf("paused %v: %q in the description: %v, want %v", paused, line, got, want)
			}
		}
	}
}
