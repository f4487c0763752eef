package media

// describeAV1 reads the layer of a packet out of its OBU headers (RTP Payload
// Format For AV1 sections 4.3 and 4.4, AV1 specification section 5.3.3): nothing
// is needed but the payload, as long as the encoder has more than one layer and
// therefore tells it. A packet that begins inside an OBU is of its picture's layer.
func describeAV1(b []byte) frame {
	const (
		sequenceHeader, temporalDelimiter, metadata, padding = 1, 2, 5, 15

		elements = 8 // looked at, at most
	)
	f := frame{key: startsKeyFrameAV1(b), obu: true}
	if len(b) < 1 {
		return f
	}
	continued, last := b[0]&0x80 != 0, int(b[0]>>4&0x03)
	rest := b[1:]
	for i := 1; i <= elements && len(rest) > 0; i++ {
		element := rest
		if i == last { // the only one without its size, if the header counts them
			rest = nil
		} else {
			size, n := leb128(rest)
			if n == 0 || size > uint64(len(rest)-n) {
				return f
			}
			element, rest = rest[n:n+int(size)], rest[n+int(size):]
		}
		if i == 1 && continued {
			f.continues = true
			continue
		}
		if len(element) == 0 {
			continue
		}
		if element[0]&0x04 != 0 && len(element) > 1 {
			f.continues, f.layered, f.temporal = false, true, element[1]>>5
			return f
		}
		switch element[0] >> 3 & 0x0f {
		case sequenceHeader, temporalDelimiter, metadata, padding:
		default:
			return f
		}
	}
	return f
}

// leb128 reads a number (AV1 specification section 4.10.5) and says how many
// bytes it has; 0: it is not one.
func leb128(b []byte) (value uint64, size int) {
	for i := range min(len(b), 8) {
		value |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return value, i + 1
		}
	}
	return 0, 0
}

// fates remembers of the last pictures of an AV1 stream whether they are sent,
// because not all of their packets tell their layer.
type fates struct {
	list [8]struct {
		timestamp     uint32
		dropped, used bool
	}
	next int
}

func (f *fates) note(timestamp uint32, dropped bool) {
	entry := &f.list[f.next]
	entry.timestamp, entry.dropped, entry.used = timestamp, dropped, true
	f.next = (f.next + 1) % len(f.list)
}

func (f *fates) of(timestamp uint32) (dropped, known bool) {
	for i := range f.list {
		if entry := &f.list[i]; entry.used && entry.timestamp == timestamp {
			return entry.dropped, true
		}
	}
	return false, false
}

// leftOut decides whether a packet that comes late is of a picture that is not
// sent. f.mu is held.
func (f *Feed) leftOut(out *outgoing, s *segment) bool {
	d := &out.frame
	dropped := d.layered && d.temporal > s.limit
	if !d.obu {
		return dropped
	}
	if before, known := f.picture.fates.of(out.timestamp); known {
		return before
	}
	if d.layered || d.continues {
		f.picture.fates.note(out.timestamp, dropped)
	}
	return dropped
}
