package media

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const vp8PayloadType = 96 // in Pion's default codecs and in ours

// stage is one publisher with a camera and one source.
type stage struct {
	api       *API
	publisher *client
	uplink    *leg
	camera    *camera
	source    *Source
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{api: newTestAPI(t), source: NewSource(SourceOptions{Kind: video})}
	s.publisher, s.uplink = newClient(t), newLeg(t, s.api)
	s.camera = newCamera(t, webrtc.MimeTypeVP8, "camera").on(t, s.publisher)
	negotiate(t, s.publisher.PeerConnection, s.uplink.PeerConnection)
	s.source.SetCarrier(s.uplink.upstream(t, video))
	return s
}

// seat is a viewer with one video feed.
type seat struct {
	*client
	down   *leg
	feed   *Feed
	screen *screen
}

func (s *stage) seat(t *testing.T) *seat {
	t.Helper()
	v := &seat{client: newClient(t), down: newLeg(t, s.api)}
	v.screen = watch(t, v.client)[video]
	v.feed = addFeed(t, v.down, video, "camera")
	v.feed.SetSource(s.source)
	negotiate(t, v.down.PeerConnection, v.PeerConnection)
	return v
}

// loseFirst drops the first transmission of some packets of a payload type.
func loseFirst(each int) (drop func(*rtp.Header) bool, dropped *atomic.Int64) {
	var mu sync.Mutex
	seen := map[uint16]bool{}
	dropped = &atomic.Int64{}
	return func(h *rtp.Header) bool {
		mu.Lock()
		defer mu.Unlock()
		if h.PayloadType != vp8PayloadType || seen[h.SequenceNumber] {
			return false
		}
		seen[h.SequenceNumber] = true
		if len(seen)%each != 0 || len(seen) < 20 {
			return false
		}
		dropped.Add(1)
		return true
	}, dropped
}

// complete waits until a viewer has everything up to some packet, then checks it.
// Packets may come twice: a viewer may ask for one that is on its way, and Pion's
// NACK generator takes one that came as a retransmission for still missing.
func complete(t *testing.T, s *screen, lost *atomic.Int64) {
	t.Helper()
	eventually(t, "400 packets, 15 of them lost at first", func() bool { return s.count() >= 400 && lost.Load() >= 15 })
	goal := s.last()
	whole := func() bool {
		_, serials := s.snapshot()
		slices.Sort(serials)
		serials = slices.Compact(slices.DeleteFunc(serials, func(n uint32) bool { return n > goal }))
		return len(serials) == int(goal-serials[0]+1)
	}
	eventually(t, "all holes are filled", whole)
	packets, serials := s.snapshot()
	keep := 0
	had := map[uint32]bool{}
	for i := range packets {
		if serials[i] > goal || had[serials[i]] {
			continue
		}
		had[serials[i]] = true
		packets[keep], serials[keep] = packets[i], serials[i]
		keep++
	}
	checkSequence(t, packets[:keep], serials[:keep])
}

func TestLossOfPublisherIsRepaired(t *testing.T) {
	s := newStage(t)
	drop, lost := loseFirst(20)
	s.publisher.drop.outgoing.Store(&drop)
	a, b := s.seat(t), s.seat(t)
	s.camera.roll(t, s.publisher)
	complete(t, a.screen, lost)
	complete(t, b.screen, lost)

	stats := s.uplink.upstream(t, video).Stats()
	if stats.Repaired == 0 || stats.NACKed == 0 {
		t.Fatalf("holes were filled, but not by retransmissions: %+v", stats)
	}
	if stats.GivenUp != 0 {
		t.Errorf("%d packets were given up", stats.GivenUp)
	}
	if most := uint64(3 * lost.Load()); stats.NACKed > most {
		t.Errorf("%d packets were lost but %d asked for", lost.Load(), stats.NACKed)
	}
}

func TestLossOfViewerIsRepairedFromTheCache(t *testing.T) {
	s := newStage(t)
	lossy, good := s.seat(t), s.seat(t)
	drop, lost := loseFirst(20)
	lossy.drop.incoming.Store(&drop)
	var asked atomic.Int64
	see := func(p rtcp.Packet) {
		if _, ok := p.(*rtcp.TransportLayerNack); ok {
			asked.Add(1)
		}
	}
	s.publisher.drop.reports.Store(&see)
	s.camera.roll(t, s.publisher)
	complete(t, lossy.screen, lost)

	stats := lossy.feed.Stats()
	if stats.Retransmitted < uint64(lost.Load())/2 || stats.NACKed == 0 {
		t.Fatalf("%d packets were lost; %+v", lost.Load(), stats)
	}
	if most := uint64(lost.Load() * resendLimit); stats.Retransmitted > most {
		t.Errorf("%d packets were lost but %d sent again", lost.Load(), stats.Retransmitted)
	}
	if asked.Load() != 0 {
		t.Errorf("the publisher got %d NACKs for a viewer's loss", asked.Load())
	}
	if other := good.feed.Stats(); other.Retransmitted != 0 {
		t.Errorf("the other viewer got %d retransmissions", other.Retransmitted)
	}
}

