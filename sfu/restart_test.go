package sfu

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/impair"
)

// lined brings a call up in which both have lines of their own: the recruiter, whom the server answers, so that it is the
// controlled ICE agent, and the candidate, whom it offers, so that it is the controlling one.
func lined(t *testing.T, opts Options) (c *call, r, k *client) {
	t.Helper()
	c = newCall(t, opts)
	r, k = c.joinThrough(c.line(), "R", "recruiter"), c.joinThrough(c.line(), "C", "candidate")
	r.offer("C")
	together(r, k)
	return c, r, k
}

// darken makes a client's line pass nothing, or everything again.
func (p *client) darken(on bool) {
	p.call.t.Helper()
	s := impair.Settings{}
	if on {
		s.Loss = 1
	}
	for _, set := range []func(impair.Settings) error{p.link.SetUp, p.link.SetDown} {
		if err := set(s); err != nil {
			p.call.t.Fatal(err)
		}
	}
}

// together waits until both get the other's media.
func together(r, k *client) {
	r.call.t.Helper()
	r.gets(k.id)
	k.gets(r.id)
}

func (c *call) restarts() uint64 { return c.engine.Stats().ICERestarts }

// kept asserts that the two legs of a call are the ones that it began with, and take the short way.
func (c *call) kept() {
	c.t.Helper()
	if s := c.engine.Stats(); s.Rehomed != 0 || s.LegsOpened != 2 || s.Legs != 2 {
		c.t.Errorf("legs were made anew: %+v", s)
	}
	if direct, stack := c.directs(); direct != 2 || stack != 0 {
		c.t.Errorf("%d legs take the short way, %d do not", direct, stack)
	}
}

func other(p *client) string { return map[string]string{"R": "C", "C": "R"}[p.id] }

// TestAddressChanges: a NAT gives a client other ports in the middle of a call. Whichever role the server has in ICE, it
// follows: by a restart where the client's signaling works, and else by the client's own checks.
func TestAddressChanges(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"R", "C"} {
		for _, signaling := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, signaling %v", who, signaling), func(t *testing.T) {
				t.Parallel()
				c, r, k := lined(t, Options{})
				p := map[string]*client{"R": r, "C": k}[who]
				p.cutOff.Store(!signaling)
				if n := p.link.Rebind(); n == 0 {
					t.Fatal("nothing has moved")
				}
				start := time.Now()
				together(r, k)
				t.Logf("both get each other %v after the change, %d restarts", time.Since(start).Round(time.Millisecond), c.restarts())
				if !signaling && c.restarts() != 0 {
					t.Error("restarted ICE although nobody could answer")
				}
				before := c.port.Stats().Direct
				together(r, k)
				if n := c.port.Stats().Direct - before; n < 20 {
					t.Errorf("%d packets took the short way after the change", n)
				}
				c.kept()
			})
		}
	}
}

// TestRestartNominates: after a restart the server, where it is the controlling agent, nominates a pair. A browser that is
// controlled may send nothing on a new pair before that, or only a second later.
func TestRestartNominates(t *testing.T) {
	t.Parallel()
	c, r, k := lined(t, Options{})
	ice := k.connection(clientKey{"R", false}, false).SCTP().Transport().ICETransport()
	before, err := ice.GetSelectedCandidatePair()
	if err != nil || before == nil {
		t.Fatal(before, err)
	}
	if k.link.Rebind() == 0 {
		t.Fatal("nothing has moved")
	}
	c.eventually("ICE is restarted", func() bool { return c.restarts() > 0 })
	together(r, k)
	c.eventually("the server nominates a pair", func() bool {
		after, err := ice.GetSelectedCandidatePair()
		return err == nil && after != nil && *after.Local != *before.Local
	})
	c.kept()
}

// TestDarkLink: a line that passes nothing for eight seconds. Where the signaling is dark too, nothing is given up that
// the client could come back by; where it works, the server restarts ICE, and again.
func TestDarkLink(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"R", "C"} {
		for _, signaling := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, signaling %v", who, signaling), func(t *testing.T) {
				t.Parallel()
				c, r, k := lined(t, Options{})
				p := map[string]*client{"R": r, "C": k}[who]
				p.cutOff.Store(!signaling)
				p.darken(true)
				time.Sleep(8 * time.Second)
				p.darken(false)
				p.cutOff.Store(false)
				start := time.Now()
				together(r, k)
				n := c.restarts()
				t.Logf("both get each other %v after the line is back, %d restarts", time.Since(start).Round(time.Millisecond), n)
				if signaling && n < 1 || !signaling && n > 1 || n > 3 {
					t.Errorf("%d restarts", n)
				}
				c.kept()
			})
		}
	}
}

// TestDisconnectedLegRestarts: where a client need not be heard of, the stack's checks tell that it is not.
func TestDisconnectedLegRestarts(t *testing.T) {
	t.Parallel()
	c, r, k := lined(t, Options{RestartAfter: time.Hour})
	r.darken(true)
	c.eventually("ICE is restarted", func() bool { return c.restarts() > 0 })
	if !c.hasState("disconnected R>C false") {
		t.Error("before the stack had noticed")
	}
	r.darken(false)
	together(r, k)
	c.kept()
}

