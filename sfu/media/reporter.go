package media

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/pion/rtcp"
)

const (
	reportInterval = int64(1e9)   // between receiver reports
	twccInterval   = int64(100e6) // between transport-wide feedback packets
	maxReports     = 31           // report blocks of one packet (RFC 3550 section 6.4.2)
	maxSenders     = 8            // sender reports of one compound, so that it fits a datagram
)

// task is what a reporter can be asked to do for a port, as bits.
type task uint32

const (
	taskReplay         task = 1 << iota // of what late viewers have missed
	taskSenderReport                    // of those feeds that have one pending
	taskReceiverReport                  // on all upstreams
	taskFeedback                        // transport-wide
	taskLimit                           // of what the peer may send
	taskNACK
	taskPLI
	taskEnd // the port is closed

	tasks    = 7 // those that can be due
	allTasks = taskEnd - 1
)

// reportScratch is the space in which a reporter makes packets.
type reportScratch struct {
	packet  []byte // empty
	numbers []uint16
}

// together moves a deadline to the next instant that the port shares with others, so that what is due at about
// the same time costs one wake-up and leaves in one system call.
func (p *Port) together(at int64) int64 {
	return (at-p.shift+reportGrid-1)/reportGrid*reportGrid + p.shift
}

// report does what there is to do and what is due, on the reporter's goroutine, and returns when something will be.
func (p *Port) report(todo task, scratch *reportScratch, now int64) (next int64) {
	if !p.connected.Load() {
		return never // SetConnected pokes for everything
	}
	for i, at := range p.due {
		if at <= now {
			todo |= 1 << i
		}
	}
	if todo&taskReplay != 0 {
		next := never
		for _, f := range *p.feeds.Load() {
			next = sooner(next, f.sendReplay(now))
		}
		p.dueAt(taskReplay, next)
	}
	if todo&taskSenderReport != 0 {
		p.sendSenderReports(scratch, now)
	}
	if todo&taskReceiverReport != 0 {
		p.dueAt(taskReceiverReport, sooner(never, p.sendReceiverReport(scratch, now)))
	}
	if todo&taskFeedback != 0 {
		p.dueAt(taskFeedback, sooner(never, p.sendTransportFeedback(now)))
	}
	if todo&taskLimit != 0 {
		p.dueAt(taskLimit, sooner(never, p.sendReceiveLimit(now)))
	}
	if todo&taskNACK != 0 {
		next := never
		for _, u := range *p.upstreams.Load() {
			next = sooner(next, p.sendNACK(scratch, u, now))
		}
		p.dueAt(taskNACK, next)
	}
	if todo&taskPLI != 0 {
		next := never
		for _, u := range *p.upstreams.Load() {
			next = sooner(next, p.sendPLI(scratch, u, now))
		}
		p.dueAt(taskPLI, next)
	}
	return slices.Min(p.due[:])
}

// dueAt says when a task is due.
func (p *Port) dueAt(t task, at int64) { p.due[bits.TrailingZeros32(uint32(t))] = at }

// sooner is the earlier one of two times, the second of which is 0 if there is none.
func sooner(a, b int64) int64 {
	if b == 0 {
		return a
	}
	return min(a, b)
}

func (p *Port) send(packets ...rtcp.Packet) {
	if err := p.writeRTCP(packets); err != nil {
		p.counters.rtcpErrors.Add(1)
	}
}

// sendRaw sends what is marshalled already.
func (p *Port) sendRaw(packet []byte) {
	if err := p.writeRawRTCP(packet); err != nil {
		p.counters.rtcpErrors.Add(1)
	}
}

// sendMade sends what was made in the space for a packet.
func (p *Port) sendMade(scratch *reportScratch, packet []byte) {
	p.sendRaw(packet)
	scratch.packet = packet[:0] // it may have grown
}

// sendSenderReports sends those that are pending, with the names of who sends them.
func (p *Port) sendSenderReports(scratch *reportScratch, now int64) {
	var names [maxSenders]canonicalName
	packet, n := scratch.packet, 0
	for _, f := range *p.feeds.Load() {
		sr, name, ok := f.takeReport(now)
		if !ok {
			continue
		}
		packet = appendSenderReport(packet, &sr)
		names[n] = canonicalName{sr.SSRC, name}
		if n++; n == maxSenders {
			p.sendMade(scratch, appendCanonicalNames(packet, names[:n]))
			packet, n = scratch.packet, 0
		}
	}
	if n > 0 {
		p.sendMade(scratch, appendCanonicalNames(packet, names[:n]))
	}
}

