package sfu

import (
	"time"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/bwe"
	"skillsage/sfu/media"
)

// What a viewer can take is estimated on each leg and shared out over all legs of
// the member (allocate), since they end at the same access link. Then each feed
// leaves out what does not fit, where its source has layers; a publisher without
// layers is asked to send no more than its viewers can take; and a viewer who takes
// far less than the others gets an upload of its own.
const (
	adaptInterval = 200 * time.Millisecond

	wireShare  = 1.05 // bits on the wire for each bit of RTP packets
	limitShare = 0.95 // of what viewers can take: what a publisher is asked for

	splitAfter = time.Second     // of being far below the others; twice as long each time that it did not last
	splitMost  = 5               // times that it doubles
	joinAfter  = 8 * time.Second // of being able to take what they get

	overLimit = 1.5 // times its share: a picture without layers is too much

	congestedQueue = 60 * time.Millisecond
	congestedLoss  = 0.1             // more than the inherent part
	freshFor       = time.Second     // what feedback says is so, transport-wide
	freshReports   = 5 * time.Second // and without

	raisePause   = 5 * time.Second // after a step down
	raiseMargin  = 1.15
	probeFirst   = 10 * time.Second // after it has become clear that a layer fits, before a higher one is tried
	probeLongest = 2 * time.Minute
	probeJudged  = 8 * time.Second // a step down within it means that the attempt failed
)

// share is what a viewer gets of one picture.
type share struct {
	allowed uint64 // bit/s on the wire
	pause   pause
	lowered time.Time // the last step down
	probed  time.Time // the last attempt to go up
	probing time.Duration
}

// viewing is a picture on its way to one viewer.
type viewing struct {
	leg     *leg
	section *section
	source  *source
	demand  demand
	calm    bool // the leg carries all that it is sent, with room

	congestion congestion // of the member's link
}

// adapting is space for adapt.
type adapting struct {
	viewings  []*viewing
	pictures  []*demand
	estimates []bwe.Estimate
	panels    []*source // those that have a panel
	reach     []uint64
}

// adapt makes what is sent and published fit what the viewers can take.
func (r *room) adapt(now time.Time) {
	if now.Sub(r.adapted) < adaptInterval {
		return
	}
	r.adapted = now
	for _, m := range r.everyone {
		for _, s := range m.sources {
			if s.key.kind == webrtc.RTPCodecTypeVideo {
				s.observe()
			}
		}
	}
	for _, m := range r.everyone {
		for _, v := range m.receive(now) {
			v.section.share.allowed = v.demand.allowed
			target, before := v.target(now), v.section.feed.Target()
			v.section.feed.SetTarget(target)
			if target.Paused != before.Paused {
				v.leg.log.Debug("picture paused or resumed", "paused", target.Paused, "mid", v.section.mid, "allowed", v.demand.allowed, "rate", v.demand.rate)
			}
			r.adapting.see(v.source, v)
			if small := v.awaits(); small != nil {
				r.adapting.see(small, v) // which has to begin as small as is right for it
			}
		}
	}
	for _, m := range r.everyone {
		if r.engine.opts.SmallUploads {
			m.split(now)
		}
		for _, s := range m.sources {
			s.hold()
		}
	}
	r.adapting.forget()
	for _, l := range r.order {
		if l.connected {
			l.conn.port.SetReceiveLimit(l.receiveLimit())
		}
	}
}

// see notes that a viewer is shown a source.
func (a *adapting) see(s *source, v *viewing) {
	if len(s.panel) == 0 {
		a.panels = append(a.panels, s)
	}
	s.panel = append(s.panel, v)
}

// forget ends all panels, and holds on to nothing of what was looked at.
func (a *adapting) forget() {
	for _, s := range a.panels {
		for _, v := range s.panel {
			*v = viewing{}
		}
		clear(s.panel)
		s.panel = s.panel[:0]
	}
	clear(a.viewings[:cap(a.viewings)])
	clear(a.pictures[:cap(a.pictures)])
	clear(a.panels)
	a.panels = a.panels[:0]
}

// receive shares out what the member can take. Without a sign of congestion on any
// of its legs nothing is limited. The result lasts until the next call.
func (m *member) receive(now time.Time) []*viewing {
	a := &m.room.adapting
	all, pictures, estimates := a.viewings[:0], a.pictures[:0], a.estimates[:0]
	voices := 0
	for _, l := range m.room.order {
		if l.client != m || !l.connected {
			continue
		}
		estimate := l.conn.port.Estimate()
		if estimate.Known {
			estimates = append(estimates, estimate)
		}
		for _, s := range l.sections {
			switch {
			case s.shown == nil || s.feed == nil || !s.shown.arrives(): // nothing to send takes nothing
			case s.slot == slotAudio || s.slot == slotExtraAudio:
				voices++
			default:
				v := &s.viewing
				*v = viewing{leg: l, section: s, source: s.shown, calm: calm(&estimate)}
				v.demand = demand{screen: s.shown.screen, aside: s.shown.member.role == m.role, rate: s.shown.rate, allowed: unlimited}
				all = append(all, v)
				pictures = append(pictures, &v.demand)
			}
		}
	}
	a.viewings, a.pictures, a.estimates = all, pictures, estimates
	if len(estimates) == 0 {
		return all
	}
	link := m.link.Update(now.Sub(m.room.engine.started).Nanoseconds()+1, estimates)
	if link.Limited {
		allocate(budget(&link), voices, pictures)
		for _, v := range all {
			v.congestion = congestionOf(&link)
		}
	}
	return all
}

