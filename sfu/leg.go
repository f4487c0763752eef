package sfu

import (
	"log/slog"
	"slices"
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/jsep"
	"skillsage/sfu/media"
)

// Bounds of a leg's m= sections: every camera that a client opens anew takes
// two more, and a description only ever grows (RFC 8829 section 5.2.2).
const (
	maxSections = 48 // then the call is made anew
	maxAsking   = 32 // the server adds none to more than that
)

// leg is the server's connection to one client in the name of one peer. Owned
// by the room's goroutine; conn's own methods are called from operations.
type leg struct {
	// Static.
	key    legKey
	room   *room
	client *member
	peer   *member
	log    *slog.Logger

	opposite *leg // that of the other half of the call; nil: none

	conn        *conn // nil before the first exchange and while parked
	dropped     bool
	failed      bool // it was given up; its members are not told that all is well
	connected   bool // ICE and DTLS are up
	connectedAt time.Time
	unreachable bool // connected, but the client has not been heard of for seconds

	sections []*section             // in the order of their creation
	codecs   map[jsep.Kind]string   // agreed
	offered  map[jsep.Kind][]string // by the server, in its order, before that
	red      jsep.Redundancy        // agreed; once established
	streams  streams

	// What the client said.
	held          *jsep.Description // an offer that has no answer yet
	heldSince     time.Time
	applied       *jsep.Description // its latest description that the stack has
	published     *jsep.Description // the one that pubs was made from
	pubs          [slots]publication
	upstreams     map[string]*media.Upstream // by mid
	clientOffered bool                       // the client, not the server, opened this leg

	// What the server says.
	out         *offer            // the one offer without an answer
	withdrawn   *offer            // the last one that was taken back
	answer      *jsep.Description // taken, waiting for the stack
	wantFirst   bool              // the server must open this leg
	wantRestart bool              // the next offer is to restart ICE
	wantOffer   bool              // a re-offer is asked for, whatever has changed
	wantData    bool              // a data channel section is needed
	ask         []jsep.Kind       // sections to add so that the client can attach new tracks
	parked      bool              // given up until a late answer shows that somebody is there
	restarts    int               // times the server has opened it again
	proving     bool              // an address is being asked about
	restart     restarting        // of ICE

	busy          bool // an operation on the stack is running
	rolledBack    bool // the client took back an offer of its own for the server's first
	established   bool // one exchange is complete
	establishedAt time.Time
	connectBy     time.Time
	turnedOff     time.Time // when an upload was turned off last
	small         bool      // the client uploads a picture of its own here, for this viewer and others with little bandwidth
	smallSince    time.Time
	splits        int       // times that it began to
	apart         time.Time // since when the viewer can take far less than others, or (small) last did

	candidates      []webrtc.ICECandidateInit
	candidatesAdded int

	refill     refill
	cameraGone bool            // its video ended with an answer, not by an offer of the client's
	early      bool            // the client made its connection before it had a camera
	dead       map[string]bool // mids that were silent when the client was asked for its tracks
	asked      map[string]bool // mids of the sections that asked for them
	channels   []*bridge
	meter      legMeter
}

// publication is what fills one slot of a leg.
type publication struct {
	source        *source
	mid           string
	stream, track string // ids for the msid that viewers get
}

// section is one m= section of a leg.
type section struct {
	mid       string
	kind      jsep.Kind
	slot      int    // what the server sends in it, -1 for nothing ever
	stream    string // msid that the feed was made with
	track     string
	feed      *media.Feed
	wantRecv  bool       // the client may send in it
	local     jsep.Local // as last agreed
	remote    jsep.Direction
	sentOnce  bool      // the client knows its sources
	simulcast simulcast // what the client sends in it, or would, in several streams
	kept      *track    // what the client sends in it, or would if its upload were not off
	used      bool      // the client has sent in it
	usedSince time.Time
	shown     *source   // what the feed sends
	idleSince time.Time // when there was nothing more to send; zero: there is
	share     share
	viewing   viewing // adapt's, of what is shown
	agreed    bool    // it stands in a description that both sides have
	rejected  bool    // port 0 on either side
	refused   bool    // the client would not receive what was offered last
}

// offer is a server's offer that waits for its answer.
type offer struct {
	first   bool // already applied to the stack, with a connection of its own
	restart bool // the stack has given up its old ICE credentials for those in it
	desc    webrtc.SessionDescription
	locals  map[string]jsep.Local
	off     map[string]bool // mids of the uploads that it keeps off
	layout  []string
	sent    time.Time
}

func newLeg(r *room, client, peer *member, key legKey) *leg {
	l := &leg{
		key: key, room: r, client: client, peer: peer,
		log:       r.log.With("member", client.id, "peer", peer.id, "screen", key.screen),
		codecs:    make(map[jsep.Kind]string),
		upstreams: make(map[string]*media.Upstream),
	}
	r.order = append(r.order, l)
	return l
}

