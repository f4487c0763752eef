package sfu

import "time"

// Level is how well a leg does, as its member notices it.
type Level string

// The levels, from the best on.
const (
	Good Level = "good" // nothing is noticed
	Fair Level = "fair" // noticed now and then
	Poor Level = "poor" // voice or picture suffers
	Lost Level = "lost" // the client cannot be reached at present
)

// grades are the worst figures with which a leg still is at a level; beyond the
// last it is poor. The loss is the greater one of both ways, the jitter the
// greatest of the voices of both ways: that of a picture tells more of its encoder
// than of the network. Round trip times follow ITU-T G.114, which calls 150 ms one
// way hardly noticed and 400 ms the limit, with the half of the way that lies
// behind the server left free; jitter is what the receiver delays by.
var grades = [...]struct {
	level  Level
	rtt    time.Duration
	jitter time.Duration
	loss   float64
}{
	{Good, 250 * time.Millisecond, 50 * time.Millisecond, 0.02},
	{Fair, 500 * time.Millisecond, 120 * time.Millisecond, 0.08},
}

// levelOf grades figures.
func levelOf(f *figures) Level {
	for _, g := range grades {
		if f.rtt <= g.rtt && f.voiceJitter <= g.jitter && max(f.lossUp, f.lossDown) <= g.loss {
			return g.level
		}
	}
	return Poor
}

// grade sets the level of the last sample: worse at once, good again only after a
// sample that was fair, so that it does not flicker.
func (m *legMeter) grade(unreachable bool) {
	before, level := m.now.level, levelOf(&m.now)
	switch {
	case unreachable:
		level = Lost
	case (before == Poor || before == Lost) && level == Good:
		level = Fair
	}
	m.now.level = level
}

// Quality is how a leg does. Up is from the client to the server.
type Quality struct {
	Peer   string
	Screen bool
	Level  Level
	// PeerLevel is that of the other half of the same call, the peer's own leg; empty: it has none.
	PeerLevel              Level
	RTT                    time.Duration // between client and server; 0: not known
	LossUp, LossDown       float64       // ratio, before repair; -1: nothing went that way
	BitrateUp, BitrateDown uint64        // bit/s of RTP
	Path                   Path
	Estimate               uint64 // bit/s that go through to the client at least; 0: not known
}

// tellQuality tells every member how its legs do, if it is time for that.
func (r *room) tellQuality(now time.Time) {
	every := r.engine.opts.QualityInterval
	if out := r.engine.outbox; out == nil || every < 0 || now.Sub(r.meter.told) < every-sampleInterval/2 {
		return
	}
	r.meter.told = now
	told := make(map[*member][]Quality, len(r.members))
	for _, l := range r.order {
		if l.connected && !l.meter.now.at.IsZero() {
			told[l.client] = append(told[l.client], l.quality())
		}
	}
	for m, legs := range told {
		r.engine.outbox.Quality(r.id, m.id, legs)
	}
}

func (l *leg) quality() Quality {
	f := &l.meter.now
	q := Quality{
		Peer: l.key.peer, Screen: l.key.screen, Level: f.level, RTT: f.rtt, LossUp: f.lossUp, LossDown: f.lossDown,
		BitrateUp: f.bitrateUp, BitrateDown: f.bitrateDown, Path: l.meter.path, Estimate: f.estimate,
	}
	if opp := l.opposite; opp != nil && opp.connected {
		q.PeerLevel = opp.meter.now.level
	}
	return q
}
