package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

var (
	keyPayload   = []byte{0x10, 0x10, 0, 0, 0x9d, 1, 0x2a}
	deltaPayload = []byte{0x10, 0x11, 0, 0}
)

// feeding is one source with one feed that writes to a sink.
type feeding struct {
	t      testing.TB
	port   *Port
	to     *binding
	source *Source
	feed   *Feed
	sink   *sink
}

func newFeeding(t testing.TB, kind webrtc.RTPCodecType) *feeding {
	t.Helper()
	f := &feeding{t: t, source: NewSource(SourceOptions{Kind: kind})}
	f.port, f.to = newTestUpstream(t, kind)
	f.feed, f.sink = newTestFeed(t, kind, true)
	f.source.SetCarrier(f.to.upstream)
	f.feed.SetSource(f.source)
	return f
}

func (f *feeding) video(sequence uint16, payload []byte) {
	f.t.Helper()
	f.port.received(rtpBytes(f.t, rtp.Header{
		PayloadType: 96, SSRC: 1000, SequenceNumber: sequence, Timestamp: uint32(sequence) * 100,
	}, sequence, 0, payload), f.to)
}

// numbers are the sequence numbers written, counted from the first.
func (f *feeding) numbers() (n []int) {
	for _, p := range f.sink.packets {
		n = append(n, int(int16(p.SequenceNumber-f.sink.packets[0].SequenceNumber)))
	}
	return n
}

func (f *feeding) wantNumbers(want ...int) {
	f.t.Helper()
	got := f.numbers()
	if len(got) != len(want) {
		f.t.Fatalf("wrote %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			f.t.Fatalf("wrote %v, want %v", got, want)
		}
	}
}

func TestFeedWaitsForAKeyFrame(t *testing.T) {
	f := newFeeding(t, video)
	f.video(1, deltaPayload)
	f.video(2, deltaPayload)
	if f.feed.Sending() {
		t.Error("the feed says that it sends")
	}
	f.video(3, keyPayload)
	f.video(4, deltaPayload)
	f.video(2, deltaPayload) // repeated, and from before the key frame
	f.wantNumbers(0, 1)
	p := f.sink.packets[0]
	if p.SSRC != 5 || p.PayloadType != 100 || len(p.Extensions) != 1 || p.GetExtension(4) == nil || !bytes.Equal(p.Payload, keyPayload) {
		t.Errorf("wrote %+v", p)
	}
	if d := f.sink.packets[1].Timestamp - p.Timestamp; d != 100 {
		t.Errorf("timestamps are %d apart, want 100", d)
	}
	if stats := f.feed.Stats(); stats.AwaitingKey != 2 || stats.Packets != 2 {
		t.Errorf("%+v", stats)
	}
}

