package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"skillsage/config"
	"skillsage/network/public"
)

// printReach says at which addresses browsers are told to reach the media, and who is left out by that.
func printReach(out io.Writer, cfg *config.Config, s *server) {
	candidates := s.addresses.Candidates()
	fmt.Fprintln(out, "browsers are told to reach the media at")
	for _, protocol := range []string{public.UDP, public.TCP, public.SSLTCP} {
		if addrs := told(candidates, protocol); len(addrs) > 0 {
			fmt.Fprintf(out, "  %-6s  %s\n", strings.ToUpper(protocol), strings.Join(addrs, ", "))
		}
	}
	if !reachable(cfg, s.front.Addr()) {
		return
	}
	for _, note := range public.Notes(candidates, s.addresses.Findings()) {
		kind := "note"
		if note.Warning {
			kind = "WARNING"
		}
		fmt.Fprintf(out, "%s: %s %s\n", kind, note.Text, note.Advice)
	}
}

// told lists the addresses of one protocol, with their origin where it is not the machine.
func told(candidates []public.Candidate, protocol string) []string {
	var addrs []string
	for _, c := range candidates {
		if c.Protocol != protocol {
			continue
		}
		text := c.Addr.String()
		switch c.Origin {
		case public.Advertised:
			text += " (network.advertise)"
		case public.Discovered:
			text += " (found by STUN)"
		}
		addrs = append(addrs, text)
	}
	return addrs
}

// reachable tells whether others than this machine may open the page, be it through a proxy.
func reachable(cfg *config.Config, page net.Addr) bool {
	return !page.(*net.TCPAddr).IP.IsLoopback() || len(cfg.Server.TrustedProxies) > 0
}
