package media

import (
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// TestOffer looks at what the relay says that it can do: the codecs, each video
// codec with retransmissions and feedback, and the header extensions, no others.
func TestOffer(t *testing.T) {
	l := newLeg(t, newTestAPI(t))
	addFeed(t, l, audio, "camera")
	addFeed(t, l, video, "camera")
	offer, err := l.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	var description sdp.SessionDescription
	if err := description.UnmarshalString(offer.SDP); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		codecs, feedback, extensions []string
	}{
		{
			[]string{"opus/48000/2", "red/48000/2"}, []string{"transport-cc"},
			[]string{sdp.SDESMidURI, sdp.TransportCCURI, audioLevelURI},
		},
		{
			[]string{"VP8/90000", "H264/90000", "VP9/90000", "AV1/90000"},
			[]string{"ccm fir", "goog-remb", "nack", "nack pli", "transport-cc"},
			[]string{sdp.SDESMidURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI, sdp.TransportCCURI, playoutDelayURI},
		},
	} {
		media := description.MediaDescriptions[i]
		var codecs, extensions []string
		feedback := map[string][]string{}
		apt := map[string]bool{}
		for _, a := range media.Attributes {
			first, rest, _ := strings.Cut(a.Value, " ")
			switch a.Key {
			case "rtpmap":
				if !strings.HasPrefix(rest, "rtx/") {
					codecs = append(codecs, rest)
					feedback[first] = append(feedback[first], "")[:0]
				}
			case "rtcp-fb":
				feedback[first] = append(feedback[first], rest)
			case "extmap":
				extensions = append(extensions, rest)
			case "fmtp":
				if of, ok := strings.CutPrefix(rest, "apt="); ok {
					apt[of] = true
				}
			}
		}
		slices.Sort(extensions)
		slices.Sort(want.extensions)
		if !slices.Equal(codecs, want.codecs) || !slices.Equal(extensions, want.extensions) {
			t.Errorf("m-line %d offers %v with %v", i, codecs, extensions)
		}
		for payloadType, got := range feedback {
			slices.Sort(got)
			if red := i == 0 && payloadType == "63"; !slices.Equal(got, want.feedback) && !(red && len(got) == 0) {
				t.Errorf("payload type %s has the feedback %v", payloadType, got)
			}
			if i == 1 && !apt[payloadType] {
				t.Errorf("payload type %s has no retransmissions", payloadType)
			}
		}
	}
}

func TestSameFormat(t *testing.T) {
	codec := func(mime, fmtp string) webrtc.RTPCodecCapability {
		return webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90000, SDPFmtpLine: fmtp}
	}
	const h264, vp9, av1 = webrtc.MimeTypeH264, webrtc.MimeTypeVP9, webrtc.MimeTypeAV1
	for _, c := range []struct {
		a, b webrtc.RTPCodecCapability
		want bool
	}{
		{codec(webrtc.MimeTypeVP8, ""), codec("video/vp8", "max-fr=30"), true},
		{codec(webrtc.MimeTypeVP8, ""), codec(vp9, ""), false},
		{codec(h264, "packetization-mode=1;profile-level-id=42e01f"), codec(h264, "profile-level-id=42E034; packetization-mode=1"), true},
		{codec(h264, "packetization-mode=1;profile-level-id=42e01f"), codec(h264, "packetization-mode=1;profile-level-id=4d801f"), true},
		{codec(h264, "packetization-mode=1;profile-level-id=42e01f"), codec(h264, "packetization-mode=1;profile-level-id=64001f"), false},
		{codec(h264, "packetization-mode=1;profile-level-id=42e01f"), codec(h264, "profile-level-id=42e01f"), false},
		{codec(vp9, ""), codec(vp9, "profile-id=0"), true},
		{codec(vp9, "profile-id=2"), codec(vp9, "profile-id=0"), false},
		{codec(av1, "level-idx=5;profile=0;tier=0"), codec(av1, ""), true},
		{codec(av1, "profile=1"), codec(av1, ""), false},
	} {
		if sameFormat(c.a, c.b) != c.want || sameFormat(c.b, c.a) != c.want {
			t.Errorf("%v and %v: want %v", c.a, c.b, c.want)
		}
	}
}
