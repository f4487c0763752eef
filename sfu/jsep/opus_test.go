package jsep

import (
	"slices"
	"strings"
	"testing"
)

// audioSection is an m= section in place of minimal's.
func audioSection(formats string, attributes ...string) string {
	head, _, _ := strings.Cut(minimal, "m=video")
	return head + "m=audio 9 UDP/TLS/RTP/SAVPF " + formats + "\r\nc=IN IP4 0.0.0.0\r\n" +
		"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=setup:actpass\r\n" +
		"a=" + strings.Join(attributes, "\r\na=") + "\r\n"
}

func TestREDIsFoldedIntoOpus(t *testing.T) {
	for _, c := range []struct {
		name, formats string
		attributes    []string
		red           uint8
		first         bool
	}{
		{"behind", "111 63", []string{"rtpmap:111 opus/48000/2", "rtpmap:63 red/48000/2", "fmtp:63 111/111"}, 63, false},
		{"before", "63 111", []string{"rtpmap:111 opus/48000/2", "rtpmap:63 RED/48000/2", "fmtp:63 111/111"}, 63, true},
		{"three blocks", "111 63", []string{"rtpmap:111 opus/48000/2", "rtpmap:63 red/48000/2", "fmtp:63 111/111/111"}, 63, false},
		{"without parameters", "111 63", []string{"rtpmap:111 opus/48000/2", "rtpmap:63 red/48000/2"}, 63, false},
		{"of several the first", "111 63 62", []string{"rtpmap:111 opus/48000/2", "rtpmap:63 red/48000/2", "rtpmap:62 red/48000/2"}, 63, false},
		{"of another codec", "0 111 63", []string{"rtpmap:0 PCMU/8000", "rtpmap:111 opus/48000/2", "rtpmap:63 red/48000/2", "fmtp:63 0/0"}, 0, false},
		{"mixed blocks", "0 111 63", []string{"rtpmap:0 PCMU/8000", "rtpmap:111 opus/48000/2", "rtpmap:63 red/48000/2", "fmtp:63 111/0"}, 0, false},
		{"at another rate", "111 63", []string{"rtpmap:111 opus/48000/2", "rtpmap:63 red/8000", "fmtp:63 111/111"}, 0, false},
		{"garbage", "111 63", []string{"rtpmap:111 opus/48000/2", "rtpmap:63 red/48000/2", "fmtp:63 ///"}, 0, false},
	} {
		d := parse(t, audioSection(c.formats, c.attributes...))
		codec := Choose(&d.Sections[0], DefaultVideo, "")
		if codec == nil || codec.RED != c.red || codec.REDFirst != c.first {
			t.Errorf("%s: %+v, want RED %d, first %v", c.name, codec, c.red, c.first)
		}
	}
	alone := parse(t, audioSection("0 63", "rtpmap:0 PCMU/8000", "rtpmap:63 red/48000/2", "fmtp:63 0/0"))
	if codec := Choose(&alone.Sections[0], DefaultVideo, ""); codec != nil {
		t.Errorf("without Opus %+v was chosen", codec)
	}
}

// What one browser says of Opus stands, word for word, in what the relay tells
// the other one, under that one's payload types.
func TestOpusParametersReachTheFarSide(t *testing.T) {
	far := parse(t, fixture(t, "firefox-camera-offer"))
	own := fixture(t, "chromium-camera-offer")
	write := func(local OpusLocal) string {
		t.Helper()
		text, err := Rewrite(own, func(mid string) (Local, bool) { return Local{Send: true, Recv: true, Opus: local}, mid == "0" }, nil)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := write(OpusOf(&far.Sections[0]))
	if got := lines(t, text, "0", "a=fmtp:111"); !slices.Equal(got, []string{"a=fmtp:111 maxplaybackrate=48000;stereo=1;useinbandfec=1"}) {
		t.Errorf("Opus has %q", got)
	}
	if strings.Contains(text, "red/48000") || strings.Contains(text, "a=fmtp:63") || !strings.Contains(text, "UDP/TLS/RTP/SAVPF 111 9 0") {
		t.Error("RED is offered for a far side that has none")
	}
	if !strings.Contains(text, "a=rtpmap:118 red/90000") {
		t.Error("the video's format of that name is gone")
	}
	for place, want := range map[Redundancy]string{REDBehind: " 111 63 9 0", REDFirst: " 63 111 9 0"} {
		text := write(OpusLocal{RED: place})
		if !strings.Contains(text, want) || !slices.Equal(lines(t, text, "0", "a=fmtp:63"), []string{"a=fmtp:63 111/111"}) {
			t.Errorf("place %d is not %q", place, want)
		}
		if got := lines(t, text, "0", "a=fmtp:111"); !slices.Equal(got, []string{"a=fmtp:111 minptime=10;useinbandfec=1"}) {
			t.Errorf("Opus has %q, not the stack's words", got)
		}
	}
	if chromium := parse(t, own); OpusOf(&chromium.Sections[0]) != (OpusLocal{"minptime=10;useinbandfec=1", REDBehind}) {
		t.Errorf("of Chromium is read %+v", OpusOf(&chromium.Sections[0]))
	}
	long := parse(t, audioSection("111", "rtpmap:111 opus/48000/2", "fmtp:111 stereo=1;x="+strings.Repeat("y", 300)))
	if OpusOf(&long.Sections[0]).Parameters != "" {
		t.Error("parameters of any length are passed on")
	}
}

// A leg may have been negotiated with the client's numbers, which the stack then
// does not put into the parameters of RED.
func TestREDNamesTheNumbersOfItsOwnDescription(t *testing.T) {
	text, err := Rewrite(audioSection("109 63", "rtpmap:109 opus/48000/2", "rtpmap:63 red/48000/2", "fmtp:63 111/111"),
		func(string) (Local, bool) { return Local{Opus: OpusLocal{RED: REDBehind}}, true }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(t, text, "0", "a=fmtp:63"); !slices.Equal(got, []string{"a=fmtp:63 109/109"}) {
		t.Errorf("RED has %q", got)
	}
}
