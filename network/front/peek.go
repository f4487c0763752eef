package front

import "io"

// peekRead reads from a stream until its kind is known, and returns what it has read too.
func peekRead(r io.Reader) (kind, []byte, error) {
	var b [sniffLength]byte
	for n := 0; ; {
		got, err := r.Read(b[n:])
		n += got
		if k := sniff(b[:n]); k != undecided {
			return k, b[:n], nil
		}
		if err != nil {
			return undecided, nil, err
		}
	}
}

// replay is the rest of what was peeked at. It is read before the stream goes on.
type replay []byte

// read gives what there is left; n is 0 when there is nothing.
func (r *replay) read(p []byte) (n int) {
	n = copy(p, *r)
	if *r = (*r)[n:]; len(*r) == 0 {
		*r = nil
	}
	return n
}
