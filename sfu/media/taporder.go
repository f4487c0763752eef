package media

import (
	"math"
	"slices"

	"github.com/pion/webrtc/v4"
)

const (
	tapSilence = int64(1500e6) // without a packet, after which a source is muted
	tapQuiet   = int64(1e9)    // of nothing but silence, likewise
	tapAgain   = int64(500e6)  // when to look again whether a silent source is muted

	silentLevel   = 127 // RFC 6464 section 3
	unlimitedRank = math.MaxInt32
)

// tapOrder brings what a tap has copied into order and makes events of it. It belongs
// to the reading goroutine, and takes the time as an argument.
type tapOrder struct {
	reader *TapReader

	queueState

	arrived []*tapRecord // scratch
	pending []*tapRecord // to be handed out, by number
	held    *tapRecord   // its payload is with the consumer
	given   []*tapRecord // not needed any more

	segments []tapSegment // some of whose numbers are not handed out, the last one always
	holes    []tapHole    // by number
	highest  uint64       // number
	left     bool         // some behind that one were left out for want of memory
	expected uint64       // number to be handed out next
	sequence uint64       // last number of an event; it leaves padding out

	clock tapClock

	format     *format
	codec      Codec
	last       int64 // arrival of the last packet
	capture    int64 // of the last packet handed out
	exact      bool
	quietSince int64 // capture time since which there is only silence; 0: there is not
	muted      bool
}

// tapSegment is a stretch of packets of one layer.
type tapSegment struct {
	layer *layer
	first uint64 // number of the layer,
	from  uint64 // which has this one in the tap
	shift int64  // added to the layer's unwrapped timestamps

	// Of the last packet.
	timestamp int64 // of the layer, unwrapped
	source    uint32
	stream    *Upstream
	arrival   int64
}

// tapHole are numbers that were missing when a later one came.
type tapHole struct {
	to     uint64
	since  int64
	final  bool // nothing will come any more
	reason GapReason
}

func (o *tapOrder) init(t *TapReader) {
	o.reader, o.expected = t, 1
}

// intake takes a record, in order of arrival.
func (o *tapOrder) intake(r *tapRecord) {
	if r.report {
		o.clock.report(r)
		o.release(r)
		return
	}
	clockRate := r.format.codec.ClockRate
	if r.begins {
		o.begin(r, clockRate)
	}
	s := o.segmentOf(r)
	if s == nil {
		o.release(r)
		return
	}
	r.number = s.from + r.sequence - s.first
	r.late = r.number <= o.highest
	o.left = o.left || r.overrun
	expected := s.timestamp
	if !r.late { // a source may be silent for longer than timestamps tell apart
		expected += max(0, r.arrival-s.arrival) / 1000 * int64(clockRate) / 1_000_000
	}
	unwrapped := expected + int64(int32(r.timestamp-uint32(expected)))
	r.unwrapped = unwrapped + s.shift
	if r.late {
		o.insert(r)
	} else {
		s.timestamp, s.source, s.stream, s.arrival = unwrapped, r.source, r.stream, r.arrival
		o.clock.arrived(r, ticksToNs(r.unwrapped, clockRate))
		if r.number > o.highest+1 {
			hole := tapHole{to: r.number - 1, since: r.arrival}
			if o.left {
				hole.final, hole.reason = true, GapOverflow
			}
			o.forgetHoles()
			o.holes = append(o.holes, hole)
		}
		o.left = false
		o.highest = r.number
		o.pending = append(o.pending, r)
		o.last = max(o.last, r.arrival)
	}
	if r.restarts || r.overrun {
		for i := range o.holes {
			o.holes[i].final = true
		}
	}
}

// begin goes on with another layer, or begins with the first.
func (o *tapOrder) begin(r *tapRecord, clockRate uint32) {
	next := tapSegment{layer: r.layer, first: r.sequence, from: o.highest + 1, timestamp: int64(r.timestamp), arrival: r.arrival}
	if n := len(o.segments); n > 0 {
		last := &o.segments[n-1]
		passed := elapsedTicks(r.arrival-last.arrival, clockRate)
		from, to := o.clock.of(last.stream).line, o.clock.line(r)
		if from.known() && to.known() {
			passed = capturedTicks(to.capture(r.source)-from.capture(last.source), passed, clockRate)
		}
		next.shift = last.timestamp + last.shift + int64(passed) - next.timestamp
	}
	// Those of which all has been handed out are not needed any more.
	done := 0
	for done < len(o.segments)-1 && o.segments[done+1].from <= o.expected {
		done++
	}
	o.segments = append(slices.Delete(o.segments, 0, done), next)
}

// segmentOf is where a record belongs, or nil.
func (o *tapOrder) segmentOf(r *tapRecord) *tapSegment {
	end := uint64(math.MaxUint64)
	for i := len(o.segments) - 1; i >= 0; i-- {
		s := &o.segments[i]
		if s.layer == r.layer && r.sequence >= s.first && s.from+r.sequence-s.first < end {
			return s
		}
		end = s.from
	}
	return nil
}

// insert puts a record in its place among those that came earlier.
func (o *tapOrder) insert(r *tapRecord) {
	at, found := slices.BinarySearchFunc(o.pending, r.number, func(p *tapRecord, number uint64) int {
		return int(int64(p.number - number))
	})
	if found || r.number < o.expected {
		o.release(r)
		return
	}
	o.pending = slices.Insert(o.pending, at, r)
}

