package media

import (
	"sync"

	"github.com/pion/rtp"

	"skillsage/sfu/aead"
)

// maxPacket is more than any packet has, in bytes.
const maxPacket = 2048

// passage is the space that one packet takes on its way from a publisher to all viewers, or from a cache to one. It
// is shared by all connections: there is one for each packet under way, and it is in the processor's caches.
type passage struct {
	in     packet
	out    outgoing
	feeds  []*Feed        // that out is for
	header outgoingHeader // of the copy that is being sent

	nonce   aead.Nonce
	stacked rtp.Header // for Pion's stack and contexts

	payload [maxPacket]byte // decrypted, or from a cache
	packet  [maxPacket]byte // the copy that is being sent
}

var passages = sync.Pool{New: func() any { return new(passage) }}
