package media

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

const (
	reportInterval = int64(1e9)   // between receiver reports
	twccInterval   = int64(100e6) // between transport-wide feedback packets
	reportGrid     = int64(100e6) // what is sent at intervals is sent at multiples of this, shifted
	reportShift    = int64(25e6)  // by one of a few multiples of this,
	reportCrowd    = 64           // another one after so many ports
	reporterIdle   = int64(5e9)   // when there is nothing to wait for
	maxReports     = 31           // report blocks of one packet (RFC 3550 section 6.4.2)
	maxSenders     = 8            // sender reports of one compound, so that it fits a datagram
)

// ports counts the ports ever made.
var ports atomic.Int64

// nextShift gives each port one of a few instants of reportGrid, in crowds: the ports of a small server are all
// due at once, those of a big one do not fill the socket's queue together.
func nextShift() int64 {
	return ports.Add(1) / reportCrowd * reportShift % reportGrid
}

// together moves a deadline to the next instant that the port shares with others, so that what is due at about
// the same time costs one wake-up and leaves in one system call.
func (p *Port) together(at int64) int64 {
	return (at-p.shift+reportGrid-1)/reportGrid*reportGrid + p.shift
}

// report is the reporter's goroutine. It wakes when it is poked and when
// something it knows of is due.
func (p *Port) report() {
	timer := time.NewTimer(time.Duration(reportInterval))
	defer timer.Stop()
	var numbers []uint16
	for {
		select {
		case <-p.done:
			return
		case <-p.wake:
		case <-timer.C:
		}
		now := monotonic()
		next := now + reporterIdle
		soon := func(at int64) {
			if at != 0 {
				next = min(next, at)
			}
		}
		if p.connected.Load() {
			for _, f := range *p.feeds.Load() {
				soon(f.sendReplay(now))
			}
			p.sendSenderReports(now)
			soon(p.sendReceiverReport(now))
			soon(p.sendTransportFeedback(now))
			soon(p.sendReceiveLimit(now))
			for _, u := range *p.upstreams.Load() {
				var at int64
				numbers, at = p.sendNACK(u, numbers[:0], now)
				soon(at)
				soon(p.sendPLI(u, now))
			}
		}
		timer.Reset(time.Duration(max(next-monotonic(), int64(time.Millisecond))))
	}
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

// sendMade sends what the reporter has made in p.rtcpSpace.
func (p *Port) sendMade(packet []byte) {
	p.sendRaw(packet)
	p.rtcpSpace = packet[:0] // it may have grown
}

// sendSenderReports sends those that are pending, with the names of who sends them.
func (p *Port) sendSenderReports(now int64) {
	var names [maxSenders]canonicalName
	packet, n := p.rtcpSpace, 0
	for _, f := range *p.feeds.Load() {
		sr, name, ok := f.takeReport(now)
		if !ok {
			continue
		}
		packet = appendSenderReport(packet, &sr)
		names[n] = canonicalName{sr.SSRC, name}
		if n++; n == maxSenders {
			p.sendMade(appendCanonicalNames(packet, names[:n]))
			packet, n = p.rtcpSpace, 0
		}
	}
	if n > 0 {
		p.sendMade(appendCanonicalNames(packet, names[:n]))
	}
}

// sendReceiverReport reports on all upstreams, about once per second.
func (p *Port) sendReceiverReport(now int64) (next int64) {
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
	packet, n := beginRTCP(p.rtcpSpace, p.ssrc), 0
	for _, u := range upstreams {
		if block, ok := u.receptionReport(now); ok && n < maxReports {
			packet = appendReceptionReport(packet, &block)
			n++
		}
	}
	if n > 0 {
		putRTCPHeader(packet, rtcp.TypeReceiverReport, uint8(n))
		p.sendMade(packet)
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
	a.mu.Unlock()
	if idle {
		p.poke()
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

// sendNACK asks for the packets that u misses. numbers is scratch space.
func (p *Port) sendNACK(u *Upstream, numbers []uint16, now int64) (_ []uint16, next int64) {
	u.mu.Lock()
	numbers, givenUp, next := u.missing.due(numbers, now, p.rtt.Load())
	unrepairable := u.missing.takeUnrepairable()
	u.mu.Unlock()
	u.counters.givenUp.Add(uint64(givenUp))
	if len(numbers) > 0 {
		u.counters.nacked.Add(uint64(len(numbers)))
		packet := appendNACKPairs(beginFeedback(p.rtcpSpace, p.ssrc, u.ssrc), numbers)
		putRTCPHeader(packet, rtcp.TypeTransportSpecificFeedback, rtcp.FormatTLN)
		p.sendMade(packet)
	}
	if unrepairable {
		if source := u.group.source.Load(); source != nil {
			if l := source.layerOf(u); l != nil {
				l.requestKeyFrame()
			}
		}
	}
	return numbers, next
}

// sendPLI asks u for a key frame when its source needs one.
func (p *Port) sendPLI(u *Upstream, now int64) (next int64) {
	source := u.group.source.Load()
	if source == nil || u.kind != keyFrameKind {
		return 0
	}
	send, next := source.pollKeyFrame(u, now)
	if send {
		u.counters.plis.Add(1)
		packet := beginFeedback(p.rtcpSpace, p.ssrc, u.ssrc)
		putRTCPHeader(packet, rtcp.TypePayloadSpecificFeedback, rtcp.FormatPLI)
		p.sendMade(packet)
	}
	return next
}
