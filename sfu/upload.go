package sfu

import (
	"slices"
	"time"

	"skillsage/sfu/jsep"
	"skillsage/sfu/media"
)

// A client that was written for peer-to-peer calls sends its camera once to each
// peer. One of its legs is enough: it uploads the source, and on all others the
// client's direction is turned off in the descriptions (RFC 8829 section 4.2.4).
// When the uploading leg goes, another one is turned on again.
const (
	// uploadTimeout is how long a leg that was chosen to upload may take to connect.
	uploadTimeout = 5 * time.Second
	// refillPatience is what a client gets to send its tracks when it was asked
	// for them, before another leg is tried.
	refillPatience = 2500 * time.Millisecond
	// darkAfter is how long a leg may be silent on which the client is to send. It is
	// well above the 400 ms between packets of a voice that pauses.
	darkAfter = 800 * time.Millisecond
	// stopDelay is how long a share waits for "the share is over" when its uploading
	// connection was closed: to a client that closes one after the other an offer
	// would look like a new call.
	stopDelay = 250 * time.Millisecond
	// directionPause lies before an offer that turns uploads of a leg off: after the
	// leg's first exchange, upon which many clients make an offer of their own whose
	// answer then says it, and crossing that would cost a rollback; and after the
	// last such offer.
	directionPause = time.Second
)

// fitness is how well a leg can upload a source.
type fitness int

const (
	unfit     fitness = iota // no connection, and none on its way
	suspect                  // silent although it was asked, or out of reach
	promising                // described, not connected yet
	able                     // connected
	flowing                  // its packets arrive
)

// fitness looks at a slot that the leg publishes.
func (l *leg) fitness(slot int, now time.Time) fitness {
	p := &l.pubs[slot]
	s := l.section(p.mid)
	switch up := l.upstreams[p.mid]; {
	case l.conn == nil || s != nil && (s.rejected || !s.wantRecv):
		return unfit
	case l.unreachable || l.dark(now):
		return suspect
	case l.parting():
		return promising // its upload is about to be one of its own
	case up != nil && l.connected && !l.room.stalled(up):
		return flowing
	case l.dead[p.mid] && l.refill.asked > 0 && now.Sub(l.refill.last) > refillPatience:
		return suspect
	case l.connected:
		return able
	case l.busy || l.established && now.Sub(l.establishedAt) < uploadTimeout:
		return promising
	}
	return suspect
}

// dark tells that the client is heard on another leg and not on this one, where it
// was and has to be: long before the stack gives up a connection.
func (l *leg) dark(now time.Time) bool {
	if !l.connected || !l.conn.silentFor(now, darkAfter) || !l.talks() {
		return false
	}
	return slices.ContainsFunc(l.room.order, func(other *leg) bool {
		return other.client == l.client && other.connected && !other.conn.silentFor(now, darkAfter/2)
	})
}

// talks tells that the client has something to send on the leg: media, or feedback
// on a picture.
func (l *leg) talks() bool {
	for slot := range l.pubs {
		if s := l.pubs[slot].source; s != nil && s.uploader == l {
			return true
		}
	}
	return slices.ContainsFunc(l.sections, func(s *section) bool {
		return s.kind == jsep.Video && s.feed != nil && s.shown != nil && s.shown.arrives() && !s.feed.Target().Paused
	})
}

// refilling tells whether the client has just been asked for its tracks.
func (l *leg) refilling(now time.Time) bool {
	return !l.dropped && l.refill.asked > 0 && now.Sub(l.refill.last) < refillPatience
}

// ballot is what elect has found about a source.
type ballot struct {
	best, present candidacy       // of the legs; present is the uploader's
	upstream      *media.Upstream // the source's carrier, or any other one that is there; nil: none
}

// candidacy is a leg that publishes a source.
type candidacy struct {
	leg  *leg // nil: none
	slot int
	fit  fitness
}

