package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"skillsage/config"
	"skillsage/internal/httpapi"
	"skillsage/network"
	"skillsage/network/certs"
	"skillsage/network/front"
	"skillsage/network/icetcp"
	"skillsage/network/public"
	"skillsage/network/turn"
	"skillsage/sfu"
	"skillsage/signaling"
	"skillsage/web"
)

// stopTime is how long the end may take once the drain is over and recordings are finished.
const stopTime = 2 * time.Second

// server is everything that runs, in the order in which it starts. Its fields are static after start.
type server struct {
	log        *slog.Logger
	certs      certs.Source // nil without TLS
	front      *front.Front
	media      *network.Port     // nil when no room can ever be relayed and there is no TURN server
	addresses  *public.Addresses // nil likewise
	engine     *sfu.Engine       // nil when no room can ever be relayed
	tcp        *icetcp.Mux       // nil when media does not use TCP
	turn       *turn.Server      // nil when it is off
	visitor    string            // who may use it without being in a room: the doctor
	signaling  *signaling.Server
	recordings recordings
	health     httpapi.Health
	http       *http.Server
	admin      *http.Server // nil when it is off
	adminAddr  net.Addr     // likewise
	failed     chan error   // a listener that broke
}

// serve runs the server until a signal ends it.
func serve(cfg *config.Config, out, errOut io.Writer) error {
	log := newLogger(cfg.Log, errOut)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)

	s, err := start(cfg, log)
	if err != nil {
		return err
	}
	printLinks(out, cfg, s)
	var known <-chan struct{} // the public address; a STUN server may have to be asked first
	if s.engine != nil {
		known = s.addresses.Asked()
	}
	var sig os.Signal
	var cause error
	for sig == nil && cause == nil {
		select {
		case <-known:
			printReach(out, cfg, s)
			known = nil
		case sig = <-signals:
		case cause = <-s.failed:
		}
	}
	if sig != nil {
		log.Info("stopping", "signal", sig.String(), "drain", cfg.Shutdown.Drain)
		go func() {
			log.Warn("stopped at once", "signal", (<-signals).String())
			os.Exit(exitFailed)
		}()
		s.drain(cfg.Shutdown.Drain)
	}
	// Whatever hangs, the process does not outlive its promise.
	limit := s.stopLimit()
	time.AfterFunc(limit, func() {
		log.Error("not everything ended in time", "limit", limit)
		os.Exit(exitFailed)
	})
	s.close()
	log.Info("stopped")
	return cause
}

