package media

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// encoder makes VP8 packets with the temporal layers 0 2 1 2 0 2 1 2 …, as
// libvpx does with three of them.
type encoder struct {
	picture   uint16 // picture id, 15 bits
	base      uint8  // TL0PICIDX
	count     int
	serial    uint32
	timestamp uint32
}

// next makes the packets of a picture. Y is set for the first picture of a layer
// after one of the lowest, which is all that it needs.
func (e *encoder) next(key bool, packets int) (payloads [][]byte, temporal uint8) {
	if key {
		e.count = 0
	}
	temporal = []uint8{0, 2, 1, 2}[e.count%4]
	sync := e.count%4 == 1 || e.count%4 == 2
	e.count++
	e.picture = (e.picture + 1) & 0x7fff
	e.timestamp += 3000
	if temporal == 0 {
		e.base++
	}
	for i := range packets {
		e.serial++
		b := []byte{0x80, 0xe0, byte(e.picture>>8) | 0x80, byte(e.picture), e.base, temporal << 6, 0x11}
		if i == 0 {
			b[0] |= 0x10
		}
		if sync {
			b[5] |= 0x20
		}
		if key && i == 0 {
			b[6] = 0x10
		}
		payloads = append(payloads, binary.BigEndian.AppendUint32(b, e.serial))
	}
	return payloads, temporal
}

func (f *feeding) sendPicture(e *encoder, sequence *uint16, key bool, packets int) (temporal uint8) {
	f.t.Helper()
	payloads, temporal := e.next(key, packets)
	for i, payload := range payloads {
		*sequence++
		f.port.received(rtpBytes(f.t, rtp.Header{
			PayloadType: 96, SSRC: 1000, SequenceNumber: *sequence, Timestamp: e.timestamp, Marker: i == packets-1,
		}, *sequence, 0, payload), f.to)
	}
	return temporal
}

// written reads a packet as its receiver does.
func written(t *testing.T, p *rtp.Packet) (d codecs.VP8Packet, serial uint32) {
	t.Helper()
	if _, err := d.Unmarshal(p.Payload); err != nil {
		t.Fatal(err)
	}
	return d, binary.BigEndian.Uint32(p.Payload[len(p.Payload)-4:])
}

// wantWhole demands what a decoder needs (RFC 7741 section 4.2): numbers and
// picture ids without gaps, TL0PICIDX growing by one with each picture of the
// lowest layer. It returns how many pictures there are of each layer.
func (f *feeding) wantWhole() (pictures [maxTemporal]int) {
	f.t.Helper()
	var before codecs.VP8Packet
	for i := range f.sink.packets {
		p := &f.sink.packets[i]
		d, _ := written(f.t.(*testing.T), p)
		if n := f.numbers()[i]; n != i {
			f.t.Fatalf("packet %d has number %d", i, n)
		}
		first := i == 0 || p.Timestamp != f.sink.packets[i-1].Timestamp
		if first {
			pictures[d.TID]++
		}
		if i > 0 {
			step, base := uint16(0), uint8(0)
			if first {
				step = 1
				if d.TID == 0 {
					base = 1
				}
			}
			if (d.PictureID-before.PictureID)&0x7fff != step || d.TL0PICIDX-before.TL0PICIDX != base {
				f.t.Fatalf("packet %d: picture %d, base %d, layer %d; before it picture %d, base %d",
					i, d.PictureID, d.TL0PICIDX, d.TID, before.PictureID, before.TL0PICIDX)
			}
		}
		before = d
	}
	return pictures
}