// elect chooses for every source the leg that uploads it and the upstream that
// carries it, and forgets the sources that no leg publishes any more. The present
// leg stays while it is fit.
func (m *member) elect(now time.Time) {
	if len(m.sources) == 0 {
		return
	}
	m.follow()
	for _, s := range m.sources {
		s.ballot = ballot{}
	}
	for _, l := range m.room.order {
		if l.client != m {
			continue
		}
		for slot := range l.pubs {
			src := l.pubs[slot].source
			if src == nil {
				continue
			}
			c, b := candidacy{l, slot, l.fitness(slot, now)}, &src.ballot
			if b.best.leg == nil || c.fit > b.best.fit {
				b.best = c
			}
			if src.uploader == l {
				b.present = c
			}
			if up := l.upstreams[l.pubs[slot].mid]; up != nil && l.connected && (b.upstream == nil || up == src.carrier) {
				b.upstream = up
			}
		}
	}
	for _, s := range m.sources {
		chosen, published := s.ballot.best, s.ballot.best.leg != nil
		if c := s.ballot.present; c.leg != nil && (c.fit == chosen.fit || c.fit >= promising && chosen.fit < flowing && !c.leg.parting()) {
			chosen = c
		}
		switch {
		case chosen.fit == unfit:
			s.uploader = nil
		case s.uploader != nil && s.uploader.refilling(now): // and may soon send it again
		case s.key.screen && now.Sub(s.lost) < stopDelay && chosen.fit < flowing:
			s.uploader = nil
		default:
			if s.uploader != nil && s.uploader != chosen.leg {
				m.room.engine.count.moves.Add(1)
				chosen.leg.log.Info("upload moved here", "kind", s.key.kind.String(), "from", s.uploader.key.peer)
			}
			s.uploader = chosen.leg
		}
		s.carry(chosen.leg, chosen.slot)
		if !published {
			m.room.retire(s)
		}
	}
	m.sources = slices.DeleteFunc(m.sources, func(s *source) bool { return s.ballot.best.leg == nil })
}

// carry gives the source the upstream of its uploader; until there is one, the
// present carrier goes on, or any that is there.
func (s *source) carry(uploader *leg, slot int) {
	up := s.ballot.upstream
	if uploader != nil && uploader.connected {
		if own := uploader.upstreams[uploader.pubs[slot].mid]; own != nil {
			up = own
		}
	}
	if up != s.carrier {
		s.carrier = up
		s.media.SetCarrier(up)
		s.member.room.engine.count.switches.Add(1)
	}
}

// follow lets legs whose upload is off publish what the uploading leg has in their
// place now: a camera that was opened again shows in its descriptions alone.
func (m *member) follow() {
	for _, l := range m.room.order {
		if l.client != m {
			continue
		}
		for slot := range l.pubs {
			p := &l.pubs[slot]
			s := l.section(p.mid)
			if p.source == nil || s == nil || s.kept == nil || p.source.uploader == nil {
				continue
			}
			now := &p.source.uploader.pubs[slot]
			if p.source.uploader != l && now.source != nil && now.source != p.source &&
				now.source.key.codec == p.source.key.codec && now.source.key.small == p.source.key.small {
				p.source, p.stream, p.track = now.source, now.stream, now.track
				s.kept = &track{now.source.key.stream, now.track}
			}
		}
	}
}

// uploads tells whether the client is to send on this leg what fills a slot.
func (l *leg) uploads(slot int) bool {
	src := l.pubs[slot].source
	if src == nil || src.uploader == nil || src.uploader == l || l.room.engine.opts.UploadOnEveryLeg {
		return true
	}
	if s := l.section(l.pubs[slot].mid); s != nil && s.agreed && s.local.Recv {
		return !src.flows() // goes on until the other one is there
	}
	return false
}

// arrives tells whether packets of the source come.
func (s *source) arrives() bool {
	return s.carrier != nil && s.media.Carrier() == s.carrier && !s.member.room.stalled(s.carrier)
}

// flows tells whether the uploading leg is the one whose packets are forwarded.
func (s *source) flows() bool {
	return s.arrives() && s.uploader.carries(s.carrier)
}

