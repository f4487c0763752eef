package jsep

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// shape writes a section in one line: mid, kind, direction, marks, whether the
// stream is named, and the codecs with payload type and RTX.
func shape(s Section) string {
	line := fmt.Sprintf("%s %s %s", s.MID, s.Kind, s.Direction)
	if s.Rejected {
		line += " rejected"
	}
	if s.Stream != "" {
		line += " named"
	}
	var codecs []string
	for _, c := range s.Codecs {
		switch c.Name {
		case "opus", "vp8", "h264", "h265", "av1", "vp9":
			codecs = append(codecs, fmt.Sprintf("%s:%d/%d", c.Name, c.PayloadType, c.RTX))
		}
	}
	return strings.Join(append([]string{line}, codecs...), " ")
}

func TestParseBrowsers(t *testing.T) {
	const (
		chromium = " vp8:96/97 h264:102/103 h264:104/107 h264:108/109 h264:114/115 h264:116/117 h264:39/40 av1:45/46 vp9:98/99 vp9:100/101"
		firefox  = " vp8:120/124 vp9:121/125 av1:99/100"
		safari12 = " h264:96/97 h264:98/99"
		safari13 = " h264:96/97 h264:98/99 vp8:100/101"
		safari18 = " h264:96/97 h264:98/99 h264:100/101 h264:102/103 h265:104/105 vp8:106/107 vp9:108/109 vp9:127/125 av1:45/46"
	)
	for name, want := range map[string][]string{
		"chromium-camera-offer": {"0 audio sendrecv named opus:111/0", "1 video sendrecv named" + chromium},
		"chromium-screen-offer": {
			"0 audio sendrecv named opus:111/0", "1 video sendrecv named" + chromium,
			"2 audio sendrecv named opus:111/0", "3 video sendrecv named" + chromium,
		},
		"chromium-data-offer":     {"0 audio sendrecv named opus:111/0", "1 video sendrecv named" + chromium, "2 application sendrecv"},
		"firefox-camera-offer":    {"0 audio sendrecv named opus:109/0", "1 video sendrecv named" + firefox},
		"firefox-screen-offer":    {"0 video sendrecv named" + firefox, "1 video sendrecv named" + firefox},
		"firefox-data-offer":      {"0 audio sendrecv named opus:109/0", "1 video sendrecv named" + firefox, "2 application sendrecv"},
		"firefox-recvonly-offer":  {"0 audio recvonly opus:109/0", "1 video recvonly" + firefox},
		"firefox-reoffer":         {"0 audio sendrecv named opus:109/0", "1 video recvonly" + firefox, "2 audio sendrecv named opus:109/0", "3 video sendrecv named" + firefox},
		"safari12-camera-offer":   {"audio audio sendrecv opus:111/0", "video video sendrecv" + safari12, "data application sendrecv"},
		"safari13-camera-offer":   {"0 video sendrecv named" + safari13, "1 audio sendrecv named opus:111/0", "2 application sendrecv"},
		"safari18-camera-offer":   {"0 audio sendrecv named opus:111/0", "1 video sendrecv named" + safari18},
		"safari18-screen-offer":   {"0 video sendrecv named" + safari18, "1 video sendrecv named" + safari18},
		"safari18-recvonly-offer": {"0 video recvonly" + safari18, "1 audio recvonly opus:111/0"},
		// A stream of "-" is no stream (RFC 8830 section 2).
		"safari12.3-ios-camera-offer":  {"0 audio sendrecv opus:111/0", "1 video sendrecv" + safari13},
		"safari12.3-ios-camera-answer": {"s0 audio sendrecv opus:111/0", "s1 video sendrecv vp8:96/97"},
		"safari18-screen-answer":       {"s0 audio recvonly opus:111/0", "s1 video recvonly vp8:96/97"},
		"safari12-h264-answer":         {"s0 audio sendrecv named opus:111/0", "s1 video sendrecv named h264:106/107"},
		"chromium-camera-answer":       {"s0 audio sendrecv named opus:111/0", "s1 video sendrecv named vp8:96/97"},
		"chromium-screen-answer":       {"s0 audio recvonly opus:111/0", "s1 video recvonly vp8:96/97"},
		"firefox-camera-answer":        {"s0 audio sendrecv named opus:111/0", "s1 video sendrecv named vp8:96/97"},
		"firefox-screen-answer":        {"s0 audio inactive opus:111/0", "s1 video recvonly vp8:96/97"},
	} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, fixture(t, name))
			var got []string
			for _, s := range d.Sections {
				got = append(got, shape(s))
			}
			if !slices.Equal(got, want) {
				t.Errorf("sections:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
			}
		})
	}
}

