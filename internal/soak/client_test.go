package soak

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/impair"
	"skillsage/internal/testkit/page"
)

// kind is what a client is like.
type kind int

const (
	healthy kind = iota
	silent       // a socket that never answers, as a chat's
	cutOff       // its connections never come up
)

type connKey struct {
	peer   string
	screen bool
}

// client is one socket's page, written for peer-to-peer calls: it calls everybody who comes after it, adds
// its camera to every connection, and sends where the descriptions let it, as browsers do.
type client struct {
	// Static.
	room     *room
	id       string
	kind     kind
	calls    bool         // it calls newcomers with its running share, too
	link     *impair.Link // its line, nil for none of its own
	media    netip.AddrPort
	away     time.Duration // each way between it and the signaling
	inbox    chan signal   // from the server
	outbox   chan signal   // to the server
	done     chan struct{}
	wg       sync.WaitGroup
	outages  spans        // of its line
	squeezes spans        // times in which its line does not carry all that it is sent
	bad      atomic.Bool  // something is wrong with its line
	settles  atomic.Int64 // when ICE that it has restarted is up again at the latest, Unix ns

	mu     sync.Mutex
	conns  map[connKey]*conn // guarded by mu
	camera map[string]string // guarded by mu: stream id, by kind
	screen string            // guarded by mu: stream id of the running share
	flows  map[connKey]*flow // guarded by mu: what it should see
}

// signal is something on its way through the signaling.
type signal struct {
	at time.Time
	do func()
}

// conn is one of a client's connections.
type conn struct {
	pc  *webrtc.PeerConnection
	key connKey

	mu   sync.Mutex
	outs []*out // guarded by mu

	// Owned by what the client does when it hears of something.
	chat  *webrtc.DataChannel
	stale bool // its tracks have changed since it was offered
}

func newClient(r *room, id string, k kind, line, calls bool, away time.Duration, seed uint64) (*client, error) {
	c := &client{
		room: r, id: id, kind: k, calls: calls, media: r.soak.port.Addresses()[0],
		away: away, inbox: make(chan signal, 1024), outbox: make(chan signal, 1024), done: make(chan struct{}),
		conns: make(map[connKey]*conn), flows: make(map[connKey]*flow),
		camera: map[string]string{"audio": "camera-" + id, "video": "camera-" + id},
	}
	switch {
	case k == cutOff:
		c.media = netip.AddrPortFrom(c.media.Addr(), 9) // discard: nobody listens
	case line:
		link, err := impair.New(impair.Options{Listen: netip.AddrPortFrom(c.media.Addr(), 0), Target: c.media, Seed: seed})
		if err != nil {
			return nil, err
		}
		c.link, c.media = link, link.Addr()
	}
	c.wg.Go(func() { c.run(c.inbox) })
	c.wg.Go(func() { c.run(c.outbox) })
	if k != silent {
		c.wg.Go(c.send)
	}
	return c, nil
}

// run does what has arrived, in its order.
func (c *client) run(queue <-chan signal) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return
		case s := <-queue:
			timer.Reset(time.Until(s.at))
			select {
			case <-c.done:
				return
			case <-timer.C:
				s.do()
			}
		}
	}
}

// hear has the client's page do something when it has heard of it.
func (c *client) hear(do func()) { c.pass(c.inbox, do) }

// say has the server do something when it has heard of it.
func (c *client) say(do func()) { c.pass(c.outbox, do) }

func (c *client) pass(queue chan<- signal, do func()) {
	select {
	case queue <- signal{time.Now().Add(c.away), do}:
	case <-c.done:
	default:
		c.room.fail(time.Now(), c.id+" and the server do not keep up with each other")
	}
}

// close ends the page and waits for all of it.
func (c *client) close() {
	close(c.done)
	c.mu.Lock()
	conns := c.conns
	c.conns = map[connKey]*conn{}
	c.mu.Unlock()
	for _, one := range conns {
		_ = one.pc.GracefulClose()
	}
	c.wg.Wait()
	if c.link != nil {
		_ = c.link.Close()
	}
}

