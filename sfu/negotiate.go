package sfu

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"skillsage/sfu/jsep"
)

var errTooManyLegs = errors.New("too many media connections are open: the limit of the room or of the server is reached")

// onOffer takes a client's offer. It is answered at once where the other side
// is known to answer, else held (a string's worth) until that side has: only
// then are directions, streams and codecs exact.
func (r *room) onOffer(key legKey, desc *jsep.Description) {
	if key.client == key.peer {
		return
	}
	l := r.leg(key)
	if l == nil {
		if r.members[key.client] != nil && r.members[key.peer] != nil && r.engine.outbox != nil {
			r.engine.outbox.State(r.id, key.client, key.peer, key.screen, "refused", errTooManyLegs.Error())
		}
		return
	}
	if l.out != nil {
		r.engine.count.glares.Add(1)
	} else if !l.established {
		l.clientOffered = true
	}
	l.held, l.heldSince = desc, time.Now()
	l.parked = false
	l.client.proven, l.client.alive = true, l.heldSince
	l.client.learn(desc, l.applied == nil || l.applied.Fingerprint != desc.Fingerprint)
	for _, c := range desc.Candidates {
		l.takeInlineCandidate(c, desc.Ufrag)
	}
	opp := r.leg(key.opposite())
	if opp == nil {
		l.refuse(errTooManyLegs)
		return
	}
	if opp.conn == nil && opp.held == nil && !opp.parked {
		opp.wantFirst = true
	}
	if !l.established && l.conn == nil {
		r.engine.count.held.Add(1)
	}
	r.settle()
}

// onAnswer takes a client's answer to the server's one open offer.
func (r *room) onAnswer(key legKey, desc *jsep.Description) {
	l := r.legs[key]
	if l == nil || len(desc.Sections) == 0 {
		return
	}
	l.client.proven, l.client.alive = true, time.Now()
	if l.out == nil {
		r.engine.count.late.Add(1)
		l.answeredLate(desc)
		r.settle()
		return
	}
	if !slices.Equal(l.out.layout, layout(desc)) {
		return // an answer to another offer
	}
	for _, c := range desc.Candidates {
		l.takeInlineCandidate(c, desc.Ufrag)
	}
	l.answer = desc
	l.client.learn(desc, false)
	if l.held != nil { // an offer that crossed the server's was rolled back for this answer
		l.client.polite = true
		l.rolledBack = l.out.first
		l.held = nil
	}
	r.settle()
}

// answeredLate meets an answer to an offer that is not open any more.
func (l *leg) answeredLate(desc *jsep.Description) {
	switch {
	case l.parked: // somebody was at a camera prompt for longer than a leg is kept
		l.parked = false
		l.wantFirst = true
	case l.withdrawn == nil || !slices.Equal(l.withdrawn.layout, layout(desc)):
	case l.withdrawn.first:
		// A slow client that did roll back: its connection has the withdrawn
		// offer's sections, and takes a new offer of the same ones.
		l.client.polite = true
		l.held = nil
		l.disconnect()
		l.wantFirst = true
		l.restarted()
	case !l.key.screen:
		l.client.polite = true
		l.room.rehome(l, "an offer was answered after it was withdrawn")
	}
}

func (r *room) onRenegotiate(key legKey) {
	if l := r.legs[key]; l != nil && l.established {
		l.wantOffer = true
		r.settle()
	}
}

// layout is what an answer must share with its offer (RFC 8829 section 5.3.1).
func layout(desc *jsep.Description) []string {
	list := make([]string, len(desc.Sections))
	for i := range desc.Sections {
		list[i] = string(desc.Sections[i].Kind) + " " + desc.Sections[i].MID
	}
	return list
}

// advance starts the next step of a leg's negotiation, if there is one.
func (l *leg) advance() {
	if l.busy || l.dropped {
		return
	}
	switch {
	case l.answer != nil && l.out != nil:
		l.applyAnswer()
	case l.held != nil:
		l.advanceHeld()
	case l.out == nil && l.mayOffer() && l.needsOffer():
		l.makeOffer()
	}
}

