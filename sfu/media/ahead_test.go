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
