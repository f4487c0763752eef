package media

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// TestUpstreamEndsWithItsTrack stops a track in the middle of a call and starts
// another one, as a client does that swaps its camera.
func TestUpstreamEndsWithItsTrack(t *testing.T) {
	api := newTestAPI(t)
	publisher, uplink := newClient(t), newLeg(t, api)
	first := newCamera(t, webrtc.MimeTypeVP8, "first").on(t, publisher)
	negotiate(t, publisher.PeerConnection, uplink.PeerConnection)
	first.roll(t, publisher)
	old := uplink.upstream(t, video)
	source := NewSource(SourceOptions{Kind: video})
	source.SetCarrier(old)
	eventually(t, "packets", func() bool { return source.Stats().Packets > 10 })
	if since := time.Since(source.LastPacket()); since < 0 || since > 5*time.Second {
		t.Errorf("the last packet was %v ago", since)
	}
	if old.LastPacket().IsZero() || uplink.port.LastHeard().Add(time.Duration(heardInterval)).Before(old.LastPacket()) {
		t.Error("the upstream has no last packet, or its port heard nothing of it")
	}

	if err := publisher.RemoveTrack(publisher.GetTransceivers()[0].Sender()); err != nil {
		t.Fatal(err)
	}
	second := newCamera(t, webrtc.MimeTypeVP8, "second").on(t, publisher)
	negotiate(t, publisher.PeerConnection, uplink.PeerConnection)
	second.roll(t, publisher)
	select {
	case <-old.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the upstream of the removed track goes on")
	}
	var replacement *Upstream
	eventually(t, "the second track", func() bool {
		replacement = uplink.upstream(t, video)
		return replacement != old
	})
	source.SetCarrier(replacement)
	before := source.Stats().Packets
	eventually(t, "packets of the second track", func() bool { return source.Stats().Packets > before+10 })
	if replacement.StreamID() != "second" || replacement.MID() == old.MID() {
		t.Errorf("the second track has stream %q and mid %q", replacement.StreamID(), replacement.MID())
	}
}

// TestUndeclaredSSRC receives a track whose SSRC does not stand in the
// description, which Pion has to read packets for.
func TestUndeclaredSSRC(t *testing.T) {
	api := newTestAPI(t)
	publisher, uplink := newClient(t), newLeg(t, api)
	cam := newCamera(t, webrtc.MimeTypeVP8, "camera").on(t, publisher)
	cam.roll(t, publisher)

	offer, err := publisher.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(publisher.PeerConnection)
	if err := publisher.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	var kept []string
	for line := range strings.SplitSeq(publisher.LocalDescription().SDP, "\r\n") {
		if !strings.HasPrefix(line, "a=ssrc") {
			kept = append(kept, line)
		}
	}
	offer.SDP = strings.Join(kept, "\r\n")
	if err := uplink.SetRemoteDescription(offer); err != nil {
		t.Fatal(err)
	}
	answer, err := uplink.CreateAnswer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered = webrtc.GatheringCompletePromise(uplink.PeerConnection)
	if err := uplink.SetLocalDescription(answer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	if err := publisher.SetRemoteDescription(*uplink.LocalDescription()); err != nil {
		t.Fatal(err)
	}
	u := uplink.upstream(t, video)
	eventually(t, "packets", func() bool { return u.Stats().Packets > 10 })
}

func TestFeedsSendOnlyWhileConnected(t *testing.T) {
	f := newFeeding(t, video)
	f.video(1, keyPayload)
	f.feed.port.SetConnected(false)
	f.video(2, deltaPayload)
	f.feed.port.SetConnected(true)
	f.video(3, deltaPayload)
	f.wantNumbers(0)
	f.replay()
	f.wantNumbers(0, 1, 2, 3) // the picture again, and all that followed it
	f.video(4, deltaPayload)
	f.wantNumbers(0, 1, 2, 3, 4)
}

func TestFeedUnbind(t *testing.T) {
	f := newFeeding(t, video)
	f.video(1, keyPayload)
	if err := f.feed.Unbind(&senderContext{}); err != nil {
		t.Fatal(err)
	}
	f.video(2, deltaPayload)
	f.wantNumbers(0)
	if f.feed.SSRC() != 0 || f.feed.Sending() {
		t.Error("an unbound feed still has an SSRC or sends")
	}
	if _, err := f.feed.Bind(&senderContext{codecs: opusCodecs[:0]}); err == nil {
		t.Error("Bind accepts a viewer without codecs")
	}
}

func TestFeedLeavesItsSourceWithItsPort(t *testing.T) {
	f := newFeeding(t, video)
	f.feed.SetMSID("stream", "track")
	if f.feed.StreamID() != "stream" || f.feed.ID() != "track" || f.feed.RID() != "" || f.feed.Kind() != video {
		t.Error("the feed's ids are wrong")
	}
	f.feed.SetSource(NewSource(SourceOptions{Kind: audio}))
	if f.feed.Source() != nil || len(f.source.feeds) != 0 {
		t.Error("a video feed took an audio source, or stayed with the old one")
	}
	f.feed.SetSource(f.source)
	f.feed.port.Close()
	f.feed.port.Wait()
	if len(f.source.feeds) != 0 {
		t.Error("a source keeps the feed of a closed port")
	}
	f.port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000}, 0, 0, keyPayload), f.to)
	f.wantNumbers()
}
