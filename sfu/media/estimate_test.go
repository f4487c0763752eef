package media

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"skillsage/sfu/bwe"
)

// transportNumber is a packet's transport-wide sequence number, as newTestFeed
// negotiates it.
func transportNumber(t testing.TB, p *rtp.Packet) uint16 {
	t.Helper()
	b := p.GetExtension(4)
	if len(b) != 2 {
		t.Fatalf("packet %d has no transport-wide sequence number", p.SequenceNumber)
	}
	return binary.BigEndian.Uint16(b)
}

// TestEveryPacketIsNumbered: forwarded, replayed and repeated ones, and those that
// only fill a number.
func TestEveryPacketIsNumbered(t *testing.T) {
	f := newFeeding(t, video)
	f.video(1, keyPayload)
	f.late()
	f.replay()
	f.video(2, deltaPayload)
	f.video(4, deltaPayload)
	f.video(3, nil) // padding that came late
	if again := f.nack(f.sink.packets[0].SequenceNumber, f.sink.packets[1].SequenceNumber); len(again) != 2 || again[0].SSRC != 6 {
		t.Fatalf("repeated: %+v", again)
	}
	if len(f.sink.packets) < 5 {
		t.Fatalf("only %d packets", len(f.sink.packets))
	}
	history := f.feed.port.history.Load()
	for i := range f.sink.packets {
		p := &f.sink.packets[i]
		n := transportNumber(t, p)
		if int(n) != i+1 {
			t.Errorf("packet %d has number %d", i, n)
		}
		sent, ok := history.Report(n, true, 1)
		// The header, its extension, the payload; AES-GCM, UDP and IPv4.
		if size := 12 + 8 + len(p.Payload) + 16 + 8 + 20; !ok || int(sent.Size) < size || int(sent.Size) > size+1 {
			t.Errorf("packet %d is remembered as %+v, %v, want %d bytes", i, sent, ok, size)
		}
		if age := monotonic() - sent.Sent; age < 0 || age > int64(10*time.Second) {
			t.Errorf("packet %d was sent %v ago", i, time.Duration(age))
		}
	}
}

func TestPacketsAreNotNumberedForViewersWithoutTheExtension(t *testing.T) {
	for _, id := range []int{0, 15} {
		f := newFeeding(t, video)
		feed := f.feed.port.NewFeed(video, "camera", "other")
		s := &sink{keep: true}
		context := &senderContext{ssrc: 7, codecs: vp8Codecs, writer: s}
		if id != 0 {
			context.extensions = extensionsUp
			context.extensions = append(context.extensions[:0:0], context.extensions...)
			context.extensions[0].ID = id
		}
		if _, err := feed.Bind(context); err != nil {
			t.Fatal(err)
		}
		feed.SetSource(f.source)
		f.video(1, keyPayload)
		if len(s.packets) != 1 || s.packets[0].Extension {
			t.Errorf("with id %d: %+v", id, s.packets)
		}
	}
}

// TestNumbersOfConcurrentFeeds: one sequence over all feeds of a port, whoever
// writes them.
func TestNumbersOfConcurrentFeeds(t *testing.T) {
	port := newPort(PortOptions{})
	port.SetConnected(true)
	const feeds, packets = 4, 500
	var sinks []*sink
	var wg sync.WaitGroup
	for range feeds {
		f := newFeeding(t, video)
		feed, s := port.NewFeed(video, "camera", "track"), &sink{keep: true}
		sinks = append(sinks, s)
		if _, err := feed.Bind(&senderContext{ssrc: 5, rtx: 6, codecs: vp8Codecs, writer: s, extensions: []webrtc.RTPHeaderExtensionParameter{{URI: extensionsUp[0].URI, ID: 4}}}); err != nil {
			t.Fatal(err)
		}
		feed.SetSource(f.source)
		wg.Go(func() {
			for i := range uint16(packets) {
				f.video(i, keyPayload)
			}
		})
	}
	wg.Wait()
	var numbers []uint16
	for _, s := range sinks {
		for i := range s.packets {
			numbers = append(numbers, transportNumber(t, &s.packets[i]))
		}
	}
	slices.Sort(numbers)
	if len(numbers) != feeds*packets || numbers[0] != 1 || len(slices.Compact(numbers)) != feeds*packets {
		t.Errorf("%d packets have the numbers %d to %d", feeds*packets, numbers[0], numbers[len(numbers)-1])
	}
}

