package media

import (
	"encoding/binary"

	"github.com/pion/rtp"

	"skillsage/sfu/bwe"
)

// wireOverhead is what a packet has around its RTP header and payload on the wire:
// the tag of AES-GCM (RFC 7714 section 13.2) and the UDP and IPv4 headers.
const wireOverhead = 16 + 8 + 20

// outgoingHeader is the header of a packet that is being sent. It belongs to the
// goroutine that sends it.
type outgoingHeader struct {
	rtp.Header
	// Values of extensions in Header.
	number [2]byte
	delay  [3]byte
}

// clearExtensions leaves a header without extensions, and the space for them.
func (h *outgoingHeader) clearExtensions() {
	h.Extension, h.ExtensionProfile, h.Extensions = false, 0, h.Extensions[:0]
}

// wireSize is what a packet takes on the wire, in bytes.
func (h *outgoingHeader) wireSize(payload []byte) int {
	return h.MarshalSize() + len(payload) + wireOverhead
}

// numberPacket gives a packet that is about to be sent its transport-wide
// sequence number, in the header extension of that id; 0: not negotiated. Any
// number of goroutines may do so at once.
func (p *Port) numberPacket(id uint8, header *outgoingHeader, payload []byte, now int64) {
	history := p.history.Load()
	if id == 0 || history == nil {
		return
	}
	if header.SetExtension(id, header.number[:]) != nil {
		return
	}
	binary.BigEndian.PutUint16(header.number[:], history.Sent(now, header.wireSize(payload)))
}

// numberPackets makes a port remember what it sends, for a viewer who reports on
// transport-wide sequence numbers.
func (p *Port) numberPackets() {
	if p.history.Load() == nil {
		p.history.CompareAndSwap(nil, new(bwe.History))
	}
}

// wireBytes is what the port's feeds have sent.
func (p *Port) wireBytes() uint64 {
	const header = rtpHeaderSize + 8 + wireOverhead // with the extensions of most packets
	var sum uint64
	for _, f := range *p.feeds.Load() {
		c := &f.counters
		sum += c.bytes.Load() + c.resentBytes.Load() + header*(c.packets.Load()+c.retransmitted.Load()+c.repeated.Load())
	}
	return sum
}