// advanceHeld answers a held offer as soon as that is right.
func (l *leg) advanceHeld() {
	if l.applied != nil && l.applied.Fingerprint != l.held.Fingerprint {
		l.log.Debug("client has a new connection")
		l.disconnect() // the stack cannot restart DTLS (pion/webrtc#1636)
	}
	if l.out != nil {
		// Glare. Most clients roll back and answer the server's offer, and their
		// own is dead then; an impolite one ignores the server's. So does a polite
		// one whose connection was in the middle of being made, and nothing is lost
		// on a first offer: a late answer is met with another one.
		patience := l.room.engine.opts.GlareTimeout
		if l.client.polite && !l.out.first {
			patience = l.room.engine.opts.AnswerTimeout
		}
		if time.Since(l.heldSince) < patience {
			return
		}
		l.log.Debug("server's offer withdrawn")
		withdrawn := l.out
		if withdrawn.first {
			l.disconnect()
		}
		l.out, l.withdrawn = nil, withdrawn
		l.release()
		if withdrawn.restart && l.applied != nil && l.applied.Ufrag == l.held.Ufrag {
			// An answer cannot restart ICE alone (RFC 8839 section 4.4.2), and the stack has no way back.
			l.startOver("an offer crossed an ICE restart")
			return
		}
	}
	if l.mayAnswer() {
		l.makeAnswer()
	}
}

// mayAnswer tells whether what the peer sends is known.
func (l *leg) mayAnswer() bool {
	if l.established {
		return true
	}
	opp := l.opposite
	return opp != nil && (opp.established || opp.held != nil)
}

// mayOffer keeps to one open offer for a member that has never answered.
func (l *leg) mayOffer() bool {
	return !l.parked && (l.client.proven || l.client.offering == nil || l.client.offering == l)
}

// awaitsCall tells whether the client is about to make the offer itself, as
// recruiters do who enter a room with others in it. Where both offers cross, the
// client's rollback may come while it looks for its addresses, after which
// Chromium finds none on that connection and nothing but a new one helps.
func (l *leg) awaitsCall() bool {
	opp := l.opposite
	return !l.key.screen && l.client.role == recruiter && l.peer.role == recruiter &&
		opp != nil && opp.held != nil && time.Since(opp.heldSince) < callTimeout
}

// needsOffer compares what was agreed with what should be.
func (l *leg) needsOffer() bool {
	if l.conn == nil {
		return l.wantFirst && !l.awaitsCall()
	}
	if !l.established {
		return false
	}
	if l.wantOffer || l.wantRestart || len(l.ask) > 0 || l.turnsUpload(time.Now()) {
		return true
	}
	wanted := l.wanted()
	for slot := range wanted {
		s := l.inSlot(slot)
		switch want := wanted[slot].source != nil; {
		case want && s == nil:
			return true
		case want && (!s.agreed || !s.local.Send) && !s.refused:
			return true
		case !want && s != nil && s.agreed && s.local.Send && (!l.key.screen || time.Since(s.idleSince) > endDelay):
			return true
		}
	}
	return false
}

