package media

// sequenceUnwrapper turns 16-bit sequence numbers into 64-bit ones that do not
// wrap around (RFC 3550 appendix A.1, without the probation).
type sequenceUnwrapper struct {
	highest uint64
	started bool
}

// unwrap takes the nearest number to the highest one seen. It does not move
// highest. Numbers start high enough that an early packet cannot underflow.
func (u *sequenceUnwrapper) unwrap(sequence uint16) uint64 {
	if !u.started {
		return 1<<16 | uint64(sequence)
	}
	return nearest(u.highest, sequence)
}

// saw makes a number the highest if it is.
func (u *sequenceUnwrapper) saw(sequence uint64) {
	if !u.started || sequence > u.highest {
		u.highest, u.started = sequence, true
	}
}

// nearest is the 64-bit number with these low 16 bits that is nearest to base.
func nearest(base uint64, sequence uint16) uint64 {
	return base + uint64(int64(int16(sequence-uint16(base))))
}
