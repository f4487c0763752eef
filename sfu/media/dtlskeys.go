package media

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"sync"

	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/srtp/v3"
)

const (
	keyLogLabel    = "CLIENT_RANDOM" // of DTLS 1.2 in the key log format of NSS
	randomSize     = 32
	maxSecretBytes = 64
)

// Cipher suites whose pseudorandom function uses SHA-384; that of all others uses SHA-256 (RFC 5289 section 3.2).
const (
	ecdheECDSAWithAES256GCMSHA384 = 0xc02c
	ecdheRSAWithAES256GCMSHA384   = 0xc030
)

// dtlsSecrets gathers what a DTLS handshake as the server agrees on, from which the SRTP keys of the
// connection follow (RFC 5764 section 4.2). The stack derives the same keys for itself and does not give
// them away, but it tells the parts: the ServerHello, and the master secret as a line of a key log, which
// never leaves this struct. Nothing is gathered when the peer is the DTLS server.
type dtlsSecrets struct {
	mu           sync.Mutex // guards all
	hello        bool
	serverRandom [randomSize]byte
	suite        uint16
	profile      srtp.ProtectionProfile
	clientRandom []byte
	master       []byte
}

// serverHello is the stack's hook: it notes what the message says and leaves it as it is.
func (s *dtlsSecrets) serverHello(m handshake.MessageServerHello) handshake.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hello, s.profile = false, 0
	if m.CipherSuiteID == nil {
		return &m
	}
	for _, e := range m.Extensions {
		if use, ok := e.(*extension.UseSRTP); ok && len(use.ProtectionProfiles) == 1 && len(use.MasterKeyIdentifier) == 0 {
			s.profile = srtp.ProtectionProfile(use.ProtectionProfiles[0])
			s.hello = true
		}
	}
	s.serverRandom, s.suite = m.Random.MarshalFixed(), *m.CipherSuiteID
	return &m
}

// Write takes a line of the key log. Lines of other kinds are ignored.
func (s *dtlsSecrets) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 || string(fields[0]) != keyLogLabel || len(fields[1]) != 2*randomSize || len(fields[2]) > 2*maxSecretBytes {
		return len(line), nil
	}
	random, master := make([]byte, randomSize), make([]byte, len(fields[2])/2)
	if _, err := hex.Decode(random, fields[1]); err != nil {
		return len(line), nil
	}
	if _, err := hex.Decode(master, fields[2]); err != nil {
		return len(line), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clientRandom, s.master = random, master
	return len(line), nil
}

// take derives the keys and forgets what they were derived from; false: the handshake has not told all.
func (s *dtlsSecrets) take() (keys srtp.SessionKeys, profile srtp.ProtectionProfile, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		clear(s.master)
		s.master = nil
	}()
	if !s.hello || s.master == nil {
		return keys, 0, false
	}
	config := srtp.Config{Profile: s.profile}
	if err := config.ExtractSessionKeysFromDTLS(s, false); err != nil {
		return keys, 0, false
	}
	return config.Keys, s.profile, true
}

// ExportKeyingMaterial implements srtp.KeyingMaterialExporter (RFC 5705 section 4). s.mu is held.
func (s *dtlsSecrets) ExportKeyingMaterial(label string, _ []byte, length int) ([]byte, error) {
	seed := append([]byte(label), s.clientRandom...)
	seed = append(seed, s.serverRandom[:]...)
	digest := func() hash.Hash { return sha256.New() }
	if s.suite == ecdheECDSAWithAES256GCMSHA384 || s.suite == ecdheRSAWithAES256GCMSHA384 {
		digest = func() hash.Hash { return sha512.New384() }
	}
	return prf.PHash(s.master, seed, length, digest)
}
