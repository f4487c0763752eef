package packets

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var peer = netip.MustParseAddrPort("192.0.2.1:7")

// Order, content and addresses stay; what is too much, the oldest first, or too large is dropped and counted; what does not
// fit is cut.
func TestQueue(t *testing.T) {
	var dropped atomic.Uint64
	q := NewQueue(3, 0, &dropped)
	buf := make([]byte, Size)
	if _, _, ok := q.TryTake(buf); ok {
		t.Fatal("a packet out of nothing")
	}
	for round := range 5 { // around the ring
		for i := range 4 {
			data := bytes.Repeat([]byte{byte(i)}, 100*i)
			q.Put(data, netip.AddrPortFrom(peer.Addr(), uint16(i)))
			clear(data) // it was copied
		}
		if want := uint64(round + 1); dropped.Load() != want || q.Len() != 3 {
			t.Fatalf("%d dropped, want %d; %d wait", dropped.Load(), want, q.Len())
		}
		for i := 1; i < 4; i++ {
			n, from, err := q.Take(buf)
			if err != nil || int(from.Port()) != i || !bytes.Equal(buf[:n], bytes.Repeat([]byte{byte(i)}, 100*i)) {
				t.Fatalf("packet %d: %d bytes from %s, %v", i, n, from, err)
			}
		}
	}
	q.Put(make([]byte, Size+1), peer)
	if dropped.Load() != 6 || q.Len() != 0 {
		t.Errorf("a giant: %d dropped, %d wait", dropped.Load(), q.Len())
	}
	q.Put([]byte("hello"), peer)
	if n, _, _ := q.TryTake(buf[:2]); n != 2 || string(buf[:2]) != "he" {
		t.Errorf("%q", buf[:n])
	}
}

// Old packets are left out, however many there are.
func TestQueueForgets(t *testing.T) {
	var dropped atomic.Uint64
	const age = 50 * time.Millisecond
	q := NewQueue(10, age, &dropped)
	for range 8 {
		q.Put([]byte("old"), peer)
	}
	time.Sleep(2 * age)
	if _, _, ok := q.TryTake(make([]byte, 10)); ok || dropped.Load() != 8 {
		t.Errorf("%v, %d dropped", ok, dropped.Load())
	}
}

func TestQueueWakes(t *testing.T) {
	q := NewQueue(10, 0, new(atomic.Uint64))
	var readers sync.WaitGroup
	var closed atomic.Int64
	got := make(chan string, 10)
	for range 3 {
		readers.Go(func() {
			buf := make([]byte, 10)
			for {
				n, _, err := q.Take(buf)
				if err != nil {
					if errors.Is(err, net.ErrClosed) {
						closed.Add(1)
					}
					return
				}
				got <- string(buf[:n])
			}
		})
	}
	for range 10 {
		q.Put([]byte("x"), peer)
		if text := <-got; text != "x" {
			t.Errorf("%q", text)
		}
	}
	q.Close()
	q.Close()
	readers.Wait()
	if closed.Load() != 3 {
		t.Errorf("%d readers were told", closed.Load())
	}
	if q.Put([]byte("late"), peer); q.Len() != 0 {
		t.Error("a closed queue takes packets")
	}
}

func TestQueueDoesNotAllocate(t *testing.T) {
	q := NewQueue(10, time.Hour, new(atomic.Uint64))
	data, buf := make([]byte, 1200), make([]byte, Size)
	if n := testing.AllocsPerRun(1000, func() {
		q.Put(data, peer)
		_, _, _ = q.Take(buf)
	}); n > 0.5 {
		t.Errorf("%.1f allocations", n)
	}
}
