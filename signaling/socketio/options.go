package socketio

import (
	"log/slog"
	"time"

	"skillsage/signaling/engineio"
)

// Options configure a [Server]. The zero value of every field means its default.
type Options struct {
	// Engine configures the transport below. Its Path defaults to "/socket.io/" here.
	Engine engineio.Options
	// ConnectTimeout is how long a connection may live before its first namespace has accepted it;
	// default 45 s.
	ConnectTimeout time.Duration
	// Recovery is how long a socket whose connection broke waits for its client to come back
	// (connection state recovery). Zero turns recovery off: every end is final at once.
	Recovery time.Duration
	// RecoverAfterClose makes a socket wait also after its client closed the transport in an orderly way
	// (close frame, close packet), as the reference server does. Without it such a word ends the socket at once.
	RecoverAfterClose bool
	// RecoveryPackets and RecoveryBytes bound what one socket keeps for a replay, for which the oldest
	// makes room; and what is emitted while the client is away, of which one packet more ends the
	// socket. Defaults: 256 packets, 512 KiB.
	RecoveryPackets, RecoveryBytes int
	// MaxAttachments bounds the binary attachments of one packet from a client; default 10.
	MaxAttachments int
	// AttachmentTimeout is how long the attachments of a packet may take to arrive; default 20 s.
	AttachmentTimeout time.Duration
	// MaxAuthBytes bounds the payload of a CONNECT packet; default 16 KiB.
	MaxAuthBytes int
	// MaxWaitingPackets bounds what a client may send while its CONNECT is being decided, and
	// MaxWaitingBytes the bytes of it; one packet more closes the connection. Defaults: 64, 256 KiB.
	MaxWaitingPackets, MaxWaitingBytes int
	// AckTimeout is used by EmitWithAck when it is given none; default 20 s.
	AckTimeout time.Duration
	// MaxPendingAcks bounds the acknowledgements that one socket may be waiting for; default 256.
	MaxPendingAcks int
	// MaxRooms bounds the rooms that one socket may be in; default 256.
	MaxRooms int
	// Logger gets one line per life event of a socket; default none. It never sees payloads.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Engine.Path == "" {
		o.Engine.Path = "/socket.io/"
	}
	defaultTo(&o.Engine.PingInterval, 25*time.Second)
	defaultTo(&o.Engine.PingTimeout, 20*time.Second)
	defaultTo(&o.Engine.MaxPayload, 1_000_000)
	defaultTo(&o.ConnectTimeout, 45*time.Second)
	defaultTo(&o.RecoveryPackets, 256)
	defaultTo(&o.RecoveryBytes, 512<<10)
	defaultTo(&o.MaxAttachments, 10)
	defaultTo(&o.AttachmentTimeout, 20*time.Second)
	defaultTo(&o.MaxAuthBytes, 16<<10)
	defaultTo(&o.MaxWaitingPackets, 64)
	defaultTo(&o.MaxWaitingBytes, 256<<10)
	defaultTo(&o.AckTimeout, 20*time.Second)
	defaultTo(&o.MaxPendingAcks, 256)
	defaultTo(&o.MaxRooms, 256)
	// A replay must fit into the queue of the connection that it goes out on.
	if n := o.Engine.QueuePackets; n > 0 {
		o.RecoveryPackets = min(o.RecoveryPackets, max(n/3, 1))
	}
	if n := o.Engine.QueueBytes; n > 0 {
		o.RecoveryBytes = min(o.RecoveryBytes, n/3)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Engine.Logger == nil {
		o.Engine.Logger = o.Logger
	}
	return o
}

func defaultTo[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
