package sfu

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/page"
)

// simulcastPage is a connection that a page with sendEncodings would make: one
// picture in three sizes.
type simulcastPage struct {
	pc     *webrtc.PeerConnection
	sender *webrtc.RTPSender
	tracks []*webrtc.TrackLocalStaticRTP
}

var simulcastRIDs = []string{"q", "h", "f"}

func newSimulcastPage(t *testing.T, stream string) *simulcastPage {
	t.Helper()
	codecs := &webrtc.MediaEngine{}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(codecs.RegisterDefaultCodecs())
	check(webrtc.ConfigureSimulcastExtensionHeaders(codecs))
	pc, err := page.NewConnection(codecs)
	check(err)
	result := &simulcastPage{pc: pc}
	for _, rid := range simulcastRIDs {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000},
			"video", stream, webrtc.WithRTPStreamID(rid))
		check(err)
		result.tracks = append(result.tracks, track)
		if result.sender == nil {
			result.sender, err = pc.AddTrack(track)
		} else {
			err = result.sender.AddEncoding(track)
		}
		check(err)
	}
	return result
}

// roll sends pictures whose size tells the layer, until done is closed.
func (s *simulcastPage) roll(p *client) {
	ids := map[string]uint8{}
	for _, extension := range s.sender.GetParameters().HeaderExtensions {
		ids[extension.URI] = uint8(extension.ID)
	}
	mid := ""
	for _, transceiver := range s.pc.GetTransceivers() {
		if transceiver.Sender() == s.sender {
			mid = transceiver.Mid()
		}
	}
	for i, rid := range simulcastRIDs {
		var key atomic.Bool
		key.Store(true)
		p.wg.Go(func() {
			for {
				packets, _, err := s.sender.ReadSimulcastRTCP(rid)
				if err != nil {
					return
				}
				for _, packet := range packets {
					if _, ok := packet.(*rtcp.PictureLossIndication); ok {
						key.Store(true)
					}
				}
			}
		})
		p.wg.Go(func() {
			ticker := time.NewTicker(20 * time.Millisecond)
			defer ticker.Stop()
			for n := uint16(0); ; n++ {
				select {
				case <-p.done:
					return
				case <-ticker.C:
				}
				h := rtp.Header{Version: 2, Marker: true, SequenceNumber: n, Timestamp: uint32(n) * 1800}
				_ = h.SetExtension(ids[sdp.SDESMidURI], []byte(mid))
				_ = h.SetExtension(ids[sdp.SDESRTPStreamIDURI], []byte(rid))
				payload := make([]byte, 100<<i)
				copy(payload, []byte{0x10, 0x11, 0, 0})
				if key.Swap(false) {
					copy(payload, []byte{0x10, 0x10, 0, 0, 0x9d, 1, 0x2a, byte(i + 1), 1, byte(i + 1), 1})
				}
				_ = s.tracks[i].WriteRTP(&rtp.Packet{Header: h, Payload: payload})
			}
		})
	}
}

// TestSimulcastThroughTheEngine has a client that offers three layers: the
// viewer gets one stream and ends with the biggest picture.
func TestSimulcastThroughTheEngine(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	viewer, publisher := c.join("R", "recruiter"), c.join("C", "candidate")
	page := newSimulcastPage(t, "camera-C")
	key := clientKey{peer: "R"}
	publisher.mu.Lock()
	publisher.pcs[key] = page.pc
	publisher.mu.Unlock()

	sizes := make(chan int, 1024)
	pc := viewer.connection(clientKey{peer: "C"}, true)
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		viewer.wg.Go(func() {
			for {
				packet, _, err := track.ReadRTP()
				if err != nil {
					return
				}
				select {
				case sizes <- len(packet.Payload):
				default:
				}
			}
		})
	})

	offer, err := page.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(offer.SDP, "a=simulcast:send q;h;f") {
		t.Fatalf("the client offers no simulcast:\n%s", offer.SDP)
	}
	gathered := webrtc.GatheringCompletePromise(page.pc)
	if err := page.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	if err := c.engine.Signal("room", "C", "R", false, "offer", page.pc.LocalDescription().SDP, nil); err != nil {
		t.Fatal(err)
	}
	c.eventually("the answer", func() bool { return page.pc.RemoteDescription() != nil })
	answer := page.pc.RemoteDescription().SDP
	for _, line := range []string{"a=simulcast:recv q;h;f", "a=rid:q recv", "a=rid:h recv", "a=rid:f recv", sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI} {
		if !strings.Contains(answer, line) {
			t.Errorf("the answer has no %q:\n%s", line, answer)
		}
	}
	page.roll(publisher)
	c.eventually("the biggest layer at the viewer", func() bool {
		for {
			select {
			case size := <-sizes:
				if size == 100<<2 {
					return true
				}
			default:
				return false
			}
		}
	})
}
