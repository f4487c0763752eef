package matroska

import "io"

// source reads a file in large pieces, for many small reads that go forwards.
type source struct {
	r     io.ReaderAt
	piece [64 << 10]byte
	at    int64 // offset of the piece
	n     int   // bytes of it
}

// ReadAt reads at most a few bytes at an offset.
func (s *source) ReadAt(b []byte, at int64) (int, error) {
	if at < s.at || at+int64(len(b)) > s.at+int64(s.n) {
		n, err := s.r.ReadAt(s.piece[:], at)
		if n < len(b) && err != nil {
			s.n = 0
			return copy(b, s.piece[:n]), err
		}
		s.at, s.n = at, n
	}
	return copy(b, s.piece[at-s.at:s.n]), nil
}
