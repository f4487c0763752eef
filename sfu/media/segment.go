package media

// keptSegments is how many of a feed's last segments can still be asked for.
const keptSegments = 64

// segment is a stretch of a layer as one feed sends it: the layer's packets
// from first on have the feed's numbers from "from" on, up to the beginning of
// the next segment. Immutable once another one follows.
type segment struct {
	layer    *layer
	from     uint64 // number of the feed
	first    uint64 // number of the layer
	tsOffset uint32 // added to the layer's timestamps
	squeeze  squeeze

	describe func([]byte) frame // reads the payloads
	limit    uint8              // highest temporal layer among its packets
	pictures uint16             // subtracted from picture ids (VP8)
	bases    uint8              // and from TL0PICIDX
}

// squeeze shortens the time between the timestamps of packets that are sent
// together although they came one after the other: a receiver would wait between
// them as long as their timestamps say.
type squeeze struct {
	before    uint64 // layer's number from which on timestamps are left alone; 0: all are
	timestamp uint32 // layer's timestamp of the packet in front of that
	shift     uint8  // times before it are divided by two to the power of this
}

// timestamp is the feed's timestamp of a packet.
func (s *segment) timestamp(sequence uint64, timestamp uint32) uint32 {
	if sequence < s.squeeze.before {
		if ahead := int32(s.squeeze.timestamp - timestamp); ahead > 0 {
			timestamp = s.squeeze.timestamp - uint32(ahead)>>s.squeeze.shift
		}
	}
	return timestamp + s.tsOffset
}

// segments are the last segments of a feed, in a ring.
type segments struct {
	count int // pushed ever
	list  [keptSegments]segment
}

func (s *segments) clear() { s.count = 0 }

// last is the present segment; there has to be one.
func (s *segments) last() *segment { return &s.list[uint(s.count-1)%keptSegments] }

func (s *segments) push(next segment) {
	s.list[uint(s.count)%keptSegments] = next
	s.count++
}

// ofSource finds the number that a packet of a layer has, or would have had, in
// the feed; nil if it falls into no segment.
func (s *segments) ofSource(l *layer, sequence uint64) (*segment, uint64) {
	end := ^uint64(0)
	for i := s.count - 1; i >= max(0, s.count-keptSegments); i-- {
		segment := &s.list[uint(i)%keptSegments]
		if segment.layer == l && sequence >= segment.first && sequence-segment.first < end-segment.from {
			return segment, segment.from + sequence - segment.first
		}
		end = segment.from
	}
	return nil, 0
}

// ofFeed finds the layer's number of a packet of the feed; nil if it is too old.
func (s *segments) ofFeed(sequence uint64) (*segment, uint64) {
	for i := s.count - 1; i >= max(0, s.count-keptSegments); i-- {
		if segment := &s.list[uint(i)%keptSegments]; sequence >= segment.from {
			return segment, segment.first + sequence - segment.from
		}
	}
	return nil, 0
}
