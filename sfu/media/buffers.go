package media

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/pion/transport/v5/packetio"
)

// Bounds of what a peer can make a Port hold by sending streams that nobody
// asked for.
const (
	maxStreams    = 64 // RTP or RTCP streams of one port
	maxHeldPacket = 32 // packets of a stream without an upstream
)

// buffer is the webrtc.SettingEngine.BufferFactory of a port's connection: Pion
// calls it for each SSRC from which, or about which, packets arrive.
func (p *Port) buffer(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	if kind == packetio.RTCPBufferPacket {
		return newRTCPBuffer(p, ssrc)
	}
	b := &rtpBuffer{port: p, ssrc: ssrc}
	b.readable = sync.NewCond(&b.mu)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.streams) < maxStreams {
		p.streams[ssrc] = b
	} else {
		b.closed = true
	}
	return b
}

// rtpBuffer stands where Pion would put a queue between its SRTP session and
// the reader of a track. Packets go straight to the upstream; until there is
// one, the first few are kept for Pion, which reads them to learn what an SSRC
// that stands in no description belongs to.
type rtpBuffer struct {
	port     *Port
	ssrc     uint32
	upstream atomic.Pointer[binding]

	mu       sync.Mutex // guards the rest
	readable *sync.Cond
	held     [][]byte
	closed   bool
}

// binding says whose packets a buffer gets. Immutable.
type binding struct {
	upstream       *Upstream
	retransmission bool // RFC 4588: the packets of upstream, sent again
}

// Write is called by the one goroutine of Pion's SRTP session, for the packets that go
// through it. packet is valid only during the call. It never fails: an error would only be logged.
func (b *rtpBuffer) Write(packet []byte) (int, error) {
	to := b.upstream.Load()
	if !b.port.stackReceived(packet, to) {
		return len(packet), nil
	}
	if to == nil {
		b.hold(packet)
	}
	return len(packet), nil
}

// stackReceived takes a packet that came through the stack; false: it was here before.
func (p *Port) stackReceived(packet []byte, to *binding) bool {
	p.inMu.Lock()
	defer p.inMu.Unlock()
	if len(packet) >= rtpHeaderSize && p.twice != 0 && p.twice == packetID(packet) {
		p.twice = 0
		return false
	}
	p.received(packet, to)
	return true
}

func (b *rtpBuffer) hold(packet []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed && len(b.held) < maxHeldPacket {
		b.held = append(b.held, append([]byte(nil), packet...))
		b.readable.Signal()
	}
}

// bind gives the packets to an upstream from now on.
func (b *rtpBuffer) bind(to *binding) {
	b.upstream.Store(to)
	b.mu.Lock()
	b.held = nil
	b.mu.Unlock()
}

// Read gives Pion a held packet, or waits for one.
func (b *rtpBuffer) Read(dst []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.held) == 0 {
		if b.closed {
			return 0, io.EOF
		}
		b.readable.Wait()
	}
	first := b.held[0]
	b.held = b.held[1:]
	if len(dst) < len(first) {
		return 0, io.ErrShortBuffer
	}
	return copy(dst, first), nil
}

// Close is called by Pion when the receiver is stopped or the connection ends.
func (b *rtpBuffer) Close() error {
	b.mu.Lock()
	b.closed = true
	b.held = nil
	b.readable.Broadcast()
	b.mu.Unlock()
	b.port.forget(b)
	return nil
}

// rtcpBuffer is handed to Pion for the RTCP about one SSRC. Pion's session
// gives it each packet of a compound that concerns this SSRC, one by one.
type rtcpBuffer struct {
	port   *Port
	ssrc   uint32
	once   sync.Once
	closed chan struct{}
}

func newRTCPBuffer(p *Port, ssrc uint32) *rtcpBuffer {
	return &rtcpBuffer{port: p, ssrc: ssrc, closed: make(chan struct{})}
}

// Write is called by the one goroutine of Pion's SRTCP session. It never fails: an
// error would make the session skip the rest of the compound.
func (b *rtcpBuffer) Write(packet []byte) (int, error) {
	b.port.inMu.Lock()
	defer b.port.inMu.Unlock()
	b.port.receivedRTCP(packet, b.ssrc)
	return len(packet), nil
}

// Read never gives anything: all RTCP is handled as it is written.
func (b *rtcpBuffer) Read([]byte) (int, error) {
	<-b.closed
	return 0, io.EOF
}

// Close ends a Read.
func (b *rtcpBuffer) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}
