package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"golang.org/x/sys/unix"
)

// openSocket opens a batching socket on address, for example "127.0.0.1:0".
func openSocket(t testing.TB, address string) (*socket, netip.AddrPort) {
	t.Helper()
	conn, err := listen(netip.MustParseAddrPort(address))
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(conn, &counters{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// openPlain opens an ordinary socket on the same address.
func openPlain(t testing.TB, address string) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	conn, err := listen(netip.MustParseAddrPort(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Packets of every size arrive whole, in order and from the right address, on both families.
func TestSocketCarriesPackets(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			s, here := openSocket(t, address)
			plain, there := openPlain(t, address)
			_ = plain.SetReadDeadline(time.Now().Add(20 * time.Second))
			_ = s.SetReadDeadline(time.Now().Add(20 * time.Second))

			sizes := []int{0, 1, 20, 1200, 1500, 2000}
			for i := range 300 {
				want := bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)])
				if n, err := s.WriteToAddrPort(want, there); err != nil || n != len(want) {
					t.Fatalf("write: %d, %v", n, err)
				}
			}
			buf := make([]byte, 4096)
			for i := range 300 {
				n, from, err := plain.ReadFromUDPAddrPort(buf)
				if err != nil || from != here || !bytes.Equal(buf[:n], bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)])) {
					t.Fatalf("packet %d: %d bytes from %s: %v", i, n, from, err)
				}
			}

			for i := range 300 {
				if _, err := plain.WriteToUDPAddrPort(bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)]), here); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 300 {
				n, from, err := s.ReadFromAddrPort(buf)
				if err != nil || from != there || !bytes.Equal(buf[:n], bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)])) {
					t.Fatalf("packet %d: %d bytes from %s: %v", i, n, from, err)
				}
			}
			if c := s.count; c.sent.Load() != 300 || c.received.Load() != 300 || c.dropped.Load() != 0 {
				t.Errorf("sent %d, received %d, dropped %d", c.sent.Load(), c.received.Load(), c.dropped.Load())
			}
			if s.count.reads.Load() > 150 {
				t.Errorf("%d system calls for 300 packets that were all there", s.count.reads.Load())
			}
		})
	}
}

// Through net.Addr it does the same.
func TestSocketWithNetAddr(t *testing.T) {
	a, here := openSocket(t, "127.0.0.1:0")
	b, there := openSocket(t, "127.0.0.1:0")
	if _, err := a.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(there)); err != nil {
		t.Fatal(err)
	}
	_ = b.SetDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 100)
	n, from, err := b.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "hello" || from.(*net.UDPAddr).AddrPort() != here {
		t.Fatalf("%q from %v: %v", buf[:n], from, err)
	}
	if _, err := a.WriteTo(nil, &net.TCPAddr{}); err == nil {
		t.Error("wrote to a TCP address")
	}
}

