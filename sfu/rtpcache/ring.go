// Package rtpcache keeps the last packets of one RTP stream, so that a lost
// one can be sent again (RFC 4585 section 6.2.1, RFC 4588) to any of its
// receivers from a single copy.
package rtpcache

// Info is what is kept of a packet besides its payload.
type Info struct {
	Timestamp uint32 // RTP timestamp, in the units of the stream's clock
	Marker    bool
}

// Ring holds the last packets of a stream in slots of a fixed size, allocated
// once. A packet stays until one arrives whose sequence number is the number
// of slots higher. A Ring is not safe for concurrent use.
type Ring struct {
	slots    []slot // static; its elements belong to the caller's goroutine or mutex
	payloads []byte // one piece of slotSize for each slot
	slotSize int
	mask     uint64
}

// slot is small, so that one look into memory brings those of the next packets too.
type slot struct {
	sequence  uint64
	timestamp uint32
	size      uint16
	marker    bool
	state     slotState
}

type slotState uint8

const (
	empty slotState = iota
	seen            // the packet's payload was too big to keep
	stored
)

func (s *slot) info() Info { return Info{Timestamp: s.timestamp, Marker: s.marker} }

// New makes a ring of at least slots packets (rounded up to a power of two) of
// at most slotSize bytes of payload each (65,535 at most).
func New(slots, slotSize int) *Ring {
	n := 1
	for n < slots {
		n *= 2
	}
	return &Ring{
		slots:    make([]slot, n),
		payloads: make([]byte, n*slotSize),
		slotSize: slotSize,
		mask:     uint64(n - 1),
	}
}

// Len is how many packets fit.
func (r *Ring) Len() int { return len(r.slots) }

// Put copies a packet in, under its unwrapped sequence number. It reports
// whether the payload was kept; one larger than a slot is only remembered as
// seen. A packet older than the one in its slot changes nothing.
func (r *Ring) Put(sequence uint64, info Info, payload []byte) bool {
	i := sequence & r.mask
	s := &r.slots[i]
	if s.state != empty && s.sequence > sequence {
		return false
	}
	*s = slot{sequence: sequence, timestamp: info.Timestamp, marker: info.Marker, state: seen}
	if len(payload) > r.slotSize {
		return false
	}
	s.size, s.state = uint16(copy(r.payloads[int(i)*r.slotSize:], payload)), stored
	return true
}

// Seen reports whether Put has been called with this sequence number, as far
// back as the ring reaches. For older ones it reports true: what is too old to
// be known is not to be taken for new.
func (r *Ring) Seen(sequence uint64) bool {
	s := &r.slots[sequence&r.mask]
	return s.state != empty && s.sequence >= sequence
}

// Forgot reports whether a packet is older than what the ring reaches back to, so that
// nobody knows whether Put has been called with it.
func (r *Ring) Forgot(sequence uint64) bool {
	s := &r.slots[sequence&r.mask]
	return s.state != empty && s.sequence > sequence
}

// Get copies the payload of a packet to dst and returns its size. ok is false
// when the packet is not there (any more), was too big to be kept, or does not
// fit in dst.
func (r *Ring) Get(sequence uint64, dst []byte) (info Info, size int, ok bool) {
	i := sequence & r.mask
	s := &r.slots[i]
	if s.state != stored || s.sequence != sequence || len(dst) < int(s.size) {
		return Info{}, 0, false
	}
	start := int(i) * r.slotSize
	return s.info(), copy(dst, r.payloads[start:start+int(s.size)]), true
}

// Info tells whether a packet can be got, and what is kept of it besides its
// payload.
func (r *Ring) Info(sequence uint64) (Info, bool) {
	s := &r.slots[sequence&r.mask]
	return s.info(), s.state == stored && s.sequence == sequence
}
