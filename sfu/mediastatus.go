package sfu

import "time"

// MediaState is whether a member's media reach the server.
type MediaState string

// The states.
const (
	MediaOK      MediaState = "ok"
	NoConnection MediaState = "no-connection"
	NoMedia      MediaState = "no-media"
)

// MediaReason says more about a state that is not ok.
type MediaReason string

// The reasons: the first three of NoConnection, the others of NoMedia.
const (
	ReasonICE     MediaReason = "ice"     // no connectivity check has succeeded: most likely a firewall
	ReasonDTLS    MediaReason = "dtls"    // checks have, and the handshake has not
	ReasonLost    MediaReason = "lost"    // it was there
	ReasonNever   MediaReason = "never"   // not a packet has come of what the client says it sends
	ReasonStopped MediaReason = "stopped" // some have, and no more
)

// MediaReasons are all of them, with their states.
var MediaReasons = [...]struct {
	Reason MediaReason
	State  MediaState
}{
	{ReasonICE, NoConnection}, {ReasonDTLS, NoConnection}, {ReasonLost, NoConnection},
	{ReasonNever, NoMedia}, {ReasonStopped, NoMedia},
}

// MediaStatus is what a member is told of a call's media.
type MediaStatus struct {
	Peer   string // the member at the far side
	Screen bool
	Own    bool // it is the receiver's own connection or media, else that of Peer
	State  MediaState
	Reason MediaReason // empty with MediaOK
}

// checkMedia tells both members of a call when the media of one have not come for a while, and when they do again.
func (l *leg) checkMedia(now time.Time) {
	if state, reason, known := l.mediaState(now); known {
		l.room.tellMedia(l.key, state, reason)
	}
}

// mediaState looks at what the client says it sends. Not known: it is too early to tell, and what was told holds.
func (l *leg) mediaState(now time.Time) (state MediaState, reason MediaReason, known bool) {
	patience := l.room.engine.opts.MediaTimeout
	switch {
	case l.dropped || !l.established:
		return
	case !l.connected:
		if now.Sub(l.establishedAt) < patience {
			return
		}
		if l.conn.link.path.Load() != nil {
			return NoConnection, ReasonDTLS, true
		}
		return NoConnection, ReasonICE, true
	case l.lost(now):
		return NoConnection, ReasonLost, now.Sub(l.conn.heard()) > patience
	}
	silent, never := 0, 0
	for slot := range l.pubs {
		src := l.pubs[slot].source
		if src == nil || l.pubs[slot].track == "" {
			continue // nothing, or a direction alone, behind which no track need be
		}
		if src.arrives() {
			return MediaOK, "", true
		}
		up := src.uploader
		if up == nil || !up.connected {
			continue // whose own state says it
		}
		last, begun := src.media.LastPacket(), up.connectedAt
		if s := up.sectionOf(src); s != nil {
			begun = latest(begun, s.usedSince)
		}
		switch {
		case now.Sub(latest(last, begun)) <= patience:
			return
		case last.IsZero():
			never++
		case src.screen:
			return MediaOK, "", true // nothing moves on it
		}
		silent++
	}
	switch silent {
	case 0:
		return MediaOK, "", true
	case never:
		return NoMedia, ReasonNever, true
	}
	return NoMedia, ReasonStopped, true
}

// sectionOf is the one in which the client sends a source on this leg, nil if none.
func (l *leg) sectionOf(src *source) *section {
	for slot := range l.pubs {
		if l.pubs[slot].source == src {
			return l.section(l.pubs[slot].mid)
		}
	}
	return nil
}

// trouble is a MediaStatus that both members of a call know of.
type trouble struct {
	state  MediaState
	reason MediaReason
}

// tellMedia tells both members of a call what became of the media of one, unless they know.
func (r *room) tellMedia(key legKey, state MediaState, reason MediaReason) {
	known := r.troubles[key]
	if known == (trouble{state, reason}) || known == (trouble{}) && state == MediaOK {
		return
	}
	if state == MediaOK {
		delete(r.troubles, key)
	} else {
		r.troubles[key] = trouble{state, reason}
		r.engine.countTrouble(reason)
		r.log.Info("media missing", "member", key.client, "peer", key.peer, "screen", key.screen, "state", string(state), "reason", string(reason))
	}
	if out := r.engine.outbox; out != nil {
		out.MediaStatus(r.id, key.client, MediaStatus{Peer: key.peer, Screen: key.screen, Own: true, State: state, Reason: reason})
		out.MediaStatus(r.id, key.peer, MediaStatus{Peer: key.client, Screen: key.screen, State: state, Reason: reason})
	}
}

func (e *Engine) countTrouble(reason MediaReason) {
	for i := range MediaReasons {
		if MediaReasons[i].Reason == reason {
			e.count.troubles[i].Add(1)
		}
	}
}
