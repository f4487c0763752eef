package sfu

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"go.uber.org/goleak"

	"skillsage/internal/testkit/impair"
	"skillsage/internal/testkit/page"
	"skillsage/network"
)

func TestMain(m *testing.M) {
	// Negotiations mostly wait, for each other and for deadlines: more at a time
	// than there are processors.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// call is an interview on a real engine with Pion clients that behave like the
// browsers of a peer-to-peer application: the test's counterpart of a page.
type call struct {
	t      *testing.T
	engine *Engine
	port   *network.Port

	mu      sync.Mutex
	clients map[string]*client
	states  []string
	order   []string // "to<from kind" of everything the engine sent
	quality map[string][]Quality
	media   []string // of every MediaStatus
}

func newCall(t *testing.T, opts Options) *call {
	t.Helper()
	opts.IncludeLoopback = true
	port := openPort(t)
	if opts.UDPMux == nil { // else as a system without routes would have it
		opts.UDPMux, opts.Route = port.Mux(), port.Route
	}
	if opts.SilenceTimeout == 0 {
		opts.SilenceTimeout = time.Minute // a busy machine starves tracks that are alive
	}
	if os.Getenv("SFU_LOG") != "" {
		opts.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	engine, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	c := &call{t: t, engine: engine, port: port, clients: make(map[string]*client)}
	engine.SetOutbox(c)
	t.Cleanup(func() {
		c.mu.Lock()
		clients := c.clients
		c.clients = map[string]*client{}
		c.mu.Unlock()
		for _, p := range clients {
			p.close()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := engine.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := engine.Stats().Legs; n != 0 {
			t.Errorf("%d legs left after Close", n)
		}
	})
	return c
}

// openPort opens a media port on loopback for the time of the test.
func openPort(t *testing.T) *network.Port {
	t.Helper()
	port, err := network.Open(network.Options{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := port.Close(); err != nil {
			t.Error(err)
		}
		if n := port.Stats().Connections; n != 0 {
			t.Errorf("%d connections left on the port", n)
		}
	})
	return port
}

func (c *call) Send(_, to, from string, screen bool, kind, sdp string) {
	c.mu.Lock()
	p := c.clients[to]
	c.order = append(c.order, fmt.Sprintf("%s<%s %s", to, from, kind))
	c.mu.Unlock()
	if p != nil {
		p.inbox <- message{from, screen, kind, sdp}
	}
}

func (c *call) State(_, member, peer string, screen bool, state, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, fmt.Sprintf("%s %s>%s %v", state, member, peer, screen))
}

func (c *call) Unsupported(_, member, peer string, screen bool, kind, reason string) {
	c.State("", member, peer, screen, "unsupported "+kind, reason)
}

func (c *call) Quality(_, member string, legs []Quality) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quality == nil {
		c.quality = make(map[string][]Quality)
	}
	c.quality[member] = legs
}

func (c *call) MediaStatus(_, member string, s MediaStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.media = append(c.media, mediaLine(member, s))
}

// toldMedia lists what members were told of their media, in order.
func (c *call) toldMedia() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.media)
}

// Probe finds every member's signaling alive, unless the test has cut it off.
func (c *call) Probe(room, member string) {
	c.mu.Lock()
	p := c.clients[member]
	c.mu.Unlock()
	if p != nil && !p.cutOff.Load() {
		c.engine.Alive(room, member)
	}
}

func (c *call) sent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.order...)
}

func (c *call) hasState(state string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.states {
		if s == state {
			return true
		}
	}
	return false
}

type message struct {
	from   string
	screen bool
	kind   string
	sdp    string
}

type clientKey struct {
	peer   string
	screen bool
}