func TestParseTransportOfEveryBrowser(t *testing.T) {
	for name, text := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			d := parse(t, text)
			if !strings.HasPrefix(d.Fingerprint, "sha-256 ") || len(d.Fingerprint) != len("sha-256 ")+95 || d.Fingerprint != strings.ToLower(d.Fingerprint) {
				t.Errorf("fingerprint %q", d.Fingerprint)
			}
			if d.Ufrag == "" || !strings.Contains(text, "a=ice-ufrag:"+d.Ufrag+"\r\n") {
				t.Errorf("ufrag %q", d.Ufrag)
			}
			if want := min(strings.Count(text, "\r\na=candidate:"), MaxCandidates); len(d.Candidates) != want {
				t.Errorf("%d candidates, want %d", len(d.Candidates), want)
			}
			for _, s := range d.Sections {
				if d.Section(s.MID).MID != s.MID {
					t.Errorf("section %q is not found by its mid", s.MID)
				}
			}
			if want := strings.Contains(text, "m=application"); d.HasApplication() != want {
				t.Errorf("HasApplication is %v, want %v", !want, want)
			}
		})
	}
	if parse(t, minimal).Section("1") != nil {
		t.Error("a mid that is not there was found")
	}
}

// A re-offer takes the stopped camera's section back and appends the new one.
func TestParseReofferKeepsMidsAndNamesTheNewStream(t *testing.T) {
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			before := parse(t, fixture(t, browser+"-camera-offer-candidates"))
			after := parse(t, fixture(t, browser+"-reoffer"))
			if before.Fingerprint != after.Fingerprint || before.Ufrag != after.Ufrag {
				t.Error("the re-offer is of another connection")
			}
			if len(after.Sections) != 4 {
				t.Fatalf("%d sections", len(after.Sections))
			}
			if d := after.Sections[1].Direction; d.Send || !d.Recv {
				t.Errorf("the old camera is %s", d)
			}
			old, fresh := before.Sections[0].Stream, after.Sections[3].Stream
			if after.Sections[0].Stream != old || fresh == "" || fresh == old || after.Sections[2].Stream != fresh {
				t.Errorf("streams %q before, %q after", old, []string{after.Sections[0].Stream, after.Sections[2].Stream, fresh})
			}
		})
	}
}

func TestParseDirections(t *testing.T) {
	for _, c := range []struct {
		session, media, want string
	}{
		{"", "", "sendrecv"}, // the default (RFC 8866 section 6.7)
		{"", "a=sendonly\r\n", "sendonly"},
		{"", "a=recvonly\r\n", "recvonly"},
		{"", "a=inactive\r\n", "inactive"},
		{"a=sendrecv\r\n", "a=recvonly\r\n", "recvonly"}, // Firefox writes both
		{"a=recvonly\r\n", "", "recvonly"},
	} {
		text := strings.Replace(minimal, "a=sendrecv\r\n", c.media, 1)
		text = strings.Replace(text, "a=fingerprint", c.session+"a=fingerprint", 1)
		if got := parse(t, text).Sections[0].Direction.String(); got != c.want {
			t.Errorf("session %q, media %q: %s, want %s", c.session, c.media, got, c.want)
		}
	}
}

func TestParsePortZero(t *testing.T) {
	rejected := strings.Replace(minimal, "m=video 9 ", "m=video 0 ", 1)
	if !parse(t, rejected).Sections[0].Rejected {
		t.Error("port 0 is not taken as a rejection (RFC 8829 section 5.3.1)")
	}
	bundled := strings.Replace(rejected, "a=mid:0", "a=bundle-only\r\na=mid:0", 1)
	if parse(t, bundled).Sections[0].Rejected {
		t.Error("port 0 with bundle-only is taken as a rejection (RFC 9143 section 6)")
	}
	data := parse(t, rejected+"m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n")
	if data.HasApplication() {
		t.Error("a rejected data channel section counts as one")
	}
}

