package media

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

func TestRepairWait(t *testing.T) {
	const second = int(1e9 / surveyInterval) // looks
	var w repairWait
	now, lost := int64(0), uint64(0)
	run := func(looks int, perLook float64, rtt time.Duration) {
		var part float64
		for range looks {
			now += surveyInterval
			for part += perLook; part >= 1; part-- {
				lost++
			}
			w.look(lost, int64(rtt), now)
		}
	}
	run(60*second, 0.05, 200*time.Millisecond) // 1 in 400 of 100 packets a second
	if w.wait != 0 || w.playoutDelay() != 0 {
		t.Fatalf("few losses: %+v", w)
	}
	run(2*second, 1, 200*time.Millisecond) // 5 %
	if w.wait != 260*time.Millisecond || w.playoutDelay() != 26<<12|playoutMost {
		t.Fatalf("many losses: %+v", w)
	}
	run(2*second, 1, 215*time.Millisecond)
	if w.wait != 260*time.Millisecond {
		t.Errorf("follows every change of the round trip time: %v", w.wait)
	}
	run(2*second, 1, 20*time.Millisecond)
	if w.wait != 80*time.Millisecond {
		t.Errorf("a short way: %v", w.wait)
	}
	run(2*second, 1, 2*time.Second)
	if w.wait != 400*time.Millisecond {
		t.Errorf("a far way: %v", w.wait)
	}
	run(9*second, 0, 0)
	if w.wait == 0 {
		t.Error("forgets at once")
	}
	run(30*second, 0, 0)
	if w.wait != 0 || w.playoutDelay() != playoutMost {
		t.Errorf("does not end, or does not say so: %+v", w)
	}
	run(second, 10, 0)
	if w.wait != 160*time.Millisecond {
		t.Errorf("without a round trip time: %v", w.wait)
	}
}

// TestViewersWaitForRepairs: what the publisher's path loses makes viewers wait who have negotiated that, and
// nobody else.
func TestViewersWaitForRepairs(t *testing.T) {
	port, to := newTestUpstream(t, video)
	source := NewSource(SourceOptions{Kind: video})
	source.SetCarrier(to.upstream)
	waits, without := &sink{keep: true}, &sink{keep: true}
	for id, s := range map[int]*sink{7: waits, 0: without} {
		viewer := newPort(PortOptions{})
		viewer.SetConnected(true)
		f := viewer.NewFeed(video, "camera", "track")
		extensions := []webrtc.RTPHeaderExtensionParameter{{URI: playoutDelayURI, ID: id}}
		if id == 0 {
			extensions = nil
		}
		if _, err := f.Bind(&senderContext{ssrc: 5, rtx: 6, codecs: vp8Codecs, writer: s, extensions: extensions}); err != nil {
			t.Fatal(err)
		}
		f.SetSource(source)
	}
	send := func(number uint16) {
		port.inMu.Lock()
		defer port.inMu.Unlock()
		port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: number}, number, 0, []byte{0x10, 0x10, 1, 2}), to)
	}
	send(1)
	to.upstream.counters.lost.Add(50)
	source.mu.Lock()
	source.survey(monotonic())
	source.mu.Unlock()
	send(2)
	if got := waits.packets[0].GetExtension(7); got != nil {
		t.Errorf("before any loss: %x", got)
	}
	if got := waits.packets[1].GetExtension(7); string(got) != "\x01\x03\xe8" { // 160 ms, 10 s
		t.Errorf("after many: %x", got)
	}
	if len(without.packets) != 2 || without.packets[1].Extension {
		t.Errorf("who has not negotiated it got %+v", without.packets)
	}
}
