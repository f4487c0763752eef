package icetcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"skillsage/network/traffic"
)

// testQueue is a queue without a connection.
func testQueue(t testing.TB, most int64) *queue {
	t.Helper()
	m := &Mux{opts: Options{MaxQueued: most}}
	q := newQueue(m)
	t.Cleanup(func() {
		q.close()
		if n := m.queued.Load(); n != 0 || q.size != 0 || len(q.waiting) != 0 {
			t.Errorf("%d bytes are still counted, %d of the queue in %d chunks", n, q.size, len(q.waiting))
		}
	})
	return &q
}

// rtp makes what looks like SRTP.
func rtp(ssrc, timestamp uint32, size int) []byte {
	p := make([]byte, size)
	p[0], p[1] = 0x80, 96
	binary.BigEndian.PutUint32(p[4:], timestamp)
	binary.BigEndian.PutUint32(p[8:], ssrc)
	return p
}

// drain is what a writer would send.
func (q *queue) drain(t testing.TB) (packets [][]byte) {
	t.Helper()
	for {
		c, _ := q.take(1)
		if c == nil {
			return packets
		}
		got, _ := reads(bytes.NewReader(c.data[:c.size]))
		if len(got) != c.packets {
			t.Errorf("%d packets in a chunk of %d", len(got), c.packets)
		}
		packets = append(packets, got...)
		q.release(c, 1)
	}
}

func (q *queue) add(t testing.TB, packet []byte, kind traffic.Kind, now time.Duration) (taken bool) {
	t.Helper()
	before := q.count.dropped[kind].Load()
	if err := q.push(packet, kind, int64(now)); err != nil {
		t.Fatal(err)
	}
	return q.count.dropped[kind].Load() == before
}

const ms = time.Millisecond

// Everything comes out in order, in few pieces, and while one of them is on its way.
func TestQueueKeepsOrder(t *testing.T) {
	q := testQueue(t, 1<<30)
	var want [][]byte
	add := func(n int) {
		for range n {
			p := bytes.Repeat([]byte{byte(len(want))}, 500)
			want = append(want, p)
			if !q.add(t, p, traffic.Control, 0) {
				t.Fatal("dropped")
			}
		}
	}
	add(10)
	c, _ := q.take(1)
	if c.packets != 10 {
		t.Errorf("the first write has %d packets", c.packets)
	}
	got, _ := reads(bytes.NewReader(c.data[:c.size]))
	add(100)
	q.release(c, 1)
	chunks := len(q.waiting)
	got = append(got, q.drain(t)...)
	if len(got) != len(want) {
		t.Fatalf("%d packets of %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("packet %d is %x", i, got[i][:1])
		}
	}
	if most := 100*502/(chunkSize-502) + 1; chunks > most {
		t.Errorf("%d writes for 100 packets, %d would do", chunks, most)
	}
}

