package sfu

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// registerOnly makes a client that has Opus and these video codecs, no others.
func registerOnly(t *testing.T, engine *webrtc.MediaEngine, video []string) {
	t.Helper()
	register := func(mime, fmtp string, payloadType webrtc.PayloadType, kind webrtc.RTPCodecType) {
		capability := webrtc.RTPCodecCapability{MimeType: mime, ClockRate: 90000, SDPFmtpLine: fmtp}
		if kind == webrtc.RTPCodecTypeAudio {
			capability.ClockRate, capability.Channels = 48000, 2
		}
		if err := engine.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: capability, PayloadType: payloadType}, kind); err != nil {
			t.Error(err)
		}
	}
	register(webrtc.MimeTypeOpus, "minptime=10;useinbandfec=1", 109, webrtc.RTPCodecTypeAudio)
	for i, name := range video {
		fmtp := ""
		switch name {
		case "h264":
			fmtp = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e034"
		case "vp9":
			fmtp = "profile-id=0"
		}
		register("video/"+strings.ToUpper(name), fmtp, webrtc.PayloadType(100+2*i), webrtc.RTPCodecTypeVideo)
	}
}

// encoder is a track that, like a browser's, sends in the codec that was negotiated.
type encoder struct {
	stream string
	done   chan struct{}
	wg     *sync.WaitGroup
	once   sync.Once
	ended  chan struct{}

	sender  atomic.Pointer[webrtc.RTPSender]
	maySend func() bool
}

func (p *client) addEncoder(pc *webrtc.PeerConnection, stream string) {
	e := &encoder{stream: stream, done: p.done, wg: &p.wg, ended: make(chan struct{})}
	e.maySend = func() bool { return p.maySend(pc, e.sender.Load()) }
	sender, err := pc.AddTrack(e)
	if err != nil {
		p.call.t.Error(err)
		return
	}
	e.sender.Store(sender)
	p.wg.Go(func() {
		for {
			if _, _, err := sender.ReadRTCP(); err != nil {
				return
			}
		}
	})
}

func (e *encoder) ID() string                { return "video-" + e.stream }
func (e *encoder) RID() string               { return "" }
func (e *encoder) StreamID() string          { return e.stream }
func (e *encoder) Kind() webrtc.RTPCodecType { return webrtc.RTPCodecTypeVideo }

func (e *encoder) Unbind(webrtc.TrackLocalContext) error {
	e.once.Do(func() { close(e.ended) })
	return nil
}

// frames are the first bytes of a key frame and of another, by codec.
var frames = map[string][2][]byte{
	"video/VP8":  {{0x10, 0x10, 0, 0, 0x9d, 1, 0x2a}, {0x10, 0x11}},
	"video/H264": {{24, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce}, {0x61}},
	"video/VP9":  {{0x08}, {0x48}},
	"video/AV1":  {{0x18}, {0x10}},
}

func (e *encoder) Bind(context webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	if len(context.CodecParameters()) == 0 { // turned down; an error would end the connection
		return webrtc.RTPCodecParameters{}, nil
	}
	codec := context.CodecParameters()[0]
	header := rtp.Header{Version: 2, Marker: true, PayloadType: uint8(codec.PayloadType), SSRC: uint32(context.SSRC())}
	kinds, writer := frames[codec.MimeType], context.WriteStream()
	e.wg.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-e.done:
				return
			case <-e.ended:
				return
			case <-ticker.C:
			}
			if !e.maySend() {
				continue
			}
			frame := kinds[1]
			if n%10 == 0 {
				frame = kinds[0]
			}
			header.SequenceNumber++
			header.Timestamp += 1800
			_, _ = writer.WriteRTP(&header, append(append([]byte(nil), frame...), make([]byte, 300)...))
		}
	})
	return codec, nil
}

func (p *client) mime(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mimes[name]
}

// sees waits for a peer's picture and compares its codec.
func (p *client) sees(peer, codec string) {
	p.call.t.Helper()
	p.gets(peer)
	if got := p.mime(peer + " video"); !strings.EqualFold(got, "video/"+codec) {
		p.call.t.Errorf("%s gets the picture of %s as %s, want %s", p.id, peer, got, codec)
	}
}

