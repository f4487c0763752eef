package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"

	"skillsage/config"
	"skillsage/web"
)

// printLinks says where the server listens and how to try it: the two links of a fresh interview. It writes once, so that
// no line of the log comes between.
func printLinks(to io.Writer, cfg *config.Config, s *server) {
	out := new(bytes.Buffer)
	defer func() { _, _ = out.WriteTo(to) }() // nobody may be there to read it
	tcp := s.front.Addr().(*net.TCPAddr)
	base := pageURL(tcp, s.certs != nil, s.certificateName())

	fmt.Fprintf(out, "skillsage %s listens on TCP %s\n", version(), tcp)
	if s.media != nil {
		var addrs []string
		for _, a := range s.media.Addresses() {
			addrs = append(addrs, a.Addr().String())
		}
		at := fmt.Sprintf("on UDP %d at %s", s.media.Number(), strings.Join(addrs, ", "))
		if s.engine != nil {
			over := ""
			if s.tcp != nil {
				over = fmt.Sprintf(", and on TCP %d", s.tcp.Number())
			}
			fmt.Fprintf(out, "media %s%s\n", at, over)
		}
		if s.turn != nil {
			fmt.Fprintf(out, "TURN %s, and on TCP %d\n", at, tcp.Port)
		}
	}
	if cfg.Relay.Mode == "p2p" {
		fmt.Fprintln(out, "media goes from browser to browser (relay.mode is p2p)")
	}
	if s.recordings.on {
		when := map[string]string{"on-request": "when a recruiter asks for it", "always": "always"}[cfg.Recording.Mode]
		fmt.Fprintf(out, "interviews are recorded %s, in %s\n", when, absolute(cfg.Recording.Dir))
	}
	if s.admin != nil {
		fmt.Fprintf(out, "rooms, metrics and profiles at http://%s/\n", s.adminAddr)
	}
	if _, built := web.Assets(); !built {
		fmt.Fprintf(out, "the room page has not been built (make web); signaling is at %ssocket.io/\n", base)
		return
	}
	interview := "demo-" + strings.ToLower(rand.Text()[:10])
	fmt.Fprintf(out, "\nopen these two for an interview:\n  recruiter  %s?interview=%s&role=recruiter\n  candidate  %[1]s?interview=%s&role=candidate\n\n",
		base, interview)
	if strings.HasPrefix(base, "http://localhost") {
		fmt.Fprintln(out, "(from another machine browsers give camera and microphone only to https pages)")
	}
}

// certificateName is a name that the server's certificate has, empty if none is known.
func (s *server) certificateName() string {
	if s.certs == nil {
		return ""
	}
	return s.certs.Name()
}

// pageURL is the address of a page that is served at tcp. name is of its certificate, empty if none is known.
func pageURL(tcp *net.TCPAddr, secure bool, name string) string {
	u := url.URL{Scheme: "http", Host: name, Path: "/"}
	usual := 80
	if secure {
		u.Scheme, usual = "https", 443
	}
	switch {
	case name != "":
	case len(tcp.IP) == 0, tcp.IP.IsUnspecified(), tcp.IP.IsLoopback():
		u.Host = "localhost"
	default:
		u.Host = tcp.IP.String()
	}
	if tcp.Port != usual || strings.Contains(u.Host, ":") {
		u.Host = net.JoinHostPort(u.Host, strconv.Itoa(tcp.Port))
	}
	return u.String()
}
