package soak

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/impair"
)

// event is something that happens; do tells what, or "" when it cannot happen now.
type event struct {
	kind   string
	weight int
	do     func(*room) string
}

var events = []event{
	{"join", 3, (*room).eventJoin},
	{"leave", 2, (*room).eventLeave},
	{"vanish", 2, (*room).eventVanish},
	{"reload", 3, (*room).eventReload},
	{"carrier leaves", 4, (*room).eventCarrierLeaves},
	{"share on", 3, (*room).eventShareOn},
	{"share off", 2, (*room).eventShareOff},
	{"loss", 3, (*room).eventLoss},
	{"narrow", 3, (*room).eventNarrow},
	{"outage", 2, (*room).eventOutage},
	{"long outage", 1, (*room).eventLongOutage},
	{"address change", 2, (*room).eventAddressChange},
	{"leg outage", 3, (*room).eventLegOutage},
	{"swap", 3, (*room).eventSwap},
	{"cut off joins", 1, (*room).eventCutOff},
	{"silent joins", 1, (*room).eventSilent},
	{"offers again", 2, (*room).eventOffer},
	{"ICE restart", 2, (*room).eventRestart},
	{"data channel", 2, (*room).eventData},
}

func (r *room) eventJoin() string {
	if len(r.list(healthy)) >= most || len(r.list(healthy, silent, cutOff)) >= maxMembers {
		return ""
	}
	c := r.join(healthy)
	if c == nil {
		return ""
	}
	if c.link != nil {
		return c.id + " through a line of its own"
	}
	return c.id
}

func (r *room) eventLeave() string {
	if others := r.list(silent, cutOff); len(others) > 0 && r.random.IntN(2) == 0 {
		r.leave(others[0], true)
		return others[0].id
	}
	c := r.pick(nil)
	if c == nil {
		return ""
	}
	first := r.random.IntN(2) == 0
	r.leave(c, first)
	return fmt.Sprintf("%s, its connections first: %v", c.id, first)
}

// eventVanish cuts a member's line; that it is gone shows only later.
func (r *room) eventVanish() string {
	c := r.pick(func(c *client) bool { return c.link != nil })
	if c == nil {
		return ""
	}
	r.cut(c, impair.Settings{Loss: 1}, true)
	select {
	case <-time.After(500*time.Millisecond + time.Duration(r.random.Int64N(int64(2*time.Second)))):
	case <-r.done:
	}
	r.leave(c, false)
	return c.id
}

// cut makes a member's line bad.
func (r *room) cut(c *client, s impair.Settings, outage bool) {
	r.busy[c] = true
	c.bad.Store(true)
	if outage {
		c.outages.begin(time.Now())
	}
	if err := c.link.SetUp(s); err != nil {
		r.soak.t.Error(err)
	}
	if err := c.link.SetDown(s); err != nil {
		r.soak.t.Error(err)
	}
}

// mend makes it good again after a while; the line is not chosen for anything else until the event is over.
func (r *room) mend(c *client, after time.Duration) {
	r.wg.Go(func() {
		select {
		case <-time.After(after):
		case <-c.done:
		case <-r.done:
		}
		_ = c.link.SetUp(impair.Settings{})
		_ = c.link.SetDown(impair.Settings{})
		c.bad.Store(false)
		c.outages.end(time.Now())
	})
}

func (r *room) eventReload() string {
	c := r.pick(nil)
	if c == nil {
		return ""
	}
	r.leave(c, r.random.IntN(2) == 0)
	if next := r.join(healthy); next != nil {
		return c.id + " is " + next.id
	}
	return c.id
}

// eventCarrierLeaves has that member leave for whom another uploads its camera to all.
func (r *room) eventCarrierLeaves() string {
	source := r.pick(nil)
	if source == nil {
		return ""
	}
	for _, id := range source.carries() {
		if viewer := r.member(id); viewer != nil && viewer.kind == healthy && !r.busy[viewer] {
			first := r.random.IntN(2) == 0
			r.leave(viewer, first)
			return fmt.Sprintf("%s, for whom %s uploads; its connections first: %v", id, source.id, first)
		}
	}
	return ""
}

func (r *room) eventShareOn() string {
	if slices.ContainsFunc(r.list(healthy), func(c *client) bool { return c.sharing() != "" }) {
		return ""
	}
	c := r.pick(nil)
	if c == nil {
		return ""
	}
	r.number++
	c.mu.Lock()
	c.screen = fmt.Sprint("screen-", r.number)
	c.mu.Unlock()
	c.say(func() { r.soak.engine.ScreenShareStatus(r.id, c.id, true) })
	for _, other := range r.list(healthy, silent, cutOff) {
		if other == c {
			continue
		}
		r.expect(other, c, true)
		c.hear(func() {
			key := connKey{other.id, true}
			c.forget(other.id, false) // on which it may have seen the other's
			c.offer(key, false)
		})
	}
	return c.id
}

