package sfu

import (
	"fmt"
	"strings"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"skillsage/sfu/jsep"
	"skillsage/sfu/media"
)

// gatherTimeout bounds the wait for the server's own candidates, which on one
// muxed port are there at once.
const gatherTimeout = 3 * time.Second

// conn is one peer connection of a leg with its media. Its methods block on the
// WebRTC stack and are called from one operation at a time, never from the
// room's goroutine.
type conn struct {
	pc   *webrtc.PeerConnection
	port *media.Port
	link link
	// route is followed by the stack's callbacks and closed by close.
	route routing
}

// newConn opens a connection for a leg. The stack's callbacks only post.
func (l *leg) newConn(withData bool) (*conn, error) {
	e := l.room.engine
	c := &conn{}
	pc, port, err := e.api.NewPeerConnection(webrtc.Configuration{
		Certificates:                []webrtc.Certificate{e.cert},
		AlwaysNegotiateDataChannels: withData,
	}, media.PortOptions{Logger: l.log, OnCheck: c.onCheck, Publisher: &l.client.clock})
	if err != nil {
		return nil, fmt.Errorf("opening a connection: %w", err)
	}
	c.pc, c.port = pc, port
	c.route = routing{udp: e.opts.Route, tcp: e.opts.RouteTCP, port: port}
	c.link.watch(pc, &c.route)
	r := l.room
	post := func(run func()) {
		r.inbox.push(func() {
			if l.conn == c && !l.dropped {
				run()
			}
		})
	}
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			// The callback for the pair may come later than this one.
			if pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair(); err == nil {
				c.link.follow(pc, &c.route, pair)
			}
			c.port.SetConnected(true)
		}
		post(func() { l.onState(state) })
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		mid := midOf(pc, receiver)
		up := c.port.Receive(track, receiver)
		post(func() { l.onUpstream(mid, up) })
	})
	pc.OnDataChannel(func(channel *webrtc.DataChannel) {
		b := newBridge(channel)
		post(func() { l.onDataChannel(b) })
	})
	return c, nil
}

func midOf(pc *webrtc.PeerConnection, receiver *webrtc.RTPReceiver) string {
	for _, t := range pc.GetTransceivers() {
		if t.Receiver() == receiver {
			return t.Mid()
		}
	}
	return ""
}

// close ends the connection and waits for all that works for it.
func (c *conn) close() {
	c.route.close()
	_ = c.pc.Close() // nothing can be done about a failing close
	c.port.Close()
	c.port.Wait()
}

// onCheck takes note of an authentic connectivity check of the client's, and tells whether its pair is to be the selected
// one from now on: the stack stays with a pair that has fallen silent, though a client whose address has changed is on
// another. A controlling agent only checks the pair that is selected, so it has to be that before its address has
// answered; but until then media, which take the route, are not sent there: a client could name any address. While ICE is
// being restarted the stack is left to select by itself: it nominates no pair any more once one is selected, and a client
// that is controlled may send nothing until it has seen a nomination (RFC 8445 section 8.1.1). Called by the ICE agent.
func (c *conn) onCheck(username string, remote ice.Candidate, pair *ice.CandidatePair) bool {
	selected := c.link.selected.Load()
	if selected == nil {
		return false
	}
	if addressOfStack(remote) == selected.remote {
		c.link.checks.Store(pair)
		return false
	}
	if own, _, _ := strings.Cut(username, ":"); own != selected.ufrag {
		return false
	}
	if time.Since(c.heard()) < roamAfter {
		return false
	}
	return pair.ResponsesReceived() > 0 || c.port.Direct()
}

// heard is when anything authentic last came on the selected pair, or that pair was selected. Where there is no short
// way, media that come by another pair count as well.
func (c *conn) heard() time.Time { return latest(c.heardMedia(), c.link.checked()) }

// heardMedia is heard by media and reports alone, without connectivity checks.
func (c *conn) heardMedia() time.Time {
	if c.port.Direct() {
		return c.port.LastWired()
	}
	return c.port.LastHeard()
}

// silentFor tells that the client was heard of once, but not for this long.
func (c *conn) silentFor(now time.Time, d time.Duration) bool {
	heard := c.port.LastHeard()
	return !heard.IsZero() && now.Sub(heard) > d
}

