package socketio

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParsePacket(t *testing.T) {
	tests := []struct {
		in   string
		want packet
		err  error
	}{
		{`0`, packet{kind: packetConnect}, nil},
		{`0{"token":1}`, packet{kind: packetConnect, payload: []byte(`{"token":1}`)}, nil},
		{`0/random`, packet{kind: packetConnect, namespace: []byte("/random")}, nil},
		{`0/admin,{}`, packet{kind: packetConnect, namespace: []byte("/admin"), payload: []byte("{}")}, nil},
		{`0/,{}`, packet{kind: packetConnect, payload: []byte("{}")}, nil},
		{`1`, packet{kind: packetDisconnect}, nil},
		{`1/admin,`, packet{kind: packetDisconnect, namespace: []byte("/admin")}, nil},
		{`2["a"]`, packet{kind: packetEvent, payload: []byte(`["a"]`)}, nil},
		{`20["a"]`, packet{kind: packetEvent, ackDigits: []byte("0"), payload: []byte(`["a"]`)}, nil},
		{`2/admin,456["a"]`, packet{kind: packetEvent, namespace: []byte("/admin"), ackDigits: []byte("456"), payload: []byte(`["a"]`)}, nil},
		{`29007199254740991["a"]`, packet{kind: packetEvent, ackDigits: []byte("9007199254740991"), payload: []byte(`["a"]`)}, nil},
		{`2`, packet{kind: packetEvent}, nil},
		{`31[]`, packet{kind: packetAck, ackDigits: []byte("1"), payload: []byte(`[]`)}, nil},
		{`51-["a"]`, packet{kind: packetBinaryEvent, attachments: 1, payload: []byte(`["a"]`)}, nil},
		{`510-/x,7["a"]`, packet{kind: packetBinaryEvent, attachments: 10, namespace: []byte("/x"), ackDigits: []byte("7"), payload: []byte(`["a"]`)}, nil},
		{`61-3[]`, packet{kind: packetBinaryAck, attachments: 1, ackDigits: []byte("3"), payload: []byte(`[]`)}, nil},

		{``, packet{}, errEmptyPacket},
		{`7`, packet{}, errPacketType},
		{`a`, packet{}, errPacketType},
		{"\xff", packet{}, errPacketType},
		{`5["a"]`, packet{}, errAttachments},
		{`5-["a"]`, packet{}, errAttachments},
		{`50-["a"]`, packet{}, errAttachments},
		{`511-["a"]`, packet{}, errAttachments},
		{`5-1-["a"]`, packet{}, errAttachments},
		{`51.5-["a"]`, packet{}, errAttachments},
		{`51e0-["a"]`, packet{}, errAttachments},
		{`501-["a"]`, packet{}, errAttachments},
		{`599999999999-["a"]`, packet{}, errAttachments},
		{`5`, packet{}, errAttachments},
		{`51`, packet{}, errAttachments},
		{`29007199254740992["a"]`, packet{}, errAckID},
		{`2` + strings.Repeat("1", 1_000_000), packet{}, errAckID},
		{`0/` + strings.Repeat("n", 255), packet{}, errNamespace},
		{`0/` + strings.Repeat("n", 300) + `,{}`, packet{}, errNamespace},
		{"0/a\x1eb", packet{}, errNamespace},
		{"0/a\nb,", packet{}, errNamespace},
	}
	for _, tt := range tests {
		got, err := parsePacket([]byte(tt.in), 10)
		if !errors.Is(err, tt.err) {
			t.Errorf("parsePacket(%.40q): error %v, want %v", tt.in, err, tt.err)
			continue
		}
		if err != nil {
			continue
		}
		if got.kind != tt.want.kind || got.attachments != tt.want.attachments || string(got.namespace) != string(tt.want.namespace) ||
			string(got.ackDigits) != string(tt.want.ackDigits) || (got.ackDigits == nil) != (tt.want.ackDigits == nil) || string(got.payload) != string(tt.want.payload) {
			t.Errorf("parsePacket(%.40q) = %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func TestParseEvent(t *testing.T) {
	tests := []struct {
		in   string
		name string
		args []string
		err  error
	}{
		{`["a"]`, "a", nil, nil},
		{` [ "a" , {"b":1} , null ] `, "a", []string{`{"b":1}`, `null`}, nil},
		{`[12,"x"]`, "12", []string{`"x"`}, nil},
		{`["\u0061b"]`, "ab", nil, nil},
		{`[""]`, "", nil, nil},
		{`["n",9007199254740993,"\ud800"]`, "n", []string{`9007199254740993`, `"\ud800"`}, nil},
		{`[]`, "", nil, errEventName},
		{`[null]`, "", nil, errEventName},
		{`[{"a":1}]`, "", nil, errEventName},
		{`[true]`, "", nil, errEventName},
		{`["connect"]`, "", nil, errReservedEvent},
		{`["connect_error"]`, "", nil, errReservedEvent},
		{`["disconnect"]`, "", nil, errReservedEvent},
		{`["disconnecting"]`, "", nil, errReservedEvent},
		{`["newListener"]`, "", nil, errReservedEvent},
		{`["removeListener"]`, "", nil, errReservedEvent},
		{`["\u0063onnect"]`, "", nil, errReservedEvent},
		{`{}`, "", nil, errPayload},
		{`"a"`, "", nil, errPayload},
		{`abc["a"]`, "", nil, errPayload},
		{`["a"`, "", nil, errPayload},
		{`["a"]]`, "", nil, errPayload},
		{"[\"a\",\"\x1e41\"]", "", nil, errPayload},
		{`["a"` + strings.Repeat(",1", 100_000) + `]`, "", nil, errPayload},
		{strings.Repeat("[", 100_000), "", nil, errPayload},
	}
	for _, tt := range tests {
		name, args, err := parseEvent([]byte(tt.in), nil)
		if !errors.Is(err, tt.err) {
			t.Errorf("parseEvent(%.40q): error %v, want %v", tt.in, err, tt.err)
			continue
		}
		if err != nil {
			continue
		}
		if string(name) != tt.name || len(args) != len(tt.args) {
			t.Errorf("parseEvent(%.40q) = %q %q", tt.in, name, args)
			continue
		}
		for i := range args {
			if string(args[i]) != tt.args[i] {
				t.Errorf("parseEvent(%.40q): argument %d = %s, want %s", tt.in, i, args[i], tt.args[i])
			}
		}
	}
}

func TestCheckPlaceholders(t *testing.T) {
	tests := []struct {
		in  string
		n   int
		err error
	}{
		{`["a",{"_placeholder":true,"num":0}]`, 1, nil},
		{`["a",{"b":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0}]`, 2, nil},
		{`["a",{"_placeholder":false,"num":"x"}]`, 1, nil},
		{`["a",{"_placeholder":true,"num":1}]`, 1, errPlaceholder},
		{`["a",{"_placeholder":true,"num":-1}]`, 1, errPlaceholder},
		{`["a",{"_placeholder":true,"num":0.5}]`, 1, errPlaceholder},
		{`["a",{"_placeholder":true,"num":"splice"}]`, 1, errPlaceholder},
		{`["a",{"_placeholder":true}]`, 1, errPlaceholder},
		{`["a",{"x":{"_placehold\u0065r":true,"num":7}}]`, 1, errPlaceholder},
		{`["a",{"_placeholder":true,"num":99999999999999999999}]`, 1, errPlaceholder},
	}
	for _, tt := range tests {
		if err := checkPlaceholders([]byte(tt.in), tt.n); !errors.Is(err, tt.err) {
			t.Errorf("checkPlaceholders(%s) = %v, want %v", tt.in, err, tt.err)
		}
	}
}

func TestParseCredentials(t *testing.T) {
	tests := []struct {
		in              string
		recovery        bool
		auth, pid, from string
		err             error
	}{
		{``, true, `{}`, "", "", nil},
		{`{"token":"x"}`, true, `{"token":"x"}`, "", "", nil},
		{`{"pid":"p","offset":"o","token":"x","n":{"pid":1}}`, true, `{"token":"x","n":{"pid":1}}`, "p", "o", nil},
		{`{"pid":"p"}`, true, `{}`, "p", "", nil},
		{`{"pid":7,"offset":[]}`, true, `{}`, "", "", nil},
		{`{"pid":"p","token":"x"}`, false, `{"pid":"p","token":"x"}`, "", "", nil},
		{`[]`, true, "", "", "", errPayload},
		{`"x"`, true, "", "", "", errPayload},
		{`null`, true, "", "", "", errPayload},
		{`{"a":}`, true, "", "", "", errPayload},
		{`{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, true, "", "", "", errDepth},
	}
	for _, tt := range tests {
		var payload []byte
		if tt.in != "" {
			payload = []byte(tt.in)
		}
		c, err := parseCredentials(payload, tt.recovery)
		if !errors.Is(err, tt.err) {
			t.Errorf("parseCredentials(%.40q): error %v, want %v", tt.in, err, tt.err)
			continue
		}
		if err == nil && (string(c.auth) != tt.auth || c.sessionID != tt.pid || c.offset != tt.from) {
			t.Errorf("parseCredentials(%.40q) = %s %q %q", tt.in, c.auth, c.sessionID, c.offset)
		}
	}
}

func FuzzParsePacket(f *testing.F) {
	for _, s := range []string{`0{"a":1}`, `2/admin,456["a",{"b":[1]}]`, `51-["a",{"_placeholder":true,"num":0}]`, `31[]`, `0/x`, `1`, `2007["a"]`, `510-/x,7["a"]`, "2[\"\u2028\",\"\\ud800\"]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := string(data)
		p, err := parsePacket(data, 10)
		if err != nil {
			return
		}
		if p.attachments < 0 || p.attachments > 10 || len(p.namespace) > maxNamespaceLength || len(p.ackDigits) > maxAckDigits {
			t.Fatalf("out of bounds: %+v", p)
		}
		if (p.kind == packetBinaryEvent || p.kind == packetBinaryAck) != (p.attachments > 0) {
			t.Fatalf("%d attachments for kind %d", p.attachments, p.kind)
		}
		if p.payload != nil && (p.kind == packetEvent || p.kind == packetBinaryEvent) {
			name, args, err := parseEvent(p.payload, nil)
			if err == nil {
				var reference []json.RawMessage
				if err := json.Unmarshal(p.payload, &reference); err != nil || len(reference) != len(args)+1 {
					t.Fatalf("event %q with %d arguments; encoding/json: %v, %d", name, len(args), err, len(reference))
				}
				// What is forwarded must parse to the same thing again.
				parts := [][]byte{}
				for i, arg := range args {
					if i > 0 {
						parts = append(parts, []byte{','})
					}
					parts = append(parts, arg)
				}
				body := append(EncodeRaw("x", parts...).body, ']')
				if !json.Valid(body) {
					t.Fatalf("forwarded as %q", body)
				}
			}
			checkPlaceholders(p.payload, p.attachments)
		}
		if p.kind == packetConnect {
			if c, err := parseCredentials(p.payload, true); err == nil && !json.Valid(c.auth) {
				t.Fatalf("auth %q", c.auth)
			}
		}
		if string(data) != before {
			t.Fatal("the input was changed")
		}
	})
}
