package media

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// seen collects RTCP packets of one type.
type seen[P rtcp.Packet] struct {
	mu      sync.Mutex
	packets []P
}

func (s *seen[P]) see(p rtcp.Packet) {
	if p, ok := p.(P); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.packets = append(s.packets, p)
	}
}

func (s *seen[P]) get() []P {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]P(nil), s.packets...)
}

func TestReportsToBothSides(t *testing.T) {
	api := newTestAPI(t)
	publisher, uplink := newClient(t), newLeg(t, api)
	picture := newCamera(t, webrtc.MimeTypeVP8, "camera").on(t, publisher)
	sound := newCamera(t, webrtc.MimeTypeOpus, "camera").on(t, publisher)
	var receiverReports seen[*rtcp.ReceiverReport]
	var feedback seen[*rtcp.TransportLayerCC]
	see := func(p rtcp.Packet) { receiverReports.see(p); feedback.see(p) }
	publisher.drop.reports.Store(&see)
	drop, lost := loseFirst(10)
	publisher.drop.outgoing.Store(&drop)
	negotiate(t, publisher.PeerConnection, uplink.PeerConnection)

	viewer, down := newClient(t), newLeg(t, api)
	screens := watch(t, viewer)
	var senderReports seen[*rtcp.SenderReport]
	see2 := func(p rtcp.Packet) { senderReports.see(p) }
	viewer.drop.reports.Store(&see2)
	// Pion's interceptors see RTCP only while somebody reads it.
	feeds := map[webrtc.RTPCodecType]*Feed{}
	for _, kind := range []webrtc.RTPCodecType{audio, video} {
		source := NewSource(SourceOptions{Kind: kind})
		source.SetCarrier(uplink.upstream(t, kind))
		feeds[kind] = addFeed(t, down, kind, "camera")
		feeds[kind].SetSource(source)
	}
	var readers sync.WaitGroup
	t.Cleanup(readers.Wait)
	viewer.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		readers.Go(func() {
			for {
				if _, _, err := receiver.ReadRTCP(); err != nil {
					return
				}
			}
		})
		screens[track.Kind()].collect(track)
	})
	negotiate(t, down.PeerConnection, viewer.PeerConnection)
	t.Cleanup(func() { _ = viewer.Close() })
	picture.roll(t, publisher)
	sound.roll(t, publisher)

	of := func(kind webrtc.RTPCodecType) (reports []*rtcp.SenderReport) {
		for _, sr := range senderReports.get() {
			if sr.SSRC == feeds[kind].SSRC() {
				reports = append(reports, sr)
			}
		}
		return reports
	}
	eventually(t, "sender reports of both feeds", func() bool { return len(of(audio)) >= 3 && len(of(video)) >= 3 })
	eventually(t, "reports and feedback to the publisher", func() bool {
		return len(receiverReports.get()) >= 3 && len(feedback.get()) >= 10
	})
	eventually(t, "the round trip time to the viewer", func() bool { return feeds[video].Stats().RTT > 0 })
	if rtt := down.port.Stats().RTT; rtt <= 0 || rtt > 5*time.Second {
		t.Errorf("the round trip time is %v", rtt)
	}

	t.Run("the viewer's reports lead from its timestamps to the server's clock", func(t *testing.T) {
		for kind, rate := range map[webrtc.RTPCodecType]float64{audio: 48000, video: 90000} {
			reports := of(kind)
			first, last := reports[0], reports[len(reports)-1]
			seconds := float64(ntpToNanoseconds(last.NTPTime)-ntpToNanoseconds(first.NTPTime)) / 1e9
			ticks := float64(last.RTPTime - first.RTPTime)
			// The publisher's clock is that of a loaded machine; 200 ms is far from
			// what a wrong clock rate or offset would show.
			if difference := math.Abs(ticks/rate - seconds); difference > 0.2 {
				t.Errorf("%s: %v s by NTP are %v s by RTP", kind, seconds, ticks/rate)
			}
			now := float64(ntpEpoch+monotonic()) / 1e9
			if age := now - float64(ntpToNanoseconds(last.NTPTime))/1e9; age < -1 || age > 20 {
				t.Errorf("%s: the last report is %v s old", kind, age)
			}
			packets, _ := screens[kind].snapshot()
			highest := packets[len(packets)-1].Timestamp
			if ahead := float64(int32(highest-last.RTPTime)) / rate; math.Abs(ahead) > 10 {
				t.Errorf("%s: the last report is %v s from the packets", kind, ahead)
			}
			if last.PacketCount == 0 || last.OctetCount <= last.PacketCount {
				t.Errorf("%s: counts are %d packets, %d bytes", kind, last.PacketCount, last.OctetCount)
			}
		}
	})

	t.Run("the publisher learns of its losses", func(t *testing.T) {
		if lost.Load() == 0 {
			t.Fatal("nothing was lost")
		}
		var fraction, total uint32
		quoted := false
		for _, rr := range receiverReports.get() {
			for _, block := range rr.Reports {
				if block.SSRC == uplink.upstream(t, video).SSRC() {
					fraction = max(fraction, uint32(block.FractionLost))
					total = max(total, block.TotalLost)
					quoted = quoted || block.LastSenderReport != 0
				}
			}
		}
		// 10 % are 26/256; only some reports cover the whole time.
		if fraction < 10 || fraction > 60 || total == 0 || int64(total) > lost.Load() {
			t.Errorf("one packet in ten was lost (%d); reported: %d/256, %d", lost.Load(), fraction, total)
		}
		if !quoted {
			t.Error("no report quotes a sender report")
		}
	})

	t.Run("the publisher learns when its packets arrived", func(t *testing.T) {
		covered := 0
		for _, packet := range feedback.get() {
			covered += int(packet.PacketStatusCount)
		}
		if covered < 50 {
			t.Errorf("the feedback covers %d packets", covered)
		}
	})
}
