package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/transport/v5/packetio"
	"github.com/pion/webrtc/v4"
)

// keyFrameOf is the first packet of a VP8 key frame of a size.
func keyFrameOf(width, height int) []byte {
	return []byte{0x10, 0x10, 0, 0, 0x9d, 1, 0x2a, byte(width), byte(width >> 8), byte(height), byte(height >> 8)}
}

// simulcast is a source whose carrier sends layers, with one feed.
type simulcast struct {
	*feeding
	layers []*binding
	sent   []uint16 // the last sequence number of each
}

// newSimulcast lets the layers begin in the order of their rids. The SSRC of each
// is 1000 and ten times its place.
func newSimulcast(t *testing.T, rids ...string) *simulcast {
	t.Helper()
	port := newPort(PortOptions{})
	port.start(discardRTCP{}, new(reporters))
	t.Cleanup(func() { port.Close(); port.Wait() })
	port.SetConnected(true)
	s := &simulcast{feeding: &feeding{t: t, port: port, source: NewSource(SourceOptions{Kind: video})}}
	s.feed, s.sink = newTestFeed(t, video, true)
	s.feed.SetSource(s.source)
	for _, rid := range rids {
		s.addLayer(rid)
	}
	return s
}

func (s *simulcast) addLayer(rid string) *Upstream {
	s.t.Helper()
	ssrc := uint32(1000 + 10*len(s.layers))
	s.port.buffer(packetio.RTPBufferPacket, ssrc)
	u := newUpstream(s.port, remote{kind: video, ssrc: webrtc.SSRC(ssrc), rid: rid}, "0",
		webrtc.RTPParameters{Codecs: vp8Codecs, HeaderExtensions: extensionsUp})
	if !s.port.admit(u) {
		return u
	}
	s.source.SetCarrier(u.group)
	s.source.joined(u.group, u.index)
	s.layers = append(s.layers, &binding{upstream: u})
	s.sent = append(s.sent, uint16(1000*len(s.layers)))
	return u
}

// send sends a packet of a layer, with the timestamp of a clock of its own.
func (s *simulcast) send(layer int, timestamp uint32, payload []byte) {
	s.t.Helper()
	s.sent[layer]++
	s.port.received(rtpBytes(s.t, rtp.Header{
		PayloadType: 96, SSRC: s.layers[layer].upstream.ssrc, SequenceNumber: s.sent[layer],
		Timestamp: timestamp + uint32(layer)*1_000_000,
	}, s.sent[layer], 0, payload), s.layers[layer])
}

// waits tells whether a layer is asked for a key frame.
func (s *simulcast) waits(layer int) bool {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	return (*s.source.layers.Load())[layer].keys.pending
}

func (s *simulcast) wantLayer(spatial int8) {
	s.t.Helper()
	if now, ok := s.feed.Current(); !ok || now.Spatial != spatial {
		s.t.Fatalf("the feed sends %+v, %v; want layer %d", now, ok, spatial)
	}
}

// wantInOrder demands sequence numbers without gaps and timestamps that never go
// back.
func (s *simulcast) wantInOrder(packets int) {
	s.t.Helper()
	if len(s.sink.packets) != packets {
		s.t.Fatalf("%d packets were written, want %d", len(s.sink.packets), packets)
	}
	for i, n := range s.numbers() {
		if n != i {
			s.t.Fatalf("the numbers are %v", s.numbers())
		}
		if i > 0 && int32(s.sink.packets[i].Timestamp-s.sink.packets[i-1].Timestamp) <= 0 {
			s.t.Fatalf("timestamp %d follows %d", s.sink.packets[i].Timestamp, s.sink.packets[i-1].Timestamp)
		}
	}
}

func TestLayersAreOneUpstream(t *testing.T) {
	s := newSimulcast(t, "q", "h", "f")
	group := s.layers[0].upstream
	if group.group != group || s.layers[1].upstream.group != group || len(*group.streams.Load()) != maxLayers {
		t.Fatal("the layers are not one upstream")
	}
	if s.source.NextCarrier() != group {
		t.Error("the upstream does not carry the source")
	}
	// One with a new SSRC takes the place of its layer.
	again := s.addLayer("h")
	if streams := *group.streams.Load(); len(streams) != maxLayers || streams[1] != again {
		t.Error("a layer that began anew does not take its old place")
	}
	if more := s.addLayer("x"); more.group != group || len(*group.streams.Load()) != maxLayers {
		t.Error("a layer too many was taken")
	}
	for _, i := range []int{0, 2, 3} {
		s.send(i, 0, keyPayload)
	}
	if stats := group.Stats(); stats.Packets != 3 {
		t.Errorf("the upstream has %d packets, want those of all layers", stats.Packets)
	}
}

