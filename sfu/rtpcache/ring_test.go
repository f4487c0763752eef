package rtpcache

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestRingKeepsTheLastPackets(t *testing.T) {
	r := New(5, 8)
	if r.Len() != 8 {
		t.Fatalf("5 slots were rounded up to %d, want 8", r.Len())
	}
	for seq := uint64(100); seq < 120; seq++ {
		if !r.Put(seq, Info{Timestamp: uint32(seq * 10), Marker: seq%2 == 0}, []byte{byte(seq), 1}) {
			t.Fatalf("packet %d was not kept", seq)
		}
	}
	dst := make([]byte, 8)
	for seq := uint64(95); seq < 125; seq++ {
		info, n, ok := r.Get(seq, dst)
		if want := seq >= 112 && seq < 120; ok != want {
			t.Fatalf("Get(%d) = %v, want %v", seq, ok, want)
		}
		if ok && (n != 2 || dst[0] != byte(seq) || info.Timestamp != uint32(seq*10) || info.Marker != (seq%2 == 0)) {
			t.Fatalf("Get(%d) gave %+v % x", seq, info, dst[:n])
		}
		if alone, there := r.Info(seq); there != ok || ok && alone != info {
			t.Fatalf("Info(%d) = %+v, %v; Get says %+v, %v", seq, alone, there, info, ok)
		}
		if want := seq < 120; r.Seen(seq) != want {
			t.Fatalf("Seen(%d) = %v, want %v", seq, !want, want)
		}
	}
}

func TestRingHolesAndLatePackets(t *testing.T) {
	r := New(8, 8)
	r.Put(10, Info{}, []byte{10})
	r.Put(12, Info{}, []byte{12})
	if r.Seen(11) {
		t.Fatal("a hole counts as seen")
	}
	r.Put(11, Info{}, []byte{11})
	if _, n, ok := r.Get(11, make([]byte, 8)); !ok || n != 1 {
		t.Fatal("a late packet was not kept")
	}
	r.Put(20, Info{}, []byte{20}) // takes the slot of 12
	if r.Put(12, Info{}, []byte{12}) {
		t.Fatal("an old packet displaced a newer one")
	}
	if _, _, ok := r.Get(20, make([]byte, 8)); !ok {
		t.Fatal("the newer packet is gone")
	}
}

func TestRingTooBigAndTooSmall(t *testing.T) {
	r := New(4, 4)
	if r.Put(1, Info{}, []byte("12345")) {
		t.Fatal("a payload larger than a slot was kept")
	}
	if !r.Seen(1) {
		t.Fatal("a packet too big to keep must still be known as seen")
	}
	if _, _, ok := r.Get(1, make([]byte, 8)); ok {
		t.Fatal("Get returned a payload that was not kept")
	}
	r.Put(2, Info{}, []byte("1234"))
	if _, _, ok := r.Get(2, make([]byte, 3)); ok {
		t.Fatal("Get wrote into a buffer that is too small")
	}
}

// TestRingAgainstMap compares the ring with a plain map under random order.
func TestRingAgainstMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := New(64, 16)
	model := map[uint64][]byte{}
	highest := uint64(1000)
	dst := make([]byte, 16)
	for range 20_000 {
		seq := highest + uint64(rnd.IntN(80)) - 60
		highest = max(highest, seq)
		payload := bytes.Repeat([]byte{byte(seq)}, rnd.IntN(17))
		if r.Put(seq, Info{}, payload) {
			model[seq] = payload
		}
		ask := highest - uint64(rnd.IntN(64))
		want, known := model[ask]
		_, n, ok := r.Get(ask, dst)
		if ok && (!known || !bytes.Equal(dst[:n], want)) {
			t.Fatalf("Get(%d) gave bytes that were never put there", ask)
		}
		if known && !ok && r.slots[ask&r.mask].sequence == ask {
			t.Fatalf("Get(%d) lost a packet", ask)
		}
	}
}

func TestRingDoesNotAllocate(t *testing.T) {
	r := New(512, 1500)
	payload, dst := make([]byte, 1200), make([]byte, 1500)
	seq := uint64(0)
	if n := testing.AllocsPerRun(2000, func() {
		seq++
		r.Put(seq, Info{}, payload)
		r.Get(seq, dst)
	}); n != 0 {
		t.Fatalf("%v allocations per packet", n)
	}
}