func TestTemporalLayersAreLeftOut(t *testing.T) {
	for temporal, want := range [][maxTemporal]int{{50}, {50, 50}, {50, 50, 100}} {
		f := newFeeding(t, video)
		f.feed.SetTarget(Target{Temporal: int8(temporal)})
		e, sequence := encoder{picture: 0x7ff0, base: 250}, uint16(65500)
		for i := range 200 {
			f.sendPicture(&e, &sequence, i == 0, 1+i%3)
		}
		if got := f.wantWhole(); got != want {
			t.Errorf("up to layer %d: pictures %v, want %v", temporal, got, want)
		}
		if now, ok := f.feed.Current(); !ok || now.Temporal != int8(temporal) {
			t.Errorf("it says that it sends %+v, %v", now, ok)
		}
		if infos := f.source.Layers(nil); len(infos) != 3 || infos[2].Temporal != 2 {
			t.Errorf("%+v", infos)
		}
	}
}

// TestTemporalLayersAreTakenUpAtSyncPoints: pictures of a higher layer come back
// only where they need nothing that was not sent.
func TestTemporalLayersAreTakenUpAtSyncPoints(t *testing.T) {
	f := newFeeding(t, video)
	e, sequence := encoder{}, uint16(0)
	picture := func(key bool) { f.sendPicture(&e, &sequence, key, 2) }
	f.feed.SetTarget(Target{})
	picture(true)
	picture(false) // 2
	picture(false) // 1
	f.feed.SetTarget(HighestTarget)
	picture(false) // 2, not a sync point
	f.wantNumbers(0, 1)
	picture(false) // 0
	picture(false) // 2, a sync point, but 1 was not sent
	f.wantNumbers(0, 1, 2, 3)
	picture(false) // 1, a sync point
	picture(false) // 2, not one
	picture(false) // 0
	picture(false) // 2, a sync point
	picture(false) // 1
	picture(false) // 2
	if got := f.wantWhole(); got != [maxTemporal]int{3, 2, 2} {
		t.Errorf("pictures %v", got)
	}
	f.feed.SetTarget(Target{Temporal: 0})
	picture(false)
	picture(false)
	f.feed.SetTarget(HighestTarget)
	picture(true) // from a key frame on all are sent
	picture(false)
	picture(false)
	if got := f.wantWhole(); got != [maxTemporal]int{5, 3, 3} {
		t.Errorf("pictures %v", got)
	}
}

// TestRepairOfThinnedStream asks for everything again, and has packets come
// late.
func TestRepairOfThinnedStream(t *testing.T) {
	for _, rtx := range []bool{true, false} {
		f := newFeeding(t, video)
		if !rtx {
			f.feed.mu.Lock()
			f.feed.bound.rtxSSRC = 0
			f.feed.mu.Unlock()
		}
		f.feed.SetTarget(Target{Temporal: 1})
		e, sequence := encoder{}, uint16(0)
		for i := range 40 {
			f.sendPicture(&e, &sequence, i == 0, 2)
		}
		f.wantWhole()
		sent := append([]rtp.Packet(nil), f.sink.packets...)
		for i := range sent[:40] {
			again := f.nack(sent[i].SequenceNumber)
			if len(again) != 1 {
				t.Fatalf("packet %d: %d came", i, len(again))
			}
			payload := again[0].Payload
			if rtx {
				if n := binary.BigEndian.Uint16(payload); n != sent[i].SequenceNumber {
					t.Fatalf("packet %d was repeated as %d", sent[i].SequenceNumber, n)
				}
				payload = payload[2:]
			}
			if !bytes.Equal(payload, sent[i].Payload) || again[0].Timestamp != sent[i].Timestamp {
				t.Fatalf("packet %d was % x, came again as % x", i, sent[i].Payload, payload)
			}
		}
	}
}

