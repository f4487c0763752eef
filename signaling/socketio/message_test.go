package socketio

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"skillsage/signaling/engineio"
)

type rawText string

func (r rawText) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func TestEncode(t *testing.T) {
	tests := []struct {
		event string
		args  []any
		want  string
	}{
		{"a", nil, `["a"]`},
		{`say "<hi>"`, []any{"<&>", nil, 1, true, 1.5}, `["say \"<hi>\"","<&>",null,1,true,1.5]`},
		{"é\n", []any{map[string]string{"sdp": "v=0\r\n"}}, `["é\n",{"sdp":"v=0\r\n"}]`},
		{"raw", []any{json.RawMessage(`{"a": 9007199254740993, "b":"\ud800"}`)}, `["raw",{"a": 9007199254740993, "b":"\ud800"}]`},
		{"bin", []any{1, []byte("x"), []byte(nil)}, `["bin",1,{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`},
		{"utf8", []any{"a\xffb"}, `["utf8","a\ufffdb"]`},
	}
	for _, tt := range tests {
		m, err := Encode(tt.event, tt.args...)
		if err != nil {
			t.Errorf("Encode(%q): %v", tt.event, err)
			continue
		}
		if got := string(m.body) + "]"; got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("Encode(%q) = %s, want %s", tt.event, got, tt.want)
		}
	}
	for name, arg := range map[string]any{
		"channel":         make(chan int),
		"NaN":             math.NaN(),
		"broken raw":      json.RawMessage(`{`),
		"empty raw":       json.RawMessage(``),
		"raw separator":   json.RawMessage("\"\x1e\""),
		"raw not UTF-8":   json.RawMessage("\"\xff\""),
		"marshaler UTF-8": rawText("\"\xff\""),
	} {
		if _, err := Encode("a", arg); err == nil {
			t.Errorf("%s was encoded", name)
		}
	}
	if _, err := Encode("disconnect"); !errors.Is(err, ErrReservedEvent) {
		t.Errorf("reserved event: %v", err)
	}
}

func TestEncodeRaw(t *testing.T) {
	for want, m := range map[string]*Message{
		`["a"]`:             EncodeRaw("a"),
		`["b"]`:             EncodeRaw("b", nil, []byte{}),
		`["c",{"x":1},[2]]`: EncodeRaw("c", []byte(`{"x":`), []byte(`1}`), []byte(`,[2]`)),
		`["\"d",1]`:         EncodeRaw(`"d`, []byte(`1`)),
	} {
		if got := string(m.body) + "]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a reserved event was encoded")
		}
	}()
	EncodeRaw("connect")
}

func TestPacketText(t *testing.T) {
	binary, err := Encode("b", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		m             *Message
		namespace, id string
		offset        string
		want          engineio.Packet
	}{
		{EncodeRaw("a", []byte("1")), "/", "", "", engineio.NewText([]byte(`2["a",1]`))},
		{EncodeRaw("a", []byte("1")), "/x", "", "", engineio.NewText([]byte(`2/x,["a",1]`))},
		{EncodeRaw("a", []byte("1")), "/", "12", "", engineio.NewText([]byte(`212["a",1]`))},
		{EncodeRaw("a"), "/x", "", "1z", engineio.NewText([]byte(`2/x,["a","1z"]`))},
		{&Message{body: []byte(`[1`), ackID: "7"}, "/", "", "", engineio.NewText([]byte(`37[1]`))},
		{binary, "/", "", "1", engineio.NewTextBinary([][]byte{[]byte("x")}, []byte(`51-["b",{"_placeholder":true,"num":0},"1"]`))},
		{&Message{body: []byte(`[{}`), ackID: "7", attachments: [][]byte{[]byte("x")}}, "/x", "", "", engineio.NewTextBinary([][]byte{[]byte("x")}, []byte(`61-/x,7[{}]`))},
	}
	for _, tt := range tests {
		if got := tt.m.packet(tt.namespace, tt.id, []byte(tt.offset)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v, want %+v", got, tt.want)
		}
	}
}

// candidate is what a browser sends for one ICE candidate.
var candidate = []byte(`2["ice-candidate",{"to":"kV4wqTz0pJcS2mXnAAAB","candidate":{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx raddr 10.0.0.17 rport 46154 generation 0 ufrag EEtu network-cost 999","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"EEtu"},"isScreenShare":false}]`)

func BenchmarkDecodeEvent(b *testing.B) {
	var scratch [8]json.RawMessage
	b.SetBytes(int64(len(candidate)))
	b.ReportAllocs()
	for b.Loop() {
		p, err := parsePacket(candidate, 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := parseEvent(p.payload, scratch[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkForwardEvent decodes an event and makes the packet that goes to another socket.
func BenchmarkForwardEvent(b *testing.B) {
	for _, recovery := range []bool{false, true} {
		name, offset := "plain", []byte(nil)
		if recovery {
			name, offset = "offset", []byte("1z")
		}
		b.Run(name, func(b *testing.B) {
			var scratch [8]json.RawMessage
			b.SetBytes(int64(len(candidate)))
			b.ReportAllocs()
			for b.Loop() {
				p, _ := parsePacket(candidate, 0)
				_, args, err := parseEvent(p.payload, scratch[:0])
				if err != nil {
					b.Fatal(err)
				}
				EncodeRaw("ice-candidate", args[0]).packet("/", "", offset)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	type description struct {
		Type string `json:"type"`
		SDP  string `json:"sdp"`
	}
	arg := map[string]any{"from": "kV4wqTz0pJcS2mXnAAAB", "type": "offer", "signal": description{"offer", strings.Repeat("a=candidate:1 1 udp 2122 10.0.0.1 5000 typ host\r\n", 100)}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode("signal", arg); err != nil {
			b.Fatal(err)
		}
	}
}
