package media

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

func TestAV1Layers(t *testing.T) {
	const frameOBU, sequenceOBU = 6<<3 | 4, 1<<3 | 2
	for _, c := range []struct {
		what    string
		payload []byte
		want    frame
	}{
		{"one frame", []byte{0x10, frameOBU, 2 << 5, 9, 9}, frame{layered: true, temporal: 2}},
		{"one frame with its size", []byte{0x00, 3, frameOBU, 1 << 5, 9}, frame{layered: true, temporal: 1}},
		{"a frame that goes on", []byte{0x50, frameOBU, 1 << 5, 9}, frame{layered: true, temporal: 1}},
		{"a key frame", []byte{0x28, 3, sequenceOBU, 1, 0, frameOBU, 0, 9}, frame{key: true, layered: true}},
		{"a key frame, sizes in all", []byte{0x08, 3, sequenceOBU, 1, 0, 3, frameOBU, 0, 9}, frame{key: true, layered: true}},
		{"a key frame without layers", []byte{0x28, 2, sequenceOBU, 0, 6 << 3, 9}, frame{key: true}},
		{"a frame without layers", []byte{0x10, 6 << 3, 0xff, 9}, frame{}},
		{"the middle of a frame", []byte{0xd0, frameOBU, 3 << 5}, frame{continues: true}},
		{"the end of one, then a frame", []byte{0xa0, 2, frameOBU, 7 << 5, frameOBU, 1 << 5}, frame{layered: true, temporal: 1}},
		{"a size of two bytes", append([]byte{0x20, 0x81, 0x01, sequenceOBU}, append(make([]byte, 128), frameOBU, 2<<5)...), frame{layered: true, temporal: 2}},
		{"a size beyond the packet", []byte{0x20, 9, frameOBU, 1 << 5}, frame{}},
		{"a size without end", bytes.Repeat([]byte{0xff}, 20), frame{}},
		{"an extension that is missing", []byte{0x10, frameOBU}, frame{}},
		{"nothing", nil, frame{}},
	} {
		c.want.obu = true
		if got := describeAV1(c.payload); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

// av1 sends pictures of two packets with the temporal layers 0 2 1 2, whose
// second packets look as if they were of another layer.
type av1 struct {
	*feeding
	count int
	n     uint16
}

func newAV1(t *testing.T) *av1 {
	f := newFeeding(t, video)
	codec := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeAV1, ClockRate: 90000}
	f.to.upstream.formats[98] = newFormat(webrtc.RTPCodecParameters{RTPCodecCapability: codec, PayloadType: 98})
	f.feed.mu.Lock()
	f.feed.bound.formats = negotiatedFormats([]webrtc.RTPCodecParameters{{RTPCodecCapability: codec, PayloadType: 102}})
	f.feed.mu.Unlock()
	return &av1{feeding: f, n: 65530}
}

// next makes the packets of the next picture.
func (a *av1) next(key bool) (packets [2][]byte) {
	if key {
		a.count = 0
	}
	temporal := []byte{0, 2, 1, 2}[a.count%4]
	a.count++
	head := []byte{0x50, 6<<3 | 4, temporal << 5}
	if key {
		head = []byte{0x68, 2, 1<<3 | 2, 0, 6<<3 | 4, 0}
	}
	for i, payload := range [][]byte{head, {0x90, 6<<3 | 4, (2 - temporal) << 5}} {
		a.n++
		payload = binary.BigEndian.AppendUint16(payload, a.n)
		packets[i] = rtpBytes(a.t, rtp.Header{
			PayloadType: 98, SSRC: 1000, SequenceNumber: a.n, Timestamp: uint32(a.n+uint16(1-i)) * 1500, Marker: i == 1,
		}, a.n, 0, payload)
	}
	return packets
}

func (a *av1) send(packets ...[]byte) {
	for _, p := range packets {
		a.port.received(p, a.to)
	}
}

func (a *av1) picture(key bool) {
	packets := a.next(key)
	a.send(packets[:]...)
}

// numbersOf are those that the encoder gave to what was written; 0 stands for a
// number that was filled.
func numbersOf(packets []rtp.Packet) (numbers []uint16) {
	for i := range packets {
		n := uint16(0)
		if b := packets[i].Payload; len(b) > 2 {
			n = binary.BigEndian.Uint16(b[len(b)-2:]) - 65530
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func (a *av1) wantWritten(want ...uint16) {
	a.t.Helper()
	got := numbersOf(a.sink.packets)
	if len(got) != len(want) {
		a.t.Fatalf("wrote %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			a.t.Fatalf("wrote %v, want %v", got, want)
		}
	}
}

func TestAV1TemporalLayersAreLeftOut(t *testing.T) {
	for temporal, want := range []int{50, 100, 200} {
		a := newAV1(t)
		a.feed.SetTarget(Target{Temporal: int8(temporal)})
		for i := range 200 {
			a.picture(i == 0)
		}
		if got := a.numbers(); len(got) != 2*want || got[len(got)-1] != 2*want-1 {
			t.Errorf("up to layer %d: %d packets with numbers up to %d, want %d", temporal, len(got), got[len(got)-1], 2*want)
		}
		if now, ok := a.feed.Current(); !ok || now.Temporal != int8(temporal) {
			t.Errorf("it says that it sends %+v, %v", now, ok)
		}
		infos := a.source.Layers(nil)
		if len(infos) != 3 {
			t.Errorf("%+v", infos)
		}
	}
}

func TestAV1LayersAreTakenUpAtTheLowest(t *testing.T) {
	a := newAV1(t)
	a.feed.SetTarget(Target{})
	a.picture(true)  // 1 2: layer 0
	a.picture(false) // 3 4: layer 2
	a.feed.SetTarget(HighestTarget)
	a.picture(false) // 5 6: layer 1
	a.picture(false) // 7 8: layer 2, refers to 5
	a.picture(false) // 9 10: layer 0
	a.picture(false) // 11 12: layer 2
	a.feed.SetTarget(Target{Temporal: 1})
	a.picture(false) // 13 14: layer 1
	a.picture(false) // 15 16: layer 2
	a.picture(false) // 17 18: layer 0
	a.wantWritten(1, 2, 9, 10, 11, 12, 13, 14, 17, 18)
	a.wantNumbers(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
}

// TestAV1PacketsThatComeLate: of one picture all packets are sent, or none.
func TestAV1PacketsThatComeLate(t *testing.T) {
	a := newAV1(t)
	a.feed.SetTarget(Target{Temporal: 1})
	a.picture(true)         // 1 2: layer 0
	second := a.next(false) // 3 4: layer 2
	third := a.next(false)  // 5 6: layer 1
	a.send(second[0])       // is left out
	a.send(third[0], third[1])
	a.send(second[1])       // of what is left out
	fourth := a.next(false) // 7 8: layer 2
	a.send(fourth[1])       // nobody knows what it is
	a.picture(false)        // 9 10: layer 0
	a.send(fourth[0])       // goes with its other half
	fifth := a.next(false)  // 11 12: layer 2
	a.picture(false)        // 13 14: layer 1
	a.send(fifth[0], fifth[1])
	a.wantWritten(1, 2, 5, 6, 0, 8, 9, 10, 7, 13, 14, 0, 0)
	time.Sleep(time.Duration(resendInterval)) // they have just been sent
	again := a.nack(a.sink.packets[8].SequenceNumber, a.sink.packets[4].SequenceNumber, a.sink.packets[11].SequenceNumber)
	for i := range again {
		if n := len(again[i].Payload); i == 0 && n < 4 || i > 0 && n != 0 {
			t.Errorf("repeated: %v", again)
		}
	}
	if len(again) == 0 {
		t.Error("nothing was repeated")
	}
}