func TestLatePacketOfALayerThatIsLeftOut(t *testing.T) {
	f := newFeeding(t, video)
	f.feed.SetTarget(Target{})
	e := encoder{}
	var packets [][]byte
	for i := range 8 {
		payloads, _ := e.next(i == 0, 1)
		packets = append(packets, rtpBytes(t, rtp.Header{
			PayloadType: 96, SSRC: 1000, SequenceNumber: uint16(i), Timestamp: e.timestamp,
		}, uint16(i), 0, payloads[0]))
	}
	receive := func(n int) { f.port.received(packets[n], f.to) }
	receive(0)
	receive(1) // layer 2: left out
	receive(4) // layer 0; 2 and 3 are missing, nobody knows what they were
	f.wantNumbers(0, 3)
	receive(2)
	receive(3)
	f.wantNumbers(0, 3, 1, 2)
	for _, p := range f.sink.packets[2:] {
		if len(p.Payload) != 0 || !p.Padding {
			t.Errorf("a number that was kept free was filled with %+v", p)
		}
	}
	again := f.nack(f.sink.packets[0].SequenceNumber + 2)
	if len(again) > 1 || len(again) == 1 && len(again[0].Payload) != 0 {
		t.Errorf("a picture that is left out came as a repetition: %+v", again)
	}
}

// TestThinningOfALossyStream changes the target at random while packets get lost
// or come late: no number is given twice, and every packet is repeated as it was.
func TestThinningOfALossyStream(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	f := newFeeding(t, video)
	e := encoder{picture: 0x7f00, base: 200}
	var late [][]byte
	sequence := uint16(65000)
	for i := range 3000 {
		if random.IntN(20) == 0 {
			f.feed.SetTarget(Target{Temporal: int8(random.IntN(3))})
		}
		payloads, _ := e.next(i == 0 || random.IntN(200) == 0, 1+random.IntN(3))
		for _, payload := range payloads {
			sequence++
			raw := rtpBytes(t, rtp.Header{PayloadType: 96, SSRC: 1000, SequenceNumber: sequence, Timestamp: e.timestamp}, sequence, 0, payload)
			switch random.IntN(30) {
			case 0: // lost
			case 1:
				late = append(late, raw)
			default:
				f.port.received(raw, f.to)
			}
		}
		for len(late) > 0 && random.IntN(10) == 0 {
			f.port.received(late[0], f.to)
			late = late[1:]
		}
	}
	number := map[uint64]int{}
	highest := uint64(f.sink.packets[0].SequenceNumber) + 1<<16
	var newest *codecs.VP8Packet
	for i := range f.sink.packets {
		p := &f.sink.packets[i]
		n := nearest(highest, p.SequenceNumber)
		if before, twice := number[n]; twice {
			t.Fatalf("number %d was written as packet %d and %d", n, before, i)
		}
		number[n] = i
		if len(p.Payload) == 0 || n < highest {
			continue
		}
		d, _ := written(t, p)
		if newest != nil && int16((d.PictureID-newest.PictureID)<<1) < 0 {
			t.Fatalf("picture %d follows %d", d.PictureID, newest.PictureID)
		}
		newest, highest = &d, n
	}
	checked := 0
	for back := range uint64(100) {
		i, ok := number[highest-back]
		if !ok {
			continue
		}
		again := f.nack(uint16(highest - back))
		if p := &f.sink.packets[i]; len(p.Payload) > 0 && len(again) == 1 {
			if !bytes.Equal(again[0].Payload[2:], p.Payload) {
				t.Fatalf("packet % x came again as % x", p.Payload, again[0].Payload)
			}
			checked++
		}
	}
	if checked < 20 {
		t.Errorf("only %d packets were repeated", checked)
	}
}

// TestPictureIDsGoOnAtSwitches: a decoder that has seen a newer picture takes no
// older one.
func TestPictureIDsGoOnAtSwitches(t *testing.T) {
	f := newFeeding(t, video)
	e, sequence := encoder{picture: 5000, base: 7}, uint16(0)
	for i := range 10 {
		f.sendPicture(&e, &sequence, i == 0, 2)
	}
	// Another encoder on the same source, then another source.
	second := newFeeding(t, video)
	f.source.SetCarrier(second.to.upstream)
	f.port, f.to = second.port, second.to
	e = encoder{picture: 100, base: 90, serial: e.serial}
	for i := range 10 {
		f.sendPicture(&e, &sequence, i == 0, 2)
	}
	third := newFeeding(t, video)
	f.feed.SetSource(third.source)
	f.port, f.to = third.port, third.to
	e = encoder{picture: 30000, serial: e.serial}
	for i := range 10 {
		f.sendPicture(&e, &sequence, i == 0, 2)
	}
	if got := f.wantWhole(); got != [maxTemporal]int{9, 6, 15} {
		t.Errorf("pictures %v", got)
	}
	// Other viewers get what the encoder made.
	if d, _ := written(t, &third.sink.packets[0]); d.PictureID != 30001 || d.TL0PICIDX != 1 {
		t.Errorf("the other viewer got picture %d, base %d", d.PictureID, d.TL0PICIDX)
	}
}

