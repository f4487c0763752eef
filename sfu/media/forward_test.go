package media

import (
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	audio = webrtc.RTPCodecTypeAudio
	video = webrtc.RTPCodecTypeVideo
)

// checkSequence demands that, brought into order, what a viewer got has sequence
// numbers and serial numbers without holes or repetitions, one SSRC and one
// payload type. skip is how many serial numbers may be left out at source
// switches, which the caller knows of.
func checkSequence(t *testing.T, packets []rtp.Packet, serials []uint32) {
	t.Helper()
	if len(packets) == 0 {
		t.Fatal("nothing was received")
	}
	bySequence := map[uint64]int{}
	base := uint64(1<<16) + uint64(packets[0].SequenceNumber)
	lowest, highest := base, base
	for i := range packets {
		n := nearest(highest, packets[i].SequenceNumber)
		if _, twice := bySequence[n]; twice {
			t.Fatalf("sequence number %d came twice", packets[i].SequenceNumber)
		}
		bySequence[n] = i
		lowest, highest = min(lowest, n), max(highest, n)
		if packets[i].SSRC != packets[0].SSRC || packets[i].PayloadType != packets[0].PayloadType {
			t.Fatalf("packet %d has SSRC %x and type %d, the first %x and %d", i,
				packets[i].SSRC, packets[i].PayloadType, packets[0].SSRC, packets[0].PayloadType)
		}
	}
	for n := lowest; n <= highest; n++ {
		i, ok := bySequence[n]
		if !ok {
			t.Fatalf("packet %d of %d is missing", n-lowest, highest-lowest+1)
		}
		if n == lowest {
			continue
		}
		before := bySequence[n-1]
		if serials[i] != serials[before]+1 {
			t.Fatalf("serial %d follows %d", serials[i], serials[before])
		}
		if int32(packets[i].Timestamp-packets[before].Timestamp) < 0 {
			t.Fatalf("timestamp goes back from %d to %d", packets[before].Timestamp, packets[i].Timestamp)
		}
	}
}

func TestForwardToTwoViewers(t *testing.T) {
	for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeH264} {
		t.Run(mime, func(t *testing.T) {
			api := newTestAPI(t)
			publisher, uplink := newClient(t), newLeg(t, api)
			picture := newCamera(t, mime, "camera").on(t, publisher)
			sound := newCamera(t, webrtc.MimeTypeOpus, "camera").on(t, publisher)
			negotiate(t, publisher.PeerConnection, uplink.PeerConnection)

			sources := map[webrtc.RTPCodecType]*Source{audio: NewSource(SourceOptions{Kind: audio}), video: NewSource(SourceOptions{Kind: video})}
			for kind, source := range sources {
				u := uplink.upstream(t, kind)
				if u.StreamID() != "camera" || u.MID() == "" {
					t.Errorf("upstream has stream %q and mid %q", u.StreamID(), u.MID())
				}
				source.SetCarrier(u)
			}

			var screens []*screen
			for range 2 {
				viewer, down := newClient(t), newLeg(t, api)
				watching := watch(t, viewer)
				for kind, source := range sources {
					addFeed(t, down, kind, "camera").SetSource(source)
					screens = append(screens, watching[kind])
				}
				negotiate(t, down.PeerConnection, viewer.PeerConnection)
			}
			picture.roll(t, publisher)
			sound.roll(t, publisher)
			for _, s := range screens {
				eventually(t, "100 packets at each viewer", func() bool { return s.count() >= 100 })
			}
			for _, s := range screens {
				packets, serials := s.snapshot()
				checkSequence(t, packets, serials)
			}
			if got := uplink.upstream(t, video).Codec().MimeType; got != mime {
				t.Errorf("the upstream's codec is %s", got)
			}
			if sources[video].Stats().KeyFrames == 0 {
				t.Error("no key frame was noticed")
			}
		})
	}
}