// Many writers at once: each one's packets keep their order and their content.
func TestSocketConcurrentWriters(t *testing.T) {
	const writers, each = 8, 100 // all of them fit into the queue
	s, _ := openSocket(t, "127.0.0.1:0")
	plain, there := openPlain(t, "127.0.0.1:0")
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			data := make([]byte, 500)
			for i := range each {
				binary.BigEndian.PutUint32(data, uint32(w))
				binary.BigEndian.PutUint32(data[496:], uint32(i))
				if _, err := s.WriteToAddrPort(data, there); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var next [writers]uint32
	buf := make([]byte, 2000)
	_ = plain.SetReadDeadline(time.Now().Add(20 * time.Second))
	for range writers * each {
		n, _, err := plain.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		w := binary.BigEndian.Uint32(buf)
		if i := binary.BigEndian.Uint32(buf[496:]); n != 500 || i != next[w] {
			t.Fatalf("writer %d: packet %d of %d bytes, want %d", w, i, n, next[w])
		}
		next[w]++
	}
}

// When the kernel takes nothing, writers go on without waiting, what is too much is counted, and
// what has waited leaves when there is room again.
func TestSocketNeverBlocksAWriter(t *testing.T) {
	s, _ := openSocket(t, "127.0.0.1:0")
	plain, there := openPlain(t, "127.0.0.1:0")
	// A sender that gets EAGAIN, without needing a network that is really stuck.
	var mu sync.Mutex
	blocked := true
	kernel := s.out.call
	s.mu.Lock()
	s.out.call = func() bool {
		mu.Lock()
		defer mu.Unlock()
		return !blocked && kernel()
	}
	s.mu.Unlock()

	begin := time.Now()
	const all = 3 * queueLimit
	for i := range all {
		var data [4]byte
		binary.BigEndian.PutUint32(data[:], uint32(i))
		if n, err := s.WriteToAddrPort(data[:], there); err != nil || n != 4 {
			t.Fatal(n, err)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Fatalf("%d writes took %s", all, took)
	}
	dropped := s.count.dropped.Load()
	if dropped < all-2*queueLimit || s.count.sent.Load() != 0 {
		t.Fatalf("dropped %d of %d, sent %d", dropped, all, s.count.sent.Load())
	}
	mu.Lock()
	blocked = false
	mu.Unlock()
	buf := make([]byte, 100)
	_ = plain.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, _, err := plain.ReadFromUDPAddrPort(buf); err != nil || binary.BigEndian.Uint32(buf[:n]) != 0 {
		t.Fatalf("the oldest packet did not leave first: %v, %v", buf[:n], err)
	}
}

// A packet that the kernel refuses does not hold up those behind it.
func TestSocketGoesOnAfterAnError(t *testing.T) {
	s, _ := openSocket(t, "127.0.0.1:0")
	plain, there := openPlain(t, "127.0.0.1:0")
	var wg sync.WaitGroup
	wg.Go(func() { // in one batch, if the scheduler allows
		_, _ = s.WriteToAddrPort([]byte("one"), there)
		_, _ = s.WriteToAddrPort(make([]byte, 70_000), there) // EMSGSIZE
		_, _ = s.WriteToAddrPort([]byte("two"), there)
	})
	wg.Wait()
	_ = plain.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 100)
	for _, want := range []string{"one", "two"} {
		n, _, err := plain.ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("%q, %v; want %q", buf[:n], err, want)
		}
	}
	if n := s.count.failed.Load(); n != 1 {
		t.Errorf("%d failures", n)
	}
	if _, err := s.WriteToAddrPort([]byte("x"), netip.MustParseAddrPort("[::1]:9")); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("IPv6 address on an IPv4 socket: %v", err)
	}
}

