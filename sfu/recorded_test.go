package sfu

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"skillsage/sfu/jsep"
)

// outline writes a description's sections in one line each: mid, kind,
// direction, the codecs that are left.
func outline(d *jsep.Description) []string {
	var list []string
	for _, s := range d.Sections {
		line := fmt.Sprintf("%s %s %s", s.MID, s.Kind, s.Direction)
		if s.Rejected {
			line += " rejected"
		}
		for _, c := range s.Codecs {
			line += fmt.Sprintf(" %s:%d/%d", c.Name, c.PayloadType, c.RTX)
		}
		list = append(list, line)
	}
	return list
}

// sound checks what holds for every description that leaves the relay.
func sound(t *testing.T, text, setup string) *jsep.Description {
	t.Helper()
	d := parsed(t, text)
	var live []string
	for _, s := range d.Sections {
		if !s.Rejected {
			live = append(live, s.MID)
		}
	}
	if want := "a=group:BUNDLE " + strings.Join(live, " ") + "\r\n"; !strings.Contains(text, want) {
		t.Errorf("no %q", strings.TrimSpace(want))
	}
	for _, line := range strings.Split(text, "\r\n") {
		switch {
		case strings.HasPrefix(line, "a=setup:") && line != "a=setup:"+setup:
			t.Errorf("%s, want %s", line, setup)
		case strings.HasPrefix(line, "a=candidate:"):
			if fields := strings.Fields(line); fields[1] != "1" || !strings.EqualFold(fields[2], "udp") {
				t.Errorf("candidate of component %s over %s", fields[1], fields[2])
			}
		}
	}
	for i, part := range strings.Split(text, "\r\nm=") {
		has := strings.Contains(part, "a=candidate:")
		if i > 0 && d.Sections[i-1].Rejected && has {
			t.Errorf("the candidates stand in the rejected section %s, where clients do not look", d.Sections[i-1].MID)
		}
	}
	if len(d.Candidates) == 0 {
		t.Error("no candidates: the relay does not trickle")
	}
	return d
}