func (r *room) eventShareOff() string {
	c := r.pick(func(c *client) bool { return c.sharing() != "" })
	if c == nil {
		return ""
	}
	c.mu.Lock()
	c.screen = ""
	c.mu.Unlock()
	saysFirst := r.random.IntN(2) == 0
	others := r.list(healthy, silent, cutOff)
	for _, other := range others {
		r.forgo(other, c, true)
	}
	over := func() { r.soak.engine.ScreenShareStatus(r.id, c.id, false) }
	if saysFirst {
		c.say(over)
	}
	c.hear(func() {
		for _, other := range others {
			c.forget(other.id, false)
		}
		if !saysFirst {
			c.say(over)
		}
	})
	return fmt.Sprintf("%s, says so first: %v", c.id, saysFirst)
}

// steady tells whether the client has a line that can be made bad now: one thing at a time.
func (c *client) steady() bool {
	return c.link != nil && !c.bad.Load() && time.Now().UnixNano() > c.settles.Load()
}

func (r *room) eventLoss() string {
	c := r.pick((*client).steady)
	if c == nil {
		return ""
	}
	share, length := 0.1+0.1*r.random.Float64(), time.Second+time.Duration(r.random.Int64N(int64(3*time.Second)))
	r.cut(c, impair.Settings{Loss: share, Delay: time.Duration(r.random.Int64N(int64(50 * time.Millisecond)))}, false)
	r.mend(c, length)
	defer delete(r.busy, c)
	return fmt.Sprintf("%s loses %.0f %% each way for %s", c.id, 100*share, length.Round(time.Millisecond))
}

// eventNarrow leaves a member less than everybody's pictures take. Nobody else may notice, and when there is room again
// the member sees everything again.
func (r *room) eventNarrow() string {
	c := r.pick((*client).steady)
	if c == nil {
		return ""
	}
	rate, length := 200_000+r.random.IntN(300_000), 2*time.Second+time.Duration(r.random.Int64N(int64(4*time.Second)))
	r.narrow(c, rate, length)
	return fmt.Sprintf("%s gets %d kbit/s for %s", c.id, rate/1000, length.Round(time.Millisecond))
}

func (r *room) narrow(c *client, rate int, length time.Duration) {
	c.bad.Store(true)
	if err := c.link.SetDown(impair.Settings{Rate: rate, QueueTime: 300 * time.Millisecond}); err != nil {
		r.soak.t.Error(err)
	}
	c.squeezes.begin(time.Now())
	r.wg.Go(func() {
		select {
		case <-time.After(length):
		case <-c.done:
		case <-r.done:
		}
		_ = c.link.SetDown(impair.Settings{})
		c.bad.Store(false)
		c.squeezes.end(time.Now())
	})
}

func (r *room) eventOutage() string {
	c := r.pick((*client).steady)
	if c == nil {
		return ""
	}
	length := 300*time.Millisecond + time.Duration(r.random.Int64N(int64(2*time.Second)))
	r.cut(c, impair.Settings{Loss: 1}, true)
	r.mend(c, length)
	defer delete(r.busy, c)
	return fmt.Sprintf("%s for %s", c.id, length.Round(time.Millisecond))
}

// eventLongOutage is one in which the server restarts ICE, since the signaling goes on. That must not make it any longer.
func (r *room) eventLongOutage() string {
	c := r.pick((*client).steady)
	if c == nil {
		return ""
	}
	length := 3*time.Second + time.Duration(r.random.Int64N(int64(5*time.Second)))
	r.cut(c, impair.Settings{Loss: 1}, true)
	r.mend(c, length)
	defer delete(r.busy, c)
	return fmt.Sprintf("%s for %s", c.id, length.Round(time.Millisecond))
}

// eventAddressChange gives a member other ports, as a NAT does. It is not heard of until the server has noticed.
func (r *room) eventAddressChange() string {
	c := r.pick((*client).steady)
	if c == nil {
		return ""
	}
	c.bad.Store(true)
	c.outages.begin(time.Now())
	n := c.link.Rebind()
	r.mend(c, noticed)
	return fmt.Sprintf("%s on %d connections", c.id, n)
}

// noticed is how long a client may be without media whose address has changed; what follows is a freeze like any other.
const noticed = 3500 * time.Millisecond

