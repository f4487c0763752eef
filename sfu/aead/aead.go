// Package aead protects RTP packets with AES-GCM (SRTP, RFC 3711, as RFC 7714 has it) for a caller who knows what a
// general implementation has to find out for each packet: where its header ends, its stream and its index.
package aead

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// TagSize is how many bytes longer a packet gets.
	TagSize = 16

	nonceSize = 12
	saltSize  = 12
)

// Labels of the keys that follow from a master key (RFC 3711 section 4.3.1).
const (
	labelKey  = 0x00
	labelSalt = 0x02
)

// ErrAuthentication: the packet is not what the holder of the key has sent with that stream and index.
var ErrAuthentication = errors.New("aead: packet not authentic")

// Cipher protects the RTP of one direction of a connection. It is immutable; the zero value is of no use.
type Cipher struct {
	gcm  cipher.AEAD
	salt [saltSize]byte
}

// State is a pointer to what is needed for each packet, for those who want to have it at hand in time.
func (c *Cipher) State() any { return c.gcm }

// Nonce is space for one of a packet that is being worked on.
type Nonce [nonceSize]byte

// New derives the keys (RFC 3711 section 4.3) from a master key of 16 or 32 bytes and a master salt of 12. The key
// is used for all packets: its derivation rate is 0.
func New(masterKey, masterSalt []byte) (c Cipher, err error) {
	if len(masterKey) != 16 && len(masterKey) != 32 {
		return c, fmt.Errorf("aead: master key of %d bytes, not 16 or 32", len(masterKey))
	}
	if len(masterSalt) != saltSize {
		return c, fmt.Errorf("aead: master salt of %d bytes, not %d", len(masterSalt), saltSize)
	}
	key, err := derive(masterKey, masterSalt, labelKey, len(masterKey))
	if err != nil {
		return c, err
	}
	salt, err := derive(masterKey, masterSalt, labelSalt, saltSize)
	if err != nil {
		return c, err
	}
	return newCipher(key, salt)
}

func newCipher(key, salt []byte) (c Cipher, err error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return c, err
	}
	if c.gcm, err = cipher.NewGCM(block); err != nil {
		return c, err
	}
	c.salt = [saltSize]byte(salt)
	return c, nil
}

// derive is the pseudorandom function AES-CM (RFC 3711 section 4.3.3).
func derive(masterKey, masterSalt []byte, label byte, size int) ([]byte, error) {
	block, err := aes.NewCipher(masterKey)
	if err != nil {
		return nil, err
	}
	var counter [aes.BlockSize]byte
	copy(counter[:], masterSalt)
	counter[7] ^= label
	key := make([]byte, size)
	cipher.NewCTR(block, counter[:]).XORKeyStream(key, key)
	return key, nil
}

// nonce is that of a packet (RFC 7714 section 8.1). index is the sequence number with the rollover counter in front.
func (c *Cipher) nonce(n *Nonce, ssrc uint32, index uint64) []byte {
	n[0], n[1] = c.salt[0], c.salt[1]
	binary.BigEndian.PutUint32(n[2:], ssrc^binary.BigEndian.Uint32(c.salt[2:]))
	binary.BigEndian.PutUint32(n[6:], uint32(index>>16)^binary.BigEndian.Uint32(c.salt[6:]))
	binary.BigEndian.PutUint16(n[10:], uint16(index)^binary.BigEndian.Uint16(c.salt[10:]))
	return n[:]
}

// Seal appends the encrypted payload and the tag to header, the whole RTP header with its extensions, and returns the
// packet. The payload must not overlap what is appended. No two different packets of a stream may have the same index.
func (c *Cipher) Seal(n *Nonce, header, payload []byte, ssrc uint32, index uint64) []byte {
	return c.gcm.Seal(header, c.nonce(n, ssrc, index), payload, header)
}

// Open decrypts what follows a packet's header, which it authenticates too, and appends the payload to dst, which must
// not overlap sealed. On failure, ErrAuthentication, the space after dst has been written to all the same.
func (c *Cipher) Open(n *Nonce, dst, header, sealed []byte, ssrc uint32, index uint64) ([]byte, error) {
	payload, err := c.gcm.Open(dst, c.nonce(n, ssrc, index), sealed, header)
	if err != nil {
		return nil, ErrAuthentication
	}
	return payload, nil
}
