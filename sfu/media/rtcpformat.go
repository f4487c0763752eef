package media

import (
	"encoding/binary"

	"github.com/pion/rtcp"
)

// The RTCP packets that come and go all the time, read and written in place. What reads is given one whole packet, as
// nextRTCP cuts it; ok is false where it is malformed.

// Sizes in bytes.
const (
	rtcpHeaderSize      = 4  // RFC 3550 section 6.4.1
	senderReportSize    = 28 // with its header, without report blocks (RFC 3550 section 6.4.1)
	receiverReportSize  = 8  // the same (RFC 3550 section 6.4.2)
	receptionReportSize = 24 // a report block (RFC 3550 section 6.4.1)
	feedbackSize        = 12 // with its header, without control information (RFC 4585 section 6.1)
	nackPairSize        = 4  // RFC 4585 section 6.2.1
	firEntrySize        = 8  // RFC 5104 section 4.3.1.1
	rembSize            = 20 // without SSRCs (draft-alvestrand-rmcat-remb-03 section 2.2)

	rtcpVersion = 2
	rtcpPadding = 0x20 // of the first byte: that there is padding,
	rtcpCount   = 0x1f // and how many parts the packet has, or which feedback it is
	maxCNAME    = 255  // bytes (RFC 3550 section 6.5)
	nackSpan    = 16   // packets after the first that a NACK pair speaks of
)

// nextRTCP cuts the first packet off a compound (RFC 3550 sections 6.1 and 6.4.1).
func nextRTCP(compound []byte) (first, rest []byte, ok bool) {
	if len(compound) < rtcpHeaderSize || compound[0]>>6 != rtcpVersion {
		return nil, nil, false
	}
	size := 4 * (int(binary.BigEndian.Uint16(compound[2:])) + 1)
	if size > len(compound) {
		return nil, nil, false
	}
	return compound[:size], compound[size:], true
}

// readSenderReport reads a sender report (RFC 3550 section 6.4.1), whose report blocks are returned as they came.
func readSenderReport(raw []byte) (sr rtcp.SenderReport, blocks []byte, ok bool) {
	if blocks, ok = reportBlocks(raw, senderReportSize); !ok {
		return sr, nil, false
	}
	sr.SSRC = binary.BigEndian.Uint32(raw[4:])
	sr.NTPTime = binary.BigEndian.Uint64(raw[8:])
	sr.RTPTime = binary.BigEndian.Uint32(raw[16:])
	sr.PacketCount = binary.BigEndian.Uint32(raw[20:])
	sr.OctetCount = binary.BigEndian.Uint32(raw[24:])
	return sr, blocks, true
}

// reportBlocks are those of a sender or receiver report, which begin at some offset.
func reportBlocks(raw []byte, at int) (blocks []byte, ok bool) {
	end := at + receptionReportSize*int(raw[0]&rtcpCount)
	if end > len(raw) {
		return nil, false
	}
	return raw[at:end], true
}

// readReceptionReport reads the first of some report blocks (RFC 3550 section 6.4.1).
func readReceptionReport(blocks []byte) rtcp.ReceptionReport {
	b := blocks[:receptionReportSize]
	return rtcp.ReceptionReport{
		SSRC:               binary.BigEndian.Uint32(b),
		FractionLost:       b[4],
		TotalLost:          binary.BigEndian.Uint32(b[4:]) & 0xffffff,
		LastSequenceNumber: binary.BigEndian.Uint32(b[8:]),
		Jitter:             binary.BigEndian.Uint32(b[12:]),
		LastSenderReport:   binary.BigEndian.Uint32(b[16:]),
		Delay:              binary.BigEndian.Uint32(b[20:]),
	}
}

