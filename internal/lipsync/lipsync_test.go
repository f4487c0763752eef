package lipsync

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"skillsage/internal/testkit/clapper"
	"skillsage/internal/testkit/impair"
	"skillsage/network"
	"skillsage/sfu"
)

var (
	realTime    = flag.Duration("lipsync.real", time.Minute, "length of the run in real time")
	virtualTime = flag.Duration("lipsync.virtual", 0, "length of the run in virtual time; 0: 15 min, with the race detector 3")
)

// virtual is the length of the run in virtual time.
func virtual() time.Duration {
	switch {
	case *virtualTime > 0:
		return *virtualTime
	case raceEnabled:
		return 3 * time.Minute
	}
	return 15 * time.Minute
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	publisher, viewer = "publisher", "viewer"

	loss    = 0.05 // of the publisher's packets
	apart   = 40 * time.Millisecond
	atFirst = 2 * time.Second // until both streams are there

	// What is recorded counts from when it would have arrived with the least delay, which of the clock of the publisher nobody knows.
	mostDelay, leastDelay = 150 * time.Millisecond, -20 * time.Millisecond
)

// world is the network of a call.
type world struct {
	options  sfu.Options // of the engine, as far as the network goes
	settings func(id string) webrtc.SettingEngine
	line     int    // port of the publisher's line; 0: it reaches the server directly
	dir      string // for the recording
}

// result is what became of a run.
type result struct {
	file  string
	zero  time.Time // of the file
	clock clock     // the publisher's
	heard map[string]*heard
}

// run has the publisher clap into a call that is recorded.
func run(t *testing.T, w world, loop *clapper.Loop, length time.Duration, ppm float64) (r result) {
	c := newCall(t, w.options)
	defer c.close()
	tape := newTape(t, w.dir, c.engine)
	defer tape.close()
	p := c.join(publisher, "candidate", w.settings(publisher), w.line)
	// The picture is sent later than the voice, as encoders do it: only the reports tell.
	picture := p.publish(webrtc.MimeTypeVP8, 120*time.Millisecond, time.Second)
	voice := p.publish(webrtc.MimeTypeOpus, 10*time.Millisecond, 5*time.Second)
	v := c.join(viewer, "recruiter", w.settings(viewer), 0)
	tape.recorder.Join(room, publisher, "candidate")
	tape.recorder.Join(room, viewer, "recruiter")
	stranger := newStranger(t, publisher)
	defer stranger.close()
	stop, err := c.engine.Tap(room, stranger)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	v.calls(publisher)
	select {
	case <-p.up:
	case <-time.After(20 * time.Second):
		t.Fatal("no connection")
	}

	r.clock = clock{begin: time.Now(), ppm: ppm}
	var playing sync.WaitGroup
	for _, s := range []*stream{picture, voice} {
		playing.Go(func() {
			if err := s.play(loop, true, r.clock, length); err != nil {
				t.Error(err)
			}
		})
	}
	playing.Wait()
	time.Sleep(4 * time.Second) // for repairs
	r.file, r.zero = tape.finish()
	stop()
	stranger.close()
	r.heard = stranger.kinds
	return r
}

// check wants each clap, picture and voice together, when it was.
func (r result) check(t *testing.T, length time.Duration) {
	t.Helper()
	claps, err := clapper.Measure(t.Context(), r.file, clapper.Where{})
	if err != nil {
		t.Fatal(err)
	}
	var whole []clapper.Pair
	seen := make(map[int]bool)
	worst, earliest, latest := time.Duration(0), time.Hour, -time.Hour
	for _, pair := range claps.Pairs() {
		beep := r.zero.Add(pair.Beep)
		second := int((beep.Sub(r.clock.begin) + clapper.Period/2) / clapper.Period)
		seen[second] = true
		if r.damaged(pair) {
			continue
		}
		whole = append(whole, pair)
		late := beep.Sub(r.clock.at(time.Duration(second) * clapper.Period))
		earliest, latest = min(earliest, late), max(latest, late)
		if pair.Apart().Abs() > worst.Abs() {
			worst = pair.Apart()
		}
		if pair.Apart().Abs() > apart {
			t.Errorf("clap %d: picture and voice are %v apart", second, pair.Apart())
		}
		if late < leastDelay || late > mostDelay {
			t.Errorf("clap %d is in the file at %v, which is %v late", second, pair.Beep, late)
		}
	}
	for kind, h := range r.heard {
		t.Logf("%s: %d packets, %d are missing", kind, h.packets, h.missing)
	}
	want, missing := 0, 0
	for second := int(atFirst / clapper.Period); second < int(length/clapper.Period); second++ {
		want++
		if !seen[second] {
			missing++
		}
	}
	if missing > 0 || len(whole) < want*3/4 {
		t.Fatalf("%d of %d claps are missing, %d are whole", missing, want, len(whole))
	}
	t.Logf("%d claps: at the start %v apart, at the end %v, at most %v; %v to %v late",
		len(whole), whole[0].Apart(), whole[len(whole)-1].Apart(), worst, earliest, latest)
}