// TestRecordedOffersAreAnswered makes a call of every browser's offer, answered
// by another one's.
func TestRecordedOffersAreAnswered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		offer, answer string
		screen        bool
		want          []string
	}{
		{"chromium-camera-offer", "firefox-camera-answer", false, []string{"0 audio sendrecv opus:111/0", "1 video sendrecv vp8:96/97"}},
		{"chromium-camera-offer-candidates", "safari18-camera-answer", false, []string{"0 audio sendrecv opus:111/0", "1 video sendrecv vp8:96/97"}},
		{"chromium-data-offer", "chromium-camera-answer", false, []string{"0 audio sendrecv opus:111/0", "1 video sendrecv vp8:96/97", "2 application sendrecv"}},
		{"chromium-recvonly-offer", "chromium-camera-answer", false, []string{"0 audio sendonly opus:111/0", "1 video sendonly vp8:96/97"}},
		{"firefox-camera-offer", "chromium-camera-answer", false, []string{"0 audio sendrecv opus:109/0", "1 video sendrecv vp8:120/124"}},
		{"firefox-camera-offer-candidates", "safari12.3-ios-camera-answer", false, []string{"0 audio sendrecv opus:109/0", "1 video sendrecv vp8:120/124"}},
		{"firefox-data-offer", "firefox-camera-answer", false, []string{"0 audio sendrecv opus:109/0", "1 video sendrecv vp8:120/124", "2 application sendrecv"}},
		{"firefox-recvonly-offer", "chromium-camera-answer", false, []string{"0 audio sendonly opus:109/0", "1 video sendonly vp8:120/124"}},
		// Safari prefers H.264 and has VP8: the relay's policy counts.
		{"safari12.3-ios-camera-offer", "chromium-camera-answer", false, []string{"0 audio sendrecv opus:111/0", "1 video sendrecv vp8:100/101"}},
		{"safari13-camera-offer", "firefox-camera-answer", false, []string{"0 video sendrecv vp8:100/101", "1 audio sendrecv opus:111/0", "2 application sendrecv"}},
		{"safari18-camera-offer", "safari18-camera-answer", false, []string{"0 audio sendrecv opus:111/0", "1 video sendrecv vp8:106/107"}},
		{"safari18-recvonly-offer", "chromium-camera-answer", false, []string{"0 video sendonly vp8:106/107", "1 audio sendonly opus:111/0"}},
		// No VP8: Constrained Baseline, not the High profile that stands first.
		{"safari12-camera-offer", "safari12-h264-answer", false, []string{"audio audio sendrecv opus:111/0", "video video sendrecv h264:98/99", "data application sendrecv"}},
		// Clones carry the same picture again and are switched off.
		{"chromium-screen-offer", "chromium-screen-answer", true, []string{
			"0 audio recvonly opus:111/0", "1 video recvonly vp8:96/97", "2 audio inactive opus:111/0", "3 video inactive vp8:96/97",
		}},
		{"firefox-screen-offer", "firefox-screen-answer", true, []string{"0 video recvonly vp8:120/124", "1 video inactive vp8:120/124"}},
		{"safari18-screen-offer", "safari18-screen-answer", true, []string{"0 video recvonly vp8:106/107", "1 video inactive vp8:106/107"}},
	} {
		t.Run(c.offer, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, Options{})
			r.join("R", "C")
			r.signal("R", "C", c.screen, "offer", recorded(t, c.offer))
			far := r.gets("C", "offer", 1)
			if far.from != "R" || far.screen != c.screen {
				t.Errorf("offered in the name of %s, screen %v", far.from, far.screen)
			}
			offered := sound(t, far.sdp, "actpass")
			if len(r.descriptions("R", "answer")) != 0 {
				t.Error("answered before the far side has")
			}
			caller := parsed(t, recorded(t, c.offer))
			for _, s := range offered.Sections {
				// What the caller has, in the relay's order: of the far side nothing is known yet.
				i := slices.IndexFunc(caller.Sections, func(o jsep.Section) bool { return o.Kind == s.Kind })
				want := []string{"opus"}
				if i >= 0 {
					want = slices.DeleteFunc(append(want, jsep.DefaultVideo...), func(name string) bool {
						return !slices.Contains(caller.Sections[i].Takes(), name)
					})
				}
				if !slices.Equal(s.Takes(), want) || len(s.Codecs) != len(want) || !s.Direction.Recv {
					t.Errorf("the far side is offered %v, want %v and room for its own tracks", outline(offered), want)
				}
			}
			r.signal("C", "R", c.screen, "answer", recorded(t, c.answer))
			near := r.gets("R", "answer", 1)
			if near.from != "C" || near.screen != c.screen {
				t.Errorf("answered in the name of %s, screen %v", near.from, near.screen)
			}
			if got := outline(sound(t, near.sdp, "passive")); !slices.Equal(got, c.want) {
				t.Errorf("answer:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
			}
			for _, s := range parsed(t, near.sdp).Sections {
				for _, codec := range s.Codecs {
					if codec.Name == "h264" && !strings.Contains(codec.Fmtp, "packetization-mode=1") {
						t.Errorf("H.264 as %q", codec.Fmtp)
					}
				}
			}
			idle(t, r.engine)
			if r.hasState("refused") || r.hasState("rehome") {
				t.Errorf("states %v", r.states)
			}
		})
	}
}

