// Package sfu is the media relay: it ends every client's peer connections
// itself and forwards between them, so that browsers written for peer-to-peer
// calls meet a server without knowing it.
//
// A leg is the server's connection to one client in the name of one other
// member. What a client sends on its legs are sources; every viewer of a source
// gets it through a feed on a leg of its own. The package speaks session
// descriptions and RTP, and knows nothing of how descriptions travel.
package sfu

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"skillsage/sfu/jsep"
	"skillsage/sfu/media"
)

// Options are an Engine's settings. The zero value of each field means its default.
type Options struct {
	Logger *slog.Logger
	// UDPMux carries all media on one port. Nil lets every leg open its own.
	UDPMux ice.UDPMux
	// TCPMux carries the media of those whose network lets no UDP pass (RFC 6544,
	// passive); nil: they are not served.
	TCPMux ice.TCPMux
	// Route gives a client's address the short way of media, past the WebRTC
	// stack (see network.Port.Route); nil: there is none. RouteTCP does so for
	// connections of TCPMux (see icetcp.Mux.Route).
	Route, RouteTCP OpenRoute
	// Candidates are the server's addresses as clients are to be told them, by
	// preference and each once; asked for each description. Nil, or none from it: those that
	// the stack finds.
	Candidates func() []Candidate
	// IncludeLoopback offers 127.0.0.1 too, for a server that only loopback reaches.
	IncludeLoopback bool
	// MaxLegs and MaxLegsPerRoom bound the legs, those that still wait for
	// the far side included: a page with several sockets calls every socket of
	// every other page. 0 is 8192 and 512.
	MaxLegs, MaxLegsPerRoom int
	// FirstAnswerTimeout is how long a far leg waits for a member that has never
	// answered (a camera prompt, or a socket that never will); default 60 s.
	FirstAnswerTimeout time.Duration
	// AnswerTimeout is how long a member that has answered before may take; default 10 s.
	AnswerTimeout time.Duration
	// GlareTimeout is how long an offer that crossed the server's is held back
	// before the client counts as impolite (RFC 8829 section 5.5); default 1.5 s.
	GlareTimeout time.Duration
	// ConnectTimeout is how long ICE and DTLS may take after an answer; default 30 s.
	ConnectTimeout time.Duration
	// RestartAfter is how long a client may not be heard of where it has to be, until the server restarts ICE if
	// the client's signaling is alive; default 2.5 s. Where it need not be heard of, that takes 5 s.
	RestartAfter time.Duration
	// LostTimeout is how long a connection may be dead, restarts included, until the call is made anew; at
	// least 6 s, default 20 s.
	LostTimeout time.Duration
	// MediaTimeout is how long media may not come after an answer, or no more, until both members of the call are told;
	// default 5 s.
	MediaTimeout time.Duration
	// SilenceTimeout is the silence of a track, on a connection that is not
	// silent, after which it counts as ended; default 1.5 s.
	SilenceTimeout time.Duration
	// UploadOnEveryLeg lets clients send a source on each of their legs, as they
	// would to their peers, though one is enough: for pages that send unlike
	// content to their peers under one stream id.
	UploadOnEveryLeg bool
	// SmallUploads lets a client send a second, small picture for viewers who can
	// take far less than the others.
	SmallUploads bool
	// PanelPercentile (0 to 100) says which of a picture's viewers, in the order of
	// what they can take, its publisher is held to; 0 is the one with the least.
	PanelPercentile int
	// QualityInterval is how often members are told how their legs do; default
	// 3 s, negative: never.
	QualityInterval time.Duration
	// VideoCodecs is the order of preference, by lower-case name; default jsep.DefaultVideo.
	VideoCodecs []string
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.MaxLegs, 8192)
	setDefault(&o.MaxLegsPerRoom, 512)
	setDefault(&o.FirstAnswerTimeout, time.Minute)
	setDefault(&o.AnswerTimeout, 10*time.Second)
	setDefault(&o.GlareTimeout, 1500*time.Millisecond)
	setDefault(&o.ConnectTimeout, 30*time.Second)
	setDefault(&o.RestartAfter, 2500*time.Millisecond)
	setDefault(&o.LostTimeout, 20*time.Second)
	setDefault(&o.MediaTimeout, 5*time.Second)
	o.LostTimeout = max(o.LostTimeout, disconnectedAfter+time.Second)
	setDefault(&o.SilenceTimeout, 1500*time.Millisecond)
	setDefault(&o.QualityInterval, 3*time.Second)
	if len(o.VideoCodecs) == 0 {
		o.VideoCodecs = jsep.DefaultVideo
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Outbox is where an Engine's descriptions and news go. Its methods are called
// on a room's goroutine, must not block, and keep the order of the calls.
type Outbox interface {
	// Send hands a description of kind "offer" or "answer" to member to, in the name of from.
	Send(room, to, from string, screen bool, kind, sdp string)
	// State tells what became of member's leg towards peer: "connected",
	// "disconnected", "failed", "closed"; "rehome" when the call between member
	// (who offered) and peer must be made anew; "refused" when a description of
	// member's was found bad only after it had been taken.
	State(room, member, peer string, screen bool, state, reason string)
	// Unsupported tells member that it and peer share no codec of a kind ("audio"
	// or "video") and will not get that of each other; both are told, once.
	Unsupported(room, member, peer string, screen bool, kind, reason string)
	// Quality tells member how its connected legs do, all of them, once in a
	// while. Nothing is lost when it is not passed on.
	Quality(room, member string, legs []Quality)
	// MediaStatus tells member what became of media of a call, once each time that it changes; the first is never ok.
	// A member's leave or re-homing ends it too.
	MediaStatus(room, member string, status MediaStatus)
	// Probe asks whether the signaling of a member is alive; if it is, Engine.Alive follows.
	Probe(room, member string)
}

// Stats counts what an Engine does; read by Engine.Stats.
type Stats struct {
	Rooms, Legs                     int
	LegsOpened, LegsRefused         uint64
	OffersHeld, Glares              uint64
	OffersUnanswered                uint64
	Rehomed, Refilled               uint64
	ICERestarts                     uint64 // of the server's
	LateAnswers, CandidatesDropped  uint64
	DataChannels, DataChannelsLost  uint64
	LegsFailed, LegsConnected       uint64
	UpstreamsStarted, CarrierSwitch uint64
	UploadsMoved                    uint64                    // to another leg of the publisher
	SmallUploads                    uint64                    // times a leg changed between the common and a small upload
	SecondUploads                   uint64                    // of tracks in another codec, for a viewer who cannot take the first
	Unsupported                     uint64                    // calls whose members share no codec of a kind
	MediaTroubles                   [len(MediaReasons)]uint64 // by MediaReasons: times that members were told so
}

// Engine is the relay. All methods may be called from any goroutine and never block,
// except New and Close.
type Engine struct {
	opts   Options
	log    *slog.Logger
	api    *media.API
	cert   webrtc.Certificate
	outbox Outbox
	count  counters
	ledger ledger

	started   time.Time
	roomsMade atomic.Int64

	tapSources atomic.Uint64 // ever shown to tappers

	mu     sync.Mutex
	rooms  map[string]*room // guarded by mu
	closed bool             // guarded by mu
	wg     sync.WaitGroup   // rooms' goroutines
}

type counters struct {
	legs                                                                        atomic.Int64
	opened, refused, held, glares, unanswered, rehomed, refilled, late          atomic.Uint64
	candidatesDropped, channels, channelsLost, failed, connected, ups, switches atomic.Uint64
	seconds, unsupported, moves, smalls, restarted                              atomic.Uint64
	troubles                                                                    [len(MediaReasons)]atomic.Uint64
}

// New makes an Engine. SetOutbox must follow before the first Join.
func New(opts Options) (*Engine, error) {
	opts.setDefaults()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sfu: certificate key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("sfu: certificate: %w", err)
	}
	api, err := newAPI(&opts)
	if err != nil {
		return nil, fmt.Errorf("sfu: %w", err)
	}
	return &Engine{opts: opts, log: opts.Logger, api: api, cert: *cert, rooms: make(map[string]*room), started: time.Now()}, nil
}

