package media

import (
	"unsafe"

	"github.com/pion/webrtc/v4"

	"skillsage/sfu/aead"
	"skillsage/sfu/prefetch"
)

// ahead is what the next packet of a stream will need on its way past the stack, down to its viewers. At some hundred
// packets a second of a room none of that is in the processor's caches any more when the next one comes. Guarded by
// Port.inMu.
type ahead struct {
	ssrc uint32
	plan prefetch.Plan
}

// fetch asks for it, if it is known of that stream.
func (a *ahead) fetch(ssrc uint32) {
	if a.ssrc == ssrc {
		a.plan.Fetch()
	}
}

// lookAhead makes the plan for a stream, the picture's where there is one, of which most packets are. What changes
// afterwards, a viewer that is new for one, is missed until the next time. inMu is held.
func (p *Port) lookAhead(d *direct, s *boundStream) {
	a, u := &p.ahead, s.to.upstream
	another := a.ssrc != 0 && a.ssrc != s.ssrc
	if !prefetch.Supported || s.to.retransmission || another && u.kind != webrtc.RTPCodecTypeVideo {
		return
	}
	a.ssrc = s.ssrc
	plan := &a.plan
	plan.Clear()
	planCipher(plan, &d.opener)
	plan.Add(unsafe.Pointer(d), unsafe.Offsetof(d.sealer))
	plan.AddPointee(s.index)
	plan.AddTo(unsafe.Pointer(&u.source), unsafe.Pointer(&u.rate))
	source := u.group.source.Load()
	if source == nil {
		return
	}
	source.mu.Lock()
	feeds, l := source.feeds, source.layerOf(u)
	source.mu.Unlock()
	plan.AddTo(unsafe.Pointer(&source.taps), unsafe.Pointer(&source.next))
	if l != nil {
		plan.AddPointee(l)
		plan.AddPointee(l.cache)
	}
	if len(feeds) > 0 {
		plan.Add(unsafe.Pointer(&feeds[0]), uintptr(len(feeds))*unsafe.Sizeof(feeds[0]))
	}
	for _, f := range feeds {
		if plan.Full() {
			return
		}
		f.lookAhead(plan)
	}
}

func (f *Feed) lookAhead(plan *prefetch.Plan) {
	plan.AddTo(unsafe.Pointer(&f.port), unsafe.Pointer(&f.segments.list))
	f.mu.Lock()
	if f.segments.count > 0 {
		plan.AddPointee(f.segments.last())
	}
	f.mu.Unlock()
	p := f.port
	plan.AddTo(unsafe.Pointer(&p.direct), unsafe.Pointer(&p.bound))
	if history := p.history.Load(); history != nil {
		plan.Add(unsafe.Pointer(history), 1) // its counter
	}
	d := p.direct.Load()
	if d == nil {
		return
	}
	plan.AddTo(unsafe.Pointer(&d.sealer), unsafe.Pointer(&d.outMu))
	planCipher(plan, &d.sealer)
	if wire := d.wire.Load(); wire != nil {
		plan.AddPointee(wire)
		plan.AddPointee(*wire)
	}
}

func planCipher(plan *prefetch.Plan, c *aead.Cipher) { plan.AddPointee(c.State()) }
