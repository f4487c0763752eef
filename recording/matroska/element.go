package matroska

import (
	"encoding/binary"
	"io"
	"math/bits"
)

// Element identifiers (RFC 9559 section 5.1) that are looked for in files.
const (
	idEBML        = 0x1a45dfa3
	idSegment     = 0x18538067
	idCluster     = 0x1f43b675
	idCues        = 0x1c53bb6b
	idTimestamp   = 0xe7
	idSimpleBlock = 0xa3
	idVoid        = 0xec
)

// unknownSize is the content of a size that is all ones (RFC 8794 section 6.2).
const unknownSize = 1<<56 - 1

// element is the header of an element: what it is, and where its data are.
type element struct {
	id   uint32
	data int64 // offset in the file
	size int64 // of the data
}

func (e *element) end() int64 { return e.data + e.size }

// readElement reads the header at an offset. Its data may reach up to limit; an
// element that reaches further, and one of unknown size, is not there.
func readElement(r io.ReaderAt, at, limit int64) (element, bool) {
	var buf [12]byte
	n, _ := r.ReadAt(buf[:min(12, max(0, limit-at))], at)
	e, ok := parseElement(buf[:n])
	e.data += at
	return e, ok && e.size <= limit-e.data
}

// parseElement reads the header at the beginning of b; data is its length.
func parseElement(b []byte) (element, bool) {
	if len(b) == 0 {
		return element{}, false
	}
	length := bits.LeadingZeros8(b[0]) + 1
	if length > 4 || length >= len(b) {
		return element{}, false
	}
	var e element
	for _, c := range b[:length] {
		e.id = e.id<<8 | uint32(c)
	}
	size, n := parseSize(b[length:])
	e.data, e.size = int64(length+n), int64(size)
	return e, n > 0
}

// parseSize reads a variable-size integer (RFC 8794 section 4) and tells how
// many bytes it has; 0: it is none, or says that a size is not known.
func parseSize(b []byte) (value uint64, length int) {
	if len(b) == 0 {
		return 0, 0
	}
	length = bits.LeadingZeros8(b[0]) + 1
	if length > 8 || length > len(b) {
		return 0, 0
	}
	value = uint64(b[0]) &^ (1 << (8 - length))
	for _, c := range b[1:length] {
		value = value<<8 | uint64(c)
	}
	if value == 1<<(7*length)-1 {
		return 0, 0
	}
	return value, length
}

// appendSize writes a variable-size integer of four bytes.
func appendSize(b []byte, size int) []byte {
	return binary.BigEndian.AppendUint32(b, 1<<28|uint32(size))
}

// void is an element of exactly size bytes, at least 2, that says nothing.
func void(size int) []byte {
	b := make([]byte, size)
	b[0] = idVoid
	if content := size - 2; content < 1<<7-1 {
		b[1] = 1<<7 | byte(content)
	} else {
		binary.BigEndian.PutUint64(b[1:], 1<<56|uint64(size-9))
	}
	return b
}