// readFeedback reads whose packets a feedback message is about, and its feedback control information (RFC 4585 section 6.1).
func readFeedback(raw []byte) (media uint32, fci []byte, ok bool) {
	if len(raw) < feedbackSize {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(raw[8:]), raw[feedbackSize:], true
}

// readNACK reads a generic NACK, whose pairs are returned as they came (RFC 4585 section 6.2.1).
func readNACK(raw []byte) (media uint32, pairs []byte, ok bool) {
	media, pairs, ok = readFeedback(raw)
	return media, pairs, ok && len(pairs) > 0
}

// readFIR reads a full intra request, whose entries are returned as they came (RFC 5104 section 4.3.1.1).
func readFIR(raw []byte) (entries []byte, ok bool) {
	_, entries, ok = readFeedback(raw)
	return entries, ok && len(entries) > 0 && len(entries)%firEntrySize == 0
}

// readREMB reads the bit/s of a receiver estimated maximum bitrate message (draft-alvestrand-rmcat-remb-03 section 2.2).
func readREMB(raw []byte) (bitrate float64, ok bool) {
	padded := raw[0]&rtcpPadding != 0
	if len(raw) < rembSize || padded || binary.BigEndian.Uint32(raw[8:]) != 0 ||
		string(raw[12:16]) != "REMB" || len(raw) != rembSize+4*int(raw[16]) {
		return 0, false
	}
	mantissa := binary.BigEndian.Uint32(raw[16:]) & 0x3ffff
	return float64(mantissa) * float64(uint64(1)<<(raw[17]>>2)), true
}

// beginRTCP appends the first words of a report: space for putRTCPHeader, and the SSRC of who sends it.
func beginRTCP(b []byte, sender uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, make([]byte, rtcpHeaderSize)...), sender)
}

// beginFeedback is beginRTCP for a feedback message about media (RFC 4585 section 6.1).
func beginFeedback(b []byte, sender, media uint32) []byte {
	return binary.BigEndian.AppendUint32(beginRTCP(b, sender), media)
}

// putRTCPHeader writes the header of a packet of which the rest is there (RFC 3550 section 6.4.1).
func putRTCPHeader(packet []byte, kind rtcp.PacketType, count uint8) {
	packet[0], packet[1] = rtcpVersion<<6|count, byte(kind)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)/4-1))
}

// appendSenderReport appends a sender report without report blocks (RFC 3550 section 6.4.1).
func appendSenderReport(b []byte, sr *rtcp.SenderReport) []byte {
	start := len(b)
	b = beginRTCP(b, sr.SSRC)
	b = binary.BigEndian.AppendUint64(b, sr.NTPTime)
	b = binary.BigEndian.AppendUint32(b, sr.RTPTime)
	b = binary.BigEndian.AppendUint32(b, sr.PacketCount)
	b = binary.BigEndian.AppendUint32(b, sr.OctetCount)
	putRTCPHeader(b[start:], rtcp.TypeSenderReport, 0)
	return b
}

// canonicalName is the CNAME of a source (RFC 3550 section 6.5.1).
type canonicalName struct {
	ssrc uint32
	name string
}

// appendCanonicalNames appends a source description (RFC 3550 section 6.5) of at most 31 sources.
func appendCanonicalNames(b []byte, names []canonicalName) []byte {
	start := len(b)
	b = append(b, make([]byte, rtcpHeaderSize)...)
	for i := range names {
		name := names[i].name
		name = name[:min(len(name), maxCNAME)]
		b = binary.BigEndian.AppendUint32(b, names[i].ssrc)
		b = append(b, byte(rtcp.SDESCNAME), byte(len(name)))
		b = append(b, name...)
		b = append(b, make([]byte, 4-(2+len(name))%4)...) // ends the chunk, at the end of a word
	}
	putRTCPHeader(b[start:], rtcp.TypeSourceDescription, uint8(len(names)))
	return b
}

// appendReceptionReport appends a report block (RFC 3550 section 6.4.1).
func appendReceptionReport(b []byte, r *rtcp.ReceptionReport) []byte {
	b = binary.BigEndian.AppendUint32(b, r.SSRC)
	b = binary.BigEndian.AppendUint32(b, uint32(r.FractionLost)<<24|r.TotalLost&0xffffff)
	b = binary.BigEndian.AppendUint32(b, r.LastSequenceNumber)
	b = binary.BigEndian.AppendUint32(b, r.Jitter)
	b = binary.BigEndian.AppendUint32(b, r.LastSenderReport)
	return binary.BigEndian.AppendUint32(b, r.Delay)
}

// appendNACKPairs appends the numbers of missing packets, which ascend, as a generic NACK has them (RFC 4585
// section 6.2.1).
func appendNACKPairs(b []byte, numbers []uint16) []byte {
	for len(numbers) > 0 {
		first, following := numbers[0], uint16(0)
		for numbers = numbers[1:]; len(numbers) > 0 && numbers[0]-first <= nackSpan; numbers = numbers[1:] {
			following |= 1 << (numbers[0] - first - 1)
		}
		b = binary.BigEndian.AppendUint16(b, first)
		b = binary.BigEndian.AppendUint16(b, following)
	}
	return b
}