// awaits is the small picture that is on its way to this viewer, nil for none.
func (v *viewing) awaits() *source {
	own := v.leg.opposite
	if own == nil || !own.small || v.source.key.small || v.section.slot != slotVideo {
		return nil
	}
	if small := own.pubs[slotVideo].source; small != nil && small.key.common() == v.source.key {
		return small
	}
	return nil
}

// budget is what may be sent for the first time: what is lost whatever is sent is
// sent again. What is lost because it is too much, the limit has in it.
func budget(link *bwe.Estimate) uint64 {
	return uint64(float64(link.Bitrate) * (1 - min(link.InherentLoss, 0.25)))
}

// congestionOf a link, by feedback that is fresh: in the dark nothing is known.
func congestionOf(e *bwe.Estimate) congestion {
	switch {
	case e.Age > freshFor && (e.Source == bwe.TransportWide || e.Age > freshReports):
		return uncongested
	case e.State == bwe.Overuse || e.QueueDelay > congestedQueue:
		return queueing
	case e.Loss-e.InherentLoss > congestedLoss:
		return losing
	}
	return uncongested
}

// calm tells that a leg has room above what it is sent.
func calm(e *bwe.Estimate) bool {
	return e.State != bwe.Overuse && e.QueueDelay < 40*time.Millisecond && e.Loss-e.InherentLoss < 0.02 &&
		e.Bitrate > e.Acknowledged+e.Acknowledged/4
}

// target is what the feed sends of its source.
func (v *viewing) target(now time.Time) media.Target {
	sh, allowed := &v.section.share, v.demand.allowed
	layers := v.source.layers
	paused := sh.pause.look(now, v.need(), v.congestion)
	if paused || v.awaits() != nil {
		return media.Target{Paused: true} // voice comes first
	}
	if allowed == unlimited || len(layers) < 2 {
		return media.HighestTarget // a publisher without layers is asked to send less
	}
	present := v.section.feed.Target()
	at := position(layers, present)
	fit := 0
	for i, l := range layers {
		margin := wireShare
		if i > at {
			margin = raiseMargin
		}
		if l.Active && float64(l.Bitrate)*margin <= float64(allowed) && v.prefers(&layers[i], &layers[fit]) {
			fit = i
		}
	}
	switch {
	case fit < at && v.congestion == uncongested && !sh.probed.IsZero() && now.Sub(sh.probed) < probeJudged:
		fit = at // an attempt lasts until something speaks against it, or it has been proved
	case fit < at:
		if !sh.probed.IsZero() && now.Sub(sh.probed) < probeJudged {
			sh.probing = min(2*sh.probing, probeLongest)
			sh.probed = now.Add(-probeJudged)
		}
		sh.lowered = now
	case now.Sub(sh.lowered) < raisePause && !sh.lowered.IsZero():
		fit = at
	case fit == at && v.calm && at+1 < len(layers) && layers[at+1].Active:
		// The estimate never grows far above what is sent, so that a bigger layer has to be tried.
		sh.probing = max(sh.probing, probeFirst)
		if now.Sub(later(sh.probed, sh.lowered)) > sh.probing {
			sh.probed = now
			fit = at + 1
		} else if !sh.probed.IsZero() && now.Sub(sh.probed) < probeJudged {
			fit = at
		}
	}
	return media.Target{Spatial: layers[fit].Spatial, Temporal: layers[fit].Temporal}
}

// need tells whether the picture fits, as it is or with layers left out.
func (v *viewing) need() need {
	switch allowed := v.demand.allowed; {
	case allowed == unlimited:
		return fits
	case allowed == 0:
		return nothing
	case len(v.source.layers) < 2 && float64(v.source.rate) > overLimit*float64(allowed):
		return over
	}
	return fits
}

// prefers compares two layers that fit: of a camera the one with more to it, of a
// screen the one with the bigger picture, at whatever frame rate.
func (v *viewing) prefers(a, b *media.LayerInfo) bool {
	if v.demand.screen && a.Spatial != b.Spatial {
		return a.Spatial > b.Spatial
	}
	return a.Bitrate >= b.Bitrate
}