// makeOffer sends the server's next offer: the first one of a connection, or a
// later one that changes what is sent, received or both.
func (l *leg) makeOffer() {
	first := l.conn == nil
	wanted := l.wanted()
	var added []*section
	add := func(kind jsep.Kind, slot int, wantRecv bool) {
		s := &section{mid: l.nextMID(len(added)), kind: kind, slot: slot, wantRecv: wantRecv}
		s.stream, s.track = l.msid(wanted, slot, kind)
		added = append(added, s)
	}
	if first {
		// A fixed layout: an answering client can only send in what it is offered,
		// and a viewer's connection outlives every share.
		add(jsep.Audio, slotAudio, true)
		add(jsep.Video, slotVideo, true)
	}
	for slot := range wanted {
		if wanted[slot].source != nil && l.inSlot(slot) == nil && !(first && slot <= slotVideo) {
			add(slotKind(slot), slot, false)
		}
	}
	spares := map[jsep.Kind]int{jsep.Audio: l.spares(jsep.Audio), jsep.Video: l.spares(jsep.Video)}
	for _, kind := range l.ask {
		if spares[kind]--; spares[kind] < 0 {
			add(kind, -1, true)
		}
	}
	for _, s := range added {
		if s.slot == -1 && l.asked != nil {
			l.asked[s.mid] = true
		}
	}
	if len(l.sections)+len(added) > maxSections {
		l.room.rehome(l, "the connection has no room for another track")
		return
	}
	locals := make(map[string]jsep.Local)
	for _, s := range slices.Concat(l.sections, added) {
		locals[s.mid] = l.decide(s, nil, wanted)
		if s.slot >= 0 && wanted[s.slot].source != nil && !(s.agreed && s.local.Send) && s.feed != nil {
			s.feed.SetMSID(l.msid(wanted, s.slot, s.kind)) // a new share has a stream of its own
		}
	}
	off := l.off(locals)
	codecs := l.offeredCodecs(added)
	withData, restart := l.wantData, l.wantRestart && !first
	l.wantFirst, l.wantOffer, l.wantRestart, l.ask = false, false, false, nil
	if restart {
		now := time.Now()
		l.log.Info("ICE restarted", "silent", now.Sub(l.conn.heard()).Round(time.Millisecond), "before", l.restart.tries)
		l.restart.begun(now)
		l.room.engine.count.restarted.Add(1)
	}
	if !l.client.proven {
		l.client.offering = l
	}
	if first && !l.connect(withData) {
		return
	}
	c := l.conn
	l.start(func() func() {
		out := &offer{first: first, restart: restart, locals: locals, off: off}
		var text string
		var err error
		if first {
			out.desc, err = c.offerFirst(added, codecs)
		} else {
			out.desc, err = c.offerAgain(added, codecs, restart)
		}
		if err == nil {
			text, err = jsep.Rewrite(out.desc.SDP, decision(locals), l.room.engine.candidates())
		}
		return func() { l.offerMade(out, added, text, err) }
	})
}

// connect gives the leg a connection of the stack's.
func (l *leg) connect(withData bool) bool {
	c, err := l.newConn(withData)
	if err != nil {
		l.log.Error("no connection can be opened", "error", err)
		l.room.drop(l, "no connection")
		return false
	}
	l.conn = c
	return true
}

// offerMade sends an offer that the stack has made.
func (l *leg) offerMade(out *offer, added []*section, text string, err error) {
	if err != nil {
		l.log.Warn("leg cannot be offered", "error", err)
		l.room.drop(l, "offer failed")
		return
	}
	l.sections = append(l.sections, added...)
	sent, err := jsep.Parse(text)
	if err != nil {
		l.room.drop(l, "offer failed")
		return
	}
	out.layout = layout(sent)
	out.sent = time.Now()
	l.out = out
	if out.first {
		l.clientOffered = false
		l.log.Info("leg offered")
	}
	l.room.send(l, "offer", text)
}

// applyAnswer completes an exchange that the server began.
func (l *leg) applyAnswer() {
	desc, out, c := l.answer, l.out, l.conn
	l.answer = nil
	if l.applied != nil && l.applied.Fingerprint != desc.Fingerprint {
		// The client answered with a connection of its own making: meet it with one.
		l.log.Debug("client answered from a new connection")
		l.disconnect()
		l.wantFirst = true
		l.restarted()
		return
	}
	l.agree(desc)
	text, err := l.lasting(desc).Sanitize(l.codec)
	if err != nil {
		l.refuse(err)
		return
	}
	l.start(func() func() {
		err := c.accept(out, text)
		return func() {
			if err != nil {
				l.refuse(err)
				return
			}
			l.out = nil
			l.release()
			l.complete(desc, out.locals, out.off)
		}
	})
}

