package media

import (
	"encoding/binary"

	"github.com/pion/rtp"

	"skillsage/network/traffic"
)

const (
	resendHistory  = 256         // packets whose last retransmission is remembered
	resendInterval = int64(20e6) // least time between two retransmissions of a packet
	resendLimit    = 8           // retransmissions of a packet
	resendBurst    = 128         // retransmissions at once,
	resendPart     = 2           // and over time one for so many packets forwarded: more would only fill the queue that loses them

	// From this round trip time on a repair that is lost in its turn makes the picture stand still, since asking
	// again takes as long again. Repairs then go out twice.
	repeatRTT = int64(60e6)
	// Shares of packets lost, in 1/256, between which that is worth it: below it is seldom needed, above the path
	// is more likely full than faulty.
	repeatLossLeast, repeatLossMost = 4, 38
	lossWeight                      = 8 // reports that the average of the loss goes over
)

// resendLimiter bounds what a viewer can make a feed send again.
type resendLimiter struct {
	spent  int // of resendBurst, in forwarded packets: each retransmission costs resendPart
	recent [resendHistory]struct {
		sequence uint64
		at       int64
		times    int
	}
}

// forwarded notes a packet that was sent for the first time.
func (l *resendLimiter) forwarded() { l.spent = max(l.spent-1, 0) }

// pay takes one retransmission from the budget.
func (l *resendLimiter) pay() bool {
	if l.spent+resendPart > resendBurst*resendPart {
		return false
	}
	l.spent += resendPart
	return true
}

// allow reports whether the packet may be sent again now, and notes that it is.
func (l *resendLimiter) allow(sequence uint64, now, rtt int64) bool {
	recent := &l.recent[sequence%resendHistory]
	again := recent.sequence == sequence && recent.times > 0
	// The viewer measures the round trip too, and a little differently.
	if again && (now-recent.at < max(rtt-rtt/8, resendInterval) || recent.times == resendLimit) {
		return false
	}
	if !l.pay() {
		return false
	}
	if !again {
		recent.times = 0
	}
	recent.sequence, recent.at = sequence, now
	recent.times++
	return true
}

// allowCopy reports whether a second copy may be sent of a packet that was just allowed.
func (l *resendLimiter) allowCopy() bool { return l.pay() }

// sentLate notes a packet that has just been forwarded late, so that a request
// for it that is on its way is not answered too.
func (l *resendLimiter) sentLate(sequence uint64, now int64) {
	recent := &l.recent[sequence%resendHistory]
	recent.sequence, recent.at, recent.times = sequence, now, 1
}

// resend answers the pairs of a generic NACK from the source's cache: as retransmissions
// (RFC 4588) where the viewer has negotiated them, else as the same packets.
// header and buffer are those of the port, whose inMu is held.
func (f *Feed) resend(pairs []byte, header *outgoingHeader, buffer []byte, now int64) {
	for ; len(pairs) > 0; pairs = pairs[nackPairSize:] {
		first, following := binary.BigEndian.Uint16(pairs), binary.BigEndian.Uint16(pairs[2:])
		f.resendOne(first, header, buffer, now)
		for bit := range uint16(nackSpan) {
			if following&(1<<bit) != 0 {
				f.resendOne(first+bit+1, header, buffer, now)
			}
		}
	}
}

func (f *Feed) resendOne(number uint16, header *outgoingHeader, buffer []byte, now int64) {
	f.counters.nacked.Add(1)
	f.mu.Lock()
	sequence := nearest(f.sequence.highest, number)
	segment, inLayer := f.segments.ofFeed(sequence)
	if segment == nil || !f.running || !f.ready() || sequence > f.sequence.highest {
		f.mu.Unlock()
		f.counters.nackMissed.Add(1)
		return
	}
	source, layer := f.source, segment.layer
	f.mu.Unlock()

	info, size, ok := layer.cached(inLayer, buffer[2:])
	if !ok || size == 0 {
		f.counters.nackMissed.Add(1)
		return
	}

	f.mu.Lock()
	segment, still := f.segments.ofFeed(sequence)
	if f.source != source || !f.ready() || segment == nil || still != inLayer || segment.layer != layer {
		f.mu.Unlock()
		f.counters.nackMissed.Add(1)
		return
	}
	// A paused picture goes on with a key frame, on a link that has to recover until then.
	if f.target.Load()&targetPaused != 0 || !f.resends.allow(sequence, now, f.counters.rtt.Load()) {
		f.mu.Unlock()
		f.counters.nackLimited.Add(1)
		return
	}
	header.Header = rtp.Header{
		Version:        2,
		Marker:         info.Marker,
		PayloadType:    f.payload.number,
		SequenceNumber: uint16(sequence),
		Timestamp:      segment.timestamp(inLayer, info.Timestamp),
		SSRC:           f.bound.ssrc,
		Extensions:     header.Extensions[:0],
	}
	payload := buffer[2 : 2+size]
	if dropped, known := f.picture.fates.of(info.Timestamp); !known {
		payload = segment.rewrite(payload)
	} else if dropped {
		payload = nil
	}
	twice := false
	if len(payload) == 0 { // the number was kept for a packet that is not to be sent
		header.Padding, header.PaddingSize = true, 1
	} else if f.payload.hasRTX && f.bound.rtxSSRC != 0 {
		binary.BigEndian.PutUint16(buffer, uint16(sequence))
		payload = buffer[:2+size]
		header.PayloadType = f.payload.rtx
		header.SSRC = f.bound.rtxSSRC
		header.SequenceNumber = f.rtxSequence
		f.rtxSequence++
		if twice = f.losesRepairs() && f.resends.allowCopy(); twice {
			f.rtxSequence++
		}
	}
	writer, transport := f.bound.writer, f.bound.transport
	f.mu.Unlock()

	f.port.numberPacket(transport, header, payload, now)
	if err := f.port.writeRTP(writer, &header.Header, payload, traffic.Repair); err != nil {
		f.counters.writeErrors.Add(1)
		return
	}
	f.counters.retransmitted.Add(1)
	f.counters.resentBytes.Add(uint64(len(payload)))
	if !twice {
		return
	}
	header.SequenceNumber++
	f.port.numberPacket(transport, header, payload, now)
	if err := f.port.writeRTP(writer, &header.Header, payload, traffic.Repair); err != nil {
		f.counters.writeErrors.Add(1)
		return
	}
	f.counters.repeated.Add(1)
	f.counters.resentBytes.Add(uint64(len(payload)))
}

// losesRepairs reports whether retransmissions to the viewer should go out twice.
func (f *Feed) losesRepairs() bool {
	loss := f.counters.lossAverage.Load()
	return f.counters.rtt.Load() >= repeatRTT && loss >= repeatLossLeast<<8 && loss <= repeatLossMost<<8
}
