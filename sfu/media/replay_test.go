package media

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// replay does what the reporter of the feed's port would do.
func (f *feeding) replay() {
	for f.feed.sendReplay(monotonic()) != 0 {
	}
}

// late gives the source a second viewer, who is to be looked at from now on.
func (f *feeding) late() {
	f.feed, f.sink = newTestFeed(f.t, video, true)
	f.feed.SetSource(f.source)
}

// age makes what the source has delivered so far older.
func (f *feeding) age(by int64) {
	f.source.mu.Lock()
	l := f.source.order[0]
	l.key.arrival -= by
	l.mapper.arrival -= by
	f.source.mu.Unlock()
}

// asked tells whether the source waits for a key frame, and no longer does so.
func (f *feeding) asked() bool {
	f.source.mu.Lock()
	defer f.source.mu.Unlock()
	keys := &f.source.order[0].keys
	pending := keys.pending
	keys.pending = false
	return pending
}

func TestLateViewerGetsTheCachedPicture(t *testing.T) {
	f := newFeeding(t, video)
	f.video(7, keyPayload)
	f.video(9, keyPayload)
	f.video(10, deltaPayload)
	f.video(12, deltaPayload) // 11 is missing
	f.asked()
	f.late()
	if f.asked() {
		t.Error("a key frame is asked for although there is one")
	}
	f.video(13, deltaPayload) // comes while the cached ones are on their way
	f.wantNumbers()
	f.replay()
	f.wantNumbers(0, 1, 3, 4)
	f.video(14, deltaPayload)
	f.video(11, deltaPayload) // late
	f.wantNumbers(0, 1, 3, 4, 5, 2)
	for i, p := range f.sink.packets {
		if want := uint32(f.numbers()[i]) * 100; p.Timestamp-f.sink.packets[0].Timestamp != want {
			t.Errorf("packet %d is %d ticks after the first, want %d", i, p.Timestamp-f.sink.packets[0].Timestamp, want)
		}
	}
	if stats := f.feed.Stats(); stats.Replays != 1 || stats.Packets != 6 || stats.AwaitingKey != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestLateViewerOfAStaticScreen has pictures that came one second after the
// other: a receiver is to show them at once and go on from there.
func TestLateViewerOfAStaticScreen(t *testing.T) {
	f := newFeeding(t, video)
	picture := func(sequence uint16, timestamp uint32, payload []byte) {
		f.port.received(rtpBytes(t, rtp.Header{
			PayloadType: 96, SSRC: 1000, SequenceNumber: sequence, Timestamp: timestamp,
		}, sequence, 0, payload), f.to)
	}
	picture(0, 0, keyPayload)
	for i := uint32(1); i <= 40; i++ {
		picture(uint16(2*i-1), i*90000, deltaPayload)
		picture(uint16(2*i), i*90000, deltaPayload)
	}
	f.age(41e9)
	f.asked()
	f.late()
	if f.asked() {
		t.Error("a key frame is asked for although less than 100 packets came since the last")
	}
	f.replay()
	if len(f.sink.packets) != 81 {
		t.Fatalf("%d packets were sent, want 81", len(f.sink.packets))
	}
	first, last := f.sink.packets[0], f.sink.packets[80]
	if span := last.Timestamp - first.Timestamp; span > replaySpan {
		t.Errorf("the pictures are spread over %d ticks", span)
	}
	for i := 1; i < 81; i++ {
		step := int32(f.sink.packets[i].Timestamp - f.sink.packets[i-1].Timestamp)
		if samePicture := i%2 == 0; samePicture != (step == 0) || step < 0 {
			t.Fatalf("packet %d is %d ticks after the one before it", i, step)
		}
	}
	// What is asked for again has the timestamp that it had.
	again := f.nack(first.SequenceNumber + 3)
	if len(again) != 1 || again[0].Timestamp != f.sink.packets[3].Timestamp {
		t.Errorf("packet 3 was repeated as %+v", again)
	}
	picture(81, 41*90000, deltaPayload)
	if step := f.sink.packets[len(f.sink.packets)-1].Timestamp - last.Timestamp; step != 90000 {
		t.Errorf("the next picture is %d ticks later", step)
	}
}

func TestNoReplayOfOldOrIncompletePictures(t *testing.T) {
	fill := func(f *feeding, packets uint16) {
		f.video(0, keyPayload)
		for i := range packets - 1 {
			f.video(i+1, deltaPayload)
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(f *feeding)
		replay  bool
	}{
		{"many packets, but recent", func(f *feeding) { fill(f, 300) }, true},
		{"old, but few packets", func(f *feeding) { fill(f, 99); f.age(10e9) }, true},
		{"old and many packets", func(f *feeding) { fill(f, 100); f.age(500e6) }, false},
		{"recent, but beyond the ring", func(f *feeding) { fill(f, 600) }, false},
		{"old with a hole", func(f *feeding) { f.video(0, keyPayload); f.video(2, deltaPayload); f.age(500e6) }, false},
		{"no key frame yet", func(f *feeding) { f.video(0, deltaPayload) }, false},
		{"no carrier any more", func(f *feeding) { fill(f, 9); f.source.SetCarrier(nil) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeeding(t, video)
			c.prepare(f)
			f.asked()
			f.late()
			f.replay()
			if got := len(f.sink.packets) > 0; got != c.replay {
				t.Errorf("replayed: %v", got)
			}
			if f.asked() == c.replay {
				t.Errorf("a key frame was asked for: %v", !c.replay)
			}
		})
	}
}

// TestReplayIsOvertaken delivers more than the ring holds before the replay gets
// anywhere.
func TestReplayIsOvertaken(t *testing.T) {
	f := newFeeding(t, video)
	f.video(0, keyPayload)
	f.late()
	f.asked()
	for i := range uint16(600) {
		f.video(i+1, deltaPayload)
	}
	f.replay()
	f.wantNumbers()
	if !f.asked() {
		t.Error("no key frame is asked for")
	}
	f.video(601, deltaPayload)
	f.wantNumbers()
	f.video(602, keyPayload)
	f.wantNumbers(0)
}

// TestReplayAfterAnotherSource checks that timestamps do not go back when a feed
// has sent something else, later than the cached key frame came.
func TestReplayAfterAnotherSource(t *testing.T) {
	f := newFeeding(t, video)
	other := newFeeding(t, video)
	other.video(0, keyPayload)
	other.video(1, deltaPayload)
	f.video(1, keyPayload)
	f.video(2, deltaPayload)
	f.feed.SetSource(other.source)
	f.replay()
	f.wantNumbers(0, 1, 2, 3)
	for i := 1; i < 4; i++ {
		if step := int32(f.sink.packets[i].Timestamp - f.sink.packets[i-1].Timestamp); step < 1 || step > 90000*60 {
			t.Errorf("packet %d is %d ticks after the one before it", i, step)
		}
	}
}

// TestStaticScreenIsShownAtOnce has a publisher that sends one picture and then
// nothing, whatever it is asked for.
func TestStaticScreenIsShownAtOnce(t *testing.T) {
	api := newTestAPI(t)
	publisher, uplink := newClient(t), newLeg(t, api)
	cam := newCamera(t, webrtc.MimeTypeVP8, "screen").on(t, publisher)
	t.Cleanup(func() { _ = publisher.Close(); cam.wg.Wait() })
	negotiate(t, publisher.PeerConnection, uplink.PeerConnection)
	s := &stage{api: api, source: NewSource(SourceOptions{Kind: video})}
	s.source.SetCarrier(uplink.upstream(t, video))
	for i := range uint16(40) {
		packet := &rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: i, Timestamp: uint32(i/4) * 9000, Marker: i%4 == 3},
			Payload: cam.payload(i < 4, i%4 == 0, uint32(i)+1),
		}
		if err := cam.track.WriteRTP(packet); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the picture at the server", func() bool { return s.source.Stats().Packets == 40 })
	time.Sleep(time.Duration(replayAge)) // to be older than that; not what is being proved
	late := s.seat(t)
	eventually(t, "the picture at the late viewer", func() bool { return late.screen.count() >= 40 })
	packets, serials := late.screen.snapshot()
	checkSequence(t, packets, serials)
	if !startsKeyFrameVP8(packets[0].Payload) {
		t.Errorf("the first packet is % x", packets[0].Payload[:8])
	}
}
