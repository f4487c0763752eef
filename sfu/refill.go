package sfu

import (
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/jsep"
	"skillsage/sfu/media"
)

// patienceToBegin times SilenceTimeout is what a track gets that has not begun.
const patienceToBegin = 2

// refillWaits are the pauses before each request for a client's tracks.
var refillWaits = []time.Duration{0, 5 * time.Second, 15 * time.Second}

// refill is how often, and when last, a leg's client was asked for its tracks.
type refill struct {
	asked int
	last  time.Time
}

func (r *room) stalled(up *media.Upstream) bool {
	return time.Since(up.LastPacket()) > r.engine.opts.SilenceTimeout
}

// checkStall: a page that opens its camera anew stops the old tracks and often
// tells nobody. It asks a client that says it sends, whose connection lives, and of
// whose camera or microphone nothing comes, for its present tracks: with fresh
// sections, because waiting senders attach to new ones only (RFC 8829 section
// 5.10). A muted track goes on sending.
func (l *leg) checkStall(now time.Time) {
	if l.dropped || l.key.screen || !l.connected || l.busy || l.out != nil || l.held != nil {
		return
	}
	var silent []string
	for _, slot := range []int{slotAudio, slotVideo} {
		if mid := l.pubs[slot].mid; l.silent(slot, now) {
			silent = append(silent, mid)
		} else {
			delete(l.dead, mid)
		}
	}
	if len(silent) == 0 && !l.cameraGone {
		if now.Sub(l.refill.last) > l.room.engine.opts.SilenceTimeout {
			l.refill = refill{}
		}
		return
	}
	if l.early && now.Sub(l.connectedAt) < l.room.engine.opts.SilenceTimeout {
		return // its camera is starting
	}
	if l.refill.asked >= len(refillWaits) || now.Sub(l.refill.last) < refillWaits[l.refill.asked] {
		return
	}
	if len(l.sections) >= maxAsking {
		l.room.rehome(l, "tracks fell silent too often")
		return
	}
	if l.dead == nil {
		l.dead, l.asked = make(map[string]bool), make(map[string]bool)
	}
	for _, mid := range silent {
		l.dead[mid] = true
	}
	l.refill.asked++
	l.refill.last = now
	// Pages that restart their camera often leave stopped microphones waiting in
	// front of the living one, and each takes a section.
	l.ask = []jsep.Kind{jsep.Video}
	for range l.refill.asked + 1 {
		l.ask = append(l.ask, jsep.Audio)
	}
	l.room.engine.count.refilled.Add(1)
	l.log.Info("track silent, asked for again", "attempt", l.refill.asked)
}

// onEmptyOffer takes an offer without tracks, which gets no answer. To a client that
// is called by the server meanwhile its camera may start in the middle of answering:
// its tracks then wait for sections, and it makes no further offer.
func (r *room) onEmptyOffer(key legKey) {
	if l := r.legs[key]; l != nil && l.out != nil && l.out.first {
		l.early = true
	}
}

// noteCamera remembers a camera that went with an answer: the client did not
// choose to end it, it had nowhere to send it. A client's own offer without a
// camera is its choice.
func (l *leg) noteCamera(had bool) {
	switch has := l.pubs[slotVideo].source != nil; {
	case has || l.held != nil || l.description() == nil:
		l.cameraGone = false
	case had:
		l.cameraGone = true
	}
}

// spares counts the sections of earlier requests that the client never sent in:
// a track that it adds later goes there, so that no further section is needed.
func (l *leg) spares(kind jsep.Kind) int {
	n := 0
	for _, s := range l.sections {
		if s.kind == kind && l.asked[s.mid] && s.agreed && !s.used && !s.rejected {
			n++
		}
	}
	return n
}

// silent tells whether a slot's track is dead while its connection is not.
func (l *leg) silent(slot int, now time.Time) bool {
	p := &l.pubs[slot]
	s := l.section(p.mid)
	if p.source == nil || s != nil && s.agreed && !s.local.Recv { // nothing, or its upload is off
		return false
	}
	up := l.upstreams[p.mid]
	if up == nil || up.LastPacket().IsZero() {
		wait := patienceToBegin * l.room.engine.opts.SilenceTimeout
		return s != nil && now.Sub(l.connectedAt) > wait && now.Sub(s.usedSince) > wait
	}
	// The client was heard of for a while after the track's last packet: else
	// the network is silent, not the track.
	return l.room.stalled(up) && l.conn.port.LastHeard().Sub(up.LastPacket()) > time.Second
}

// onTransceiverRequest serves a client that never offers but has a track more to send.
func (r *room) onTransceiverRequest(key legKey, kind webrtc.RTPCodecType) {
	if l := r.legs[key]; l != nil && l.established && len(l.ask) < maxSections {
		l.ask = append(l.ask, jsep.Kind(kind.String()))
		r.settle()
	}
}