func TestKeyFrameRequests(t *testing.T) {
	s := newStage(t)
	first := s.seat(t)
	s.camera.roll(t, s.publisher)
	eventually(t, "a picture", func() bool { return first.screen.count() > 30 })

	t.Run("a viewer who joins late begins with a key frame", func(t *testing.T) {
		before := s.camera.plis.Load()
		late := s.seat(t)
		eventually(t, "a picture at the late viewer", func() bool { return late.screen.count() > 30 })
		packets, _ := late.screen.snapshot()
		if !startsKeyFrameVP8(packets[0].Payload) {
			t.Errorf("the first packet is % x", packets[0].Payload[:8])
		}
		if s.camera.plis.Load() == before && late.feed.Stats().Replays == 0 {
			t.Error("it was given no key frame and none was asked for")
		}
	})

	t.Run("requests of viewers are gathered", func(t *testing.T) {
		time.Sleep(time.Duration(2 * cameraKeyLimits.interval)) // let the earlier ones end; not what is being proved
		before, keys := s.camera.plis.Load(), s.source.Stats().KeyFrames
		packets, _ := first.screen.snapshot()
		for range 50 {
			if err := first.WriteRTCP([]rtcp.Packet{
				&rtcp.PictureLossIndication{MediaSSRC: packets[0].SSRC},
				&rtcp.FullIntraRequest{MediaSSRC: packets[0].SSRC, FIR: []rtcp.FIREntry{{SSRC: packets[0].SSRC, SequenceNumber: 1}}},
			}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all requests arrived", func() bool { return first.feed.Stats().PLIs >= 100 })
		eventually(t, "a key frame", func() bool { return s.source.Stats().KeyFrames > keys })
		if sent := s.camera.plis.Load() - before; sent < 1 || sent > 4 {
			t.Errorf("100 requests of a viewer became %d requests to the publisher", sent)
		}
	})
}

func TestCarrierSwitch(t *testing.T) {
	s := newStage(t)
	viewer := s.seat(t)
	s.camera.roll(t, s.publisher)
	eventually(t, "a picture", func() bool { return viewer.screen.count() > 60 })

	other, uplink := newClient(t), newLeg(t, s.api)
	second := newCamera(t, webrtc.MimeTypeVP8, "camera").on(t, other)
	negotiate(t, other.PeerConnection, uplink.PeerConnection)
	second.serial.Store(1_000_000)
	second.roll(t, other)
	u := uplink.upstream(t, video)
	eventually(t, "packets on the second leg", func() bool { return u.Stats().Packets > 30 })
	if stats := u.Stats(); stats.Unassigned == 0 {
		t.Fatalf("packets of an upstream without a source were not dropped: %+v", stats)
	}
	s.source.SetCarrier(u)
	eventually(t, "the second leg carries the source", func() bool { return s.source.Carrier() == u })
	eventually(t, "its packets at the viewer", func() bool { return viewer.screen.last() > 1_000_060 })

	packets, serials := viewer.screen.snapshot()
	at := slices.IndexFunc(serials, func(n uint32) bool { return n > 1_000_000 })
	if !startsKeyFrameVP8(packets[at].Payload) {
		t.Errorf("the switch is at % x, which is no key frame", packets[at].Payload[:8])
	}
	for i := at; i < len(serials); i++ {
		if serials[i] < 1_000_000 {
			t.Fatal("a packet of the old carrier was forwarded after the switch")
		}
	}
	for i, skipped := at, serials[at]-serials[at-1]-1; i < len(serials); i++ {
		serials[i] -= skipped
	}
	checkSequence(t, packets, serials)
	step := int32(packets[at].Timestamp - packets[at-1].Timestamp)
	if step < 1 || step > 90000*3 {
		t.Errorf("the timestamp steps by %d at the switch", step)
	}
}

func TestFeedChangesSource(t *testing.T) {
	s := newStage(t)
	viewer := s.seat(t)
	s.camera.roll(t, s.publisher)
	eventually(t, "a picture", func() bool { return viewer.screen.count() > 60 })

	other, uplink := newClient(t), newLeg(t, s.api)
	second := newCamera(t, webrtc.MimeTypeVP8, "screen").on(t, other)
	negotiate(t, other.PeerConnection, uplink.PeerConnection)
	second.serial.Store(1_000_000)
	second.roll(t, other)
	source := NewSource(SourceOptions{Kind: video})
	source.SetCarrier(uplink.upstream(t, video))

	viewer.feed.SetSource(nil)
	stopped := viewer.feed.Stats().Packets
	viewer.feed.SetSource(source)
	eventually(t, "packets of the second source", func() bool { return viewer.screen.last() > 1_000_060 })
	if stopped == 0 || viewer.feed.Source() != source || !viewer.feed.Sending() {
		t.Error("the feed does not say what it does")
	}

	packets, serials := viewer.screen.snapshot()
	at := slices.IndexFunc(serials, func(n uint32) bool { return n > 1_000_000 })
	if !startsKeyFrameVP8(packets[at].Payload) {
		t.Error("the second source does not begin with a key frame")
	}
	for i, skipped := at, serials[at]-serials[at-1]-1; i < len(serials); i++ {
		serials[i] -= skipped
	}
	checkSequence(t, packets, serials)
}
