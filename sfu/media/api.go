// Package media is the packet path of the relay. It receives RTP from the
// peer connections of publishers, forwards it to those of viewers, repairs
// losses on both sides, asks for key frames and keeps the RTCP reports of both
// sides true (RFC 3550, RFC 4585, RFC 4588, RFC 5104).
//
//	Port      the media side of one webrtc.PeerConnection
//	Upstream  one track that a Port receives: a stream, or one for each simulcast layer
//	Source    one published track with its layers; at any time one Upstream carries it
//	Feed      one RTP stream that a Port sends: a Source, as one viewer gets it
//	TapReader a copy of a Source's packets in order, for whoever processes them
//
// A packet's way is one function call deep: the reader of the UDP socket hands it
// to the Port (Deliver), which decrypts it with the connection's keys, parses it
// once, stores it in the Source's ring, encrypts it for each viewer and writes it to
// their Wires. Nothing on that way may block. Packets for which Pion has to find out
// what they are, and those of connections without a Wire, come and go through
// Pion's SRTP sessions instead. All RTCP of a Port is sent by its reporter, a
// goroutine that up to 64 Ports share; RTCP that arrives is handled where it arrives.
//
// Locks, in the order in which they may be taken: Feed.moveMu, Port.inMu, Port.mu,
// Source.mu, Upstream.mu, Feed.mu. None of those behind Port.inMu is held while a
// packet is written. direct.outMu and those of the estimate (sendEstimate), of a Publisher and of a tap's
// queue are leaves.
package media

import (
	"fmt"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// API makes peer connections that know the relay's codecs and header
// extensions and hand what they receive to a Port. It is safe for concurrent use.
type API struct {
	settings  webrtc.SettingEngine
	codecs    *webrtc.MediaEngine
	reporters *reporters
}

// NewAPI takes the transport settings (ports, certificates, time-outs, DTLS).
// It sets what the packet path needs itself: OnTrack fires as soon as a track is
// negotiated and DTLS is up, before its first packet, so that no packet is lost;
// and Pion's replay protection of SRTP is off, because Firefox probes the
// bandwidth by sending old packets again, which a Source recognises by itself.
// No interceptor is used.
func NewAPI(settings webrtc.SettingEngine) (*API, error) {
	codecs := &webrtc.MediaEngine{}
	if err := registerCodecs(codecs); err != nil {
		return nil, fmt.Errorf("register codecs: %w", err)
	}
	if err := registerHeaderExtensions(codecs); err != nil {
		return nil, fmt.Errorf("register header extensions: %w", err)
	}
	settings.SetFireOnTrackBeforeFirstRTP(true)
	settings.DisableSRTPReplayProtection(true)
	return &API{settings: settings, codecs: codecs, reporters: new(reporters)}, nil
}

// NewPeerConnection makes a peer connection and its Port, without encryption of
// header extensions (RFC 9335). Whoever closes the one must close the other: first
// the peer connection, then the Port.
func (a *API) NewPeerConnection(config webrtc.Configuration, opts PortOptions) (*webrtc.PeerConnection, *Port, error) {
	port := newPort(opts)
	settings := a.settings
	settings.BufferFactory = port.buffer
	settings.SetDTLSKeyLogWriter(&port.secrets)
	settings.SetDTLSServerHelloMessageHook(port.secrets.serverHello)
	if opts.OnCheck != nil {
		settings.SetICEBindingRequestHandler(func(check *stun.Message, _, remote ice.Candidate, pair *ice.CandidatePair) bool {
			username, _ := check.Get(stun.AttrUsername) // there is one: the check is authentic
			return opts.OnCheck(string(username), remote, pair)
		})
	}
	// The short way past the stack has no part in its negotiation.
	config.RTPHeaderEncryptionPolicy = webrtc.RTPHeaderEncryptionPolicyDisable
	pc, err := webrtc.NewAPI(
		webrtc.WithSettingEngine(settings),
		webrtc.WithMediaEngine(a.codecs),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}),
	).NewPeerConnection(config)
	if err != nil {
		return nil, nil, err
	}
	port.start(pc, a.reporters)
	return pc, port, nil
}