// client is one socket's page.
type client struct {
	call       *call
	id         string
	role       string
	inbox      chan message
	done       chan struct{}
	wg         sync.WaitGroup
	silent     atomic.Bool  // never answers
	cutOff     atomic.Bool  // its signaling does not pass
	link       *impair.Link // static: the line to the server's media, nil for none of its own
	unanswered chan string  // what it got while silent
	stream     string
	screen     atomic.Value             // string: the stream id of the share that is on
	config     webrtc.Configuration     // static once there is a connection
	video      []string                 // static: the video codecs it has, best first; nil: the stack's own, and it sends VP8
	networks   []webrtc.NetworkType     // static once it is called: what it connects over; nil: UDP
	candidates func(line string) string // static likewise: what becomes of each candidate that it or the server sends; empty: it is lost

	mu       sync.Mutex
	pcs      map[clientKey]*webrtc.PeerConnection
	received map[string]*atomic.Uint64 // "peer kind stream"
	mimes    map[string]string         // of what is received, "peer kind"
	streams  map[string]bool
	offers   int
	wanted   map[*webrtc.PeerConnection]map[string]bool // mids in which the server wants to receive
}

func (c *call) join(id, role string, video ...string) *client {
	return c.joinThrough(nil, id, role, video...)
}

// joinThrough is join with a line of the client's own.
func (c *call) joinThrough(link *impair.Link, id, role string, video ...string) *client {
	p := &client{
		call: c, id: id, role: role, link: link, stream: "camera-" + id, video: video, mimes: make(map[string]string),
		inbox: make(chan message, 1024), unanswered: make(chan string, 16), done: make(chan struct{}),
		pcs: make(map[clientKey]*webrtc.PeerConnection), received: make(map[string]*atomic.Uint64), streams: make(map[string]bool),
		wanted: make(map[*webrtc.PeerConnection]map[string]bool),
	}
	c.mu.Lock()
	c.clients[id] = p
	c.mu.Unlock()
	p.wg.Go(p.run)
	c.engine.Join("room", id, role)
	return p
}

// line opens a line to the call's media port.
func (c *call) line() *impair.Link {
	c.t.Helper()
	link, err := impair.New(impair.Options{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Target: c.port.Addresses()[0]})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = link.Close() })
	return link
}

var (
	candidateLine = regexp.MustCompile(`a=candidate:[^\r\n]*\r?\n`)
	candidatePort = regexp.MustCompile(`(a=candidate:\S+ \d+ \w+ \d+ \S+) \d+ typ`)
)

// toServer hides the addresses of a client with a line, which must be reached through that alone.
func (p *client) toServer(sdp string) string {
	if p.link == nil {
		return sdp
	}
	return candidateLine.ReplaceAllString(sdp, "")
}

// toClient puts the client's line in the place of the server.
func (p *client) toClient(sdp string) string {
	if p.link == nil {
		return sdp
	}
	return candidatePort.ReplaceAllString(sdp, fmt.Sprintf("${1} %d typ", p.link.Addr().Port()))
}

func (p *client) leave() {
	p.call.mu.Lock()
	delete(p.call.clients, p.id)
	p.call.mu.Unlock()
	p.call.engine.Leave("room", p.id)
	p.close()
}

func (p *client) close() {
	close(p.done)
	p.mu.Lock()
	pcs := p.pcs
	p.pcs = map[clientKey]*webrtc.PeerConnection{}
	p.mu.Unlock()
	for _, pc := range pcs {
		_ = pc.GracefulClose()
	}
	p.wg.Wait()
}

func (p *client) run() {
	for {
		select {
		case <-p.done:
			return
		case m := <-p.inbox:
			if m.kind == "offer" {
				p.mu.Lock()
				p.offers++
				p.mu.Unlock()
				if !p.silent.Load() {
					p.onOffer(m)
					continue
				}
				select {
				case p.unanswered <- m.sdp:
				default:
				}
			} else if m.kind == "answer" {
				p.onAnswer(m)
			}
		}
	}
}

func (p *client) offersSeen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offers
}

