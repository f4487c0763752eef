// Command impair is a bad network for tests in other languages than Go: with -target before a UDP port, with -taps
// between two TAP devices that it makes (which needs CAP_NET_ADMIN; they may be moved to other namespaces).
//
// It prints the address that it listens on as a line of JSON, {"listen":"127.0.0.1:41234"}, or the devices,
// {"taps":["near","far"]}, and takes a request in each line of its standard input:
// {"id":1,"up":{"loss":0.05,"delayMs":100},"down":{"rate":500000}}. `up` is towards the server, or from the first
// device to the second. A direction that is named is set anew, with zeros for what is left out; one that is not
// named stays. "rebind":true gives every client of -target another port towards the server, as a NAT does that has lost
// its mappings. Each request is answered by a line with its id and the counters of both directions, or with an error.
// It ends with its standard input.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"skillsage/internal/testkit/impair"
)

// maxLine bounds a request, in bytes.
const maxLine = 4096

// direction is impair.Settings in JSON.
type direction struct {
	Loss       float64 `json:"loss"`     // 0 to 1
	DelayMS    float64 `json:"delayMs"`  // milliseconds
	JitterMS   float64 `json:"jitterMs"` // milliseconds
	Rate       int     `json:"rate"`     // bits per second
	QueueMS    float64 `json:"queueMs"`  // milliseconds
	QueueBytes int     `json:"queueBytes"`
}

func (d direction) settings() impair.Settings {
	return impair.Settings{
		Loss: d.Loss, Delay: milliseconds(d.DelayMS), Jitter: milliseconds(d.JitterMS),
		Rate: d.Rate, QueueTime: milliseconds(d.QueueMS), QueueBytes: d.QueueBytes,
	}
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

type request struct {
	ID     int        `json:"id"`
	Up     *direction `json:"up"`
	Down   *direction `json:"down"`
	Rebind bool       `json:"rebind"`
}

type reply struct {
	ID      int              `json:"id"`
	Error   string           `json:"error,omitempty"`
	Up      *impair.Counters `json:"up,omitempty"`
	Down    *impair.Counters `json:"down,omitempty"`
	Clients int              `json:"clients"` // of a Link
}

// network is an impair.Link or an impair.Wire.
type network interface {
	SetUp(impair.Settings) error
	SetDown(impair.Settings) error
	Counters() (up, down impair.Counters)
	Close() error
}

// place is where the network is.
type place struct {
	listen, target string
	taps           string // two names; then nothing else counts
	seed           uint64
}

func main() {
	var p place
	flag.StringVar(&p.listen, "listen", "127.0.0.1:0", "`address` that clients send to")
	flag.StringVar(&p.target, "target", "", "`address` of the server")
	flag.StringVar(&p.taps, "taps", "", "`names` of the two TAP devices to make and join, instead of -target")
	flag.Uint64Var(&p.seed, "seed", 1, "of what happens at random")
	flag.Parse()
	if err := run(p, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "impair:", err)
		os.Exit(1)
	}
}

func run(p place, in io.Reader, out io.Writer) error {
	open := openLink
	if p.taps != "" {
		open = openWire
	}
	n, hello, err := open(p)
	if err != nil {
		return err
	}
	defer n.Close()
	answers := json.NewEncoder(out)
	if err := answers.Encode(hello); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := answers.Encode(serve(n, lines.Bytes())); err != nil {
			return err
		}
	}
	return lines.Err()
}

// openLink returns the network before a UDP port and the first line to print.
func openLink(p place) (network, any, error) {
	opts := impair.Options{Seed: p.seed}
	var err error
	if opts.Listen, err = netip.ParseAddrPort(p.listen); err != nil {
		return nil, nil, fmt.Errorf("-listen: %w", err)
	}
	if opts.Target, err = netip.ParseAddrPort(p.target); err != nil {
		return nil, nil, fmt.Errorf("-target: %w", err)
	}
	link, err := impair.New(opts)
	if err != nil {
		return nil, nil, err
	}
	return link, map[string]string{"listen": link.Addr().String()}, nil
}

// openWire returns the network between two TAP devices and the first line to print.
func openWire(p place) (network, any, error) {
	first, second, ok := strings.Cut(p.taps, ",")
	if !ok || first == "" || second == "" {
		return nil, nil, fmt.Errorf("-taps: %q is not two names with a comma between them", p.taps)
	}
	one, err := impair.OpenTAP(first)
	if err != nil {
		return nil, nil, err
	}
	other, err := impair.OpenTAP(second)
	if err != nil {
		_ = one.Close()
		return nil, nil, err
	}
	wire, err := impair.NewWire(one, other, impair.WireOptions{Seed: p.seed})
	if err != nil {
		_, _ = one.Close(), other.Close()
		return nil, nil, err
	}
	return wire, map[string][]string{"taps": {first, second}}, nil
}

func serve(n network, line []byte) reply {
	var r request
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return reply{ID: r.ID, Error: err.Error()}
	}
	for _, change := range []struct {
		to  *direction
		set func(impair.Settings) error
	}{{r.Up, n.SetUp}, {r.Down, n.SetDown}} {
		if change.to == nil {
			continue
		}
		if err := change.set(change.to.settings()); err != nil {
			return reply{ID: r.ID, Error: err.Error()}
		}
	}
	link, isLink := n.(*impair.Link)
	if r.Rebind {
		if !isLink {
			return reply{ID: r.ID, Error: "rebind: only with -target"}
		}
		link.Rebind()
	}
	up, down := n.Counters()
	answer := reply{ID: r.ID, Up: &up, Down: &down}
	if isLink {
		answer.Clients = link.Clients()
	}
	return answer
}
