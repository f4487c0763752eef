// Package bwe estimates how much a connection can carry, at the end that sends.
// It is made for a relay, which forwards a stream as it comes: nothing is paced,
// and nobody sends more just to try the link. So the estimate says what has been
// proved, with some room above it, and what is known to be too much.
//
// It takes transport-wide feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions-01); without that, receiver
// reports (RFC 3550 section 6.4.2) and the estimate of the receiver itself (REMB,
// draft-alvestrand-rmcat-remb-03). The method is of the family of
// draft-ietf-rmcat-gcc-02: the trend of the one-way delay and the loss say whether
// it is too much; then the estimate becomes a part of what has arrived, else it
// grows, but never far above what has arrived.
//
// Nothing here has a clock or a goroutine: times are monotonic nanoseconds that
// the caller passes.
package bwe

import "time"

// Options configures an Estimator; zero values mean the defaults.
type Options struct {
	Min uint64 // bit/s that the estimate never falls below; default 50,000
	Max uint64 // bit/s that it never exceeds; default 1,000,000,000
}

// Packet is one packet of which feedback has come.
type Packet struct {
	Sent     int64 // ns, by the sender's clock
	Received int64 // ns, by the receiver's clock, whose origin is unknown; not used if Lost
	Size     int32 // bytes on the wire
	Lost     bool
	Late     bool // received, though earlier feedback said that it was lost
}

// Source says what an estimate rests on.
type Source uint8

const (
	None            Source = iota // there is none
	TransportWide                 // transport-wide feedback
	ReceiverReports               // loss and round trip time of receiver reports
	REMB                          // the receiver's own estimate
)

func (s Source) String() string {
	return [...]string{"none", "transport-wide", "receiver-reports", "remb"}[s&3]
}

// Estimate is what is known of a connection at some time.
type Estimate struct {
	// Bitrate is what the connection carries in all likelihood, in bit/s on the
	// wire; 0 unless Known. As long as Limited is false it is only what has been
	// proved so far with room above it, and no reason to send less.
	Bitrate uint64
	Known   bool
	// Limited is set once more was sent than got through, until clearly more than
	// that gets through.
	Limited bool
	Source  Source

	Acknowledged uint64        // bit/s that arrived lately; 0: not known
	Sent         uint64        // bit/s sent meanwhile; 0: not known
	Loss         float64       // part of the packets lost in the last two seconds or so
	InherentLoss float64       // of it: the part that a lower rate does not change
	QueueDelay   time.Duration // that packets stand in a queue at least
	Trend        float64       // growth of the delay, ms as scaled for Threshold
	Threshold    float64       // the trend above which it is overuse
	State        State
	Age          time.Duration // since feedback of any kind came; 0 if none ever did
}

const (
	defaultMin = 50_000
	defaultMax = 1_000_000_000

	backOff      = 0.85 // of what arrives, at overuse
	backOffLoss  = 0.95 // and at loss without a queue
	backOffIdle  = 0.5  // of the estimate, at overuse by somebody who sends far less
	idlePart     = 0.6  // of the estimate, under which that is so
	growth       = 1.5  // times what arrives, and
	allowance    = 200_000.0
	growFast     = 0.25 // per second, far below the rate of the last congestion
	growFar      = 0.15 // above it
	growWary     = 0.03 // while there is some loss
	growNearLow  = 0.02 // near it: one packet per response time, between these
	growNearHigh = 0.08
	nearLow      = 0.7 // of the rate of the last congestion
	nearHigh     = 1.2
	nearPacket   = 1200 * 8.0

	queueHigh    = int64(100e6) // standing delay that has to drain first
	queueDrain   = int64(400e6) // above that: drained at full speed
	drainPart    = 0.15         // of the capacity, at full speed
	drainFor     = int64(15e9)  // after the last decrease
	decreaseWait = int64(200e6) // least time between two decreases
	decreaseSame = int64(2e9)   // within it two decreases are about the same congestion
	lossWait     = int64(2e9)   // between two for loss
	forgiveFor   = int64(15e9)
	clearAfter   = int64(10e9) // without congestion the limit may be lifted

	provenQueue = int64(10e6)
	provenAfter = rateWindow

	stepMost      = int64(500e6) // of time that growth is counted for
	feedbackStale = int64(3e9)   // without transport-wide feedback other sources count
	rembStale     = int64(10e9)
	sanePacket    = int64(1) << 60
	defaultRTT    = int64(100e6)
)

