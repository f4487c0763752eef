package impair

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// device is one end of a socket that keeps the bounds of frames, as a TAP device does; the far end of it is the system.
func device(t testing.TB) (device, system *net.UnixConn) {
	t.Helper()
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "device"), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if system, err = net.DialUnix("unixpacket", nil, listener.Addr().(*net.UnixAddr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { system.Close() })
	if device, err = listener.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	_ = system.SetDeadline(time.Now().Add(30 * time.Second))
	return device, system
}

// join returns the systems behind the two devices of a wire.
func join(t testing.TB, opts WireOptions) (w *Wire, first, second *net.UnixConn) {
	t.Helper()
	a, first := device(t)
	b, second := device(t)
	w, err := NewWire(a, b, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, first, second
}

func send(t testing.TB, to io.Writer, frame string) {
	t.Helper()
	if _, err := io.WriteString(to, frame); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, from io.Reader, want string) {
	t.Helper()
	buffer := make([]byte, readSize)
	n, err := from.Read(buffer)
	if err != nil || string(buffer[:n]) != want {
		t.Fatalf("got %q, %v; want %q", buffer[:n], err, want)
	}
}

func TestWireCarriesFramesBothWays(t *testing.T) {
	w, first, second := join(t, WireOptions{})
	largest := strings.Repeat("x", 1514)
	for _, frame := range []string{"one", "two", largest, "four"} {
		send(t, first, frame)
		send(t, second, "answer to "+frame[:3])
	}
	for _, frame := range []string{"one", "two", largest, "four"} {
		expect(t, second, frame)
		expect(t, first, "answer to "+frame[:3])
	}
	// A frame is counted as forwarded after it has been written.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		up, down := w.Counters()
		if up.Forwarded == 4 && down.Forwarded == 4 {
			if up.Packets != 4 || up.Bytes != 1514+10 || up.Lost+up.Dropped+up.Failed != 0 {
				t.Errorf("up %+v", up)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("up %+v, down %+v", up, down)
		}
	}
}

// The directions are apart: one is slow, the other loses all, until they are changed.
func TestWireImpairs(t *testing.T) {
	w, first, second := join(t, WireOptions{Up: Settings{Delay: 60 * time.Millisecond}, Down: Settings{Loss: 1}})
	begin := time.Now()
	send(t, first, "slow")
	expect(t, second, "slow")
	if took := time.Since(begin); took < 60*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	send(t, second, "gone")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, down := w.Counters(); down.Lost == 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("down %+v", down)
		}
	}
	if err := w.SetDown(Settings{}); err != nil {
		t.Fatal(err)
	}
	send(t, second, "back")
	expect(t, first, "back")
	if err := w.SetUp(Settings{Loss: 2}); err == nil {
		t.Error("a loss of 2 was accepted")
	}
}

// The rate is that of IP packets: the header of a frame takes no time.
func TestRateOfAWire(t *testing.T) {
	const frames = 10
	_, first, second := join(t, WireOptions{Up: Settings{Rate: 1_000_000, QueueTime: time.Second}})
	begin := time.Now()
	frame := strings.Repeat("x", 1000+14)
	for range frames {
		send(t, first, frame)
	}
	for range frames {
		expect(t, second, frame)
	}
	if took := time.Since(begin); took < frames*8*time.Millisecond {
		t.Errorf("%d frames took %v", frames, took)
	}
	p := newPipe(newShaper(Settings{Rate: 1_000_000}, 1, 1), ethernetOverhead, func(io.Writer, []byte) error { return nil })
	begin = time.Now()
	p.push(nil, []byte(frame))
	if at := p.queue[0].at.Sub(begin); at < 8*time.Millisecond || at > 8*time.Millisecond+time.Since(begin) {
		t.Errorf("a packet of 1000 bytes takes %v at 1 Mbit/s", at)
	}
}

// Frames on their way, and a device that has gone, must not keep a wire from closing; the devices are closed with it.
func TestCloseAWireAtAnyTime(t *testing.T) {
	w, first, second := join(t, WireOptions{Up: Settings{Delay: 5 * time.Second}})
	for range 50 {
		send(t, first, "on its way")
	}
	second.Close()
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	if _, err := first.Read(make([]byte, 16)); err == nil {
		t.Error("the first device is open after Close")
	}
}

func TestWireOptionsAreChecked(t *testing.T) {
	a, b := device(t)
	defer a.Close()
	for _, opts := range []WireOptions{{Up: Settings{Loss: -1}}, {Down: Settings{Rate: -1}}} {
		if w, err := NewWire(a, b, opts); err == nil {
			w.Close()
			t.Errorf("%+v was accepted", opts)
		}
	}
}

func TestTAPDevice(t *testing.T) {
	if tap, err := OpenTAP(strings.Repeat("x", 16)); err == nil {
		tap.Close()
		t.Error("a name of 16 bytes was accepted")
	}
	name := fmt.Sprintf("impair%d", os.Getpid())
	tap, err := OpenTAP(name)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no TAP devices here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.InterfaceByName(name); err != nil {
		t.Error(err)
	}
	// Close must end a read that waits.
	ended := make(chan error, 1)
	go func() {
		_, err := tap.Read(make([]byte, readSize))
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("the read ended with %v", err)
	}
	if _, err := net.InterfaceByName(name); err == nil {
		t.Error("the device is still there")
	}
}