// reporting is a viewer who reports on what a feed has written.
type reporting struct {
	*feeding
	recorder *twcc.Recorder
}

func (r *reporting) report(delay func(i int) int64) {
	r.t.Helper()
	for i := range r.sink.packets {
		if at := delay(i); at >= 0 {
			r.recorder.Record(5, transportNumber(r.t, &r.sink.packets[i]), at/1000)
		}
	}
	for _, packet := range r.recorder.BuildFeedbackPacket() {
		raw, err := packet.Marshal()
		if err != nil {
			r.t.Fatal(err)
		}
		r.feed.port.receivedRTCP(raw, 5)
	}
	r.sink.packets = nil
}

// TestTransportFeedbackIsRead compares with what Pion's recorder is told.
func TestTransportFeedbackIsRead(t *testing.T) {
	f := newFeeding(t, video)
	history := f.feed.port.history.Load()
	recorder := twcc.NewRecorder(9)
	var s sendEstimate
	// The reference time wraps around after 2^24 * 64 ms.
	const base = int64(1<<24)*feedbackTick - 3e9
	want := map[int64]int64{}
	var read []bwe.Packet
	const packets = 1500
	for i := range packets {
		sent := int64(i) * 10e6
		number := history.Sent(sent, 1000)
		switch {
		case i%50 == 7, i > 600 && i < 640: // lost
		default:
			at := base + sent + int64(i%17)*1e6
			if i > 900 {
				at += 20e9 // a delta that needs another packet
			}
			at -= at % feedbackDelta
			want[sent] = at
			recorder.Record(5, number, at/1000)
		}
		if i%10 != 9 {
			continue
		}
		for _, packet := range recorder.BuildFeedbackPacket() {
			raw, err := packet.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if !s.read(raw, history) {
				t.Fatalf("not understood: %v", packet)
			}
			read = append(read, s.packets...)
		}
	}
	lost, offset := 0, read[0].Received-want[read[0].Sent]
	for _, p := range read {
		at, ok := want[p.Sent]
		switch {
		case p.Lost:
			lost++
		case !ok || p.Received-offset != at:
			t.Fatalf("%+v should have come at %d", p, at)
		default:
			delete(want, p.Sent)
		}
	}
	if len(want) > 0 || lost < 60 || lost > 70 {
		t.Errorf("%d packets are not reported, %d are lost", len(want), lost)
	}
}

// TestEstimateOfANarrowPath: the viewer reports that 400 kbit/s arrive of what is
// sent.
func TestEstimateOfANarrowPath(t *testing.T) {
	r := &reporting{newFeeding(t, video), twcc.NewRecorder(9)}
	if e := r.feed.port.Estimate(); e.Known || e.Source != bwe.None {
		t.Errorf("before anything was sent: %+v", e)
	}
	payload := append(slices.Clone(keyPayload), make([]byte, 1100)...)
	began, arrived, number := monotonic(), int64(0), uint16(0)
	for monotonic()-began < 3e9 {
		for range 10 {
			number++
			r.video(number, payload)
			time.Sleep(2 * time.Millisecond)
		}
		r.report(func(int) int64 {
			arrived = max(arrived+1172*8e9/400e3, monotonic())
			return arrived
		})
	}
	e := r.feed.port.Estimate()
	if !e.Known || !e.Limited || e.Source != bwe.TransportWide || e.Bitrate > 420_000 || e.Bitrate < 250_000 || e.QueueDelay < 100*time.Millisecond {
		t.Errorf("%+v", e)
	}
	if stats := r.feed.port.Stats(); stats.TWCCReceived < 20 || stats.RTCPErrors != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestEstimateWithoutTransportFeedback(t *testing.T) {
	f := newFeeding(t, video)
	port := f.feed.port
	port.receivedRTCP(mustMarshal(t, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 640_000, SSRCs: []uint32{5}}), 5)
	if e := port.Estimate(); !e.Known || e.Bitrate < 639_000 || e.Bitrate > 640_000 || e.Source != bwe.REMB {
		t.Errorf("%+v", e)
	}
	// Receiver reports with no losses, then with many.
	f = newFeeding(t, video)
	port = f.feed.port
	number := uint16(0)
	report := func(lost uint8) {
		for range 300 {
			number++
			f.video(number, keyPayload)
		}
		raw := mustMarshal(t, &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{
			SSRC: 5, FractionLost: lost, LastSequenceNumber: 1<<16 | uint32(number),
		}}})
		expected, gone, rtt := f.feed.received(unmarshalReport(t, raw), monotonic())
		port.estimate.reported(port, expected, gone, rtt, int64(number)/300*1.2e9)
	}
	for range 5 {
		report(0)
	}
	before := port.estimate.estimator.Estimate(7e9)
	if !before.Known || before.Limited || before.Source != bwe.ReceiverReports {
		t.Errorf("%+v", before)
	}
	for range 5 {
		report(128)
	}
	if after := port.estimate.estimator.Estimate(13e9); !after.Limited || after.Bitrate >= before.Bitrate || after.Loss < 0.4 {
		t.Errorf("%+v after %+v", after, before)
	}
}

