package sfu

import (
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/jsep"
	"skillsage/sfu/media"
)

// stallAfter is the silence of a camera that counts as its end. A page that
// opens its camera anew stops the old track and often tells nobody.
const stallAfter = 1500 * time.Millisecond

// refillWaits are the pauses before each further request for a client's tracks.
var refillWaits = []time.Duration{0, 5 * time.Second, 15 * time.Second}

// refill is how often, and when last, a leg's client was asked for its camera.
type refill struct {
	asked int
	last  time.Time
}

func stalled(up *media.Upstream) bool { return time.Since(up.LastPacket()) > stallAfter }

// checkStall asks a client whose camera fell silent while its connection lives
// for its present tracks, with fresh sections: waiting senders attach to new
// ones only (RFC 8829 section 5.10).
func (l *leg) checkStall(now time.Time) {
	if l.dropped || l.key.screen || !l.connected || l.busy || l.out != nil || l.held != nil {
		return
	}
	p := &l.pubs[slotVideo]
	up := l.upstreams[p.mid]
	if p.source == nil || up == nil || up.LastPacket().IsZero() {
		return
	}
	if !stalled(up) {
		l.refill = refill{}
		return
	}
	if l.lastHeard().Sub(up.LastPacket()) < time.Second {
		return // everything is silent: the network, not the camera
	}
	if l.refill.asked >= len(refillWaits) || now.Sub(l.refill.last) < refillWaits[l.refill.asked] {
		return
	}
	if len(l.sections)+2 > maxAsking {
		l.room.rehome(l, "the camera fell silent too often")
		return
	}
	l.refill.asked++
	l.refill.last = now
	l.ask = []jsep.Kind{jsep.Audio, jsep.Video}
	l.room.engine.count.refilled.Add(1)
	l.log.Info("camera silent, asked for again", "attempt", l.refill.asked)
}

// onTransceiverRequest serves a client that never offers but has a track more to send.
func (r *room) onTransceiverRequest(key legKey, kind webrtc.RTPCodecType) {
	if l := r.legs[key]; l != nil && l.established && len(l.ask) < maxSections {
		l.ask = append(l.ask, jsep.Kind(kind.String()))
		r.settle()
	}
}

// lastHeard is when the last packet of any track came.
func (l *leg) lastHeard() time.Time {
	var last time.Time
	for _, up := range l.upstreams {
		if t := up.LastPacket(); t.After(last) {
			last = t
		}
	}
	return last
}
