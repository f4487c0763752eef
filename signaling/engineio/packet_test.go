package engineio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPacketFrames(t *testing.T) {
	for _, size := range []int{0, 1, 124, 125, 126, 65534, 65535, 65536, 70000} {
		text := strings.Repeat("x", size)
		p := NewTextBinary([][]byte{[]byte(text), {1, 2}}, []byte(text[:size/2]), []byte(text[size/2:]))
		first, body, rest := nextFrame(p.wire)
		if first != frameText || string(body) != "4"+text {
			t.Fatalf("%d: text frame %x, %d bytes", size, first, len(body))
		}
		first, body, rest = nextFrame(rest)
		if first != frameBinary || string(body) != text {
			t.Fatalf("%d: first attachment %x, %d bytes", size, first, len(body))
		}
		if first, body, rest = nextFrame(rest); first != frameBinary || !bytes.Equal(body, []byte{1, 2}) || len(rest) != 0 {
			t.Fatalf("%d: second attachment %x %x, rest %x", size, first, body, rest)
		}
		want := "4" + text + "\x1eb" + base64.StdEncoding.EncodeToString([]byte(text)) + "\x1ebAQI="
		if got := string(p.appendPayload(nil)); got != want {
			t.Fatalf("%d: payload %.100q, want %.100q", size, got, want)
		}
		if cap(p.wire) < len(p.wire) || p.Len() != len(p.wire) {
			t.Fatalf("%d: Len %d", size, p.Len())
		}
	}
}

func TestPacketIsOneAllocation(t *testing.T) {
	part := []byte(`["ice-candidate",{}]`)
	var p Packet
	if n := testing.AllocsPerRun(100, func() { p = NewText(part, part) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	_ = p
}

// sink is a Receiver that only looks.
type sink struct {
	t *testing.T
	n int
}

func (s *sink) Message(data []byte, binary bool) {
	s.n++
	if !binary && (!utf8.Valid(data) || bytes.IndexByte(data, separator) >= 0) {
		s.t.Errorf("text %q reached the application", data)
	}
}

func (s *sink) Closed(Reason) {}

// FuzzDecodePayload acts on a polling payload as a POST does, and checks what a message that came through
// would look like to a polling peer.
func FuzzDecodePayload(f *testing.F) {
	for _, seed := range []string{
		"", "4", "4hello", "4a\x1e4b", "4hello\x1ebAQIDBA==", "b", "b=", "bAQ", "3", "1", "2", "2probe", "5", "6", "0{}",
		"abc", "\x1e", "4\x1e", "\x1e4", "4\xff", "4\xe2\x82", "4€", "bAQID\nBA==", "3\x1e3\x1e3", "4\x00", "b" + strings.Repeat("A", 300),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		srv := NewServer(Options{}, nil)
		seen := &sink{t: t}
		s := &Session{srv: srv, id: "fuzzing-session", receiver: seen}
		count := 0
		for rest, more := payload, true; more; {
			var packet []byte
			packet, rest, more = splitPayload(rest)
			count++
			err := s.receiveText(packet)
			if err != nil && !errors.Is(err, errGoodbye) && !errors.Is(err, errNoPacket) && !errors.Is(err, errUnknownType) &&
				!errors.Is(err, errClientPing) && !errors.Is(err, errNotUTF8) && !errors.Is(err, errBase64) {
				t.Fatalf("%q: %v", packet, err)
			}
			if err == nil && packet[0] == typeMessage {
				// What goes out reads as exactly one packet again.
				out := NewText(packet[1:]).appendPayload(nil)
				if one, _, more := splitPayload(out); more || !bytes.Equal(one, packet) {
					t.Fatalf("%q goes out as %q", packet, out)
				}
			}
		}
		if seen.n > count {
			t.Fatalf("%d messages of %d packets", seen.n, count)
		}
	})
}

// FuzzQueryValue checks the short query parser against its purpose: no panic, and agreement on plain pairs.
func FuzzQueryValue(f *testing.F) {
	f.Add("EIO=4&transport=polling&sid=a")
	f.Add("&&=&sid")
	f.Add("sid=%zz&sid=1")
	f.Fuzz(func(t *testing.T, query string) {
		if v := queryValue(query, "sid"); v != "" && !strings.Contains(query, "sid=") {
			t.Fatalf("%q: sid %q", query, v)
		}
	})
}
