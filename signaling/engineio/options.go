package engineio

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// Names of the two transports, as they stand in the `transport` query parameter.
const (
	TransportPolling   = "polling"
	TransportWebSocket = "websocket"
)

// Options configure a [Server]. The zero value of every field means its default.
type Options struct {
	// Path is the prefix of the URL paths served, default "/engine.io/". As in the reference server
	// everything below it belongs to the protocol too; anything else is answered 404.
	Path string
	// OptionalSlash also serves Path without its trailing slash (clients with addTrailingSlash:false).
	OptionalSlash bool

	// PingInterval is the time from the handshake, or from the last pong, to the next ping; default 25 s.
	PingInterval time.Duration
	// PingTimeout is how long a ping may stay unanswered before the session is closed; default 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout is how long a probing WebSocket may take to complete the upgrade; default 10 s.
	UpgradeTimeout time.Duration
	// ReadTimeout bounds a POST body and a fragmented WebSocket message, first byte to last; default 20 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds each blocking write (up to 64 KB) and the closing handshake; default 10 s.
	WriteTimeout time.Duration
	// CloseLinger is how long a polling session that the server closed while no GET was pending
	// stays, so that the next GET can fetch what is left and the close packet; default 30 s.
	CloseLinger time.Duration

	// MaxPayload is the size limit in bytes of a POST body and of a WebSocket message; default 1 000 000.
	MaxPayload int
	// Transports lists what clients may use; default polling and websocket.
	Transports []string
	// DisableUpgrades keeps polling sessions on polling.
	DisableUpgrades bool

	// AllowRequest is asked once per handshake, never for later requests. A non-nil error refuses
	// the handshake with HTTP 403 and error code 4; its text is shown to the client. It may block.
	AllowRequest func(*http.Request) error
	// CheckOrigin decides on the Origin header of every WebSocket upgrade. It is not asked when the
	// header is absent: native clients send none. Nil allows what CORS allows, and the same host.
	CheckOrigin func(origin string, r *http.Request) bool
	// CORS says which web origins may read the answers.
	CORS CORS

	// MaxSessions and MaxSessionsPerAddress cap the sessions alive at one time. An IPv6 address
	// counts by its /64. Defaults: 100 000, and no cap per address.
	MaxSessions, MaxSessionsPerAddress int
	// QueuePackets and QueueBytes bound what may wait for one session; one packet more closes it as
	// a slow reader. Defaults: 2048 packets, 4 MiB. A single packet may exceed QueueBytes.
	QueuePackets, QueueBytes int

	// TrustedProxies are the peers whose X-Forwarded-For is believed; default none.
	TrustedProxies []netip.Prefix
	// Logger gets one line per session opened, closed or refused; default none.
	Logger *slog.Logger
}

// CORS says which web origins may read the server's HTTP answers.
type CORS struct {
	// Origins are exact origins ("https://example.org"), or "*" for any. Nil means any; an empty
	// list means none, so that only pages of the same origin can talk to the server.
	Origins []string
	// Credentials lets browsers send cookies. Browsers refuse it together with "*", so it has an
	// effect for the origins listed by name only.
	Credentials bool
}

func (o Options) withDefaults() Options {
	if o.Path == "" {
		o.Path = "/engine.io/"
	}
	if o.Path[len(o.Path)-1] != '/' {
		o.Path += "/"
	}
	defaultTo(&o.PingInterval, 25*time.Second)
	defaultTo(&o.PingTimeout, 20*time.Second)
	defaultTo(&o.UpgradeTimeout, 10*time.Second)
	defaultTo(&o.ReadTimeout, 20*time.Second)
	defaultTo(&o.WriteTimeout, 10*time.Second)
	defaultTo(&o.CloseLinger, 30*time.Second)
	defaultTo(&o.MaxPayload, 1_000_000)
	defaultTo(&o.MaxSessions, 100_000)
	defaultTo(&o.QueuePackets, 2048)
	defaultTo(&o.QueueBytes, 4<<20)
	if o.Transports == nil {
		o.Transports = []string{TransportPolling, TransportWebSocket}
	}
	if o.CORS.Origins == nil {
		o.CORS.Origins = []string{"*"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func defaultTo[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