func TestParseErrorsNameTheFault(t *testing.T) {
	sections := func(n int) string {
		var b strings.Builder
		b.WriteString(minimal)
		for i := 1; i < n; i++ {
			fmt.Fprintf(&b, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:%d\r\n", i)
		}
		return b.String()
	}
	long := strings.Repeat("x", maxToken+1)
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {"", "sdp is empty"},
		"blank":               {" \r\n\t", "sdp is empty"},
		"not SDP":             {"hello", "does not parse"},
		"one letter":          {"0", "does not parse"},
		"JSON":                {`{"type":"offer"}`, "does not parse"},
		"HTML":                {"<!doctype html><p>", "does not parse"},
		"binary":              {"\x00\xff\xfe\x80", "does not parse"},
		"10 MB":               {strings.Repeat("a=x\r\n", 2<<20), fmt.Sprint("at most ", MaxSize)},
		"10 MB of sections":   {minimal + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n", 200_000), fmt.Sprint("at most ", MaxSize)},
		"thousands":           {sections(5000), fmt.Sprint("5000 m= sections, at most ", MaxSections)},
		"one section too far": {sections(MaxSections + 1), fmt.Sprint(MaxSections+1, " m= sections")},
		"duplicate mids":      {minimal + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n", `two m= sections with mid "0"`},
		"missing mid":         {strings.Replace(minimal, "a=mid:0\r\n", "", 1), `m= section 0 ("video") has no usable a=mid`},
		"empty mid":           {strings.Replace(minimal, "a=mid:0", "a=mid:", 1), "has no usable a=mid"},
		"mid with a space":    {strings.Replace(minimal, "a=mid:0", "a=mid:0 1", 1), "has no usable a=mid"},
		"long mid":            {strings.Replace(minimal, "a=mid:0", "a=mid:"+long, 1), "has no usable a=mid"},
		"long msid":           {strings.Replace(minimal, "a=mid:0", "a=mid:0\r\na=msid:"+long, 1), "a=msid of more than"},
		"missing fingerprint": {strings.Replace(minimal, "a=fingerprint:sha-256 00:11\r\n", "", 1), "no a=fingerprint"},
		"missing ufrag":       {strings.Replace(minimal, "a=ice-ufrag:abcd\r\n", "", 1), "no usable a=ice-ufrag"},
		"long ufrag":          {strings.Replace(minimal, "a=ice-ufrag:abcd", "a=ice-ufrag:"+long, 1), "no usable a=ice-ufrag"},
		"unknown media":       {strings.Replace(minimal, "m=video 9", "m=text 9", 1), `m= section 0 ("text"): only audio, video and application`},
		"media with a name of 100 kB": {
			strings.Replace(minimal, "m=video 9", "m="+strings.Repeat("v", 100_000)+" 9", 1), "",
		},
		"too many attributes": {minimal + strings.Repeat("a=x\r\n", MaxAttributes), fmt.Sprint("at most ", MaxAttributes)},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Parse(c.text)
			if err == nil {
				t.Fatalf("accepted with %d sections", len(d.Sections))
			}
			if !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
				t.Errorf("error %.400q (%d bytes), want %q in it", err, len(err.Error()), c.want)
			}
		})
	}
}

func TestParseBounds(t *testing.T) {
	if d := parse(t, minimal+strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", 1000)); len(d.Candidates) != MaxCandidates {
		t.Errorf("%d candidates kept, at most %d may be", len(d.Candidates), MaxCandidates)
	}
	if d := parse(t, minimal+"a=candidate:"+strings.Repeat("1", 5000)+"\r\n"); len(d.Candidates) != 0 {
		t.Error("a candidate of 5000 bytes was kept")
	}
	// An offer of a connection without tracks: what it means is the caller's decision.
	if d := parse(t, "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"); len(d.Sections) != 0 {
		t.Errorf("%d sections", len(d.Sections))
	}
}

func TestParseOddFormatsAreIgnored(t *testing.T) {
	text := minimal + "m=audio 9 UDP/TLS/RTP/SAVPF 111 200 -1 x 111 9 63 64\r\na=mid:1\r\n" +
		"a=rtpmap:111 OPUS/48000/2\r\na=rtpmap:200 evil/1\r\na=rtpmap:x y/z\r\na=rtpmap:9\r\na=rtpmap:63 red\r\n" +
		"a=rtpmap:64 rtx/48000\r\na=fmtp:64 apt=64\r\na=fmtp:300 a=b\r\na=rtpmap:\r\n"
	codecs := parse(t, text).Sections[1].Codecs
	if len(codecs) != 2 || codecs[0].Name != "opus" || codecs[0].Channels != 2 || codecs[0].RTX != 0 || codecs[1].Name != "red" {
		t.Errorf("codecs %+v", codecs)
	}
}
