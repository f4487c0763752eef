package media

import (
	"slices"
	"testing"

	"github.com/pion/rtcp"
)

// told lists what a limit has told by the times given.
func told(l *receiveLimit, times ...int64) (list []uint64) {
	for _, now := range times {
		if bitrate, _ := l.due(now); bitrate != 0 {
			list = append(list, bitrate)
		}
	}
	return list
}

func TestReceiveLimit(t *testing.T) {
	var l receiveLimit
	if list := told(&l, 0, 1000*ms); len(list) != 0 {
		t.Errorf("a peer that was never limited is told %v", list)
	}
	l.bitrate = 500_000
	if list := told(&l, 2000*ms, 2500*ms, 3000*ms, 3100*ms); len(list) != 2 {
		t.Errorf("a limit is told %d times in 1.1 s, want at once and after a second", len(list))
	}
	l.bitrate = 510_000
	if l.changed() || len(told(&l, 3200*ms)) != 0 {
		t.Error("a change of 2 % is told at once")
	}
	l.bitrate = 400_000
	if list := told(&l, 3300*ms); !slices.Equal(list, []uint64{400_000}) {
		t.Errorf("a change of 20 %% tells %v, want it at once", list)
	}
	l.bitrate, l.lifts = 0, liftRepeats
	if list := told(&l, 3400*ms, 3500*ms, 4400*ms, 5400*ms, 6400*ms, 7400*ms); !slices.Equal(list, []uint64{limitLifted, limitLifted, limitLifted}) {
		t.Errorf("the end of a limit tells %v, want it three times", list)
	}
	if _, next := l.due(9000 * ms); next != 0 {
		t.Error("after its end the limit is looked at again")
	}
}

type writtenRTCP struct{ packets []rtcp.Packet }

func (w *writtenRTCP) WriteRTCP(packets []rtcp.Packet) error {
	w.packets = append(w.packets, packets...)
	return nil
}

func TestReceiveLimitIsWritten(t *testing.T) {
	w := &writtenRTCP{}
	p := newPort(PortOptions{})
	p.rtcp = w
	p.SetReceiveLimit(300_000)
	if next := p.sendReceiveLimit(5000 * ms); next != 6000*ms {
		t.Errorf("the next message is due at %d ms", next/ms)
	}
	if len(w.packets) != 1 {
		t.Fatalf("%d messages", len(w.packets))
	}
	remb, ok := w.packets[0].(*rtcp.ReceiverEstimatedMaximumBitrate)
	if !ok || remb.Bitrate != 300_000 || remb.SenderSSRC != p.ssrc {
		t.Errorf("written: %v", w.packets[0])
	}
	if p.ReceiveLimit() != 300_000 {
		t.Errorf("the limit is %d", p.ReceiveLimit())
	}
}
