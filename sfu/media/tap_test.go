package media

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// tapped is a source with a tap, whose packets come by hand.
type tapped struct {
	*feeding
	tap *TapReader
}

func newTapped(t testing.TB, f *feeding, opts TapOptions) *tapped {
	t.Helper()
	tap, err := f.source.Tap(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return &tapped{f, tap}
}

// numbered is a delta frame in one packet that ends with a number, key a key frame.
func numbered(key bool, n int) []byte {
	payload := []byte{0x10, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if key {
		copy(payload, keyFrameOf(640, 480))
	}
	return binary.BigEndian.AppendUint32(payload, uint32(n))
}

func numberOf(payload []byte) int { return int(binary.BigEndian.Uint32(payload[len(payload)-4:])) }

// report sends a sender report that says that a timestamp is now.
func (f *feeding) report(timestamp uint32) {
	now := monotonic()
	f.to.upstream.reported(&rtcp.SenderReport{SSRC: 1000, NTPTime: nanosecondsToNTP(ntpEpoch + now), RTPTime: timestamp}, now)
}

// next wants an event of a kind soon.
func (d *tapped) next(kind TapEventKind) TapEvent {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	event, err := d.tap.Next(ctx)
	if err != nil {
		d.t.Fatalf("want %v: %v", kind, err)
	}
	if event.Kind != kind {
		d.t.Fatalf("got %+v, want %v", event, kind)
	}
	return event
}

func (d *tapped) wantNumbers(want ...int) {
	d.t.Helper()
	var got []int
	for range want {
		got = append(got, numberOf(d.next(TapPacket).Payload))
	}
	if !slices.Equal(got, want) {
		d.t.Fatalf("read %v, want %v", got, want)
	}
}

// wantNothing demands that there is nothing to be read at present.
func (d *tapped) wantNothing() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if event, err := d.tap.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		d.t.Fatalf("read %+v, %v", event, err)
	}
}

func TestTapHandsOutInOrder(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	d.report(0)
	d.video(9, numbered(false, 9)) // before the key frame
	d.video(10, numbered(true, 10))
	codec := d.next(TapCodec)
	if codec.Codec.MimeType != "video/VP8" || codec.Codec.ClockRate != 90000 {
		t.Errorf("%+v", codec)
	}
	first := d.next(TapPacket)
	if !first.KeyFrame || first.Sequence != 1 || numberOf(first.Payload) != 10 {
		t.Errorf("%+v", first)
	}
	d.video(12, numbered(false, 12))
	d.video(14, numbered(false, 14))
	d.wantNothing()
	d.video(12, numbered(false, 12))
	d.video(13, numbered(false, 13))
	d.video(11, numbered(false, 11))
	d.wantNumbers(11, 12, 13)
	last := d.next(TapPacket)
	if last.Sequence != 5 || last.Timestamp-first.Timestamp != 400 || numberOf(last.Payload) != 14 {
		t.Errorf("%+v", last)
	}
	d.source.End()
	if _, err := d.tap.Next(context.Background()); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	if _, err := d.source.Tap(TapOptions{}); err != ErrTapEnded {
		t.Errorf("a tap of what has ended: %v", err)
	}
}

// at reads the next event as if it were that much later (ns); kind 0: there is none.
func (d *tapped) at(later int64) TapEvent {
	d.t.Helper()
	d.tap.done()
	event, _, err := d.tap.step(monotonic() + later)
	if err != nil {
		d.t.Fatal(err)
	}
	return event
}

func TestTapGivesUpWhatDoesNotCome(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{Wait: 2 * time.Second})
	d.report(0)
	for _, n := range []uint16{10, 13, 14, 16} {
		d.video(n, numbered(n == 10, int(n)))
	}
	d.next(TapCodec)
	d.wantNumbers(10)
	if event := d.at(1900e6); event.Kind != 0 {
		t.Fatalf("before the time is over: %+v", event)
	}
	gap := d.at(2100e6)
	if gap.Kind != TapGap || gap.Sequence != 2 || gap.Last != 3 || gap.Reason != GapLost {
		t.Fatalf("%+v", gap)
	}
	d.video(12, numbered(false, 12)) // too late
	d.wantNumbers(13, 14)
	d.source.End() // nothing is waited for any more
	if gap := d.next(TapGap); gap.Sequence != 6 || gap.Last != 6 {
		t.Errorf("%+v", gap)
	}
	d.wantNumbers(16)
}