// Whoever calls whom, a codec is chosen that both have, the policy's first of them.
func TestCodecThatBothHave(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		caller, answerer []string
		want             string
	}{
		{"VP9 first meets VP8 only", []string{"vp9", "vp8"}, []string{"vp8"}, "vp8"},
		{"VP8 only meets VP9 first", []string{"vp8"}, []string{"vp9", "vp8"}, "vp8"},
		{"all meet H.264 only", []string{"vp8", "vp9", "h264", "av1"}, []string{"h264"}, "h264"},
		{"H.264 only meets all", []string{"h264"}, []string{"vp8", "vp9", "h264", "av1"}, "h264"},
		{"the policy, not the client's order", []string{"av1", "vp9", "vp8"}, []string{"vp9", "av1", "vp8"}, "vp8"},
		{"without VP8", []string{"av1", "vp9"}, []string{"h264", "av1"}, "av1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			call := newCall(t, Options{})
			r, k := call.join("R", "recruiter", c.caller...), call.join("C", "candidate", c.answerer...)
			r.offer("C")
			r.sees("C", c.want)
			k.sees("R", c.want)
			if s := call.engine.Stats(); s.Unsupported != 0 || s.SecondUploads != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Members without a common codec hear each other, and are told why they see nothing.
func TestMembersWithoutACommonCodec(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	a, b := c.join("A", "recruiter", "h264"), c.join("B", "recruiter", "vp8")
	a.silent.Store(true) // a Pion client cannot turn down what it has no codec for; its offers can be
	b.silent.Store(true)
	a.offer("B")
	b.offer("A")
	a.receives("B audio")
	b.receives("A audio")
	c.eventually("both are told", func() bool {
		return c.hasState("unsupported video A>B false") && c.hasState("unsupported video B>A false")
	})
	if s := c.engine.Stats(); s.Unsupported != 1 {
		t.Errorf("counted %d times", s.Unsupported)
	}
	if a.count("B video")+b.count("A video") != 0 {
		t.Error("a picture that cannot be decoded was sent")
	}
}

// without turns a section of an answer down: as a browser does that has none of
// its codecs, or as a page does that wants none of its media.
func without(t *testing.T, answer, kind string, formats bool) string {
	t.Helper()
	parts := strings.Split(answer, "m=")
	for i, part := range parts {
		if !strings.HasPrefix(part, kind+" ") {
			continue
		}
		lines := strings.Split(part, "\r\n")
		fields := strings.Fields(lines[0])
		fields[1] = "0"
		if !formats {
			fields = append(fields[:3], "0")
			lines = slices.DeleteFunc(lines, func(line string) bool {
				return strings.HasPrefix(line, "a=rtpmap") || strings.HasPrefix(line, "a=fmtp") || strings.HasPrefix(line, "a=rtcp-fb")
			})
		}
		lines[0] = strings.Join(fields, " ")
		parts[i] = strings.Join(lines, "\r\n")
	}
	return strings.Join(parts, "m=")
}

func TestAnswerThatTurnsVideoDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		formats bool
	}{{"has none of the codecs", false}, {"wants no picture", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t, Options{})
			r.join("R", "C")
			r.signal("R", "C", false, "offer", recorded(t, "chromium-camera-offer"))
			r.gets("C", "offer", 1)
			r.signal("C", "R", false, "answer", without(t, recorded(t, "chromium-camera-answer"), "video", c.formats))
			answer := parsed(t, r.gets("R", "answer", 1).sdp)
			idle(t, r.engine)
			if told := r.hasState("unsupported video R>C") && r.hasState("unsupported video C>R"); told == c.formats {
				t.Errorf("told that there is no codec: %v", told)
			}
			if r.hasState("unsupported audio") || answer.Sections[0].Rejected {
				t.Error("the sound was turned down too")
			}
			if !c.formats && !answer.Sections[1].Rejected {
				t.Error("a picture is taken that nobody can see")
			}
		})
	}
}

// A late viewer without the running codec gets the picture in its own one: one
// more upload, for all such viewers. The others' picture stays.
func TestLateViewerWithoutTheRunningCodec(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	k := c.join("C", "candidate", "vp8", "h264")
	r1 := c.join("R1", "recruiter", "vp8", "h264")
	r1.offer("C")
	r1.sees("C", "vp8")
	k.sees("R1", "vp8")
	for _, late := range []string{"R2", "R3"} {
		r := c.join(late, "recruiter", "h264")
		r.offer("C")
		r.sees("C", "h264")
		k.sees(late, "h264")
	}
	r1.gets("C")
	if s := c.engine.Stats(); s.SecondUploads != 1 || s.Unsupported != 0 {
		t.Errorf("%d second uploads, %d unsupported", s.SecondUploads, s.Unsupported)
	}
}

// A member that is known and has H.264 alone makes it the codec of all: one
// upload serves everybody.
func TestOneCodecForAllWhoAreKnown(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	k := c.join("C", "candidate", "vp8", "h264")
	r1 := c.join("R1", "recruiter", "h264")
	r1.offer("C")
	r1.sees("C", "h264")
	r2 := c.join("R2", "recruiter", "vp8", "h264")
	r2.offer("C")
	r2.sees("C", "h264")
	k.sees("R2", "h264")
	if s := c.engine.Stats(); s.SecondUploads != 0 {
		t.Errorf("%d second uploads", s.SecondUploads)
	}
}
