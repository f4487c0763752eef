package sfu

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/jsep"
)

// untouched fails if a refused or meaningless signal left anything behind.
func untouched(t *testing.T, r *recorder) {
	t.Helper()
	within(t, r.engine, func(room *room) {
		if len(room.legs)+len(room.order)+len(room.early) != 0 {
			t.Errorf("%d legs, %d sets of early candidates", len(room.legs), len(room.early))
		}
		for _, m := range room.members {
			if m.proven || m.offering != nil || len(m.sources) != 0 {
				t.Errorf("member %s has changed: %+v", m.id, m)
			}
		}
	})
	if s := r.engine.Stats(); s.LegsOpened != 0 || s.OffersHeld != 0 || s.LegsRefused != 0 {
		t.Errorf("stats %+v", s)
	}
	if news := r.allNews(); len(news) != 0 {
		t.Errorf("said %v", news)
	}
}

func TestHostileDescriptions(t *testing.T) {
	t.Parallel()
	good := recorded(t, "chromium-camera-offer")
	without := func(prefix string) string {
		return strings.Join(slices.DeleteFunc(strings.Split(good, "\r\n"), func(l string) bool { return strings.HasPrefix(l, prefix) }), "\r\n")
	}
	r := newRecorder(t, Options{})
	r.join("R", "C")
	for name, c := range map[string]struct{ sdp, want string }{
		"empty":               {"", "sdp is empty"},
		"10 MB":               {good + strings.Repeat("a=x\r\n", 2<<20), "bytes long, at most"},
		"not SDP":             {"<html>", "does not parse"},
		"binary":              {"v=0\r\n\x00\x01\x02", "does not parse"},
		"cut off":             {good[:len(good)/2-3] + "\r\nm=", "does not parse"},
		"thousands":           {without("\x00") + strings.Repeat("m=audio 9 RTP/AVP 0\r\na=mid:x\r\n", 5000), "m= sections, at most"},
		"duplicate mids":      {strings.ReplaceAll(good, "a=mid:1\r\n", "a=mid:0\r\n"), `two m= sections with mid "0"`},
		"missing mid":         {without("a=mid:1"), "no usable a=mid"},
		"missing fingerprint": {without("a=fingerprint"), "no a=fingerprint"},
		"missing ufrag":       {without("a=ice-ufrag"), "no usable a=ice-ufrag"},
		"unknown media":       {strings.Replace(good, "m=video", "m=text", 1), `("text"): only audio, video and application`},
	} {
		for _, kind := range []string{"offer", "answer"} {
			err := r.engine.Signal("room", "R", "C", false, kind, c.sdp, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, as %s: error %.300v, want %q", name, kind, err, c.want)
			}
		}
	}
	// Of no consequence, and no error: other words, other rooms, nobody there.
	for _, s := range []struct{ room, from, to, kind, sdp string }{
		{"room", "R", "C", "offer", "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"}, // a connection without tracks
		{"room", "R", "C", "bye", "x"},
		{"room", "R", "C", "", ""},
		{"room", "R", "C", "renegotiate", ""},
		{"room", "R", "C", "answer", recorded(t, "chromium-camera-answer")}, // never asked for
		{"room", "R", "C-screen", "offer", good},
		{"room", "nobody", "C", "offer", good},
		{"room", "R", "nobody", "offer", good},
		{"elsewhere", "R", "C", "offer", good},
	} {
		if err := r.engine.Signal(s.room, s.from, s.to, false, s.kind, s.sdp, nil); err != nil {
			t.Errorf("%s of %s to %s in %s: %v", s.kind, s.from, s.to, s.room, err)
		}
	}
	within(t, r.engine, func(room *room) { room.members["R"].proven = false }) // by the answer alone
	untouched(t, r)
	if r.engine.HasLegs("room") || r.engine.HasLegs("elsewhere") {
		t.Error("legs")
	}
}