// TestTapLeavesPaddingOut: numbers that turn out to be empty are no loss.
func TestTapLeavesPaddingOut(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	d.report(0)
	d.video(10, numbered(true, 10))
	d.video(12, numbered(false, 12))
	d.video(11, nil)
	d.video(13, nil)
	d.video(14, numbered(false, 14))
	d.next(TapCodec)
	for i, want := range []int{10, 12, 14} {
		if p := d.next(TapPacket); numberOf(p.Payload) != want || p.Sequence != uint64(i)+1 {
			t.Errorf("%+v, want number %d", p, want)
		}
	}
}

// TestTapTakesWhatComesTooLateForViewers: the ring has long forgotten whether it had the
// packet.
func TestTapTakesWhatComesTooLateForViewers(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	d.report(0)
	d.video(10, numbered(true, 10))
	for n := uint16(12); n < 12+2*videoCacheSlots; n++ {
		d.video(n, numbered(false, int(n)))
	}
	forwarded := d.sink.count.Load()
	for range 2 {
		d.video(11, numbered(false, 11))
		d.video(10, numbered(false, 10)) // which the tap had
	}
	if n := d.sink.count.Load(); n != forwarded {
		t.Errorf("%d packets were sent to the viewer all the same", n-forwarded)
	}
	d.next(TapCodec)
	for n := range 2*videoCacheSlots + 2 {
		d.wantNumbers(10 + n)
	}
	d.wantNothing()
}

func TestTapWaitsForTheFirstReport(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	for n := uint16(10); n < 13; n++ {
		d.video(n, numbered(n == 10, int(n)))
	}
	d.wantNothing()
	d.report(1500) // timestamps are 100 times the number
	now := time.Now()
	d.next(TapCodec)
	for i := range 3 {
		want := now.Add(-time.Duration(500-100*i) * time.Second / 90000)
		if p := d.next(TapPacket); !p.Exact || p.Captured.Sub(want).Abs() > 100*time.Millisecond || i == 2 && p.Captured.Sub(now) > -2*time.Millisecond {
			t.Errorf("packet %d was captured at %v (exact: %v), want %v", i, p.Captured, p.Exact, want)
		}
	}
	// One that begins now knows.
	again := newTapped(t, d.feeding, TapOptions{})
	d.video(13, numbered(true, 13))
	again.next(TapCodec)
	if p := again.next(TapPacket); !p.Exact {
		t.Errorf("%+v", p)
	}
}

// TestTapWithoutReports guesses from arrivals, and goes on from there when a report comes.
func TestTapWithoutReports(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	d.video(10, numbered(true, 10))
	if event := d.at(tapHold - 500e6); event.Kind != 0 {
		t.Fatalf("before the time is over: %+v", event)
	}
	if event := d.at(tapHold); event.Kind != TapCodec {
		t.Fatalf("%+v", event)
	}
	guess := d.at(tapHold)
	if guess.Exact || time.Since(guess.Captured).Abs() > 10*time.Second {
		t.Errorf("%+v", guess)
	}
	// It was captured 300 ms before its arrival.
	now := monotonic()
	d.to.upstream.reported(&rtcp.SenderReport{SSRC: 1000, NTPTime: nanosecondsToNTP(ntpEpoch + now), RTPTime: 1000 + 300*90}, now)
	before := guess
	d.tap.done()
	for n, exact := uint16(11), false; !exact; n++ {
		now += 100e6
		d.to.upstream.received(&passage{in: packet{payloadType: 96, sequence: n, timestamp: 1000 + uint32(n-10)*9000, ssrc: 1000, payload: numbered(false, int(n))}}, false, now)
		p := d.next(TapPacket)
		if step := p.Captured.Sub(before.Captured); step < 94*time.Millisecond || step > 106*time.Millisecond {
			t.Fatalf("100 ms after the last one: %v", step)
		}
		if before, exact = p, p.Exact; n > 200 {
			t.Fatal("it never becomes exact")
		}
	}
	if off := before.Captured.Sub(guess.Captured) - time.Duration(before.Timestamp-guess.Timestamp)*time.Second/90000; off > -200*time.Millisecond {
		t.Errorf("it was corrected by %v, want about -300 ms", off)
	}
}

