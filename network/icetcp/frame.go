package icetcp

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	frameHeader = 2    // bytes: the length of what follows (RFC 4571 section 2)
	maxPacket   = 2048 // bytes; WebRTC stays below 1500
	readBuffer  = 8 << 10
)

var errFrame = errors.New("icetcp: a frame is longer than any packet of WebRTC")

// frames takes a stream apart into packets (RFC 4571). Packets are parts of its buffer: nothing is copied but the
// beginning of a frame whose end has not come yet.
type frames struct {
	from       io.Reader
	buffer     []byte
	start, end int // of what has been read and not been taken
}

func newFrames(from io.Reader) frames { return frames{from: from, buffer: make([]byte, readBuffer)} }

// next returns a packet, which may be changed and is valid until the next call. Null packets, which have no
// content, are passed over.
func (f *frames) next() ([]byte, error) {
	for {
		waiting := f.buffer[f.start:f.end]
		if len(waiting) >= frameHeader {
			end := frameHeader + int(binary.BigEndian.Uint16(waiting))
			if end > frameHeader+maxPacket {
				return nil, errFrame
			}
			if end <= len(waiting) {
				f.start += end
				if end == frameHeader {
					continue
				}
				return waiting[frameHeader:end:end], nil
			}
		}
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more, after it has made room for a whole frame.
func (f *frames) fill() error {
	if len(f.buffer)-f.start < frameHeader+maxPacket || f.start == f.end {
		f.end = copy(f.buffer, f.buffer[f.start:f.end])
		f.start = 0
	}
	n, err := f.from.Read(f.buffer[f.end:])
	f.end += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}
