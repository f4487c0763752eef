package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

func TestPacketParse(t *testing.T) {
	h := rtp.Header{
		Version: 2, Marker: true, PayloadType: 96, SequenceNumber: 65535, Timestamp: 1 << 31, SSRC: 0xdeadbeef,
		CSRC: []uint32{1, 2, 3}, Padding: true, PaddingSize: 5,
	}
	for id, value := range map[uint8][]byte{3: {1, 2}, 1: {0x85}, 4: []byte("0")} {
		if err := h.SetExtension(id, value); err != nil {
			t.Fatal(err)
		}
	}
	b, err := (&rtp.Packet{Header: h, Payload: []byte("payload")}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var p packet
	if !p.parse(b) {
		t.Fatal("not parsed")
	}
	if !p.marker || p.payloadType != 96 || p.sequence != 65535 || p.timestamp != 1<<31 || p.ssrc != 0xdeadbeef {
		t.Errorf("%+v", p)
	}
	if string(p.payload) != "payload" {
		t.Errorf("payload is %q", p.payload)
	}
	if !bytes.Equal(p.headerExtension(3), []byte{1, 2}) || !bytes.Equal(p.headerExtension(1), []byte{0x85}) {
		t.Error("a header extension was not found")
	}
	if p.headerExtension(2) != nil || p.headerExtension(0) != nil {
		t.Error("a header extension was found that is not there")
	}

	two := rtp.Header{Version: 2, Extension: true, ExtensionProfile: extensionTwoByte}
	if err := two.SetExtension(200, bytes.Repeat([]byte{9}, 40)); err != nil {
		t.Fatal(err)
	}
	b, err = (&rtp.Packet{Header: two}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !p.parse(b) || len(p.headerExtension(200)) != 40 || len(p.payload) != 0 {
		t.Errorf("two-byte header extension: %+v", p)
	}
}

func TestPacketParseRefuses(t *testing.T) {
	good := []byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 42}
	var p packet
	if !p.parse(good) {
		t.Fatal("a plain packet was refused")
	}
	for name, b := range map[string][]byte{
		"nothing":                {},
		"short":                  good[:11],
		"version 1":              append([]byte{0x40}, good[1:]...),
		"CSRCs missing":          append([]byte{0x82}, good[1:]...),
		"extension missing":      append([]byte{0x90}, good[1:]...),
		"extension cut":          append(append([]byte{0x90}, good[1:12]...), 0xbe, 0xde, 0, 2, 1, 2, 3, 4),
		"padding of 0":           append(append([]byte{0xa0}, good[1:12]...), 0),
		"padding too long":       append(append([]byte{0xa0}, good[1:12]...), 1, 3),
		"padding without a byte": append([]byte{0xa0}, good[1:12]...),
	} {
		if p.parse(b) {
			t.Errorf("%s: was parsed", name)
		}
	}
}

// FuzzPacketParse compares with Pion's parser wherever that accepts a packet.
func FuzzPacketParse(f *testing.F) {
	f.Add([]byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 42})
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x31, 1, 2, 0, 42})
	f.Add([]byte{0xb0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0, 1, 3, 1, 2, 0, 42, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p packet
		ok := p.parse(b)
		for id := range uint8(16) {
			p.headerExtension(id)
		}
		var theirs rtp.Packet
		if theirs.Unmarshal(b) != nil || !ok {
			return
		}
		if p.marker != theirs.Marker || p.payloadType != theirs.PayloadType || p.sequence != theirs.SequenceNumber ||
			p.timestamp != theirs.Timestamp || p.ssrc != theirs.SSRC || !bytes.Equal(p.payload, theirs.Payload) {
			t.Fatalf("%+v is not %+v", p, theirs)
		}
	})
}
