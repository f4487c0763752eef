package turn

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v4"
)

func TestURLs(t *testing.T) {
	at := func(texts ...string) []netip.AddrPort {
		var all []netip.AddrPort
		for _, text := range texts {
			all = append(all, netip.MustParseAddrPort(text))
		}
		return all
	}
	for name, c := range map[string]struct {
		reach Reach
		want  []string
	}{
		"nowhere": {Reach{}, nil},
		"addresses": {Reach{UDP: at("10.0.0.5:5000", "[fd00::5]:5000"), TCP: at("10.0.0.5:5001")}, []string{
			"turn:10.0.0.5:5000?transport=udp", "turn:[fd00::5]:5000?transport=udp", "turn:10.0.0.5:5001?transport=tcp",
		}},
		"public ones alone": {Reach{UDP: at("10.0.0.5:5000", "203.0.113.9:443", "172.17.0.1:5000", "[2001:db8::1]:443"), TLS: 443}, []string{
			"turn:203.0.113.9:443?transport=udp", "turn:[2001:db8::1]:443?transport=udp",
		}},
		"a name": {Reach{Host: "turn.example", UDP: at("203.0.113.9:443", "[2001:db8::1]:443"), TCP: at("203.0.113.9:443"), TLS: 443}, []string{
			"turn:turn.example:443?transport=udp", "turn:turn.example:443?transport=tcp", "turns:turn.example:443?transport=tcp",
		}},
		"a name without TLS": {Reach{Host: "turn.example", UDP: at("10.0.0.5:5000")}, []string{"turn:turn.example:5000?transport=udp"}},
		"an address as host": {Reach{Host: "2001:db8::9", UDP: at("10.0.0.5:5000"), TLS: 443}, []string{"turn:[2001:db8::9]:5000?transport=udp"}},
		"the certificate's name": {Reach{TCP: at("203.0.113.9:443"), TLS: 443, Certificate: "calls.example"}, []string{
			"turn:203.0.113.9:443?transport=tcp", "turns:calls.example:443?transport=tcp",
		}},
		"an address as host, and the certificate's name": {Reach{Host: "203.0.113.9", TCP: at("10.0.0.5:443"), TLS: 443, Certificate: "calls.example"}, []string{
			"turn:203.0.113.9:443?transport=tcp", "turns:calls.example:443?transport=tcp",
		}},
		"many": {Reach{UDP: at("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1")}, []string{
			"turn:10.0.0.1:1?transport=udp", "turn:10.0.0.2:1?transport=udp", "turn:10.0.0.3:1?transport=udp", "turn:10.0.0.4:1?transport=udp",
		}},
	} {
		got := c.reach.URLs()
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
		for _, url := range got {
			if _, err := stun.ParseURI(url); err != nil {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
}