// sendReceiverReport reports on all upstreams, about once per second.
func (p *Port) sendReceiverReport(scratch *reportScratch, now int64) (next int64) {
	upstreams := *p.upstreams.Load()
	if len(upstreams) == 0 {
		return 0
	}
	if now < p.nextReport {
		return p.nextReport
	}
	// RFC 3550 section 6.2: spread by a random factor over the instants that the port
	// shares, so that not all connections report at each of them.
	p.nextReport = p.together(now + reportInterval*9/10 + rand.Int64N(reportInterval/5))
	packet, n := beginRTCP(scratch.packet, p.ssrc), 0
	for _, u := range upstreams {
		if block, ok := u.receptionReport(now); ok && n < maxReports {
			packet = appendReceptionReport(packet, &block)
			n++
		}
	}
	if n > 0 {
		putRTCPHeader(packet, rtcp.TypeReceiverReport, uint8(n))
		p.sendMade(scratch, packet)
	}
	p.mu.Lock()
	for _, u := range upstreams {
		p.bindRetransmissions(u)
	}
	p.mu.Unlock()
	return p.nextReport
}

func (u *Upstream) receptionReport(now int64) (rtcp.ReceptionReport, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	block, ok := u.receive.block(u.ssrc)
	if ok && u.report.received {
		block.LastSenderReport = u.report.compact
		block.Delay = uint32((now - u.report.arrival) / 1000 * 65536 / 1_000_000)
	}
	return block, ok
}

// recordArrival notes a packet's transport-wide sequence number.
func (p *Port) recordArrival(ssrc uint32, number uint16, now int64) {
	a := &p.arrivals
	a.mu.Lock()
	a.record(ssrc, number, now)
	idle := a.due == 0
	if idle {
		a.due = p.together(now + twccInterval/2)
	}
	next := a.due
	a.mu.Unlock()
	if idle {
		p.pokeBy(taskFeedback, next)
	}
}

// sendTransportFeedback sends the arrival times of the last interval.
func (p *Port) sendTransportFeedback(now int64) (next int64) {
	a := &p.arrivals
	a.mu.Lock()
	if a.due == 0 || now < a.due {
		next = a.due
		a.mu.Unlock()
		return next
	}
	pending := a.pending > 0
	if pending {
		next = p.together(now + twccInterval/2)
	}
	a.due = next
	a.mu.Unlock()
	if !pending {
		return 0
	}
	buf := feedbackBuffers.Get().(*feedbackBuffer)
	defer feedbackBuffers.Put(buf)
	for n := 0; pending && n < feedbackAtOnce; n++ {
		a.mu.Lock()
		packet := a.feedback(buf, p.ssrc)
		pending = a.pending > 0
		a.mu.Unlock()
		p.sendRaw(packet)
		p.counters.twccFeedback.Add(1)
	}
	return next
}

// sendNACK asks for the packets that u misses.
func (p *Port) sendNACK(scratch *reportScratch, u *Upstream, now int64) (next int64) {
	u.mu.Lock()
	numbers, givenUp, next := u.missing.due(scratch.numbers[:0], now, p.rtt.Load())
	unrepairable := u.missing.takeUnrepairable()
	u.mu.Unlock()
	scratch.numbers = numbers
	u.counters.givenUp.Add(uint64(givenUp))
	if len(numbers) > 0 {
		u.counters.nacked.Add(uint64(len(numbers)))
		packet := appendNACKPairs(beginFeedback(scratch.packet, p.ssrc, u.ssrc), numbers)
		putRTCPHeader(packet, rtcp.TypeTransportSpecificFeedback, rtcp.FormatTLN)
		p.sendMade(scratch, packet)
	}
	if unrepairable {
		if source := u.group.source.Load(); source != nil {
			if l := source.layerOf(u); l != nil {
				l.requestKeyFrame()
			}
		}
	}
	return next
}

// sendPLI asks u for a key frame when its source needs one.
func (p *Port) sendPLI(scratch *reportScratch, u *Upstream, now int64) (next int64) {
	source := u.group.source.Load()
	if source == nil || u.kind != keyFrameKind {
		return 0
	}
	send, next := source.pollKeyFrame(u, now)
	if send {
		u.counters.plis.Add(1)
		packet := beginFeedback(scratch.packet, p.ssrc, u.ssrc)
		putRTCPHeader(packet, rtcp.TypePayloadSpecificFeedback, rtcp.FormatPLI)
		p.sendMade(scratch, packet)
	}
	return next
}
