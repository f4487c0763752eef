package media

import (
	"time"

	"github.com/pion/rtcp"
)

// receivedRTCP handles a decrypted RTCP packet that concerns an SSRC, on the
// goroutine of the SRTCP session.
func (p *Port) receivedRTCP(raw []byte, ssrc uint32) {
	now := monotonic()
	p.lastHeard.Store(now)
	if len(raw) > 1 && raw[0]&0x1f == rtcp.FormatTCC && raw[1] == uint8(rtcp.TypeTransportSpecificFeedback) {
		p.receivedTransportFeedback(raw, now)
		return
	}
	packets, err := rtcp.Unmarshal(raw)
	if err != nil {
		p.counters.rtcpErrors.Add(1)
		return
	}
	for _, packet := range packets {
		switch packet := packet.(type) {
		case *rtcp.SenderReport:
			if packet.SSRC == ssrc {
				if u := p.upstreamOf(ssrc); u != nil {
					u.reported(packet, now)
				}
			}
			p.receptionReports(packet.Reports, ssrc, now)
		case *rtcp.ReceiverReport:
			p.receptionReports(packet.Reports, ssrc, now)
		case *rtcp.TransportLayerNack:
			if f := p.feedOf(ssrc); f != nil && packet.MediaSSRC == ssrc {
				f.resend(packet.Nacks, &p.resend, p.resendBuffer, now)
			}
		case *rtcp.PictureLossIndication:
			if f := p.feedOf(ssrc); f != nil && packet.MediaSSRC == ssrc {
				f.keyFrameAsked()
			}
		case *rtcp.FullIntraRequest:
			if f := p.feedOf(ssrc); f != nil {
				for _, entry := range packet.FIR {
					if entry.SSRC == ssrc {
						f.keyFrameAsked()
						break
					}
				}
			}
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			if packet.Bitrate >= 0 && packet.Bitrate < 1e12 {
				p.remb.Store(uint64(packet.Bitrate))
				p.estimate.receivedREMB(uint64(packet.Bitrate), now)
			}
		}
	}
}

func (p *Port) upstreamOf(ssrc uint32) *Upstream {
	for _, u := range *p.upstreams.Load() {
		if u.ssrc == ssrc {
			return u
		}
	}
	return nil
}

func (p *Port) feedOf(ssrc uint32) *Feed {
	for _, f := range *p.feeds.Load() {
		if f.ssrc.Load() == ssrc {
			return f
		}
	}
	return nil
}

func (p *Port) receptionReports(reports []rtcp.ReceptionReport, ssrc uint32, now int64) {
	for _, report := range reports {
		if report.SSRC != ssrc {
			continue
		}
		if f := p.feedOf(ssrc); f != nil {
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