// makeAnswer answers the held offer.
func (l *leg) makeAnswer() {
	desc := l.held
	l.wantFirst = false
	l.agree(desc)
	l.client.publish(l)
	wanted := l.wanted()
	first := l.conn == nil
	var added []*section
	for i := range desc.Sections {
		s := &desc.Sections[i]
		if old := l.section(s.MID); old != nil && old.kind != s.Kind {
			l.refuse(fmt.Errorf("m= section %q was %s and became %s", s.MID, old.kind, s.Kind))
			return
		} else if old != nil || s.Kind == jsep.Application {
			continue
		}
		added = append(added, &section{mid: s.MID, kind: s.Kind, slot: -1, wantRecv: true})
	}
	if len(l.sections)+len(added) > maxSections {
		l.held = nil
		l.room.rehome(l, "the connection has no room for another track")
		return
	}
	all := slices.Concat(l.sections, added)
	l.assignSlots(all, desc, wanted)
	for _, s := range added {
		s.stream, s.track = l.msid(wanted, max(s.slot, 0), s.kind)
	}
	locals := make(map[string]jsep.Local)
	for _, s := range all {
		if remote := desc.Section(s.mid); remote != nil {
			locals[s.mid] = l.decide(s, remote, wanted)
			if s.feed != nil && s.slot >= 0 && wanted[s.slot].source != nil && !(s.agreed && s.local.Send) {
				s.feed.SetMSID(l.msid(wanted, s.slot, s.kind))
			}
		}
	}
	text, err := l.lasting(desc).Sanitize(l.codec)
	if err != nil {
		l.refuse(err)
		return
	}
	withData := desc.HasApplication()
	if first && !l.connect(withData) {
		return
	}
	c := l.conn
	l.start(func() func() {
		answer, err := c.respond(text, added)
		if err == nil {
			answer, err = jsep.Rewrite(answer, decision(locals), l.room.engine.candidates())
		}
		return func() {
			if err != nil {
				l.refuse(err)
				return
			}
			l.sections = append(l.sections, added...)
			if l.held == desc {
				l.held = nil
			}
			if l.connected && l.applied.Ufrag != desc.Ufrag {
				l.restart.begun(time.Now()) // the client did it
			}
			l.complete(desc, locals, nil)
			l.room.send(l, "answer", answer)
			if first {
				l.log.Info("leg answered")
			}
		}
	})
}

// complete records what both sides now have. off are the uploads that the server's
// offer kept off, about which the client's answer therefore says nothing.
func (l *leg) complete(desc *jsep.Description, locals map[string]jsep.Local, off map[string]bool) {
	restarted := l.applied == nil || l.applied.Ufrag != desc.Ufrag
	l.applied = desc
	l.checkUnsupported(desc)
	if restarted {
		l.candidatesAdded = 0
	}
	for _, s := range l.sections {
		remote := desc.Section(s.mid)
		if remote == nil {
			s.agreed = false
			continue
		}
		switch recv := locals[s.mid].Recv; {
		case recv && s.agreed && !s.local.Recv:
			s.usedSince = time.Now() // its track begins anew
		case !recv && s.agreed && s.local.Recv:
			l.turnedOff = time.Now()
		}
		s.agreed = true
		s.local = locals[s.mid]
		s.keep(remote, off[s.mid])
		s.keepSimulcast(remote)
		s.remote = remote.Direction
		if !s.used && remote.Direction.Send {
			s.used, s.usedSince = true, time.Now()
		}
		s.rejected = s.local.Reject || remote.Rejected
		s.sentOnce = s.sentOnce || s.local.Send
		s.refused = s.rejected || (s.local.Send && !remote.Direction.Recv)
		if s.refused {
			s.local.Send = false
		}
	}
	if !l.established {
		sends := func(s jsep.Section) bool { return s.Direction.Send }
		l.cameraGone = l.cameraGone || l.early && !slices.ContainsFunc(desc.Sections, sends)
		l.established, l.establishedAt = true, time.Now()
		l.connectBy = time.Now().Add(l.room.engine.opts.ConnectTimeout)
	}
	l.prepare()
	if opp := l.opposite; opp != nil && desc.HasApplication() {
		opp.wantData = true
	}
	l.room.openChannels(l)
}

