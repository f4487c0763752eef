package signaling

import (
	"bytes"
	"strconv"
	"time"

	"skillsage/signaling/socketio"
)

var (
	chatNames     = []string{"interviewId", "content", "userRole"}
	questionNames = []string{"interviewId", "questionId", "code", "language", "currentQuestionIndex"}
)

// visit locks the room that an event names. For the sender's own room that takes no look-up, and m is its membership.
// Pages that joined once, when they mounted, go on sending after a reconnect, so another living room does as well;
// m is nil there.
func (c *conn) visit(rawID []byte) (r *room, m *member, why *refusal) {
	m = c.member.Load()
	if m != nil && isString(rawID) {
		if inner, ok := plain(rawID); ok && string(inner) == m.room.id {
			m.room.mu.Lock()
			if !m.gone {
				return m.room, m, nil
			}
			m.room.mu.Unlock()
		}
	}
	id, why := interviewID(rawID)
	if why != nil {
		return nil, nil, why
	}
	if r = c.server.rooms.find(id); r == nil {
		return nil, nil, ignoreNoRoom
	}
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return nil, nil, ignoreNoRoom
	}
	if m == nil || m.room != r || m.gone {
		m = nil
	}
	return r, m, nil
}

// partNotOwn ends a chat message: whose it is is for each page to tell.
var partNotOwn = []byte(`,"isOwn":false}`)

// chatEvent is a checked chat-message payload; its slices point into it.
type chatEvent struct{ interview, content, sender []byte }

func parseChat(payload []byte, limits *Limits) (e chatEvent, why *refusal) {
	var f [3][]byte
	if why = fields(payload, chatNames, f[:]); why != nil {
		return e, why
	}
	e = chatEvent{interview: f[0], content: f[1], sender: f[2]}
	switch {
	case e.content == nil:
		return e, missing("content")
	case !isString(e.content):
		return e, badField("content", "a string")
	case len(e.content) > limits.ChatMessageBytes:
		return e, tooLarge("content", limits.ChatMessageBytes)
	}
	return e, optionalString("userRole", e.sender, maxShortText)
}

func (c *conn) onChatMessage(ev *socketio.Event, payload []byte) (any, *refusal) {
	e, why := parseChat(payload, &c.server.limits)
	if why != nil {
		return nil, why
	}
	r, _, why := c.visit(e.interview)
	if why != nil {
		return nil, why
	}
	// r.mu is held.
	now := time.Now()
	entry := make([]byte, 0, len(e.content)+len(e.sender)+128)
	entry = strconv.AppendInt(append(entry, `{"id":`...), r.chat.nextID(now), 10)
	entry = appendMember(entry, "content", e.content)
	entry = appendTimestamp(append(entry, `,"timestamp":`...), now)
	entry = appendMember(entry, "sender", e.sender)
	r.postAll(nil, socketio.EncodeRaw(ev.Name, entry, partNotOwn))
	r.saidLocked(c, ev.Name, entry, partNotOwn)
	r.chat.keep(append(entry, '}'))
	r.deliverLocked()
	return nil, nil
}

// questionEvent is a checked payload about a question; its slices point into it and are nil for what was absent. The
// three events have the same members, as far as they have them.
type questionEvent struct {
	interview, question, code, language, index []byte

	key  string // what the question is kept under
	name []byte // the same as a JSON string, a copy
}

func parseQuestion(payload []byte, limits *Limits) (e questionEvent, why *refusal) {
	var f [5][]byte
	if why = fields(payload, questionNames, f[:]); why != nil {
		return e, why
	}
	e = questionEvent{interview: f[0], question: f[1], code: f[2], language: f[3], index: f[4]}
	if e.key, e.name, why = questionKey(e.question); why != nil {
		return e, why
	}
	if why = optionalString("code", e.code, limits.CodeBytes); why != nil {
		return e, why
	}
	if why = optionalString("language", e.language, maxShortText); why != nil {
		return e, why
	}
	return e, optionalNumber("currentQuestionIndex", e.index)
}

func (c *conn) onCodeUpdate(_ *socketio.Event, payload []byte) (any, *refusal) {
	return c.questionChanged("code-update", payload, func(r *room, e *questionEvent, stamp []byte) {
		r.code.update(e.key, &questionCode{
			name:        e.name,
			code:        bytes.Clone(e.code),
			language:    bytes.Clone(e.language),
			index:       bytes.Clone(e.index),
			lastUpdated: stamp,
			updatedBy:   c.id,
		})
	})
}

func (c *conn) onLanguageChange(_ *socketio.Event, payload []byte) (any, *refusal) {
	return c.questionChanged("language-change", payload, func(r *room, e *questionEvent, _ []byte) {
		e.code = nil
		r.code.setLanguage(e.key, bytes.Clone(e.language))
	})
}

func (c *conn) onQuestionChange(_ *socketio.Event, payload []byte) (any, *refusal) {
	return c.questionChanged("question-change", payload, func(r *room, e *questionEvent, _ []byte) {
		e.code, e.language = nil, nil
		if e.index != nil {
			r.code.currentIndex = bytes.Clone(e.index)
		}
	})
}

// questionChanged notes an event about a question with keep, which runs under the room's lock and takes out of the
// event what is not part of it, and tells everybody in the room, the sender too.
func (c *conn) questionChanged(event string, payload []byte, keep func(r *room, e *questionEvent, stamp []byte)) (any, *refusal) {
	e, why := parseQuestion(payload, &c.server.limits)
	if why != nil {
		return nil, why
	}
	r, _, why := c.visit(e.interview)
	if why != nil {
		return nil, why
	}
	// r.mu is held.
	stamp := appendTimestamp(nil, time.Now())
	keep(r, &e, stamp)
	b := append(make([]byte, 0, len(e.question)+len(e.code)+len(e.language)+160), '{')
	b = appendMember(b, "questionId", e.question)
	b = appendMember(b, "code", e.code)
	b = appendMember(b, "language", e.language)
	b = appendMember(b, "currentQuestionIndex", e.index)
	b = appendMember(b, "timestamp", stamp)
	r.postAll(nil, socketio.EncodeRaw(event, b, partEnd))
	r.saidLocked(c, event, b, partEnd)
	r.deliverLocked()
	return nil, nil
}
