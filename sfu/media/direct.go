package media

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/webrtc/v4"

	"skillsage/network/traffic"
)

// Wire takes encrypted packets to the remote peer. Its Write copies them and does not block; kind decides which are
// given up where not all get through.
type Wire interface {
	Write(packet []byte, kind traffic.Kind) error
}

const (
	maxPacket = 2048 // bytes, more than any packet has
	maxGuess  = 4    // cycles of a sender's sequence numbers that can have gone by unseen
	// stackInterval is how often a packet goes through the stack as well, which so sees that the peer is
	// alive, and keeps its own count of the cycles of the sequence numbers (RFC 3711 section 3.3.1).
	stackInterval    = int64(1e9)
	wiredInterval    = int64(250e6) // how exactly the time of the wire's last packet is known
	srtcpReplayCheck = 64           // packets
)

// direct is a connection's SRTP past the stack: with keys of the same handshake, from the socket's reader
// straight to the sources and from the feeds straight to the socket. It saves each packet four queues and as
// many goroutines.
//
// A connection that has one sends nothing else through the stack, from its first packet to its last: two
// senders with the same keys would use the same nonces. What it receives may come by both ways.
type direct struct {
	wire atomic.Pointer[Wire]

	outMu sync.Mutex    // a leaf
	local *srtp.Context // guarded by outMu

	// Guarded by Port.inMu.
	remote  *srtp.Context
	guesses uint32 // of a sender's rollover counter
	stackAt int64  // when a packet last went through the stack too
	wiredAt int64  // as lastWired
}

// scratch is space for one packet, shared by all connections: one for each that is at work, not for each there is.
type scratch struct {
	header rtp.Header
	packet [maxPacket]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

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
	local, err := srtp.CreateContext(keys.LocalMasterKey, keys.LocalMasterSalt, profile)
	if err != nil {
		p.log.Warn("media goes through the stack", "error", err)
		return
	}
	remote, err := srtp.CreateContext(keys.RemoteMasterKey, keys.RemoteMasterSalt, profile,
		srtp.SRTPNoReplayProtection(), srtp.SRTCPReplayProtection(srtcpReplayCheck))
	if err != nil {
		p.log.Warn("media goes through the stack", "error", err)
		return
	}
	wire := p.wire // a copy: writers read what is stored without p.mu
	d := &direct{local: local, remote: remote}
	d.wire.Store(&wire)
	p.direct.Store(d)
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
	ssrc := binary.BigEndian.Uint32(packet[8:])
	to := p.boundTo(ssrc)
	if to == nil {
		return false // the stack finds out whose it is
	}
	// Not in place: what fails to decrypt here may still do so in the stack.
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	plain, err := d.remote.DecryptRTP(s.packet[:], packet, &s.header)
	if err != nil {
		if plain, err = d.guess(ssrc, packet, s); err != nil {
			p.counters.undecrypted.Add(1)
			return false
		}
	}
	p.received(plain, to)
	now := p.lastHeard.Load()
	p.wired(d, now)
	if now-d.stackAt >= stackInterval {
		d.stackAt, p.twice = now, packetID(packet)
		return false
	}
	return true
}

// guess decrypts a packet of a stream whose rollover counter (RFC 3711 section 3.3.1) may be ahead: the first
// packets of a stream go through the stack, and so do those that come from an address without a route.
// inMu is held.
func (d *direct) guess(ssrc uint32, packet []byte, s *scratch) ([]byte, error) {
	known, _ := d.remote.ROC(ssrc)
	d.guesses++
	d.remote.SetROC(ssrc, known+1+d.guesses%maxGuess)
	plain, err := d.remote.DecryptRTP(s.packet[:], packet, &s.header)
	if err != nil {
		d.remote.SetROC(ssrc, known)
	}
	return plain, err
}

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
	ssrc uint32
	to   *binding
}

func (p *Port) boundTo(ssrc uint32) *binding {
	for _, b := range *p.bound.Load() {
		if b.ssrc == ssrc {
			return b.to
		}
	}
	return nil
}

// listBound renews the list that boundTo reads. p.mu is held.
func (p *Port) listBound() {
	var bound []boundStream
	for ssrc, b := range p.streams {
		if to := b.upstream.Load(); to != nil {
			bound = append(bound, boundStream{ssrc, to})
		}
	}
	p.bound.Store(&bound)
}

// writeRTP sends a packet by the way that was decided on.
func (p *Port) writeRTP(stack webrtc.TrackLocalWriter, header *rtp.Header, payload []byte, kind traffic.Kind) error {
	if d := p.direct.Load(); d != nil {
		return d.writeRTP(header, payload, kind)
	}
	_, err := stack.WriteRTP(header, payload)
	return err
}

func (d *direct) writeRTP(header *rtp.Header, payload []byte, kind traffic.Kind) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	n, err := (&rtp.Packet{Header: *header, Payload: payload}).MarshalTo(s.packet[:])
	if err != nil {
		return err
	}
	d.outMu.Lock()
	defer d.outMu.Unlock()
	sealed, err := d.local.EncryptRTP(s.packet[:n], s.packet[:n], &s.header)
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
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	d.outMu.Lock()
	defer d.outMu.Unlock()
	sealed, err := d.local.EncryptRTCP(s.packet[:0], plain, nil)
	if err != nil {
		return err
	}
	return (*d.wire.Load()).Write(sealed, traffic.Control)
}
