package sfu

import (
	"fmt"
	"strings"
	"testing"

	"skillsage/sfu/jsep"
)

// sends makes a description from words like "0:audio:cam", "1:video:cam",
// "2:video:-" (unnamed), "3:video" (recvonly) and "4:video:x!" (rejected).
func sends(words string) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 00:11\r\na=ice-ufrag:abcd\r\n")
	for _, word := range strings.Fields(words) {
		parts := strings.Split(word, ":")
		port, direction, msid := 9, "recvonly", ""
		if len(parts) > 2 {
			stream, rejected := strings.CutSuffix(parts[2], "!")
			if rejected {
				port = 0
			}
			direction, msid = "sendrecv", "a=msid:"+stream+" track"+parts[0]+"\r\n"
		}
		fmt.Fprintf(&b, "m=%s %d UDP/TLS/RTP/SAVPF 96\r\na=mid:%s\r\na=%s\r\n%s", parts[1], port, parts[0], direction, msid)
	}
	return b.String()
}

// TestAssignStreams follows one connection through its descriptions. Each step
// says which mids fill the slots: audio, video, extra audio, extra video.
func TestAssignStreams(t *testing.T) {
	t.Parallel()
	type step struct{ sends, want string }
	for name, steps := range map[string][]step{
		"camera":           {{"0:audio:cam 1:video:cam", "0 1 - -"}, {"0:audio:cam 1:video:cam", "0 1 - -"}},
		"nothing":          {{"0:audio 1:video", "- - - -"}, {"", "- - - -"}},
		"microphone alone": {{"0:audio:cam", "0 - - -"}},
		"picture alone":    {{"0:video:screen", "- 0 - -"}},
		"unnamed":          {{"0:audio:- 1:video:-", "0 1 - -"}},
		"clones":           {{"0:audio:s 1:video:s 2:audio:s 3:video:s", "0 1 - -"}, {"0:video:s 1:video:s", "- 0 - -"}},
		"rejected":         {{"0:audio:cam 1:video:cam!", "0 - - -"}},
		"audio and video in a stream each": {
			{"0:audio:a 1:video:v", "0 1 - -"}, {"0:audio:a 1:video:v", "0 1 - -"},
		},
		"camera restarted in sections of its own": {
			{"0:audio:cam 1:video:cam", "0 1 - -"},
			{"0:audio:cam 1:video 2:audio:new 3:video:new", "2 3 - -"},
			{"0:audio:cam 1:video 2:audio:new 3:video 4:audio:newest 5:video:newest", "4 5 - -"},
		},
		"camera restarted in the same sections": {
			{"0:audio:cam 1:video:cam", "0 1 - -"},
			{"0:audio:new 1:video:new", "0 1 - -"},
		},
		"camera off and on": {
			{"0:audio:cam 1:video:cam", "0 1 - -"},
			{"0:audio:cam 1:video", "0 - - -"},
			{"0:audio:cam 1:video:cam", "0 1 - -"},
		},
		"screen added and stopped": {
			{"0:audio:cam 1:video:cam", "0 1 - -"},
			{"0:audio:cam 1:video:cam 2:video:screen", "0 1 - 2"},
			{"0:audio:cam 1:video:cam 2:video", "0 1 - -"},
			{"0:audio:cam 1:video:cam 2:video 3:audio:again 4:video:again", "0 1 3 4"},
		},
		"screen with clones": {
			{"0:audio:cam 1:video:cam", "0 1 - -"},
			{"0:audio:cam 1:video:cam 2:audio:s 3:video:s 4:audio:s 5:video:s", "0 1 2 3"},
		},
		"screen in the same description as the camera": {
			{"0:audio:cam 1:video:cam 2:video:screen", "0 1 - 2"},
		},
		"camera restarted while the screen is on": {
			{"0:audio:cam 1:video:cam", "0 1 - -"},
			{"0:audio:cam 1:video:cam 2:video:screen", "0 1 - 2"},
			{"0:audio:cam 1:video 2:video:screen 3:audio:new 4:video:new", "3 4 - 2"},
		},
		"camera off while the screen is on": {
			{"0:audio:cam 1:video:cam", "0 1 - -"},
			{"0:audio:cam 1:video:cam 2:video:screen", "0 1 - 2"},
			{"0:audio:cam 1:video 2:video:screen", "0 - - 2"},
			{"0:audio:cam 1:video:cam 2:video:screen", "0 1 - 2"},
		},
		"three streams": {
			{"0:audio:cam 1:video:cam", "0 1 - -"},
			{"0:audio:cam 1:video:cam 2:video:s1", "0 1 - 2"},
			{"0:audio:cam 1:video:cam 2:video:s1 3:video:s2", "0 1 - 2"}, // the one on show stays
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &streams{}
			for i, step := range steps {
				var got []string
				for _, mid := range s.assign(parsed(t, sends(step.sends))) {
					if mid == "" {
						mid = "-"
					}
					got = append(got, mid)
				}
				if line := strings.Join(got, " "); line != step.want {
					t.Fatalf("step %d, %s: slots %s, want %s", i, step.sends, line, step.want)
				}
			}
		})
	}
}

// A dead microphone is replaced by what the client sends in a section that
// asked for it, even though its stream id is another one.
func TestRevive(t *testing.T) {
	desc := &jsep.Description{Sections: []jsep.Section{
		{MID: "0", Kind: jsep.Audio, Direction: jsep.Direction{Send: true}, Stream: "a"},
		{MID: "1", Kind: jsep.Video, Direction: jsep.Direction{Send: true}, Stream: "a"},
		{MID: "s2", Kind: jsep.Audio, Direction: jsep.Direction{Send: true}, Stream: "b"},
		{MID: "s3", Kind: jsep.Video, Stream: ""},
		{MID: "s4", Kind: jsep.Audio, Direction: jsep.Direction{Send: true}, Stream: "c"},
	}}
	asked := map[string]bool{"s2": true, "s3": true, "s4": true}
	for name, test := range map[string]struct {
		dead  map[string]bool
		audio string
	}{
		"nothing dead":          {nil, "0"},
		"microphone dead":       {map[string]bool{"0": true}, "s4"},
		"and the newest too":    {map[string]bool{"0": true, "s4": true}, "s2"},
		"all dead: keep one":    {map[string]bool{"0": true, "s2": true, "s4": true}, "0"},
		"camera dead, no spare": {map[string]bool{"1": true}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := streams{}
			mids := revive(s.assign(desc), desc, test.dead, asked)
			if mids[slotAudio] != test.audio || mids[slotVideo] != "1" {
				t.Errorf("audio %q video %q, want %q and 1", mids[slotAudio], mids[slotVideo], test.audio)
			}
		})
	}
}
