package prefetch

import (
	"slices"
	"testing"
	"unsafe"
)

func (p *Plan) lines() (lines []uintptr) {
	for _, span := range p.spans[:p.n] {
		for i := range span % lineSize {
			lines = append(lines, span-span%lineSize+i*lineSize)
		}
	}
	return lines
}

func TestPlan(t *testing.T) {
	if !Supported {
		t.Skip("nothing to plan on this processor")
	}
	block := make([]byte, 1<<17)
	first := uintptr(unsafe.Pointer(&block[0]))
	if first%lineSize != 0 {
		t.Fatal("a big block does not begin with a line")
	}
	for _, tt := range []struct {
		name         string
		offset, size uintptr
		lines        []uintptr
	}{
		{"nothing", 0, 0, nil},
		{"a byte", 70, 1, []uintptr{1}},
		{"to the end of a line", 64, 64, []uintptr{1}},
		{"over an edge", 63, 2, []uintptr{0, 1}},
		{"three lines", 10, 160, []uintptr{0, 1, 2}},
	} {
		var p Plan
		p.Add(unsafe.Pointer(&block[tt.offset]), tt.size)
		var want []uintptr
		for _, line := range tt.lines {
			want = append(want, first+line*lineSize)
		}
		if got := p.lines(); !slices.Equal(got, want) {
			t.Errorf("%s: %x, not %x", tt.name, got, want)
		}
		p.Fetch()
	}

	var p Plan
	p.Add(unsafe.Pointer(&block[0]), uintptr(len(block)))
	if n := len(p.lines()); n != maxLines {
		t.Errorf("%d lines of a thousand", n)
	}
	p.Clear()
	p.AddTo(unsafe.Pointer(&block[1]), unsafe.Pointer(&block[130]))
	p.AddTo(unsafe.Pointer(&block[130]), unsafe.Pointer(&block[1]))
	if n := len(p.lines()); n != 3 {
		t.Errorf("%d lines from byte 1 to 130", n)
	}
	p.Clear()
	p.AddPointee((*[200]byte)(block))
	p.AddPointee(block)
	p.AddPointee(nil)
	p.AddPointee((*int)(nil))
	if n := len(p.lines()); n != 4 {
		t.Errorf("%d lines of 200 bytes behind a pointer", n)
	}
	for !p.Full() {
		p.Add(unsafe.Pointer(&block[0]), 1)
	}
	p.Add(unsafe.Pointer(&block[0]), 1)
	if p.n != maxSpans {
		t.Errorf("%d spans", p.n)
	}
	p.Fetch()
}

// Memory that is gone since, or never was, is no fault.
func TestFetchOfNothing(t *testing.T) {
	p := Plan{n: 4, spans: [maxSpans]uintptr{1, lineSize + 3, 1<<46 + maxLines, ^uintptr(0)}}
	p.Fetch()
	new(Plan).Fetch()
}

func TestDoesNotAllocate(t *testing.T) {
	var p Plan
	x := new([300]byte)
	if n := testing.AllocsPerRun(100, func() {
		p.Clear()
		p.AddPointee(x)
		p.Add(unsafe.Pointer(x), 100)
		p.Fetch()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