func TestHostileTransceiverRequests(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{})
	r.join("R", "C")
	for _, payload := range []string{
		"", "null", "[]", "7", `"video"`, "{", "{}", `{"transceiverRequest":7}`, `{"transceiverRequest":{"kind":7}}`,
		`{"transceiverRequest":{}}`, `{"transceiverRequest":{"kind":"smell"}}`, `{"transceiverRequest":{"kind":"` + strings.Repeat("v", 5000) + `"}}`,
	} {
		err := r.engine.Signal("room", "R", "C", false, "transceiverRequest", "", []byte(payload))
		if err == nil || !strings.HasPrefix(err.Error(), "transceiverRequest") {
			t.Errorf("%.60s: error %v", payload, err)
		}
	}
	// Well-formed, and no leg to ask for it.
	if err := r.engine.Signal("room", "R", "C", false, "transceiverRequest", "", []byte(`{"transceiverRequest":{"kind":"video","init":{}}}`)); err != nil {
		t.Error(err)
	}
	untouched(t, r)
}

func TestHostileCandidates(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{})
	r.join("R", "C")
	const line = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
	for name, raw := range map[string]string{
		"not JSON":          "{",
		"an array":          "[]",
		"a number":          "7",
		"a string":          `"` + line + `"`,
		"a number inside":   `{"candidate":7}`,
		"too few fields":    `{"candidate":"candidate:1 1 udp"}`,
		"words":             `{"candidate":"hello"}`,
		"mid is a number":   `{"candidate":"` + line + `","sdpMid":0}`,
		"index is a string": `{"candidate":"` + line + `","sdpMLineIndex":"0"}`,
		"index is negative": `{"candidate":"` + line + `","sdpMLineIndex":-1}`,
		"too long":          `{"candidate":"` + line + strings.Repeat(" x y", 1000) + `"}`,
		"nested for ever":   strings.Repeat(`{"candidate":`, 900) + "1",
		"nested and broken": `{"type":"candidate","candidate":{"candidate":"hello"}}`,
	} {
		for _, send := range []func(raw []byte) error{
			func(raw []byte) error { return r.engine.Candidate("room", "R", "C", false, raw) },
			func(raw []byte) error { return r.engine.Signal("room", "R", "C", false, "candidate", "", raw) },
		} {
			if err := send([]byte(raw)); err == nil || !strings.Contains(err.Error(), "candidate") || len(err.Error()) > 200 {
				t.Errorf("%s: error %.300v", name, err)
			}
		}
	}
	// What browsers send and the relay has no use for.
	for name, raw := range map[string]string{
		"null":              "null",
		"nothing":           "",
		"end of candidates": `{"candidate":"","sdpMid":"0","sdpMLineIndex":0}`,
		"null inside":       `{"candidate":null}`,
		"mDNS":              `{"candidate":"candidate:0 1 UDP 2122187007 0-0.local 42109 typ host","sdpMid":"0"}`,
		"active TCP":        `{"candidate":"candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active","sdpMid":"0"}`,
		"RTCP":              `{"candidate":"candidate:1 2 udp 2130706430 192.0.2.1 5001 typ host","sdpMid":"0"}`,
	} {
		if err := r.engine.Candidate("room", "R", "C", false, []byte(raw)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	untouched(t, r)
}

func candidate(n int) []byte {
	raw, _ := json.Marshal(map[string]any{
		"candidate": fmt.Sprintf("candidate:%d 1 udp 2130706431 192.0.2.%d %d typ host", n, n%250+1, n%60000+1024), "sdpMid": "0", "sdpMLineIndex": 0,
	})
	return raw
}

// submitAll gives the room n signals without ever finding it full for good.
func submitAll(t *testing.T, n int, submit func(i int) error) {
	t.Helper()
	for i := range n {
		if !poll(patience, func() bool { return submit(i) == nil }) {
			t.Fatalf("signal %d is never taken: %v", i, submit(i))
		}
	}
}

func TestTenThousandCandidates(t *testing.T) {
	t.Parallel()
	const n = 10_000
	r := newRecorder(t, Options{})
	r.join("R", "C")

	t.Log("for a connection that has no offer")
	submitAll(t, n, func(i int) error { return r.engine.Candidate("room", "R", "C", false, candidate(i)) })
	within(t, r.engine, func(room *room) {
		if kept := len(room.early[legKey{"R", "C", false}]); kept != maxLegCandidates {
			t.Errorf("%d are kept, want %d", kept, maxLegCandidates)
		}
	})
	if got := r.engine.Stats().CandidatesDropped; got != n-maxLegCandidates {
		t.Errorf("%d counted as dropped, want %d", got, n-maxLegCandidates)
	}

	t.Log("from and for members that are not there")
	const few = 1000
	submitAll(t, few, func(i int) error {
		return r.engine.Candidate("room", fmt.Sprint("no", i), "C", i%2 == 0, candidate(i))
	})
	submitAll(t, few, func(i int) error {
		return r.engine.Candidate("room", "R", fmt.Sprint("C-screen", i), true, candidate(i))
	})
	within(t, r.engine, func(room *room) {
		if len(room.early) != 1 {
			t.Errorf("candidates of %d connections are kept, want 1", len(room.early))
		}
	})

	t.Log("among many members")
	for i := range 2 * maxEarlyKeys {
		r.join(fmt.Sprint("M", i))
	}
	submitAll(t, 2*maxEarlyKeys, func(i int) error { return r.engine.Candidate("room", fmt.Sprint("M", i), "R", false, candidate(i)) })
	within(t, r.engine, func(room *room) {
		if len(room.early) != maxEarlyKeys {
			t.Errorf("candidates of %d connections are kept, want %d", len(room.early), maxEarlyKeys)
		}
	})

	t.Log("for a leg whose stack takes them")
	r.signal("R", "C", false, "offer", recorded(t, "chromium-camera-offer"))
	r.gets("C", "offer", 1)
	r.signal("C", "R", false, "answer", recorded(t, "chromium-camera-answer"))
	r.gets("R", "answer", 1)
	submitAll(t, n, func(i int) error { return r.engine.Candidate("room", "R", "C", false, candidate(i)) })
	idle(t, r.engine)
	within(t, r.engine, func(room *room) {
		l := room.legs[legKey{"R", "C", false}]
		if l == nil {
			t.Error("the leg has gone")
			return
		}
		if l.candidatesAdded > maxAddedPerUfrag || len(l.candidates) > maxLegCandidates {
			t.Errorf("%d given to the stack, %d waiting", l.candidatesAdded, len(l.candidates))
		}
	})
	// Each was given to the stack, is waiting, or was counted as dropped.
	dropped := r.engine.Stats().CandidatesDropped
	if least := uint64(2*n + 2*few - maxAddedPerUfrag - (maxEarlyKeys+1)*maxLegCandidates); dropped < least {
		t.Errorf("%d counted as dropped, at least %d were", dropped, least)
	}
}

// TestHostileAnswers: an answer that does not fit changes nothing; the right one still counts.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	good := recorded(t, "chromium-camera-answer")
	sections := strings.Split(good, "\r\nm=")
	for name, sdp := range map[string]string{
		"an offer":             recorded(t, "chromium-camera-offer"),
		"another call's":       strings.NewReplacer("a=mid:s0", "a=mid:0", "a=mid:s1", "a=mid:1").Replace(good),
		"too few m-lines":      sections[0] + "\r\nm=" + sections[1] + "\r\n",
		"too many m-lines":     good + "m=" + strings.Replace(sections[2], "a=mid:s1", "a=mid:s2", 1),
		"m-lines out of order": sections[0] + "\r\nm=" + strings.TrimSpace(sections[2]) + "\r\nm=" + sections[1] + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, Options{})
			r.join("R", "C")
			r.signal("R", "C", false, "offer", recorded(t, "firefox-camera-offer"))
			r.gets("C", "offer", 1)
			r.signal("C", "R", false, "answer", sdp)
			idle(t, r.engine)
			within(t, r.engine, func(room *room) {
				l := room.legs[legKey{"C", "R", false}]
				if l == nil || l.out == nil || l.answer != nil || l.established || len(l.candidates) != 0 {
					t.Errorf("the leg has changed: %+v", l)
				}
			})
			r.signal("C", "R", false, "answer", good)
			sound(t, r.gets("R", "answer", 1).sdp, "passive")
			if r.hasState("refused") {
				t.Errorf("states %v", r.states)
			}
		})
	}
	t.Run("kinds exchanged", func(t *testing.T) {
		t.Parallel()
		exchanged := strings.Replace(strings.Replace(good, "m=audio", "m=VIDEO", 1), "m=video", "m=audio", 1)
		exchanged = strings.Replace(exchanged, "m=VIDEO", "m=video", 1)
		r := newRecorder(t, Options{})
		r.join("R", "C")
		r.signal("R", "C", false, "offer", recorded(t, "firefox-camera-offer"))
		r.gets("C", "offer", 1)
		r.signal("C", "R", false, "answer", exchanged)
		idle(t, r.engine)
		within(t, r.engine, func(room *room) {
			if l := room.legs[legKey{"C", "R", false}]; l != nil && l.established {
				for _, s := range l.sections {
					if s.agreed && !s.rejected && s.local.Send {
						t.Errorf("section %s is sent although its kinds differ", s.mid)
					}
				}
			}
		})
	})
}

