package media

import (
	"sync/atomic"
	"testing"

	"github.com/pion/rtcp"
)

// lastLimit keeps the bitrate of the last receive limit that was sent.
type lastLimit struct{ bitrate atomic.Uint64 }

func (l *lastLimit) WriteRTCP(packets []rtcp.Packet) error {
	for _, packet := range packets {
		if remb, ok := packet.(*rtcp.ReceiverEstimatedMaximumBitrate); ok {
			l.bitrate.Store(uint64(remb.Bitrate))
		}
	}
	return nil
}

// A reporter sends for each port of its crowd, by that port's way. The place of a port that has gone is another one's.
func TestReportersServeACrowdEach(t *testing.T) {
	var all reporters
	written := make(map[*Port]*lastLimit)
	open := func() *Port {
		p := newPort(PortOptions{})
		written[p] = new(lastLimit)
		p.start(written[p], &all)
		p.SetConnected(true)
		return p
	}
	shut := func(p *Port) {
		p.Close()
		p.Wait()
		p.poke(allTasks) // by somebody who does not know yet
		delete(written, p)
	}
	count := func() int {
		all.mu.Lock()
		defer all.mu.Unlock()
		return len(all.list)
	}

	var ports []*Port
	for range crowd + 1 {
		ports = append(ports, open())
	}
	if n := count(); n != 2 {
		t.Errorf("%d reporters for %d ports", n, len(ports))
	}
	if first, last := ports[0], ports[crowd]; first.shift == last.shift {
		t.Errorf("both reporters send at the same instants, %d", first.shift)
	}
	gone := ports[3]
	shut(gone)
	ports[3] = open()
	if p := ports[3]; p.reporter != gone.reporter || p.slot != gone.slot {
		t.Error("a free place was not taken")
	}
	for i, p := range ports {
		p.SetReceiveLimit(uint64(i+1) << 16) // which REMB can say exactly
	}
	for i, p := range ports {
		eventually(t, "a limit for each port", func() bool { return written[p].bitrate.Load() == uint64(i+1)<<16 })
	}
	for _, p := range ports {
		shut(p)
	}
	if n := count(); n != 0 {
		t.Errorf("%d reporters are left", n)
	}
	shut(open()) // it begins again
}

// Who can wait does not wake a reporter that looks in time anyway.
func TestPokeByWakesOnlyWhereItMust(t *testing.T) {
	r := &reporter{wake: make(chan struct{}, 1)}
	p := newPort(PortOptions{})
	p.poke(taskPLI) // before there is a reporter
	p.reporter, p.slot = r, 5
	r.next.Store(1000)
	p.pokeBy(taskFeedback, 1000)
	if len(r.wake) != 0 {
		t.Error("woken although it looks in time")
	}
	p.pokeBy(taskNACK, 999)
	if len(r.wake) != 1 {
		t.Error("not woken for what cannot wait")
	}
	p.poke(taskPLI)
	if todo := task(p.todo.Load()); todo != taskFeedback|taskNACK|taskPLI {
		t.Errorf("to do: %b", todo)
	}
	if poked := r.poked.Load(); poked != 1<<5 {
		t.Errorf("poked: %b", poked)
	}
}

// A carrier whose successor is taken for another source is asked for the key frame that is needed.
func TestKeyFrameOfTheOldCarrierWhenTheNextOneGoes(t *testing.T) {
	f := newFeeding(t, video)
	f.video(1, keyPayload)
	_, next := newTestUpstream(t, video)
	f.source.SetCarrier(next.upstream)
	eventually(t, "a request to the next carrier", func() bool { return next.upstream.Stats().PLIs > 0 })
	before := f.to.upstream.Stats().PLIs
	NewSource(SourceOptions{Kind: video}).SetCarrier(next.upstream)
	eventually(t, "a request to the old carrier", func() bool { return f.to.upstream.Stats().PLIs > before })
}