func TestLateRepeatedAndEmptyPackets(t *testing.T) {
	f := newFeeding(t, video)
	f.video(10, keyPayload)
	f.video(12, deltaPayload) // 11 is missing
	f.video(12, deltaPayload) // repeated
	f.video(11, deltaPayload) // late
	f.video(11, deltaPayload) // repeated
	f.video(13, nil)          // padding only
	f.video(14, deltaPayload)
	f.video(16, deltaPayload) // 15 is missing
	f.video(15, nil)          // and was padding
	f.wantNumbers(0, 2, 1, 3, 5, 4)
	last := f.sink.packets[5]
	if len(last.Payload) != 0 || !last.Padding || last.Header.PaddingSize == 0 {
		t.Errorf("late padding was written as %+v", last)
	}
	if stats := f.source.Stats(); stats.Duplicates != 2 || stats.Padding != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestRetransmissionOfPublisherIsUnwrapped(t *testing.T) {
	f := newFeeding(t, video)
	f.video(10, keyPayload)
	f.video(12, deltaPayload)
	repair := &binding{upstream: f.to.upstream, retransmission: true}
	send := func(sequence uint16, payload []byte) {
		f.port.received(rtpBytes(t, rtp.Header{PayloadType: 97, SSRC: 1001, SequenceNumber: sequence, Timestamp: 1100},
			sequence, 0, payload), repair)
	}
	send(1, append([]byte{0, 11}, deltaPayload...))
	send(2, nil)                                    // a probe
	send(3, append([]byte{0, 12}, deltaPayload...)) // a probe that repeats a packet
	f.wantNumbers(0, 2, 1)
	if !bytes.Equal(f.sink.packets[2].Payload, deltaPayload) {
		t.Errorf("the repaired payload is % x", f.sink.packets[2].Payload)
	}
	if d := f.sink.packets[2].Timestamp - f.sink.packets[0].Timestamp; d != 100 {
		t.Errorf("its timestamp is %d after the first", d)
	}
	stats := f.to.upstream.Stats()
	if stats.Repaired != 2 || stats.Probes != 1 || stats.Lost != 1 {
		t.Errorf("%+v", stats)
	}
	if block, _ := f.to.upstream.receptionReport(monotonic()); block.TotalLost != 1 {
		t.Errorf("a retransmission counts as received in the report: %+v", block)
	}
	f.to.upstream.mu.Lock()
	defer f.to.upstream.mu.Unlock()
	if len(f.to.upstream.missing.list) != 0 {
		t.Error("a repaired packet is still missing")
	}
}

func TestAudioLevelGetsTheViewersID(t *testing.T) {
	f := newFeeding(t, audio)
	for i := range uint16(3) {
		f.port.received(rtpBytes(t, rtp.Header{PayloadType: 111, SSRC: 1000, SequenceNumber: i, Marker: i == 0}, i, 0x80|byte(i+1), []byte("opus")), f.to)
	}
	f.wantNumbers(0, 1, 2)
	for i, p := range f.sink.packets {
		if got := p.GetExtension(5); !bytes.Equal(got, []byte{0x80 | byte(i+1)}) || len(p.Extensions) != 2 {
			t.Errorf("packet %d has the extensions %v, level % x", i, p.GetExtensionIDs(), got)
		}
		if p.PayloadType != 112 || p.Marker != (i == 0) {
			t.Errorf("packet %d: %+v", i, p.Header)
		}
	}
}

func TestUnsupportedFormatIsCountedAndNotSent(t *testing.T) {
	f := newFeeding(t, video)
	h264 := webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000}, PayloadType: 120}
	f.feed.mu.Lock()
	f.feed.bound.formats = negotiatedFormats([]webrtc.RTPCodecParameters{h264})
	f.feed.mu.Unlock()
	f.video(1, keyPayload)
	f.video(2, deltaPayload)
	if stats := f.feed.Stats(); stats.Unsupported != 2 || stats.Packets != 0 {
		t.Errorf("%+v", stats)
	}
	// An unknown payload type never gets to the source.
	f.port.received(rtpBytes(t, rtp.Header{PayloadType: 50, SSRC: 1000, SequenceNumber: 3}, 3, 0, keyPayload), f.to)
	if stats := f.to.upstream.Stats(); stats.Malformed != 1 {
		t.Errorf("%+v", stats)
	}
}

// nack asks for packets of the feed and returns what was sent again.
func (f *feeding) nack(numbers ...uint16) []rtp.Packet {
	f.t.Helper()
	raw, err := (&rtcp.TransportLayerNack{MediaSSRC: 5, Nacks: rtcp.NackPairsFromSequenceNumbers(numbers)}).Marshal()
	if err != nil {
		f.t.Fatal(err)
	}
	before := len(f.sink.packets)
	f.feed.port.receivedRTCP(raw, 5)
	return f.sink.packets[before:]
}