// TestRecordedAnswersAreApplied checks what the far leg made of every browser's answer.
func TestRecordedAnswersAreApplied(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		offer, answer string
		screen        bool
		local, remote []string // directions by section, of the relay and of the client
		stream        string   // what the client publishes its video under, "-" for an unnamed stream, "" for nothing
	}{
		{"chromium-camera-offer", "chromium-camera-answer", false, []string{"sendrecv", "sendrecv"}, []string{"sendrecv", "sendrecv"}, "00000005-0000-4000-8000-000000000001"},
		{"chromium-camera-offer", "firefox-camera-answer", false, []string{"sendrecv", "sendrecv"}, []string{"sendrecv", "sendrecv"}, "{0000000c-0000-4000-8000-000000000001}"},
		{"firefox-camera-offer", "safari18-camera-answer", false, []string{"sendrecv", "sendrecv"}, []string{"sendrecv", "sendrecv"}, "00000016-0000-4000-8000-000000000001"},
		{"firefox-camera-offer", "safari12.3-ios-camera-answer", false, []string{"sendrecv", "sendrecv"}, []string{"sendrecv", "sendrecv"}, "-"},
		{"safari12-camera-offer", "safari12-h264-answer", false, []string{"sendrecv", "sendrecv"}, []string{"sendrecv", "sendrecv"}, "00000018-0000-4000-8000-000000000001"},
		{"chromium-screen-offer", "chromium-screen-answer", true, []string{"sendrecv", "sendrecv"}, []string{"recvonly", "recvonly"}, ""},
		{"firefox-screen-offer", "firefox-screen-answer", true, []string{"recvonly", "sendrecv"}, []string{"inactive", "recvonly"}, ""},
		{"safari18-screen-offer", "safari18-screen-answer", true, []string{"recvonly", "sendrecv"}, []string{"recvonly", "recvonly"}, ""},
	} {
		t.Run(c.answer, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, Options{})
			r.join("R", "C")
			r.signal("R", "C", c.screen, "offer", recorded(t, c.offer))
			r.gets("C", "offer", 1)
			r.signal("C", "R", c.screen, "answer", recorded(t, c.answer))
			r.gets("R", "answer", 1)
			idle(t, r.engine)
			answer := parsed(t, recorded(t, c.answer))
			within(t, r.engine, func(room *room) {
				l := room.legs[legKey{"C", "R", c.screen}]
				if l == nil || !l.established || l.out != nil || l.answer != nil || l.held != nil {
					t.Fatalf("the far leg has not settled: %+v", l)
				}
				if l.applied.Fingerprint != answer.Fingerprint || l.applied.Ufrag != answer.Ufrag {
					t.Error("the far leg does not have the client's credentials")
				}
				var local, remote []string
				for _, s := range l.sections {
					local = append(local, jsep.Direction{Send: s.local.Send, Recv: s.local.Recv}.String())
					remote = append(remote, s.remote.String())
				}
				if !slices.Equal(local, c.local) || !slices.Equal(remote, c.remote) {
					t.Errorf("directions %v and %v, want %v and %v", local, remote, c.local, c.remote)
				}
				stream := ""
				if l.pubs[slotVideo].source != nil {
					stream = l.pubs[slotVideo].stream
				}
				if stream != c.stream {
					t.Errorf("publishes the stream %q, want %q", stream, c.stream)
				}
				if pc := l.conn.pc; pc.SignalingState().String() != "stable" || pc.RemoteDescription() == nil {
					t.Errorf("the stack is %s", pc.SignalingState())
				}
			})
			if r.hasState("refused") {
				t.Errorf("states %v", r.states)
			}
		})
	}
}

// TestRecordedReoffer: the camera's first section comes back recvonly, a new
// stream is appended; the new one is taken, the old ones go on being sent in.
func TestRecordedReoffer(t *testing.T) {
	t.Parallel()
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, Options{})
			r.join("R", "C")
			r.signal("R", "C", false, "offer", recorded(t, browser+"-camera-offer-candidates"))
			r.gets("C", "offer", 1)
			r.signal("C", "R", false, "answer", recorded(t, "chromium-camera-answer"))
			first := sound(t, r.gets("R", "answer", 1).sdp, "passive")
			idle(t, r.engine)
			r.signal("R", "C", false, "offer", recorded(t, browser+"-reoffer"))
			d := sound(t, r.gets("R", "answer", 2).sdp, "passive")
			if d.Ufrag != first.Ufrag || d.Fingerprint != first.Fingerprint {
				t.Error("the re-offer was answered from another connection")
			}
			want := []string{"0 audio sendonly", "1 video sendonly", "2 audio recvonly", "3 video recvonly"}
			got := outline(d)
			for i := range got {
				got[i] = strings.Join(strings.Fields(got[i])[:3], " ")
			}
			if !slices.Equal(got, want) {
				t.Errorf("answer:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
			}
		})
	}
}

