package jsonraw_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"skillsage/signaling/socketio/jsonraw"
)

var samples = []string{
	`null`, `true`, `false`, `0`, `-0`, `12`, `-1.5e+10`, `1E5`, `""`, `"a"`, `"\u00e9\ud800\n\"\\\/"`, `[]`, `{}`, `[1,"2",{"a":[null]}]`,
	" \t\r\n[ 1 , 2 ] ", `{"a":1,"a":2}`, `{"to":"x","candidate":{"candidate":"candidate:1 1 udp 2122 10.0.0.1 5000 typ host","sdpMid":"0"}}`,
	`"` + strings.Repeat("x", 100) + `"`, `"` + strings.Repeat("é", 50) + `\n"`, strings.Repeat("[", 200) + strings.Repeat("]", 200),
	``, ` `, `nul`, `truex`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `"`, `"\x"`, `"\u12g4"`, `"\u123`, "\"a\x1eb\"", "\"abcdefgh\x00ijk\"", `[`, `[1`, `[1,`, `[1,]`, `[,]`, `[1 2]`,
	`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{1:2}`, `1 2`, `[]]`, `{}}`, "\x1e", `NaN`, `Infinity`, `'a'`, "\u00a0[]",
}

func TestValidAgreesWithEncodingJSON(t *testing.T) {
	for _, s := range samples {
		if got, want := jsonraw.Valid([]byte(s)), json.Valid([]byte(s)); got != want {
			t.Errorf("Valid(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestStringsOfEveryLengthAndOffset(t *testing.T) {
	for n := 0; n < 40; n++ {
		for _, special := range []string{"", `\"`, `\\`, "\x1f", "\x7f", "é", `\u0041`, `\`} {
			for at := 0; at <= n; at++ {
				s := `"` + strings.Repeat("a", at) + special + strings.Repeat("~", n-at) + `"`
				if got, want := jsonraw.Valid([]byte(s)), json.Valid([]byte(s)); got != want {
					t.Fatalf("Valid(%q) = %v, want %v", s, got, want)
				}
			}
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	for _, pair := range []string{"[]", `{}`} {
		open, end := pair[:1], pair[1:]
		if open == "{" {
			open, end = `{"a":`, `}`
		}
		nest := func(n int) []byte {
			return []byte(strings.Repeat(open, n) + "1" + strings.Repeat(end, n))
		}
		if !jsonraw.Valid(nest(jsonraw.MaxDepth)) {
			t.Errorf("%s nested %d times refused", pair, jsonraw.MaxDepth)
		}
		if jsonraw.Valid(nest(jsonraw.MaxDepth + 1)) {
			t.Errorf("%s nested %d times accepted", pair, jsonraw.MaxDepth+1)
		}
	}
	if jsonraw.Valid(bytes.Repeat([]byte("["), 1_000_000)) {
		t.Error("depth bomb accepted")
	}
	if _, err := jsonraw.Elements(nil, bytes.Repeat([]byte("["), 1_000_000), 10); !errors.Is(err, jsonraw.ErrDepth) {
		t.Errorf("depth bomb: %v, want ErrDepth", err)
	}
}

func TestElements(t *testing.T) {
	tests := []struct {
		in    string
		limit int
		want  []string
		err   error
	}{
		{`[]`, 0, nil, nil},
		{` [ ] `, 0, nil, nil},
		{`["a"]`, 1, []string{`"a"`}, nil},
		{`[ "a" , {"b":[1,2]} ,3 ]`, 3, []string{`"a"`, `{"b":[1,2]}`, `3`}, nil},
		{`[9007199254740993,"\ud800"]`, 3, []string{`9007199254740993`, `"\ud800"`}, nil},
		{`[1,2,3]`, 2, nil, jsonraw.ErrTooMany},
		{`{}`, 2, nil, jsonraw.ErrKind},
		{`"x"`, 2, nil, jsonraw.ErrKind},
		{``, 2, nil, jsonraw.ErrSyntax},
		{`[1,]`, 2, nil, jsonraw.ErrSyntax},
		{`[1]x`, 2, nil, jsonraw.ErrSyntax},
		{`[1`, 2, nil, jsonraw.ErrSyntax},
		{`{]`, 2, nil, jsonraw.ErrSyntax},
	}
	for _, tt := range tests {
		got, err := jsonraw.Elements(nil, []byte(tt.in), tt.limit)
		if !errors.Is(err, tt.err) {
			t.Errorf("Elements(%q): error %v, want %v", tt.in, err, tt.err)
			continue
		}
		if err != nil {
			continue
		}
		if len(got) != len(tt.want) {
			t.Errorf("Elements(%q) = %q, want %q", tt.in, got, tt.want)
			continue
		}
		for i := range got {
			if string(got[i]) != tt.want[i] {
				t.Errorf("Elements(%q)[%d] = %s, want %s", tt.in, i, got[i], tt.want[i])
			}
		}
	}
}

func TestElementsCannotGrowIntoTheirNeighbours(t *testing.T) {
	data := []byte(`[1,2]`)
	got, err := jsonraw.Elements(nil, data, 2)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(got[0], "xyz"...)
	if string(data) != `[1,2]` {
		t.Errorf("appending to an element changed its source: %s", data)
	}
}

func TestMembers(t *testing.T) {
	tests := []struct {
		in   string
		want string
		err  error
	}{
		{`{}`, "", nil},
		{` { } `, "", nil},
		{`{"a":1}`, "a=1;", nil},
		{`{ "a" : 1 , "B":{"c":"}"}, "a":[] }`, `a=1;B={"c":"}"};a=[];`, nil},
		{`{"t\u006f":"x"}`, `to="x";`, nil},
		{`[]`, "", jsonraw.ErrKind},
		{`{"a":1,}`, "", jsonraw.ErrSyntax},
		{`{"a":1}}`, "", jsonraw.ErrSyntax},
		{`{"a"}`, "", jsonraw.ErrSyntax},
		{`{`, "", jsonraw.ErrSyntax},
		{``, "", jsonraw.ErrSyntax},
	}
	for _, tt := range tests {
		var b strings.Builder
		err := jsonraw.Members([]byte(tt.in), func(name, value []byte) bool {
			b.Write(name)
			b.WriteByte('=')
			b.Write(value)
			b.WriteByte(';')
			return true
		})
		if !errors.Is(err, tt.err) {
			t.Errorf("Members(%q): error %v, want %v", tt.in, err, tt.err)
		}
		if err == nil && b.String() != tt.want {
			t.Errorf("Members(%q) = %q, want %q", tt.in, b.String(), tt.want)
		}
	}
	calls := 0
	if err := jsonraw.Members([]byte(`{"a":1,"b":2}`), func(_, _ []byte) bool { calls++; return false }); err != nil || calls != 1 {
		t.Errorf("stopping early: %d calls, error %v", calls, err)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{`""`: "", `"abc"`: "abc", `"a\nb"`: "a\nb", `"\u00e9"`: "é"} {
		got, err := jsonraw.Text([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("Text(%s) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{``, `1`, `null`, `{}`} {
		if _, err := jsonraw.Text([]byte(in)); !errors.Is(err, jsonraw.ErrKind) {
			t.Errorf("Text(%s): %v, want ErrKind", in, err)
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, want := jsonraw.Valid(data), json.Valid(data)
		if got != want && !(want && bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > jsonraw.MaxDepth) {
			t.Fatalf("Valid = %v, encoding/json says %v", got, want)
		}
		elements, err := jsonraw.Elements(nil, data, 1<<20)
		var reference []json.RawMessage
		if err == nil {
			if refErr := json.Unmarshal(data, &reference); refErr != nil {
				t.Fatalf("Elements accepted what encoding/json refuses: %v", refErr)
			}
			if len(reference) != len(elements) {
				t.Fatalf("%d elements, want %d", len(elements), len(reference))
			}
			for i := range reference {
				if !bytes.Equal(reference[i], elements[i]) {
					t.Fatalf("element %d = %q, want %q", i, elements[i], reference[i])
				}
			}
		}
		members := map[string]string{}
		if !utf8.Valid(data) {
			return
		}
		if jsonraw.Members(data, func(name, value []byte) bool { members[string(name)] = string(value); return true }) == nil {
			var want map[string]json.RawMessage
			if refErr := json.Unmarshal(data, &want); refErr != nil {
				t.Fatalf("Members accepted what encoding/json refuses: %v", refErr)
			}
			for name, value := range want {
				if members[name] != string(value) {
					t.Fatalf("member %q = %q, want %q", name, members[name], value)
				}
			}
		}
	})
}

var candidate = []byte(`["ice-candidate",{"to":"kV4wqTz0pJcS2mXnAAAB","candidate":{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx raddr 10.0.0.17 rport 46154 generation 0 ufrag EEtu network-cost 999","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"EEtu"},"isScreenShare":false}]`)

func BenchmarkElements(b *testing.B) {
	var scratch [8]json.RawMessage
	b.SetBytes(int64(len(candidate)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jsonraw.Elements(scratch[:0], candidate, 8); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodingJSONValid(b *testing.B) {
	b.SetBytes(int64(len(candidate)))
	for b.Loop() {
		if !json.Valid(candidate) {
			b.Fatal("not valid")
		}
	}
}
