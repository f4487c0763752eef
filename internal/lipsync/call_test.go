package lipsync

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"skillsage/internal/testkit/clapper"
	"skillsage/internal/testkit/page"
	"skillsage/sfu"
)

const room = "room"

// call is an interview of two: one who claps, and one who watches.
type call struct {
	t      *testing.T
	engine *sfu.Engine

	mu      sync.Mutex
	members map[string]*member // guarded by mu
}

func newCall(t *testing.T, options sfu.Options) *call {
	t.Helper()
	engine, err := sfu.New(options)
	if err != nil {
		t.Fatal(err)
	}
	c := &call{t: t, engine: engine, members: make(map[string]*member)}
	engine.SetOutbox(c)
	return c
}

func (c *call) close() {
	for _, m := range c.members {
		m.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.engine.Close(ctx); err != nil {
		c.t.Error(err)
	}
}

func (c *call) member(id string) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[id]
}

func (c *call) Send(_, to, from string, _ bool, kind, sdp string) {
	if m := c.member(to); m != nil {
		m.inbox <- description{from, kind, sdp}
	}
}

func (c *call) State(_, member, peer string, _ bool, state, reason string) {
	if state != "connected" && state != "closed" {
		c.t.Errorf("the connection of %s for %s is %s: %s", member, peer, state, reason)
	}
}

func (c *call) Unsupported(_, member, _ string, _ bool, kind, reason string) {
	c.t.Errorf("%s can't have %s: %s", member, kind, reason)
}

func (c *call) Quality(string, string, []sfu.Quality)       {}
func (c *call) MediaStatus(string, string, sfu.MediaStatus) {}
func (c *call) Probe(room, member string)                   { c.engine.Alive(room, member) }

type description struct{ from, kind, sdp string }

// member is one of them, with one connection.
type member struct {
	call  *call
	id    string
	line  int // port of its line in the place of the server's; 0: none
	pc    *webrtc.PeerConnection
	up    chan struct{} // closed when the connection is up
	inbox chan description
	done  chan struct{}
	wg    sync.WaitGroup
}

// join brings a member in. settings say over which network.
func (c *call) join(id, role string, settings webrtc.SettingEngine, line int) *member {
	c.t.Helper()
	formats := &webrtc.MediaEngine{}
	if err := formats.RegisterDefaultCodecs(); err != nil {
		c.t.Fatal(err)
	}
	// Of what pages do only this: sender reports are made here.
	repairs := &interceptor.Registry{}
	responder, err := nack.NewResponderInterceptor()
	if err != nil {
		c.t.Fatal(err)
	}
	repairs.Add(responder)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(formats), webrtc.WithInterceptorRegistry(repairs), webrtc.WithSettingEngine(settings)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		c.t.Fatal(err)
	}
	m := &member{call: c, id: id, line: line, pc: pc, up: make(chan struct{}), inbox: make(chan description, 64), done: make(chan struct{})}
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			close(m.up)
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		m.wg.Go(func() {
			buffer := make([]byte, 1500)
			for {
				if _, _, err := track.Read(buffer); err != nil {
					return
				}
			}
		})
	})
	c.mu.Lock()
	c.members[id] = m
	c.mu.Unlock()
	m.wg.Go(m.run)
	c.engine.Join(room, id, role)
	return m
}

func (m *member) close() {
	close(m.done)
	_ = m.pc.GracefulClose()
	m.wg.Wait()
}

// calls offers to another member, as a page without camera and microphone.
func (m *member) calls(peer string) {
	m.call.t.Helper()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := m.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			m.call.t.Fatal(err)
		}
	}
	m.showAddresses(peer)
	offer, err := m.pc.CreateOffer(nil)
	if err == nil {
		err = m.pc.SetLocalDescription(offer)
	}
	if err == nil {
		err = m.call.engine.Signal(room, m.id, peer, false, "offer", offer.SDP, nil)
	}
	if err != nil {
		m.call.t.Fatal(err)
	}
}

// showAddresses tells the server those of a member that has no line of its own.
func (m *member) showAddresses(peer string) {
	m.pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil && m.line == 0 {
			raw, _ := json.Marshal(candidate.ToJSON())
			_ = m.call.engine.Candidate(room, m.id, peer, false, raw)
		}
	})
}

func (m *member) run() {
	for {
		select {
		case <-m.done:
			return
		case d := <-m.inbox:
			if err := m.take(d); err != nil {
				m.call.t.Errorf("%s takes an %s: %v", m.id, d.kind, err)
			}
		}
	}
}

var (
	candidateLine = regexp.MustCompile(`a=candidate:[^\r\n]*\r?\n`)
	candidatePort = regexp.MustCompile(`(a=candidate:\S+ \d+ \w+ \d+ \S+) \d+ typ`)
)

