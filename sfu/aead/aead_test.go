package aead

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The packets of RFC 7714 section 16.1, encrypted and decrypted.
func TestVectors(t *testing.T) {
	const (
		header  = "8040f17b8041f8d35501a0b2"
		payload = "47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
		salt    = "517569642070726f2071756f"
	)
	for _, tt := range []struct{ name, key, sealed string }{
		{"AES-128", "000102030405060708090a0b0c0d0e0f", "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"},
		{"AES-256", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := newCipher(unhex(t, tt.key), unhex(t, salt))
			if err != nil {
				t.Fatal(err)
			}
			var n Nonce
			head := unhex(t, header)
			packet := c.Seal(&n, append(make([]byte, 0, 100), head...), unhex(t, payload), 0x5501a0b2, 0xf17b)
			if got := hex.EncodeToString(packet); got != header+tt.sealed {
				t.Errorf("sealed as\n%s, not\n%s", got, header+tt.sealed)
			}
			plain, err := c.Open(&n, nil, head, packet[len(head):], 0x5501a0b2, 0xf17b)
			if err != nil || hex.EncodeToString(plain) != payload {
				t.Errorf("opened as %x, %v", plain, err)
			}
		})
	}
}

// What this seals another implementation opens, and the other way round: keys, header extensions, CSRCs, and indexes far beyond 16 bits.
func TestAgainstAnotherImplementation(t *testing.T) {
	for _, size := range []int{16, 32} {
		t.Run(fmt.Sprint(8*size), func(t *testing.T) {
			key, salt := make([]byte, size), make([]byte, saltSize)
			for i := range key {
				key[i] = byte(3*i + 1)
			}
			for i := range salt {
				salt[i] = byte(200 - 7*i)
			}
			profile := map[int]srtp.ProtectionProfile{16: srtp.ProtectionProfileAeadAes128Gcm, 32: srtp.ProtectionProfileAeadAes256Gcm}[size]
			c, err := New(key, salt)
			if err != nil {
				t.Fatal(err)
			}
			var n Nonce
			for i, packet := range []rtp.Packet{
				{Header: rtp.Header{Version: 2, SequenceNumber: 1, SSRC: 1}},
				{Header: rtp.Header{Version: 2, SequenceNumber: 65535, SSRC: 0xfedcba98, Timestamp: 1 << 31, Marker: true, PayloadType: 127}, Payload: []byte{1}},
				{Header: rtp.Header{Version: 2, SequenceNumber: 4321, SSRC: 77, CSRC: []uint32{5, 6}}, Payload: bytes.Repeat([]byte{9, 8}, 600)},
				{Header: rtp.Header{Version: 2, SequenceNumber: 99, SSRC: 78, Extension: true, ExtensionProfile: rtp.ExtensionProfileOneByte}, Payload: make([]byte, 33)},
			} {
				if packet.Extension {
					if err := packet.SetExtension(5, []byte{1, 2, 3}); err != nil {
						t.Fatal(err)
					}
				}
				roc := uint32(i * 70000)
				index := uint64(roc)<<16 | uint64(packet.SequenceNumber)
				plain, err := packet.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				header := plain[:packet.Header.MarshalSize()]
				other, err := srtp.CreateContext(key, salt, profile)
				if err != nil {
					t.Fatal(err)
				}
				other.SetROC(packet.SSRC, roc)
				sealed := c.Seal(&n, bytes.Clone(header), packet.Payload, packet.SSRC, index)
				if len(sealed) != len(plain)+TagSize {
					t.Errorf("%d: %d bytes became %d", i, len(plain), len(sealed))
				}
				if got, err := other.DecryptRTP(nil, sealed, nil); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%d: the other has %x, %v", i, got, err)
				}
				other.SetROC(packet.SSRC, roc)
				theirs, err := other.EncryptRTP(nil, plain, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := c.Open(&n, nil, theirs[:len(header)], theirs[len(header):], packet.SSRC, index); err != nil || !bytes.Equal(got, packet.Payload) {
					t.Errorf("%d: this has %x, %v", i, got, err)
				}
			}
		})
	}
}

