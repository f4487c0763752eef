package media

import "encoding/binary"

// packet is one RTP packet (RFC 3550 section 5.1), parsed in place: its slices
// point into the buffer it was parsed from.
type packet struct {
	marker         bool
	payloadType    uint8
	sequence       uint16
	timestamp      uint32
	ssrc           uint32
	payload        []byte // without padding
	padded         bool   // it ends with padding
	red            redundancy
	extension      []byte // body of the header extension, or nil
	twoByteHeaders bool   // RFC 8285 section 4.3 instead of 4.2
}

const (
	rtpHeaderSize         = 12
	extensionOneByte      = 0xBEDE
	extensionTwoByte      = 0x1000
	extensionTwoByteMask  = 0xFFF0
	extensionOneByteLimit = 15 // an id that ends the parsing
)

// parse reads a packet and reports whether it is well-formed.
func (p *packet) parse(b []byte) bool {
	start, ok := p.parseHeader(b)
	return ok && p.setPayload(b[start:])
}

// parseHeader reads all but the payload of a packet, which may be encrypted. It returns where the payload begins.
func (p *packet) parseHeader(b []byte) (start int, ok bool) {
	if len(b) < rtpHeaderSize || b[0]>>6 != 2 {
		return 0, false
	}
	p.marker = b[1]&0x80 != 0
	p.payloadType = b[1] & 0x7f
	p.sequence = binary.BigEndian.Uint16(b[2:])
	p.timestamp = binary.BigEndian.Uint32(b[4:])
	p.ssrc = binary.BigEndian.Uint32(b[8:])
	p.padded = b[0]&0x20 != 0
	p.extension, p.red = nil, redundancy{}

	start = rtpHeaderSize + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < start+4 {
			return 0, false
		}
		profile := binary.BigEndian.Uint16(b[start:])
		size := 4 * int(binary.BigEndian.Uint16(b[start+2:]))
		start += 4
		if len(b) < start+size {
			return 0, false
		}
		p.twoByteHeaders = profile&extensionTwoByteMask == extensionTwoByte
		if p.twoByteHeaders || profile == extensionOneByte {
			p.extension = b[start : start+size]
		}
		start += size
	}
	return start, start <= len(b)
}

// setPayload takes what follows the header, and leaves out the padding; false: that is longer than all of it.
func (p *packet) setPayload(b []byte) bool {
	if p.padded {
		if len(b) == 0 || b[len(b)-1] == 0 || int(b[len(b)-1]) > len(b) {
			return false
		}
		b = b[:len(b)-int(b[len(b)-1])]
	}
	p.payload = b
	return true
}

// headerExtension finds the value of one header extension element (RFC 8285),
// or nil. An id of 0 stands for an extension that was not negotiated.
func (p *packet) headerExtension(id uint8) []byte {
	if id == 0 {
		return nil
	}
	for b := p.extension; len(b) > 0; {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		var element uint8
		var size int
		if p.twoByteHeaders {
			if len(b) < 2 {
				return nil
			}
			element, size = b[0], int(b[1])
			b = b[2:]
		} else {
			element, size = b[0]>>4, int(b[0]&0x0f)+1
			if element == extensionOneByteLimit {
				return nil
			}
			b = b[1:]
		}
		if size > len(b) {
			return nil
		}
		if element == id {
			return b[:size]
		}
		b = b[size:]
	}
	return nil
}
