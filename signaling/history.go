package signaling

import (
	"strconv"
	"time"

	"skillsage/signaling/socketio"
)

// timestampLayout is what JavaScript's Date.toISOString writes.
const timestampLayout = "2006-01-02T15:04:05.000Z"

func appendTimestamp(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timestampLayout)
	return append(b, '"')
}

// chatHistory is what a room keeps of its chat; its room's lock guards it.
type chatHistory struct {
	limits *Limits // static
	lastID int64
	kept   [][]byte // entries in JSON, oldest first
	bytes  int
}

// nextID returns the time in milliseconds, or the next number that has not been given out: pages use it as a key.
func (h *chatHistory) nextID(now time.Time) int64 {
	h.lastID = max(now.UnixMilli(), h.lastID+1)
	return h.lastID
}

// keep adds an entry and drops the oldest ones beyond the limits.
func (h *chatHistory) keep(entry []byte) {
	h.kept = append(h.kept, entry)
	h.bytes += len(entry)
	for len(h.kept) > h.limits.ChatMessages || h.bytes > h.limits.ChatBytes {
		h.bytes -= len(h.kept[0])
		h.kept[0] = nil
		h.kept = h.kept[1:]
	}
}

func (h *chatHistory) encode() *socketio.Message {
	b := make([]byte, 0, h.bytes+len(h.kept)+2)
	b = append(b, '[')
	for i, entry := range h.kept {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, entry...)
	}
	return socketio.EncodeRaw("chat-history", append(b, ']'))
}

// codeState is the last code per question and the question that the room is at; its room's lock guards it.
type codeState struct {
	limits       *Limits // static
	currentIndex []byte  // JSON
	questions    map[string]*questionCode
	bytes        int
	updates      uint64 // counts updates, to tell the oldest
}

// questionCode holds JSON values as they came; nil stands for an absent one.
type questionCode struct {
	name                  []byte // the question's id as a JSON string
	code, language, index []byte
	lastUpdated           []byte
	updatedBy             string
	seq                   uint64
}

func newCodeState(limits *Limits) codeState {
	return codeState{limits: limits, currentIndex: []byte("0"), questions: make(map[string]*questionCode)}
}

func (q *questionCode) size() int {
	return len(q.name) + len(q.code) + len(q.language) + len(q.index)
}

// update keeps q as the code of the question and drops the least recently updated ones beyond the limits.
func (s *codeState) update(question string, q *questionCode) {
	if old := s.questions[question]; old != nil {
		s.bytes -= old.size()
	}
	s.updates++
	q.seq = s.updates
	s.questions[question] = q
	s.bytes += q.size()
	for len(s.questions) > s.limits.Questions || s.bytes > s.limits.CodeTotal {
		oldest := question
		for name, other := range s.questions {
			if other.seq < s.questions[oldest].seq {
				oldest = name
			}
		}
		s.bytes -= s.questions[oldest].size()
		delete(s.questions, oldest)
	}
}

// setLanguage changes the language of a question that has code.
func (s *codeState) setLanguage(question string, language []byte) {
	if q := s.questions[question]; q != nil && language != nil {
		s.bytes += len(language) - len(q.language)
		q.language = language
	}
}

// encode makes code-state. The ids of questions come from clients and become keys of an object, as the contract has
// it: in JSON text that is harmless, JSON.parse makes an own property even of "__proto__".
func (s *codeState) encode() *socketio.Message {
	b := make([]byte, 0, s.bytes+160*len(s.questions)+64)
	b = append(b, `{"codeUpdates":{`...)
	first := true
	for _, q := range s.questions {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(append(b, q.name...), ":{"...)
		for _, f := range [...]struct {
			name  string
			value []byte
		}{{"code", q.code}, {"language", q.language}, {"currentQuestionIndex", q.index}} {
			b = appendMember(b, f.name, f.value)
		}
		b = appendMember(b, "lastUpdated", q.lastUpdated)
		b = appendMember(b, "updatedBy", []byte(strconv.Quote(q.updatedBy)))
		b = append(b, '}')
	}
	b = append(b, '}')
	b = appendMember(b, "currentQuestionIndex", s.currentIndex)
	return socketio.EncodeRaw("code-state", append(b, '}'))
}

// appendMember adds a member to the JSON object that b ends in; a nil value is left out, as JavaScript leaves out
// undefined.
func appendMember(b []byte, name string, value []byte) []byte {
	if value == nil {
		return b
	}
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(append(b, '"'), name...), `":`...)
	return append(b, value...)
}