func TestFeedStartsWithAnyLayerThenClimbs(t *testing.T) {
	s := newSimulcast(t, "f", "h", "q") // the biggest comes first
	s.send(0, 0, deltaPayload)
	s.send(2, 0, keyFrameOf(160, 90))
	s.send(1, 0, deltaPayload)
	s.wantLayer(2) // nothing is known of the others' size yet
	if !s.waits(0) || !s.waits(1) {
		t.Error("the other layers are not asked for key frames")
	}
	s.send(1, 3000, keyFrameOf(320, 180))
	s.send(0, 3000, deltaPayload)
	s.send(2, 3000, deltaPayload)
	s.send(0, 6000, keyFrameOf(640, 360))
	s.send(0, 9000, deltaPayload)
	s.send(1, 9000, deltaPayload)
	s.send(2, 9000, deltaPayload)
	s.survey()
	s.survey()
	s.wantLayer(2)
	if got := (*s.source.layers.Load())[0].rank.Load(); got != 2 {
		t.Fatalf("the biggest layer has rank %d", got)
	}
	if last := s.sink.packets[len(s.sink.packets)-1]; !bytes.Equal(last.Payload, deltaPayload) {
		t.Errorf("wrote % x", last.Payload)
	}
	s.wantInOrder(len(s.sink.packets))
	infos := s.source.Layers(nil)
	if len(infos) != 3 {
		t.Fatalf("%+v", infos)
	}
	for i, info := range infos {
		if info.Width != 160<<i || info.Height != 90<<i || info.Spatial != int8(i) || !info.Active {
			t.Errorf("layer %d: %+v", i, info)
		}
	}
}

// survey measures the layers now.
func (s *simulcast) survey() {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	s.source.survey(monotonic())
}

// begun is a simulcast of three layers whose feed sends the biggest.
func begun(t *testing.T) *simulcast {
	t.Helper()
	s := newSimulcast(t, "q", "h", "f")
	for i := range 3 {
		s.send(i, 0, keyFrameOf(160<<i, 90<<i))
	}
	s.wantLayer(2)
	s.wantInOrder(3)
	return s
}

func TestFeedChangesLayers(t *testing.T) {
	s := begun(t)
	s.feed.SetTarget(Target{Spatial: 0})
	if !s.waits(0) {
		t.Error("the wanted layer is not asked for a key frame")
	}
	s.send(2, 3000, deltaPayload)
	s.send(0, 3000, deltaPayload)
	s.wantLayer(2)
	s.send(1, 4000, keyFrameOf(320, 180)) // nearer to the target
	s.wantLayer(1)
	s.send(0, 6000, keyFrameOf(160, 90))
	s.wantLayer(0)
	s.send(2, 6000, deltaPayload)
	s.send(0, 9000, deltaPayload)
	s.wantInOrder(7)
	if stats := s.feed.Stats(); stats.LayerSwitches != 4 {
		t.Errorf("%+v", stats)
	}

	s.feed.SetTarget(Target{Paused: true})
	s.send(0, 12000, deltaPayload)
	if _, ok := s.feed.Current(); ok {
		t.Error("a paused feed sends something")
	}
	s.wantInOrder(7)
	s.feed.SetTarget(Target{Spatial: 1})
	s.replay() // what the layer has cached
	s.wantLayer(1)
	s.wantInOrder(8)
	s.send(1, 15000, deltaPayload)
	s.wantInOrder(9)
}

func TestPacketsOfTheLayerBeforeAreRepaired(t *testing.T) {
	s := begun(t)
	first := s.sink.packets[0].SequenceNumber
	s.send(2, 3000, deltaPayload)
	s.sent[2]++ // one is lost
	s.send(2, 9000, deltaPayload)
	s.feed.SetTarget(Target{Spatial: 0})
	s.send(0, 9000, keyFrameOf(160, 90))
	s.wantLayer(0)
	again := s.nack(first+3, first+5)
	if len(again) != 2 || again[0].Timestamp != s.sink.packets[3].Timestamp || again[1].Timestamp != s.sink.packets[4].Timestamp {
		t.Fatalf("repeated %+v", again)
	}
	s.sent[2] -= 2
	s.send(2, 6000, deltaPayload) // the lost one, late
	late := s.sink.packets[len(s.sink.packets)-1]
	if late.SequenceNumber != first+4 || late.Timestamp-s.sink.packets[3].Timestamp != 3000 {
		t.Errorf("the late packet of the layer before was written as %+v", late.Header)
	}
}

func TestSilentLayerIsLeft(t *testing.T) {
	s := begun(t)
	s.source.mu.Lock()
	(*s.source.layers.Load())[2].lastPacket -= layerSilence
	s.source.mu.Unlock()
	s.survey()
	if infos := s.source.Layers(nil); infos[2].Active || !infos[1].Active {
		t.Errorf("%+v", infos)
	}
	s.send(1, 3000, deltaPayload)
	if !s.waits(1) {
		t.Error("the highest active layer is not asked for a key frame")
	}
	s.send(0, 6000, keyFrameOf(160, 90)) // better than nothing
	s.wantLayer(0)
	s.send(1, 9000, keyFrameOf(320, 180))
	s.wantLayer(1)
	s.send(2, 12000, deltaPayload) // it is back
	s.send(2, 12001, deltaPayload)
	if !s.waits(2) {
		t.Error("the layer that came back is not asked for a key frame")
	}
	s.send(2, 15000, keyFrameOf(640, 360))
	s.wantLayer(2)
	s.wantInOrder(6)
}

