package media

import (
	"io"
	"testing"
	"time"

	"github.com/pion/transport/v5/packetio"
)

func TestStreamsOfAPortAreBounded(t *testing.T) {
	p := newPort(PortOptions{})
	packet := []byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 42}
	var all []*rtpBuffer
	for ssrc := range uint32(maxStreams + 10) {
		b := p.buffer(packetio.RTPBufferPacket, ssrc).(*rtpBuffer)
		for range maxHeldPacket + 10 {
			if _, err := b.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, b)
	}
	if len(p.streams) != maxStreams {
		t.Errorf("the port keeps %d streams", len(p.streams))
	}
	for i, b := range all {
		want := maxHeldPacket
		if i >= maxStreams {
			want = 0
		}
		if len(b.held) != want {
			t.Fatalf("stream %d holds %d packets, want %d", i, len(b.held), want)
		}
	}
	if got := p.Stats().Unbound; got != (maxStreams+10)*(maxHeldPacket+10) {
		t.Errorf("%d packets were counted", got)
	}
	for _, b := range all {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.streams) != 0 {
		t.Errorf("%d streams are left", len(p.streams))
	}
}

func TestBufferGivesHeldPacketsToPion(t *testing.T) {
	p := newPort(PortOptions{})
	b := p.buffer(packetio.RTPBufferPacket, 1)
	packet := []byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 42}
	got := make(chan error)
	read := func() {
		dst := make([]byte, 100)
		n, err := b.Read(dst)
		if err == nil && string(dst[:n]) != string(packet) {
			t.Errorf("read % x", dst[:n])
		}
		got <- err
	}
	go read()
	if _, err := b.Write(packet); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	for _, b := range []io.ReadWriteCloser{b, p.buffer(packetio.RTCPBufferPacket, 1)} {
		ended := make(chan error)
		go func() { _, err := b.Read(make([]byte, 100)); ended <- err }()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != io.EOF {
				t.Errorf("Read of a closed buffer: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Close does not end a Read")
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
