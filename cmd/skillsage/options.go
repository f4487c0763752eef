package main

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"skillsage/config"
	"skillsage/network"
	"skillsage/network/certs"
	"skillsage/network/front"
	"skillsage/network/icetcp"
	"skillsage/network/public"
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

func certOptions(cfg *config.Config, log *slog.Logger) certs.Options {
	c := cfg.Server
	return certs.Options{
		CertFile: c.TLSCert,
		KeyFile:  c.TLSKey,
		Domains:  c.ACMEDomains,
		Email:    c.ACMEEmail,
		Dir:      c.ACMEDir,
		CA:       c.ACMECA,
		Logger:   log,
	}
}

// frontOptions: certificates is nil without TLS.
func frontOptions(cfg *config.Config, certificates certs.Source, log *slog.Logger) front.Options {
	options := front.Options{
		Address:    cfg.Server.Listen(),
		MaxPending: cfg.Server.MaxPending,
		Shared:     cfg.Server.TrustedProxies,
		Logger:     log,
	}
	if certificates != nil {
		options.TLS = certificates.TLS()
	}
	return options
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

// publicOptions lacks who asks STUN servers and who hears of it.
func publicOptions(cfg *config.Config, page net.Addr, media []netip.AddrPort) public.Options {
	c := cfg.Network
	options := public.Options{UDP: media, TCP: overTCP(cfg, page, media), SSLTCP: c.SSLTCP == "on", Inside: c.AdvertiseInside == "yes"}
	for _, a := range c.Advertise {
		options.Advertise = append(options.Advertise, public.Entry{Protocol: a.Protocol, Addr: a.Addr, Port: a.Port})
	}
	// Who tries the server on one machine has no use for a public address, and gave nobody leave to ask for it.
	if c.STUNChosen || reachable(cfg, page) {
		options.STUN = c.STUNServers
	}
	return options
}

// overTCP is where media over TCP are accepted: at the port of the page, on the addresses that carry media. The page may be open on fewer.
func overTCP(cfg *config.Config, page net.Addr, media []netip.AddrPort) (all []netip.AddrPort) {
	if !relays(cfg) || cfg.Network.ICETCP != "on" {
		return nil
	}
	at := page.(*net.TCPAddr).AddrPort()
	for _, addr := range hosts(media) {
		if at.Addr().IsUnspecified() || at.Addr().Unmap() == addr {
			all = append(all, netip.AddrPortFrom(addr, at.Port()))
		}
	}
	return all
}

// hosts are addresses without their ports.
func hosts(addresses []netip.AddrPort) []netip.Addr {
	list := make([]netip.Addr, len(addresses))
	for i, a := range addresses {
		list[i] = a.Addr()
	}
	return list
}

// candidatesOf says in the relay's words what browsers are told.
func candidatesOf(addresses *public.Addresses) func() []sfu.Candidate {
	return func() []sfu.Candidate {
		var all []sfu.Candidate
		for _, c := range addresses.Candidates() {
			all = append(all, sfu.Candidate{Protocol: c.Protocol, Addr: c.Addr})
		}
		return all
	}
}

// relayOptions are those of a relay on a UDP port and, unless tcp is nil, a TCP port.
func relayOptions(cfg *config.Config, media *network.Port, tcp *icetcp.Mux, addresses *public.Addresses, log *slog.Logger) sfu.Options {
	c := cfg.Relay
	options := sfu.Options{
		Logger:             log,
		UDPMux:             media.Mux(),
		Route:              media.Route,
		Candidates:         candidatesOf(addresses),
		IncludeLoopback:    media.HasLoopback(),
		MaxLegs:            c.MaxLegs,
		MaxLegsPerRoom:     c.MaxLegsPerRoom,
		FirstAnswerTimeout: c.FirstAnswerTimeout,
		AnswerTimeout:      c.AnswerTimeout,
		GlareTimeout:       c.GlareTimeout,
		ConnectTimeout:     c.ConnectTimeout,
		RestartAfter:       c.RestartAfter,
		LostTimeout:        c.LostTimeout,
		MediaTimeout:       c.MediaTimeout,
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

func turnOptions(cfg *config.Config, media *network.Port, tcp net.Listener, member func(id string) (known, outside bool), log *slog.Logger) turn.Options {
	c := cfg.TURN
	return turn.Options{
		Port:                    media,
		Listener:                tcp,
		Realm:                   c.Realm,
		Secret:                  c.Secret,
		CredentialTTL:           c.CredentialTTL,
		Member:                  member,
		RelayPorts:              turn.PortRange(c.RelayPorts),
		MaxAllocations:          c.MaxAllocations,
		MaxAllocationsPerMember: c.MaxAllocationsPerMember,
		MaxBandwidthPerMember:   c.MaxBandwidthPerMember,
		Logger:                  log,
	}
}

// iceServers makes what members are told of STUN and TURN servers.
func (s *server) iceServers(cfg *config.Config) func(member string, mode signaling.Mode) []signaling.ICEServer {
	c := cfg.TURN
	return func(member string, mode signaling.Mode) []signaling.ICEServer {
		var servers []signaling.ICEServer
		if s.turn != nil {
			reach := s.turnReach(cfg)
			if mode != signaling.ModeP2P {
				// Whom UDP gets to the TURN server it gets to the media, which are at the same address; and Chromium takes
				// all that comes from a TURN server's address on the same socket for TURN, the media with it.
				reach.UDP = nil
			}
			servers = append(servers, signaling.ICEServer(s.turn.Account(reach.URLs()).For(member)))
		}
		if len(c.ExternalURLs) > 0 {
			external := turn.Account{URLs: c.ExternalURLs, Secret: c.ExternalSecret, TTL: c.CredentialTTL}
			servers = append(servers, signaling.ICEServer(external.For(member)))
		}
		return servers
	}
}

// turnReach says where clients find the TURN server: over UDP where the media are, over TCP where the page is.
func (s *server) turnReach(cfg *config.Config) turn.Reach {
	candidates := s.addresses.Candidates()
	port := s.front.Addr().(*net.TCPAddr).AddrPort().Port()
	reach := turn.Reach{Host: cfg.TURN.Host, UDP: addressesOf(candidates, public.UDP), TCP: addressesOf(candidates, public.TCP)}
	if len(reach.TCP) == 0 { // no media over TCP, but TURN
		for _, addr := range reach.UDP {
			reach.TCP = append(reach.TCP, netip.AddrPortFrom(addr.Addr(), port))
		}
	}
	if s.certs != nil {
		reach.TLS, reach.Certificate = reach.TCP[0].Port(), s.certs.Name()
	}
	return reach
}

// addressesOf lists the addresses of one protocol.
func addressesOf(candidates []public.Candidate, protocol string) (all []netip.AddrPort) {
	for _, c := range candidates {
		if c.Protocol == protocol {
			all = append(all, c.Addr)
		}
	}
	return all
}

// qualityInterval: 0 is never to the operator, and the default to the relay.
func qualityInterval(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
