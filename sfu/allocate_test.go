package sfu

import "testing"

func TestAllocate(t *testing.T) {
	t.Parallel()
	const k = 1000
	type picture struct {
		screen     bool
		rate, want uint64 // bit/s; want 0: not shown
	}
	for name, c := range map[string]struct {
		budget   uint64
		voices   int
		pictures []picture
	}{
		"voice comes first":              {60 * k, 1, []picture{{false, 500 * k, 0}}},
		"voice never goes below zero":    {10 * k, 3, []picture{{true, 500 * k, 0}}},
		"a camera alone":                 {500 * k, 1, []picture{{false, 700 * k, 440 * k}}},
		"no more than can be used":       {5000 * k, 1, []picture{{false, 700 * k, 1010 * k}}},
		"the camera goes first":          {190 * k, 1, []picture{{false, 500 * k, 0}, {true, 800 * k, 130 * k}}},
		"the camera gives way":           {600 * k, 1, []picture{{false, 700 * k, 90 * k}, {true, 900 * k, 450 * k}}},
		"a quiet screen takes little":    {600 * k, 1, []picture{{false, 700 * k, 375 * k}, {true, 50 * k, 165 * k}}},
		"cameras share alike":            {460 * k, 1, []picture{{false, 700 * k, 200 * k}, {false, 700 * k, 200 * k}}},
		"a small camera leaves more":     {660 * k, 1, []picture{{false, 700 * k, 470 * k}, {false, 20 * k, 126 * k}}},
		"an unknown camera gets a start": {400 * k, 1, []picture{{false, 0, 100 * k}}},
	} {
		t.Run(name, func(t *testing.T) {
			var list []*demand
			for _, p := range c.pictures {
				list = append(list, &demand{screen: p.screen, rate: p.rate, allowed: unlimited})
			}
			allocate(c.budget, c.voices, list)
			sum := uint64(0)
			for i, p := range c.pictures {
				sum += list[i].allowed
				if apart := max(list[i].allowed, p.want) - min(list[i].allowed, p.want); apart > 20*k || (p.want == 0) != (list[i].allowed == 0) {
					t.Errorf("picture %d may take %d, want about %d", i, list[i].allowed, p.want)
				}
			}
			if sum > c.budget {
				t.Errorf("%d shared out of %d", sum, c.budget)
			}
		})
	}
}

// With too little for all cameras those of the far side are shown, wherever they stand.
func TestAllocateFarSideFirst(t *testing.T) {
	t.Parallel()
	const k = 1000
	colleague, other, candidate := &demand{aside: true, rate: 250 * k}, &demand{aside: true, rate: 250 * k}, &demand{rate: 800 * k}
	allocate(415*k, 3, []*demand{colleague, other, candidate})
	if colleague.allowed == 0 || other.allowed != 0 || candidate.allowed != colleague.allowed {
		t.Errorf("colleagues may take %d and %d, the candidate %d", colleague.allowed, other.allowed, candidate.allowed)
	}
	allocate(250*k, 3, []*demand{colleague, other, candidate})
	if colleague.allowed != 0 || other.allowed != 0 || candidate.allowed != 100*k {
		t.Errorf("colleagues may take %d and %d, the candidate %d", colleague.allowed, other.allowed, candidate.allowed)
	}
}

func TestPanelCap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		allowed    []uint64
		starved    bool
		percentile int
		want       uint64
	}{
		{nil, false, 25, unlimited},
		{nil, true, 25, cameraLeast},
		{[]uint64{300, unlimited}, true, 0, 300},
		{[]uint64{unlimited}, false, 0, unlimited},
		{[]uint64{300, unlimited, 500}, false, 0, 300},
		{[]uint64{300, unlimited, 500}, false, 25, 300},
		{[]uint64{300, unlimited, 500}, false, 50, 500},
		{[]uint64{300, unlimited, 500}, false, 100, unlimited},
		{[]uint64{5, 1, 4, 2, 3}, false, 25, 2},
	} {
		if got := panelCap(c.allowed, c.starved, c.percentile); got != c.want {
			t.Errorf("panelCap(%v, %v, %d) = %d, want %d", c.allowed, c.starved, c.percentile, got, c.want)
		}
	}
}

func TestSplits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		allowed, best, rate uint64
		want                bool
	}{
		{400, unlimited, 700, true},
		{600, unlimited, 700, false}, // takes nearly all that is sent
		{400, 500, 700, false},       // hardly less than the best
		{400, 3000, 0, true},
		{unlimited, unlimited, 700, false},
	} {
		if got := splits(c.allowed, c.best, c.rate); got != c.want {
			t.Errorf("splits(%d, %d, %d) = %v", c.allowed, c.best, c.rate, got)
		}
	}
}
