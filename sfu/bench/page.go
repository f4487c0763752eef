package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/sioclient"
)

// patience is how long anything may take that is not measured.
const patience = 60 * time.Second

// newAPI makes connections that behave like a browser's: NACK, reports and
// transport-wide feedback on. Statistics are left out: they cost, and nobody reads them.
func newAPI() (*webrtc.API, error) {
	codecs := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "goog-remb"}}
	for _, c := range []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: clockRate, RTCPFeedback: feedback}, PayloadType: 96},
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: clockRate, SDPFmtpLine: "apt=96"}, PayloadType: 97},
	} {
		if err := codecs.RegisterCodec(c, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, err
		}
	}
	// No sound is sent, but its section belongs to every call.
	if err := codecs.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, PayloadType: 111,
	}, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	silent := logging.NewDefaultLoggerFactory() // connections that end are no news
	silent.DefaultLogLevel = logging.LogLevelDisabled
	registry := &interceptor.Registry{}
	for _, configure := range []func() error{
		func() error { return webrtc.ConfigureNack(codecs, registry) },
		func() error { return webrtc.ConfigureRTCPReports(registry) },
		func() error { return webrtc.ConfigureTWCCHeaderExtensionSender(codecs, registry) },
		func() error {
			return webrtc.ConfigureTWCCSenderWithOptions(codecs, registry, twcc.WithLoggerFactory(silent))
		},
	} {
		if err := configure(); err != nil {
			return nil, err
		}
	}
	settings := webrtc.SettingEngine{LoggerFactory: silent}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	return webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(codecs), webrtc.WithInterceptorRegistry(registry)), nil
}

// page is one client: its socket and its peer connections, written for calls
// without a server in the middle.
type page struct {
	room   *room
	role   string
	socket *sioclient.Client
	tally  tally // of a recruiter

	mu   sync.Mutex
	legs map[string]*pageLeg // by peer
}

// pageLeg is a page's connection to what it takes for a peer.
type pageLeg struct {
	pc        *webrtc.PeerConnection
	index     uint8
	track     *webrtc.TrackLocalStaticRTP // of the candidate
	sender    *webrtc.RTPTransceiver
	sequence  uint16
	said      int64 // when the last packet was sent, ns since start
	connected atomic.Bool
	allowed   atomic.Bool // by the negotiated direction
}

func (r *room) newPage(ctx context.Context, url, role string) (*page, error) {
	p := &page{room: r, role: role, legs: make(map[string]*pageLeg)}
	ready := make(chan struct{})
	socket, err := sioclient.Dial(ctx, url, sioclient.Options{Discard: true, OnEvent: func(c *sioclient.Client, e sioclient.Event) {
		<-ready
		if err := p.on(e); err != nil {
			log.Printf("%s, %s: %v", role, e.Name, err)
		}
	}})
	if err != nil {
		return nil, err
	}
	p.socket = socket
	close(ready)
	// Only who is in the room hears of the next one.
	_, err = socket.Call(ctx, "join-room", map[string]string{"interviewId": r.name, "userRole": role})
	return p, err
}

func (p *page) on(e sioclient.Event) error {
	switch e.Name {
	case "user-joined":
		var who struct{ UserID, UserRole string }
		if err := e.Decode(&who); err != nil {
			return err
		}
		if p.role == "recruiter" && who.UserRole == "candidate" {
			return p.call(who.UserID)
		}
	case "signal":
		var s struct {
			From, Type string
			Signal     webrtc.SessionDescription
		}
		if err := e.Decode(&s); err != nil {
			return err
		}
		if s.Type == "offer" {
			return p.answer(s.From, s.Signal)
		}
		l := p.leg(s.From)
		if l == nil {
			return fmt.Errorf("answer of %s to no offer", s.From)
		}
		return l.pc.SetRemoteDescription(s.Signal)
	case "error-message", "join-error":
		return fmt.Errorf("refused: %s", e.Text())
	}
	return nil
}

func (p *page) leg(peer string) *pageLeg {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.legs[peer]
}

// open makes the connection to a peer.
func (p *page) open(peer string) (*pageLeg, error) {
	pc, err := p.room.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	l := &pageLeg{pc: pc, index: uint8(len(p.legs))}
	p.legs[peer] = l
	p.mu.Unlock()
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		l.connected.Store(s == webrtc.PeerConnectionStateConnected)
		select {
		case p.room.changed <- struct{}{}:
		default:
		}
	})
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			_ = p.socket.Emit("ice-candidate", map[string]any{"to": peer, "candidate": c.ToJSON(), "isScreenShare": false})
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { p.watch(track) })
	return l, nil
}

