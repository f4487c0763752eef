package sfu

import (
	"cmp"
	"math"
	"slices"
)

// Bounds of what a viewer's streams get, in bit/s on the wire.
const (
	unlimited    = uint64(math.MaxUint64)
	audioShare   = 50_000  // Opus at 24 to 32 kbit/s with its headers; voice is always sent
	cameraLeast  = 90_000  // below it a camera is better not shown at all
	screenLeast  = 120_000 // and a screen
	headroom     = 1.3     // a stream may grow to this times its present rate,
	headroomMore = 100_000 // and a little more, until the next look
)

// demand is one picture that a viewer is to be sent.
type demand struct {
	screen  bool
	aside   bool   // a camera on the viewer's own side of the interview: the far side's are shown first
	rate    uint64 // bit/s at which it is published at present, all layers included
	allowed uint64 // what it may take: the result; 0: nothing
}

func (d *demand) least() uint64 {
	least := uint64(cameraLeast)
	if d.screen {
		least = screenLeast
	}
	if d.rate > 0 {
		least = min(least, d.rate+d.rate/8)
	}
	return least
}

// most is what the picture can make use of before the next look.
func (d *demand) most() uint64 {
	return max(d.least(), uint64(float64(d.rate)*headroom)+headroomMore)
}

// allocate shares a viewer's bandwidth out. Voice comes first. Then every screen
// gets the least that shows it, then every camera, those of the far side of the
// interview before those of the viewer's own; what is left goes to the
// screens up to what they can use, and then to the cameras. So a camera gives way
// before a screen does, and nothing does for voice. Among equals the shares are equal.
func allocate(budget uint64, voices int, pictures []*demand) {
	budget -= min(budget, uint64(voices)*audioShare)
	var screens, cameras, aside []*demand
	for _, p := range pictures {
		p.allowed = 0
		switch {
		case p.screen:
			screens = append(screens, p)
		case p.aside:
			aside = append(aside, p)
		default:
			cameras = append(cameras, p)
		}
	}
	cameras = append(cameras, aside...)
	for _, p := range slices.Concat(screens, cameras) {
		if least := p.least(); budget >= least {
			p.allowed = least
			budget -= least
		}
	}
	budget = fill(screens, budget)
	fill(cameras, budget)
}

// fill raises the shares of pictures that are shown, the smallest first, and
// returns what is left.
func fill(pictures []*demand, budget uint64) uint64 {
	hungry := slices.DeleteFunc(slices.Clone(pictures), func(p *demand) bool { return p.allowed == 0 })
	slices.SortFunc(hungry, func(a, b *demand) int {
		return cmp.Compare(a.most()-min(a.most(), a.allowed), b.most()-min(b.most(), b.allowed))
	})
	for i, p := range hungry {
		share := min(budget/uint64(len(hungry)-i), p.most()-min(p.most(), p.allowed))
		p.allowed += share
		budget -= share
	}
	return budget
}

// panelCap is what a publisher is held to: the given percentile of what those of its
// viewers can take for whom there is anything left; unlimited where that viewer has
// no limit. It sorts allowed. starved: there are others, and if there is nobody else the picture has to
// become small enough to be shown again.
func panelCap(allowed []uint64, starved bool, percentile int) uint64 {
	if len(allowed) == 0 && starved {
		return cameraLeast
	}
	if len(allowed) == 0 {
		return unlimited
	}
	slices.Sort(allowed)
	return allowed[percentile*(len(allowed)-1)/100]
}

// smallShare is the part of what the best viewer can take, or of what is published,
// below which a viewer is better served by a small upload of its own.
const smallShare = 0.7

// splits tells whether a viewer with this limit should be taken out of a panel
// whose best viewer may take best of a source of this rate.
func splits(allowed, best, rate uint64) bool {
	reach := best
	if rate > 0 {
		reach = min(reach, rate)
	}
	return float64(allowed) < smallShare*float64(reach)
}