// Estimator estimates what one connection carries. It is not safe for concurrent
// use. Whatever it is given, it keeps within its limits.
type Estimator struct {
	min, max float64

	bitrate  float64 // 0: unknown
	limited  bool
	capacity float64 // at the last congestion; 0: there was none

	throughput throughput
	delay      delays
	loss       losses
	reports    reports

	now          int64
	steppedAt    int64
	decreasedAt  int64
	lossAt       int64   // last decrease for loss
	beforeLoss   float64 // the estimate before that and those before; 0: there is none to take back
	lossPart     float64 // of what arrives, to fall to at loss
	acknowledged float64
	sent         float64
	rtt          int64 // 0: not known
	response     int64 // smoothed, from sending to feedback

	feedbackAt int64 // 0: never
	evidenceAt int64
	remb       float64
	rembAt     int64 // 0: never
}

// New makes an Estimator that knows nothing yet.
func New(o Options) *Estimator {
	if o.Min == 0 {
		o.Min = defaultMin
	}
	if o.Max == 0 {
		o.Max = defaultMax
	}
	e := &Estimator{min: float64(o.Min), max: float64(max(o.Min, o.Max))}
	e.delay.reset()
	return e
}

// advance keeps time from going backwards and returns how much has passed.
func (e *Estimator) advance(now int64) int64 {
	e.now = max(e.now, now, 1)
	return e.now
}

// Feedback takes one transport-wide feedback: the packets that it speaks of, in
// the order of their numbers, and whether it goes on where the one before ended.
// It changes packets. A packet that makes no sense is left out.
func (e *Estimator) Feedback(now int64, contiguous bool, packets []Packet) {
	now = e.advance(now)
	newest, dark := int64(-1), false
	for i := range packets {
		p := &packets[i]
		if p.Size <= 0 || p.Size > 1<<16 || p.Sent < 0 || p.Sent > now ||
			!p.Lost && (p.Received > sanePacket || p.Received < -sanePacket) {
			*p = Packet{}
			continue
		}
		dark = e.loss.add(p) || dark
		if !p.Lost {
			newest = max(newest, p.Sent)
			if !p.Late {
				e.delay.add(p)
			}
		}
	}
	if newest < 0 {
		e.throughput.add(packets, contiguous)
		return
	}
	if e.feedbackAt == 0 || now-e.feedbackAt > feedbackStale {
		e.reports.reset()
	}
	e.feedbackAt, e.evidenceAt = now, now
	e.respond(min(now-newest, int64(10e9)))
	e.throughput.add(packets, contiguous && !dark)
	acknowledged, sent, span := e.throughput.rates()
	e.acknowledged, e.sent = min(acknowledged, e.max), min(sent, e.max)
	step := min(now-e.steppedAt, stepMost)
	e.steppedAt = now
	if e.acknowledged == 0 {
		return
	}
	e.loss.open.queue = max(e.loss.open.queue, e.delay.queue())
	learned := e.loss.inherent
	if e.loss.due(now) && e.loss.inherent > learned {
		e.forgive()
	}
	e.lossPart = backOffLoss
	e.control(now, step, e.delay.state, e.delay.queue(), span >= rateWindow)
	if e.bitrate > 0 && e.proves(now) {
		e.bitrate = max(e.bitrate, e.within(min(e.acknowledged, e.sent))) // out of a burst more seems to arrive
	}
}

func (e *Estimator) respond(took int64) {
	if e.response == 0 {
		e.response = took
		return
	}
	e.response += (took - e.response) / 8
}