// TestNACKAnswer covers what a viewer can ask for again, with and without
// retransmission streams.
func TestNACKAnswer(t *testing.T) {
	for _, rtx := range []bool{true, false} {
		f := newFeeding(t, video)
		if !rtx {
			f.feed.mu.Lock()
			f.feed.bound.rtxSSRC = 0
			f.feed.mu.Unlock()
		}
		for i := range uint16(20) {
			f.video(i, append(keyPayload[:len(keyPayload):len(keyPayload)], byte(i)))
		}
		first := f.sink.packets[0].SequenceNumber
		again := f.nack(first+3, first+4, first+19)
		if len(again) != 3 {
			t.Fatalf("rtx %v: three packets were asked for, %d came", rtx, len(again))
		}
		for i, n := range []uint16{3, 4, 19} {
			p, original := again[i], f.sink.packets[n]
			if rtx {
				if p.SSRC != 6 || p.PayloadType != 101 || p.SequenceNumber != uint16(i) {
					t.Errorf("retransmission %d: %+v", i, p.Header)
				}
				if osn := uint16(p.Payload[0])<<8 | uint16(p.Payload[1]); osn != first+n {
					t.Errorf("retransmission of %d has the original number %d", first+n, osn)
				}
				p.Payload = p.Payload[2:]
			} else if p.SSRC != 5 || p.PayloadType != 100 || p.SequenceNumber != original.SequenceNumber {
				t.Errorf("repeated packet %d: %+v", i, p.Header)
			}
			if !bytes.Equal(p.Payload, original.Payload) || p.Timestamp != original.Timestamp || p.Marker != original.Marker {
				t.Errorf("packet %d came as %+v, was %+v", n, p, original)
			}
		}
		if got := f.nack(first+3, first-1, first+20, first+1000); len(got) != 0 {
			t.Errorf("%d packets came that were just sent, or never", len(got))
		}
		stats := f.feed.Stats()
		if stats.NACKed != 7 || stats.Retransmitted != 3 || stats.NACKMissed != 3 || stats.NACKLimited != 1 {
			t.Errorf("%+v", stats)
		}
		if stats.Packets != 20 {
			t.Errorf("retransmissions count as packets: %+v", stats)
		}
	}
}

// TestPausedFeedRepairsNothing: what a viewer misses of a picture that is paused does not
// load its link.
func TestPausedFeedRepairsNothing(t *testing.T) {
	f := newFeeding(t, video)
	for i := range uint16(5) {
		f.video(i, keyPayload)
	}
	first := f.sink.packets[0].SequenceNumber
	f.feed.SetTarget(Target{Paused: true})
	if got := f.nack(first+1, first+2); len(got) != 0 {
		t.Errorf("%d packets of a paused picture were sent again", len(got))
	}
	f.feed.SetTarget(HighestTarget)
	if got := f.nack(first + 1); len(got) != 1 {
		t.Errorf("%d packets came, one was asked for of a picture that goes on", len(got))
	}
}

// TestGapsAreCounted makes the last packet older than it is.
func TestGapsAreCounted(t *testing.T) {
	for _, screen := range []bool{false, true} {
		f := newFeeding(t, video)
		f.source = NewSource(SourceOptions{Kind: video, Screen: screen})
		f.source.SetCarrier(f.to.upstream)
		f.feed.SetSource(f.source)
		age := func(by int64) {
			f.feed.mu.Lock()
			f.feed.sentAt -= by
			f.feed.mu.Unlock()
		}
		f.video(1, keyPayload)
		age(3600e9)
		f.video(2, deltaPayload)
		f.video(3, deltaPayload)
		age(700e9)
		f.video(4, keyPayload)
		age(1e9)
		f.feed.port.SetConnected(false)
		f.feed.port.SetConnected(true)
		f.replay() // it did not run: no gap
		f.video(5, deltaPayload)
		stats := f.feed.Stats()
		if want := map[bool]uint64{false: 2}[screen]; stats.Gaps != want || !screen && stats.LongestGap.Hours() < 1 {
			t.Errorf("screen %v: %d gaps, the longest of %v", screen, stats.Gaps, stats.LongestGap)
		}
		if stats.KeyFrames != 3 {
			t.Errorf("%d key frames, want two and one again", stats.KeyFrames)
		}
	}
}

func TestCarriers(t *testing.T) {
	source, other := NewSource(SourceOptions{Kind: video}), NewSource(SourceOptions{Kind: video})
	_, a := newTestUpstream(t, video)
	_, b := newTestUpstream(t, video)
	_, sound := newTestUpstream(t, audio)
	source.SetCarrier(a.upstream)
	if source.Carrier() != nil || source.NextCarrier() != a.upstream {
		t.Error("a carrier carries before its first packet")
	}
	a.upstream.port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000}, 0, 0, deltaPayload), a)
	if source.Carrier() != a.upstream || source.NextCarrier() != nil {
		t.Error("the first carrier does not carry from its first packet on")
	}
	source.SetCarrier(b.upstream)
	b.upstream.port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000}, 0, 0, deltaPayload), b)
	if source.Carrier() != a.upstream {
		t.Error("the carrier was changed without a key frame")
	}
	b.upstream.port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: 1}, 1, 0, keyPayload), b)
	if source.Carrier() != b.upstream || a.upstream.source.Load() != nil {
		t.Error("the carrier was not changed at the key frame")
	}
	if stats := source.Stats(); stats.NotCarrier != 1 || stats.Switches != 2 || stats.Packets != 2 {
		t.Errorf("%+v", stats)
	}

	source.SetCarrier(sound.upstream)
	if source.NextCarrier() != nil || source.Carrier() != b.upstream {
		t.Error("audio carries a video source")
	}
	other.SetCarrier(b.upstream)
	if source.Carrier() != nil || other.NextCarrier() != b.upstream {
		t.Error("an upstream carries two sources")
	}
	other.SetCarrier(nil)
	if other.NextCarrier() != nil || b.upstream.source.Load() != nil {
		t.Error("the upstream was not released")
	}
}

