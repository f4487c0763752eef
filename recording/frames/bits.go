package frames

// bitReader reads numbers from the most significant bit on. Behind the end it gives
// zeros and remembers that.
type bitReader struct {
	b    []byte
	at   int // in bits
	over bool
}

func (r *bitReader) bit() uint32 {
	if r.at >= 8*len(r.b) {
		r.over = true
		return 0
	}
	bit := r.b[r.at/8] >> (7 - r.at%8) & 1
	r.at++
	return uint32(bit)
}

func (r *bitReader) flag() bool { return r.bit() == 1 }

func (r *bitReader) bits(n int) uint32 {
	var v uint32
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

func (r *bitReader) skip(n int) {
	if r.at += n; r.at > 8*len(r.b) {
		r.over = true
	}
}

// golomb reads ue(v) (H.264 section 9.1), which AV1 calls uvlc.
func (r *bitReader) golomb() uint32 {
	zeros := 0
	for r.bit() == 0 {
		if zeros++; zeros == 32 || r.over {
			r.over = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}

// signedGolomb reads se(v) (H.264 section 9.1.1).
func (r *bitReader) signedGolomb() int32 {
	v := r.golomb()
	if v%2 == 1 {
		return int32(v/2) + 1
	}
	return -int32(v / 2)
}
