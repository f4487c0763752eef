package public

import (
	"strings"
	"testing"
)

func TestNotes(t *testing.T) {
	listening := func(addrs ...string) (all []Candidate) {
		for _, addr := range addrs {
			all = append(all, Candidate{UDP, at(addr), Listening})
		}
		return all
	}
	inside, ula, loopback := "10.0.0.5:5000", "[fd00::5]:5000", "127.0.0.1:5000"
	outside4, outside6 := "203.0.113.5:5000", "[2001:db8::5]:5000"
	refused := Finding{Local: at(inside), Problem: "the NAT is a riddle"}
	for _, c := range []struct {
		name       string
		candidates []Candidate
		findings   []Finding
		want       []string // parts of each note; a warning begins with "!"
	}{
		{"all is well", listening(outside4, outside6, inside, loopback), nil, nil},
		{"IPv4 alone", listening(outside4), nil, nil},
		{"a network of IPv6 alone", listening(outside6, ula, loopback), nil, nil},
		{"named", []Candidate{{UDP, at("203.0.113.5:443"), Advertised}, {UDP, at(inside), Listening}}, nil, nil},
		{"loopback", listening(loopback, "[::1]:5000"), nil, []string{"!Only browsers on this machine"}},
		{"private", listening(inside, ula, loopback), nil, []string{"!Nobody outside this network|(10.0.0.5, fd00::5)|UDP port 5000"}},
		{"private, though named", []Candidate{{UDP, at("192.168.1.5:443"), Advertised}}, nil, []string{"!Nobody outside this network|(192.168.1.5)"}},
		{"TCP does not help", append(listening(inside), Candidate{TCP, at("203.0.113.5:443"), Advertised}), nil, []string{"!Nobody outside"}},
		{"IPv6 alone outside", listening(outside6, inside), nil, []string{"!only those who have IPv6|(10.0.0.5)"}},
		{"refused", listening(inside), []Finding{refused}, []string{"!Nobody outside|The public address is not known: the NAT is a riddle."}},
		{"found", listening(outside4, inside), []Finding{{Local: at(inside), Found: at(outside4), Servers: []string{"a:1", "b:2"}}},
			[]string{"203.0.113.5:5000 was found by asking a:1 and b:2|UDP port 5000"}},
		{"found, but", listening(outside4, inside), []Finding{{Local: at(inside), Found: at("203.0.113.5:7"), Servers: []string{"a:1"}, Problem: "some doubt"}},
			[]string{"203.0.113.5:7 was found by asking a:1|UDP port 7", "!some doubt|port 5000"}},
	} {
		got := Notes(c.candidates, c.findings)
		if len(got) != len(c.want) {
			t.Errorf("%s: %+v", c.name, got)
			continue
		}
		for i, note := range got {
			parts, warning := strings.CutPrefix(c.want[i], "!")
			for part := range strings.SplitSeq(parts, "|") {
				if note.Warning != warning || !strings.Contains(note.Text+" "+note.Advice, part) {
					t.Errorf("%s: %+v, want %q", c.name, note, c.want[i])
				}
			}
		}
	}
}
