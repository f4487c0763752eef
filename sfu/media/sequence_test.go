package media

import "testing"

func TestSequenceUnwrap(t *testing.T) {
	var u sequenceUnwrapper
	for _, step := range []struct {
		sequence uint16
		want     uint64
	}{
		{65534, 1<<16 + 65534},
		{65535, 1<<16 + 65535},
		{1, 2<<16 + 1}, // 0 is missing
		{0, 2 << 16},
		{65533, 1<<16 + 65533}, // late, from before the wrap
		{30000, 2<<16 + 30000},
		{60000, 2<<16 + 60000},
		{10, 3<<16 + 10},
	} {
		got := u.unwrap(step.sequence)
		if got != step.want {
			t.Fatalf("unwrap(%d) = %d, want %d", step.sequence, got, step.want)
		}
		u.saw(got)
	}
	if u.highest != 3<<16+10 {
		t.Fatalf("highest is %d", u.highest)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		base     uint64
		sequence uint16
		want     uint64
	}{
		{1 << 16, 0, 1 << 16},
		{1 << 16, 65535, 1<<16 - 1},
		{1<<16 + 32767, 0, 1 << 16},
		{1<<16 + 32769, 0, 2 << 16},
		{5<<16 + 65535, 0, 6 << 16},
	} {
		if got := nearest(c.base, c.sequence); got != c.want {
			t.Errorf("nearest(%d, %d) = %d, want %d", c.base, c.sequence, got, c.want)
		}
	}
}
