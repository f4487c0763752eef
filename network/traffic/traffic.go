// Package traffic names what a packet of a media connection is worth. Who makes the packet knows it; who carries it
// needs it where not all of them get through.
package traffic

// Kind is what a packet is, in the order in which packets are given up: the last one first.
type Kind uint8

const (
	Control Kind = iota // STUN, DTLS and RTCP: without them the connection ends
	Audio
	Video
	Repair // retransmissions (RFC 4588), which are asked for again
	Kinds
)

func (k Kind) String() string { return [Kinds]string{"control", "audio", "video", "repair"}[k] }