// start opens the ports, builds the parts on them and begins to serve. On an error nothing is left open.
func start(cfg *config.Config, log *slog.Logger) (_ *server, err error) {
	s := &server{log: log, visitor: "doctor-" + rand.Text(), failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if cfg.Server.TLS() {
		if s.certs, err = certs.Open(certOptions(cfg, log)); err != nil {
			return nil, err
		}
	}
	if s.front, err = front.Open(frontOptions(cfg, s.certs, log)); err != nil {
		return nil, explainListen(err, cfg.Server.Listen(), "server.port, or the variable PORT,")
	}
	s.signaling = signaling.New(signalingOptions(cfg, log))

	if relays(cfg) || cfg.TURN.Enabled == "on" {
		if s.media, err = network.Open(networkOptions(cfg, s.front.Addr(), log)); err != nil {
			return nil, fmt.Errorf("%w (relay.udp_port chooses the port, network.addresses where it is opened)", err)
		}
	}
	if cfg.TURN.Enabled == "on" {
		if s.turn, err = turn.Open(turnOptions(cfg, s.media, s.front.TURN(), s.member, log)); err != nil {
			return nil, err
		}
	}
	if s.media != nil {
		told := publicOptions(cfg, s.front.Addr(), s.media.Addresses())
		told.Reflexive, told.Logger = s.media.Reflexive, log
		if s.turn != nil {
			told.Changed = func(all []public.Candidate) { s.turn.Advertise(addressesOf(all, public.UDP)) }
		}
		s.addresses = public.New(told)
	}
	if relays(cfg) {
		if over := overTCP(cfg, s.front.Addr(), s.media.Addresses()); len(over) > 0 {
			if s.tcp, err = icetcp.New(s.front.ICE(), icetcp.Options{Addresses: hosts(over), MaxConnections: 2 * cfg.Relay.MaxLegs, Logger: log}); err != nil {
				return nil, err
			}
		}
		if s.engine, err = sfu.New(relayOptions(cfg, s.media, s.tcp, s.addresses, log)); err != nil {
			return nil, err
		}
		s.engine.SetOutbox(outbox{s.signaling})
		s.signaling.SetRelay(s.engine)
	}
	if err = s.startRecordings(cfg); err != nil {
		return nil, err
	}
	s.signaling.SetICEServers(cfg.TURN.CredentialTTL, s.iceServers(cfg))

	assets, built := web.Assets()
	if !built {
		assets = nil
	}
	admin := s.adminPages(cfg)
	if err := s.startAdmin(cfg, admin); err != nil {
		return nil, err
	}
	if !cfg.Admin.Public {
		admin = nil
	}
	handler := httpapi.New(s.signaling, &s.health, assets, admin, s.recordings.watch())
	if s.certs != nil && cfg.Server.PlainHTTP == "redirect" {
		handler = httpapi.HTTPSOnly(handler)
	}
	s.http = s.newHTTP(cfg, handler)
	front.Attach(s.http)
	go s.serveOn(s.http, s.front.HTTP())
	if s.certs != nil {
		s.certs.Begin(s.front.Addr().(*net.TCPAddr))
	}
	return s, nil
}

// relays tells whether a room can ever be relayed. In a peer-to-peer server where no recruiter can switch, the
// media port stays closed.
func relays(cfg *config.Config) bool {
	return cfg.Relay.Mode == "relay" || cfg.Relay.RoomMode == "recruiter"
}

// member tells whether somebody may use the TURN server, and reach others through it than this server.
func (s *server) member(id string) (known, outside bool) {
	if id == s.visitor {
		return true, false
	}
	mode, known := s.signaling.MemberMode(id)
	return known, mode == signaling.ModeP2P
}

// adminPages makes the operator's pages.
func (s *server) adminPages(cfg *config.Config) http.Handler {
	options := httpapi.AdminOptions{Health: &s.health, Signaling: s.signaling, Front: s.front, Doctor: s.diagnose(cfg), Version: version(), Token: cfg.Admin.Token,
		Recordings: s.recordings.pages}
	if s.engine != nil { // a nil pointer in an interface is not nil
		options.Relay = s.engine
	}
	if s.media != nil {
		options.Media = s.media
	}
	if s.turn != nil {
		options.TURN = s.turn
	}
	if s.tcp != nil {
		options.TCPMedia = s.tcp
	}
	if s.recordings.recorder != nil {
		options.Recording = s.recordings.recorder
	}
	if s.recordings.delivery != nil {
		options.Delivery = s.recordings.delivery
	}
	return httpapi.NewAdmin(options)
}

// startAdmin opens the operator's listener. Where its address is the default one, the server does without it if it has
// to: several servers on one machine can't all have it.
func (s *server) startAdmin(cfg *config.Config, pages http.Handler) error {
	if cfg.Admin.Listen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", cfg.Admin.Listen)
	err = explainListen(err, cfg.Admin.Listen, "admin.listen")
	if err != nil && !cfg.Admin.Chosen {
		s.log.Warn("no metrics and no debug page", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	s.admin, s.adminAddr = s.newHTTP(cfg, pages), listener.Addr()
	go s.serveOn(s.admin, listener)
	return nil
}

// explainListen says what can be done about an error of opening address, which option chose.
func explainListen(err error, address, option string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is taken by another program; %s chooses another port: %w", address, option, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s may not be opened by this user; %s chooses another port: %w", address, option, err)
	}
	return err
}

// newHTTP has no ReadTimeout and no WriteTimeout: they would cut long polls. The signaling sets
// deadlines of its own on what it reads and writes.
func (s *server) newHTTP(cfg *config.Config, handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    cfg.Server.MaxHeaderSize,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

func (s *server) serveOn(server *http.Server, listener net.Listener) {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		s.failed <- err
	}
}

// drain opens no new rooms and waits until the last one has ended, for at most limit.
func (s *server) drain(limit time.Duration) {
	s.health.Drain()
	s.signaling.Drain()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit > 0 && s.signaling.Stats().Rooms > 0 {
		select {
		case <-deadline.C:
			return
		case <-tick.C:
		}
	}
}

// stopLimit is how long close may take.
func (s *server) stopLimit() time.Duration {
	if s.recordings.recorder != nil {
		return stopTime + finishTime + followTime
	}
	return stopTime
}

// close ends the parts in the reverse order of their start: the recordings, then nobody new, then the members' sockets,
// their media, the ports. What does not end in time is cut.
func (s *server) close() {
	finishing, cancelFinishing := context.WithTimeout(context.Background(), finishTime)
	defer cancelFinishing()
	s.note("recordings are left for the next start to finish", s.recordings.finish(finishing))
	ctx, cancel := context.WithTimeout(context.Background(), stopTime-500*time.Millisecond)
	defer cancel()
	requests, cutRequests := context.WithCancel(ctx)
	defer cutRequests()
	var servers sync.WaitGroup
	for _, server := range []*http.Server{s.http, s.admin} {
		if server != nil {
			servers.Go(func() {
				_ = server.Shutdown(requests)
				_ = server.Close()
			})
		}
	}
	// Half of the time is left for the media, should a socket take its time to say goodbye.
	goodbye, cancelGoodbye := context.WithTimeout(ctx, stopTime/2)
	defer cancelGoodbye()
	if s.signaling != nil {
		s.note("sockets were cut", s.signaling.Close(goodbye))
	}
	if s.engine != nil {
		s.note("media connections were cut", s.engine.Close(ctx))
	}
	if s.turn != nil {
		s.note("TURN clients were cut", s.turn.Close(ctx))
	}
	// All long polls have been answered by now. What still keeps an HTTP server from ending is a browser's
	// spare connection that never carried a request.
	time.AfterFunc(200*time.Millisecond, cutRequests)
	servers.Wait()
	if s.addresses != nil {
		s.addresses.Close()
	}
	if s.tcp != nil {
		_ = s.tcp.Close()
	}
	if s.media != nil {
		_ = s.media.Close()
	}
	if s.front != nil {
		_ = s.front.Close()
	}
	if s.certs != nil {
		s.note("getting certificates was cut", s.certs.Close(ctx))
	}
}

func (s *server) note(text string, err error) {
	if err != nil {
		s.log.Warn(text, "error", err)
	}
}