var credentials = regexp.MustCompile(`a=(fingerprint|ice-ufrag|ice-pwd):[^\r\n]*`)

// ofConnection gives a description the credentials of another one's connection.
func ofConnection(base, sdp string) string {
	values := make(map[string]string)
	for _, m := range credentials.FindAllStringSubmatch(base, -1) {
		values[m[1]] = m[0]
	}
	return credentials.ReplaceAllStringFunc(sdp, func(line string) string {
		return values[credentials.FindStringSubmatch(line)[1]]
	})
}

// TestRecordedReofferWithAStoppedSection: a transceiver that the client stopped
// stays rejected, the rest of the call goes on.
func TestRecordedReofferWithAStoppedSection(t *testing.T) {
	t.Parallel()
	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, Options{})
			r.join("R", "C")
			offer := recorded(t, browser+"-camera-offer-candidates")
			r.signal("R", "C", false, "offer", offer)
			r.gets("C", "offer", 1)
			r.signal("C", "R", false, "answer", recorded(t, "chromium-camera-answer"))
			first := parsed(t, r.gets("R", "answer", 1).sdp)
			idle(t, r.engine)
			stopped := ofConnection(offer, recorded(t, browser+"-stopped-reoffer"))
			for n := 2; n < 4; n++ {
				r.signal("R", "C", false, "offer", stopped)
				d := sound(t, r.gets("R", "answer", n).sdp, "passive")
				if d.Ufrag != first.Ufrag {
					t.Error("answered from another connection")
				}
				if len(d.Sections) != 2 || d.Sections[0].Rejected || d.Sections[0].Direction.String() != "sendrecv" || !d.Sections[1].Rejected {
					t.Errorf("answer %v", outline(d))
				}
				idle(t, r.engine)
			}
			// The camera comes back in a section of its own.
			fresh := strings.Split(recorded(t, browser+"-reoffer"), "\r\nm=")[4]
			fresh = strings.Replace(strings.Replace(fresh, "video 0 ", "video 9 ", 1), "a=bundle-only\r\n", "", 1)
			again := strings.Replace(stopped, "a=group:BUNDLE 0", "a=group:BUNDLE 0 3", 1) + "m=" + ofConnection(offer, fresh)
			r.signal("R", "C", false, "offer", again)
			d := sound(t, r.gets("R", "answer", 4).sdp, "passive")
			if len(d.Sections) != 3 || !d.Sections[1].Rejected || d.Sections[2].Rejected || d.Sections[2].Direction.String() != "sendrecv" {
				t.Errorf("answer %v", outline(d))
			}
			if r.hasState("refused") || r.hasState("rehome") {
				t.Errorf("states %v", r.states)
			}
		})
	}
}

// TestNoCommonCodec: a section without a codec of the relay's is rejected alone.
func TestNoCommonCodec(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ drop, want string }{
		"video": {"VP8 H264 VP9 AV1", "0 audio sendrecv,1 video inactive rejected"},
		"audio": {"opus", "0 audio inactive rejected,1 video sendrecv"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offer := recorded(t, "chromium-camera-offer")
			for _, codec := range strings.Fields(c.drop) {
				offer = strings.ReplaceAll(offer, " "+codec+"/", " x-"+codec+"/")
			}
			r := newRecorder(t, Options{})
			r.join("R", "C")
			r.signal("R", "C", false, "offer", offer)
			r.gets("C", "offer", 1)
			r.signal("C", "R", false, "answer", recorded(t, "chromium-camera-answer"))
			var got []string
			for _, line := range outline(sound(t, r.gets("R", "answer", 1).sdp, "passive")) {
				fields := strings.Fields(line)
				line = strings.Join(fields[:3], " ")
				if slices.Contains(fields, "rejected") {
					line += " rejected"
				}
				got = append(got, line)
			}
			if strings.Join(got, ",") != c.want {
				t.Errorf("answer %v, want %s", got, c.want)
			}
		})
	}
}
