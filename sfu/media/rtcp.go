package media

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// anySSRC stands for every SSRC that a packet concerns.
const anySSRC = 0

// receivedRTCP handles a decrypted compound packet (RFC 3550 section 6.1), or one packet of it and what that says of one
// SSRC: the stack hands it over once for each. inMu is held.
func (p *Port) receivedRTCP(raw []byte, ssrc uint32) {
	now := monotonic()
	p.heard(now)
	for len(raw) > 0 {
		first, rest, ok := nextRTCP(raw)
		if !ok {
			p.counters.rtcpErrors.Add(1)
			return
		}
		if !p.receivedOne(first, ssrc, now) {
			p.counters.rtcpErrors.Add(1)
		}
		raw = rest
	}
}

// receivedOne handles one RTCP packet; false: it is malformed. What the relay has no use for is not looked into. inMu is
// held.
func (p *Port) receivedOne(raw []byte, ssrc uint32, now int64) bool {
	switch format := raw[0] & rtcpCount; rtcp.PacketType(raw[1]) {
	case rtcp.TypeSenderReport:
		sr, blocks, ok := readSenderReport(raw)
		if ok && concerns(sr.SSRC, ssrc) {
			if u := p.upstreamOf(sr.SSRC); u != nil {
				u.reported(&sr, now)
			}
		}
		p.receptionReports(blocks, ssrc, now)
		return ok
	case rtcp.TypeReceiverReport:
		blocks, ok := reportBlocks(raw, receiverReportSize)
		p.receptionReports(blocks, ssrc, now)
		return ok
	case rtcp.TypeTransportSpecificFeedback:
		switch format {
		case rtcp.FormatTCC:
			return p.receivedTransportFeedback(raw, now)
		case rtcp.FormatTLN:
			media, pairs, ok := readNACK(raw)
			if f := p.feedOf(media); ok && f != nil && concerns(media, ssrc) {
				f.resend(pairs, now)
			}
			return ok
		}
	case rtcp.TypePayloadSpecificFeedback:
		switch format {
		case rtcp.FormatPLI:
			media, _, ok := readFeedback(raw)
			p.keyFrameAsked(media, ssrc)
			return ok
		case rtcp.FormatFIR:
			entries, ok := readFIR(raw)
			for ; ok && len(entries) > 0; entries = entries[firEntrySize:] {
				p.keyFrameAsked(binary.BigEndian.Uint32(entries), ssrc)
			}
			return ok
		case rtcp.FormatREMB:
			bitrate, ok := readREMB(raw)
			if ok && bitrate < 1e12 {
				p.remb.Store(uint64(bitrate))
				p.estimate.receivedREMB(uint64(bitrate), now)
			}
			return ok
		}
	}
	return true
}

func concerns(ssrc, only uint32) bool { return only == anySSRC || ssrc == only }

func (p *Port) upstreamOf(ssrc uint32) *Upstream {
	for _, u := range *p.upstreams.Load() {
		if u.ssrc == ssrc {
			return u
		}
	}
	return nil
}

func (p *Port) feedOf(ssrc uint32) *Feed {
	if ssrc == 0 { // that of feeds not bound
		return nil
	}
	for _, f := range *p.feeds.Load() {
		if f.ssrc.Load() == ssrc {
			return f
		}
	}
	return nil
}

func (p *Port) receptionReports(blocks []byte, ssrc uint32, now int64) {
	for ; len(blocks) > 0; blocks = blocks[receptionReportSize:] {
		report := readReceptionReport(blocks)
		if !concerns(report.SSRC, ssrc) {
			continue
		}
		if f := p.feedOf(report.SSRC); f != nil {
			expected, lost, rtt := f.received(report, now)
			p.estimate.reported(p, expected, lost, rtt, now)
		}
	}
}

// received takes what the viewer reports of the feed. It returns how many packets
// the report is about, how many of them were lost, and the round trip time in ns;
// 0: not known.
func (f *Feed) received(report rtcp.ReceptionReport, now int64) (expected, lost uint32, rtt int64) {
	f.counters.reportedLoss.Store(int64(report.FractionLost))
	f.counters.reportedTotal.Store(int64(report.TotalLost))
	f.mu.Lock()
	defer f.mu.Unlock()
	if grown := report.LastSequenceNumber - f.reported; f.reported != 0 && grown < 1<<15 {
		expected, lost = grown, grown*uint32(report.FractionLost)>>8
	}
	f.reported = report.LastSequenceNumber
	average := f.counters.lossAverage.Load()
	f.counters.lossAverage.Store(average + (int64(report.FractionLost)<<8-average)/lossWeight)
	if f.kind == webrtc.RTPCodecTypeVideo {
		f.repairs.look(uint64(max(int32(report.TotalLost<<8)>>8, 0)), f.counters.rtt.Load(), now)
		f.delay = f.repairs.playoutDelay()
	}
	if rate := f.payload.codec.ClockRate; rate > 0 {
		f.counters.reportedJitter.Store(int64(report.Jitter) * int64(time.Second) / int64(rate))
	}
	if report.LastSenderReport == 0 {
		return expected, lost, 0
	}
	for _, sent := range f.reports {
		if sent.at == 0 || sent.compact != report.LastSenderReport {
			continue
		}
		// Delay is in 1/65536 s. A receiver that lies about it gets a bounded value.
		rtt = now - sent.at - int64(report.Delay)*1_000_000_000>>16
		if rtt < 0 || rtt >= int64(10e9) {
			return expected, lost, 0
		}
		rtt = max(rtt, 1)
		f.counters.rtt.Store(rtt)
		f.port.rtt.Store(rtt)
		return expected, lost, rtt
	}
	return expected, lost, 0
}

// keyFrameAsked handles a key frame request for the feed with some SSRC, if there is one.
func (p *Port) keyFrameAsked(media, ssrc uint32) {
	if f := p.feedOf(media); f != nil && concerns(media, ssrc) {
		f.keyFrameAsked()
	}
}

// keyFrameAsked handles a key frame request of the viewer.
func (f *Feed) keyFrameAsked() {
	f.counters.plis.Add(1)
	f.mu.Lock()
	source, layer := f.source, f.layer
	f.mu.Unlock()
	switch {
	case layer != nil:
		layer.requestKeyFrame()
	case source != nil:
		source.RequestKeyFrame()
	}
}
