// Package jsonraw reads JSON text in place: it validates (RFC 8259), finds the
// boundaries of array elements and object members, and hands out sub-slices
// of the input. Nothing is decoded into Go values, so numbers keep their digits,
// strings their escapes, and a forwarded value leaves byte for byte as it came.
//
// The input is taken to be valid UTF-8; the functions check syntax only. Member
// names are compared exactly, not without regard to case as encoding/json does:
// a JavaScript peer reads them exactly too.
package jsonraw

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/bits"
)

// MaxDepth bounds how deeply arrays and objects may nest. It is below the limit
// of any parser that may read the same text later.
const MaxDepth = 256

// Errors of this package.
var (
	ErrSyntax  = errors.New("jsonraw: not valid JSON")
	ErrDepth   = errors.New("jsonraw: nested too deeply")
	ErrKind    = errors.New("jsonraw: another kind of value was expected")
	ErrTooMany = errors.New("jsonraw: too many elements")
)

// Valid reports whether data is exactly one JSON value, white space around it allowed.
func Valid(data []byte) bool {
	i, err := skipValue(data, skipSpace(data, 0), 0)
	return err == nil && skipSpace(data, i) == len(data)
}

// Elements validates data, which must be one JSON array, and appends its elements
// to dst as sub-slices of data, at most limit of them.
func Elements(dst []json.RawMessage, data []byte, limit int) ([]json.RawMessage, error) {
	i := skipSpace(data, 0)
	if i >= len(data) {
		return dst, ErrSyntax
	}
	if data[i] != '[' {
		if Valid(data) {
			return dst, ErrKind
		}
		return dst, ErrSyntax
	}
	i = skipSpace(data, i+1)
	if i < len(data) && data[i] == ']' {
		return dst, atEnd(data, i+1)
	}
	for n := 0; ; n++ {
		end, err := skipValue(data, i, 1)
		if err != nil {
			return dst, err
		}
		if n >= limit {
			return dst, ErrTooMany
		}
		dst = append(dst, json.RawMessage(data[i:end:end]))
		i = skipSpace(data, end)
		if i >= len(data) {
			return dst, ErrSyntax
		}
		switch data[i] {
		case ',':
			i = skipSpace(data, i+1)
		case ']':
			return dst, atEnd(data, i+1)
		default:
			return dst, ErrSyntax
		}
	}
}

// Members validates data, which must be one JSON object, and calls member for
// each of its members in order, with the unescaped name and the raw value; both
// are valid only as long as data is. It stops early, without an error, when
// member returns false. A name that occurs twice is reported twice: for
// JavaScript the last one counts.
func Members(data []byte, member func(name, value []byte) bool) error {
	i := skipSpace(data, 0)
	if i >= len(data) {
		return ErrSyntax
	}
	if data[i] != '{' {
		if Valid(data) {
			return ErrKind
		}
		return ErrSyntax
	}
	i = skipSpace(data, i+1)
	if i < len(data) && data[i] == '}' {
		return atEnd(data, i+1)
	}
	for {
		if i >= len(data) || data[i] != '"' {
			return ErrSyntax
		}
		end, err := skipString(data, i)
		if err != nil {
			return err
		}
		name, err := Text(data[i:end])
		if err != nil {
			return err
		}
		if i = skipSpace(data, end); i >= len(data) || data[i] != ':' {
			return ErrSyntax
		}
		i = skipSpace(data, i+1)
		if end, err = skipValue(data, i, 1); err != nil {
			return err
		}
		if !member(name, data[i:end:end]) {
			return nil
		}
		if i = skipSpace(data, end); i >= len(data) {
			return ErrSyntax
		}
		switch data[i] {
		case ',':
			i = skipSpace(data, i+1)
		case '}':
			return atEnd(data, i+1)
		default:
			return ErrSyntax
		}
	}
}

// Text returns the content of a JSON string: a sub-slice of raw when it holds
// no escape, else a decoded copy (a lone surrogate becomes U+FFFD there).
// ErrKind if raw is no string.
func Text(raw []byte) ([]byte, error) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, ErrKind
	}
	for i := 1; i < len(raw)-1; i++ {
		if raw[i] == '\\' {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				return nil, ErrSyntax
			}
			return []byte(s), nil
		}
	}
	return raw[1 : len(raw)-1], nil
}

func atEnd(data []byte, i int) error {
	if skipSpace(data, i) != len(data) {
		return ErrSyntax
	}
	return nil
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue validates the value that starts at b[i] and returns where it ends.
func skipValue(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return 0, ErrSyntax
	}
	switch c := b[i]; c {
	case '"':
		return skipString(b, i)
	case '{':
		return skipObject(b, i, depth+1)
	case '[':
		return skipArray(b, i, depth+1)
	case 't':
		return skipWord(b, i, "true")
	case 'f':
		return skipWord(b, i, "false")
	case 'n':
		return skipWord(b, i, "null")
	default:
		return skipNumber(b, i)
	}
}

func skipWord(b []byte, i int, word string) (int, error) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return 0, ErrSyntax
	}
	return i + len(word), nil
}

func skipArray(b []byte, i, depth int) (int, error) {
	if depth > MaxDepth {
		return 0, ErrDepth
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		end, err := skipValue(b, i, depth)
		if err != nil {
			return 0, err
		}
		if i = skipSpace(b, end); i >= len(b) {
			return 0, ErrSyntax
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1, nil
		default:
			return 0, ErrSyntax
		}
	}
}

func skipObject(b []byte, i, depth int) (int, error) {
	if depth > MaxDepth {
		return 0, ErrDepth
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return 0, ErrSyntax
		}
		end, err := skipString(b, i)
		if err != nil {
			return 0, err
		}
		if i = skipSpace(b, end); i >= len(b) || b[i] != ':' {
			return 0, ErrSyntax
		}
		if end, err = skipValue(b, skipSpace(b, i+1), depth); err != nil {
			return 0, err
		}
		if i = skipSpace(b, end); i >= len(b) {
			return 0, ErrSyntax
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			return i + 1, nil
		default:
			return 0, ErrSyntax
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// skipString expects the opening quote at b[i]. Eight bytes are looked at at a
// time: a byte of interest is a quote, a backslash or a control character. The
// subtraction may also mark bytes above the lowest mark, never below it.
func skipString(b []byte, i int) (int, error) {
	i++
	for {
		for len(b)-i >= 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			quote := w ^ ones*'"'
			slash := w ^ ones*'\\'
			m := ((w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
			if m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return 0, ErrSyntax
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < 0x20:
			return 0, ErrSyntax
		case c != '\\':
			i++
		default:
			if i+1 >= len(b) {
				return 0, ErrSyntax
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if len(b)-i < 6 || !isHex(b[i+2]) || !isHex(b[i+3]) || !isHex(b[i+4]) || !isHex(b[i+5]) {
					return 0, ErrSyntax
				}
				i += 6
			default:
				return 0, ErrSyntax
			}
		}
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func skipNumber(b []byte, i int) (int, error) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b) || b[i] < '0' || b[i] > '9':
		return 0, ErrSyntax
	case b[i] == '0':
		i++
	default:
		i = skipDigits(b, i)
	}
	if i < len(b) && b[i] == '.' {
		end := skipDigits(b, i+1)
		if end == i+1 {
			return 0, ErrSyntax
		}
		i = end
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := skipDigits(b, i)
		if end == i {
			return 0, ErrSyntax
		}
		i = end
	}
	return i, nil
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