// TestTapDoesNotBelieveEverything: reports that say what can't be.
func TestTapDoesNotBelieveEverything(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	timestamp := uint32(0)
	for n := range uint16(200) {
		now := monotonic()
		// The same timestamp again and again, at another time of a clock that jumps.
		d.to.upstream.reported(&rtcp.SenderReport{SSRC: 1000, NTPTime: uint64(n%7) << 60, RTPTime: uint32(n) << 25}, now)
		timestamp += 3000
		d.port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: n, Timestamp: timestamp}, n, 0, numbered(n == 0, int(n))), d.to)
	}
	last, packets := time.Time{}, 0
	for event := d.at(tapHold); event.Kind != 0; event = d.at(tapHold) {
		if event.Kind != TapPacket {
			continue
		}
		packets++
		if event.Captured.Before(last) || time.Until(event.Captured).Abs() > 25*time.Second {
			t.Fatalf("captured at %v after %v, now is %v", event.Captured, last, time.Now())
		}
		last = event.Captured
	}
	if packets != 200 {
		t.Errorf("%d packets were read", packets)
	}
}

// TestTapStaysWithTheTimeThatPasses whatever timestamps a publisher sends.
func TestTapStaysWithTheTimeThatPasses(t *testing.T) {
	for _, reports := range []bool{false, true} {
		d := newTapped(t, newFeeding(t, video), TapOptions{})
		if reports {
			d.report(0)
		}
		last, packets, now := time.Time{}, 0, monotonic()
		for n := range uint16(500) {
			now += 33e6
			timestamp := uint32(n) * 3000
			switch n % 50 {
			case 20:
				timestamp += 1 << 31
			case 40:
				timestamp -= 1 << 30
			}
			d.to.upstream.received(&passage{in: packet{payloadType: 96, sequence: n, timestamp: timestamp, ssrc: 1000, payload: numbered(n == 0, int(n))}}, false, now)
			for event := d.at(now - monotonic()); event.Kind != 0; event = d.at(now - monotonic()) {
				if event.Kind != TapPacket {
					continue
				}
				packets++
				if apart := event.Captured.Sub(at(now)); apart.Abs() > 14*time.Second {
					t.Fatalf("reports %v, packet %d: captured at %v after %v, now is %v", reports, n, event.Captured, last, at(now))
				}
				last = event.Captured
			}
		}
		if packets != 500 {
			t.Errorf("%d packets were read", packets)
		}
	}
}

// voice sends an Opus packet of 20 ms with an audio level.
func (f *feeding) voice(n uint16, level byte, payload []byte) {
	f.port.received(rtpBytes(f.t, rtp.Header{PayloadType: 111, SSRC: 1000, SequenceNumber: n, Timestamp: uint32(n) * 960}, n, level, payload), f.to)
}