// responseTime is how long it takes to see what a change of the rate does.
func (e *Estimator) responseTime() int64 {
	rtt := e.rtt
	if rtt == 0 {
		rtt = e.response
	}
	if rtt == 0 {
		rtt = defaultRTT
	}
	return min(rtt, int64(2e9)) + 100e6
}

// control lets the estimate follow what has been measured; settled says that this
// covers enough time to begin with.
func (e *Estimator) control(now, step int64, state State, queue int64, settled bool) {
	peak := e.throughput.notePeak(now, e.acknowledged)
	bound := min(growth*peak+allowance, e.max)
	wait := max(e.responseTime(), decreaseWait)
	switch {
	case state == Overuse:
		if queue >= queueHigh {
			wait = decreaseWait // what arrives is what the link carries, however often it is measured
		}
		if now-e.decreasedAt >= wait {
			e.decrease(now, backOff, true)
			e.beforeLoss = 0
		}
		return
	case e.loss.high():
		if now-e.decreasedAt >= wait && now-e.lossAt >= min(lossWait, 4*wait) {
			e.beforeLoss = max(e.beforeLoss, e.bitrate)
			e.lossAt = now
			e.decrease(now, e.lossPart, e.loss.congestive)
		}
		return
	}
	if e.bitrate == 0 {
		if settled {
			e.bitrate = e.within(bound)
		}
		return
	}
	if e.limited && e.bitrate >= 0.98*bound && e.acknowledged >= e.capacity && now-e.decreasedAt > clearAfter {
		e.limited = false
	}
	if state == Underuse || queue >= queueHigh || bound <= e.bitrate {
		return
	}
	e.bitrate = e.within(min(e.grown(float64(step)/1e9), bound))
}

// proves reports whether what arrives gets through without a queue and without
// loss, and so fits, whatever was thought before. Right after a decrease what
// arrives was sent before it.
func (e *Estimator) proves(now int64) bool {
	if e.delay.state != Normal || e.delay.queue() > provenQueue || now-e.decreasedAt < max(provenAfter, e.responseTime()) {
		return false
	}
	excess, _ := e.loss.excess(1)
	return excess <= lossLow
}

// grown is the estimate after some seconds without congestion.
func (e *Estimator) grown(seconds float64) float64 {
	excess, _ := e.loss.excess(lossRecent)
	speed := growFar
	switch {
	case excess > lossLow:
		// Whether more is lost when more is sent has to be found out.
		if e.loss.congestive || excess > lossHigh || e.delay.queue() > lossQueue {
			return e.bitrate
		}
		speed = growWary
	case e.decreasedAt == 0: // there has been no congestion at all
		return e.max
	case e.bitrate < nearLow*e.capacity:
		speed = growFast
	case e.bitrate <= nearHigh*e.capacity:
		additive := nearPacket * 1e9 / float64(e.responseTime())
		speed = min(max(additive/e.bitrate, growNearLow), growNearHigh)
	}
	return e.bitrate * (1 + speed*seconds)
}

// decrease lowers the estimate to a part of what arrives; certain says that this
// is what the link carries.
func (e *Estimator) decrease(now int64, part float64, certain bool) {
	again := now-e.decreasedAt < decreaseSame
	e.decreasedAt, e.limited = now, true
	target := part * e.acknowledged
	if e.bitrate > 0 && e.sent > 0 && e.sent < idlePart*e.bitrate {
		target = max(target, backOffIdle*e.bitrate) // somebody else's queue, or a false alarm
	} else if certain {
		e.noteCapacity(e.acknowledged, again)
	}
	if e.bitrate == 0 || target < e.bitrate {
		e.bitrate = e.within(target)
	}
}

// noteCapacity remembers what got through at congestion; again: it is the same
// congestion, of which more has been seen.
func (e *Estimator) noteCapacity(rate float64, again bool) {
	if e.capacity == 0 || again || rate < 0.7*e.capacity || rate > 1.3*e.capacity {
		e.capacity = rate
		return
	}
	e.capacity += (rate - e.capacity) / 4
}

