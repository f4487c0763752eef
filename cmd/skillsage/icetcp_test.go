package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"skillsage/config"
)

// Media uses the TCP connections that the server is given, unless the configuration or the mode speaks against it.
func TestICETCP(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want bool
	}{
		{"by default", nil, true},
		{"off", []string{"--network.ice_tcp", "off"}, false},
		{"browser to browser", []string{"--relay.mode", "p2p"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			cfg, err := config.Load(append(tt.args, "--server.address", "127.0.0.1", "--server.port", "0", "--admin.listen", "", "--turn.enabled", "off"), nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			s, err := start(&cfg.Config, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			printLinks(&out, &cfg.Config, s)
			if got := strings.Contains(out.String(), "media on UDP") && strings.Contains(out.String(), ", and on TCP "); got != tt.want || got != (s.tcp != nil) {
				t.Errorf("used: %v\n%s", s.tcp != nil, &out)
			}
			if tt.want {
				conns, err := s.tcp.GetAllConns("ufrag", false, net.IPv4(127, 0, 0, 1))
				if err != nil || len(conns) != 1 {
					t.Errorf("%d candidates on loopback, %v", len(conns), err)
				}
				if conns, err = s.tcp.GetAllConns("ufrag", false, net.IPv4(192, 0, 2, 1)); err != nil || len(conns) != 0 {
					t.Errorf("%d candidates of an address that carries no media, %v", len(conns), err)
				}
			}
			s.close()
		})
	}
}
