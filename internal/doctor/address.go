package doctor

import (
	"fmt"
	"strings"

	"skillsage/network/public"
)

const areaAddresses = "public addresses"

// checkAddresses says who can use what browsers are told.
func checkAddresses(opts *Options) []Check {
	var told []string
	for _, c := range opts.Candidates {
		if c.Protocol == public.UDP {
			told = append(told, c.Addr.String())
		}
	}
	if len(told) == 0 || opts.Machine == nil {
		return nil
	}
	tried := "looked at the addresses that browsers are told for media: " + strings.Join(told, ", ")
	var checks []Check
	if opts.Exposed {
		for _, note := range public.Notes(opts.Candidates, opts.Findings) {
			status := OK
			if note.Warning {
				status = Warn
			}
			checks = append(checks, Check{areaAddresses, status, tried, note.Text, note.Advice})
		}
	}
	if len(checks) == 0 {
		result := "browsers everywhere can use one of them, if firewalls let them"
		if !opts.Exposed {
			result = "the page is for this machine alone, and so may be the media"
		}
		checks = append(checks, Check{areaAddresses, OK, tried, result, ""})
	}
	return checks
}

// place is where an address is asked from, which decides what an answer means.
type place int

const (
	here    place = iota // the address is the machine's own: nothing stands between
	inside               // it is that of something before the machine, which may treat the machine unlike others
	outside              // from another machine
)

func (o *Options) placeOf(c public.Candidate) place {
	switch {
	case o.Machine == nil:
		return outside
	case c.Origin == public.Listening:
		return here
	}
	return inside
}

// fromInside is what an answer by an address outside does not prove.
const fromInside = "asked from this machine; whether a firewall lets others in shows only from another network"

// hairpin is what the lack of an answer there does not prove.
const hairpin = "That may be harmless: many routers and clouds do not let a machine reach itself by its public address, though others get through"

// otherSide says how to try from outside.
func otherSide(c public.Candidate) string {
	return fmt.Sprintf("Try it from another network: skillsage doctor --reach %s:%s. If that fails too, let %s port %d in (firewall, security group, router) and on to this machine",
		c.Protocol, c.Addr, strings.ToUpper(c.Protocol), c.Addr.Port())
}