// A packet larger than any of WebRTC is dropped and counted; the next one arrives.
func TestSocketDropsGiants(t *testing.T) {
	s, here := openSocket(t, "127.0.0.1:0")
	plain, _ := openPlain(t, "127.0.0.1:0")
	for _, size := range []int{readSize + 1, 5} {
		if _, err := plain.WriteToUDPAddrPort(make([]byte, size), here); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, _, err := s.ReadFromAddrPort(make([]byte, 9000)); err != nil || n != 5 || s.count.truncated.Load() != 1 {
		t.Fatalf("%d bytes, %v, %d dropped", n, err, s.count.truncated.Load())
	}
}

func TestSocketReadDeadline(t *testing.T) {
	s, _ := openSocket(t, "127.0.0.1:0")
	_ = s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, _, err := s.ReadFromAddrPort(make([]byte, 10)); !os.IsTimeout(err) {
		t.Fatalf("got %v", err)
	}
}

// Close sends what waits, wakes the reader, and may be called again.
func TestSocketClose(t *testing.T) {
	s, _ := openSocket(t, "127.0.0.1:0")
	plain, there := openPlain(t, "127.0.0.1:0")
	read := make(chan error, 1)
	go func() {
		_, _, err := s.ReadFromAddrPort(make([]byte, 10))
		read <- err
	}()
	for range 200 {
		if _, err := s.WriteToAddrPort([]byte("bye"), there); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := s.WriteToAddrPort([]byte("x"), there); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	_ = plain.SetReadDeadline(time.Now().Add(20 * time.Second))
	for i := range 200 {
		if _, _, err := plain.ReadFromUDPAddrPort(make([]byte, 10)); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
}

// A kernel that never takes a packet does not keep Close.
func TestSocketCloseWhileStuck(t *testing.T) {
	s, _ := openSocket(t, "127.0.0.1:0")
	_, there := openPlain(t, "127.0.0.1:0")
	s.mu.Lock()
	s.out.call = func() bool { return false } // EAGAIN
	s.mu.Unlock()
	for range 100 {
		if _, err := s.WriteToAddrPort([]byte("x"), there); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 20*closeTime {
		t.Errorf("took %s", took)
	}
	if s.count.dropped.Load() != 100 || s.count.sent.Load() != 0 {
		t.Errorf("dropped %d, sent %d", s.count.dropped.Load(), s.count.sent.Load())
	}
}

func TestSocketWritesWithoutAllocating(t *testing.T) {
	s, _ := openSocket(t, "127.0.0.1:0")
	_, there := openPlain(t, "127.0.0.1:0")
	data := make([]byte, 1200)
	for range 3 * queueLimit { // gives every slot its buffer
		_, _ = s.WriteToAddrPort(data, there)
	}
	if n := testing.AllocsPerRun(2000, func() { _, _ = s.WriteToAddrPort(data, there) }); n > 0.5 {
		t.Errorf("%.1f allocations per write", n)
	}
}

// BenchmarkFanOut sends one packet of 1,200 bytes to five receivers every 250 µs, which is 20,000 packets a
// second, as a relay does in a handful of rooms. What counts is µs of CPU per packet, the kernel's included.
func BenchmarkFanOut(b *testing.B) {
	const viewers = 5
	const every = 250 * time.Microsecond
	data := make([]byte, 1200)
	for _, batched := range []bool{false, true} {
		b.Run(fmt.Sprintf("batched=%v", batched), func(b *testing.B) {
			var to [viewers]netip.AddrPort
			for i := range to {
				_, to[i] = openPlain(b, "127.0.0.1:0")
			}
			var write func(addr netip.AddrPort)
			sent := func() uint64 { return uint64(b.N) * viewers }
			if batched {
				s, _ := openSocket(b, "127.0.0.1:0")
				write = func(addr netip.AddrPort) { _, _ = s.WriteToAddrPort(data, addr) }
				sent = func() uint64 { s.Close(); return s.count.sent.Load() }
			} else {
				s, _ := openPlain(b, "127.0.0.1:0")
				write = func(addr netip.AddrPort) { _, _ = s.WriteToUDPAddrPort(data, addr) }
			}
			before := cpu(b)
			next := time.Now()
			for range b.N {
				for _, addr := range to {
					write(addr)
				}
				next = next.Add(every)
				time.Sleep(time.Until(next))
			}
			n := sent()
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1e3/float64(n), "cpu-µs/packet")
			b.ReportMetric(float64(uint64(b.N)*viewers-n), "dropped")
		})
	}
}

// cpu is the time that this process has used.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Answers that nobody waits for go to the ICE agents as ever: they ask by the same method.
func TestReflexiveLeavesTheAgentsTheirAnswers(t *testing.T) {
	s, here := openSocket(t, "127.0.0.1:0")
	plain, there := openPlain(t, "127.0.0.1:0")
	s.asked.begin(stun.NewTransactionID(), there)
	answer := stun.MustBuild(stun.TransactionID, stun.BindingSuccess)
	if _, err := plain.WriteToUDPAddrPort(answer.Raw, here); err != nil {
		t.Fatal(err)
	}
	_ = s.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 100)
	if n, from, err := s.ReadFromAddrPort(buf); err != nil || from != there || string(buf[:n]) != string(answer.Raw) {
		t.Errorf("%x from %s: %v", buf[:n], from, err)
	}
}

// What is granted is what was asked for, or the kernel's limit.
func TestBuffers(t *testing.T) {
	limit := func(name string) int {
		text, err := os.ReadFile("/proc/sys/net/core/" + name)
		if err != nil {
			t.Skip(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return min(n, SocketBuffer)
	}
	p := open(t, Options{Addresses: []netip.Addr{localhost, netip.MustParseAddr("::1")}})
	if got, want := p.Buffers(), (Buffers{limit("rmem_max"), limit("wmem_max")}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
