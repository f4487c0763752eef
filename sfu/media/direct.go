package media

import (
	"encoding/binary"
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"

	"skillsage/network/traffic"
	"skillsage/sfu/aead"
)

// Wire takes encrypted packets to the remote peer. Its Write copies them and does not block; kind decides which are
// given up where not all get through.
type Wire interface {
	Write(packet []byte, kind traffic.Kind) error
}

const (
	maxGuess = 4 // cycles of a sender's sequence numbers that can have gone by unseen
	// maxIndexes is of how many streams that are gone the index is still known.
	maxIndexes = 4 * maxStreams
	// stackInterval is how often a packet goes through the stack as well, which so sees that the peer is
	// alive, and keeps its own count of the cycles of the sequence numbers (RFC 3711 section 3.3.1).
	stackInterval    = int64(1e9)
	wiredInterval    = int64(250e6) // how exactly the time of the wire's last packet is known
	heardInterval    = int64(50e6)  // and that of anything that came
	srtcpReplayCheck = 64           // packets
)

var errTooBig = errors.New("media: packet too big")

// direct is a connection's SRTP past the stack: with keys of the same handshake, from the socket's reader
// straight to the sources and from the feeds straight to the socket. It saves each packet four queues and as
// many goroutines.
//
// A connection that has one sends nothing else through the stack, from its first packet to its last: two
// senders with the same keys would use the same nonces. What it receives may come by both ways.
//
// RTP with AES-GCM is protected by ciphers that leave it to this package to know the index of a packet; all else,
// RTCP too, by contexts that find it out.
type direct struct {
	// Static.
	gcm    bool        // opener and sealer are used
	opener aead.Cipher // of RTP that is received

	// Guarded by Port.inMu.
	stackAt int64 // when a packet last went through the stack too
	wiredAt int64 // as lastWired
	remote  *srtp.Context

	sealer aead.Cipher // static; of RTP that is sent
	wire   atomic.Pointer[Wire]

	outMu   sync.Mutex    // a leaf
	local   *srtp.Context // guarded by outMu
	guesses uint32        // of a sender's rollover counter; guarded by Port.inMu
}

// SetWire says where the peer's packets go from now on. Only a Port that has a wire when it is first
// connected, and whose peer is the DTLS client, uses it; all others send through the stack.
func (p *Port) SetWire(w Wire) {
	p.mu.Lock()
	p.wire = w
	d := p.direct.Load()
	p.mu.Unlock()
	if d != nil {
		d.wire.Store(&w)
	}
}

// goDirect decides, once, how the port sends.
func (p *Port) goDirect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.decided {
		return
	}
	p.decided = true
	keys, profile, ok := p.secrets.take()
	if !ok || p.wire == nil {
		return
	}
	d, err := newDirect(keys, profile)
	if err != nil {
		p.log.Warn("media goes through the stack", "error", err)
		return
	}
	wire := p.wire // a copy: writers read what is stored without p.mu
	d.wire.Store(&wire)
	p.direct.Store(d)
}

func newDirect(keys srtp.SessionKeys, profile srtp.ProtectionProfile) (d *direct, err error) {
	d = new(direct)
	if d.local, err = srtp.CreateContext(keys.LocalMasterKey, keys.LocalMasterSalt, profile); err != nil {
		return nil, err
	}
	d.remote, err = srtp.CreateContext(keys.RemoteMasterKey, keys.RemoteMasterSalt, profile,
		srtp.SRTPNoReplayProtection(), srtp.SRTCPReplayProtection(srtcpReplayCheck))
	if err != nil {
		return nil, err
	}
	if profile != srtp.ProtectionProfileAeadAes128Gcm && profile != srtp.ProtectionProfileAeadAes256Gcm {
		return d, nil
	}
	if d.sealer, err = aead.New(keys.LocalMasterKey, keys.LocalMasterSalt); err != nil {
		return nil, err
	}
	if d.opener, err = aead.New(keys.RemoteMasterKey, keys.RemoteMasterSalt); err != nil {
		return nil, err
	}
	d.gcm = true
	return d, nil
}