// description is what the client last said about what it sends.
func (l *leg) description() *jsep.Description {
	if l.held != nil {
		return l.held
	}
	return l.applied
}

func (l *leg) section(mid string) *section {
	for _, s := range l.sections {
		if s.mid == mid {
			return s
		}
	}
	return nil
}

// inSlot is the section that the server sends a slot's media in, nil if none.
func (l *leg) inSlot(slot int) *section {
	for _, s := range l.sections {
		if s.slot == slot {
			return s
		}
	}
	return nil
}

// wanted is what the server should be sending on this leg, by slot.
func (l *leg) wanted() [slots]publication {
	if l.key.screen && l.peer.sharing == shareOff {
		return [slots]publication{}
	}
	if opp := l.opposite; opp != nil && opp.publishes() {
		return l.inOwnCodecs(opp.pubs)
	}
	if l.key.screen {
		// A viewer whom the sharer's client never called: any of its share legs will do.
		for _, other := range l.room.order {
			if other.client == l.peer && other.key.screen && other.publishes() {
				return l.inOwnCodecs(other.pubs)
			}
		}
	}
	return [slots]publication{}
}

func (l *leg) publishes() bool {
	for slot := range l.pubs {
		if l.pubs[slot].source != nil {
			return true
		}
	}
	return false
}

// feed points every feed at the source that it should carry now.
func (l *leg) feed() {
	wanted := l.wanted()
	for _, s := range l.sections {
		if s.feed == nil {
			continue
		}
		if s.slot < 0 || wanted[s.slot].source != nil {
			s.idleSince = time.Time{}
		} else if s.idleSince.IsZero() {
			s.idleSince = time.Now()
		}
		var src *source
		if s.slot >= 0 && s.agreed && s.local.Send && s.remote.Recv {
			src = wanted[s.slot].source
		}
		s.show(src)
	}
}

// show makes the section's feed send a source. The small and the common picture of
// one track stand in for each other until the other one is there.
func (s *section) show(src *source) {
	if src == s.shown {
		return
	}
	if old := s.shown; old != nil && src != nil && old.key.common() == src.key.common() && !src.arrives() && old.arrives() {
		return
	}
	s.shown = src
	if src == nil {
		s.share = share{}
		s.feed.SetSource(nil)
		return
	}
	s.feed.SetSource(src.media)
}

// start runs an operation on the leg's connection; one at a time. What it
// returns runs on the room's goroutine, unless the connection is gone by then.
func (l *leg) start(operation func() func()) {
	l.busy = true
	c := l.conn
	l.room.spawn(func() func() {
		done := operation()
		return func() {
			l.busy = false
			if l.dropped || l.room.ended {
				return
			}
			if l.conn == c {
				done()
			}
			l.room.settle()
			l.flushCandidates()
		}
	})
}

// drop ends a leg for good.
func (r *room) drop(l *leg, reason string) {
	if l.dropped {
		return
	}
	l.dropped = true
	delete(r.legs, l.key)
	if l.opposite != nil {
		l.opposite.opposite = nil
	}
	r.order = slices.DeleteFunc(slices.Clone(r.order), func(other *leg) bool { return other == l })
	r.legCount.Add(-1)
	r.engine.count.legs.Add(-1)
	had := l.conn != nil
	l.disconnect()
	if !l.failed {
		r.tellMedia(l.key, MediaOK, "")
	}
	if had {
		l.log.Info("leg closed", "reason", reason)
		r.state(l, "closed", reason)
	}
}

// release frees the slot that an unproven member has for one server offer.
func (l *leg) release() {
	if l.client.offering == l {
		l.client.offering = nil
	}
}

// disconnect closes the leg's connection, keeping the leg: what the client
// published there is gone, and a new exchange starts from nothing.
func (l *leg) disconnect() {
	conn, channels, meter := l.conn, l.channels, l.detach()
	l.channels = nil
	l.conn = nil
	l.connected, l.established, l.unreachable, l.rolledBack = false, false, false, false
	l.small, l.apart = false, time.Time{}
	l.connectBy = time.Time{}
	l.sections = nil
	clear(l.codecs)
	l.offered = nil
	l.out, l.withdrawn, l.answer = nil, nil, nil
	l.release()
	l.applied = nil
	l.candidatesAdded = 0
	l.ask, l.wantOffer, l.wantRestart = nil, false, false
	l.restart = restarting{}
	l.refill = refill{}
	l.early = false
	l.dead, l.asked = nil, nil
	clear(l.upstreams)
	if l.held == nil {
		l.streams = streams{}
	}
	if conn != nil {
		l.room.spawn(func() func() {
			for _, b := range channels {
				b.close()
			}
			conn.close()
			meter.finish(&l.room.engine.ledger)
			return func() {}
		})
	}
	l.client.publish(l)
}
