package bwe

import "sync/atomic"

// The layout of a slot, from the low bits up: size, whether the packet was
// reported lost, the part of the number that the slot's index does not say, and
// when it was sent in microseconds. 0: empty.
const (
	slotBits  = 11 // of a number: the slot's index
	sizeBits  = 11
	lostBit   = 1 << sizeBits
	tagShift  = sizeBits + 1
	timeShift = tagShift + 16 - slotBits
	maxSize   = 1<<sizeBits - 1
)

// History numbers the packets of one connection and remembers when each of the
// last 2,048 was sent and how big it was, until feedback on it comes. The numbers
// are those of the transport-wide sequence number
// (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2). All methods are
// safe for concurrent use; none waits or allocates.
type History struct {
	last  atomic.Uint32
	slots [1 << slotBits]atomic.Uint64
}

// Sent gives a packet its number. now is in nanoseconds and at least 0; it is
// kept to the microsecond. size is in bytes; more than 2,047 count as that many.
func (h *History) Sent(now int64, size int) uint16 {
	number := uint16(h.last.Add(1))
	size = min(max(size, 1), maxSize)
	h.slots[number%(1<<slotBits)].Store(
		uint64(now/1000)<<timeShift | uint64(number>>slotBits)<<tagShift | uint64(size))
	return number
}

// Report turns what feedback says of a number into what the Estimator takes; ok
// is false if there is nothing to learn from it: the number was never given, or
// too long ago, or has been reported already. A packet that was reported lost may
// be reported received later, once.
func (h *History) Report(number uint16, received bool, at int64) (p Packet, ok bool) {
	slot := &h.slots[number%(1<<slotBits)]
	v := slot.Load()
	if v == 0 || uint16(v>>tagShift)&(1<<(16-slotBits)-1) != number>>slotBits {
		return Packet{}, false
	}
	p = Packet{Sent: int64(v>>timeShift) * 1000, Size: int32(v & maxSize)}
	late := v&lostBit != 0
	if received {
		p.Received, p.Late = at, late
		return p, slot.CompareAndSwap(v, 0)
	}
	p.Lost = true
	return p, !late && slot.CompareAndSwap(v, v|lostBit)
}
