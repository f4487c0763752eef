package media

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// tapEar reads a tap in virtual time.
type tapEar struct {
	t     *testing.T
	kind  webrtc.RTPCodecType
	tap   *TapReader
	last  TapEvent // packet
	at    int64    // when it was taken, really
	wrong float64  // s from there to what the tap says
	heard bool
	count [TapUnmuted + 1]int
	rough int // packets that are not exact
}

func newTapEar(t *testing.T, source *Source) *tapEar {
	tap, err := source.Tap(TapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return &tapEar{t: t, kind: source.kind, tap: tap}
}

// listen reads all that there is and calls heard after each packet.
func (e *tapEar) listen(now int64, heard func()) {
	for {
		e.tap.done()
		event, _, err := e.tap.step(now)
		if err != nil {
			e.t.Fatal(err)
		}
		if event.Kind == 0 {
			return
		}
		e.count[event.Kind]++
		if event.Kind != TapPacket {
			continue
		}
		if !event.Exact {
			e.rough++
		}
		if e.heard {
			if event.Sequence != e.last.Sequence+1 {
				e.t.Fatalf("%v: %d follows %d", e.kind, event.Sequence, e.last.Sequence)
			}
			if event.Timestamp <= e.last.Timestamp || event.Captured.Before(e.last.Captured) {
				e.t.Fatalf("%v: timestamp %d at %v follows %d at %v", e.kind, event.Timestamp, event.Captured, e.last.Timestamp, e.last.Captured)
			}
		}
		e.last, e.heard = event, true
		e.at = int64(binary.BigEndian.Uint64(event.Payload[len(event.Payload)-8:]))
		e.wrong = event.Captured.Sub(epoch.Add(time.Duration(e.at))).Seconds()
		heard()
	}
}

// listen reads both taps and compares them.
func (l *lipSync) listen(now int64) {
	for _, e := range l.taps {
		e.listen(now, func() {
			voice, picture := l.taps[0], l.taps[1]
			if !voice.heard || !picture.heard || abs(voice.at-picture.at) > 1e9 {
				return
			}
			when := 0
			if e.at-l.changed < changing && e.at >= l.changed {
				when = 1
			}
			apart := voice.wrong - picture.wrong
			if apart = max(apart, -apart); apart > l.tapWorst[when] {
				l.tapWorst[when], l.tapWorstAt[when] = apart, e.at
			}
		})
	}
}

// judgeTaps wants voice and picture together.
func (l *lipSync) judgeTaps() {
	l.t.Logf("taps: at most %.1f ms apart, at %v; %.1f ms at %v, just after a carrier was changed",
		l.tapWorst[0]*1e3, time.Duration(l.tapWorstAt[0]), l.tapWorst[1]*1e3, time.Duration(l.tapWorstAt[1]))
	for _, e := range l.taps {
		l.t.Logf("%v: %v, %d not exact, %.1f ms wrong at the end", e.kind, e.count, e.rough, e.wrong*1e3)
	}
	if max(l.tapWorst[0], l.tapWorst[1]) > 0.040 {
		l.t.Error("voice and picture of the taps are too far apart")
	}
}
