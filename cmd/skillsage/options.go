package main

import (
	"io"
	"log/slog"
	"net"
	"time"

	"skillsage/config"
	"skillsage/network"
	"skillsage/network/turn"
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

func relayOptions(cfg *config.Config, media *network.Port, log *slog.Logger) sfu.Options {
	c := cfg.Relay
	return sfu.Options{
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
}

func turnOptions(cfg *config.Config, media *network.Port, members *signaling.Server, log *slog.Logger) turn.Options {
	c := cfg.TURN
	return turn.Options{
		Port:          media,
		Realm:         c.Realm,
		Secret:        c.Secret,
		CredentialTTL: c.CredentialTTL,
		Member: func(id string) (known, outside bool) {
			mode, known := members.MemberMode(id)
			return known, mode == signaling.ModeP2P
		},
		RelayPorts:              turn.PortRange(c.RelayPorts),
		MaxAllocations:          c.MaxAllocations,
		MaxAllocationsPerMember: c.MaxAllocationsPerMember,
		MaxBandwidthPerMember:   c.MaxBandwidthPerMember,
		Logger:                  log,
	}
}

// iceServers makes what members are told of STUN and TURN servers.
func (s *server) iceServers(cfg *config.Config) func(member string) []signaling.ICEServer {
	var accounts []turn.Account
	if s.turn != nil {
		reach := turn.Reach{Host: cfg.TURN.Host, UDP: s.media.Addresses()}
		accounts = append(accounts, s.turn.Account(reach.URLs()))
	}
	if c := cfg.TURN; len(c.ExternalURLs) > 0 {
		accounts = append(accounts, turn.Account{URLs: c.ExternalURLs, Secret: c.ExternalSecret, TTL: c.CredentialTTL})
	}
	return func(member string) []signaling.ICEServer {
		servers := make([]signaling.ICEServer, len(accounts))
		for i, account := range accounts {
			servers[i] = signaling.ICEServer(account.For(member))
		}
		return servers
	}
}

// qualityInterval: 0 is never to the operator, and the default to the relay.
func qualityInterval(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
