package frames

import "time"

// opus is RFC 7587: a packet is a frame.
type opus struct{ data []byte }

func (o *opus) begin(bool) {}

func (o *opus) add(payload []byte) error {
	o.data = payload
	return nil
}

func (o *opus) finish(f *Frame) error {
	if OpusDuration(o.data) == 0 {
		return errFrame
	}
	f.Data, f.Key = o.data, true
	return nil
}

// OpusDuration is how long a packet of Opus lasts (RFC 6716 section 3.1), told by its
// first two bytes; 0: it is not valid.
func OpusDuration(packet []byte) time.Duration {
	if len(packet) == 0 {
		return 0
	}
	const ms = time.Millisecond
	var frame time.Duration
	switch config := packet[0] >> 3; {
	case config < 12: // SILK
		frame = []time.Duration{10 * ms, 20 * ms, 40 * ms, 60 * ms}[config%4]
	case config < 16: // hybrid
		frame = []time.Duration{10 * ms, 20 * ms}[config%2]
	default: // CELT
		frame = 2500 * time.Microsecond << (config % 4)
	}
	count := 1
	switch packet[0] & 0x03 {
	case 1, 2:
		count = 2
	case 3:
		if len(packet) < 2 {
			return 0
		}
		count = int(packet[1] & 0x3f)
	}
	if total := frame * time.Duration(count); total <= 120*ms {
		return total
	}
	return 0
}
