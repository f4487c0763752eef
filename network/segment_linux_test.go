package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What for one address comes in one message: packets of one size, the last one may be shorter. Whatever the sizes and
// addresses, none is lost or changed, and those for one address keep their order.
func TestPacketsAreGrouped(t *testing.T) {
	a, b := netip.MustParseAddrPort("127.0.0.1:1000"), netip.MustParseAddrPort("127.0.0.1:1001")
	for name, test := range map[string]struct {
		packets []packet
		want    []int // packets of each message
	}{
		"one size":            {[]packet{{a, make([]byte, 9)}, {b, make([]byte, 9)}, {a, make([]byte, 9)}, {b, make([]byte, 9)}}, []int{2, 2}},
		"shorter at the end":  {[]packet{{a, make([]byte, 9)}, {a, make([]byte, 8)}, {a, make([]byte, 8)}, {a, make([]byte, 9)}}, []int{2, 1, 1}},
		"longer at the end":   {[]packet{{a, make([]byte, 8)}, {a, make([]byte, 9)}}, []int{1, 1}},
		"nothing to be shown": {[]packet{{a, nil}, {a, nil}}, []int{1, 1}},
		"larger than allowed": {[]packet{{a, make([]byte, 40000)}, {a, make([]byte, 40000)}}, []int{1, 1}},
	} {
		m := new(messages)
		m.put(&socket{v4: true}, test.packets, true)
		var got []int
		for i := range m.n {
			got = append(got, m.packets(i))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}

	random := rand.New(rand.NewPCG(1, 2))
	m := new(messages)
	for range 2000 {
		packets := make([]packet, 1+random.IntN(writeBatch))
		for i := range packets {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(3))}), uint16(random.IntN(3)))
			packets[i] = packet{addr, binary.BigEndian.AppendUint32(make([]byte, random.IntN(3)), uint32(i))}
		}
		before := slices.Clone(packets)
		m.put(&socket{v4: true}, packets, true)
		for _, addr := range before {
			same := func(p packet) bool { return p.addr != addr.addr }
			if !slices.EqualFunc(slices.DeleteFunc(slices.Clone(packets), same), slices.DeleteFunc(slices.Clone(before), same),
				func(x, y packet) bool { return bytes.Equal(x.data, y.data) }) {
				t.Fatalf("%v became %v", before, packets)
			}
		}
		for i := range m.n {
			of := packets[m.first[i]:m.first[i+1]]
			for j, p := range of {
				if p.addr != of[0].addr || len(p.data) > len(of[0].data) || j < len(of)-1 && len(p.data) != len(of[0].data) {
					t.Fatalf("message of %v", of)
				}
			}
		}
	}
}

// sendAtOnce sends packets as one batch.
func sendAtOnce(s *socket, packets []packet) {
	s.mu.Lock()
	s.sending = true
	s.mu.Unlock()
	s.sendAll(packets, true)
	s.mu.Lock()
	s.sending = false
	s.mu.Unlock()
}

func burst(to netip.AddrPort, n, size int) (packets []packet) {
	for i := range n {
		packets = append(packets, packet{to, binary.BigEndian.AppendUint32(make([]byte, size-4), uint32(i))})
	}
	return packets
}

func expectBurst(t *testing.T, conn *net.UDPConn, n, size int) {
	t.Helper()
	buf := make([]byte, 70000)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for i := range n {
		got, err := conn.Read(buf)
		if err != nil || got != size || binary.BigEndian.Uint32(buf[got-4:]) != uint32(i) {
			t.Fatalf("packet %d: %d bytes, %x, %v", i, got, buf[:min(got, 8)], err)
		}
	}
}

// The receiver gets packets, whatever they were on the way through this machine.
func TestSegmentsArriveAsPackets(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		s, _ := openSocket(t, address)
		plain, there := openPlain(t, address)
		sendAtOnce(s, burst(there, 40, 1200))
		if n := s.out.n; n != 1 {
			t.Errorf("%d messages", n)
		}
		expectBurst(t, plain, 40, 1200)
		if n := s.count.sent.Load(); n != 40 {
			t.Errorf("%d sent", n)
		}
	}
}

// Where the kernel can't cut messages (here: since there is no checksum, which it would have to compute) packets leave one by one.
func TestPacketsLeaveWithoutSegments(t *testing.T) {
	s, _ := openSocket(t, "127.0.0.1:0")
	plain, there := openPlain(t, "127.0.0.1:0")
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Skip(err)
	}
	sendAtOnce(s, burst(there, 40, 1200))
	expectBurst(t, plain, 40, 1200)
	if sent, failed := s.count.sent.Load(), s.count.failed.Load(); sent != 40 || failed != 0 {
		t.Errorf("%d sent, %d failed", sent, failed)
	}
}

// A path whose MTU is smaller than a packet gets fragments.
func TestPacketsPassASmallMTU(t *testing.T) {
	inNamespace(t, func() {
		if err := loopbackMTU(1000); err != nil {
			t.Error(err)
			return
		}
		s, _ := openSocket(t, "127.0.0.1:0")
		plain, there := openPlain(t, "127.0.0.1:0")
		sendAtOnce(s, burst(there, 10, 1200))
		expectBurst(t, plain, 10, 1200)
		sendAtOnce(s, burst(there, 1, 1200))
		expectBurst(t, plain, 1, 1200)
		sendAtOnce(s, burst(there, 10, 900))
		expectBurst(t, plain, 10, 900)
		if n := s.count.failed.Load(); n != 0 {
			t.Errorf("%d failed", n)
		}
	})
}

// inNamespace runs f on a thread with a network of its own, where that is permitted.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		defer close(done)
		f()
	}()
	if err := <-done; err != nil {
		t.Skip("no network namespace:", err)
	}
}

func loopbackMTU(mtu uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint32(mtu)
	err = unix.IoctlIfreq(fd, unix.SIOCSIFMTU, request)
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOOPBACK)
	return errors.Join(err, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request))
}

// BenchmarkSend sends bursts of packets of 1,200 bytes to each of five receivers, as a relay forwards a key frame.
func BenchmarkSend(b *testing.B) {
	for _, each := range []int{1, 2, 10} {
		for _, how := range []string{"plain", "whole", "segments"} {
			b.Run(fmt.Sprintf("each=%d/%s", each, how), func(b *testing.B) {
				s, _ := openSocket(b, "127.0.0.1:0")
				s.segment = how == "segments"
				s.wholePackets(how != "plain")
				var packets []packet
				var to [5]netip.AddrPort
				for i := range to {
					_, to[i] = openPlain(b, "127.0.0.1:0")
				}
				for range each {
					for _, addr := range to {
						packets = append(packets, packet{addr, make([]byte, 1200)})
					}
				}
				s.mu.Lock()
				s.sending = true
				s.mu.Unlock()
				b.ReportAllocs()
				for b.Loop() {
					s.sendBatch(packets, true)
				}
				s.mu.Lock()
				s.sending = false
				s.mu.Unlock()
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(packets)), "ns/packet")
			})
		}
	}
}
