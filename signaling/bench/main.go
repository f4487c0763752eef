// Command bench measures what signaling costs: bin/skillsage in p2p mode beside a
// plain Node socket.io server with the same forwarding, under the same load, in
// the same run. The load comes from this process; what counts is the CPU time
// (user and system) and the memory of the server's process as the kernel tells it.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

type plan struct {
	events, sockets, idle, pairs, window, rounds int
}

func main() {
	var p plan
	flag.IntVar(&p.events, "events", 100_000, "events forwarded per measurement")
	flag.IntVar(&p.sockets, "sockets", 1000, "sockets opened and joined")
	flag.IntVar(&p.idle, "idle", 2000, "idle sockets for the memory")
	flag.IntVar(&p.pairs, "pairs", 25, "rooms of two that forward at the same time")
	flag.IntVar(&p.window, "window", 4, "events under way in one room")
	flag.IntVar(&p.rounds, "rounds", 1, "rounds, the servers taking turns")
	skillsage := flag.String("skillsage", "bin/skillsage", "server under test")
	only := flag.String("only", "", "measure this server alone: node or skillsage")
	node := flag.String("node", "signaling/bench/node/server.js", "Node server (its npm packages installed)")
	flag.Parse()
	if err := run(p, *only, *skillsage, *node); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// result is what one server cost in one round.
type result struct {
	candidates, status, joins time.Duration // CPU
	memory                    float64       // bytes per idle socket
}

func run(p plan, only, skillsage, node string) error {
	kinds := []struct {
		name string
		make func() (*server, error)
	}{
		{"node", func() (*server, error) { return startServer("node", node) }},
		{"skillsage", func() (*server, error) { return startServer(skillsage) }},
	}
	fmt.Printf("%-10s %12s %12s %12s %14s\n", "", "candidates", "share status", "joins", "idle socket")
	fmt.Printf("%-10s %12s %12s %12s %14s\n", "", "s/100,000", "s/100,000", "ms/1,000", "KB")
	best := make([]result, len(kinds))
	for round := range p.rounds {
		for i, kind := range kinds {
			if only != "" && only != kind.name {
				continue
			}
			r, err := measure(p, kind.make)
			if err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			r.print(kind.name)
			if round == 0 {
				best[i] = r
			} else {
				best[i] = best[i].min(r)
			}
		}
	}
	if only != "" {
		return nil
	}
	n, s := best[0], best[1]
	fmt.Printf("%-10s %12.2f %12.2f %12.2f %14.2f   (best of %d)\n", "ratio", ratio(s.candidates, n.candidates), ratio(s.status, n.status), ratio(s.joins, n.joins), s.memory/n.memory, p.rounds)
	return nil
}

func ratio(a, b time.Duration) float64 { return a.Seconds() / b.Seconds() }

func (r result) print(name string) {
	fmt.Printf("%-10s %12.2f %12.2f %12.0f %14.1f\n", name, r.candidates.Seconds(), r.status.Seconds(), r.joins.Seconds()*1000, r.memory/1000)
}

func (r result) min(o result) result {
	return result{min(r.candidates, o.candidates), min(r.status, o.status), min(r.joins, o.joins), min(r.memory, o.memory)}
}

// measure runs everything against one server: each kind of load on a fresh process.
func measure(p plan, start func() (*server, error)) (r result, err error) {
	// A process that has served a little before it is measured: Node compiles what is hot.
	err = with(start, func(s *server) error {
		if err := forward(s, p, p.events/5, candidateEvent); err != nil {
			return err
		}
		before := s.cpu()
		if err := forward(s, p, p.events, candidateEvent); err != nil {
			return err
		}
		r.candidates = per(s.cpu()-before, p.events, 100_000)
		before = s.cpu()
		if err := forward(s, p, p.events, statusEvent); err != nil {
			return err
		}
		r.status = per(s.cpu()-before, p.events, 100_000)
		return nil
	})
	if err != nil {
		return r, err
	}
	err = with(start, func(s *server) error {
		if err := openAndJoin(s, p.sockets/4, "warm"); err != nil {
			return err
		}
		before := s.cpu()
		if err := openAndJoin(s, p.sockets, "measured"); err != nil {
			return err
		}
		r.joins = per(s.cpu()-before, p.sockets, 1000)
		return nil
	})
	if err != nil {
		return r, err
	}
	err = with(start, func(s *server) error {
		warm, err := open(s, 100)
		if err != nil {
			return err
		}
		defer closeAll(warm)
		time.Sleep(time.Second)
		before := s.rss()
		idle, err := open(s, p.idle)
		if err != nil {
			return err
		}
		defer closeAll(idle)
		time.Sleep(3 * time.Second)
		r.memory = float64(s.rss()-before) / float64(p.idle)
		return nil
	})
	return r, err
}

func per(d time.Duration, n, unit int) time.Duration {
	return time.Duration(float64(d) * float64(unit) / float64(n))
}

func with(start func() (*server, error), f func(*server) error) error {
	s, err := start()
	if err != nil {
		return err
	}
	defer s.stop()
	return f(s)
}
