package doctor

import "fmt"

const (
	areaBuffers   = "socket buffers"
	areaFiles     = "open files"
	areaClock     = "clock"
	areaConntrack = "connection tracking"
)

// checkMachine looks at what the machine grants. Where a system does not tell, it says so.
func checkMachine(m *Machine) []Check {
	var checks []Check
	if m.Asked > 0 {
		checks = append(checks, checkBuffers(m.Granted, m.Asked))
	}
	checks = append(checks, checkFiles(m.Files, m.Process), checkClock())
	if m.Asked > 0 {
		checks = append(checks, checkConntrack())
	}
	return checks
}

// checkBuffers compares what the media port was granted with what it asked for.
func checkBuffers(granted *Buffers, asked int) Check {
	check := Check{Area: areaBuffers, Tried: "looked at what the kernel granted the media port"}
	if granted == nil {
		check.Tried = "looked at what the kernel grants a socket at most (net.core.rmem_max, net.core.wmem_max)"
		receive, errR := readNumber("/proc/sys/net/core/rmem_max")
		send, errW := readNumber("/proc/sys/net/core/wmem_max")
		if errR != nil || errW != nil {
			check.Status, check.Result = Skip, "this system does not tell"
			return check
		}
		granted = &Buffers{receive, send}
	}
	if granted.Receive >= asked && granted.Send >= asked {
		check.Status, check.Result = OK, fmt.Sprintf("all of the %s that the server asks for", size(asked))
		return check
	}
	check.Status = Warn
	check.Result = fmt.Sprintf("%s to receive and %s to send, where the server asks for %s: bursts of many calls may lose packets, which shows as a picture that stands still",
		size(min(granted.Receive, asked)), size(min(granted.Send, asked)), size(asked))
	check.Advice = fmt.Sprintf("sysctl -w net.core.rmem_max=%d net.core.wmem_max=%[1]d (and in /etc/sysctl.d, to last), then start the server again", asked)
	return check
}

// fewFiles is too little for any server: each socket of a page takes one.
const fewFiles = 1024

// checkFiles compares the limit of open files with what the server's own limits allow.
func checkFiles(wanted int, own bool) Check {
	check := Check{Area: areaFiles, Tried: "looked at the limit of open files of the server"}
	if !own {
		check.Tried = "looked at the limit of open files of this command (a service may have another one)"
	}
	limit, err := fileLimit()
	switch {
	case err != nil:
		check.Status, check.Result = Skip, "this system does not tell"
	case limit >= wanted:
		check.Status, check.Result = OK, fmt.Sprintf("%d, enough for all %d connections that the configuration allows", limit, wanted)
	case limit <= fewFiles:
		check.Status, check.Result = Warn, fmt.Sprintf("%d: about as many people can connect, then nobody else", limit)
		check.Advice = "Raise it: LimitNOFILE= in the systemd unit, --ulimit nofile= of docker, ulimit -n in a shell"
	default:
		check.Status, check.Result = OK, fmt.Sprintf("%d connections are possible, fewer than the %d that the configuration allows", limit, wanted)
		check.Advice = "If that many people connect, raise it: LimitNOFILE= in the systemd unit, --ulimit nofile= of docker"
	}
	return check
}

func checkClock() Check {
	check := Check{Area: areaClock, Tried: "asked the kernel whether something keeps the clock right"}
	synchronised, err := clockSynchronised()
	switch {
	case err != nil:
		check.Status, check.Result = Skip, "this system does not tell"
	case synchronised:
		check.Status, check.Result = OK, "it is synchronised"
	default:
		check.Status, check.Result = Warn, "nothing synchronises it, as far as the kernel knows: certificates and TURN credentials are refused once it is wrong by some minutes"
		check.Advice = "Turn time synchronisation on (timedatectl set-ntp true, or chrony). In a container or a virtual machine the host may do it unseen: then compare date -u with another clock"
	}
	return check
}

// checkConntrack looks at the table in which a firewall of this machine keeps connections.
func checkConntrack() Check {
	check := Check{Area: areaConntrack, Tried: "looked at how full the firewall's table of connections is (nf_conntrack)"}
	count, errCount := readNumber("/proc/sys/net/netfilter/nf_conntrack_count")
	most, errMax := readNumber("/proc/sys/net/netfilter/nf_conntrack_max")
	switch {
	case errCount != nil || errMax != nil || most == 0:
		check.Status, check.Result = Skip, "there is none here, or it can't be read"
	case count >= most-most/20:
		check.Status, check.Result = Fail, fmt.Sprintf("%d of %d entries: it is full, and new connections are dropped", count, most)
	case count >= most-most/5:
		check.Status, check.Result = Warn, fmt.Sprintf("%d of %d entries: when it is full, new connections are dropped", count, most)
	default:
		check.Status, check.Result = OK, fmt.Sprintf("%d of %d entries", count, most)
	}
	if check.Status == Fail || check.Status == Warn {
		check.Advice = fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d, or take the media port out of tracking (notrack)", 4*most)
	}
	return check
}

// size is a number of bytes for people.
func size(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.3g KiB", float64(n)/(1<<10))
}
