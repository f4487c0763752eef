package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"skillsage/config"
	"skillsage/web"
)

// printLinks says where the server listens and how to try it: the two links of a fresh interview.
func printLinks(out io.Writer, cfg *config.Config, s *server) {
	tcp := s.listener.Addr().(*net.TCPAddr)
	host := "localhost"
	if !tcp.IP.IsUnspecified() && !tcp.IP.IsLoopback() {
		host = tcp.IP.String()
	}
	base := "http://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port)) + "/"

	fmt.Fprintf(out, "skillsage %s listens on TCP %s\n", version(), tcp)
	if s.media != nil {
		var addrs []string
		for _, a := range s.media.Addresses() {
			addrs = append(addrs, a.Addr().String())
		}
		ports := fmt.Sprintf("UDP %d", s.media.Number())
		if s.tcp != nil {
			ports += fmt.Sprintf(" and TCP %d", s.tcp.Number())
		}
		fmt.Fprintf(out, "media on %s at %s\n", ports, strings.Join(addrs, ", "))
	}
	if cfg.Relay.Mode == "p2p" {
		fmt.Fprintln(out, "media goes from browser to browser (relay.mode is p2p)")
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
	if host == "localhost" {
		fmt.Fprintln(out, "(from another machine browsers give camera and microphone only to https pages)")
	}
}
