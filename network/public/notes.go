package public

import (
	"fmt"
	"net/netip"
	"strings"
)

// Note is something about the addresses that the operator should know, in words for people who do not know what
// a NAT is.
type Note struct {
	Warning bool   // somebody may be left out
	Text    string // what is so
	Advice  string // what can be done about it; may be empty
}

// Notes says who is left out by the addresses that browsers are told, and what the found ones depend on.
func Notes(candidates []Candidate, findings []Finding) []Note {
	var notes []Note
	var unknown []string // why no address was found
	for _, f := range findings {
		if !f.Found.IsValid() {
			unknown = append(unknown, f.Problem)
			continue
		}
		notes = append(notes, Note{
			Text: fmt.Sprintf("The public address %s was found by asking %s.", f.Found, strings.Join(f.Servers, " and ")),
			Advice: fmt.Sprintf("Let UDP port %d in there (firewall, router, cloud) and on to this machine. An address that you know is better set in network.advertise.",
				f.Found.Port()),
		})
		if f.Problem != "" {
			notes = append(notes, Note{Warning: true, Text: "The public address is uncertain: " + f.Problem + ".",
				Advice: fmt.Sprintf("Have the router send a UDP port of its own on to port %d of this machine, and set network.advertise to ADDRESS:PORT of the router.", f.Local.Port())})
		}
	}

	var all reach
	for _, c := range candidates {
		if c.Protocol == UDP {
			all.add(c)
		}
	}
	text := ""
	switch {
	case len(all.outside4) > 0 || len(all.outside6) > 0 && len(all.inside4) == 0:
		return notes
	case len(all.outside6) > 0:
		text = "Outside this network only those who have IPv6 get media: of IPv4 browsers are told private addresses alone (" + strings.Join(all.inside4, ", ") + ")."
	case len(all.inside4)+len(all.inside6) > 0:
		text = "Nobody outside this network gets media, even if the page opens: browsers are told private addresses alone (" +
			strings.Join(append(all.inside4, all.inside6...), ", ") + ")."
	default:
		text = "Only browsers on this machine get media: they are told loopback addresses alone."
	}
	for _, reason := range unknown {
		text += " The public address is not known: " + reason + "."
	}
	advice := "If people join from elsewhere, set network.advertise to the public address of this machine, or of the router before it"
	if all.listening.IsValid() {
		advice += fmt.Sprintf(", and let UDP port %d in there and on to this machine", all.listening.Port())
	}
	return append(notes, Note{Warning: true, Text: text, Advice: advice + "."})
}

// reach sorts addresses by who can use them.
type reach struct {
	outside4, outside6, inside4, inside6 []string
	listening                            netip.AddrPort // one of the server's own
}

func (r *reach) add(c Candidate) {
	addr := c.Addr.Addr()
	if c.Origin == Listening && !r.listening.IsValid() {
		r.listening = c.Addr
	}
	list := &r.inside6
	switch {
	case IsOutside(addr) && addr.Is4():
		list = &r.outside4
	case IsOutside(addr):
		list = &r.outside6
	case addr.IsLoopback():
		return
	case addr.Is4():
		list = &r.inside4
	}
	*list = append(*list, addr.String())
}
