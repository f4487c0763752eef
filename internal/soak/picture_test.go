package soak

import (
	"encoding/binary"
	"time"
)

// A picture of the soak is one packet: a VP8 payload descriptor without extensions (RFC 7741 section 4.2), the
// first bytes of a VP8 frame (RFC 6386 section 9.1), then which encoder made it and its number there.
const (
	pictureBytes  = 600
	pictureHeader = 1 + 10
	pictureEvery  = 40 * time.Millisecond
	voiceEvery    = 20 * time.Millisecond
)

type picture struct {
	key     bool
	encoder uint64 // one that is turned on again is another one
	n       uint64
}

func (p picture) payload() []byte {
	data := make([]byte, pictureBytes)
	data[0] = 0x10
	if p.key {
		copy(data[1:], []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00})
	} else {
		data[1] = 0x11
	}
	binary.BigEndian.PutUint64(data[pictureHeader:], p.encoder)
	binary.BigEndian.PutUint64(data[pictureHeader+8:], p.n)
	return data
}

func parsePicture(data []byte) (picture, bool) {
	if len(data) != pictureBytes || data[0] != 0x10 {
		return picture{}, false
	}
	return picture{
		key:     data[1]&1 == 0,
		encoder: binary.BigEndian.Uint64(data[pictureHeader:]),
		n:       binary.BigEndian.Uint64(data[pictureHeader+8:]),
	}, true
}

const (
	// missingFor is how long a decoder waits for a lost packet before it asks for a key frame, and then between
	// two requests.
	missingFor = 300 * time.Millisecond
	maxWaiting = 256
)

// decoder shows what a browser's would: a key frame, or the successor of what it showed last. So a packet that
// is never repaired, and an upload that moved without a key frame, freeze the picture.
type decoder struct {
	begun   bool
	last    picture
	seq     uint16 // of the last one
	waiting map[uint16]picture
	since   time.Time // when what waits began to
	asked   time.Time
	foreign uint64 // packets that were no pictures of the soak
	broken  uint64 // successors by sequence number that were none by content
}

// push takes a packet. It tells whether a picture was shown and whether the publisher has to be asked for a key frame.
func (d *decoder) push(seq uint16, payload []byte, now time.Time) (shown, ask bool) {
	p, ok := parsePicture(payload)
	if !ok {
		d.foreign++
		return false, false
	}
	if d.waiting == nil {
		d.waiting = make(map[uint16]picture)
	}
	if d.begun && int16(seq-d.seq) <= 0 {
		return false, false // repeated or too late
	}
	if len(d.waiting) == 0 {
		d.since = now
	}
	if len(d.waiting) >= maxWaiting {
		clear(d.waiting)
	}
	d.waiting[seq] = p
	for {
		next, ok := d.next()
		if !ok {
			break
		}
		d.begun, d.seq, d.last, shown = true, next, d.waiting[next], true
		for other := range d.waiting {
			if int16(other-next) <= 0 {
				delete(d.waiting, other)
			}
		}
		d.since = now
	}
	if len(d.waiting) > 0 && now.Sub(d.since) > missingFor && now.Sub(d.asked) > missingFor {
		d.asked, ask = now, true
	}
	return shown, ask || !d.begun && d.asked.IsZero()
}

// next finds what can be shown now: the successor, else the newest key frame.
func (d *decoder) next() (uint16, bool) {
	if p, ok := d.waiting[d.seq+1]; ok && d.begun {
		if p.key || p.encoder == d.last.encoder && p.n == d.last.n+1 {
			return d.seq + 1, true
		}
		d.broken++
		delete(d.waiting, d.seq+1)
	}
	best, found := uint16(0), false
	for seq, p := range d.waiting {
		if p.key && (!found || int16(seq-best) > 0) {
			best, found = seq, true
		}
	}
	return best, found
}