// Deliver takes an SRTP or SRTCP packet that came from the peer's address. The packet is the port's during the
// call. False: the packet, unchanged, is for the stack. It must not block, and may be called while the
// stack delivers others.
func (p *Port) Deliver(packet []byte) bool {
	d := p.direct.Load()
	if d == nil || len(packet) < rtpHeaderSize {
		return false
	}
	p.inMu.Lock()
	defer p.inMu.Unlock()
	if isRTCP(packet) {
		p.deliverRTCP(d, packet)
		return true
	}
	stream := p.boundTo(binary.BigEndian.Uint32(packet[8:]))
	if stream == nil {
		return false // the stack finds out whose it is
	}
	p.ahead.fetch(stream.ssrc)
	w := passages.Get().(*passage)
	defer passages.Put(w)
	payload, ok := d.open(w, packet, stream)
	if !ok {
		p.counters.undecrypted.Add(1)
		return false
	}
	now := monotonic()
	p.take(w, payload, &stream.to, now)
	p.wired(d, now)
	if now-d.stackAt >= stackInterval {
		d.stackAt, p.twice = now, packetID(packet)
		p.lookAhead(d, stream)
		return false
	}
	return true
}

// open reads a packet's header and decrypts its payload; false: it is not what the peer sent, or not at this
// time. Not in place: what fails to decrypt here may still do so in the stack. inMu is held.
func (d *direct) open(w *passage, packet []byte, s *boundStream) (payload []byte, ok bool) {
	if !d.gcm {
		return d.openAny(w, packet, s.ssrc)
	}
	start, ok := w.in.parseHeader(packet)
	if !ok {
		return nil, false
	}
	index := s.index.unwrap(w.in.sequence)
	if payload, err := d.opener.Open(&w.nonce, w.payload[:0], packet[:start], packet[start:], s.ssrc, rolled(index)); err == nil {
		s.index.saw(index)
		return payload, true
	}
	index += uint64(d.guess()) << 16
	payload, err := d.opener.Open(&w.nonce, w.payload[:0], packet[:start], packet[start:], s.ssrc, rolled(index))
	if err != nil {
		return nil, false
	}
	s.index.saw(index)
	return payload, true
}

// openAny is open for ciphers other than AES-GCM.
func (d *direct) openAny(w *passage, packet []byte, ssrc uint32) (payload []byte, ok bool) {
	plain, err := d.remote.DecryptRTP(w.payload[:], packet, &w.stacked)
	if err != nil {
		known, _ := d.remote.ROC(ssrc)
		d.remote.SetROC(ssrc, known+d.guess())
		if plain, err = d.remote.DecryptRTP(w.payload[:], packet, &w.stacked); err != nil {
			d.remote.SetROC(ssrc, known)
			return nil, false
		}
	}
	start, ok := w.in.parseHeader(plain)
	if !ok {
		return nil, false
	}
	return plain[start:], true
}

// guess says how far ahead of what is known a sender's rollover counter may be: the first packets of a stream go
// through the stack, and so do those that come from an address without a route. inMu is held.
func (d *direct) guess() uint32 {
	d.guesses++
	return 1 + d.guesses%maxGuess
}

// rolled is the packet index (RFC 3711 section 3.3.1) of a number of a sequenceUnwrapper, which has one cycle to spare.
func rolled(sequence uint64) uint64 { return sequence - 1<<16 }

// deliverRTCP decrypts a compound packet and takes it. inMu is held.
func (p *Port) deliverRTCP(d *direct, packet []byte) {
	plain, err := d.remote.DecryptRTCP(packet, packet, nil)
	if err != nil {
		p.counters.undecrypted.Add(1)
		return
	}
	p.receivedRTCP(plain, anySSRC)
	p.wired(d, p.lastHeard.Load())
}

// wired notes that a packet came from where the wire leads to. inMu is held.
func (p *Port) wired(d *direct, now int64) {
	if now-d.wiredAt >= wiredInterval {
		d.wiredAt = now
		p.lastWired.Store(now)
	}
}