func TestSenderReportIsTranslated(t *testing.T) {
	f := newFeeding(t, video)
	for i := range uint16(5) {
		f.video(100+i, keyPayload)
	}
	const behind = 3600 * 1e9 // the publisher's clock
	arrival := monotonic()
	ntp := nanosecondsToNTP(ntpEpoch + arrival - behind)
	raw, err := (&rtcp.SenderReport{SSRC: 1000, NTPTime: ntp, RTPTime: 102 * 100}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	f.feed.counters.reportsPending.Store(0)
	f.port.receivedRTCP(raw, 1000)
	sr, name, ok := f.feed.takeReport(monotonic())
	if !ok {
		t.Fatal("no report")
	}
	if sr.SSRC != 5 || name != "camera" || sr.PacketCount != 5 || sr.OctetCount != uint32(5*len(keyPayload)) {
		t.Errorf("%q %+v", name, sr)
	}
	// The report is of the moment it was made: as much later by both clocks.
	later := ntpToNanoseconds(sr.NTPTime) - ntpToNanoseconds(ntp) - f.port.clock.offset
	if want := f.sink.packets[2].Timestamp + uint32(later*90000/1e9); sr.RTPTime-want+1 > 2 || later < 0 {
		t.Errorf("RTP time is %d, that of the same packet %d", sr.RTPTime, want)
	}
	if d := abs(ntpToNanoseconds(sr.NTPTime) - ntpEpoch - arrival); d > 5e9 {
		t.Errorf("NTP time is %d ns from the server's", d)
	}
	if _, _, again := f.feed.takeReport(monotonic()); again {
		t.Error("a report is sent twice")
	}

	// The viewer's answer gives the round trip time.
	f.feed.mu.Lock()
	sent := f.feed.reports[(f.feed.reportIndex+len(f.feed.reports)-1)%len(f.feed.reports)]
	f.feed.mu.Unlock()
	f.feed.received(rtcp.ReceptionReport{
		SSRC: 5, LastSenderReport: sent.compact, Delay: 65536 / 2, FractionLost: 12, TotalLost: 34, Jitter: 90,
	}, sent.at+600*ms)
	stats := f.feed.Stats()
	if stats.RTT.Milliseconds() != 100 || stats.FractionLost != 12 || stats.TotalLost != 34 || stats.Jitter.Microseconds() != 1000 {
		t.Errorf("%+v", stats)
	}
	f.feed.received(rtcp.ReceptionReport{SSRC: 5, LastSenderReport: sent.compact, Delay: 1 << 31}, sent.at+600*ms)
	if got := f.feed.Stats().RTT.Milliseconds(); got != 100 {
		t.Errorf("an impossible delay made the round trip time %d ms", got)
	}
}

func FuzzReceivedRTCP(f *testing.F) {
	for _, p := range []rtcp.Packet{
		&rtcp.TransportLayerNack{MediaSSRC: 5, Nacks: []rtcp.NackPair{{PacketID: 1, LostPackets: 0xffff}}},
		&rtcp.PictureLossIndication{MediaSSRC: 5},
		&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 5}}},
		&rtcp.SenderReport{SSRC: 1000, Reports: []rtcp.ReceptionReport{{SSRC: 5, LastSenderReport: 1}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{5}},
	} {
		raw, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	feeding := newFeeding(f, video)
	feeding.video(1, keyPayload)
	f.Fuzz(func(_ *testing.T, b []byte) {
		feeding.port.receivedRTCP(b, 1000)
		feeding.feed.port.receivedRTCP(b, 5)
		feeding.sink.packets = feeding.sink.packets[:1]
	})
}
