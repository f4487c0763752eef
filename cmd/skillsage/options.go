package main

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"skillsage/config"
	"skillsage/network"
	"skillsage/network/icetcp"
	"skillsage/sfu"
	"skillsage/signaling"
	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio"
)

// The functions here hand each part the few options it needs, so that only this package knows config.Config.

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func signalingOptions(cfg *config.Config, log *slog.Logger) signaling.Options {
	c := cfg.Signaling
	return signaling.Options{
		Mode:     signaling.Mode(cfg.Relay.Mode),
		RoomMode: signaling.RoomMode(cfg.Relay.RoomMode),
		Logger:   log,
		Limits: signaling.Limits{
			Rooms:            c.MaxRooms,
			MembersPerRoom:   c.MaxMembers,
			EventRate:        c.EventRate,
			EventBurst:       c.EventBurst,
			SignalBytes:      c.MaxSignal,
			CandidateBytes:   c.MaxCandidate,
			ChatMessages:     c.ChatMessages,
			ChatMessageBytes: c.MaxChatMessage,
			ChatBytes:        c.ChatSize,
			Questions:        c.Questions,
			CodeBytes:        c.MaxCode,
			CodeTotal:        c.CodeSize,
		},
		SocketIO: socketio.Options{
			ConnectTimeout: c.ConnectTimeout,
			Recovery:       c.Grace,
			Logger:         log,
			Engine: engineio.Options{
				PingInterval:          c.PingInterval,
				PingTimeout:           c.PingTimeout,
				UpgradeTimeout:        c.UpgradeTimeout,
				ReadTimeout:           c.ReadTimeout,
				WriteTimeout:          c.WriteTimeout,
				MaxPayload:            c.MaxPayload,
				CORS:                  engineio.CORS{Origins: cfg.Server.CORSOrigins},
				MaxSessions:           c.MaxSockets,
				MaxSessionsPerAddress: c.MaxSocketsPerAddress,
				QueuePackets:          c.QueueMessages,
				QueueBytes:            c.QueueSize,
				TrustedProxies:        cfg.Server.TrustedProxies,
			},
		},
	}
}

func networkOptions(cfg *config.Config, page net.Addr, log *slog.Logger) network.Options {
	tcp := page.(*net.TCPAddr)
	options := network.Options{
		Port:       cfg.Relay.UDPPort,
		Addresses:  cfg.Network.Addresses,
		Interfaces: cfg.Network.Interfaces,
		Logger:     log,
	}
	switch {
	case cfg.Network.Loopback == "no":
		options.Loopback = network.LoopbackNo
	// A page that only this machine reaches may be opened by a browser without any other network.
	case cfg.Network.Loopback == "yes" || tcp.IP.IsLoopback():
		options.Loopback = network.LoopbackYes
	}
	if options.Port == 0 {
		options.Port = tcp.Port
	}
	return options
}

// hosts are addresses without their ports.
func hosts(addresses []netip.AddrPort) []netip.Addr {
	list := make([]netip.Addr, len(addresses))
	for i, a := range addresses {
		list[i] = a.Addr()
	}
	return list
}

// relayOptions are those of a relay on a UDP port and, unless tcp is nil, a TCP port.
func relayOptions(cfg *config.Config, media *network.Port, tcp *icetcp.Mux, log *slog.Logger) sfu.Options {
	c := cfg.Relay
	options := sfu.Options{
		Logger:             log,
		UDPMux:             media.Mux(),
		Route:              media.Route,
		IncludeLoopback:    media.HasLoopback(),
		MaxLegs:            c.MaxLegs,
		MaxLegsPerRoom:     c.MaxLegsPerRoom,
		FirstAnswerTimeout: c.FirstAnswerTimeout,
		AnswerTimeout:      c.AnswerTimeout,
		GlareTimeout:       c.GlareTimeout,
		ConnectTimeout:     c.ConnectTimeout,
		UploadOnEveryLeg:   c.Uploads == "every_leg",
		SmallUploads:       c.SmallUploads == "on",
		PanelPercentile:    c.PanelPercentile,
		VideoCodecs:        c.VideoCodecs,
		QualityInterval:    qualityInterval(c.QualityInterval),
	}
	if tcp != nil { // a nil pointer in an interface is not nil
		options.TCPMux, options.RouteTCP = tcp, tcp.Route
	}
	return options
}

// qualityInterval: 0 is never to the operator, and the default to the relay.
func qualityInterval(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