// connection returns the page's connection for a peer, made if need be with
// the page's tracks.
func (p *client) connection(key clientKey, tracks bool) *webrtc.PeerConnection {
	p.mu.Lock()
	pc := p.pcs[key]
	p.mu.Unlock()
	if pc != nil {
		return pc
	}
	var codecs *webrtc.MediaEngine
	if p.video != nil {
		codecs = &webrtc.MediaEngine{}
		registerOnly(p.call.t, codecs, p.video)
	}
	pc, err := page.NewConfigured(codecs, p.config, p.networks...)
	if err != nil {
		p.call.t.Error(err)
		return nil
	}
	p.mu.Lock()
	p.pcs[key] = pc
	p.mu.Unlock()
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil || p.link != nil {
			return
		}
		init := c.ToJSON()
		if init.Candidate = p.candidate(init.Candidate); init.Candidate != "" {
			raw, _ := json.Marshal(init)
			_ = p.call.engine.Candidate("room", p.id, key.peer, key.screen, raw)
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		name := fmt.Sprintf("%s %s", key.peer, track.Kind())
		if key.screen {
			name += " screen"
		}
		p.mu.Lock()
		counter := p.received[name]
		if counter == nil {
			counter = &atomic.Uint64{}
			p.received[name] = counter
		}
		p.streams[track.StreamID()] = true
		p.mu.Unlock()
		p.wg.Go(func() {
			buf := make([]byte, 1500)
			for {
				if _, _, err := track.Read(buf); err != nil {
					return
				}
				if counter.Add(1) == 1 {
					p.mu.Lock()
					p.mimes[name] = track.Codec().MimeType
					p.mu.Unlock()
				}
			}
		})
	})
	if tracks {
		p.addTracks(pc, p.stream, "audio", "video")
	}
	return pc
}

// addTracks adds tracks of one stream and keeps sending on them until the
// sender is stopped; each frame ends with its number. It returns a function that stops the sending alone.
func (p *client) addTracks(pc *webrtc.PeerConnection, stream string, kinds ...string) (stop func()) {
	ended := make(chan struct{})
	for _, kind := range kinds {
		if kind == "video" && p.video != nil {
			p.addEncoder(pc, stream)
			continue
		}
		mime, size := webrtc.MimeTypeVP8, 900
		if kind == "audio" {
			mime, size = webrtc.MimeTypeOpus, 80
		}
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, kind+"-"+stream, stream)
		if err != nil {
			p.call.t.Error(err)
			return
		}
		sender, err := pc.AddTrack(track)
		if err != nil {
			p.call.t.Error(err)
			return
		}
		p.wg.Go(func() {
			for {
				if _, _, err := sender.ReadRTCP(); err != nil {
					return
				}
			}
		})
		p.wg.Go(func() {
			ticker := time.NewTicker(20 * time.Millisecond)
			defer ticker.Stop()
			sent := uint32(0)
			for n := 0; ; n++ {
				select {
				case <-p.done:
					return
				case <-ended:
					return
				case <-ticker.C:
					if !p.maySend(pc, sender) {
						continue
					}
					data := make([]byte, size)
					for i := range data {
						data[i] = byte(rand.Uint32())
					}
					sent++
					binary.BigEndian.PutUint32(data[size-4:], sent)
					if kind == "audio" {
						data[0] = 0xfc // 20 ms (RFC 6716 section 3.1)
					} else {
						if n%10 == 0 { // a VP8 key frame (RFC 6386 section 9.1)
							copy(data, []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00})
						} else {
							copy(data, []byte{0x11, 0x02, 0x00})
						}
					}
					_ = track.WriteSample(media.Sample{Data: data, Duration: 20 * time.Millisecond})
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(ended) })
}

func (p *client) offer(peer string) { p.offerOn(clientKey{peer, false}, true) }

func (p *client) offerOn(key clientKey, tracks bool) {
	pc := p.connection(key, tracks)
	desc, err := pc.CreateOffer(nil)
	if err == nil {
		err = pc.SetLocalDescription(desc)
	}
	if err == nil {
		err = p.call.engine.Signal("room", p.id, key.peer, key.screen, "offer", p.toServer(desc.SDP), nil)
	}
	if err != nil {
		p.call.t.Errorf("%s offers to %s: %v", p.id, key.peer, err)
	}
}

// candidate is what the network makes of a candidate on its way.
func (p *client) candidate(line string) string {
	if p.candidates == nil {
		return line
	}
	return p.candidates(line)
}

// description is what the network makes of a description on its way.
func (p *client) description(sdp string) string {
	return candidateLine.ReplaceAllStringFunc(sdp, func(line string) string {
		line = p.candidate(strings.TrimSuffix(strings.TrimPrefix(line, "a="), "\r\n"))
		if line == "" {
			return ""
		}
		return "a=" + line + "\r\n"
	})
}

func (p *client) onOffer(m message) {
	m.sdp = p.description(m.sdp)
	p.mu.Lock()
	fresh := p.pcs[clientKey{m.from, m.screen}] == nil
	p.mu.Unlock()
	pc := p.connection(clientKey{m.from, m.screen}, !m.screen)
	if screen, _ := p.screen.Load().(string); fresh && m.screen && screen != "" {
		p.addTracks(pc, screen, "video")
	}
	err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: page.Alive(p.toClient(m.sdp))})
	var desc webrtc.SessionDescription
	if err == nil {
		desc, err = pc.CreateAnswer(nil)
	}
	if err == nil {
		err = pc.SetLocalDescription(desc)
	}
	text := desc.SDP
	if err == nil {
		text, err = p.obey(pc, m.sdp, text)
	}
	if err == nil {
		err = p.call.engine.Signal("room", p.id, m.from, m.screen, "answer", p.toServer(text), nil)
	}
	if err != nil {
		p.call.t.Logf("%s answers %s: %v", p.id, m.from, err)
	}
}

