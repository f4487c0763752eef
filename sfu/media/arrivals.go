package media

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// Bounds of what is kept and sent of arrivals.
const (
	arrivalsKept   = 2048                          // packets; a power of two, so that numbers keep their slots where they wrap around
	arrivalsSilent = int64(500 * time.Millisecond) // after which a sender may begin anew

	feedbackMost   = 1000 // bytes of a packet at most, so that no network fragments it
	feedbackSlack  = 16   // bytes that what comes with one more arrival takes at most: four chunks, a delta, padding
	feedbackAtOnce = 8    // packets: at least arrivalsKept arrivals, unless their times are made up

	ticksPerReference = uint32(feedbackTick / feedbackDelta)
)

// feedbackBuffer has space for a packet, and for the deltas in it, which are known before it is known where they begin.
type feedbackBuffer [2 * feedbackMost]byte

// feedbackBuffers are shared by all ports, since many report at once.
var feedbackBuffers = sync.Pool{New: func() any { return new(feedbackBuffer) }}

// arrivals notes when packets arrived, by their transport-wide sequence numbers, and writes that down as
// feedback for their sender (draft-holmer-rmcat-transport-wide-cc-extensions-01). Feedback is contiguous: each
// packet begins where the one before has ended, or earlier when a packet came late that was reported as missing;
// then all that follow it are reported again.
//
// Times are counted in ticks of feedbackDelta, modulo 2^32, which is the modulus of the reference time too.
type arrivals struct {
	mu        sync.Mutex            // a leaf; guards all
	due       int64                 // when they are reported; 0: the reporter is to be woken by the next one
	ticks     *[arrivalsKept]uint32 // of the numbers before next, by number; 0: not received. nil: none has come yet
	mediaSSRC uint32                // of the last packet
	next      uint16                // the number after the highest one
	pending   uint16                // how many numbers before next are to be reported, at most arrivalsKept
	count     uint8                 // of feedback packets
}

// record notes a packet that arrived at now. It ignores repeated ones, and such as are more than arrivalsKept
// behind the highest, unless that came long ago: then the sender has begun anew. a.mu is held.
func (a *arrivals) record(ssrc uint32, number uint16, now int64) {
	a.mediaSSRC = ssrc
	tick := max(uint32(now/feedbackDelta), 1)
	if a.ticks == nil {
		a.ticks, a.next = new([arrivalsKept]uint32), number
	}
	switch behind := a.next - number; {
	case behind == 0 || behind > 1<<15:
		a.advance(number)
	case behind <= arrivalsKept:
		if a.ticks[number%arrivalsKept] != 0 {
			return
		}
		a.pending = max(a.pending, behind)
	case tick-a.ticks[(a.next-1)%arrivalsKept] < uint32(arrivalsSilent/feedbackDelta):
		return
	default:
		clear(a.ticks[:])
		a.next, a.pending = number+1, 1
	}
	a.ticks[number%arrivalsKept] = tick
}

// advance makes number the highest. Those that it leaves out have not been received.
func (a *arrivals) advance(number uint16) {
	missing := number - a.next
	if missing >= arrivalsKept {
		clear(a.ticks[:])
	} else {
		for ; a.next != number; a.next++ {
			a.ticks[a.next%arrivalsKept] = 0
		}
	}
	a.next = number + 1
	a.pending = min(a.pending+missing+1, arrivalsKept)
}

