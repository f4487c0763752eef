package main

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	packetSize  = 1200 // bytes of an RTP packet before encryption, header included
	headerSize  = 12
	framesPerS  = 30
	clockRate   = 90000
	burst       = 5 * time.Millisecond  // packets are paced in bursts this far apart, as libwebrtc's pacer does
	maxCatchUp  = 50 * time.Millisecond // of what a late pacer still sends
	stampOffset = 16                    // into the payload: behind the VP8 headers of a key frame
	stampEnd    = stampOffset + 14
)

// start is the zero of the times written into packets.
var start = time.Now()

// stamp is what a publisher writes into a packet for the viewers' tallies.
type stamp struct {
	sent     int64  // ns since start
	number   uint32 // of the measured packets of the room
	measured bool
	leg      uint8 // that the publisher sent it on
}

func (s stamp) put(payload []byte) {
	b := payload[stampOffset:stampEnd]
	binary.BigEndian.PutUint64(b, uint64(s.sent))
	binary.BigEndian.PutUint32(b[8:], s.number)
	b[12] = 0
	if s.measured {
		b[12] = 1
	}
	b[13] = s.leg
}

func getStamp(payload []byte) (stamp, bool) {
	if len(payload) < stampEnd {
		return stamp{}, false
	}
	b := payload[stampOffset:stampEnd]
	return stamp{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:]), b[12] == 1, b[13]}, true
}

// picture makes the packets of one camera: VP8 frames (RFC 7741) as far as a
// relay looks at them. It belongs to the goroutine that paces it.
type picture struct {
	perFrame  int
	inFrame   int
	key       bool
	wanted    atomic.Bool // a key frame; set by anybody
	id        uint16
	timestamp uint32
}

func newPicture(rate float64) *picture {
	p := &picture{perFrame: max(1, int(rate/framesPerS+0.5))}
	p.wanted.Store(true)
	return p
}

// next writes the headers of the next packet into payload.
func (p *picture) next(payload []byte) (timestamp uint32, marker bool) {
	if p.inFrame == 0 {
		p.key = p.wanted.Swap(false)
		p.id = (p.id + 1) & 0x7fff
		p.timestamp += clockRate / framesPerS
	}
	payload[0] = 0x80 // extended control bits
	if p.inFrame == 0 {
		payload[0] |= 0x10 // start of a partition
	}
	payload[1] = 0x80 // with a picture id
	binary.BigEndian.PutUint16(payload[2:], 0x8000|p.id)
	payload[4] = 0x11 // an inter frame
	if p.inFrame == 0 && p.key {
		copy(payload[4:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01}) // 640x480
	}
	p.inFrame++
	if p.inFrame == p.perFrame {
		p.inFrame, marker = 0, true
	}
	return p.timestamp, marker
}

// idleRate is what a publisher sends before the load begins, in packets/s: a
// camera that sends nothing counts as a dead one.
const idleRate = 2.0

// pace calls send until done is closed, in bursts: as often as rate (packets/s)
// demands once begun is closed, idly before. A pacer that falls behind sends what it
// owes, up to maxCatchUp.
func pace(rate float64, begun, done <-chan struct{}, send func()) {
	full := rate
	rate = idleRate
	ticker := time.NewTicker(burst)
	defer ticker.Stop()
	owed, last := 0.0, time.Now()
	for {
		select {
		case <-done:
			return
		case <-begun:
			rate, begun = full, nil
		case now := <-ticker.C:
			owed = min(owed+rate*now.Sub(last).Seconds(), rate*maxCatchUp.Seconds()+1)
			last = now
			for ; owed >= 1; owed-- {
				send()
			}
		}
	}
}

// tally is what one viewer received. Safe for concurrent use.
type tally struct {
	any atomic.Uint64 // packets ever

	mu      sync.Mutex // guards the rest
	seen    []uint64   // bits by number
	count   int
	again   int      // received more than once
	latency []uint32 // µs
}

// expect makes room for n packets.
func (t *tally) expect(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = make([]uint64, n/64+1)
	t.latency = make([]uint32, 0, n)
}

func (t *tally) add(s stamp) {
	t.any.Add(1)
	if !s.measured {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	word, bit := int(s.number/64), uint64(1)<<(s.number%64)
	if word >= len(t.seen) {
		return
	}
	if t.seen[word]&bit != 0 {
		t.again++
		return
	}
	t.seen[word] |= bit
	t.count++
	if len(t.latency) < cap(t.latency) {
		t.latency = append(t.latency, uint32((int64(time.Since(start))-s.sent)/1000))
	}
}

// counts are the packets that came, and how many of them came again.
func (t *tally) counts() (count, again int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count, t.again
}

// percentiles are those of all latencies together, in µs.
func percentiles(tallies []*tally, which ...float64) []uint32 {
	var all []uint32
	for _, t := range tallies {
		t.mu.Lock()
		all = append(all, t.latency...)
		t.mu.Unlock()
	}
	slices.Sort(all)
	out := make([]uint32, len(which))
	for i, p := range which {
		if len(all) > 0 {
			out[i] = all[min(len(all)-1, int(p*float64(len(all))))]
		}
	}
	return out
}