// Whatever is changed about a packet, it is refused.
func TestNotAuthentic(t *testing.T) {
	c, err := New(make([]byte, 32), make([]byte, saltSize))
	if err != nil {
		t.Fatal(err)
	}
	var n Nonce
	header := []byte{0x80, 96, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2}
	packet := c.Seal(&n, bytes.Clone(header), []byte("picture"), 2, 7)
	for i := range packet {
		changed := bytes.Clone(packet)
		changed[i] ^= 0x40
		if _, err := c.Open(&n, nil, changed[:12], changed[12:], 2, 7); !errors.Is(err, ErrAuthentication) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for size := range len(packet) - 12 {
		if _, err := c.Open(&n, nil, header, packet[12:12+size], 2, 7); !errors.Is(err, ErrAuthentication) {
			t.Errorf("%d bytes of it: %v", size, err)
		}
	}
	for _, other := range []struct {
		ssrc  uint32
		index uint64
	}{{3, 7}, {2, 8}, {2, 1<<16 | 7}, {2, 1<<47 | 7}} {
		if _, err := c.Open(&n, nil, header, packet[12:], other.ssrc, other.index); !errors.Is(err, ErrAuthentication) {
			t.Errorf("as %+v: %v", other, err)
		}
	}
}

func TestKeySizes(t *testing.T) {
	for _, tt := range []struct {
		key, salt int
		want      string
	}{
		{24, 12, "aead: master key of 24 bytes, not 16 or 32"}, {0, 12, "aead: master key of 0 bytes, not 16 or 32"},
		{16, 14, "aead: master salt of 14 bytes, not 12"},
	} {
		if _, err := New(make([]byte, tt.key), make([]byte, tt.salt)); err == nil || err.Error() != tt.want {
			t.Errorf("%d, %d: %v", tt.key, tt.salt, err)
		}
	}
}

func TestDoesNotAllocate(t *testing.T) {
	c, err := New(make([]byte, 32), make([]byte, saltSize))
	if err != nil {
		t.Fatal(err)
	}
	n := new(Nonce)
	payload, sealed, plain := make([]byte, 1200), make([]byte, 12, 1500), make([]byte, 0, 1500)
	index := uint64(0)
	if allocated := testing.AllocsPerRun(1000, func() {
		index++
		packet := c.Seal(n, sealed, payload, 1, index)
		if _, err := c.Open(n, plain, packet[:12], packet[12:], 1, index); err != nil {
			t.Fatal(err)
		}
	}); allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
}

// BenchmarkSeal and BenchmarkSealAnother encrypt a packet of 1,200 bytes, here and with the implementation for all cases.
func BenchmarkSeal(b *testing.B) {
	c, err := New(make([]byte, 32), make([]byte, saltSize))
	if err != nil {
		b.Fatal(err)
	}
	n := new(Nonce)
	payload, header := make([]byte, 1188), make([]byte, 12, 1500)
	header[0] = 0x80
	index := uint64(0)
	for b.Loop() {
		index++
		c.Seal(n, header, payload, 1, index)
	}
}

func BenchmarkSealAnother(b *testing.B) {
	c, err := srtp.CreateContext(make([]byte, 32), make([]byte, saltSize), srtp.ProtectionProfileAeadAes256Gcm)
	if err != nil {
		b.Fatal(err)
	}
	plain, sealed := make([]byte, 1200), make([]byte, 0, 1500)
	plain[0] = 0x80
	var header rtp.Header
	number := uint16(0)
	for b.Loop() {
		number++
		plain[2], plain[3] = byte(number>>8), byte(number)
		if _, err := c.EncryptRTP(sealed, plain, &header); err != nil {
			b.Fatal(err)
		}
	}
}
