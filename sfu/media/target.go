package media

import "math"

// Target says what a feed is to send of its source at most. The zero value is
// the smallest picture at the lowest frame rate; HighestTarget is everything.
type Target struct {
	Spatial  int8 // the highest simulcast layer, 0 is the smallest
	Temporal int8 // the highest temporal layer
	Paused   bool // nothing at all
}

// HighestTarget is what a new feed has: all there is.
var HighestTarget = Target{Spatial: math.MaxInt8, Temporal: math.MaxInt8}

// targetPaused is the bit of a packed Target that stands for Paused.
const targetPaused = 1 << 16

func (t Target) pack() uint32 {
	packed := uint32(uint8(t.Spatial)) | uint32(uint8(t.Temporal))<<8
	if t.Paused {
		packed |= targetPaused
	}
	return packed
}

func unpackTarget(packed uint32) Target {
	return Target{Spatial: int8(packed), Temporal: int8(packed >> 8), Paused: packed&targetPaused != 0}
}

// SetTarget changes what the feed is to send. A pause takes effect with the next
// packet, another spatial layer with its next key frame, which is asked for, and
// fewer temporal layers with the next frame. Of the layers up to the target the
// highest active one is sent; if none is, the lowest above.
func (f *Feed) SetTarget(t Target) {
	t.Spatial, t.Temporal = max(t.Spatial, 0), max(t.Temporal, 0)
	before := unpackTarget(f.target.Swap(t.pack()))
	if before == t || t.Paused {
		return
	}
	f.mu.Lock()
	source, ready, running := f.source, f.ready(), f.running
	var wanted *layer
	if source != nil && running {
		if wanted = f.wants(source); wanted == f.layer {
			wanted = nil
		}
	}
	f.mu.Unlock()
	switch {
	case source == nil || !ready:
	case before.Paused:
		f.beginWith(source)
	case wanted != nil:
		wanted.requestKeyFrame()
	}
}

// Target is what SetTarget was last called with.
func (f *Feed) Target() Target { return unpackTarget(f.target.Load()) }

// Current is what the feed sends; false: nothing at present.
func (f *Feed) Current() (Target, bool) {
	paused := f.Target().Paused
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running || paused || f.layer == nil {
		return Target{Paused: paused}, false
	}
	temporal := min(int32(f.picture.limit), f.layer.temporals.Load())
	return Target{Spatial: int8(f.layer.rank.Load()), Temporal: int8(temporal)}, true
}

// wants is the layer that the feed is to send. It looks again only when
// something has changed. f.mu is held.
func (f *Feed) wants(s *Source) *layer {
	target, generation := f.target.Load(), s.generation.Load()
	if f.wanted != nil && f.wantedBy == target && f.wantedIn == generation {
		return f.wanted
	}
	f.wanted, f.wantedBy, f.wantedIn = s.choose(int32(unpackTarget(target).Spatial)), target, generation
	return f.wanted
}

// choose is the highest active layer of at most a rank; else the lowest active
// one; else the lowest.
func (s *Source) choose(highest int32) *layer {
	var below, above, lowest *layer
	for _, l := range *s.layers.Load() {
		rank := l.rank.Load()
		if lowest == nil || rank < lowest.rank.Load() {
			lowest = l
		}
		switch {
		case !l.active.Load():
		case rank <= highest && (below == nil || rank > below.rank.Load()):
			below = l
		case rank > highest && (above == nil || rank < above.rank.Load()):
			above = l
		}
	}
	switch {
	case below != nil:
		return below
	case above != nil:
		return above
	}
	return lowest
}

// accepts reports whether the feed, which sends another layer or nothing, is to
// go on with a key frame of l: the wanted layer, one that is nearer to it, or any
// if there is nothing to be seen yet. f.mu is held.
func (f *Feed) accepts(l, wanted *layer) bool {
	if l == wanted || l == f.layer || !f.running || !f.layer.active.Load() {
		return true
	}
	return closer(l, f.layer, wanted)
}

// closer reports whether a layer is nearer to the wanted one than another.
func closer(l, other, wanted *layer) bool {
	goal := wanted.rank.Load()
	distance := func(l *layer) int32 { return max(l.rank.Load()-goal, goal-l.rank.Load()) }
	return distance(l) < distance(other)
}
