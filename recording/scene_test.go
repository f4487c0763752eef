package recording

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"skillsage/internal/testkit/clapper"
	"skillsage/internal/testkit/clip"
	"skillsage/internal/testkit/page"
	"skillsage/network"
	"skillsage/sfu"
)

// loop is what everybody in a scene sends.
var loop = sync.OnceValues(func() (*clapper.Loop, error) {
	return clapper.New(context.Background(), clapper.Options{})
})

// scene is a relay and people with real connections to it.
type scene struct {
	t      *testing.T
	engine *sfu.Engine
	h264   []clip.Frame // what cameras send; nil: claps in VP8

	mu     sync.Mutex
	people map[string]*person // by room and id
}

func newScene(t *testing.T) *scene {
	t.Helper()
	clapper.Need(t)
	if _, err := loop(); err != nil {
		t.Fatal(err)
	}
	port, err := network.Open(network.Options{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	must(t, err)
	engine, err := sfu.New(sfu.Options{IncludeLoopback: true, UDPMux: port.Mux(), Route: port.Route})
	must(t, err)
	s := &scene{t: t, engine: engine, people: make(map[string]*person)}
	engine.SetOutbox(s)
	t.Cleanup(func() {
		s.mu.Lock()
		people := s.people
		s.people = nil
		s.mu.Unlock()
		for _, p := range people {
			p.close()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := engine.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := port.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *scene) Send(room, to, from string, screen bool, kind, sdp string) {
	s.mu.Lock()
	p := s.people[room+"/"+to]
	s.mu.Unlock()
	if p != nil {
		p.inbox <- description{call{from, screen}, kind, sdp}
	}
}

func (s *scene) State(string, string, string, bool, string, string)       {}
func (s *scene) Unsupported(string, string, string, bool, string, string) {}
func (s *scene) Quality(string, string, []sfu.Quality)                    {}
func (s *scene) MediaStatus(string, string, sfu.MediaStatus)              {}
func (s *scene) Probe(room, member string)                                { s.engine.Alive(room, member) }

// call names a person's connection in the name of somebody.
type call struct {
	peer   string
	screen bool
}

type description struct {
	call
	kind, sdp string
}

// person is a page with a camera and a voice.
type person struct {
	scene    *scene
	room, id string
	stream   string
	kinds    []string // of what it sends at first
	inbox    chan description
	done     chan struct{}
	group    sync.WaitGroup

	mu    sync.Mutex
	calls map[call]*webrtc.PeerConnection
	stops []func() // of what is published
}

func (s *scene) person(room, id string) *person {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.people[room+"/"+id]
}

// cut ends all that is published.
func (p *person) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, stop := range p.stops {
		stop()
	}
	p.stops = nil
}

// enter has somebody come into a room, of which the recorder hears as well.
func (s *scene) enter(r *rig, room, id, role string) *person {
	p := &person{
		scene: s, room: room, id: id, stream: "camera-" + id, kinds: []string{"audio", "video"},
		inbox: make(chan description, 64), done: make(chan struct{}), calls: make(map[call]*webrtc.PeerConnection),
	}
	s.mu.Lock()
	s.people[room+"/"+id] = p
	s.mu.Unlock()
	s.engine.Join(room, id, role)
	r.Join(room, id, role)
	p.group.Go(p.run)
	return p
}

// leave has them go, like a page that is closed.
func (p *person) leave(r *rig) {
	p.scene.mu.Lock()
	delete(p.scene.people, p.room+"/"+p.id)
	p.scene.mu.Unlock()
	p.scene.engine.Leave(p.room, p.id)
	r.Leave(p.room, p.id)
	p.close()
}

func (p *person) close() {
	close(p.done)
	p.mu.Lock()
	calls := p.calls
	p.calls = nil
	p.mu.Unlock()
	for _, pc := range calls {
		_ = pc.GracefulClose()
	}
	p.group.Wait()
}

func (p *person) run() {
	for {
		select {
		case <-p.done:
			return
		case d := <-p.inbox:
			if err := p.take(d); err != nil {
				p.scene.t.Logf("%s: %s of %s: %v", p.id, d.kind, d.peer, err)
			}
		}
	}
}

func (p *person) take(d description) error {
	pc, err := p.connection(d.call, !d.screen)
	if pc == nil || err != nil {
		return err
	}
	kind := webrtc.NewSDPType(d.kind)
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: page.Alive(d.sdp)}); err != nil || kind == webrtc.SDPTypeAnswer {
		return err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	return p.describe(pc, d.call, answer)
}

// connection is the one for a call, made if need be, with the camera and the voice if there are to be any.
func (p *person) connection(c call, camera bool) (*webrtc.PeerConnection, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil || p.calls[c] != nil {
		return p.calls[c], nil
	}
	codecs, err := p.scene.codecs()
	if err != nil {
		return nil, err
	}
	pc, err := page.NewConnection(codecs)
	if err != nil {
		return nil, err
	}
	p.calls[c] = pc
	if camera {
		var stop func()
		if stop, err = p.publish(pc, p.stream, p.kinds...); err == nil {
			p.stops = append(p.stops, stop)
		}
	}
	return pc, err
}

// describe gives a description to the relay, with all candidates in it.
func (p *person) describe(pc *webrtc.PeerConnection, c call, d webrtc.SessionDescription) error {
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return err
	}
	<-gathered
	return p.scene.engine.Signal(p.room, p.id, c.peer, c.screen, d.Type.String(), pc.LocalDescription().SDP, nil)
}

// call offers camera and voice to somebody; reoffer offers again what has changed.
func (p *person) call(peer string) { p.offer(call{peer, false}, true) }

func (p *person) offer(c call, camera bool) {
	p.scene.t.Helper()
	pc, err := p.connection(c, camera)
	must(p.scene.t, err)
	offer, err := pc.CreateOffer(nil)
	must(p.scene.t, err)
	must(p.scene.t, p.describe(pc, c, offer))
}

// share shows a screen to somebody; end closes its connection.
func (p *person) share(peer, stream string) (end func()) {
	p.scene.t.Helper()
	c := call{peer, true}
	pc, err := p.connection(c, false)
	must(p.scene.t, err)
	_, err = p.publish(pc, stream, "video")
	must(p.scene.t, err)
	p.offer(c, false)
	return func() {
		p.mu.Lock()
		delete(p.calls, c)
		p.mu.Unlock()
		_ = pc.GracefulClose()
		p.scene.engine.ScreenShareStatus(p.room, p.id, false)
	}
}

// codecs are what browsers in the scene have; nil: all.
func (s *scene) codecs() (*webrtc.MediaEngine, error) {
	if s.h264 == nil {
		return nil, nil
	}
	engine := &webrtc.MediaEngine{}
	return engine, errors.Join(
		engine.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 109, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
		}}, webrtc.RTPCodecTypeAudio),
		engine.RegisterCodec(webrtc.RTPCodecParameters{PayloadType: 100, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e034",
		}}, webrtc.RTPCodecTypeVideo),
	)
}