// TestAnswersThatTheStackRefuses end their leg alone, with a word to their sender.
func TestAnswersThatTheStackRefuses(t *testing.T) {
	t.Parallel()
	good := recorded(t, "chromium-camera-answer")
	for name, sdp := range map[string]string{
		"no password": strings.Join(slices.DeleteFunc(strings.Split(good, "\r\n"), func(l string) bool { return strings.HasPrefix(l, "a=ice-pwd") }), "\r\n"),
		"fingerprint": strings.ReplaceAll(good, "a=fingerprint:sha-256 ", "a=fingerprint:sha-256"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, Options{})
			r.join("R", "C", "D")
			for _, to := range []string{"C", "D"} {
				r.signal("R", to, false, "offer", recorded(t, "firefox-camera-offer"))
				r.gets(to, "offer", 1)
			}
			r.signal("C", "R", false, "answer", sdp)
			r.eventually("refused", func() bool { return r.hasState("refused C>R ") })
			r.signal("D", "R", false, "answer", good)
			sound(t, r.gets("R", "answer", 1).sdp, "passive")
		})
	}
}

func TestInboxFlood(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{})
	r.join("R", "C")
	within(t, r.engine, func(*room) {})
	held, free := make(chan struct{}), make(chan struct{})
	r.engine.room("room").inbox.push(func() {
		close(held)
		<-free
	})
	<-held
	refused := 0
	for i := range 2 * maxSubmitted {
		err := r.engine.Candidate("room", "R", "C", false, candidate(i))
		switch {
		case err == nil && i >= maxSubmitted:
			t.Fatalf("signal %d was taken, at most %d may wait", i, maxSubmitted)
		case err != nil && i < maxSubmitted:
			t.Fatalf("signal %d: %v", i, err)
		case err != nil:
			refused++
		}
	}
	if err := r.engine.Signal("room", "R", "C", false, "offer", recorded(t, "chromium-camera-offer"), nil); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("offer to a full room: %v", err)
	}
	// The room's own members come and go all the same, and another room is not concerned.
	r.join("D")
	r.engine.Leave("room", "C")
	r.engine.Join("other", "X", "")
	r.engine.Join("other", "Y", "")
	if err := r.engine.Signal("other", "X", "Y", false, "offer", recorded(t, "chromium-camera-offer"), nil); err != nil {
		t.Error(err)
	}
	r.gets("Y", "offer", 1)
	close(free)
	within(t, r.engine, func(room *room) {
		if room.members["D"] == nil || room.members["C"] != nil {
			t.Error("join and leave were lost in the flood")
		}
	})
	r.signal("R", "D", false, "offer", recorded(t, "chromium-camera-offer"))
	r.gets("D", "offer", 1)
	if refused != maxSubmitted {
		t.Errorf("%d were refused, want %d", refused, maxSubmitted)
	}
}