func TestTapTellsOfMute(t *testing.T) {
	d := newTapped(t, newFeeding(t, audio), TapOptions{})
	d.report(0)
	for n := uint16(1); n <= 100; n++ {
		level := byte(0x80 | 30)
		if n > 20 && n <= 80 {
			level = 127
		}
		d.voice(n, level, []byte("opus"))
	}
	var captured [101]time.Time
	var events []string
	var muted TapEvent
	for n := 0; n < 100; {
		event := d.at(0)
		switch event.Kind {
		case TapPacket:
			n++
			captured[n] = event.Captured
			if want := 30; (n <= 20 || n > 80) && event.Level != want {
				t.Errorf("packet %d has the level %d", n, event.Level)
			}
		case TapMuted:
			muted = event
			fallthrough
		default:
			events = append(events, fmt.Sprint(event.Kind, " before ", n+1))
		}
	}
	if want := []string{"codec before 1", "muted before 71", "unmuted before 81"}; !slices.Equal(events, want) {
		t.Errorf("%v, want %v", events, want)
	}
	if !muted.Captured.Equal(captured[21]) {
		t.Errorf("muted since %v, want %v", muted.Captured, captured[21])
	}

	// Nothing comes any more, and nothing is heard of the connection.
	if event := d.at(tapSilence + 1e9); event.Kind != 0 {
		t.Errorf("a dead connection: %+v", event)
	}
	d.port.lastHeard.Store(monotonic() + tapSilence)
	if event := d.at(tapSilence + 1e9); event.Kind != TapMuted || !event.Captured.Equal(captured[100]) {
		t.Errorf("%+v, want muted since %v", event, captured[100])
	}
	if event := d.at(tapSilence + 5e9); event.Kind != 0 {
		t.Errorf("muted twice: %+v", event)
	}
	d.voice(101, 0x80|30, []byte("opus"))
	d.next(TapUnmuted)
	d.next(TapPacket)
}

func TestTapKeepsWithinItsMemory(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{Buffer: 1 << 20})
	d.report(0)
	payload := func(n uint16) []byte { return append(make([]byte, 1100), numbered(false, int(n))...) }
	d.video(0, numbered(true, 0))
	for n := uint16(1); n < 3000; n++ {
		d.video(n, payload(n))
	}
	d.next(TapCodec)
	read := 0
	for event := d.at(0); event.Kind == TapPacket; event = d.at(0) {
		read++
	}
	if read < 500 || read > 1<<20/1100 {
		t.Errorf("%d packets were kept in a MiB", read)
	}
	d.video(3000, payload(3000))
	if gap := d.next(TapGap); gap.Reason != GapOverflow || gap.Sequence != uint64(read)+1 || gap.Last != 3000 {
		t.Errorf("%+v after %d packets", gap, read)
	}
	d.wantNumbers(3000)
	d.tap.queue.mu.Lock()
	defer d.tap.queue.mu.Unlock()
	if d.tap.queue.made > keptChunks+1 {
		t.Errorf("%d chunks are still held", d.tap.queue.made)
	}
}

// TestTapDoesNotWaitForLongWhenMemoryIsShort gives a missing packet up before those
// behind it would have to be left out.
func TestTapDoesNotWaitForLongWhenMemoryIsShort(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{Buffer: 1 << 20})
	d.report(0)
	d.video(0, numbered(true, 0))
	d.next(TapCodec)
	d.wantNumbers(0)
	gaps, read := 0, 1
	for n := uint16(2); n < 3000; n++ {
		d.video(n, append(make([]byte, 1100), numbered(false, int(n))...))
		for event := d.at(0); event.Kind != 0; event = d.at(0) {
			if event.Kind == TapGap {
				gaps++
			} else {
				read++
			}
		}
	}
	if gaps != 1 || read < 2900 {
		t.Errorf("%d gaps, %d packets", gaps, read)
	}
}

