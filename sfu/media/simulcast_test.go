package media

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// simulcastLayer is a camera's picture in one size: a stream with a rid of its
// own, as a browser sends it with sendEncodings.
type simulcastLayer struct {
	camera
	rid           string
	width, height int
	silent        atomic.Bool
}

// newSimulcastCamera adds a camera of three layers to a client. It is to be called
// before the negotiation, roll after it.
func newSimulcastCamera(t *testing.T, on *client) (layers []*simulcastLayer, roll func()) {
	t.Helper()
	var sender *webrtc.RTPSender
	for i, rid := range []string{"q", "h", "f"} {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000},
			"video", "camera", webrtc.WithRTPStreamID(rid))
		if err != nil {
			t.Fatal(err)
		}
		l := &simulcastLayer{camera: camera{track: track, video: true, stop: make(chan struct{})}, rid: rid, width: 160 << i, height: 90 << i}
		if i == 0 {
			transceiver, err := on.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
			if err != nil {
				t.Fatal(err)
			}
			sender = transceiver.Sender()
		} else if err := sender.AddEncoding(track); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, l)
	}
	return layers, func() {
		t.Cleanup(func() {
			for _, l := range layers {
				close(l.stop)
			}
			_ = on.Close()
			for _, l := range layers {
				l.wg.Wait()
			}
		})
		ids := map[string]uint8{}
		for _, extension := range sender.GetParameters().HeaderExtensions {
			ids[extension.URI] = uint8(extension.ID)
		}
		mid := on.GetTransceivers()[0].Mid()
		for _, l := range layers {
			l.wg.Go(func() {
				for {
					packets, _, err := sender.ReadSimulcastRTCP(l.rid)
					if err != nil {
						return
					}
					for _, packet := range packets {
						if _, ok := packet.(*rtcp.PictureLossIndication); ok {
							l.plis.Add(1)
							l.wantKey.Store(true)
						}
					}
				}
			})
			l.wg.Go(func() { l.send(ids[sdp.SDESMidURI], mid, ids[sdp.SDESRTPStreamIDURI]) })
		}
	}
}

func (l *simulcastLayer) send(midID uint8, mid string, ridID uint8) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	began := time.Now()
	for sequence := uint16(0); ; {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
		}
		if l.silent.Load() {
			continue
		}
		key := l.wantKey.Swap(false) || l.serial.Load() == 0
		for i := range 2 {
			h := rtp.Header{Version: 2, SequenceNumber: sequence, Marker: i == 1,
				Timestamp: uint32(l.width)*10_000_000 + uint32(time.Since(began).Milliseconds()*90)}
			_ = h.SetExtension(midID, []byte(mid))
			_ = h.SetExtension(ridID, []byte(l.rid))
			payload := l.payload(key, i == 0, 0)
			if key && i == 0 {
				payload = append(keyFrameOf(l.width, l.height), payload[7:]...)
			}
			// The serial number says which layer it is of.
			binary.BigEndian.PutUint32(payload[len(payload)-4:], uint32(l.width)<<20|l.serial.Add(1))
			sequence++
			if err := l.track.WriteRTP(&rtp.Packet{Header: h, Payload: payload}); err != nil {
				return
			}
		}
	}
}

// lastWidth is of the layer whose packet came last.
func (s *screen) lastWidth() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.serials) == 0 {
		return 0
	}
	return int(s.serials[len(s.serials)-1] >> 20)
}

// TestSimulcast has a publisher whose biggest layer stays silent at first, as
// browsers do while they find out what the line carries.
func TestSimulcast(t *testing.T) {
	s := &stage{api: newTestAPI(t), source: NewSource(SourceOptions{Kind: video})}
	s.publisher, s.uplink = newClient(t), newLeg(t, s.api)
	layers, roll := newSimulcastCamera(t, s.publisher)
	layers[2].silent.Store(true)
	negotiate(t, s.publisher.PeerConnection, s.uplink.PeerConnection)
	roll()
	u := s.uplink.upstream(t, video)
	s.source.SetCarrier(u)

	viewer := s.seat(t)
	eventually(t, "the bigger of the two layers", func() bool { return viewer.screen.lastWidth() == 320 })
	layers[2].silent.Store(false)
	eventually(t, "the biggest layer", func() bool { return viewer.screen.lastWidth() == 640 })
	s.uplink.mu.Lock()
	for _, other := range s.uplink.upstreams {
		if other != u {
			t.Error("the layers are not one upstream")
		}
	}
	s.uplink.mu.Unlock()

	small := s.seat(t)
	small.feed.SetTarget(Target{Spatial: 0})
	eventually(t, "the smallest layer at the second viewer", func() bool { return small.screen.lastWidth() == 160 })
	eventually(t, "the layer at which the first viewer is measured", func() bool {
		infos := s.source.Layers(nil)
		return len(infos) == 3 && infos[2].Active && infos[2].Bitrate > 0 && infos[2].Width == 640
	})
	if now, ok := viewer.feed.Current(); !ok || now.Spatial != 2 {
		t.Errorf("the first viewer gets %+v", now)
	}
	layers[2].silent.Store(true)
	eventually(t, "the next best layer", func() bool { return viewer.screen.lastWidth() == 320 })

	packets, _ := viewer.screen.snapshot()
	sizes := viewer.widths()
	for i := 1; i < len(packets); i++ {
		if packets[i].SequenceNumber != packets[i-1].SequenceNumber+1 {
			t.Fatalf("packet %d has number %d after %d", i, packets[i].SequenceNumber, packets[i-1].SequenceNumber)
		}
		if int32(packets[i].Timestamp-packets[i-1].Timestamp) < 0 {
			t.Fatalf("packet %d: time goes back", i)
		}
		if sizes[i] != sizes[i-1] && !startsKeyFrameVP8(packets[i].Payload) {
			t.Fatalf("packet %d of another layer begins no key frame", i)
		}
	}
}

func (v *seat) widths() (widths []uint32) {
	_, serials := v.screen.snapshot()
	for _, serial := range serials {
		widths = append(widths, serial>>20)
	}
	return widths
}
