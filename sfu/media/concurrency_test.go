package media

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// numbersSink checks that no sequence number is written twice, except by one that
// has wrapped around.
type numbersSink struct {
	mu      sync.Mutex
	seen    map[uint16]bool
	highest uint16
	twice   atomic.Int64
}

func (s *numbersSink) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[h.SequenceNumber] {
		s.twice.Add(1)
	}
	s.seen[h.SequenceNumber] = true
	for ; int16(h.SequenceNumber-s.highest) > 0; s.highest++ {
		delete(s.seen, s.highest+1+1<<15)
	}
	return len(payload), nil
}

func (s *numbersSink) Write(b []byte) (int, error) { return len(b), nil }

// TestEverythingAtOnce delivers packets of two upstreams while carriers, sources
// and connections change and viewers ask for packets and key frames.
func TestEverythingAtOnce(t *testing.T) {
	a, b := NewSource(SourceOptions{Kind: video}), NewSource(SourceOptions{Kind: video})
	_, up := newTestUpstream(t, video)
	_, up2 := newTestUpstream(t, video)
	feed, _ := newTestFeed(t, video, false)
	written := &numbersSink{seen: map[uint16]bool{}, highest: uint16(feed.sequence.highest)}
	feed.mu.Lock()
	feed.bound.writer = written
	feed.bound.rtxSSRC = 0
	feed.mu.Unlock()

	const packets = 20_000
	var publishing, others sync.WaitGroup
	stop := make(chan struct{})
	deliver := func(to *binding, i uint16) {
		payload := deltaPayload
		if i%20 == 0 {
			payload = keyPayload
		}
		to.upstream.port.received(rtpBytes(t, rtp.Header{
			PayloadType: 96, SSRC: 1000, SequenceNumber: i, Timestamp: uint32(i) * 100,
		}, i, 0, payload), to)
	}
	for _, to := range []*binding{up, up2} {
		publishing.Go(func() {
			for i := range uint16(packets) {
				deliver(to, i)
			}
		})
	}
	for _, change := range []func(i int){
		func(i int) { feed.SetSource([]*Source{a, b, nil}[i%3]) },
		func(i int) { a.SetCarrier([]*Upstream{up.upstream, up2.upstream, nil}[i%3]) },
		func(i int) { b.SetCarrier([]*Upstream{up2.upstream, up.upstream}[i%2]) },
		func(i int) { feed.port.SetConnected(i%50 != 0) },
		func(int) { a.RequestKeyFrame(); _ = a.Stats(); _ = feed.Stats(); _ = up.upstream.Stats() },
		func(int) { feed.takeReport(monotonic()) },
		func(i int) {
			feed.SetTarget(Target{Spatial: int8(i % 3), Temporal: 3, Paused: i%7 == 0})
			feed.Current()
		},
		func(int) { feed.sendReplay(monotonic()) },
		func(i int) {
			if tap, err := []*Source{a, b}[i%2].Tap(TapOptions{Wait: time.Millisecond}); err == nil {
				readTap(t, tap, i%1000)
			}
		},
		func(i int) {
			now := monotonic()
			to := []*binding{up, up2}[i%2]
			to.upstream.reported(&rtcp.SenderReport{SSRC: 1000, NTPTime: nanosecondsToNTP(ntpEpoch + now), RTPTime: uint32(i)}, now)
		},
	} {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					change(i)
				}
			}
		})
	}
	publishing.Wait()
	close(stop)
	others.Wait()

	// Whatever state the changes left behind, a key frame gets through.
	feed.port.SetConnected(true)
	feed.SetTarget(HighestTarget)
	a.SetCarrier(up.upstream)
	feed.SetSource(a)
	for feed.sendReplay(monotonic()) != 0 {
	}
	before := feed.Stats().Packets
	for i := range uint16(40) {
		deliver(up, packets+i)
	}
	if n := feed.Stats().Packets - before; n < 20 {
		t.Errorf("%d packets were forwarded afterwards, want those from the key frame on", n)
	}
	if n := written.twice.Load(); n != 0 {
		t.Errorf("%d sequence numbers were written twice", n)
	}
}

// readTap reads some packets of a tap, and closes it.
func readTap(t *testing.T, tap *TapReader, packets int) {
	defer tap.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for sequence := uint64(0); packets > 0; packets-- {
		event, err := tap.Next(ctx)
		if err != nil {
			return
		}
		switch event.Kind {
		case TapPacket, TapGap:
			if event.Sequence != sequence+1 {
				t.Errorf("%+v follows %d", event, sequence)
			}
			sequence = max(event.Sequence, event.Last)
		}
	}
}