// feedback writes the next feedback packet into buf. There must be something pending; if something still is,
// another packet is to follow. a.mu is held.
func (a *arrivals) feedback(buf *feedbackBuffer, senderSSRC uint32) []byte {
	base := a.next - a.pending
	packet, deltas := buf[:feedbackHeader], buf[feedbackMost:feedbackMost]
	var statuses statusChunk
	var reference, last uint32
	told := base // the number after the last one in the packet
	for number := base; number != a.next; number++ {
		tick := a.ticks[number%arrivalsKept]
		if tick == 0 {
			continue
		}
		if told == base {
			reference = tick / ticksPerReference
			last = reference * ticksPerReference
		}
		delta := int32(tick - last)
		if delta != int32(int16(delta)) || len(packet)+len(deltas) > feedbackMost-feedbackSlack {
			break
		}
		last = tick
		for ; told != number; told++ {
			packet = statuses.add(packet, rtcp.TypeTCCPacketNotReceived)
		}
		told++
		if delta == int32(uint8(delta)) {
			packet = statuses.add(packet, rtcp.TypeTCCPacketReceivedSmallDelta)
			deltas = append(deltas, byte(delta))
		} else {
			packet = statuses.add(packet, rtcp.TypeTCCPacketReceivedLargeDelta)
			deltas = binary.BigEndian.AppendUint16(deltas, uint16(delta))
		}
	}
	packet = append(statuses.flush(packet), deltas...)

	first := byte(2<<6 | rtcp.FormatTCC)
	if padding := -len(packet) & 3; padding > 0 {
		first |= 1 << 5
		packet = append(packet, 0, 0, 0)[:len(packet)+padding]
		packet[len(packet)-1] = byte(padding)
	}
	packet[0], packet[1] = first, byte(rtcp.TypeTransportSpecificFeedback)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)/4-1))
	binary.BigEndian.PutUint32(packet[4:], senderSSRC)
	binary.BigEndian.PutUint32(packet[8:], a.mediaSSRC)
	binary.BigEndian.PutUint16(packet[12:], base)
	binary.BigEndian.PutUint16(packet[14:], told-base)
	binary.BigEndian.PutUint32(packet[16:], reference<<8|uint32(a.count))
	a.count++
	a.pending = a.next - told
	return packet
}

// Capacities of packet status chunks (draft-holmer-rmcat-transport-wide-cc-extensions-01 sections 3.1.3 and 3.1.4).
const (
	maxRunLength  = 1<<13 - 1
	maxOneBitList = 14
	maxTwoBitList = 7
)

// statusChunk collects the symbols of a packet status chunk, of whatever kind takes the most of them.
type statusChunk struct {
	symbols uint32 // two bits each, the latest lowest; of a longer run the last ones
	n       uint16
	mixed   bool // the symbols are not all the same
}

// add takes one symbol more, and appends a chunk to b if there is no space in this one.
func (c *statusChunk) add(b []byte, symbol uint16) []byte {
	if !c.takes(symbol) {
		b = c.emit(b)
	}
	c.mixed = c.mixed || c.n > 0 && symbol != c.last()
	c.symbols = c.symbols<<2 | uint32(symbol)
	c.n++
	return b
}

func (c *statusChunk) last() uint16 { return uint16(c.symbols & 3) }

func (c *statusChunk) takes(symbol uint16) bool {
	const large = 0xaaaaaaaa // the upper bit of each symbol
	return c.n < maxTwoBitList ||
		c.n < maxOneBitList && (c.symbols|uint32(symbol))&large == 0 ||
		c.n < maxRunLength && !c.mixed && symbol == c.last()
}

// emit appends a chunk of all symbols to b, or of the first seven.
func (c *statusChunk) emit(b []byte) []byte {
	var chunk uint16
	switch {
	case !c.mixed:
		chunk = c.last()<<13 | c.n
		*c = statusChunk{}
	case c.n == maxOneBitList:
		chunk = 2 << 14
		for i := range maxOneBitList {
			chunk |= uint16(c.symbols>>(2*i)&1) << i
		}
		*c = statusChunk{}
	default:
		rest := max(c.n, maxTwoBitList) - maxTwoBitList
		list := c.symbols >> (2 * rest) << (2 * (maxTwoBitList + rest - c.n))
		chunk = 3<<14 | uint16(list)
		mask := uint32(1)<<(2*rest) - 1
		c.symbols &= mask
		c.n, c.mixed = rest, c.symbols != 0x55555555*(c.symbols&3)&mask
	}
	return binary.BigEndian.AppendUint16(b, chunk)
}

// flush appends all symbols to b.
func (c *statusChunk) flush(b []byte) []byte {
	for c.n > 0 {
		b = c.emit(b)
	}
	return b
}
