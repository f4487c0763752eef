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
	Shutdown  Shutdown
	Log       Log
	Admin     Admin
}

// Server is the HTTP listener that carries the room page and the signaling.
type Server struct {
	Address        string         // host or IP to listen on; empty: every interface
	Port           int            // TCP port; 0 lets the system choose
	CORSOrigins    []string       // "*" or exact origins such as https://app.example.com
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	MaxHeaderSize  int            // bytes of one request's header
}

// Listen is the address in the form net.Listen takes.
func (s Server) Listen() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.Port)) }

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
	Uploads            string        // once or every_leg
	SmallUploads       string        // on or off
	PanelPercentile    int           // 0 is the viewer with the least bandwidth
	VideoCodecs        []string      // lower case, by preference
	QualityInterval    time.Duration // 0: members are not told how their connections do
}

// Network says where the media ports are opened.
type Network struct {
	Addresses  []netip.Addr // of this machine; empty: all
	Interfaces []string     // names; empty: all
	Loopback   string       // "auto", "yes" or "no"
	ICETCP     string       // on or off
}

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