// damaged tells whether the beginning of a beep was lost on the line, or that of a flash: then the file is right, and the rest of it
// comes late.
func (r result) damaged(p clapper.Pair) bool {
	for kind, begins := range map[string]time.Duration{"audio": p.Beep, "video": p.Flash} {
		for _, hole := range r.heard[kind].holes {
			if hole.Sub(r.zero.Add(begins)).Abs() < 3*clapper.PacketTime {
				return true
			}
		}
	}
	return false
}

// TestRealTime claps over a line that loses packets, into the server's own port.
func TestRealTime(t *testing.T) {
	t.Parallel() // it waits, while the other one computes
	clapper.Need(t)
	loop, err := clapper.New(t.Context(), clapper.Options{})
	if err != nil {
		t.Fatal(err)
	}
	port, err := network.Open(network.Options{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	link, err := impair.New(impair.Options{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Target: port.Addresses()[0], Seed: 7,
		Up: impair.Settings{Loss: loss, Delay: 20 * time.Millisecond, Jitter: 15 * time.Millisecond}, Down: impair.Settings{Delay: 20 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	r := run(t, world{
		options: sfu.Options{UDPMux: port.Mux(), Route: port.Route, IncludeLoopback: true},
		settings: func(string) webrtc.SettingEngine {
			var s webrtc.SettingEngine
			s.SetIncludeLoopbackCandidate(true)
			s.SetInterfaceFilter(func(name string) bool { return name == "lo" })
			s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
			s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
			return s
		},
		line: int(link.Addr().Port()),
		dir:  t.TempDir(),
	}, loop, *realTime, 0)
	if up, _ := link.Counters(); up.Lost < up.Packets/50 {
		t.Errorf("the line lost %d of %d packets", up.Lost, up.Packets)
	}
	r.check(t, *realTime)
}

// TestVirtualTime claps for long, as fast as the machine can play it.
func TestVirtualTime(t *testing.T) {
	t.Parallel()
	clapper.Need(t)
	loop, err := clapper.New(t.Context(), clapper.Options{Width: 160, Height: 120, Noise: 3})
	if err != nil {
		t.Fatal(err)
	}
	var r result
	dir, began := t.TempDir(), time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(began)) // a bubble begins in the year 2000; the relay knows no time before its own beginning
		router, err := vnet.NewRouter(&vnet.RouterConfig{
			CIDR: "10.0.0.0/24", MinDelay: 20 * time.Millisecond, LoggerFactory: quiet{},
		})
		if err != nil {
			t.Fatal(err)
		}
		nets := make(map[string]*vnet.Net)
		for id, address := range map[string]string{"server": "10.0.0.1", publisher: "10.0.0.2", viewer: "10.0.0.3"} {
			if nets[id], err = vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{address}}); err == nil {
				err = router.AddNet(nets[id])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		dice := rand.New(rand.NewPCG(3, 5))
		router.AddChunkFilter(func(chunk vnet.Chunk) bool {
			return chunk.SourceAddr().String()[:8] != "10.0.0.2" || dice.Float64() >= loss
		})
		if err := router.Start(); err != nil {
			t.Fatal(err)
		}
		defer router.Stop()
		conn, err := nets["server"].ListenPacket("udp4", "10.0.0.1:5000")
		if err != nil {
			t.Fatal(err)
		}
		mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Net: nets["server"]})
		defer mux.Close()
		r = run(t, world{
			options: sfu.Options{UDPMux: mux},
			settings: func(id string) webrtc.SettingEngine {
				var s webrtc.SettingEngine
				s.SetNet(nets[id])
				s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
				s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
				return s
			},
			dir: dir,
		}, loop, virtual(), 80)
	})
	r.check(t, virtual())
}
