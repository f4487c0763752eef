package media

// redundancy is a RED payload (RFC 2198 section 3): headers of blocks, the last
// of them the primary one's, then the blocks. Each header names a payload type,
// which every leg has its own numbers for.
type redundancy struct {
	payload []byte // nil: the packet is none
	headers int
}

const (
	redHeaderSize  = 4    // of a redundant block: type, timestamp offset, length
	redMore        = 0x80 // another header follows
	maxREDHeaders  = 16   // browsers send 2, at most 9
	redLengthBits  = 0x3ff
	redPayloadBits = 0x7f
)

// parseRED finds the primary block of a payload and its payload type. uniform
// tells that all blocks have that type. It fails if the headers are not whole, or
// speak of more than there is.
func parseRED(payload []byte) (primary []byte, payloadType uint8, r redundancy, uniform, ok bool) {
	at, blocks := 0, 0
	uniform = true
	for n := range maxREDHeaders {
		if at >= len(payload) {
			return nil, 0, redundancy{}, false, false
		}
		blockType := payload[at] & redPayloadBits
		uniform = uniform && (n == 0 || blockType == payloadType)
		payloadType = blockType
		if payload[at]&redMore == 0 {
			start := at + 1 + blocks
			if start > len(payload) {
				return nil, 0, redundancy{}, false, false
			}
			return payload[start:], payloadType, redundancy{payload, n + 1}, uniform, true
		}
		if at+redHeaderSize > len(payload) {
			return nil, 0, redundancy{}, false, false
		}
		blocks += (int(payload[at+2])<<8 | int(payload[at+3])) & redLengthBits
		at += redHeaderSize
	}
	return nil, 0, redundancy{}, false, false
}

// named writes a payload type into all headers, in place, and returns the
// payload. The one goroutine that delivers a packet calls it for each viewer.
func (r redundancy) named(payloadType uint8) []byte {
	for n := range r.headers {
		at := n * redHeaderSize
		r.payload[at] = r.payload[at]&redMore | payloadType
	}
	return r.payload
}

// copyOf is the block that repeats what was sent n packets before, as senders order them,
// and how much earlier its timestamp is; empty: there is none.
func (r redundancy) copyOf(n int) (payload []byte, earlier uint32) {
	if n < 1 || n >= r.headers {
		return nil, 0
	}
	start := redHeaderSize*(r.headers-1) + 1
	for i := range r.headers - n {
		h := r.payload[redHeaderSize*i:]
		earlier = uint32(h[1])<<6 | uint32(h[2])>>2
		size := (int(h[2])<<8 | int(h[3])) & redLengthBits
		payload = r.payload[start : start+size]
		start += size
	}
	return payload, earlier
}

// unwrapRED leaves the primary block as the packet's payload, for the cache and
// for viewers without RED; the whole stays beside it for the others. It returns
// the format of the primary block, nil if there is none. Redundant blocks of
// another format than the primary's are not passed on.
func (u *Upstream) unwrapRED(in *packet) *format {
	if len(in.payload) == 0 { // padding
		return u.group.format.Load()
	}
	primary, payloadType, whole, uniform, ok := parseRED(in.payload)
	if !ok {
		return nil
	}
	f := u.formats[payloadType]
	if f == nil || f.red {
		return nil
	}
	in.payload, in.payloadType = primary, payloadType
	if uniform && len(primary) > 0 {
		in.red = whole
	}
	return f
}