// position is the place of a target among the layers: the last one within it.
func position(layers []media.LayerInfo, t media.Target) int {
	at := 0
	for i, l := range layers {
		if l.Active && l.Spatial <= t.Spatial && l.Temporal <= t.Temporal {
			at = i
		}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// observe measures what is published.
func (s *source) observe() {
	s.layers = s.media.Layers(s.layers[:0])
	s.rate, s.spatial, s.base = 0, 0, 0
	defer func() {
		if s.rate > s.full || s.cap == unlimited && s.rate > 0 {
			s.full = s.rate
		}
	}()
	for i, l := range s.layers {
		if !l.Active {
			continue
		}
		rate := uint64(float64(l.Bitrate) * wireShare)
		s.rate = max(s.rate, rate)
		s.spatial = max(s.spatial, l.Spatial)
		if s.base == 0 || i == 0 {
			s.base = rate
		}
	}
}

// reach is how much may be published for this viewer: where frames can be left
// out for it, what it can take is compared with the rest.
func (v *viewing) reach() uint64 {
	s := v.source
	if v.demand.allowed == unlimited || s.base == 0 || s.rate <= s.base {
		return v.demand.allowed
	}
	return uint64(float64(v.demand.allowed) * float64(s.rate) / float64(s.base))
}

// hold limits a source to what its panel can take. With simulcast nothing has to
// be held back. Who can take nothing is only asked where nobody else is: the picture is
// a small one for such viewers, or paused for the last of them, and comes back small.
func (s *source) hold() {
	s.cap = unlimited
	if s.spatial > 0 {
		return
	}
	a := &s.member.room.adapting
	a.reach = a.reach[:0]
	starved := false
	for _, v := range s.panel {
		own := v.leg.opposite
		switch {
		case v.demand.allowed == 0:
			starved = starved || s.key.small || v.section.share.pause.paused()
		case own == nil || own.apart.IsZero() || s.key.small:
			a.reach = append(a.reach, v.reach())
		}
	}
	s.cap = panelCap(a.reach, starved, s.member.room.engine.opts.PanelPercentile)
}

// receiveLimit is what the client is asked to send at most on the leg, in bit/s; 0:
// whatever it can.
func (l *leg) receiveLimit() uint64 {
	limit, limited := uint64(audioShare), false
	for slot := range l.pubs {
		s := l.pubs[slot].source
		if s == nil || slotKind(slot) != "video" || s.uploader != l {
			continue
		}
		if s.cap == unlimited {
			limit += uint64(float64(s.rate)*headroom) + 300_000
			continue
		}
		limited = true
		limit += uint64(limitShare * float64(max(s.cap, cameraLeast)))
	}
	if !limited {
		return 0
	}
	return limit
}

// split finds viewers of the member's pictures that can take far less than the
// others: the leg towards such a viewer uploads a small picture beside the common
// one. All small ones of a source are one source again.
func (m *member) split(now time.Time) {
	for _, s := range m.sources {
		if s.spatial > 0 || len(s.panel) == 0 {
			continue
		}
		if s.key.small {
			m.rejoin(s, now)
			continue
		}
		best := uint64(0)
		for _, v := range s.panel {
			best = max(best, v.reach())
		}
		for _, v := range s.panel {
			own := v.leg.opposite
			if own == nil || own.pubs[v.section.slot].source != s || v.section.slot >= slotExtraAudio {
				continue // it is served by another viewer's leg
			}
			if !splits(max(v.reach(), v.demand.least()), best, s.full) { // a small one is tried even where nothing is left
				own.apart = time.Time{}
			} else if own.apart.IsZero() {
				own.apart = now
			} else if now.Sub(own.apart) > splitAfter<<min(own.splits, splitMost) {
				own.splits++
				own.publishSmall(true)
			}
		}
	}
}

// parting tells that the leg's viewer is about to get an upload of its own: if the
// leg has the common one, that goes to another leg before.
func (l *leg) parting() bool { return !l.small && !l.apart.IsZero() }

// rejoin lets viewers of the small picture have the common one again that can take
// it, or for whom alone it would be.
func (m *member) rejoin(s *source, now time.Time) {
	key := s.key
	key.small = false
	common := m.source(key)
	for _, v := range s.panel {
		own := v.leg.opposite
		if own == nil || !own.small || own.pubs[v.section.slot].source != s {
			continue
		}
		alone := common == nil || len(common.panel) == 0
		switch fits := alone || v.demand.allowed == unlimited || v.demand.allowed >= max(common.rate, common.full); {
		case !fits:
			own.apart = now
		case alone && now.Sub(own.smallSince) > splitAfter, now.Sub(own.apart) > joinAfter:
			own.publishSmall(false)
		}
	}
}

// publishSmall makes the leg's picture the small or the common one.
func (l *leg) publishSmall(small bool) {
	now := time.Now()
	l.small, l.smallSince, l.apart = small, now, time.Time{}
	l.published = nil
	l.log.Info("small upload", "on", small)
	l.room.engine.count.smalls.Add(1)
	l.client.publish(l)
}
