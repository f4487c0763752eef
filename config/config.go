// Package config turns flags, the environment and config.yaml into one typed, validated Config.
//
// It knows no other package of the project: cmd/skillsage hands each part the few values it needs.
// Every option exists in four forms that share one name: the key relay.mode is the flag
// --relay.mode, the variable SKILLSAGE_RELAY_MODE and the entry mode in the section relay of the
// file. A flag beats the variable, the variable beats PORT (for server.port alone), that beats
// the file, and the file beats the default.
package config

import (
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Config holds every option. It is plain data: filled by Load, read by anyone afterwards.
type Config struct {
	Server    Server
	Signaling Signaling
	Relay     Relay
	Network   Network
	TURN      TURN
	Recording Recording
	Shutdown  Shutdown
	Log       Log
	Admin     Admin
}

// Server is the TCP port that carries the room page, the signaling, and media that can't take the UDP port.
type Server struct {
	Address        string         // host or IP to listen on; empty: every interface
	Port           int            // TCP port; 0 lets the system choose
	CORSOrigins    []string       // "*" or exact origins such as https://app.example.com
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	MaxHeaderSize  int            // bytes of one request's header
	MaxPending     int            // connections that have not said what they are
	TLSCert        string         // PEM files; empty: no TLS by files
	TLSKey         string
	ACMEDomains    []string // DNS names, lower case; empty: no TLS by ACME
	ACMEEmail      string
	ACMEDir        string // where certificates and keys are kept
	ACMECA         string // URL of the directory; empty: Let's Encrypt
	PlainHTTP      string // with TLS: "redirect" or "serve"
}

// Listen is the address in the form net.Listen takes.
func (s Server) Listen() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.Port)) }

// TLS tells whether the server ends TLS itself.
func (s Server) TLS() bool { return s.TLSCert != "" || len(s.ACMEDomains) > 0 }

// Signaling bounds the sockets, rooms and events.
type Signaling struct {
	Grace                time.Duration // from a broken connection to user-left; also the recovery window
	PingInterval         time.Duration
	PingTimeout          time.Duration
	UpgradeTimeout       time.Duration
	ConnectTimeout       time.Duration
	ReadTimeout          time.Duration
	WriteTimeout         time.Duration
	MaxPayload           int // bytes of one message
	MaxSockets           int
	MaxSocketsPerAddress int
	MaxRooms             int
	MaxMembers           int     // sockets in one room
	EventRate            float64 // events per second and socket
	EventBurst           int
	MaxSignal            int // bytes of one description
	MaxCandidate         int // bytes of one candidate
	ChatMessages         int // kept per room
	MaxChatMessage       int // bytes
	ChatSize             int // bytes kept per room
	Questions            int // whose code is kept per room
	MaxCode              int // bytes of one question's code
	CodeSize             int // bytes kept per room
	QueueMessages        int // waiting for one slow socket
	QueueSize            int // bytes waiting for one slow socket
}

// Relay chooses and bounds the media relay.
type Relay struct {
	Mode               string // "relay" or "p2p"
	RoomMode           string // "server" or "recruiter"
	UDPPort            int    // 0: the HTTP port's number
	MaxLegs            int    // peer connections of the whole server
	MaxLegsPerRoom     int
	FirstAnswerTimeout time.Duration
	AnswerTimeout      time.Duration
	GlareTimeout       time.Duration
	ConnectTimeout     time.Duration
	RestartAfter       time.Duration // of not hearing of a client, until ICE is restarted
	LostTimeout        time.Duration // of a dead connection, until its call is made anew
	MediaTimeout       time.Duration // of no media, until both sides are told
	Uploads            string        // once or every_leg
	SmallUploads       string        // on or off
	PanelPercentile    int           // 0 is the viewer with the least bandwidth
	VideoCodecs        []string      // lower case, by preference
	QualityInterval    time.Duration // 0: members are not told how their connections do
}