// With a peer that takes nothing, retransmissions go first, then pictures, then sound; what keeps the connection up stays.
func TestQueueGivesUpInOrder(t *testing.T) {
	lives := func(t *testing.T, q *queue, now time.Duration) string {
		var kinds string
		for kind := traffic.Control; kind < traffic.Kinds; kind++ {
			if q.add(t, rtp(uint32(kind), uint32(now/ms), 100), kind, now) {
				kinds += kind.String() + " "
			}
		}
		return kinds
	}
	t.Run("by age", func(t *testing.T) {
		q := testQueue(t, 1<<30)
		for _, step := range []struct {
			now  time.Duration
			want string
		}{
			{0, "control audio video repair "},
			{140 * ms, "control audio video repair "},
			{160 * ms, "control audio video "},
			{290 * ms, "control audio video "},
			{310 * ms, "control audio "},
			{990 * ms, "control audio "},
			{1010 * ms, "control "},
			{14 * time.Second, "control "},
		} {
			if got := lives(t, q, step.now); got != step.want {
				t.Errorf("after %v: %s, want %s", step.now, got, step.want)
			}
		}
		q.drain(t)
		if got := lives(t, q, 15*time.Second); got != "control audio video repair " {
			t.Errorf("when all is sent: %s", got)
		}
	})
	t.Run("by size", func(t *testing.T) {
		q := testQueue(t, 1<<30)
		fill := func(size int) {
			for q.size < size {
				if err := q.push(make([]byte, 1000), traffic.Control, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, step := range []struct {
			size int
			want string
		}{
			{videoSize - 2000, "control audio video repair "},
			{videoSize + 1, "control audio "},
			{audioSize + 1, "control "},
			{maxSize - 1200, "control "},
		} {
			fill(step.size)
			if got := lives(t, q, 0); got != step.want {
				t.Errorf("with %d bytes: %s, want %s", step.size, got, step.want)
			}
		}
		if err := q.push(make([]byte, maxPacket), traffic.Control, 0); !errors.Is(err, errOverflow) {
			t.Errorf("beyond the end: %v", err)
		}
	})
	t.Run("by the sum of all", func(t *testing.T) {
		q := testQueue(t, 1<<20)
		q.all.Add(1 << 20)
		defer q.all.Add(-1 << 20)
		for q.size < chunkSize-500 {
			if got := lives(t, q, 0); got != "control audio video repair " {
				t.Fatalf("a short queue of %d bytes takes %s", q.size, got)
			}
		}
		q.add(t, make([]byte, 1000), traffic.Control, 0)
		if got := lives(t, q, 0); got != "control " {
			t.Errorf("a long queue takes %s", got)
		}
	})
}

// A frame that has lost a packet loses those that follow, also when there is room again. It goes on with a whole frame.
func TestQueueCutsFrames(t *testing.T) {
	q := testQueue(t, 1<<30)
	add := func(ssrc, timestamp uint32, now time.Duration) bool {
		return q.add(t, rtp(ssrc, timestamp, 1000), traffic.Video, now)
	}
	for _, packet := range []struct{ ssrc, timestamp uint32 }{{1, 1000}, {1, 1000}, {2, 77}} {
		if !add(packet.ssrc, packet.timestamp, 0) {
			t.Fatal("dropped with an empty queue")
		}
	}
	if add(1, 1000, 400*ms) {
		t.Error("the third packet of the frame was taken")
	}
	q.drain(t)
	for _, step := range []struct {
		ssrc, timestamp uint32
		now             time.Duration
		want            bool
	}{
		{1, 1000, 410 * ms, false}, // the rest of that frame
		{2, 77, 410 * ms, true},    // another stream has lost nothing
		{1, 900, 411 * ms, false},  // late packets of older frames do not end it
		{1, 4000, 420 * ms, true},
		{1, 4000, 430 * ms, true},
		{1, 4000, 800 * ms, false}, // the queue has stood still again
		{1, 7000, 801 * ms, false},
	} {
		if got := add(step.ssrc, step.timestamp, step.now); got != step.want {
			t.Errorf("stream %d, frame %d at %v: taken %v", step.ssrc, step.timestamp, step.now, got)
		}
	}
	q.drain(t)
	if add(1, 7000, 810*ms) {
		t.Error("the end of a frame without its beginning was taken")
	}
	if !add(1, 1<<31+7000-1, 811*ms) { // timestamps wrap around
		t.Error("the next frame was not taken")
	}
	if len(q.cuts) != 0 {
		t.Errorf("%d frames are still being left out", len(q.cuts))
	}
}

// Video waits until the queue is short, not only shorter: else every frame would lose its end.
func TestQueueDrainsBeforeVideoGoesOn(t *testing.T) {
	q := testQueue(t, 1<<30)
	for i := range 24 { // a chunk has 8 of them
		q.add(t, rtp(1, 1, 1000), traffic.Video, []time.Duration{0, 200 * ms, 250 * ms}[i/8])
	}
	if q.add(t, rtp(1, 2, 1000), traffic.Video, 310*ms) {
		t.Fatal("taken although the queue stands still")
	}
	for i, want := range []bool{false, true} {
		c, _ := q.take(1)
		q.release(c, 1)
		if got := q.add(t, rtp(1, uint32(3+i), 1000), traffic.Video, 311*ms); got != want {
			t.Errorf("taken %v when the longest wait was %v", got, 311*ms-time.Duration(q.waiting[0].at))
		}
	}
}

// The wait is foreseen by the rate at which the queue drains: a burst that takes too long is cut at once, and sound gets
// through behind what is left of it.
func TestQueueKnowsTheRate(t *testing.T) {
	q := testQueue(t, 1<<30)
	now := time.Duration(1)
	burst := func(timestamp uint32, packets int) (taken int) {
		for range packets {
			if q.add(t, rtp(1, timestamp, 998), traffic.Video, now) {
				taken++
			}
		}
		return taken
	}
	send := func(each time.Duration) { // 8 packets in each chunk
		for {
			c, _ := q.take(int64(now))
			if c == nil {
				return
			}
			now += each
			q.release(c, int64(now))
		}
	}
	if n := burst(1, 200); n != 200 {
		t.Fatalf("%d packets taken of a burst when nothing is known", n)
	}
	send(80 * ms) // 100 kB/s
	if n := burst(2, 200); n < 29 || n > 31 {
		t.Errorf("%d packets taken, 300 ms are 30", n)
	}
	if !q.add(t, rtp(2, 2, 100), traffic.Audio, now) {
		t.Error("sound was dropped")
	}
	if q.add(t, rtp(3, 2, 100), traffic.Repair, now) {
		t.Error("a repair was taken")
	}
	send(20 * ms) // 400 kB/s
	if n := burst(3, 200); n < 118 || n > 122 {
		t.Errorf("%d packets taken, 300 ms are 120 by now", n)
	}
	for range 10 { // by far more than that leaves, in pieces between which nothing waits
		q.add(t, rtp(1, 3, 2000), traffic.Control, now)
		now += ms
		send(0)
	}
	if n := burst(4, 200); n != 200 {
		t.Errorf("%d packets taken when what was known is wrong", n)
	}
	send(80 * ms)
	now += time.Duration(rateLife)
	if n := burst(5, 200); n != 200 {
		t.Errorf("%d packets taken when what was known is old", n)
	}
	send(0)
	for range 100 { // a little, that takes its time because the kernel is full, says nothing of the rate
		q.add(t, rtp(2, 2, 100), traffic.Audio, now)
		now += 100 * ms
		send(100 * ms)
	}
	if n := burst(6, 200); n != 200 {
		t.Errorf("%d packets taken after a time of sound alone", n)
	}
}

// However many streams a connection has, what is remembered of them is bounded, and nothing gets through for that.
func TestQueueRemembersFewStreams(t *testing.T) {
	q := testQueue(t, 1<<30)
	q.add(t, rtp(1, 1, 1000), traffic.Control, 0)
	for ssrc := range uint32(1000) {
		if q.add(t, rtp(ssrc, 1, 100), traffic.Video, 400*ms) {
			t.Fatal("taken")
		}
	}
	if len(q.cuts) != maxCuts {
		t.Errorf("%d frames remembered", len(q.cuts))
	}
	if q.add(t, []byte{0x80, 96}, traffic.Video, 400*ms) {
		t.Error("a packet without a header was taken")
	}
}

// Hostile sizes.
func TestQueueRefusesWhatCannotBeFramed(t *testing.T) {
	q := testQueue(t, 1<<30)
	if err := q.push(make([]byte, maxPacket+1), traffic.Control, 0); !errors.Is(err, errFrame) {
		t.Error(err)
	}
	if !q.add(t, make([]byte, maxPacket), traffic.Control, 0) {
		t.Error("dropped")
	}
}

// A queue that finishes sends what it has; a closed one does not.
func TestQueueEnds(t *testing.T) {
	for _, closes := range []bool{false, true} {
		t.Run(fmt.Sprint("closed ", closes), func(t *testing.T) {
			q := testQueue(t, 1<<30)
			for range 40 {
				q.add(t, make([]byte, 1000), traffic.Control, 0)
			}
			c, _ := q.take(1)
			if closes {
				q.close()
			} else {
				q.finish()
			}
			if err := q.push([]byte{1}, traffic.Control, 0); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			q.release(c, 1)
			n := len(q.drain(t))
			if _, last := q.take(1); !last || closes != (n == 0) {
				t.Errorf("%d packets, last %v", n, last)
			}
		})
	}
}

func TestQueueDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	q := testQueue(t, 1<<30)
	packet := rtp(1, 1, 1200)
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		for range 40 {
			now++
			if err := q.push(packet, traffic.Video, now); err != nil {
				t.Fatal(err)
			}
		}
		for c, _ := q.take(1); c != nil; c, _ = q.take(1) {
			q.release(c, 1)
		}
	}); n != 0 {
		t.Errorf("%v allocations for 40 packets", n)
	}
}
