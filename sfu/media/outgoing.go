package media

import (
	"encoding/binary"

	"github.com/pion/webrtc/v4"

	"skillsage/network/traffic"
	"skillsage/sfu/bwe"
)

// wireOverhead is what a packet has around its RTP header and payload on the wire:
// the tag of AES-GCM (RFC 7714 section 13.2) and the UDP and IPv4 headers.
const wireOverhead = 16 + 8 + 20

// onlyPadding is the payload of a packet that has none, with padding of this one byte (RFC 3550 section 5.1).
var onlyPadding = []byte{1}

// outgoingHeader is the header of a packet that is being sent.
type outgoingHeader struct {
	index       uint64 // sequence number, with the rollover counter in front (RFC 3711 section 3.3.1)
	timestamp   uint32
	ssrc        uint32
	delay       uint32 // values of extensions
	payloadType uint8
	marker      bool
	padding     bool // there is no payload
	level       byte
	levelID     uint8 // ids of extensions; 0: left out
	transportID uint8 // the transport-wide sequence number, which is not written here
	delayID     uint8
}

const (
	headerRoom    = 12 + 4 + 12           // bytes, the longest there is
	numberAt      = rtpHeaderSize + 4 + 1 // where the transport-wide sequence number stands
	headerPadding = 0x20                  // bits of the first byte
	headerExtends = 0x10
)

// put writes the header (RFC 3550 section 5.1, RFC 8285 section 4.2) to b and returns its size.
func (h *outgoingHeader) put(b *[headerRoom]byte) int {
	b[0], b[1] = 2<<6, h.payloadType
	if h.padding {
		b[0] |= headerPadding
	}
	if h.marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], uint16(h.index))
	binary.BigEndian.PutUint32(b[4:], h.timestamp)
	binary.BigEndian.PutUint32(b[8:], h.ssrc)
	if h.transportID|h.levelID|h.delayID == 0 {
		return rtpHeaderSize
	}
	b[0] |= headerExtends
	binary.BigEndian.PutUint16(b[rtpHeaderSize:], extensionOneByte)
	n := rtpHeaderSize + 4
	if h.transportID != 0 {
		b[n] = h.transportID<<4 | 1
		n += 3
	}
	if h.levelID != 0 {
		b[n], b[n+1] = h.levelID<<4, h.level
		n += 2
	}
	if h.delayID != 0 {
		binary.BigEndian.PutUint32(b[n:], h.delay)
		b[n] = h.delayID<<4 | 2
		n += 4
	}
	for n%4 != 0 {
		b[n] = 0
		n++
	}
	binary.BigEndian.PutUint16(b[rtpHeaderSize+2:], uint16(n-rtpHeaderSize-4)/4)
	return n
}

// writeRTP sends a packet with the header of the passage by the way that was decided on. An empty payload becomes
// padding. stack is that way's other end where packets go through the stack.
func (p *Port) writeRTP(w *passage, stack webrtc.TrackLocalWriter, payload []byte, kind traffic.Kind, now int64) error {
	h, history := &w.header, p.history.Load()
	if history == nil {
		h.transportID = 0
	}
	h.padding = len(payload) == 0
	n := h.put((*[headerRoom]byte)(w.packet[:]))
	if h.transportID != 0 {
		binary.BigEndian.PutUint16(w.packet[numberAt:], history.Sent(now, n+len(payload)+wireOverhead))
	}
	if d := p.direct.Load(); d != nil {
		if h.padding {
			payload = onlyPadding
		}
		return d.writeRTP(w, n, payload, kind)
	}
	if _, err := w.stacked.Unmarshal(w.packet[:n]); err != nil {
		return err
	}
	w.stacked.PaddingSize = 0
	if h.padding {
		w.stacked.PaddingSize = onlyPadding[0]
	}
	_, err := stack.WriteRTP(&w.stacked, payload)
	return err
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
		packets, bytes := f.sent()
		sum += bytes + c.resentBytes.Load() + header*(packets+c.retransmitted.Load()+c.repeated.Load())
	}
	return sum
}