// prepare has the key frame asked for with which a viewer begins who will be
// connected in a moment: it is then in the cache.
func (l *leg) prepare() {
	if l.connected {
		return
	}
	for _, p := range l.wanted() {
		if p.source != nil {
			p.source.media.RequestKeyFrame()
		}
	}
}

// decide is the server's direction of one section. remote is what the client
// offers, nil where the server offers.
func (l *leg) decide(s *section, remote *jsep.Section, wanted [slots]publication) jsep.Local {
	send := s.slot >= 0 && wanted[s.slot].source != nil
	recv := s.wantRecv
	if remote == nil && s.rejected {
		return jsep.Local{Reject: true}
	}
	if remote != nil {
		if remote.Rejected || l.codec(remote) == nil {
			return jsep.Local{Reject: true}
		}
		send = send && remote.Direction.Recv
		recv = remote.Direction.Send && l.selected(s.mid)
	} else if s.agreed && s.remote.Send && !l.selected(s.mid) {
		recv = false // a clone, or what the client's present camera replaced
	}
	if slot := l.slotOf(s.mid); slot >= 0 && recv {
		l.claim(slot)
		recv = l.uploads(slot)
	}
	local := jsep.Local{Send: send, Recv: recv, Paused: !send && s.sentOnce}
	if s.kind == jsep.Audio {
		local.Opus = l.opus()
	}
	return local
}

// selected tells whether a slot is filled from that section.
func (l *leg) selected(mid string) bool { return l.slotOf(mid) >= 0 }

// assignSlots finds sections for what the server sends among those of a
// client's offer: the first of each kind that can receive for the first stream,
// whether or not there is anything to send yet.
func (l *leg) assignSlots(all []*section, desc *jsep.Description, wanted [slots]publication) {
	for slot := range slots {
		if slot >= slotExtraAudio && wanted[slot].source == nil {
			continue
		}
		holder := l.slotHolder(all, slot)
		if holder != nil {
			remote := desc.Section(holder.mid)
			if remote == nil || (!remote.Rejected && remote.Direction.Recv) {
				continue
			}
		}
		for _, s := range all {
			remote := desc.Section(s.mid)
			if s.slot == -1 && s.kind == slotKind(slot) && remote != nil && !remote.Rejected && remote.Direction.Recv {
				if holder != nil {
					holder.slot = -1
				}
				s.slot = slot
				break
			}
		}
	}
}

func (l *leg) slotHolder(all []*section, slot int) *section {
	for _, s := range all {
		if s.slot == slot {
			return s
		}
	}
	return nil
}

// msid names a slot's track as its publisher did. All tracks of one stream must
// share one stream id: clients group a person's audio and video by it.
func (l *leg) msid(wanted [slots]publication, slot int, kind jsep.Kind) (stream, track string) {
	if slot < 0 {
		slot = slotAudio
	}
	other := slot ^ 1 // audio and video of one stream are neighbours
	for _, p := range []publication{wanted[slot], wanted[other]} {
		if stream == "" && p.source != nil && p.stream != "-" {
			stream = p.stream
		}
	}
	if stream == "" {
		stream = l.key.peer
	}
	track = wanted[slot].track
	if track == "" || wanted[slot].source == nil {
		track = fmt.Sprintf("%s-%s-%d", l.key.peer, kind, slot)
	}
	return stream, track
}

// nextMID is a mid that no client uses by itself: theirs are numbers.
func (l *leg) nextMID(pending int) string { return fmt.Sprintf("s%d", len(l.sections)+pending) }

// refuse ends a leg whose client sent what the stack cannot take.
func (l *leg) refuse(err error) {
	l.log.Warn("description refused", "error", err)
	l.held = nil
	l.room.state(l, "refused", err.Error())
	l.room.drop(l, "description refused")
}

func decision(locals map[string]jsep.Local) func(string) (jsep.Local, bool) {
	locals = maps.Clone(locals)
	return func(mid string) (jsep.Local, bool) {
		local, ok := locals[mid]
		return local, ok
	}
}