// Network says where the media port is opened, and what browsers are told about that.
type Network struct {
	Addresses       []netip.Addr // of this machine; empty: all
	Interfaces      []string     // names; empty: all
	Loopback        string       // "auto", "yes" or "no"
	Advertise       []Advertised // by preference
	AdvertiseInside string       // "yes" or "no"
	STUNServers     []string     // host:port; empty: nobody is asked
	ICETCP          string       // "on" or "off"
	SSLTCP          string       // "on" or "off"

	// STUNChosen is false where STUNServers is the default that nobody has asked for.
	STUNChosen bool
}

// Advertised is an address by which the server is reached from outside.
type Advertised struct {
	Protocol string // "udp" or "tcp"; empty: both
	Addr     netip.Addr
	Port     uint16 // 0: the number that the server itself has
}

// String is the notation of network.advertise.
func (a Advertised) String() string {
	text := a.Addr.String()
	if a.Port != 0 {
		text = netip.AddrPortFrom(a.Addr, a.Port).String()
	}
	if a.Protocol != "" {
		text = a.Protocol + ":" + text
	}
	return text
}

// TURN is the server's own TURN server, and others that members are told of.
type TURN struct {
	Enabled                 string        // "on" or "off": the own one
	Host                    string        // name or address that clients reach it by; empty: its addresses
	Realm                   string        // of credentials
	Secret                  string        // credentials are made of it; empty: a random one
	CredentialTTL           time.Duration // also of those for other servers
	RelayPorts              Ports         // for members of peer-to-peer rooms; none: they only relay to each other
	MaxAllocations          int           // of the whole server
	MaxAllocationsPerMember int
	MaxBandwidthPerMember   int      // bytes per second
	ExternalURLs            []string // of other servers (RFC 7064, 7065)
	ExternalSecret          string   // that they share with this one
}

// Ports are the ports from Min to Max; the zero value is none.
type Ports struct{ Min, Max uint16 }

// Recording keeps interviews on disk.
type Recording struct {
	Mode          string        // "off", "on-request" or "always"
	Dir           string        // where recordings are kept
	Consent       string        // "none", "notice" or "required"
	NoticeStarted string        // chat line for pages that do not show recordings; empty: none
	NoticeStopped string        // likewise
	MinFree       int           // bytes that stay free in the file system of Dir
	MaxDuration   time.Duration // of one recording

	WebhookURLs      []string      // told of recordings
	WebhookSecrets   []string      // whsec_ and base64; all of them sign
	WebhookRetryFor  time.Duration // from the first attempt on
	WebhookTimeout   time.Duration // of one attempt
	WebhookMaxQueued int           // messages that wait, for all URLs together

	UploadURL         string // of a bucket; empty: none
	UploadPrefix      string // of keys
	UploadParallel    int    // recordings at the same time
	UploadBandwidth   int    // bytes per second; 0: no bound
	DeleteAfterUpload bool

	Exec         []string // a program and its arguments; empty: none
	ExecTimeout  time.Duration
	ExecParallel int

	KeepFor    time.Duration // 0: for ever
	KeepShare  int           // percent of the disk; 0: no bound
	LinkSecret string        // links to recordings are signed with it; empty: one that is kept in Dir
	LinkTTL    time.Duration // of links, where nothing else is asked for
	LinkURL    string        // where browsers find the server, without a slash at the end; empty: links are paths
}

// On tells whether anything can ever be recorded.
func (r Recording) On() bool { return r.Mode != "off" }

// Shutdown is what SIGTERM does.
type Shutdown struct {
	Drain time.Duration // how long running calls may go on
}

// Log is the shape of the log.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Admin is what the operator alone may see: metrics, the debug page, profiles.
type Admin struct {
	Listen string // host:port of a listener of its own; empty: off
	Token  string // what the pages ask for; empty: nothing
	Public bool   // they are on the public listener too, below /admin/

	// Chosen is false where Listen is the default that nobody has asked for: the server goes on without it
	// when the port is taken.
	Chosen bool
}

// Loopback tells whether only this machine reaches Listen.
func (a Admin) Loopback() bool {
	name, _, err := net.SplitHostPort(a.Listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