// addSection adds a transceiver with a feed of its own. An empty mid lets the
// client's next offer give it one.
func (c *conn) addSection(s *section) error {
	kind := kindOf(s.kind)
	feed := c.port.NewFeed(kind, s.stream, s.track)
	t, err := c.pc.AddTransceiverFromTrack(feed, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
	if err != nil {
		return fmt.Errorf("adding %s: %w", s.kind, err)
	}
	if s.mid != "" {
		if err := t.SetMid(s.mid); err != nil {
			return fmt.Errorf("adding %s: %w", s.kind, err)
		}
	}
	s.feed = feed
	return nil
}

// offerFirst makes the first offer of a connection and applies it: gathering
// starts only then.
func (c *conn) offerFirst(added []*section, codecs map[jsep.Kind][]string) (webrtc.SessionDescription, error) {
	desc, err := c.offerAgain(added, codecs, false)
	if err != nil {
		return desc, err
	}
	if err := c.pc.SetLocalDescription(desc); err != nil {
		return desc, fmt.Errorf("applying the own offer: %w", err)
	}
	c.awaitCandidates()
	return *c.pc.LocalDescription(), nil
}

// offerAgain makes a later offer without applying it: the stack has no rollback
// (pion/webrtc#2133), so the offer is applied only together with its answer. One that restarts
// ICE ends the old credentials all the same.
func (c *conn) offerAgain(added []*section, codecs map[jsep.Kind][]string, restart bool) (webrtc.SessionDescription, error) {
	for _, s := range added {
		if err := c.addSection(s); err != nil {
			return webrtc.SessionDescription{}, err
		}
	}
	if err := c.preferCodecs(codecs); err != nil {
		return webrtc.SessionDescription{}, err
	}
	if restart {
		if _, err := c.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true}); err != nil {
			return webrtc.SessionDescription{}, fmt.Errorf("restarting ICE: %w", err)
		}
		c.awaitCandidates()
	}
	desc, err := c.pc.CreateOffer(nil)
	if err != nil {
		return desc, fmt.Errorf("creating an offer: %w", err)
	}
	return desc, nil
}

// preferCodecs names the codecs of each kind that is not negotiated yet.
func (c *conn) preferCodecs(codecs map[jsep.Kind][]string) error {
	for _, t := range c.pc.GetTransceivers() {
		names := codecs[jsep.Kind(t.Kind().String())]
		if len(names) == 0 {
			continue
		}
		if err := onlyCodecs(t, names); err != nil {
			return fmt.Errorf("choosing %s: %w", strings.Join(names, ", "), err)
		}
	}
	return nil
}

// accept applies a client's answer to the offer out.
func (c *conn) accept(out *offer, answer string) error {
	if !out.first {
		if err := c.pc.SetLocalDescription(out.desc); err != nil {
			return fmt.Errorf("applying the own offer: %w", err)
		}
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return fmt.Errorf("the answer cannot be applied: %w", err)
	}
	return nil
}

// respond applies a client's offer and returns the stack's answer with all
// candidates. added are the offer's new sections in its order.
func (c *conn) respond(desc string, added []*section) (string, error) {
	for _, s := range added {
		mid := s.mid
		s.mid = "" // the stack pairs new transceivers with new sections in order
		err := c.addSection(s)
		s.mid = mid
		if err != nil {
			return "", err
		}
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: desc}); err != nil {
		return "", fmt.Errorf("the offer cannot be applied: %w", err)
	}
	c.pair(added)
	answer, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("creating an answer: %w", err)
	}
	if err := c.pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("applying the own answer: %w", err)
	}
	c.awaitCandidates()
	return c.pc.LocalDescription().SDP, nil
}

// pair gives every new section the feed of the transceiver that got its mid.
func (c *conn) pair(added []*section) {
	for _, t := range c.pc.GetTransceivers() {
		for _, s := range added {
			if s.mid == t.Mid() && t.Sender() != nil {
				if feed, ok := t.Sender().Track().(*media.Feed); ok {
					s.feed = feed
				}
			}
		}
	}
}

func (c *conn) awaitCandidates() {
	timer := time.NewTimer(gatherTimeout)
	defer timer.Stop()
	select {
	case <-webrtc.GatheringCompletePromise(c.pc):
	case <-timer.C:
	}
}