// newAPI sets the transports up: one UDP port, one TCP port, no mDNS (five goroutines a
// connection, and nothing here resolves names), the browser as DTLS client so
// that the server's preference of AES-GCM wins.
func newAPI(opts *Options) (*media.API, error) {
	settings := webrtc.SettingEngine{LoggerFactory: stackLogger{opts.Logger}}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetICETimeouts(disconnectedAfter, opts.LostTimeout-disconnectedAfter, keepaliveInterval)
	settings.SetICEMaxBindingRequests(maxChecks)
	// The stack holds back from nominating an address that it learned from a check alone, for a second, or that a
	// STUN server told, for half of one, in case a host candidate works too. Browsers hide their host candidates
	// (RFC 8828), so nothing better would come. Before a relayed one it waits for two seconds: too long for a browser that
	// has no other way, while a direct one, if there is any, needs a round trip less and so comes first.
	settings.SetPrflxAcceptanceMinWait(0)
	settings.SetSrflxAcceptanceMinWait(0)
	settings.SetRelayAcceptanceMinWait(500 * time.Millisecond)
	// A second, the default, is for one flight that was lost a second without media. RFC 6347 section 4.2.4.1 lets
	// real-time applications wait less; browsers begin with 50 ms. It doubles with every retransmission.
	settings.SetDTLSRetransmissionInterval(200 * time.Millisecond)
	settings.SetIncludeLoopbackCandidate(opts.IncludeLoopback)
	settings.DisableActiveTCP(true)
	networks := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if opts.UDPMux != nil {
		settings.SetICEUDPMux(opts.UDPMux)
	}
	if opts.TCPMux != nil {
		settings.SetICETCPMux(opts.TCPMux)
		networks = append(networks, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	settings.SetNetworkTypes(networks)
	if err := settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return nil, err
	}
	return media.NewAPI(settings)
}

// SetOutbox says where descriptions go; call it once, before the first Join.
func (e *Engine) SetOutbox(outbox Outbox) { e.outbox = outbox }

// Join makes member known in a room. Joining again changes only the role.
func (e *Engine) Join(roomID, memberID, role string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	r := e.rooms[roomID]
	if r == nil {
		r = newRoom(e, roomID)
		e.rooms[roomID] = r
		e.wg.Go(r.run)
	}
	if !r.present[memberID] {
		r.present[memberID] = true
	}
	r.inbox.push(func() { r.join(memberID, role) })
}

// Leave ends every leg of and towards member. The room ends with its last member.
func (e *Engine) Leave(roomID, memberID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rooms[roomID]
	if r == nil || !r.present[memberID] {
		return
	}
	delete(r.present, memberID)
	last := len(r.present) == 0
	if last {
		delete(e.rooms, roomID)
	}
	r.inbox.push(func() {
		r.leave(memberID)
		r.ending = r.ending || last
	})
}

func (e *Engine) room(id string) *room {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rooms[id]
}

// errBusy answers a client whose room has more waiting than it can work off.
var errBusy = errors.New("the room is busy: too many signals are waiting")

// Signal takes a description or another `signal` of a client. kind is the
// signal's type; for offers and answers sdp is the description, for other kinds
// payload is the signal as JSON. An error is about the client's input, or says
// that a limit is reached, and nothing has changed then.
func (e *Engine) Signal(roomID, from, to string, screen bool, kind, sdp string, payload []byte) error {
	r := e.room(roomID)
	if r == nil {
		return nil
	}
	key := legKey{client: from, peer: to, screen: screen}
	switch kind {
	case "offer", "answer":
		desc, err := jsep.Parse(sdp)
		if err != nil {
			return err
		}
		if len(desc.Sections) == 0 {
			if kind == "offer" {
				return r.submit(func() { r.onEmptyOffer(key) })
			}
			return nil
		}
		if kind == "answer" {
			return r.submit(func() { r.onAnswer(key, desc) })
		}
		return r.submit(func() { r.onOffer(key, desc) })
	case "candidate":
		return e.Candidate(roomID, from, to, screen, payload)
	case "renegotiate":
		return r.submit(func() { r.onRenegotiate(key) })
	case "transceiverRequest":
		wanted, err := parseTransceiverRequest(payload)
		if err != nil {
			return err
		}
		return r.submit(func() { r.onTransceiverRequest(key, wanted) })
	}
	return nil
}

// Candidate takes a client's ICE candidate, an RTCIceCandidateInit as JSON.
func (e *Engine) Candidate(roomID, from, to string, screen bool, candidate []byte) error {
	r := e.room(roomID)
	if r == nil {
		return nil
	}
	init, usable, err := parseCandidate(candidate)
	if err != nil {
		return err
	}
	if !usable {
		return nil
	}
	key := legKey{client: from, peer: to, screen: screen}
	return r.submit(func() { r.onCandidate(key, init) })
}

// ScreenShareStatus says that member began or ended its screen share.
func (e *Engine) ScreenShareStatus(roomID, memberID string, sharing bool) {
	if r := e.room(roomID); r != nil {
		_ = r.submit(func() { r.onScreenShareStatus(memberID, sharing) })
	}
}

// Alive says that the signaling of a member works at this moment: it has answered a Probe, or come back.
func (e *Engine) Alive(roomID, memberID string) {
	if r := e.room(roomID); r != nil {
		_ = r.submit(func() { r.onAlive(memberID) })
	}
}

// HasLegs tells whether a room has any leg.
func (e *Engine) HasLegs(roomID string) bool {
	r := e.room(roomID)
	return r != nil && r.legCount.Load() > 0
}

// Stats returns the present counts.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	rooms := len(e.rooms)
	e.mu.Unlock()
	c := &e.count
	stats := Stats{
		Rooms: rooms, Legs: int(c.legs.Load()),
		LegsOpened: c.opened.Load(), LegsRefused: c.refused.Load(),
		OffersHeld: c.held.Load(), Glares: c.glares.Load(), OffersUnanswered: c.unanswered.Load(),
		Rehomed: c.rehomed.Load(), ICERestarts: c.restarted.Load(), Refilled: c.refilled.Load(), LateAnswers: c.late.Load(),
		CandidatesDropped: c.candidatesDropped.Load(),
		DataChannels:      c.channels.Load(), DataChannelsLost: c.channelsLost.Load(),
		LegsFailed: c.failed.Load(), LegsConnected: c.connected.Load(),
		UpstreamsStarted: c.ups.Load(), CarrierSwitch: c.switches.Load(),
		UploadsMoved: c.moves.Load(), SmallUploads: c.smalls.Load(), SecondUploads: c.seconds.Load(), Unsupported: c.unsupported.Load(),
	}
	for i := range c.troubles {
		stats.MediaTroubles[i] = c.troubles[i].Load()
	}
	return stats
}

// Close ends every room and waits for their goroutines, or for ctx.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		for id, r := range e.rooms {
			delete(e.rooms, id)
			r.inbox.push(r.end)
		}
	}
	e.mu.Unlock()
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sfu: rooms still open: %w", ctx.Err())
	}
}