func (p *page) emit(peer string, d *webrtc.SessionDescription) error {
	return p.socket.Emit("signal", map[string]any{
		"to": peer, "from": p.socket.ID(), "type": d.Type.String(), "isScreenShare": false,
		"signal": d,
	})
}

// call is what a recruiter does when a candidate has joined.
func (p *page) call(peer string) error {
	l, err := p.open(peer)
	if err != nil {
		return err
	}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := l.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	offer, err := l.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := l.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	return p.emit(peer, &offer)
}

func (p *page) answer(peer string, offer webrtc.SessionDescription) error {
	l := p.leg(peer)
	if l == nil {
		var err error
		if l, err = p.open(peer); err != nil {
			return err
		}
		if p.role == "candidate" {
			if err := p.attach(l); err != nil {
				return err
			}
		}
	}
	if err := l.pc.SetRemoteDescription(offer); err != nil {
		return err
	}
	answer, err := l.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := l.pc.SetLocalDescription(answer); err != nil {
		return err
	}
	if l.sender != nil {
		l.allowed.Store(receives(offer.SDP, l.sender.Mid()))
	}
	answer.SDP = silence(answer.SDP)
	return p.emit(peer, &answer)
}

// silence says what a browser without a microphone says. Pion claims that it will send.
func silence(answer string) string {
	sections := strings.Split(answer, "\r\nm=")
	for i, section := range sections {
		if strings.HasPrefix(section, "audio") {
			sections[i] = strings.Replace(section, "a=sendonly", "a=inactive", 1)
		}
	}
	return strings.Join(sections, "\r\nm=")
}

// attach gives a connection the camera, the same on each.
func (p *page) attach(l *pageLeg) error {
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: clockRate}, "video", "camera-"+p.socket.ID())
	if err != nil {
		return err
	}
	sender, err := l.pc.AddTrack(track)
	if err != nil {
		return err
	}
	l.track = track
	for _, t := range l.pc.GetTransceivers() {
		if t.Sender() == sender {
			l.sender = t
		}
	}
	go func() { // ends with the connection
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, packet := range packets {
				switch packet.(type) {
				case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
					p.room.picture.wanted.Store(true)
				}
			}
		}
	}()
	return nil
}

// receives tells whether the author of a description takes media in a section.
func receives(text, mid string) bool {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return false
	}
	for _, m := range d.MediaDescriptions {
		if value, _ := m.Attribute("mid"); value != mid || m.MediaName.Port.Value == 0 {
			continue
		}
		return !slices.ContainsFunc(m.Attributes, func(a sdp.Attribute) bool { return a.Key == "sendonly" || a.Key == "inactive" })
	}
	return false
}

// watch tallies a viewer's packets until its connection ends.
func (p *page) watch(track *webrtc.TrackRemote) {
	buffer := make([]byte, 1600)
	var packet rtp.Packet
	for {
		n, _, err := track.Read(buffer)
		if err != nil {
			if err != io.EOF && !strings.Contains(err.Error(), "clos") {
				log.Println("reading a track:", err)
			}
			return
		}
		if err := packet.Unmarshal(buffer[:n]); err != nil {
			continue
		}
		if s, ok := getStamp(packet.Payload); ok {
			p.room.carrier.Store(uint32(s.leg))
			p.tally.add(s)
		}
	}
}

// close ends the socket first: no event may come to connections that are gone.
func (p *page) close() {
	if p.socket != nil {
		p.socket.Close()
	}
	p.mu.Lock()
	legs := p.legs
	p.legs = nil
	p.mu.Unlock()
	for _, l := range legs {
		_ = l.pc.GracefulClose()
	}
}

// cipher is the SRTP profile of a page's first connection.
func (p *page) cipher() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.legs {
		stats := l.pc.GetStats()
		// It reads a field without a lock that the end of the connection, when the server goes, writes. Whoever takes
		// the lock after it has come before that.
		l.pc.GetTransceivers()
		for _, s := range stats {
			if t, ok := s.(webrtc.TransportStats); ok {
				return t.SRTPCipher
			}
		}
	}
	return ""
}