func (c *client) conn(key connKey) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conns[key]
}

// forget closes the connections with a peer, or only the one of a screen.
func (c *client) forget(peer string, cameraToo bool) {
	for _, screen := range []bool{true, false} {
		if !screen && !cameraToo {
			continue
		}
		c.mu.Lock()
		one := c.conns[connKey{peer, screen}]
		delete(c.conns, connKey{peer, screen})
		c.mu.Unlock()
		if one != nil {
			_ = one.pc.GracefulClose()
		}
	}
}

// open makes a connection with the page's tracks.
func (c *client) open(key connKey, camera bool) (*conn, error) {
	pc, err := page.NewConnection(nil)
	if err != nil {
		return nil, err
	}
	one := &conn{pc: pc, key: key}
	c.mu.Lock()
	stop := false
	select {
	case <-c.done:
		stop = true
	default:
		c.conns[key] = one
	}
	screen, streams := c.screen, maps.Clone(c.camera)
	c.mu.Unlock()
	if stop {
		_ = pc.Close()
		return nil, net.ErrClosed
	}
	pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil && c.shows() {
			raw, _ := json.Marshal(candidate.ToJSON())
			c.say(func() { _ = c.room.soak.engine.Candidate(c.room.id, c.id, key.peer, key.screen, raw) })
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		c.wg.Go(func() { c.watch(one, track) })
	})
	pc.OnDataChannel(func(channel *webrtc.DataChannel) {
		channel.OnMessage(func(m webrtc.DataChannelMessage) { _ = channel.SendText("echo " + string(m.Data)) })
	})
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateClosed {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.conns[key] == one {
				delete(c.conns, key)
				c.wg.Go(func() { _ = pc.GracefulClose() }) // a page drops what has ended
			}
		}
	})
	if camera {
		for _, kind := range []string{"audio", "video"} {
			if err == nil {
				err = c.add(one, streams[kind], kind)
			}
		}
	} else if screen != "" {
		err = c.add(one, screen, "video")
	}
	return one, err
}

// shows tells whether the client tells its addresses: one with a line of its own must be reached through that alone.
func (c *client) shows() bool { return c.link == nil && c.kind == healthy }

// watch reads a track and notes what a person would see.
func (c *client) watch(one *conn, track *webrtc.TrackRemote) {
	if track.Kind() != webrtc.RTPCodecTypeVideo {
		buffer := make([]byte, 1500)
		for {
			if _, _, err := track.Read(buffer); err != nil {
				return
			}
			c.room.soak.voices.Add(1)
		}
	}
	var d decoder
	defer func() {
		c.room.soak.foreign.Add(d.foreign)
		c.room.soak.broken.Add(d.broken)
	}()
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		c.room.soak.pictures.Add(1)
		now := time.Now()
		shown, ask := d.push(packet.SequenceNumber, packet.Payload, now)
		if ask {
			c.room.soak.asked.Add(1)
			_ = one.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
		}
		if shown {
			c.mu.Lock()
			f := c.flows[one.key]
			c.mu.Unlock()
			if f != nil {
				f.shown(now)
			}
		}
	}
}

// offer calls a peer, or offers again on the connection that there is.
func (c *client) offer(key connKey, restart bool) {
	one, err := c.conn(key), error(nil)
	if one == nil {
		if one, err = c.open(key, !key.screen); err != nil {
			c.trouble("opens a connection", err)
			return
		}
	}
	if one.pc.SignalingState() != webrtc.SignalingStateStable {
		return
	}
	one.stale = false
	var options *webrtc.OfferOptions
	if restart {
		options = &webrtc.OfferOptions{ICERestart: true}
	}
	desc, err := one.pc.CreateOffer(options)
	if err == nil {
		err = one.pc.SetLocalDescription(desc)
	}
	if err != nil {
		c.trouble("offers", err)
		return
	}
	c.signal(key, "offer", desc.SDP)
}