func TestTapFollowsLayers(t *testing.T) {
	s := newSimulcast(t, "q", "h", "f")
	d := newTapped(t, s.feeding, TapOptions{})
	// The clock of each layer is its own, and so are its reports.
	now := monotonic()
	for i, to := range s.layers {
		to.upstream.reported(&rtcp.SenderReport{SSRC: to.upstream.ssrc, NTPTime: nanosecondsToNTP(ntpEpoch + now), RTPTime: uint32(i) * 1_000_000}, now)
	}
	s.send(2, 0, deltaPayload)
	for i := range 3 {
		s.send(i, uint32(3000*i), keyFrameOf(160<<i, 90<<i))
	}
	s.survey()
	s.send(0, 9000, deltaPayload)
	s.send(1, 9000, deltaPayload)
	s.send(2, 9000, deltaPayload)
	var kinds []TapEventKind
	var packets []TapEvent
	for event := d.at(0); event.Kind != 0; event = d.at(0) {
		kinds = append(kinds, event.Kind)
		if event.Kind == TapPacket {
			event.Payload = slices.Clone(event.Payload)
			packets = append(packets, event)
		}
	}
	if want := []TapEventKind{TapCodec, TapPacket, TapSwitch, TapPacket, TapSwitch, TapPacket, TapPacket}; !slices.Equal(kinds, want) {
		t.Fatalf("%v, want %v", kinds, want)
	}
	for i, p := range packets {
		ticks := int64(3000 * i)
		want := time.Duration(ticks) * time.Second / 90000
		if p.Sequence != uint64(i)+1 || abs(p.Timestamp-packets[0].Timestamp-ticks) > 3 || (p.Captured.Sub(packets[0].Captured)-want).Abs() > time.Millisecond || !p.Exact || p.KeyFrame != (i < 3) {
			t.Errorf("packet %d: %+v, the first %+v", i, p, packets[0])
		}
	}
	// The biggest ends; those left are read from their next key frame on.
	s.source.mu.Lock()
	(*s.source.layers.Load())[2].live = false
	s.source.mu.Unlock()
	s.survey()
	s.send(1, 12000, deltaPayload)
	if !s.waits(1) {
		t.Error("the next layer is not asked for a key frame")
	}
	s.send(1, 15000, keyFrameOf(320, 180))
	d.next(TapSwitch)
	if p := d.next(TapPacket); !p.KeyFrame || p.Sequence != 5 || abs(p.Timestamp-packets[3].Timestamp-6000) > 3 {
		t.Errorf("%+v", p)
	}
}

// TestTapWaitsForTheReportOfANewCarrier: its pictures are placed by that, not by when
// they came.
func TestTapWaitsForTheReportOfANewCarrier(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	d.report(1000)
	d.video(10, numbered(true, 10))
	d.video(12, numbered(false, 12)) // what is missing is gone with its carrier
	d.next(TapCodec)
	before := d.next(TapPacket)

	port, to := newTestUpstream(t, video)
	d.source.SetCarrier(to.upstream)
	port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: 500, Timestamp: 7_000_000}, 1, 0, numbered(true, 500)), to)
	if gap := d.next(TapGap); gap.Sequence != 2 || gap.Last != 2 {
		t.Errorf("%+v", gap)
	}
	d.wantNumbers(12)
	d.wantNothing()
	// By its clock it was captured 2 s after the first one, whenever it came.
	first := d.to.upstream.report
	to.upstream.reported(&rtcp.SenderReport{SSRC: 1000, NTPTime: nanosecondsToNTP(first.ntp + 3e9), RTPTime: 7_090_000}, first.arrival+3e9)
	d.next(TapSwitch)
	after := d.next(TapPacket)
	if apart := after.Captured.Sub(before.Captured); !after.Exact || (apart-2*time.Second).Abs() > 2*time.Millisecond || after.Sequence != 4 {
		t.Errorf("%v after the first: %+v", apart, after)
	}
}

func TestTapTellsOfAnotherFormat(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	h264 := webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "packetization-mode=1"}, PayloadType: 106}
	d.to.upstream.formats[106] = newFormat(h264)
	d.report(0)
	d.video(1, keyPayload)
	d.port.received(rtpBytes(t, rtp.Header{PayloadType: 106, SSRC: 1000, SequenceNumber: 2, Timestamp: 200}, 2, 0, []byte{0x67, 0x42}), d.to)
	d.next(TapCodec)
	d.next(TapPacket)
	if codec := d.next(TapCodec); codec.Codec != (Codec{"video/H264", 90000, 0, "packetization-mode=1"}) {
		t.Errorf("%+v", codec)
	}
	if p := d.next(TapPacket); !p.KeyFrame || p.Codec.MimeType != "video/H264" {
		t.Errorf("%+v", p)
	}
}

