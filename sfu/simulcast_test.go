package sfu

import (
	"slices"
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
	paused atomic.Bool
	named  atomic.Bool // packets say which stream they are of
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
	result.named.Store(true)
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
				if s.paused.Load() {
					continue
				}
				h := rtp.Header{Version: 2, Marker: true, SequenceNumber: n, Timestamp: uint32(n) * 1800}
				if s.named.Load() {
					_ = h.SetExtension(ids[sdp.SDESMidURI], []byte(mid))
					_ = h.SetExtension(ids[sdp.SDESRTPStreamIDURI], []byte(rid))
				}
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

// simulcastCall is a call in which C sends R three sizes; sizes tells what R gets, by
// the length of the payloads.
func simulcastCall(t *testing.T) (c *call, publisher *client, from *simulcastPage, sizes chan int) {
	t.Helper()
	c = newCall(t, Options{})
	viewer := c.join("R", "recruiter")
	publisher = c.join("C", "candidate")
	from = newSimulcastPage(t, "camera-C")
	publisher.mu.Lock()
	publisher.pcs[clientKey{peer: "R"}] = from.pc
	publisher.mu.Unlock()

	sizes = make(chan int, 1024)
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

	offer, err := from.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(offer.SDP, "a=simulcast:send q;h;f") {
		t.Fatalf("the client offers no simulcast:\n%s", offer.SDP)
	}
	gathered := webrtc.GatheringCompletePromise(from.pc)
	if err := from.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	if err := c.engine.Signal("room", "C", "R", false, "offer", from.pc.LocalDescription().SDP, nil); err != nil {
		t.Fatal(err)
	}
	c.eventually("the answer", func() bool { return from.pc.RemoteDescription() != nil })
	return c, publisher, from, sizes
}

var simulcastReceived = []string{"a=simulcast:recv q;h;f", "a=rid:q recv", "a=rid:h recv", "a=rid:f recv", sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI}

// getsBiggest waits until the biggest picture is among what arrives.
func (c *call) getsBiggest(sizes chan int) {
	c.t.Helper()
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

// TestSimulcastThroughTheEngine has a client that offers three layers: the
// viewer gets one stream and ends with the biggest picture.
func TestSimulcastThroughTheEngine(t *testing.T) {
	t.Parallel()
	c, publisher, from, sizes := simulcastCall(t)
	answer := from.pc.RemoteDescription().SDP
	for _, line := range simulcastReceived {
		if !strings.Contains(answer, line) {
			t.Errorf("the answer has no %q:\n%s", line, answer)
		}
	}
	from.roll(publisher)
	c.getsBiggest(sizes)
}

// TestSimulcastOutlastsAPause has the client say, in an answer, that it sends nothing,
// and nothing of its streams, as for an upload that is off. The server's next offer
// has them all the same, and their packets arrive again although they say no more
// whose they are: browsers stop that once they have heard of a receiver.
func TestSimulcastOutlastsAPause(t *testing.T) {
	t.Parallel()
	c, publisher, from, sizes := simulcastCall(t)
	from.roll(publisher)
	c.getsBiggest(sizes)

	c.eventually("the server's offer of R's sound has its answer", func() bool {
		remote := from.pc.CurrentRemoteDescription()
		return remote != nil && remote.Type == webrtc.SDPTypeOffer && from.pc.SignalingState() == webrtc.SignalingStateStable
	})
	publisher.silent.Store(true) // this test answers itself
	exchange := func(change func(answer string) string) (offer string) {
		t.Helper()
		if len(publisher.unanswered) == 0 { // the server has one open offer at a time
			if err := c.engine.Signal("room", "C", "R", false, "renegotiate", "", nil); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case offer = <-publisher.unanswered:
		case <-time.After(20 * time.Second):
			t.Fatal("the server does not offer")
		}
		if err := from.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: page.Alive(offer)}); err != nil {
			t.Fatal(err)
		}
		answer, err := from.pc.CreateAnswer(nil)
		if err == nil {
			err = from.pc.SetLocalDescription(answer)
		}
		if err == nil {
			err = c.engine.Signal("room", "C", "R", false, "answer", change(answer.SDP), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		return offer
	}
	from.paused.Store(true)
	exchange(func(answer string) string {
		var kept []string
		for line := range strings.SplitSeq(answer, "\r\n") {
			if !strings.HasPrefix(line, "a=rid:") && !strings.HasPrefix(line, "a=simulcast:") && !strings.HasPrefix(line, "a=msid:") {
				kept = append(kept, strings.Replace(line, "a=sendrecv", "a=recvonly", 1))
			}
		}
		return strings.Join(kept, "\r\n")
	})
	c.eventually("no picture is published", func() bool {
		rooms, err := c.engine.Snapshot(t.Context())
		return err == nil && len(rooms) == 1 && !slices.ContainsFunc(rooms[0].Members, func(m MemberStats) bool { return m.ID == "C" && len(m.Sources) > 0 })
	})
	offer := exchange(func(answer string) string { return answer })
	for _, line := range simulcastReceived {
		if !strings.Contains(offer, line) {
			t.Errorf("the server's second offer has no %q:\n%s", line, offer)
		}
	}
	for len(sizes) > 0 {
		<-sizes
	}
	from.named.Store(false)
	from.paused.Store(false)
	c.getsBiggest(sizes)
}
