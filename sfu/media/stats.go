package media

import "time"

// UpstreamStats is a snapshot of an Upstream's counters since its start: sums over
// its simulcast layers; the jitter is that of the worst one.
type UpstreamStats struct {
	Packets    uint64 // RTP packets received, repaired ones among them
	Bytes      uint64 // their payloads
	Repaired   uint64 // of Packets: received as retransmissions
	Redundant  uint64 // of Packets: with copies of earlier ones inside (RED)
	Probes     uint64 // retransmission packets without a payload (bandwidth probes)
	Malformed  uint64 // not RTP, or with a payload type that was not negotiated
	Unassigned uint64 // dropped because the upstream carries no source (yet)
	Lost       uint64 // found missing; repaired ones among them
	Expected   uint64 // sent by their numbers, without retransmissions (RFC 3550 appendix A.3)
	Arrived    uint64 // of Expected; late ones count, duplicates twice
	NACKed     uint64 // requests for single packets sent
	GivenUp    uint64 // missing packets that were given up
	PLIs       uint64 // key frame requests sent
	Jitter     time.Duration
}

// SourceStats is a snapshot of a Source's counters.
type SourceStats struct {
	Packets    uint64 // forwarded to the feeds that could take them
	Bytes      uint64 // their payloads
	KeyFrames  uint64 // key frames begun (video)
	Duplicates uint64 // packets dropped because they had been seen or were too old
	Padding    uint64 // packets without a payload, whose gap was closed
	NotCarrier uint64 // packets dropped because their upstream is not (yet) the carrier
	Switches   uint64 // carriers that took over
}

// FeedStats is a snapshot of a Feed's counters and of what its receiver reported.
type FeedStats struct {
	Packets       uint64 // RTP packets written, without retransmissions
	Bytes         uint64 // their payloads
	Redundant     uint64 // of Packets: with copies of earlier ones inside (RED)
	WriteErrors   uint64 // of Packets and Retransmitted: the connection did not take them
	Unsupported   uint64 // packets dropped because the viewer has not negotiated their format
	AwaitingKey   uint64 // packets dropped because the feed waits for a key frame
	KeyFrames     uint64 // key frames begun
	Gaps          uint64 // times over 500 ms between two packets of a running video, screens excepted
	LongestGap    time.Duration
	LayerSwitches uint64 // times it went on with another simulcast layer
	Replays       uint64 // times it began with packets from the cache
	NACKed        uint64 // packets the viewer asked for again
	Retransmitted uint64
	Repeated      uint64 // of Retransmitted: sent twice, because the viewer loses repairs too
	NACKMissed    uint64 // asked for, but not (any more, or yet) in the cache
	NACKLimited   uint64 // asked for, but sent again too recently or too often
	PLIs          uint64 // key frame requests of the viewer (PLI and FIR)
	FractionLost  uint8  // of the last receiver report, in 1/256 (RFC 3550 section 6.4.1)
	TotalLost     uint32 // of the last receiver report
	Jitter        time.Duration
	RTT           time.Duration // 0: not known yet
}

// PortStats is a snapshot of a Port's counters.
type PortStats struct {
	RTT          time.Duration // of the connection, as last measured by any of its feeds; 0: not known
	REMB         uint64        // last receiver estimated maximum bitrate of the viewer, bit/s; 0: none
	TWCCFeedback uint64        // transport-wide feedback packets sent
	TWCCReceived uint64        // and received, for Estimate
	Unbound      uint64        // RTP packets of streams without an Upstream
	Direct       bool          // packets go past the WebRTC stack, both ways
	Undecrypted  uint64        // packets that came that way and could not be decrypted
	RTCPErrors   uint64        // RTCP packets that could not be parsed or written
}
