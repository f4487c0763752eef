package fmtp

import "testing"

func TestValue(t *testing.T) {
	for _, c := range []struct{ line, name, want string }{
		{"", "a", ""},
		{"a=1;b=2", "b", "2"},
		{" A = 1 ; b=2", "a", ""}, // a name ends at the sign
		{"x; b = 2", "B", ""},
		{"Profile-Level-ID=42E01F; packetization-mode=1", "profile-level-id", "42E01F"},
		{"a=1;a=2", "a", "1"},
		{"111/111", "a", ""},
		{"a", "a", ""},
	} {
		if got := Value(c.line, c.name); got != c.want {
			t.Errorf("%q of %q is %q, want %q", c.name, c.line, got, c.want)
		}
	}
}

// The spellings of RFC 6184 table 5, and those seen of browsers and cameras.
func TestH264Profiles(t *testing.T) {
	for id, want := range map[string]H264Profile{
		"42e01f": H264ConstrainedBaseline, "42c01f": H264ConstrainedBaseline, "42E034": H264ConstrainedBaseline,
		"42401f": H264ConstrainedBaseline, "42f01f": H264ConstrainedBaseline,
		"4d801f": H264ConstrainedBaseline, "4de01f": H264ConstrainedBaseline, "4dc01f": H264ConstrainedBaseline,
		"58c01f": H264ConstrainedBaseline, "58f01f": H264ConstrainedBaseline,
		"42001f": H264Baseline, "42801f": H264Baseline, "42a01f": H264Baseline, "58801f": H264Baseline,
		"4d001f": H264Main, "4d401f": H264Main,
		"58001f": H264Extended,
		"64001f": H264High, "640c1f": H264ConstrainedHigh,
		"": H264Baseline, "42": H264Unknown, "42e01f00": H264Unknown, "zze01f": H264Unknown,
		"6e001f": H264Unknown, "42e11f": H264Unknown, "+2e01f": H264Unknown,
	} {
		line := "packetization-mode=1"
		if id != "" {
			line += ";profile-level-id=" + id
		}
		if got := ProfileOf(line); got != want {
			t.Errorf("%q is profile %d, want %d", id, got, want)
		}
	}
}

func TestSame(t *testing.T) {
	const mode1 = "packetization-mode=1;profile-level-id="
	for _, c := range []struct {
		codec, a, b string
		want        bool
	}{
		{"vp8", "", "max-fr=30", true},
		{"opus", "useinbandfec=1", "stereo=1;usedtx=1", true},
		{"h264", mode1 + "42e01f", "profile-level-id=42E034; packetization-mode=1", true},
		{"h264", mode1 + "42e01f", mode1 + "42c00a", true},
		{"h264", mode1 + "42e01f", mode1 + "4d801f", true},
		{"h264", mode1 + "42e01f", mode1 + "42001f", true},
		{"h264", mode1 + "42e01f", mode1 + "4d001f", false},
		{"h264", mode1 + "42e01f", mode1 + "64001f", false},
		{"h264", mode1 + "640c1f", mode1 + "64001f", false},
		{"h264", mode1 + "64001f", mode1 + "640034", true},
		{"h264", mode1 + "6e001f", mode1 + "6e001f", false}, // unknown: nothing is promised
		{"h264", mode1 + "42e01f", "profile-level-id=42e01f", false},
		{"h264", "", "packetization-mode=0", true},
		{"vp9", "", "profile-id=0", true},
		{"vp9", "profile-id=2", "profile-id=0", false},
		{"av1", "level-idx=5;profile=0;tier=0", "", true},
		{"av1", "profile=1", "", false},
	} {
		if Same(c.codec, c.a, c.b) != c.want || Same(c.codec, c.b, c.a) != c.want {
			t.Errorf("%s %q and %q: want %v", c.codec, c.a, c.b, c.want)
		}
	}
}