// TestDeadLegIsMadeAnew: what no restart brings back within its time is made anew, and nothing is left of it.
func TestDeadLegIsMadeAnew(t *testing.T) {
	t.Parallel()
	for _, signaling := range []bool{true, false} {
		t.Run(fmt.Sprintf("signaling %v", signaling), func(t *testing.T) {
			t.Parallel()
			c, r, k := lined(t, Options{LostTimeout: 6 * time.Second})
			r.cutOff.Store(!signaling)
			r.darken(true)
			c.eventually("the call is made anew", func() bool { return c.hasState("rehome R>C false") })
			if n := c.engine.Stats().Legs; n != 0 {
				t.Errorf("%d legs are left", n)
			}
			r.closeConnection("C", false)
			k.closeConnection("R", false)
			r.darken(false)
			r.offer("C") // as a page does that is told so
			together(r, k)
		})
	}
}

// TestUnansweredRestart: a client whose signaling works and that does not answer is called anew.
func TestUnansweredRestart(t *testing.T) {
	t.Parallel()
	c, _, k := lined(t, Options{AnswerTimeout: time.Second, LostTimeout: time.Minute})
	k.silent.Store(true)
	k.darken(true)
	c.eventually("the call is made anew", func() bool { return c.hasState("rehome R>C false") })
	if n := c.restarts(); n != 1 {
		t.Errorf("%d restarts", n)
	}
}

// crossRestart darkens the line of the call's recruiter and keeps the server's restart from it.
func crossRestart(t *testing.T) (c *call, r, k *client, pc *webrtc.PeerConnection) {
	t.Helper()
	c = newCall(t, Options{})
	x := &crossing{call: c, to: "R", held: make(chan message, 8)}
	c.engine.SetOutbox(x)
	r, k = c.joinThrough(c.line(), "R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	together(r, k)
	x.hold.Store(true)
	r.darken(true)
	select {
	case <-x.held:
	case <-time.After(patience):
		t.Fatal("no offer of the server's")
	}
	x.hold.Store(false)
	r.darken(false)
	return c, r, k, r.connection(clientKey{"C", false}, false)
}

// TestRestartsCross: the client has restarted ICE as well, and does not take the server's offer.
func TestRestartsCross(t *testing.T) {
	t.Parallel()
	c, r, k, pc := crossRestart(t)
	offer, err := pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err == nil {
		err = pc.SetLocalDescription(offer)
	}
	if err == nil {
		err = c.engine.Signal("room", "R", "C", false, "offer", r.toServer(offer.SDP), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	together(r, k)
	c.kept()
}

// TestOfferCrossesARestart: an answer cannot restart ICE alone.
func TestOfferCrossesARestart(t *testing.T) {
	t.Parallel()
	c, r, _, pc := crossRestart(t)
	r.addTracks(pc, "second", "video")
	r.offerOn(clientKey{"C", false}, false)
	c.eventually("the call is made anew", func() bool { return c.hasState("rehome R>C false") })
}

// TestRestartPauses: one at once, then fewer and fewer, until the connection has been steady for a while.
func TestRestartPauses(t *testing.T) {
	start := time.Now()
	var r restarting
	var at []int
	for second := range 80 {
		if now := start.Add(time.Duration(second) * time.Second); r.due(now) {
			r.begun(now)
			at = append(at, second)
		}
	}
	if want := []int{0, 8, 16, 32, 48, 64}; !slices.Equal(at, want) {
		t.Errorf("restarts after %v s, want %v", at, want)
	}
}

// TestNoMediaToAnAddressThatDoesNotAnswer: a client that names somebody else's address must not have media sent there.
func TestNoMediaToAnAddressThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"R", "C"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			c, r, k := lined(t, Options{LostTimeout: time.Minute})
			p := map[string]*client{"R": r, "C": k}[who]
			p.cutOff.Store(true)
			pc := p.connection(clientKey{other(p), false}, false)
			server, own := parsed(t, pc.RemoteDescription().SDP), parsed(t, pc.LocalDescription().SDP)
			var role stun.Setter = ice.AttrControlling(1)
			if who == "C" {
				role = ice.AttrControlled(1)
			}
			victim, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(c.port.Addresses()[0]))
			if err != nil {
				t.Fatal(err)
			}
			defer victim.Close()
			p.darken(true)
			var checks, media atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				buffer := make([]byte, 2048)
				for {
					n, err := victim.Read(buffer)
					if err != nil {
						return
					}
					if stun.IsMessage(buffer[:n]) {
						checks.Add(1)
					} else {
						media.Add(1)
					}
				}
			}()
			for range 30 {
				request, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(server.Ufrag+":"+own.Ufrag),
					role, ice.PriorityAttr(1<<30), stun.NewShortTermIntegrity(password(t, pc.RemoteDescription().SDP)), stun.Fingerprint)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := victim.Write(request.Raw); err != nil {
					t.Fatal(err)
				}
				time.Sleep(200 * time.Millisecond)
			}
			moved := false
			within(t, c.engine, func(room *room) {
				for key, l := range room.legs {
					if key.client == who {
						moved = l.conn.link.waiting.Load() != nil
					}
				}
			})
			victim.Close()
			<-done
			if checks.Load() == 0 || !moved {
				t.Errorf("the address was not even asked: %d packets of STUN", checks.Load())
			}
			if n := media.Load(); n != 0 {
				t.Errorf("%d packets of media went to an address that had not answered", n)
			}
			p.darken(false)
			p.cutOff.Store(false)
			together(r, k)
		})
	}
}

func password(t *testing.T, sdp string) string {
	t.Helper()
	m := regexp.MustCompile(`a=ice-pwd:(\S+)`).FindStringSubmatch(sdp)
	if m == nil {
		t.Fatal("no password")
	}
	return m[1]
}
