package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

var (
	errNotObject = errors.New("must be an object")
	errMalformed = errors.New("is not well-formed JSON")
)

// scanObject reads the first level of the JSON object raw. The value of names[i], as it stands in raw, goes to
// values[i]; nil means that the member is absent. Members with other names are skipped.
//
// Names are compared exactly, after undoing escapes, as JavaScript does. encoding/json would also take "TO" for "to"
// and let the last of two equal names win; then the member that was checked need not be the one that the receiver of
// the forwarded bytes reads. Here a wanted name that appears twice is an error.
//
// raw must be valid JSON (the Socket.IO layer has checked it): values are told apart, not validated again. On anything
// else the result is an error or meaningless, but never a panic. Nothing is allocated unless a name is escaped.
func scanObject(raw []byte, names []string, values [][]byte) error {
	clear(values)
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return errNotObject
	}
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == '}' {
		return nil
	}
	for {
		if i >= len(raw) || raw[i] != '"' {
			return errMalformed
		}
		end := skipString(raw, i)
		if end < 0 {
			return errMalformed
		}
		name := raw[i+1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var s string
			if json.Unmarshal(raw[i:end], &s) != nil {
				return errMalformed
			}
			name = []byte(s)
		}
		i = skipSpace(raw, end)
		if i >= len(raw) || raw[i] != ':' {
			return errMalformed
		}
		i = skipSpace(raw, i+1)
		end = skipValue(raw, i)
		if end < 0 {
			return errMalformed
		}
		for n, want := range names {
			if string(name) == want {
				if values[n] != nil {
					return fmt.Errorf("has %q twice", want)
				}
				values[n] = raw[i:end:end]
				break
			}
		}
		i = skipSpace(raw, end)
		switch {
		case i < len(raw) && raw[i] == ',':
			i = skipSpace(raw, i+1)
		case i < len(raw) && raw[i] == '}':
			return nil
		default:
			return errMalformed
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipString returns the index after the string that starts at b[i], or -1.
func skipString(b []byte, i int) int {
	start := i + 1
	for i = start; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		slash := i
		for slash > start && b[slash-1] == '\\' {
			slash--
		}
		if (i-slash)%2 == 0 {
			return i + 1
		}
	}
}

// skipValue returns the index after the value that starts at b[i], or -1.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipNested(b, i)
	}
	start := i
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ':', '"', '{', '[', ' ', '\n', '\r', '\t':
			if i == start {
				return -1
			}
			return i
		}
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// skipNested counts brackets without telling the two kinds apart, which is enough for valid JSON.
func skipNested(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}
