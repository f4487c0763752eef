package sfu

import (
	"sync"

	"github.com/pion/webrtc/v4"
)

// Bounds of one bridged data channel.
const (
	maxChannels        = 8       // of one leg
	maxChannelWaiting  = 1 << 20 // bytes kept until the far side is open
	maxChannelBuffered = 4 << 20 // bytes in the far side's send buffer
)

// bridge carries one data channel between the two legs of a call: near was
// opened by a client, far is the server's copy of it towards the other client.
type bridge struct {
	near *webrtc.DataChannel // static

	mu      sync.Mutex
	far     *webrtc.DataChannel         // guarded by mu
	open    bool                        // guarded by mu: far takes messages
	waiting []webrtc.DataChannelMessage // guarded by mu
	bytes   int                         // guarded by mu: of waiting
	closed  bool                        // guarded by mu
	lost    func()                      // guarded by mu: called once when the bridge gives up
}

// newBridge takes a channel that a client opened. It must be called in the
// stack's own callback, so that no message is missed.
func newBridge(near *webrtc.DataChannel) *bridge {
	b := &bridge{near: near}
	near.OnMessage(b.forward)
	near.OnClose(b.close)
	return b
}

// forward hands a message of the near side over, or keeps it until far is open.
func (b *bridge) forward(message webrtc.DataChannelMessage) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	if !b.open {
		b.bytes += len(message.Data)
		if b.bytes > maxChannelWaiting {
			b.mu.Unlock()
			b.giveUp()
			return
		}
		b.waiting = append(b.waiting, message)
		b.mu.Unlock()
		return
	}
	far := b.far
	b.mu.Unlock()
	if far.BufferedAmount() > maxChannelBuffered || deliver(far, message) != nil {
		b.giveUp()
	}
}

func deliver(to *webrtc.DataChannel, message webrtc.DataChannelMessage) error {
	if message.IsString {
		return to.SendText(string(message.Data))
	}
	return to.Send(message.Data)
}

// attach gives the bridge its far side.
func (b *bridge) attach(far *webrtc.DataChannel) {
	b.mu.Lock()
	b.far = far
	closed := b.closed
	b.mu.Unlock()
	if closed {
		_ = far.Close()
		return
	}
	far.OnMessage(func(message webrtc.DataChannelMessage) {
		if b.near.BufferedAmount() > maxChannelBuffered || deliver(b.near, message) != nil {
			b.giveUp()
		}
	})
	far.OnClose(b.close)
	far.OnOpen(func() {
		for {
			b.mu.Lock()
			waiting := b.waiting
			b.waiting, b.bytes = nil, 0
			if len(waiting) == 0 {
				b.open = true
				b.mu.Unlock()
				return
			}
			b.mu.Unlock()
			for _, message := range waiting {
				if deliver(far, message) != nil {
					b.giveUp()
					return
				}
			}
		}
	})
}

// giveUp ends a channel whose other side is too slow or gone: a reliable
// channel must not lose messages in silence.
func (b *bridge) giveUp() {
	b.mu.Lock()
	lost := b.lost
	b.lost = nil
	b.mu.Unlock()
	if lost != nil {
		lost()
	}
	b.close()
}

// close ends both sides. It is idempotent.
func (b *bridge) close() {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.closed = true
	far := b.far
	b.waiting = nil
	b.mu.Unlock()
	_ = b.near.Close()
	if far != nil {
		_ = far.Close()
	}
}

// onDataChannel bridges a channel that this leg's client opened.
func (l *leg) onDataChannel(b *bridge) {
	opp := l.opposite
	if len(l.channels) >= maxChannels {
		l.room.spawn(func() func() { b.close(); return func() {} })
		return
	}
	count := &l.room.engine.count
	count.channels.Add(1)
	b.mu.Lock()
	b.lost = func() { count.channelsLost.Add(1) }
	b.mu.Unlock()
	l.channels = append(l.channels, b)
	if opp != nil {
		l.room.openChannels(opp)
	}
}

// openChannels gives the channels that the other side's client opened their
// copies on this leg.
func (r *room) openChannels(l *leg) {
	opp := l.opposite
	if opp == nil || !l.established || l.conn == nil {
		return
	}
	for _, b := range opp.channels {
		b.mu.Lock()
		done := b.far != nil || b.closed
		b.mu.Unlock()
		if done {
			continue
		}
		ordered := b.near.Ordered()
		protocol := b.near.Protocol()
		far, err := l.conn.pc.CreateDataChannel(b.near.Label(), &webrtc.DataChannelInit{
			Ordered:           &ordered,
			MaxPacketLifeTime: b.near.MaxPacketLifeTime(),
			MaxRetransmits:    b.near.MaxRetransmits(),
			Protocol:          &protocol,
		})
		if err != nil {
			l.log.Info("data channel cannot be bridged", "error", err)
			r.spawn(func() func() { b.giveUp(); return func() {} })
			continue
		}
		b.attach(far)
		if l.applied != nil && !l.applied.HasApplication() {
			l.wantOffer = true
		}
	}
}
