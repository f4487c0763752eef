package media

import "time"

// playoutDelayURI is a header extension by which a sender says how long at least, and at most, a receiver is to
// wait before it shows a picture.
const playoutDelayURI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

const (
	playoutUnit = int64(10e6) // of both values, which have 12 bits each
	playoutMost = 1000        // at most: 10 s, which is what receivers do by themselves
	// repairMargin is what a repair takes beside the round trip: that the packet may only be late, that requests
	// are gathered, and jitter.
	repairMargin = int64(60e6)
	repairLeast  = int64(80e6)
	repairMost   = int64(400e6)
	repairStep   = int64(40e6) // less of a change is not worth it: pictures run faster or slower until it is made

	// Losses by which waiting for repairs becomes worth it, and by which no longer: about 1 and 0.2 % of a camera's
	// packets. They are counted over repairMemory looks: one each surveyInterval, or one for each receiver report.
	repairBegins, repairEnds = 4.0, 0.8
	repairMemory             = 20
	repairHold               = int64(10e9)
)

// repairWait decides how long a viewer should wait for the repair of what is lost on the path of the publisher, or on the
// viewer's own. A browser learns to wait only from losses of its own, and slowly: with a good line to the
// server, it shows each of the publisher's losses as a picture that stands still for a round trip.
type repairWait struct {
	lost   uint64  // packets ever, at the last look
	recent float64 // lost lately
	until  int64
	wait   time.Duration // 0: none
	told   bool          // viewers have once been told of a wait
}

// look takes how many packets have been lost ever, and the round trip time; 0: not known.
func (w *repairWait) look(lost uint64, rtt, now int64) {
	w.recent -= w.recent / repairMemory
	if lost > w.lost {
		w.recent += float64(lost - w.lost)
	}
	w.lost = lost
	if w.recent >= repairBegins || w.wait > 0 && w.recent >= repairEnds {
		w.until = now + repairHold
	}
	if now >= w.until {
		w.wait = 0
		return
	}
	if rtt == 0 {
		rtt = defaultRTT
	}
	wait := min(max(rtt+repairMargin, repairLeast), repairMost)
	if apart := wait - int64(w.wait); w.wait == 0 || apart >= repairStep || apart <= -repairStep {
		w.wait, w.told = time.Duration(wait), true
	}
}

// playoutDelay is the value of the header extension; 0: it need not be sent. Receivers go by the last one they
// got, so that the end of a wait has to be told too.
func (w *repairWait) playoutDelay() uint32 {
	if !w.told {
		return 0
	}
	least := (int64(w.wait) + playoutUnit - 1) / playoutUnit
	return uint32(least)<<12 | playoutMost
}