// samples are what somebody sends, without an end.
func (s *scene) samples() iter.Seq[clapper.Sample] {
	claps, _ := loop()
	if s.h264 == nil {
		return claps.Samples(false)
	}
	return func(yield func(clapper.Sample) bool) {
		n := 0
		picture := func() clapper.Sample {
			return clapper.Sample{At: time.Duration(n) * time.Second / clip.FPS, Video: true, Data: s.h264[n%len(s.h264)].Data}
		}
		for sound := range claps.Samples(false) {
			if sound.Video {
				continue
			}
			for ; picture().At <= sound.At; n++ {
				if !yield(picture()) {
					return
				}
			}
			if !yield(sound) {
				return
			}
		}
	}
}

// publish sends on a connection, until the person leaves or stop is called.
func (p *person) publish(pc *webrtc.PeerConnection, stream string, kinds ...string) (stop func(), err error) {
	var picture, sound *webrtc.TrackLocalStaticSample
	for _, kind := range kinds {
		mimeType := webrtc.MimeTypeOpus
		if kind == "video" {
			mimeType = webrtc.MimeTypeVP8
			if p.scene.h264 != nil {
				mimeType = webrtc.MimeTypeH264
			}
		}
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mimeType}, kind+"-"+stream, stream)
		if err != nil {
			return nil, err
		}
		sender, err := pc.AddTrack(track)
		if err != nil {
			return nil, err
		}
		p.group.Go(func() {
			for {
				if _, _, err := sender.ReadRTCP(); err != nil {
					return
				}
			}
		})
		if kind == "video" {
			picture = track
		} else {
			sound = track
		}
	}
	rate := time.Duration(clapper.FrameRate)
	if p.scene.h264 != nil {
		rate = clip.FPS
	}
	ended := make(chan struct{})
	p.group.Go(func() {
		begin := time.Now()
		for sample := range p.scene.samples() {
			select {
			case <-p.done:
				return
			case <-ended:
				return
			case <-time.After(time.Until(begin.Add(sample.At))):
			}
			if sample.Video && picture != nil {
				_ = picture.WriteSample(media.Sample{Data: sample.Data, Duration: time.Second / rate})
			} else if !sample.Video && sound != nil {
				_ = sound.WriteSample(media.Sample{Data: sample.Data, Duration: clapper.PacketTime})
			}
		}
	})
	return sync.OnceFunc(func() { close(ended) }), nil
}
