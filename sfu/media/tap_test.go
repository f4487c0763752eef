package media

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// tapped is a source with a tap, whose packets come by hand.
type tapped struct {
	*feeding
	tap *TapReader
}

func newTapped(t testing.TB, f *feeding, opts TapOptions) *tapped {
	t.Helper()
	tap, err := f.source.Tap(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return &tapped{f, tap}
}

// numbered is a delta frame in one packet that ends with a number, key a key frame.
func numbered(key bool, n int) []byte {
	payload := []byte{0x10, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if key {
		copy(payload, keyFrameOf(640, 480))
	}
	return binary.BigEndian.AppendUint32(payload, uint32(n))
}

func numberOf(payload []byte) int { return int(binary.BigEndian.Uint32(payload[len(payload)-4:])) }

// report sends a sender report that says that a timestamp is now.
func (f *feeding) report(timestamp uint32) {
	now := monotonic()
	f.to.upstream.reported(&rtcp.SenderReport{SSRC: 1000, NTPTime: nanosecondsToNTP(ntpEpoch + now), RTPTime: timestamp}, now)
}

// next wants an event of a kind soon.
func (d *tapped) next(kind TapEventKind) TapEvent {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	event, err := d.tap.Next(ctx)
	if err != nil {
		d.t.Fatalf("want %v: %v", kind, err)
	}
	if event.Kind != kind {
		d.t.Fatalf("got %+v, want %v", event, kind)
	}
	return event
}

func (d *tapped) wantNumbers(want ...int) {
	d.t.Helper()
	var got []int
	for range want {
		got = append(got, numberOf(d.next(TapPacket).Payload))
	}
	if !slices.Equal(got, want) {
		d.t.Fatalf("read %v, want %v", got, want)
	}
}

// wantNothing demands that there is nothing to be read at present.
func (d *tapped) wantNothing() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if event, err := d.tap.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		d.t.Fatalf("read %+v, %v", event, err)
	}
}

func TestTapHandsOutInOrder(t *testing.T) {
	d := newTapped(t, newFeeding(t, video), TapOptions{})
	d.report(0)
	d.video(9, numbered(false, 9)) // before the key frame
	d.video(10, numbered(true, 10))
	codec := d.next(TapCodec)
	if codec.Codec.MimeType != "video/VP8" || codec.Codec.ClockRate != 90000 {
		t.Errorf("%+v", codec)
	}
	first := d.next(TapPacket)
	if !first.KeyFrame || first.Sequence != 1 || numberOf(first.Payload) != 10 {
		t.Errorf("%+v", first)
	}
	d.video(12, numbered(false, 12))
	d.video(14, numbered(false, 14))
	d.wantNothing()
	d.video(12, numbered(false, 12))
	d.video(13, numbered(false, 13))
	d.video(11, numbered(false, 11))
	d.wantNumbers(11, 12, 13)
	last := d.next(TapPacket)
	if last.Sequence != 5 || last.Timestamp-first.Timestamp != 400 || numberOf(last.Payload) != 14 {
		t.Errorf("%+v", last)
	}
	d.source.End()
	if _, err := d.tap.Next(context.Background()); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	if _, err := d.source.Tap(TapOptions{}); err != ErrTapEnded {
		t.Errorf("a tap of what has ended: %v", err)
	}
}