func TestLimitsOfLegs(t *testing.T) {
	t.Parallel()
	offer := recorded(t, "chromium-camera-offer")
	for name, c := range map[string]struct {
		opts Options
		most int
	}{
		"room":       {Options{MaxLegsPerRoom: 4}, 4},
		"odd room":   {Options{MaxLegsPerRoom: 5}, 5},
		"server":     {Options{MaxLegs: 4}, 4},
		"odd server": {Options{MaxLegs: 5}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, c.opts)
			r.join("R")
			for i := range 5 {
				id := fmt.Sprint("C", i)
				r.join(id)
				r.signal("R", id, false, "offer", offer)
			}
			r.eventually("the fourth is refused", func() bool { return r.hasState("refused R>C4 too many media connections") })
			idle(t, r.engine)
			if s := r.engine.Stats(); s.Legs > c.most || s.LegsRefused == 0 {
				t.Errorf("%d legs open, %d refused; at most %d", s.Legs, s.LegsRefused, c.most)
			}
			if len(r.descriptions("C0", "offer")) != 1 || len(r.descriptions("C4", "offer")) != 0 {
				t.Errorf("said %v", r.allNews())
			}
			// Room for another call is there again when one ends.
			r.engine.Leave("room", "C0")
			r.signal("R", "C4", false, "offer", offer)
			r.gets("C4", "offer", 1)
		})
	}
}