// forgetHoles drops the holes that have been filled or given up.
func (o *tapOrder) forgetHoles() {
	gone := 0
	for gone < len(o.holes) && o.holes[gone].to < o.expected {
		gone++
	}
	o.holes = slices.Delete(o.holes, 0, gone)
}

// done gives back what was handed out last.
func (o *tapOrder) done() {
	if o.held != nil {
		o.release(o.held)
		o.held = nil
	}
}

// release notes that a record is not needed any more.
func (o *tapOrder) release(r *tapRecord) { o.given = append(o.given, r) }

// ready is the next event, if there is one that nothing has to be waited for.
func (o *tapOrder) ready() (TapEvent, bool) {
	for len(o.pending) > 0 {
		r := o.pending[0]
		if r.number != o.expected || o.holds(r) {
			break
		}
		if len(r.payload) == 0 {
			o.next(r)
			o.release(r)
			continue
		}
		return o.packet(r), true
	}
	return TapEvent{}, false
}

// next leaves the first of the pending records behind.
func (o *tapOrder) next(r *tapRecord) {
	o.expected = r.number + 1
	o.pending = slices.Delete(o.pending, 0, 1)
}

// holds tells whether the first packets of a stream wait for a sender report.
func (o *tapOrder) holds(r *tapRecord) bool {
	s := o.clock.of(r.stream)
	s.waived = s.waived || s.line.known() || o.ended || o.pressed
	return !s.waived
}

// packet hands a packet out, or what is to be said before.
func (o *tapOrder) packet(r *tapRecord) TapEvent {
	if r.format != o.format {
		c := &r.format.codec
		codec := Codec{c.MimeType, c.ClockRate, c.Channels, c.SDPFmtpLine}
		changed := codec != o.codec
		o.format, o.codec = r.format, codec
		if changed {
			return o.event(TapCodec)
		}
	}
	if !r.announced {
		r.announced = true
		if (r.begins || r.restarts) && o.sequence > 0 {
			return o.event(TapSwitch)
		}
	}
	capture, exact := o.clock.at(r, ticksToNs(r.unwrapped, o.codec.ClockRate))
	if event, ok := o.mute(r, capture); ok {
		return event
	}
	o.capture, o.exact = capture, exact
	o.sequence++
	event := o.event(TapPacket)
	event.Timestamp, event.Marker, event.KeyFrame = r.unwrapped, r.marker, r.key
	event.Payload, event.Level = r.payload, int(r.level)
	o.next(r)
	o.held = r
	return event
}

// mute tells what a packet changes about whether the source is muted.
func (o *tapOrder) mute(r *tapRecord, capture int64) (TapEvent, bool) {
	if r.level != silentLevel {
		o.quietSince = 0
		if !o.muted {
			return TapEvent{}, false
		}
		o.muted = false
		o.capture = capture
		return o.event(TapUnmuted), true
	}
	if o.quietSince == 0 {
		o.quietSince = capture
	}
	if o.muted || capture-o.quietSince < tapQuiet {
		return TapEvent{}, false
	}
	o.muted = true
	event := o.event(TapMuted)
	event.Captured = tapTime(o.quietSince)
	return event, true
}

func (o *tapOrder) event(kind TapEventKind) TapEvent {
	return TapEvent{
		Kind: kind, Sequence: o.sequence, Codec: o.codec, Level: -1, Captured: tapTime(o.capture), Exact: o.exact,
	}
}

// overdue is called when nothing is ready and nothing new has come: it gives up what was
// waited for too long. again is when to call it again; 0: not before something new has come.
func (o *tapOrder) overdue(now int64) (event TapEvent, ok bool, again int64) {
	if len(o.pending) == 0 {
		return o.silent(now)
	}
	first := o.pending[0]
	if first.number == o.expected { // it is held back
		s := o.clock.of(first.stream)
		again = s.since + tapHold
		s.waived = now >= again
		return TapEvent{}, false, again
	}
	o.forgetHoles()
	hole := &o.holes[0]
	if again = hole.since + o.reader.wait; now < again && !hole.final && !o.ended && !o.pressed {
		return TapEvent{}, false, again
	}
	event = o.event(TapGap)
	event.Sequence, event.Last, event.Reason = o.sequence+1, o.sequence+first.number-o.expected, hole.reason
	if o.pressed && now < again && !hole.final {
		event.Reason = GapOverflow
	}
	o.sequence, o.expected = event.Last, first.number
	return event, true, 0
}

// silent tells when nothing has come for so long that the source is muted.
func (o *tapOrder) silent(now int64) (event TapEvent, ok bool, again int64) {
	source := o.reader.source
	if o.sequence == 0 || o.muted || o.ended || o.overrun || source.limits == &screenKeyLimits {
		return TapEvent{}, false, 0
	}
	if again = o.last + tapSilence; now < again {
		return TapEvent{}, false, again
	}
	if !source.sendsSince(o.last) {
		return TapEvent{}, false, now + tapAgain
	}
	o.muted = true
	return o.event(TapMuted), true, 0
}

// ticksToNs is a timestamp in ns.
func ticksToNs(ticks int64, clockRate uint32) int64 {
	if clockRate == 0 {
		clockRate = 90000
	}
	rate := int64(clockRate)
	return ticks/rate*1_000_000_000 + ticks%rate*1_000_000_000/rate
}

// Kind is audio or video.
func (t *TapReader) Kind() webrtc.RTPCodecType { return t.kind }