func TestVP9TemporalLayersAreLeftOut(t *testing.T) {
	f := newFeeding(t, video)
	vp9 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP9, ClockRate: 90000}
	f.to.upstream.formats[98] = newFormat(webrtc.RTPCodecParameters{RTPCodecCapability: vp9, PayloadType: 98})
	f.feed.mu.Lock()
	f.feed.bound.formats = negotiatedFormats([]webrtc.RTPCodecParameters{{RTPCodecCapability: vp9, PayloadType: 102}})
	f.feed.mu.Unlock()
	n := uint16(0)
	// A picture of two spatial layers, in the non-flexible mode.
	picture := func(temporal byte, upwards, key bool) {
		for spatial := range byte(2) {
			first := byte(0xa0 | 0x08 | 0x04) // I, L, B, E
			if !key {
				first |= 0x40 // P
			}
			layers := temporal<<5 | spatial<<1
			if upwards {
				layers |= 0x10
			}
			n++
			f.port.received(rtpBytes(t, rtp.Header{PayloadType: 98, SSRC: 1000, SequenceNumber: n, Timestamp: uint32(n-uint16(spatial)) * 1500, Marker: spatial == 1},
				n, 0, []byte{first, 0x80 | byte(n>>9), byte(n >> 1), layers, 1, 0x55}), f.to)
		}
	}
	f.feed.SetTarget(Target{Temporal: 1})
	picture(0, true, true)
	picture(2, true, false)
	picture(1, true, false)
	picture(2, false, false)
	f.wantNumbers(0, 1, 2, 3)
	if id := f.sink.packets[2].Payload[2]; id != byte(5>>1) {
		t.Errorf("the picture id was changed to %d", id)
	}
	f.feed.SetTarget(HighestTarget)
	picture(2, false, false) // needs what was left out
	picture(0, true, false)
	picture(2, true, false)
	f.wantNumbers(0, 1, 2, 3, 4, 5, 6, 7)
}

func TestVP8Descriptors(t *testing.T) {
	for _, c := range []struct {
		payload []byte
		want    frame
	}{
		{[]byte{0x90, 0xe0, 0x85, 0x10, 0x07, 0xa0, 0x50}, frame{key: true, layered: true, temporal: 2, sync: true, pictureAt: 2, baseAt: 4, longID: true, pictureID: 0x510, base: 7}},
		{[]byte{0x90, 0xf0, 0x15, 0x07, 0x43, 0x51}, frame{layered: true, temporal: 1, pictureAt: 2, baseAt: 3, pictureID: 0x15, base: 7}},
		{[]byte{0x90, 0x10, 0x03, 0x51}, frame{}}, // KEYIDX alone tells no layer
		{[]byte{0x10, 0x50}, frame{key: true}},
		{[]byte{0x90, 0xe0, 0x85, 0x10, 0x07}, frame{}},
		{nil, frame{}},
	} {
		got := describeVP8(c.payload)
		if got != c.want {
			t.Errorf("% x: %+v, want %+v", c.payload, got, c.want)
		}
		changed := bytes.Clone(c.payload)
		got.rewrite(changed, 0x7ffe, 0xaa)
		want := uint16(0x7e)
		if got.longID {
			want = 0x7ffe
		}
		if again := describeVP8(changed); got.pictureAt != 0 && (again.pictureID != want || again.base != 0xaa || again.temporal != got.temporal) {
			t.Errorf("% x was rewritten to % x", c.payload, changed)
		}
	}
}