// TestOfferFlood: a client that offers without end has one connection and one
// held description, and takes no memory.
func TestOfferFlood(t *testing.T) {
	r := newRecorder(t, Options{})
	r.join("R", "C")
	r.signal("R", "C", false, "offer", recorded(t, "chromium-camera-offer"))
	r.gets("C", "offer", 1)
	before := heap()
	big := recorded(t, "chromium-screen-offer")
	big += strings.Repeat("a=x-filler:"+strings.Repeat("y", 180)+"\r\n", 900)
	if len(big) > jsep.MaxSize {
		t.Fatal("too big")
	}
	submitAll(t, 100, func(int) error { return r.engine.Signal("room", "R", "C", false, "offer", big, nil) })
	idle(t, r.engine)
	if s := r.engine.Stats(); s.Legs != 2 || len(r.descriptions("C", "offer")) != 1 {
		t.Errorf("%d legs, %d offers to the far side", s.Legs, len(r.descriptions("C", "offer")))
	}
	if after := heap(); after > before+8<<20 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
}

// heap is what is in use after everything collectable has gone.
func heap() uint64 {
	var stats runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestTransceiverRequestsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, Options{})
	r.join("R", "C")
	r.signal("R", "C", false, "offer", recorded(t, "chromium-camera-offer"))
	r.gets("C", "offer", 1)
	r.signal("C", "R", false, "answer", recorded(t, "chromium-camera-answer"))
	r.gets("R", "answer", 1)
	submitAll(t, 1000, func(int) error {
		return r.engine.Signal("room", "C", "R", false, "transceiverRequest", "", []byte(`{"transceiverRequest":{"kind":"video"}}`))
	})
	idle(t, r.engine)
	within(t, r.engine, func(room *room) {
		for _, l := range room.order {
			if len(l.ask) > maxSections || len(l.sections) > maxSections {
				t.Errorf("%d sections, %d asked for; at most %d", len(l.sections), len(l.ask), maxSections)
			}
			for _, kind := range l.ask {
				if kind != jsep.Kind(webrtc.RTPCodecTypeVideo.String()) {
					t.Errorf("asks for %s", kind)
				}
			}
		}
	})
	for _, offer := range r.descriptions("C", "offer") {
		if n := len(parsed(t, offer.sdp).Sections); n > maxSections {
			t.Errorf("offered %d sections, at most %d", n, maxSections)
		}
	}
}