func mustMarshal(t testing.TB, p rtcp.Packet) []byte {
	t.Helper()
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func unmarshalReport(t testing.TB, raw []byte) rtcp.ReceptionReport {
	t.Helper()
	var rr rtcp.ReceiverReport
	if err := rr.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	return rr.Reports[0]
}

func TestTransportFeedbackDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := newFeeding(t, video)
	port := f.feed.port
	history := port.history.Load()
	raw := []byte{0x8f, 205, 0, 9, 0, 0, 0, 1, 0, 0, 0, 5, 0, 1, 0, 14, 0, 0, 0, 0, 0xbf, 0xff}
	raw = append(raw, make([]byte, 14+4)...)
	feedback := func() {
		var first uint16
		for i := range 14 {
			n := history.Sent(monotonic(), 1200)
			if i == 0 {
				first = n
			}
		}
		binary.BigEndian.PutUint16(raw[12:], first)
		raw[18]++
		port.receivedRTCP(raw, 5)
	}
	feedback()
	if n := testing.AllocsPerRun(500, feedback); n != 0 {
		t.Errorf("%v allocations per feedback", n)
	}
	if stats := port.Stats(); stats.TWCCReceived < 500 || stats.RTCPErrors != 0 {
		t.Errorf("%+v", stats)
	}
}

// FuzzTransportFeedback gives a port feedback that a viewer makes up.
func FuzzTransportFeedback(f *testing.F) {
	f.Add([]byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 5, 0, 1, 0, 2, 0, 0, 1, 0, 0x20, 2, 4, 4}, uint16(20))
	f.Add([]byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xe5, 2, 4, 4}, uint16(3000))
	f.Fuzz(func(t *testing.T, raw []byte, sent uint16) {
		port := newPort(PortOptions{})
		port.numberPackets()
		for range min(sent, 5000) {
			port.history.Load().Sent(monotonic(), 1200)
		}
		port.receivedTransportFeedback(raw, monotonic())
		port.receivedTransportFeedback(raw, monotonic())
		if e := port.Estimate(); e.Known && e.Bitrate == 0 {
			t.Errorf("%+v", e)
		}
		if len(port.estimate.packets) > 1<<11 {
			t.Errorf("%d packets", len(port.estimate.packets))
		}
	})
}

// TestEstimateWithARealClient: a client that has negotiated transport-wide
// feedback sends it, on all kinds of packets, and an estimate comes of it.
func TestEstimateWithARealClient(t *testing.T) {
	s := newStage(t)
	v := s.seat(t)
	var lost atomic.Int64
	drop := func(h *rtp.Header) bool { return lost.Add(1)%20 == 0 }
	v.drop.incoming.Store(&drop)
	s.camera.roll(t, s.publisher)
	eventually(t, "an estimate", func() bool { return v.down.port.Estimate().Known })
	eventually(t, "feedback about retransmissions too", func() bool {
		return v.feed.Stats().Retransmitted > 10 && v.down.port.Stats().TWCCReceived > 20
	})
	e := v.down.port.Estimate()
	// 150 packets of 409 bytes per second, headers and retransmissions: 600 kbit/s.
	if e.Source != bwe.TransportWide || e.Acknowledged < 300_000 || e.Acknowledged > 1_000_000 || e.Bitrate < e.Acknowledged || e.Age > time.Second {
		t.Errorf("%+v", e)
	}
	if e.Loss == 0 || e.Loss > 0.15 {
		t.Errorf("5 %% of the packets get lost: %+v", e)
	}
	if e := s.uplink.port.Estimate(); e.Known {
		t.Errorf("nothing is sent to the publisher, but %+v", e)
	}
}
