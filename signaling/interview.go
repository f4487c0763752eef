package signaling

import (
	"bytes"
	"strconv"
	"time"

	"skillsage/signaling/socketio"
)

var (
	chatNames     = []string{"interviewId", "content", "userRole"}
	codeNames     = []string{"interviewId", "questionId", "code", "language", "currentQuestionIndex"}
	languageNames = []string{"interviewId", "questionId", "language", "currentQuestionIndex"}
	questionNames = []string{"interviewId", "questionId", "currentQuestionIndex"}
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

func (c *conn) onChatMessage(_ *socketio.Event, payload []byte) (any, *refusal) {
	var f [3][]byte
	if why := fields(payload, chatNames, f[:]); why != nil {
		return nil, why
	}
	content, sender := f[1], f[2]
	switch {
	case content == nil:
		return nil, missing("content")
	case !isString(content):
		return nil, badField("content", "a string")
	case len(content) > c.server.limits.ChatMessageBytes:
		return nil, tooLarge("content", c.server.limits.ChatMessageBytes)
	}
	if why := optionalString("userRole", sender, maxShortText); why != nil {
		return nil, why
	}
	r, _, why := c.visit(f[0])
	if why != nil {
		return nil, why
	}
	// r.mu is held.
	now := time.Now()
	entry := make([]byte, 0, len(content)+len(sender)+128)
	entry = strconv.AppendInt(append(entry, `{"id":`...), r.chat.nextID(now), 10)
	entry = appendMember(entry, "content", content)
	entry = appendTimestamp(append(entry, `,"timestamp":`...), now)
	entry = appendMember(entry, "sender", sender)
	r.postAll(nil, socketio.EncodeRaw("chat-message", entry, partNotOwn))
	r.chat.keep(append(entry, '}'))
	r.deliverLocked()
	return nil, nil
}

func (c *conn) onCodeUpdate(_ *socketio.Event, payload []byte) (any, *refusal) {
	var f [5][]byte
	if why := fields(payload, codeNames, f[:]); why != nil {
		return nil, why
	}
	question, code, language, index := f[1], f[2], f[3], f[4]
	if why := optionalString("code", code, c.server.limits.CodeBytes); why != nil {
		return nil, why
	}
	key, name, why := checkQuestion(question, language, index)
	if why != nil {
		return nil, why
	}
	r, _, why := c.visit(f[0])
	if why != nil {
		return nil, why
	}
	// r.mu is held.
	now := time.Now()
	stamp := appendTimestamp(nil, now)
	r.code.update(key, &questionCode{
		name:        name,
		code:        bytes.Clone(code),
		language:    bytes.Clone(language),
		index:       bytes.Clone(index),
		lastUpdated: stamp,
		updatedBy:   c.id,
	})
	broadcast(r, "code-update", stamp, question, code, language, index)
	return nil, nil
}

func (c *conn) onLanguageChange(_ *socketio.Event, payload []byte) (any, *refusal) {
	var f [4][]byte
	if why := fields(payload, languageNames, f[:]); why != nil {
		return nil, why
	}
	question, language, index := f[1], f[2], f[3]
	key, _, why := checkQuestion(question, language, index)
	if why != nil {
		return nil, why
	}
	r, _, why := c.visit(f[0])
	if why != nil {
		return nil, why
	}
	// r.mu is held.
	r.code.setLanguage(key, bytes.Clone(language))
	broadcast(r, "language-change", appendTimestamp(nil, time.Now()), question, nil, language, index)
	return nil, nil
}

func (c *conn) onQuestionChange(_ *socketio.Event, payload []byte) (any, *refusal) {
	var f [3][]byte
	if why := fields(payload, questionNames, f[:]); why != nil {
		return nil, why
	}
	question, index := f[1], f[2]
	if _, _, why := checkQuestion(question, nil, index); why != nil {
		return nil, why
	}
	r, _, why := c.visit(f[0])
	if why != nil {
		return nil, why
	}
	// r.mu is held.
	if index != nil {
		r.code.currentIndex = bytes.Clone(index)
	}
	broadcast(r, "question-change", appendTimestamp(nil, time.Now()), question, nil, nil, index)
	return nil, nil
}

func checkQuestion(question, language, index []byte) (key string, name []byte, why *refusal) {
	if key, name, why = questionKey(question); why != nil {
		return "", nil, why
	}
	if why = optionalString("language", language, maxShortText); why != nil {
		return "", nil, why
	}
	return key, name, optionalNumber("currentQuestionIndex", index)
}

// broadcast tells everybody in the room, the sender too, about a question, and releases the room's lock. Absent
// values are left out.
func broadcast(r *room, event string, stamp, question, code, language, index []byte) {
	b := append(make([]byte, 0, len(question)+len(code)+len(language)+len(index)+len(stamp)+80), '{')
	b = appendMember(b, "questionId", question)
	b = appendMember(b, "code", code)
	b = appendMember(b, "language", language)
	b = appendMember(b, "currentQuestionIndex", index)
	b = appendMember(b, "timestamp", stamp)
	r.postAll(nil, socketio.EncodeRaw(event, b, partEnd))
	r.deliverLocked()
}