// forgive takes back what was done for loss that turned out to be inherent.
func (e *Estimator) forgive() {
	if e.beforeLoss > 0 && e.now-e.lossAt <= forgiveFor {
		e.bitrate = max(e.bitrate, e.within(e.beforeLoss))
	}
	e.beforeLoss = 0
}

func (e *Estimator) within(rate float64) float64 { return min(max(rate, e.min), e.max) }

// SetRTT takes the round trip time in ns as measured by receiver reports; what is
// not between 0 and 10 s is left out.
func (e *Estimator) SetRTT(now, rtt int64) {
	now = e.advance(now)
	if rtt <= 0 || rtt > 10e9 {
		return
	}
	e.rtt = rtt
	e.reports.round(now, rtt)
}

// REMB takes the receiver's own estimate in bit/s.
func (e *Estimator) REMB(now int64, bitrate uint64) {
	e.rembAt = e.advance(now)
	e.evidenceAt = e.rembAt
	e.remb = min(float64(bitrate), e.max)
}

// Report takes what a receiver report says of one stream: how many of its packets
// were due since the last one and how many of them were lost, and sent, the bytes
// that the connection has sent on the wire in all. While there is transport-wide
// feedback it is left out.
func (e *Estimator) Report(now int64, expected, lost uint32, sent uint64) {
	now = e.advance(now)
	e.evidenceAt = now
	if e.feedbackAt != 0 && now-e.feedbackAt <= feedbackStale {
		return
	}
	r := &e.reports
	rate, overuse, ok := r.add(now, expected, lost, sent)
	if !ok {
		return
	}
	learned := e.loss.inherent
	e.loss.put(lossSample{rate: rate, lost: int(r.closed.lost), packets: int(r.closed.expected), queue: r.queue()}, now)
	loss, _ := e.loss.recent(1)
	e.sent = min(rate, e.max)
	e.acknowledged = min(rate*(1-loss)/(1+r.slope), e.max)
	if e.loss.inherent > learned {
		e.forgive()
	}
	step := min(now-e.steppedAt, 4*stepMost)
	e.steppedAt = now
	state := Normal
	if overuse {
		state = Overuse
	}
	e.lossPart = backOff // there may be a queue that nobody can see
	if e.acknowledged > 0 {
		e.control(now, step, state, r.queue(), true)
	}
}

// Estimate says what is known. now only serves to see what is too old.
func (e *Estimator) Estimate(now int64) Estimate {
	now = max(now, e.now)
	loss, _ := e.loss.recent(lossRecent)
	out := Estimate{
		Acknowledged: uint64(e.acknowledged), Sent: uint64(e.sent),
		Loss: loss, InherentLoss: min(e.loss.inherent, loss),
	}
	if e.evidenceAt != 0 {
		out.Age = time.Duration(now - e.evidenceAt)
	}
	transport := e.feedbackAt != 0 && (now-e.feedbackAt <= feedbackStale || e.reports.at < e.feedbackAt)
	queue := e.reports.queue()
	out.Source = ReceiverReports
	if transport {
		queue = e.delay.queue()
		out.Source, out.State, out.Trend, out.Threshold = TransportWide, e.delay.state, e.delay.trend, e.delay.threshold
	}
	out.QueueDelay = time.Duration(queue)
	rate := e.bitrate
	if e.capacity > 0 && queue > queueHigh && now-e.decreasedAt < drainFor {
		part := min(float64(queue-queueHigh)/float64(queueDrain), 1)
		rate = max(min(rate, (backOff-drainPart*part)*e.capacity), e.min)
	}
	limited := e.limited
	if fresh := e.rembAt != 0 && now-e.rembAt <= rembStale; fresh && (e.feedbackAt == 0 || now-e.feedbackAt > feedbackStale) {
		// The receiver knows better what it could get than who only knows what was lost.
		if !limited || rate == 0 || e.remb < rate {
			rate, limited, out.Source = e.within(e.remb), true, REMB
		}
	}
	if rate == 0 {
		out.Source = None
		return out
	}
	out.Bitrate, out.Known, out.Limited = uint64(rate), true, limited
	return out
}
