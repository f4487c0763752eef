package signaling

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"
	"unicode/utf8"
)

// FuzzPayloads feeds every event's decoder with whatever valid JSON in valid UTF-8 may arrive. What a decoder accepts
// must be bounded, must be what encoding/json sees under exactly these names, and must make valid JSON again.
func FuzzPayloads(f *testing.F) {
	for _, tt := range badJoins {
		f.Add([]byte(tt.payload))
	}
	for _, tt := range hostile {
		if len(tt.payload) < 1000 {
			f.Add([]byte(tt.payload))
		}
	}
	f.Add([]byte(`{"to":"a","signal":{"type":"offer","sdp":"v=0\r\n"},"type":"offer","isScreenShare":true}`))
	f.Add([]byte(`{"to":"a","candidate":{"candidate":""},"isScreenShare":false}`))
	f.Add([]byte(`{"interviewId":"iv","userRole":"recruiter","mode":"p2p"}`))
	f.Add([]byte(`{"interviewId":7,"questionId":"\ud800","code":"x","language":null,"currentQuestionIndex":1e9}`))
	f.Add([]byte(`{"interviewId":"iv","content":"x","userRole":"candidate","isSharing":false}`))
	f.Add([]byte(`{"interviewId":"iv","agreed":true}`))
	limits := Limits{SignalBytes: 1000, CandidateBytes: 500, ChatMessageBytes: 500, CodeBytes: 500}.withDefaults()
	f.Fuzz(func(t *testing.T, payload []byte) {
		if !json.Valid(payload) || !utf8.Valid(payload) {
			payload = nil // the layer below lets nothing else through, but for no argument at all
		}
		original := bytes.Clone(payload)
		if req, why := parseJoin(payload); why == nil {
			if req.room == "" || len(req.room) > maxInterviewID || !utf8.ValidString(req.room) || req.role != roleRecruiter && req.role != roleCandidate {
				t.Fatalf("%q: joined %q as %q", payload, req.room, req.role)
			}
		} else if len(why.text) > 300 || !utf8.ValidString(why.text) {
			t.Fatalf("%q: error %q", payload, why.text)
		}
		if e, why := parseSignal(payload, &limits); why == nil {
			if len(e.signal) > limits.SignalBytes || len(e.kind) > maxShortText {
				t.Fatalf("%q: not bounded", payload)
			}
			same(t, payload, "to", e.to)
			same(t, payload, "signal", e.signal)
			same(t, payload, "type", e.kind)
			forwarded(t, partFrom, []byte(`"id"`), partIf(e.signal, partSignal), e.signal, partIf(e.kind, partType), e.kind, partScreen(e.screen, e.flagged))
			if kind, sdp, _, why := parseRelayed(e.kind, e.signal); why == nil && (kind == kindOffer || kind == kindAnswer) {
				var s struct{ SDP *string }
				if json.Unmarshal(e.signal, &s) != nil || s.SDP == nil {
					t.Fatalf("%q: relayed %q", payload, sdp)
				}
			}
		}
		if e, why := parseCandidate(payload, &limits); why == nil {
			same(t, payload, "candidate", e.candidate)
			forwarded(t, partFrom, []byte(`"id"`), partCandidate, e.candidate, partScreen(e.screen, e.flagged))
		}
		if _, sharing, why := parseStatus(payload); why == nil {
			forwarded(t, partUserID, []byte(`"id"`), partSharing, sharing, partEnd)
		}
		if interview, agreed, why := parseConsent(payload); why == nil {
			same(t, payload, "interviewId", interview)
			same(t, payload, "agreed", strconv.AppendBool(nil, agreed))
		}
		if e, why := parseChat(payload, &limits); why == nil {
			same(t, payload, "content", e.content)
			forwarded(t, appendMember(appendMember([]byte("{"), "content", e.content), "sender", e.sender), partNotOwn)
		}
		if e, why := parseQuestion(payload, &limits); why == nil {
			state := newCodeState(&limits)
			state.update(e.key, &questionCode{name: e.name, code: e.code, language: e.language, index: e.index, lastUpdated: []byte(`""`)})
			state.encode()
			forwarded(t, []byte("{"), e.name, []byte(":1}"))
		}
		if !bytes.Equal(original, payload) {
			t.Fatal("the payload was written to")
		}
	})
}

// same fails unless encoding/json finds this value under exactly this name.
func same(t *testing.T, payload []byte, name string, value []byte) {
	t.Helper()
	var all map[string]json.RawMessage // map keys are exact, unlike struct fields
	if err := json.Unmarshal(payload, &all); err != nil {
		t.Fatal(err)
	}
	if want, ok := all[name]; ok != (value != nil) || !bytes.Equal(want, value) {
		t.Fatalf("%q: %s is %q, want %q", payload, name, value, want)
	}
}

func forwarded(t *testing.T, parts ...[]byte) {
	t.Helper()
	if text := bytes.Join(parts, nil); !json.Valid(text) || !utf8.Valid(text) {
		t.Fatalf("made %q", text)
	}
}
