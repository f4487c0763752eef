package media

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Repairs go out twice where the viewer loses some of them and asking again takes long, and only there.
func TestRepairsGoOutTwiceWhereTheyGetLost(t *testing.T) {
	for _, c := range []struct {
		name string
		rtt  int64
		loss uint8 // in 1/256
		rtx  bool
		want int
	}{
		{"far and lossy", 200 * ms, 13, true, 2},
		{"near and lossy", 20 * ms, 13, true, 1},
		{"far and clean", 200 * ms, 0, true, 1},
		{"far and full", 200 * ms, 80, true, 1},
		{"without retransmission streams", 200 * ms, 13, false, 1}, // the same packet twice is a replay
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFeeding(t, video)
			if !c.rtx {
				f.feed.mu.Lock()
				f.feed.bound.rtxSSRC = 0
				f.feed.mu.Unlock()
			}
			f.feed.counters.rtt.Store(c.rtt)
			for range 50 {
				f.feed.received(rtcp.ReceptionReport{SSRC: 5, FractionLost: c.loss}, 0)
			}
			for i := range uint16(20) {
				f.video(i, append(keyPayload[:len(keyPayload):len(keyPayload)], byte(i)))
			}
			asked := f.sink.packets[0].SequenceNumber + 7
			for round := range 2 { // the second one is for another packet
				again := f.nack(asked + uint16(round))
				if len(again) != c.want {
					t.Fatalf("%d packets came", len(again))
				}
				if !c.rtx {
					continue
				}
				for i, p := range again {
					if n := uint16(round*c.want + i); p.SequenceNumber != n || p.SSRC != 6 {
						t.Errorf("retransmission %d has number %d, SSRC %d", n, p.SequenceNumber, p.SSRC)
					}
					if osn := binary.BigEndian.Uint16(p.Payload); osn != asked+uint16(round) {
						t.Errorf("it is of packet %d, asked was for %d", osn, asked+uint16(round))
					}
				}
			}
			stats := f.feed.Stats()
			if want := uint64(2); stats.Retransmitted != want || stats.Repeated != want*uint64(c.want-1) {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// One report of loss is no reason yet.
func TestOneLossyReportChangesNothing(t *testing.T) {
	f := newFeeding(t, video)
	f.feed.counters.rtt.Store(200 * ms)
	f.feed.received(rtcp.ReceptionReport{SSRC: 5, FractionLost: 20}, 0)
	if f.feed.losesRepairs() {
		t.Error("repairs go out twice after one report")
	}
	for range 10 {
		f.feed.received(rtcp.ReceptionReport{SSRC: 5, FractionLost: 20}, 0)
	}
	if !f.feed.losesRepairs() {
		t.Error("repairs go out once after ten reports")
	}
	for range 40 {
		f.feed.received(rtcp.ReceptionReport{SSRC: 5}, 0)
	}
	if f.feed.losesRepairs() {
		t.Error("repairs go out twice after forty reports without loss")
	}
}

// What goes out twice counts twice against what a viewer may ask for.
func TestCopiesAreLimited(t *testing.T) {
	var l resendLimiter
	sent := 0
	for i := range uint64(20_000) {
		if i%20 == 0 {
			l.forwarded() // 1,000 of them
		}
		if l.allow(i, int64(i)*ms/10+1, 0) {
			sent++
			if l.allowCopy() {
				sent++
			}
		}
	}
	if most := resendBurst + 1000/resendPart; sent < most-1 || sent > most {
		t.Errorf("%d packets were sent again beside 1,000 others, want %d", sent, most)
	}
}

// Without a stream for retransmissions (RFC 4588) a packet is sent again exactly as it was: it is encrypted with the same
// nonce. What a voice's packets had for extensions is not kept, so they are not sent again.
func TestRepeatedPacketsDoNotDiffer(t *testing.T) {
	for _, kind := range []webrtc.RTPCodecType{video, audio} {
		f := newFeeding(t, kind)
		f.feed.port.decided = false
		wire := &recordingWire{}
		goDirectWith(t, f.feed.port, wire)
		f.feed.mu.Lock()
		f.feed.bound.rtxSSRC, f.feed.bound.delay, f.feed.delay = 0, 7, 9
		f.feed.mu.Unlock()
		for n := range uint16(10) {
			f.port.received(rtpBytes(t, rtp.Header{PayloadType: map[webrtc.RTPCodecType]uint8{video: 96, audio: 111}[kind], SSRC: 1000, SequenceNumber: n},
				n, 0x85, map[webrtc.RTPCodecType][]byte{video: keyPayload, audio: {1, 2}}[kind]), f.to)
		}
		for range 2 {
			f.nack(uint16(f.feed.sequence.highest) - 3)
			f.feed.resends = resendLimiter{}
		}
		again := wire.packets[10:]
		if kind == audio {
			if len(again) != 0 {
				t.Errorf("%d packets of a voice were sent again", len(again))
			}
			continue
		}
		if len(again) != 2 {
			t.Fatalf("%d packets were sent again", len(again))
		}
		for _, packet := range again {
			if !bytes.Equal(packet, wire.packets[6]) {
				t.Errorf("%x was sent again as %x", wire.packets[6], packet)
			}
		}
	}
}

// One request, whatever it names, makes a feed look for no more packets than a cache has, and send no more than its budget.
func TestOneRequestIsBounded(t *testing.T) {
	f := newFeeding(t, video)
	for n := range uint16(300) {
		f.video(n, keyPayload)
	}
	before := f.feed.Stats()
	var pairs []byte
	for i := range uint16(370) { // as many as a datagram has space for
		pairs = binary.BigEndian.AppendUint16(pairs, uint16(f.feed.sequence.highest)-299+i*17%300)
		pairs = binary.BigEndian.AppendUint16(pairs, 0xffff)
	}
	f.feed.resend(pairs, monotonic())
	s := f.feed.Stats()
	if looked := s.NACKed - before.NACKed; looked > resendLooks+nackSpan {
		t.Errorf("%d packets were looked for", looked)
	}
	if sent := s.Retransmitted - before.Retransmitted; sent != resendBurst {
		t.Errorf("%d packets were sent again, the budget is %d", sent, resendBurst)
	}
	if limited := s.NACKLimited - before.NACKLimited; limited < 100 {
		t.Errorf("%d packets were refused", limited)
	}
}