func (m *member) take(d description) error {
	sdp := page.Alive(d.sdp)
	if m.line != 0 {
		sdp = candidatePort.ReplaceAllString(sdp, fmt.Sprintf("${1} %d typ", m.line))
	}
	if d.kind == "answer" {
		return m.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp})
	}
	m.showAddresses(d.from)
	if err := m.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}); err != nil {
		return err
	}
	answer, err := m.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := m.pc.SetLocalDescription(answer); err != nil {
		return err
	}
	_, own, err := page.Obey(d.sdp, answer.SDP)
	if err != nil {
		return err
	}
	if m.line != 0 {
		own = candidateLine.ReplaceAllString(own, "")
	}
	return m.call.engine.Signal(room, m.id, d.from, false, "answer", own, nil)
}

// clock is a publisher's: it is wrong, and too fast or too slow.
type clock struct {
	begin time.Time // when it shows 0
	ppm   float64   // by which it is too fast
}

// wrong is by how much it is wrong: by days, but such that the stack, which looks at the lower bits of its time only, still finds out
// how far away the server is.
const wrong = -3 * (1 << 16) * time.Second

// ntp is what the clock takes a time that it shows for (RFC 5905, 64 bits).
func (c clock) ntp(shown time.Duration) uint64 {
	const from1900 = 2_208_988_800
	t := c.begin.Add(shown + wrong)
	return uint64(t.Unix()+from1900)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// at is when it shows a time.
func (c clock) at(shown time.Duration) time.Time {
	return c.begin.Add(time.Duration(float64(shown) / (1 + c.ppm*1e-6)))
}

// shows is what it shows now.
func (c clock) shows() time.Duration {
	return time.Duration(float64(time.Since(c.begin)) * (1 + c.ppm*1e-6))
}

// stream is a track of claps that a member sends.
type stream struct {
	member  *member
	track   *webrtc.TrackLocalStaticRTP
	sender  *webrtc.RTPSender
	video   bool
	rate    int64         // of its RTP clock, Hz
	late    time.Duration // from the capture to the sending
	reports time.Duration // how often it sends sender reports
	start   uint32        // of its timestamps
	number  uint16
	vp8     codecs.VP8Payloader
}

func (m *member) publish(mime string, late, reports time.Duration) *stream {
	m.call.t.Helper()
	s := &stream{member: m, video: mime == webrtc.MimeTypeVP8, rate: 48000, late: late, reports: reports, start: rand.Uint32(), number: uint16(rand.Uint32())}
	s.vp8.EnablePictureID = true
	capability := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 48000, Channels: 2}
	if s.video {
		s.rate = 90000
		capability = webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90000}
	}
	var err error
	if s.track, err = webrtc.NewTrackLocalStaticRTP(capability, mime[:5], "camera"); err != nil {
		m.call.t.Fatal(err)
	}
	if s.sender, err = m.pc.AddTrack(s.track); err != nil {
		m.call.t.Fatal(err)
	}
	m.wg.Go(func() {
		for {
			if _, _, err := s.sender.ReadRTCP(); err != nil {
				return
			}
		}
	})
	return s
}

func (s *stream) timestamp(at time.Duration) uint32 {
	return s.start + uint32(int64(at/time.Microsecond)*s.rate/1_000_000)
}

const (
	mtu    = 1180                  // bytes of payload
	jitter = 15 * time.Millisecond // of the sending, at most
)

// play sends the loop's samples of its kind until the clock shows the end.
func (s *stream) play(loop *clapper.Loop, dtx bool, c clock, end time.Duration) error {
	nextReport := s.reports / 5
	quiet := true
	last := -clapper.Period
	for sample := range loop.Samples(dtx) {
		if sample.At >= end {
			return nil
		}
		if sample.Video != s.video {
			continue
		}
		select {
		case <-s.member.done:
			return nil
		case <-time.After(time.Until(c.at(sample.At).Add(s.late + rand.N(jitter)))):
		}
		payloads := [][]byte{sample.Data}
		if s.video {
			payloads = s.vp8.Payload(mtu, sample.Data)
		}
		quiet = !s.video && sample.At-last > clapper.PacketTime
		last = sample.At
		for n, payload := range payloads {
			packet := &rtp.Packet{Header: rtp.Header{
				Version: 2, SequenceNumber: s.number, Timestamp: s.timestamp(sample.At), Marker: s.video && n == len(payloads)-1 || quiet,
			}, Payload: payload}
			s.number++
			if err := s.track.WriteRTP(packet); err != nil {
				return err
			}
		}
		if now := c.shows(); now >= nextReport {
			nextReport = now + s.reports
			ssrc := uint32(s.sender.GetParameters().Encodings[0].SSRC)
			err := s.member.pc.WriteRTCP([]rtcp.Packet{&rtcp.SenderReport{SSRC: ssrc, NTPTime: c.ntp(now), RTPTime: s.timestamp(now)}})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// quiet keeps the stack from writing to the test's output.
type quiet struct{}

func (quiet) NewLogger(string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, io.Discard)
}
