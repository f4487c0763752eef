package media

import (
	"encoding/binary"
	"testing"

	"skillsage/sfu/prefetch"
)

// What the next packet needs is known after one that was due to be looked at, and bounded, however many watch.
func TestPacketsAreLookedAheadFor(t *testing.T) {
	if !prefetch.Supported {
		t.Skip("not on this processor")
	}
	for viewers, full := range map[int]bool{0: false, 1: false, 5: false, 100: true} {
		next, port := directForwarding(t, viewers)
		port.inMu.Lock()
		port.direct.Load().stackAt = monotonic() - stackInterval // a plan is due
		port.inMu.Unlock()
		packet := next()
		ssrc := binary.BigEndian.Uint32(packet[8:])
		port.Deliver(packet)
		port.inMu.Lock()
		if port.ahead.ssrc != ssrc || port.ahead.plan == (prefetch.Plan{}) || port.ahead.plan.Full() != full {
			t.Errorf("%d viewers: plan for %d, not %d: %+v", viewers, port.ahead.ssrc, ssrc, port.ahead.plan)
		}
		port.inMu.Unlock()
		for range 100 {
			port.Deliver(next())
		}
		if s := port.Stats(); s.Undecrypted != 0 {
			t.Errorf("%d viewers: %+v", viewers, s)
		}
	}
}

// A voice is looked ahead for where there is no picture, each time anew; where there is one it is left to that.
func TestVoicesAreLookedAheadFor(t *testing.T) {
	if !prefetch.Supported {
		t.Skip("not on this processor")
	}
	var p Port
	voice := boundStream{ssrc: 1, to: binding{upstream: &Upstream{kind: audio}}, index: new(sequenceUnwrapper)}
	picture := boundStream{ssrc: 2, to: binding{upstream: &Upstream{kind: video}}, index: new(sequenceUnwrapper)}
	for _, s := range []*boundStream{&voice, &picture} {
		s.to.upstream.group = s.to.upstream
	}
	d := new(direct)
	p.lookAhead(d, &voice)
	p.ahead.plan = prefetch.Plan{}
	p.lookAhead(d, &voice)
	if p.ahead.ssrc != 1 || p.ahead.plan == (prefetch.Plan{}) {
		t.Errorf("the plan of a voice is not renewed: %+v", p.ahead)
	}
	for range 2 {
		p.lookAhead(d, &picture)
		p.lookAhead(d, &voice)
	}
	if p.ahead.ssrc != 2 {
		t.Errorf("the plan is for %d", p.ahead.ssrc)
	}
}
