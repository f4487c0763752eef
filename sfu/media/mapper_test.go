package media

import (
	"math/rand/v2"
	"testing"
)

// mapped runs numbers through a mapper at 90 kHz; a negative number is a packet
// without a payload. -1 in the result stands for one that is left out.
func mapped(m *sourceMapper, numbers ...int) []int {
	var out []int
	for _, n := range numbers {
		empty := n < 0
		if empty {
			n = -n
		}
		if !m.started {
			m.anchor(uint16(n), 0, 90000, 0)
		}
		to := m.translate(uint16(n), uint32(n)*10, empty, 90000, 0)
		if !to.ok {
			out = append(out, -1)
			continue
		}
		out = append(out, int(to.sequence-1<<16))
	}
	return out
}

func TestSourceMapper(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want []int
	}{
		{"plain", []int{10, 11, 12}, []int{10, 11, 12}},
		{"a lost packet keeps its number", []int{10, 12, 11, 13}, []int{10, 12, 11, 13}},
		{"padding is closed up", []int{10, -11, 12, 13}, []int{10, -1, 11, 12}},
		{"a run of padding", []int{10, -11, -12, -13, 14}, []int{10, -1, -1, -1, 11}},
		{"padding comes again", []int{10, -11, -12, 13, -11, -12}, []int{10, -1, -1, 11, -1, -1}},
		{"padding comes again before anything else", []int{10, -11, -12, -11, 13}, []int{10, -1, -1, -1, 11}},
		{"late packet from before padding", []int{10, 12, -13, 14, 11}, []int{10, 12, -1, 13, 11}},
		{"late padding fills the number kept free", []int{10, 12, -11, 13}, []int{10, 12, 11, 13}},
		{"padding after a hole", []int{10, -12, 13, 11}, []int{10, -1, 12, 11}},
		{"older than the beginning", []int{10, 9, 11}, []int{10, -1, 11}},
		{"the stream begins with padding", []int{-10, -11, 12, 13}, []int{-1, -1, 10, 11}},
	} {
		got := mapped(&sourceMapper{}, c.in...)
		for i := range c.want {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v became %v, want %v", c.name, c.in, got, c.want)
				break
			}
		}
	}
}

func TestSourceMapperAnchor(t *testing.T) {
	var m sourceMapper
	m.anchor(500, 9000, 90000, 0)
	first := m.translate(500, 9000, false, 90000, 0)
	last := m.translate(501, 9000+3000, false, 90000, 33e6)

	t.Run("a new carrier goes on where the old one was", func(t *testing.T) {
		m.anchor(60000, 77, 90000, 133e6)
		to := m.translate(60000, 77, false, 90000, 133e6)
		if to.sequence != last.sequence+1 {
			t.Errorf("number %d follows %d", to.sequence, last.sequence)
		}
		if to.timestamp != last.timestamp+9000 { // 100 ms later
			t.Errorf("timestamp %d follows %d", to.timestamp, last.timestamp)
		}
		if late := m.translate(59999, 70, false, 90000, 140e6); late.ok {
			t.Error("a packet from before the switch was mapped")
		}
	})
	t.Run("a jump ahead is a new start", func(t *testing.T) {
		before := m.highest
		to := m.translate(65000, 1, false, 90000, 200e6)
		if !to.ok || to.sequence != before+1 || to.late {
			t.Errorf("%+v follows %d", to, before)
		}
	})
	t.Run("numbers far back are a new start only after a pause", func(t *testing.T) {
		before := m.highest
		if to := m.translate(50000, 1, false, 90000, 300e6); to.ok {
			t.Errorf("an old packet was mapped: %+v", to)
		}
		to := m.translate(50001, 1, false, 90000, 300e6+staleAfter)
		if !to.ok || to.sequence != before+1 {
			t.Errorf("%+v follows %d", to, before)
		}
	})
	if first.sequence+1 != last.sequence {
		t.Errorf("%d, %d", first.sequence, last.sequence)
	}
}

// TestSourceMapperRandom sends streams with padding, loss, repetition and
// reordering through the mapper. What comes out, brought into order, must have
// numbers free only for what was lost, in the order of the input.
func TestSourceMapperRandom(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		const size = 400
		start := uint16(rnd.Uint32())
		empty := make([]bool, size)
		for i := 1; i < size; i++ {
			empty[i] = rnd.IntN(20) == 0
		}
		// The order of arrival: mostly in order, some later, some twice, some never.
		var order []int
		var held []int
		for i := range size {
			switch {
			case i > 0 && !empty[i] && rnd.IntN(15) == 0:
				held = append(held, i)
			case i > 0 && rnd.IntN(40) == 0: // lost
			default:
				order = append(order, i)
				if rnd.IntN(20) == 0 {
					order = append(order, i)
				}
			}
			if len(held) > 0 && rnd.IntN(4) == 0 {
				order = append(order, held[0])
				held = held[1:]
			}
		}
		var m sourceMapper
		m.anchor(start, 0, 90000, 0)
		out := map[uint64]int{}   // number given out -> index
		given := map[int]uint64{} // and back
		for _, i := range order {
			to := m.translate(start+uint16(i), uint32(i), empty[i], 90000, 0)
			if !to.ok {
				continue
			}
			if other, taken := out[to.sequence]; taken && other != i {
				t.Fatalf("seed %d: packets %d and %d got the number %d", seed, other, i, to.sequence)
			}
			if before, again := given[i]; again && before != to.sequence {
				t.Fatalf("seed %d: packet %d got the numbers %d and %d", seed, i, before, to.sequence)
			}
			out[to.sequence], given[i] = i, to.sequence
		}
		last, lastIndex := uint64(0), -1
		for i := range size {
			n, ok := given[i]
			if !ok {
				continue
			}
			if lastIndex >= 0 {
				if n <= last {
					t.Fatalf("seed %d: packet %d got %d, packet %d before it %d", seed, i, n, lastIndex, last)
				}
				if gap := int(n - last - 1); gap > i-lastIndex-1 {
					t.Fatalf("seed %d: %d numbers stay free between packets %d and %d", seed, gap, lastIndex, i)
				}
			}
			last, lastIndex = n, i
		}
	}
}