// TestLayersAreAlignedBySenderReports has layers whose pictures were taken at
// known times but arrive together.
func TestLayersAreAlignedBySenderReports(t *testing.T) {
	s := begun(t)
	for i := range 2 { // of the layers 0 and 2
		u := s.layers[2*i].upstream
		u.mu.Lock()
		u.report = senderReport{received: true, instant: instant{ntp: 5e9, timestamp: uint32(2*i) * 1_000_000}}
		u.mu.Unlock()
	}
	s.send(2, 90_000, deltaPayload) // taken at 6 s
	s.feed.SetTarget(Target{Spatial: 0})
	s.send(0, 90_000+9000, keyFrameOf(160, 90)) // taken 100 ms later
	s.wantLayer(0)
	if step := s.sink.packets[4].Timestamp - s.sink.packets[3].Timestamp; step != 9000 {
		t.Errorf("the other layer's picture is %d ticks later, want 9000", step)
	}
	s.feed.SetTarget(HighestTarget)
	s.send(2, 90_000, keyFrameOf(640, 360)) // an older picture: time does not go back
	s.wantLayer(2)
	s.wantInOrder(6)
}

func TestPlainCarrierTakesOverFromLayers(t *testing.T) {
	s := begun(t)
	_, plain := newTestUpstream(t, video)
	s.source.SetCarrier(plain.upstream)
	plain.upstream.port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: 7}, 7, 0, deltaPayload), plain)
	s.send(2, 3000, deltaPayload)
	s.wantInOrder(4)
	plain.upstream.port.received(rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: 8}, 8, 0, keyFrameOf(320, 180)), plain)
	if s.source.Carrier() != plain.upstream {
		t.Fatal("the plain upstream does not carry the source")
	}
	s.send(2, 6000, deltaPayload)
	s.wantInOrder(5)
	if infos := s.source.Layers(nil); !infos[0].Active || infos[1].Active || infos[2].Active {
		t.Errorf("%+v", infos)
	}

	// And back again.
	s.source.SetCarrier(s.layers[0].upstream)
	s.send(2, 9000, deltaPayload)
	s.send(2, 9000, keyFrameOf(640, 360))
	s.wantLayer(2)
	s.wantInOrder(6)
}

func TestLayerBitrates(t *testing.T) {
	var r rateMeter
	for i := range int64(30) { // 3 s: 50 kbit/s and as much again in the temporal layer above
		r.packet(0, 625)
		r.packet(1, 625)
		if i%2 == 1 {
			r.sample(1e9 + i*100*ms)
		}
	}
	if low, both := r.upTo(0), r.upTo(1); low < 49_000 || low > 51_000 || both != 2*low {
		t.Errorf("measured %d and %d bit/s, want 50000 and 100000", low, both)
	}
	for i := range int64(10) {
		r.sample(5e9 + i*200*ms)
	}
	if rate := r.upTo(maxTemporal - 1); rate != 0 {
		t.Errorf("%d bit/s after two seconds of silence", rate)
	}
}

// TestEachLayerIsRepairedByItsOwnRetransmissions has retransmission streams that
// become known after the first packets, as they do with rids.
func TestEachLayerIsRepairedByItsOwnRetransmissions(t *testing.T) {
	s := begun(t)
	for i, to := range s.layers {
		rtx := uint32(2000 + i)
		s.port.buffer(packetio.RTPBufferPacket, rtx)
		to.upstream.track = remote{kind: video, ssrc: webrtc.SSRC(to.upstream.ssrc), rtx: webrtc.SSRC(rtx), rid: to.upstream.track.RID()}
		s.port.mu.Lock()
		s.port.bindRetransmissions(to.upstream)
		s.port.mu.Unlock()
		s.sent[i]++ // lost
		s.send(i, 6000, deltaPayload)
	}
	before := len(s.sink.packets)
	for i := range s.layers {
		lost := s.sent[i] - 1
		raw := rtpBytes(t, rtp.Header{PayloadType: 97, SSRC: uint32(2000 + i), Timestamp: 3000 + uint32(i)*1_000_000}, 0, 0,
			append([]byte{byte(lost >> 8), byte(lost)}, deltaPayload...))
		s.port.mu.Lock()
		buffer := s.port.streams[uint32(2000+i)]
		s.port.mu.Unlock()
		if _, err := buffer.Write(raw); err != nil {
			t.Fatal(err)
		}
		if stats := s.layers[i].upstream.counters.repaired.Load(); stats != 1 {
			t.Errorf("layer %d: %d packets repaired", i, stats)
		}
	}
	if got := len(s.sink.packets) - before; got != 1 || s.numbers()[before] != before-1 {
		t.Errorf("%d repaired packets were forwarded, the numbers are %v", got, s.numbers())
	}
}