// signal tells the server a description of the client's. What the server thinks wrong of it fails the test.
func (c *client) signal(key connKey, kind, sdp string) {
	sdp = c.toServer(sdp)
	c.say(func() {
		if err := c.room.soak.engine.Signal(c.room.id, c.id, key.peer, key.screen, kind, sdp, nil); err != nil {
			c.room.fail(time.Now(), fmt.Sprintf("%s's %s to %s was refused: %v", c.id, kind, key.peer, err))
		}
	})
}

func (c *client) onOffer(key connKey, sdp string) {
	if c.kind == silent {
		return
	}
	one, err := c.conn(key), error(nil)
	if one == nil {
		if one, err = c.open(key, !key.screen); err != nil {
			c.trouble("opens a connection", err)
			return
		}
	}
	if one.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer {
		return // the stack has no rollback: the server gives way
	}
	err = one.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: c.toClient(sdp)})
	var desc webrtc.SessionDescription
	if err == nil {
		desc, err = one.pc.CreateAnswer(nil)
	}
	if err == nil {
		err = one.pc.SetLocalDescription(desc)
	}
	text := desc.SDP
	if err == nil {
		text, err = one.obey(sdp, text)
	}
	if err != nil {
		c.trouble("answers", err)
		return
	}
	c.signal(key, "answer", text)
	c.refresh(one)
}

func (c *client) onAnswer(key connKey, sdp string) {
	one := c.conn(key)
	if one == nil || one.pc.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
		return
	}
	err := one.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: c.toClient(sdp)})
	if err == nil {
		_, err = one.obey(sdp, "")
	}
	if err != nil {
		c.trouble("takes an answer", err)
	}
	c.refresh(one)
}

// refresh offers tracks that changed while another description was on its way.
func (c *client) refresh(one *conn) {
	if one.stale {
		c.offer(one.key, false)
	}
}

// trouble counts what went wrong in a client's own stack, for which a connection that was closed meanwhile is the usual cause.
func (c *client) trouble(what string, err error) {
	c.room.soak.troubles.Add(1)
	c.room.remember(fmt.Sprintf("%s %s: %v", c.id, what, err))
}

// obey sends only where a server's description wants to receive, and says so in the client's answer.
func (one *conn) obey(remote, answer string) (string, error) {
	wanted, own, err := page.Obey(remote, answer)
	if err != nil {
		return "", err
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	for _, t := range one.pc.GetTransceivers() {
		for _, o := range one.outs {
			if t.Sender() == o.sender {
				o.allowed.Store(wanted[t.Mid()])
			}
		}
	}
	return own, nil
}

var (
	candidateLine = regexp.MustCompile(`a=candidate:[^\r\n]*\r?\n`)
	serverPort    = regexp.MustCompile(`(a=candidate:\S+ \d+ \w+ \d+ \S+) \d+ typ`)
)

// toServer hides the addresses of a client that must be reached through its line.
func (c *client) toServer(sdp string) string {
	if c.shows() {
		return sdp
	}
	return candidateLine.ReplaceAllString(sdp, "")
}

// toClient puts the client's line in the place of the server, and hides from the client's stack what would
// stop a transceiver of it for good.
func (c *client) toClient(sdp string) string {
	sdp = serverPort.ReplaceAllString(sdp, fmt.Sprintf("${1} %d typ", c.media.Port()))
	return page.Alive(sdp)
}

// connected counts the client's camera connections that are up.
func (c *client) connected() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, one := range c.conns {
		if !key.screen && one.pc.ConnectionState() == webrtc.PeerConnectionStateConnected {
			n++
		}
	}
	return n
}

// carries lists the peers on whose connections the client sends its camera.
func (c *client) carries() (peers []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, one := range c.conns {
		if key.screen || one.pc.ConnectionState() != webrtc.PeerConnectionStateConnected {
			continue
		}
		one.mu.Lock()
		for _, o := range one.outs {
			if o.video && o.allowed.Load() {
				peers = append(peers, key.peer)
			}
		}
		one.mu.Unlock()
	}
	return peers
}
