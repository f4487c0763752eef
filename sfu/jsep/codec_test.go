package jsep

import (
	"strings"
	"testing"
)

func TestChooseForBrowsers(t *testing.T) {
	for _, c := range []struct {
		offer, prefer string
		kind          Kind
		want          string // name, payload type and RTX as in shape; empty for none
	}{
		{"chromium-camera-offer", "", Audio, "opus:111/0"},
		{"chromium-camera-offer", "", Video, "vp8:96/97"},
		{"chromium-camera-offer", "vp9", Video, "vp9:98/99"},
		{"chromium-camera-offer", "h264", Video, "h264:108/109"},
		{"chromium-camera-offer", "av1", Video, "av1:45/46"},
		{"chromium-camera-offer", "h265", Video, "vp8:96/97"},
		{"chromium-camera-offer", "g722", Audio, "opus:111/0"},
		{"firefox-camera-offer", "", Audio, "opus:109/0"},
		{"firefox-camera-offer", "", Video, "vp8:120/124"},
		{"firefox-camera-offer", "h264", Video, "vp8:120/124"},
		{"safari12-camera-offer", "", Video, "h264:98/99"}, // not the High profile before it
		{"safari12.3-ios-camera-offer", "", Video, "vp8:100/101"},
		{"safari13-camera-offer", "", Video, "vp8:100/101"},
		{"safari18-camera-offer", "", Audio, "opus:111/0"},
		{"safari18-camera-offer", "", Video, "vp8:106/107"},
		{"safari18-camera-offer", "h264", Video, "h264:98/99"},
		{"safari18-camera-offer", "vp9", Video, "vp9:108/109"},
	} {
		d := parse(t, fixture(t, c.offer))
		for i := range d.Sections {
			s := &d.Sections[i]
			if s.Kind != c.kind {
				continue
			}
			codec := Choose(s, DefaultVideo, c.prefer)
			got := ""
			if codec != nil {
				got = strings.TrimPrefix(shape(Section{Codecs: []Codec{*codec}}), "  inactive ")
			}
			if got != c.want {
				t.Errorf("%s, %s section %s, preferring %q: %q, want %q", c.offer, s.Kind, s.MID, c.prefer, got, c.want)
			}
		}
	}
}

func TestChooseFormats(t *testing.T) {
	policy := DefaultVideo
	for _, c := range []struct {
		name  string
		codec Codec
		want  bool
	}{
		{"Constrained Baseline, mode 1", Codec{Name: "h264", Fmtp: "packetization-mode=1;profile-level-id=42e01f"}, true},
		{"Baseline, spaces, capitals", Codec{Name: "h264", Fmtp: "Profile-Level-ID=42E01F; packetization-mode=1"}, true},
		{"mode 0", Codec{Name: "h264", Fmtp: "packetization-mode=0;profile-level-id=42e01f"}, false},
		{"Constrained Baseline as Main with constraints", Codec{Name: "h264", Fmtp: "packetization-mode=1;profile-level-id=4de01f"}, true},
		{"Constrained Baseline with other flags, a high level", Codec{Name: "h264", Fmtp: "packetization-mode=1;profile-level-id=42c034"}, true},
		{"Baseline", Codec{Name: "h264", Fmtp: "packetization-mode=1;profile-level-id=42001f"}, true},
		{"no mode", Codec{Name: "h264", Fmtp: "profile-level-id=42e01f"}, false},
		{"High", Codec{Name: "h264", Fmtp: "packetization-mode=1;profile-level-id=640c1f"}, false},
		{"Main", Codec{Name: "h264", Fmtp: "packetization-mode=1;profile-level-id=4d001f"}, false},
		{"VP9 without a profile", Codec{Name: "vp9"}, true},
		{"VP9 profile 0", Codec{Name: "vp9", Fmtp: "profile-id=0"}, true},
		{"VP9 profile 2", Codec{Name: "vp9", Fmtp: "profile-id=2"}, false},
		{"AV1 main", Codec{Name: "av1", Fmtp: "level-idx=5;profile=0;tier=0"}, true},
		{"AV1 high", Codec{Name: "av1", Fmtp: "profile=1"}, false},
		{"H.265", Codec{Name: "h265"}, false},
		{"nothing but FEC", Codec{Name: "ulpfec"}, false},
	} {
		got := Choose(&Section{Kind: Video, Codecs: []Codec{c.codec}}, policy, "")
		if (got != nil) != c.want {
			t.Errorf("%s: chosen %v, want %v", c.name, got, c.want)
		}
	}
	if Choose(&Section{Kind: Audio, Codecs: []Codec{{Name: "opus", ClockRate: 8000}, {Name: "pcmu", ClockRate: 8000}}}, policy, "") != nil {
		t.Error("Opus at another clock rate than 48000 was chosen (RFC 7587 section 4.1)")
	}
	both := &Section{Kind: Video, Codecs: []Codec{{Name: "vp9"}, {Name: "vp8"}}}
	if c := Choose(both, []string{"vp9", "vp8"}, ""); c.Name != "vp9" {
		t.Errorf("the policy's first is vp9, chosen %s", c.Name)
	}
	if c := Choose(both, policy, ""); c.Name != "vp8" {
		t.Errorf("the policy decides, not the order of the offer: chosen %s", c.Name)
	}
}

// Chromium lists Baseline before Constrained Baseline, Safari High before both.
func TestOfSeveralProfilesTheOneThatAllDecodeIsChosen(t *testing.T) {
	h264 := func(pt uint8, mode, profile string) Codec {
		return Codec{Name: "h264", PayloadType: pt, Fmtp: "packetization-mode=" + mode + ";profile-level-id=" + profile}
	}
	for _, c := range []struct {
		codecs []Codec
		want   uint8 // payload type, 0 for none
	}{
		{[]Codec{h264(1, "1", "42001f"), h264(2, "0", "42e01f"), h264(3, "1", "42e01f"), h264(4, "1", "42e034")}, 3},
		{[]Codec{h264(1, "1", "640c1f"), h264(2, "1", "4d001f"), h264(3, "1", "4d801f")}, 3},
		{[]Codec{h264(1, "0", "42e01f"), h264(2, "1", "42001f")}, 2},
		{[]Codec{h264(1, "0", "42e01f"), h264(2, "1", "640c1f")}, 0},
	} {
		got := uint8(0)
		if codec := Choose(&Section{Kind: Video, Codecs: c.codecs}, DefaultVideo, "h264"); codec != nil {
			got = codec.PayloadType
		}
		if got != c.want {
			t.Errorf("%v: chosen %d, want %d", c.codecs, got, c.want)
		}
	}
}

func TestTakes(t *testing.T) {
	for name, want := range map[string]string{
		"chromium-camera-offer": "opus|vp8 h264 av1 vp9",
		"firefox-camera-offer":  "opus|vp8 vp9 av1",
		"safari12-camera-offer": "opus|h264|", // the last is a data channel
	} {
		d := parse(t, fixture(t, name))
		var got []string
		for i := range d.Sections {
			got = append(got, strings.Join(d.Sections[i].Takes(), " "))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s takes %q, want %q", name, strings.Join(got, "|"), want)
		}
	}
}
