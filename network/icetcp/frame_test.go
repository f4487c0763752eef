package icetcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// framed is packets as they go through a stream.
func framed(packets ...[]byte) []byte {
	var stream []byte
	for _, p := range packets {
		stream = binary.BigEndian.AppendUint16(stream, uint16(len(p)))
		stream = append(stream, p...)
	}
	return stream
}

// reads takes all packets from a stream.
func reads(from io.Reader) (packets [][]byte, err error) {
	f := newFrames(from)
	for {
		p, err := f.next()
		if err != nil {
			return packets, err
		}
		packets = append(packets, bytes.Clone(p))
		if cap(p) != len(p) {
			return packets, errors.New("a packet reaches into the next one")
		}
		for i := range p { // it is the reader's
			p[i] = 0xee
		}
	}
}

func TestFrames(t *testing.T) {
	long := bytes.Repeat([]byte{7}, maxPacket)
	many := make([][]byte, 100)
	for i := range many {
		many[i] = bytes.Repeat([]byte{byte(i)}, 1+i*13)
	}
	for _, tt := range []struct {
		name   string
		stream []byte
		want   [][]byte
		err    error
	}{
		{"nothing", nil, nil, io.EOF},
		{"one", framed([]byte("abc")), [][]byte{[]byte("abc")}, io.EOF},
		{"null packets", framed(nil, nil, []byte("abc"), nil, []byte("d"), nil), [][]byte{[]byte("abc"), []byte("d")}, io.EOF},
		{"many", framed(many...), many, io.EOF},
		{"the longest", framed(long, long, long, long, long, long), [][]byte{long, long, long, long, long, long}, io.EOF},
		{"too long", append(framed([]byte("abc")), binary.BigEndian.AppendUint16(nil, maxPacket+1)...), [][]byte{[]byte("abc")}, errFrame},
		{"as long as can be", []byte{0xff, 0xff, 1, 2, 3}, nil, errFrame},
		{"half a length", []byte{0}, nil, io.EOF},
		{"half a packet", framed([]byte("abc"))[:4], nil, io.EOF},
	} {
		for how, reader := range map[string]io.Reader{
			"at once":      bytes.NewReader(tt.stream),
			"byte by byte": iotest.OneByteReader(bytes.NewReader(tt.stream)),
			"with the end": iotest.DataErrReader(bytes.NewReader(tt.stream)),
		} {
			got, err := reads(reader)
			if !errors.Is(err, tt.err) || len(got) != len(tt.want) {
				t.Fatalf("%s, %s: %d packets, %v; want %d, %v", tt.name, how, len(got), err, len(tt.want), tt.err)
			}
			for i := range got {
				if !bytes.Equal(got[i], tt.want[i]) {
					t.Errorf("%s, %s: packet %d is %x", tt.name, how, i, got[i])
				}
			}
		}
	}
}

// FuzzFrames holds the reader against the plainest one there is, however the stream is cut.
func FuzzFrames(f *testing.F) {
	f.Add(framed([]byte("abc"), nil, []byte("de")), byte(3))
	f.Add([]byte{0xff, 0xff, 1}, byte(1))
	f.Add(framed(bytes.Repeat([]byte{1}, maxPacket), []byte{2}), byte(200))
	f.Fuzz(func(t *testing.T, stream []byte, cut byte) {
		var want [][]byte
		for rest := stream; len(rest) >= 2; {
			n := int(binary.BigEndian.Uint16(rest))
			if n > maxPacket || 2+n > len(rest) {
				break
			}
			if n > 0 {
				want = append(want, rest[2:2+n])
			}
			rest = rest[2+n:]
		}
		got, err := reads(&cutReader{stream, int(cut) + 1})
		if !errors.Is(err, io.EOF) && !errors.Is(err, errFrame) {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d packets, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("packet %d is %x, want %x", i, got[i], want[i])
			}
		}
	})
}

// cutReader gives a stream in pieces.
type cutReader struct {
	rest []byte
	size int
}

func (r *cutReader) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.rest[:min(r.size, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}
