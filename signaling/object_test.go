package signaling

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestScanObject(t *testing.T) {
	names := []string{"to", "signal", "isScreenShare"}
	tests := []struct {
		name, in string
		want     []string // "" = absent
		err      string
	}{
		{"plain", `{"to":"a","signal":{"type":"offer","sdp":"v=0"},"isScreenShare":true}`, []string{`"a"`, `{"type":"offer","sdp":"v=0"}`, `true`}, ""},
		{"absent members", `{"to":"a"}`, []string{`"a"`, "", ""}, ""},
		{"empty", `{}`, []string{"", "", ""}, ""},
		{"white space", " {\n\t\"to\" : \"a\" ,\r\n \"signal\" : [ 1 , 2 ] } ", []string{`"a"`, `[ 1 , 2 ]`, ""}, ""},
		{"case variants are other names", `{"TO":"b","To":"c","to":"a"}`, []string{`"a"`, "", ""}, ""},
		{"only a case variant", `{"TO":"b"}`, []string{"", "", ""}, ""},
		{"escaped name is the same name", `{"\u0074o":"a"}`, []string{`"a"`, "", ""}, ""},
		{"duplicate", `{"to":"a","to":"b"}`, nil, `"to" twice`},
		{"duplicate by escape", `{"to":"a","t\u006f":"b"}`, nil, `"to" twice`},
		{"duplicate of an unwanted name", `{"x":1,"x":2,"to":"a"}`, []string{`"a"`, "", ""}, ""},
		{"wanted names below the first level", `{"x":{"to":"b"},"to":"a"}`, []string{`"a"`, "", ""}, ""},
		{"brackets and quotes in strings", `{"signal":{"sdp":"}]\"{["},"to":"\\"}`, []string{`"\\"`, `{"sdp":"}]\"{["}`, ""}, ""},
		{"null", `{"to":null}`, []string{`null`, "", ""}, ""},
		{"number", `{"to":-1.5e+3}`, []string{`-1.5e+3`, "", ""}, ""},
		{"proto", `{"__proto__":{"to":"b"},"constructor":1,"to":"a"}`, []string{`"a"`, "", ""}, ""},
		{"not an object: null", `null`, nil, "must be an object"},
		{"not an object: array", `[]`, nil, "must be an object"},
		{"not an object: string", `"to"`, nil, "must be an object"},
		{"nothing", ``, nil, "must be an object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			values := make([][]byte, len(names))
			values[0] = []byte("stale")
			err := scanObject([]byte(tt.in), names, values)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.want {
				if string(values[i]) != want || (want == "") != (values[i] == nil) {
					t.Errorf("%s = %q, want %q", names[i], values[i], want)
				}
			}
		})
	}
}

func TestScanObjectMalformed(t *testing.T) {
	values := make([][]byte, 1)
	for _, in := range []string{`{`, `{"`, `{"to`, `{"to"`, `{"to":`, `{"to":"a`, `{"to":"a"`, `{"to":{`, `{"to":[}`, `{,}`, `{"to":,}`, `{"to" "a"}`, `{"\u00":1}`, `{to:1}`} {
		if err := scanObject([]byte(in), []string{"to"}, values); err == nil {
			t.Errorf("%s: no error", in)
		}
	}
}

// FuzzScanObject compares with encoding/json: for every valid object the scanner must see the same members and the
// same bytes, and on every other input it must come back.
func FuzzScanObject(f *testing.F) {
	for _, s := range []string{
		`{"to":"a","signal":{"type":"offer","sdp":"v=0\r\n"},"isScreenShare":true}`,
		`{"to":"a","to":"b"}`, `{"\u0074o":1}`, `{"to":[{"a":"]}"}]}`, `{"a":"\\","to":"\"" }`, `[1]`, `{`, `{"to":tru}`, `{"x":"\ud800","to":0}`,
	} {
		f.Add([]byte(s))
	}
	names := []string{"to", "signal"}
	f.Fuzz(func(t *testing.T, in []byte) {
		values := make([][]byte, len(names))
		err := scanObject(in, names, values)
		if !json.Valid(in) {
			return
		}
		trimmed := bytes.TrimLeft(in, " \t\r\n")
		if trimmed[0] != '{' {
			if err != errNotObject {
				t.Fatalf("%q: %v, want %v", in, err, errNotObject)
			}
			return
		}
		seen := map[string][]json.RawMessage{}
		dec := json.NewDecoder(bytes.NewReader(in))
		if _, e := dec.Token(); e != nil {
			t.Fatal(e)
		}
		for dec.More() {
			key, e := dec.Token()
			if e != nil {
				t.Fatal(e)
			}
			var v json.RawMessage
			if e := dec.Decode(&v); e != nil {
				t.Fatal(e)
			}
			seen[key.(string)] = append(seen[key.(string)], v)
		}
		for i, name := range names {
			switch vs := seen[name]; {
			case len(vs) > 1:
				if err == nil {
					t.Fatalf("%q: %s twice went unnoticed", in, name)
				}
				return
			case len(vs) == 1 && err == nil && !bytes.Equal(vs[0], values[i]):
				t.Fatalf("%q: %s = %q, want %q", in, name, values[i], vs[0])
			case len(vs) == 0 && values[i] != nil:
				t.Fatalf("%q: %s = %q, want it absent", in, name, values[i])
			}
		}
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
	})
}