func (l *leg) carries(up *media.Upstream) bool {
	for _, own := range l.upstreams {
		if own == up {
			return true
		}
	}
	return false
}

// claim makes a leg on which the client is told to send the uploader of what
// nobody uploads: of two legs that are described at once only one is to send.
func (l *leg) claim(slot int) {
	if src := l.pubs[slot].source; src != nil && src.uploader == nil {
		src.uploader = l
	}
}

// slotOf is the slot that the client fills from a section, -1 for none.
func (l *leg) slotOf(mid string) int {
	for slot := range l.pubs {
		if l.pubs[slot].source != nil && l.pubs[slot].mid == mid {
			return slot
		}
	}
	return -1
}

// turnsUpload tells whether an upload of the leg has to be turned on or off.
func (l *leg) turnsUpload(now time.Time) bool {
	for slot := range l.pubs {
		s := l.section(l.pubs[slot].mid)
		if l.pubs[slot].source == nil || s == nil || !s.agreed || s.rejected || !s.wantRecv {
			continue
		}
		switch on := l.uploads(slot); {
		case on && !s.local.Recv && s.kept != nil:
			return true
		case !on && s.local.Recv && l.connected && now.Sub(l.turnedOff) > directionPause && now.Sub(l.establishedAt) > directionPause:
			return true
		}
	}
	return false
}

// off lists the sections whose upload an offer with these directions keeps off.
func (l *leg) off(locals map[string]jsep.Local) map[string]bool {
	var off map[string]bool
	for mid, local := range locals {
		if slot := l.slotOf(mid); slot >= 0 && !local.Recv && !l.uploads(slot) {
			if off == nil {
				off = make(map[string]bool)
			}
			off[mid] = true
		}
	}
	return off
}

// track is what a client says of a track that it sends.
type track struct{ stream, id string }

// keep remembers what a section would publish. The answer to an offer that keeps
// its upload off says nothing about that.
func (s *section) keep(remote *jsep.Section, off bool) {
	switch {
	case remote.Direction.Send && !remote.Rejected:
		s.kept = &track{remote.Stream, remote.Track}
	case !off || remote.Rejected:
		s.kept = nil
	}
}

// simulcast is a track that a client sends in several streams (RFC 8853).
type simulcast struct {
	rids []string // nil: in one, or nothing
	track
}

// keepSimulcast remembers the section's simulcast streams while nothing is sent in it,
// of which a description need not speak.
func (s *section) keepSimulcast(remote *jsep.Section) {
	switch {
	case remote.Direction.Send && !remote.Rejected:
		s.simulcast = simulcast{remote.RIDs, track{remote.Stream, remote.Track}}
	case remote.Rejected:
		s.simulcast = simulcast{}
	}
}

// lasting is a description in which simulcast streams outlive the time in which their
// section sends nothing.
func (l *leg) lasting(desc *jsep.Description) *jsep.Description {
	result := desc
	for i := range desc.Sections {
		s := l.section(desc.Sections[i].MID)
		if s == nil || s.simulcast.rids == nil || desc.Sections[i].Direction.Send || desc.Sections[i].Rejected {
			continue
		}
		if result == desc {
			result = desc.Clone()
		}
		own := &result.Sections[i]
		own.Paused, own.RIDs, own.Stream, own.Track = true, s.simulcast.rids, s.simulcast.stream, s.simulcast.id
	}
	return result
}

// intended is what the client would publish by its latest description if none of
// its uploads were off.
func (l *leg) intended(desc *jsep.Description) *jsep.Description {
	if desc == nil || desc == l.held {
		return desc
	}
	result := desc
	for i := range desc.Sections {
		s := l.section(desc.Sections[i].MID)
		if s == nil || s.kept == nil || desc.Sections[i].Direction.Send || desc.Sections[i].Rejected {
			continue
		}
		if result == desc {
			result = desc.Clone()
		}
		own := &result.Sections[i]
		own.Direction.Send, own.Stream, own.Track = true, s.kept.stream, s.kept.id
	}
	return result
}
