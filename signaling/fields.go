package signaling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Bounds of the short members, in bytes.
const (
	maxInterviewID = 256 // as text
	maxShortText   = 256 // of JSON: roles in chat, languages, ids of questions, types of signals
	maxNumber      = 32  // of JSON
	maxQuoted      = 64  // of a client's text that an error repeats
)

func missing(name string) *refusal {
	return &refusal{code: codeBadPayload, text: name + " is missing"}
}

func badField(name, must string) *refusal {
	return &refusal{code: codeBadPayload, text: name + " must be " + must}
}

func tooLarge(name string, limit int) *refusal {
	return &refusal{code: codeTooLarge, text: fmt.Sprintf("%s is longer than %d bytes", name, limit)}
}

// fields reads the wanted members of an event's payload into values.
func fields(payload []byte, names []string, values [][]byte) *refusal {
	if err := scanObject(payload, names, values); err != nil {
		return &refusal{code: codeBadPayload, text: "the payload " + err.Error()}
	}
	return nil
}

func isString(raw []byte) bool { return len(raw) >= 2 && raw[0] == '"' }
func isObject(raw []byte) bool { return len(raw) >= 2 && raw[0] == '{' }
func isNull(raw []byte) bool   { return string(raw) == "null" }

func isNumber(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9')
}

// plain returns the text of a JSON string in place if no escape stands in the way.
func plain(raw []byte) ([]byte, bool) {
	inner := raw[1 : len(raw)-1]
	return inner, bytes.IndexByte(inner, '\\') < 0
}

func decodeString(raw []byte) (string, error) {
	if inner, ok := plain(raw); ok {
		return string(inner), nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// quote shortens a client's text for an error.
func quote(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%.*q…", maxQuoted, s)
	}
	return fmt.Sprintf("%q", s)
}

// interviewID reads the name of a room. Pages pass what their router gave them, so a number is taken by its text, as
// the key of a JavaScript object would be.
func interviewID(raw []byte) (string, *refusal) {
	var id string
	switch {
	case raw == nil:
		return "", missing("interviewId")
	case isNumber(raw):
		id = string(raw)
	case !isString(raw):
		return "", badField("interviewId", "a string")
	default:
		var err error
		if id, err = decodeString(raw); err != nil {
			return "", badField("interviewId", "a string")
		}
	}
	switch {
	case id == "":
		return "", &refusal{code: codeBadPayload, text: "interviewId must not be empty"}
	case len(id) > maxInterviewID:
		return "", tooLarge("interviewId", maxInterviewID)
	}
	for _, r := range id {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return "", &refusal{code: codeBadPayload, text: "interviewId must not hold control characters or broken Unicode"}
		}
	}
	return id, nil
}

// screenFlag reads isScreenShare. It is forwarded as it came: absent stays absent, and null, which means no more, is
// made absent.
func screenFlag(raw []byte) (screen, present bool, why *refusal) {
	switch string(raw) {
	case "", "null":
		return false, false, nil
	case "true":
		return true, true, nil
	case "false":
		return false, true, nil
	}
	return false, false, badField("isScreenShare", "true or false")
}

// optionalString checks a member that is forwarded as it came: absent, null or a string of bounded length.
func optionalString(name string, raw []byte, limit int) *refusal {
	switch {
	case raw == nil || isNull(raw):
		return nil
	case !isString(raw):
		return badField(name, "a string")
	case len(raw) > limit:
		return tooLarge(name, limit)
	}
	return nil
}

func optionalNumber(name string, raw []byte) *refusal {
	switch {
	case raw == nil || isNull(raw):
		return nil
	case !isNumber(raw):
		return badField(name, "a number")
	case len(raw) > maxNumber:
		return tooLarge(name, maxNumber)
	}
	return nil
}

// questionKey returns the text under which a question's code is kept and the same as a JSON string. Pages use strings
// and numbers, and send nothing before they know their first question; as the key of a JavaScript object, which is
// what code-state shows, each of these has a text.
func questionKey(raw []byte) (key string, name []byte, why *refusal) {
	switch {
	case raw == nil:
		return "undefined", []byte(`"undefined"`), nil
	case len(raw) > maxShortText:
		return "", nil, tooLarge("questionId", maxShortText)
	case isString(raw):
		s, err := decodeString(raw)
		if err != nil {
			return "", nil, badField("questionId", "a string or a number")
		}
		return s, bytes.Clone(raw), nil
	case isNumber(raw), isNull(raw):
		name = append(append([]byte{'"'}, raw...), '"')
		return string(raw), name, nil
	}
	return "", nil, badField("questionId", "a string or a number")
}