func (p *client) onAnswer(m message) {
	m.sdp = p.description(m.sdp)
	p.mu.Lock()
	pc := p.pcs[clientKey{m.from, m.screen}]
	p.mu.Unlock()
	if pc == nil {
		return
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: page.Alive(p.toClient(m.sdp))}); err != nil {
		p.call.t.Logf("%s takes the answer of %s: %v", p.id, m.from, err)
		return
	}
	if _, err := p.obey(pc, m.sdp, ""); err != nil {
		p.call.t.Error(err)
	}
}

// obey sends only where a server's description wants to receive, and says so in the client's answer.
func (p *client) obey(pc *webrtc.PeerConnection, remote, answer string) (string, error) {
	wanted, own, err := page.Obey(remote, answer)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted[pc] = wanted
	return own, nil
}

// maySend tells whether the server wants what a sender has.
func (p *client) maySend(pc *webrtc.PeerConnection, sender *webrtc.RTPSender) bool {
	for _, t := range pc.GetTransceivers() {
		if t.Sender() == sender {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.mayUse(pc, t.Mid())
		}
	}
	return false
}

// mayUse tells whether the server wants to receive in a section, or has not spoken of it. p.mu is held.
func (p *client) mayUse(pc *webrtc.PeerConnection, mid string) bool {
	wanted, described := p.wanted[pc][mid]
	return wanted || !described
}

// closeConnection closes a connection without a word, as stopping a share does.
func (p *client) closeConnection(peer string, screen bool) {
	p.mu.Lock()
	key := clientKey{peer, screen}
	pc := p.pcs[key]
	delete(p.pcs, key)
	p.mu.Unlock()
	_ = pc.GracefulClose()
}

func (p *client) count(name string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.received[name]; c != nil {
		return c.Load()
	}
	return 0
}

// receives waits until the named media has gone on arriving.
func (p *client) receives(names ...string) {
	p.call.t.Helper()
	for _, name := range names {
		before := p.count(name)
		p.call.eventually(fmt.Sprintf("%s receives %s", p.id, name), func() bool { return p.count(name) > before+15 })
	}
}

// gets is receives for audio and video of a peer.
func (p *client) gets(peer string) {
	p.call.t.Helper()
	p.receives(peer+" audio", peer+" video")
}

func (c *call) eventually(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			c.t.Fatalf("not in time: %s\nstates: %v\nsent: %v", what, c.states, c.sent())
		}
		time.Sleep(10 * time.Millisecond)
	}
}