// eventLegOutage cuts one of a member's connections, preferably one on which it uploads. Only what the others send it
// on that one may be missing: its own picture has to go another way.
func (r *room) eventLegOutage() string {
	c := r.pick((*client).steady)
	if c == nil {
		return ""
	}
	length := 300*time.Millisecond + time.Duration(r.random.Int64N(int64(4*time.Second)))
	if c.connected() < 2 {
		return "" // there is no other way
	}
	peers := c.carries()
	for _, other := range r.list(healthy) {
		peers = append(peers, other.id)
	}
	for _, peer := range peers {
		if r.cutLeg(c, peer, length) {
			return fmt.Sprintf("%s to %s for %s", c.id, peer, length.Round(time.Millisecond))
		}
	}
	return ""
}

// cutLeg cuts a member's camera connection with another for a while.
func (r *room) cutLeg(c *client, peer string, length time.Duration) bool {
	one, other := c.conn(connKey{peer, false}), r.member(peer)
	if one == nil || other == nil || other.kind != healthy {
		return false
	}
	pair, err := one.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return false
	}
	address, err := netip.ParseAddr(pair.Local.Address)
	if err != nil {
		r.soak.t.Error(err)
		return false
	}
	c.mu.Lock()
	f := c.flows[connKey{peer, false}]
	c.mu.Unlock()
	at := netip.AddrPortFrom(address, pair.Local.Port)
	if f == nil || !c.link.Cut(at, true) {
		return false
	}
	c.bad.Store(true)
	f.outages.begin(time.Now())
	r.wg.Go(func() {
		select {
		case <-time.After(length):
		case <-c.done:
		case <-r.done:
		}
		c.link.Cut(at, false)
		c.bad.Store(false)
		f.outages.end(time.Now())
	})
	return true
}

// eventSwap has a member take another camera: by replaceTrack, of which nobody is told, or as a new stream that is
// negotiated on every connection.
func (r *room) eventSwap() string {
	c := r.pick(nil)
	if c == nil {
		return ""
	}
	if r.random.IntN(2) == 0 {
		c.hear(c.replaceCamera)
		return c.id + " by replaceTrack"
	}
	r.number++
	stream, kinds := fmt.Sprint("camera-", c.id, "-", r.number), []string{"video"}
	if r.random.IntN(2) == 0 {
		kinds = []string{"audio", "video"}
	}
	c.hear(func() { c.changeCamera(stream, kinds) })
	return fmt.Sprintf("%s by a new stream of %s", c.id, strings.Join(kinds, " and "))
}

func (r *room) eventCutOff() string {
	if len(r.list(cutOff)) > 0 {
		return ""
	}
	if c := r.join(cutOff); c != nil {
		return c.id
	}
	return ""
}

func (r *room) eventSilent() string {
	if len(r.list(silent)) > 0 {
		return ""
	}
	if c := r.join(silent); c != nil {
		return c.id
	}
	return ""
}

func (r *room) eventOffer() string { return r.offersAgain(false) }

func (r *room) eventRestart() string { return r.offersAgain(true) }

func (r *room) offersAgain(restart bool) string {
	// The stack of these clients closes its sockets at once when it restarts ICE, where browsers go on with the old pair
	// until there is a new one (RFC 8445 section 9), and checks only each 200 ms: with loss that alone may take seconds.
	c, key := r.connection(func(c *client) bool { return !restart || !c.bad.Load() })
	if c == nil {
		return ""
	}
	if restart {
		c.settles.Store(time.Now().Add(2 * time.Second).UnixNano())
	}
	c.hear(func() {
		if c.conn(key) != nil {
			c.offer(key, restart)
		}
	})
	return c.id + " to " + key.peer
}

// connection is a member's camera connection that is up.
func (r *room) connection(fit func(*client) bool) (*client, connKey) {
	c := r.pick(fit)
	if c == nil {
		return nil, connKey{}
	}
	for _, other := range r.list(healthy) {
		key := connKey{other.id, false}
		if one := c.conn(key); one != nil && one.pc.ConnectionState() == webrtc.PeerConnectionStateConnected {
			return c, key
		}
	}
	return nil, connKey{}
}

func (r *room) eventData() string {
	c, key := r.connection(nil)
	if c == nil {
		return ""
	}
	c.hear(func() {
		one := c.conn(key)
		if one == nil {
			return
		}
		r.soak.asks.Add(1)
		if one.chat != nil {
			_ = one.chat.SendText("hello again")
			return
		}
		chat, err := one.pc.CreateDataChannel("chat", nil)
		if err != nil {
			c.trouble("opens a data channel", err)
			return
		}
		one.chat = chat
		chat.OnOpen(func() { _ = chat.SendText("hello") })
		chat.OnMessage(func(webrtc.DataChannelMessage) { r.soak.echoes.Add(1) })
		c.offer(key, false)
	})
	return c.id + " with " + key.peer
}
