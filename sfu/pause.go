package sfu

import "time"

const (
	shortFor = 2 * time.Second        // of nothing being left for a picture on a congested link, until it is paused
	overFor  = 4 * time.Second        // of far more being sent than it may take
	againFor = 600 * time.Millisecond // of either, when the last attempt to go on has just been made

	pauseLoss    = time.Second             // a pause for loss, until the picture goes on to see whether it fits,
	pauseQueue   = 1500 * time.Millisecond // and for a queue, in which voice stands too;
	pauseTries   = 3                       // so often; then twice as long each time that it was congested again
	pauseJudged  = 8 * time.Second         // within this,
	pauseLongest = 15 * time.Second        // up to this
)

// congestion is what feedback says of a link that carries less than it is sent.
type congestion int

const (
	uncongested congestion = iota
	losing                 // much is lost, which may have nothing to do with the rate
	queueing               // packets wait
)

// need is how a picture stands to what its viewer can take.
type need int

const (
	fits    need = iota
	over         // it is sent as it is, and far more than its share
	nothing      // nothing is left for it
)

// pause decides when a picture is taken away. Only congestion is a reason: a limit
// may be lower than the link is, and a picture that gets through does no harm. And
// what the link carries shows only when something is sent, so that a pause is short,
// and longer each time that it was right.
type pause struct {
	short   time.Time // since when the link is congested and the picture does not fit; zero: it is not so
	since   time.Time // when it was paused; zero: it is not
	hold    time.Duration
	tries   int // pauses that were right, one after the other
	resumed time.Time
}

// paused tells what look last returned.
func (p *pause) paused() bool { return !p.since.IsZero() }

// look returns whether the picture is paused.
func (p *pause) look(now time.Time, n need, c congestion) bool {
	switch {
	case !p.since.IsZero():
		if n != fits && now.Sub(p.since) < p.hold {
			return true
		}
		*p = pause{resumed: now, tries: p.tries}
	case n == fits || c == uncongested:
		p.short = time.Time{}
	case p.short.IsZero():
		p.short = now
	default:
		again := !p.resumed.IsZero() && now.Sub(p.resumed) < pauseJudged
		patience := shortFor
		switch {
		case again:
			patience = againFor
		case n == over:
			patience = overFor
		}
		if now.Sub(p.short) < patience {
			break
		}
		if !again {
			p.tries = 0
		}
		p.since, p.hold = now, pauseLoss
		if c == queueing {
			p.hold = pauseQueue
		}
		p.tries++
		for range min(p.tries-pauseTries, 8) {
			p.hold = min(2*p.hold, pauseLongest)
		}
		return true
	}
	return false
}