// TestTapTakesCopiesOutOfRED for what was lost.
func TestTapTakesCopiesOutOfRED(t *testing.T) {
	port, to := redUpstream(t)
	f := &feeding{t: t, port: port, to: to, source: NewSource(SourceOptions{Kind: audio})}
	f.source.SetCarrier(to.upstream)
	d := newTapped(t, f, TapOptions{Wait: time.Second})
	d.report(0)
	send := func(n uint16, payload []byte) {
		port.received(rtpBytes(t, rtp.Header{PayloadType: 63, SSRC: 1000, SequenceNumber: n, Timestamp: uint32(n) * 960}, n, 0x80|20, payload), to)
	}
	two := []byte{redMore | 111, 1920 >> 6, 1920 << 2 & 0xff, 2, redMore | 111, 960 >> 6, 960 << 2 & 0xff, 3, 111}
	send(1, redPayload(111, []byte("00"), []byte("11")))
	send(2, redPayload(111, []byte("11"), []byte("22")))
	send(5, slices.Concat(two, []byte("33"), []byte("444"), []byte("55"))) // 3 and 4 are missing
	send(4, redPayload(111, []byte("33"), []byte("too late")))
	send(8, redPayload(111, []byte("77"), []byte("88")))    // so are 6 and 7, of which there is one
	send(10, redPayload(111, []byte("08"), []byte("1010"))) // 9 is, and this copy is said to be of 9
	copied := redPayload(111, []byte("10"), []byte("1212")) // of what came, though 11 is missing
	copied[1], copied[2] = 1920>>6, 1920<<2&0xff
	send(12, copied)
	d.next(TapCodec)
	var got []string
	for event := d.at(2e9); event.Kind != 0; event = d.at(2e9) {
		if event.Kind == TapGap {
			got = append(got, "gap")
			continue
		}
		got = append(got, string(event.Payload))
		if ticks := int64(len(got)) * 960; len(got) > 1 && event.Timestamp != ticks {
			t.Errorf("%q has the timestamp %d, want %d", event.Payload, event.Timestamp, ticks)
		}
	}
	if want := []string{"11", "22", "33", "444", "55", "gap", "77", "88", "08", "1010", "gap", "1212"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestTapsAreBoundedAndClose(t *testing.T) {
	f := newFeeding(t, video)
	var all []*tapped
	for range maxTaps {
		all = append(all, newTapped(t, f, TapOptions{}))
	}
	if _, err := f.source.Tap(TapOptions{}); err != ErrTooManyTaps {
		t.Errorf("one too many: %v", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := all[0].tap.Next(context.Background())
		waiting <- err
	}()
	all[0].tap.Close()
	all[0].tap.Close()
	if err := <-waiting; err != ErrTapClosed {
		t.Errorf("a closed tap gives %v", err)
	}
	newTapped(t, f, TapOptions{})
	for _, d := range all {
		d.tap.Close()
	}
	f.video(1, keyPayload)
	if _, err := all[1].tap.Next(context.Background()); err != ErrTapClosed {
		t.Errorf("a closed tap gives %v", err)
	}
}

// TestTapsKeepAskingForWhatIsMissing after viewers have given up, while there is one.
func TestTapsKeepAskingForWhatIsMissing(t *testing.T) {
	for _, keep := range []int64{0, 3e9} {
		m := newMissing(1, 3)
		m.keep = keep
		at, _, givenUp := asks(m, 0, 5000, 40)
		last := at[len(at)-1]
		if givenUp != 1 || !m.takeUnrepairable() || len(m.list) != 0 {
			t.Errorf("keep %d: %d given up, still %v", keep, givenUp, m.list)
		}
		if keep > 0 && (last < 2500 || last > 3000 || len(at) > 25) || keep == 0 && last > 1100 {
			t.Errorf("keep %d: asked at %v", keep, at)
		}
	}
	d := newTapped(t, newFeeding(t, video), TapOptions{Wait: 5 * time.Second})
	missing := func() int64 {
		d.source.mu.Lock()
		d.source.survey(monotonic())
		d.source.mu.Unlock()
		d.to.upstream.mu.Lock()
		defer d.to.upstream.mu.Unlock()
		return d.to.upstream.missing.keep
	}
	d.video(1, keyPayload)
	if got := missing(); got != 5e9 {
		t.Errorf("while there is a tap what is missing is kept for %d", got)
	}
	d.tap.Close()
	if got := missing(); got != 0 {
		t.Errorf("without it for %d", got)
	}
}

// TestPublishersTellOneTime: of several connections the one with the least delay counts,
// for all that agree.
func TestPublishersTellOneTime(t *testing.T) {
	publisher := new(Publisher)
	var ports [3]*Port
	for i := range ports {
		ports[i] = newPort(PortOptions{Publisher: publisher})
	}
	offset := func(i int) int64 { return ports[i].shared.Load().offset }
	publisher.observe(ports[0], 50e6, 1, 0)
	publisher.observe(ports[1], 20e6, 2, 1e9)
	publisher.observe(ports[2], -10e9, 3, 2e9) // another clock
	for i, want := range []int64{20e6, 20e6, -10e9} {
		if got := offset(i); got != want {
			t.Errorf("port %d: %d, want %d", i, got, want)
		}
	}
	publisher.observe(ports[0], 52e6, 1, 32e9) // of the other one nothing is heard any more
	if got := offset(0); got != 52e6 {
		t.Errorf("later: %d", got)
	}
	if len(publisher.heard) != 2 {
		t.Errorf("%d ports are remembered", len(publisher.heard))
	}
}

// TestTapWhateverTheNetworkDoes loses, delays, repeats and reorders packets, and reads now and
// then: what is handed out is in order, and its numbers are those of the packets.
func TestTapWhateverTheNetworkDoes(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		d := newTapped(t, newFeeding(t, video), TapOptions{Wait: time.Second, Buffer: 1 << (16 + rnd.IntN(6))})
		d.report(0)
		began := monotonic()
		const packets = 3000
		type arrival struct {
			number uint16
			at     int64
		}
		arrivals := []arrival{{0, began}}
		for n := uint16(1); n < packets; n++ {
			at := began + int64(n)*3e6
			if rnd.IntN(20) == 0 {
				at += rnd.Int64N(1500e6) // repaired, perhaps too late
			}
			for range 1 + rnd.IntN(20)/19 {
				if rnd.IntN(50) != 0 {
					arrivals = append(arrivals, arrival{n, at})
				}
			}
		}
		slices.SortStableFunc(arrivals, func(a, b arrival) int { return int(a.at - b.at) })
		read, sequence := 0, uint64(0)
		drain := func(now int64) {
			for {
				d.tap.done()
				event, _, err := d.tap.step(now)
				if err == io.EOF || err == nil && event.Kind == 0 {
					return
				}
				switch {
				case err != nil:
					t.Fatal(err)
				case event.Kind == TapPacket:
					read++
					if event.Sequence != sequence+1 || numberOf(event.Payload) != int(event.Sequence)-1 {
						t.Fatalf("seed %d: number %d is %d after %d", seed, numberOf(event.Payload), event.Sequence, sequence)
					}
					sequence = event.Sequence
				case event.Kind == TapGap:
					if event.Sequence != sequence+1 || event.Last < event.Sequence {
						t.Fatalf("seed %d: %+v after %d", seed, event, sequence)
					}
					sequence = event.Last
				}
			}
		}
		pause := 1 + rnd.IntN(400)
		for i, a := range arrivals {
			payload := append(make([]byte, rnd.IntN(1200)), numbered(false, int(a.number))...)
			if a.number == 0 {
				payload = numbered(true, 0)
			}
			d.to.upstream.received(&passage{in: packet{payloadType: 96, sequence: a.number, timestamp: uint32(a.number) * 270, ssrc: 1000, payload: payload}}, false, a.at)
			if i%pause == 0 {
				drain(a.at)
			}
		}
		d.source.End()
		drain(arrivals[len(arrivals)-1].at)
		d.tap.done()
		d.tap.queue.take(nil, d.tap.given, false)
		if q := &d.tap.queue; q.made != len(q.free)+len(q.chunks) || len(d.tap.pending) != 0 || read < packets/10 {
			t.Errorf("seed %d: %d packets were read, %d chunks are lost", seed, read, q.made-len(q.free)-len(q.chunks))
		}
	}
}
