// Command bench measures what forwarding media costs: bin/skillsage in relay mode
// beside a floor program that does only the system calls and the encryption that any
// relay must do, in the same run, at the same fixed rates. The server under test
// and the load are separate processes with a processor each. docs/benchmarks.md
// says how to read the figures.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pion/srtp/v3"
)

type options struct {
	binary string
	self   string // this program, which is the floor program too
	window time.Duration
	warm   time.Duration
	rounds int
	only   string
	pinned bool
}

// standardRows are loads of interviews: 625 kbit/s and 1.5 Mbit/s for each viewer, and more.
var standardRows = []row{
	{rooms: 20, viewers: 1, rate: 3125},
	{rooms: 10, viewers: 5, rate: 7812},
	{rooms: 10, viewers: 5, rate: 20000},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "floor" {
		exit(runFloor(os.Stdin, os.Stdout))
	}
	o := options{pinned: true}
	flag.StringVar(&o.binary, "skillsage", "bin/skillsage", "server under test")
	flag.DurationVar(&o.window, "window", 10*time.Second, "length of each measurement")
	flag.DurationVar(&o.warm, "warm", 4*time.Second, "running in before it")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds, the servers taking turns")
	flag.StringVar(&o.only, "only", "", "measure this alone: floor, relay or recording")
	one := flag.Int("row", 0, "measure this row alone: 1, 2 or 3")
	rate := flag.Float64("rate", 0, "another rate for that row, forwarded packets per second")
	flag.Parse()
	exit(pinSelf())
	self, err := os.Executable()
	exit(err)
	o.self = self
	rows := standardRows
	if *one > 0 && *one <= len(rows) {
		rows = rows[*one-1 : *one]
		if *rate > 0 {
			rows[0].rate = *rate
		}
	}
	if o.only != "recording" {
		exit(run(o, rows))
	}
	if o.only == "" && *one == 0 || o.only == "recording" {
		exit(runRecorded(o))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// load is what sends to a server and watches what comes back.
type load interface {
	begin(context.Context) error
	setMeasured(bool)
	viewers() []*tally
	sent() int // measured packets that viewers should have got
	stop()
	close()
}

// result is one measurement.
type result struct {
	perPacket time.Duration // CPU of the server
	rate      float64       // forwarded packets per second
	sent      int           // packets that should have arrived
	lost      int
	again     int
	p50, p99  uint32  // µs
	other     float64 // share of the server's processor that somebody else used
	loadBusy  float64 // share of its processor that the load used
	relay     relayFigures
}

// relayFigures are what only a relay has.
type relayFigures struct {
	cipher           string
	legs, uploads    int
	setup            time.Duration // CPU per connection
	goroutines       float64       // more than before the first room
	resident         float64       // bytes, likewise
	heap             float64       // bytes in use, likewise
	perRead, perSend float64       // packets per system call
	dropped          float64
}

func run(o options, rows []row) error {
	printHead(o)
	for _, r := range rows {
		var floors, relays []result
		for range o.rounds {
			if o.only != "relay" {
				res, err := measureFloor(o, r, srtp.ProtectionProfileAeadAes256Gcm)
				if err != nil {
					return fmt.Errorf("floor, %v: %w", r, err)
				}
				res.print(r, "floor")
				floors = append(floors, res)
			}
			if o.only != "floor" {
				res, err := measureRelay(o, r, "")
				if err != nil {
					return fmt.Errorf("relay, %v: %w", r, err)
				}
				res.print(r, "skillsage")
				relays = append(relays, res)
			}
		}
		summarize(r, floors, relays)
	}
	return nil
}

func measureFloor(o options, r row, profile srtp.ProtectionProfile) (result, error) {
	p, err := launch(o.cpu(), o.self, "floor")
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	l, err := connectFloor(p, r, profile)
	defer l.close()
	if err != nil {
		return result{}, err
	}
	return o.measure(p, r, l)
}

func measureRelay(o options, r row, recordings string) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := startServer(o.cpu(), o.binary, recordings)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	before, err := p.metrics()
	if err != nil {
		return result{}, err
	}
	begin := p.cpu()
	l, err := connect(ctx, p.url, r)
	defer l.close()
	if err != nil {
		return result{}, err
	}
	setup := (p.cpu() - begin) / time.Duration(l.legs())
	res, err := o.measure(p, r, l)
	if err != nil {
		return res, err
	}
	after, err := p.metrics()
	if err != nil {
		return res, err
	}
	more := func(name string) float64 { return after[name] - before[name] }
	res.relay = relayFigures{
		cipher: l.all[0].candidate.cipher(), legs: l.legs(), uploads: l.uploads(), setup: setup,
		goroutines: more("go_goroutines"), resident: more("process_resident_memory_bytes"), heap: more("go_memstats_heap_inuse_bytes"),
		perRead: after["skillsage_udp_packets_received_total"] / after["skillsage_udp_reads_total"],
		perSend: after["skillsage_udp_packets_sent_total"] / after["skillsage_udp_writes_total"],
		dropped: after["skillsage_udp_packets_dropped_total"],
	}
	return res, nil
}

func (o options) cpu() int {
	if o.pinned {
		return serverCPU
	}
	return -1
}

// measure loads a server, takes its times over the window and counts what arrived.
func (o options) measure(p *process, r row, l load) (res result, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, t := range l.viewers() {
		t.expect(int(r.perRoom()*o.window.Seconds()*1.5) + 100)
	}
	if err := l.begin(ctx); err != nil {
		l.stop()
		return res, err
	}
	time.Sleep(o.warm)
	server, host, own, begin := p.cpu(), busy(serverCPU), ownCPU(), time.Now()
	l.setMeasured(true)
	time.Sleep(o.window)
	l.setMeasured(false)
	server, host, own = p.cpu()-server, busy(serverCPU)-host, ownCPU()-own
	took := time.Since(begin)
	time.Sleep(500 * time.Millisecond) // for what is repaired
	l.stop()
	res.sent = l.sent()
	res.perPacket = server / time.Duration(max(1, res.sent))
	res.rate = float64(res.sent) / took.Seconds()
	res.other = max(0, (host-server).Seconds()/took.Seconds())
	res.loadBusy = own.Seconds() / took.Seconds()
	res.lost = res.sent
	for _, t := range l.viewers() {
		count, again := t.counts()
		res.lost -= count
		res.again += again
	}
	p50p99 := percentiles(l.viewers(), 0.5, 0.99)
	res.p50, res.p99 = p50p99[0], p50p99[1]
	return res, nil
}

// marks say what makes a figure doubtful.
func (res result) marks(r row) string {
	var m []string
	if res.rate < 0.99*r.rate {
		m = append(m, fmt.Sprintf("THE LOAD ONLY MANAGED %.0f/s", res.rate))
	}
	if res.other > 0.15 {
		m = append(m, fmt.Sprintf("OTHERS USED %.0f%% OF THE CPU", 100*res.other))
	}
	if res.relay.cipher != "" && !gcm(res.relay.cipher) {
		m = append(m, "NOT GCM: "+res.relay.cipher)
	}
	if len(m) == 0 {
		return ""
	}
	return fmt.Sprint("  ", m)
}

func gcm(profile string) bool {
	return profile == "SRTP_AEAD_AES_256_GCM" || profile == "SRTP_AEAD_AES_128_GCM"
}

func printHead(o options) {
	fmt.Printf("CPU of the server per forwarded packet of %d bytes; windows of %v after %v\n", packetSize, o.window, o.warm)
	fmt.Printf("%-26s %-10s %7s %7s %7s %6s %6s %6s %6s\n", "", "", "µs", "p50 µs", "p99 µs", "lost", "twice", "other", "load")
}

func (res result) print(r row, name string) {
	fmt.Printf("%-26s %-10s %7.2f %7d %7d %6d %6d %5.0f%% %5.0f%%%s\n", r, name, us(res.perPacket), res.p50, res.p99, res.lost, res.again,
		100*res.other, 100*res.loadBusy, res.marks(r))
	if f := res.relay; f.legs > 0 {
		legs, rooms := float64(f.legs), float64(r.rooms)
		fmt.Printf("%-26s   %s, %d legs, %d uploads; a connection's set-up %.1f ms; %.1f goroutines a leg, %.0f a room; memory %.0f kB a leg, %.2f MB a room (heap %.0f kB, %.2f MB); %.1f packets a read, %.1f a send; %.0f dropped\n",
			"", f.cipher, f.legs, f.uploads, us(f.setup)/1000, f.goroutines/legs, f.goroutines/rooms,
			f.resident/legs/1e3, f.resident/rooms/1e6, f.heap/legs/1e3, f.heap/rooms/1e6, f.perRead, f.perSend, f.dropped)
	}
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// summarize compares the rounds: each pair, and the medians of those that nothing
// makes doubtful, or of all if there are none.
func summarize(r row, floors, relays []result) {
	if len(floors) == 0 || len(relays) == 0 {
		return
	}
	var pairs []string
	for i := range floors {
		pairs = append(pairs, fmt.Sprintf("%.2f", us(relays[i].perPacket)/us(floors[i].perPacket)))
	}
	relay, clean := median(r, relays)
	floor, cleanFloor := median(r, floors)
	note := ""
	if !clean || !cleanFloor {
		note = "  [EVERY ROUND OF ONE IS MARKED]"
	}
	fmt.Printf("%-26s %-10s %7.2f  (medians %.2f over %.2f; by round %s)%s\n", r, "ratio", relay/floor, relay, floor, strings.Join(pairs, ", "), note)
}

// median is that of the CPU per packet (µs) over the unmarked rounds; of all, and false, without any.
func median(r row, results []result) (value float64, clean bool) {
	var all, unmarked []float64
	for _, res := range results {
		all = append(all, us(res.perPacket))
		if res.marks(r) == "" {
			unmarked = append(unmarked, us(res.perPacket))
		}
	}
	if len(unmarked) > 0 {
		all, clean = unmarked, true
	}
	return middle(all), clean
}

// middle is the median.
func middle(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
