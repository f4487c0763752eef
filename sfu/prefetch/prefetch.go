// Package prefetch asks the processor for memory that is about to be needed, all of it at once, where the code that needs
// it would wait for one piece after the other. It changes nothing but time.
package prefetch

import (
	"reflect"
	"unsafe"
)

const (
	lineSize = 64 // bytes that a processor fetches together
	// maxSpans bounds a Plan: 512 bytes, which have to be fetched themselves.
	maxSpans = 63
	maxLines = lineSize - 1 // of a span, whose number stands where an address of a line has zeros
)

// Plan is a list of memory. It keeps nothing alive: to fetch what has been freed since is of no use, and does no harm. The zero
// value is empty. Not safe for concurrent use.
type Plan struct {
	n     int
	spans [maxSpans]uintptr // address of the first line, plus the number of lines
}

// Clear makes the plan empty.
func (p *Plan) Clear() { p.n = 0 }

// Full reports whether no more fits in: what is added then is left out.
func (p *Plan) Full() bool { return p.n == maxSpans }

// Add notes size bytes; of more than 63 lines the first ones.
func (p *Plan) Add(at unsafe.Pointer, size uintptr) {
	if !Supported || p.Full() || at == nil || size == 0 {
		return
	}
	offset := uintptr(at) % lineSize
	p.spans[p.n] = uintptr(at) - offset + min((offset+size+lineSize-1)/lineSize, maxLines)
	p.n++
}

// AddTo notes all from one address up to another.
func (p *Plan) AddTo(from, to unsafe.Pointer) {
	if uintptr(to) > uintptr(from) {
		p.Add(from, uintptr(to)-uintptr(from))
	}
}

// AddPointee notes what a pointer points to, which may be in an interface; nothing if x is no pointer.
func (p *Plan) AddPointee(x any) {
	if v := reflect.ValueOf(x); v.Kind() == reflect.Pointer {
		p.Add(v.UnsafePointer(), v.Type().Elem().Size())
	}
}

// Fetch asks for all of it and does not wait.
func (p *Plan) Fetch() {
	if p.n > 0 {
		fetch(&p.spans[0], p.n)
	}
}