// isRTCP tells RTCP from RTP on one port (RFC 5761 section 4).
func isRTCP(packet []byte) bool { return packet[1] >= 192 && packet[1] <= 223 }

// packetID is the SSRC and the sequence number of an RTP packet, encrypted or not.
func packetID(packet []byte) uint64 {
	return uint64(binary.BigEndian.Uint32(packet[8:]))<<16 | uint64(binary.BigEndian.Uint16(packet[2:]))
}

// boundStream is a stream of the peer that belongs to an upstream.
type boundStream struct {
	ssrc  uint32
	to    binding
	index *sequenceUnwrapper // guarded by inMu
}

// recentStream is the stream of the last packet, out of a list that may have been renewed since.
type recentStream struct {
	boundStream
	list *[]boundStream
}

// boundTo is the stream of that SSRC, or nil; it is valid until the next call. inMu is held.
func (p *Port) boundTo(ssrc uint32) *boundStream {
	list := p.bound.Load()
	if p.recent.list == list && p.recent.ssrc == ssrc {
		return &p.recent.boundStream
	}
	for i := range *list {
		if (*list)[i].ssrc == ssrc {
			p.recent = recentStream{(*list)[i], list}
			return &p.recent.boundStream
		}
	}
	return nil
}

// listBound renews the list that boundTo reads. p.mu is held.
func (p *Port) listBound() {
	var bound []boundStream
	for ssrc, b := range p.streams {
		if to := b.upstream.Load(); to != nil {
			bound = append(bound, boundStream{ssrc, *to, p.indexOf(ssrc)})
		}
	}
	p.bound.Store(&bound)
}

// indexOf is how far a stream has come, which a sender goes on with when it begins anew. p.mu is held.
func (p *Port) indexOf(ssrc uint32) *sequenceUnwrapper {
	index := p.indexes[ssrc]
	if index != nil {
		return index
	}
	if len(p.indexes) >= maxIndexes {
		maps.DeleteFunc(p.indexes, func(known uint32, _ *sequenceUnwrapper) bool { return p.streams[known] == nil })
	}
	index = new(sequenceUnwrapper)
	p.indexes[ssrc] = index
	return index
}

// writeRTP sends a packet whose header has been written.
func (d *direct) writeRTP(w *passage, header int, payload []byte, kind traffic.Kind) error {
	if header+len(payload)+aead.TagSize > len(w.packet) {
		return errTooBig
	}
	if d.gcm {
		return (*d.wire.Load()).Write(d.sealer.Seal(&w.nonce, w.packet[:header], payload, w.header.ssrc, w.header.index), kind)
	}
	plain := append(w.packet[:header], payload...)
	d.outMu.Lock()
	defer d.outMu.Unlock()
	sealed, err := d.local.EncryptRTP(plain, plain, &w.stacked)
	if err != nil {
		return err
	}
	return (*d.wire.Load()).Write(sealed, kind)
}

// writeRTCP sends a compound packet by the way that was decided on.
func (p *Port) writeRTCP(packets []rtcp.Packet) error {
	d := p.direct.Load()
	if d == nil {
		return p.rtcp.WriteRTCP(packets)
	}
	plain, err := rtcp.Marshal(packets)
	if err != nil {
		return err
	}
	return d.writeRTCP(plain)
}

// writeRawRTCP sends what is a compound packet already; it keeps nothing of it.
func (p *Port) writeRawRTCP(plain []byte) error {
	if d := p.direct.Load(); d != nil {
		return d.writeRTCP(plain)
	}
	raw := rtcp.RawPacket(plain)
	return p.rtcp.WriteRTCP([]rtcp.Packet{&raw})
}

func (d *direct) writeRTCP(plain []byte) error {
	w := passages.Get().(*passage)
	defer passages.Put(w)
	d.outMu.Lock()
	defer d.outMu.Unlock()
	sealed, err := d.local.EncryptRTCP(w.packet[:0], plain, nil)
	if err != nil {
		return err
	}
	return (*d.wire.Load()).Write(sealed, traffic.Control)
}
