// Command impair puts a bad network before a UDP port, for tests in other languages than Go.
//
// It prints the address that it listens on as a line of JSON, {"listen":"127.0.0.1:41234"}, and takes a request in
// each line of its standard input: {"id":1,"up":{"loss":0.05,"delayMs":100},"down":{"rate":500000}}. A
// direction that is named is set anew, with zeros for what is left out; one that is not named stays. "rebind":true
// gives every client another port towards the server, as a NAT does that has lost its mappings. Each
// request is answered by a line with its id and the counters of both directions, or with an error.
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
	Clients int              `json:"clients"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` that clients send to")
	target := flag.String("target", "", "`address` of the server")
	seed := flag.Uint64("seed", 1, "of what happens at random")
	flag.Parse()
	if err := run(*listen, *target, *seed, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "impair:", err)
		os.Exit(1)
	}
}

func run(listen, target string, seed uint64, in io.Reader, out io.Writer) error {
	opts := impair.Options{Seed: seed}
	var err error
	if opts.Listen, err = netip.ParseAddrPort(listen); err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	if opts.Target, err = netip.ParseAddrPort(target); err != nil {
		return fmt.Errorf("-target: %w", err)
	}
	link, err := impair.New(opts)
	if err != nil {
		return err
	}
	defer link.Close()
	answers := json.NewEncoder(out)
	if err := answers.Encode(map[string]string{"listen": link.Addr().String()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := answers.Encode(serve(link, lines.Bytes())); err != nil {
			return err
		}
	}
	return lines.Err()
}

func serve(link *impair.Link, line []byte) reply {
	var r request
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return reply{ID: r.ID, Error: err.Error()}
	}
	for _, change := range []struct {
		to  *direction
		set func(impair.Settings) error
	}{{r.Up, link.SetUp}, {r.Down, link.SetDown}} {
		if change.to == nil {
			continue
		}
		if err := change.set(change.to.settings()); err != nil {
			return reply{ID: r.ID, Error: err.Error()}
		}
	}
	if r.Rebind {
		link.Rebind()
	}
	up, down := link.Counters()
	return reply{ID: r.ID, Up: &up, Down: &down, Clients: link.Clients()}
}
