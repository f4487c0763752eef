package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"skillsage/internal/testkit/sioclient"
	"skillsage/recording"
	"skillsage/recording/manifest"
	"skillsage/signaling"
)

// page is a page in an interview as old ones are: it sends a camera and a voice on a connection with each of the others,
// a recruiter calls who joins, and who leaves is forgotten.
type page struct {
	*sioclient.Client
	t    *testing.T
	role string

	inbox  chan sioclient.Event
	tracks chan string // kinds of what came of others
	ctx    context.Context
	group  sync.WaitGroup

	conns map[string]*webrtc.PeerConnection // owned by run
}

// enter opens a page in the interview "iv". What it says of itself goes along with join-room.
func (p *process) enter(role string, more map[string]any) *page {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &page{t: p.t, role: role, inbox: make(chan sioclient.Event, 1000), tracks: make(chan string, 100), ctx: ctx, conns: make(map[string]*webrtc.PeerConnection)}
	var err error
	c.Client, err = sioclient.Dial(ctx, p.base, sioclient.Options{OnEvent: func(_ *sioclient.Client, e sioclient.Event) {
		select {
		case c.inbox <- e:
		default: // nobody reads any more
		}
	}})
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	c.group.Go(c.run)
	p.t.Cleanup(func() {
		c.Abort()
		cancel()
		c.group.Wait()
	})
	join := map[string]any{"interviewId": "iv", "userRole": role}
	for name, value := range more {
		join[name] = value
	}
	if err := c.Emit("join-room", join); err != nil {
		p.t.Fatal(err)
	}
	c.wait("room-users", nil)
	return c
}

func (c *page) run() {
	defer func() {
		for _, conn := range c.conns {
			_ = conn.Close()
		}
	}()
	for {
		select {
		case <-c.ctx.Done():
			return
		case e := <-c.inbox:
			if err := c.hear(e); err != nil && c.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) { // by the test, as it leaves
				c.t.Errorf("%s's %s: %v", c.role, e.Name, err)
			}
		}
	}
}

func (c *page) hear(e sioclient.Event) error {
	var in struct {
		UserID string
		From   string
		Type   string
		Signal webrtc.SessionDescription
	}
	switch e.Name {
	case "user-joined", "user-left", "signal":
		if err := e.Decode(&in); err != nil {
			return err
		}
	default:
		return nil
	}
	switch {
	case e.Name == "user-left":
		if conn := c.conns[in.UserID]; conn != nil {
			delete(c.conns, in.UserID)
			return conn.Close()
		}
	case e.Name == "user-joined":
		if c.role == "recruiter" {
			return c.call(in.UserID)
		}
	case in.Type == "offer":
		return c.answer(in.From, in.Signal)
	case c.conns[in.From] != nil:
		return c.conns[in.From].SetRemoteDescription(in.Signal)
	}
	return nil
}

func (c *page) call(peer string) error {
	conn, err := c.open(peer)
	if err != nil {
		return err
	}
	offer, err := conn.CreateOffer(nil)
	if err != nil {
		return err
	}
	return c.describe(peer, conn, offer)
}

func (c *page) answer(peer string, offer webrtc.SessionDescription) error {
	conn := c.conns[peer]
	if conn == nil {
		var err error
		if conn, err = c.open(peer); err != nil {
			return err
		}
	}
	if err := conn.SetRemoteDescription(offer); err != nil {
		return err
	}
	answer, err := conn.CreateAnswer(nil)
	if err != nil {
		return err
	}
	return c.describe(peer, conn, answer)
}

// describe sends a description with all candidates in it.
func (c *page) describe(peer string, conn *webrtc.PeerConnection, own webrtc.SessionDescription) error {
	gathered := webrtc.GatheringCompletePromise(conn)
	if err := conn.SetLocalDescription(own); err != nil {
		return err
	}
	<-gathered
	return c.Emit("signal", map[string]any{"to": peer, "signal": conn.LocalDescription(), "type": own.Type.String()})
}

func (c *page) open(peer string) (*webrtc.PeerConnection, error) {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	conn, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	c.conns[peer] = conn
	conn.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { c.tracks <- track.Kind().String() })
	for mime, send := range map[string]func(*webrtc.TrackLocalStaticSample){webrtc.MimeTypeVP8: c.film, webrtc.MimeTypeOpus: c.talk} {
		track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, strings.ToLower(mime[:5]), "camera")
		if err != nil {
			return nil, err
		}
		if _, err := conn.AddTrack(track); err != nil {
			return nil, err
		}
		c.group.Go(func() { send(track) })
	}
	return conn, nil
}

// film sends pictures, every tenth of which is a key frame by its header.
func (c *page) film(track *webrtc.TrackLocalStaticSample) {
	const width, height = 320, 240
	n := 0
	c.every(50*time.Millisecond, func(d time.Duration) {
		frame := append([]byte{0x11, 0, 0}, make([]byte, 200)...)
		if n%10 == 0 {
			copy(frame, []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, width & 0xff, width >> 8, height, 0})
		}
		n++
		_ = track.WriteSample(media.Sample{Data: frame, Duration: d})
	})
}

func (c *page) talk(track *webrtc.TrackLocalStaticSample) {
	c.every(20*time.Millisecond, func(d time.Duration) {
		_ = track.WriteSample(media.Sample{Data: []byte{0xf8, 0xff, 0xfe}, Duration: d}) // silence
	})
}

func (c *page) every(d time.Duration, do func(time.Duration)) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-ticker.C:
			do(d)
		}
	}
}

// see waits for a picture and a voice.
func (c *page) see() {
	c.t.Helper()
	for range 2 {
		select {
		case <-c.tracks:
		case <-time.After(30 * time.Second):
			c.t.Fatalf("%s sees and hears nobody", c.role)
		}
	}
}

func (c *page) wait(event string, match func(sioclient.Event) bool) sioclient.Event {
	c.t.Helper()
	if match == nil {
		match = func(sioclient.Event) bool { return true }
	}
	ctx, cancel := context.WithTimeout(c.ctx, 30*time.Second)
	defer cancel()
	e, err := c.WaitFunc(ctx, event, match)
	if err != nil {
		c.t.Fatalf("%s: %v", c.role, err)
	}
	return e
}

// until waits for a recording-status that is like that.
func (c *page) until(match func(signaling.RecordingStatus) bool) (status signaling.RecordingStatus) {
	c.t.Helper()
	c.wait("recording-status", func(e sioclient.Event) bool { return e.Decode(&status) == nil && match(status) })
	return status
}

func (c *page) untilState(state string) signaling.RecordingStatus {
	c.t.Helper()
	return c.until(func(s signaling.RecordingStatus) bool { return s.State == state })
}

// ask sends an event and returns the acknowledgement.
func (c *page) ask(event string, more map[string]any) (ack struct {
	OK     bool
	Code   string
	Status signaling.RecordingStatus
}) {
	c.t.Helper()
	payload := map[string]any{"interviewId": "iv"}
	for name, value := range more {
		payload[name] = value
	}
	ctx, cancel := context.WithTimeout(c.ctx, 30*time.Second)
	defer cancel()
	args, err := c.Call(ctx, event, payload)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(args[0], &ack); err != nil {
		c.t.Fatal(err)
	}
	return ack
}

// finished waits until a recording of "iv" is, and returns its folder.
func (p *process) finished(dir, id string) (string, *manifest.Manifest) {
	p.t.Helper()
	folder := filepath.Join(dir, "iv", id)
	var m manifest.Manifest
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(folder, manifest.Name))
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err == nil && m.State != manifest.Recording && len(m.Events) > 0 {
			return folder, &m
		}
		if time.Now().After(end) {
			p.t.Fatalf("not finished: %v, %s", err, text)
		}
	}
}

// wantFiles checks that each of these members has one complete file of camera and voice.
func wantFiles(t *testing.T, folder string, m *manifest.Manifest, members ...string) {
	t.Helper()
	var got []string
	for _, f := range m.Files {
		got = append(got, f.Participant)
		data, err := os.ReadFile(filepath.Join(folder, f.Name))
		if err != nil {
			t.Error(err)
		}
		if sum := sha256.Sum256(data); !f.Complete || f.SHA256 != hex.EncodeToString(sum[:]) || f.Kind != manifest.Camera || len(f.Tracks) != 2 || f.Duration <= 0 {
			t.Errorf("%+v has %d bytes with the hash %x", f, len(data), sum)
		}
	}
	slices.Sort(got)
	slices.Sort(members)
	if !slices.Equal(got, members) {
		t.Errorf("files of %q, want %q", got, members)
	}
}

func typesOf(m *manifest.Manifest, participant string) (types []manifest.EventType) {
	for _, e := range m.Events {
		if e.Participant == participant {
			types = append(types, e.Type)
		}
	}
	return types
}

// TestRecordedInterview: from the recruiter's wish through everybody's consent to finished files, with the real parts from
// the socket to the disk; then a recording that the server's end finishes.
func TestRecordedInterview(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	p := startServer(t, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_RECORDING_MODE=on-request", "SKILLSAGE_RECORDING_DIR="+dir,
		"SKILLSAGE_RECORDING_CONSENT=required", "SKILLSAGE_RECORDING_MIN_FREE=1MiB")
	if !strings.Contains(p.out.String(), "interviews are recorded when a recruiter asks for it, in "+dir) {
		t.Errorf("nothing is said of it:\n%s", p.out.String())
	}
	recruiter, candidate := p.enter("recruiter", nil), p.enter("candidate", map[string]any{"showsRecording": true})
	recruiter.see()
	candidate.see()
	if s := candidate.untilState("off"); s.Mode != "on-request" || s.Consent != "required" || s.Recording != "" || s.Reason != "" {
		t.Errorf("told %+v", s)
	}
	if ack := candidate.ask("recording-start", nil); ack.OK || ack.Code != "not-allowed" {
		t.Errorf("candidate's start: %+v", ack)
	}
	if ack := recruiter.ask("recording-stop", nil); ack.OK || ack.Code != "not-recording" {
		t.Errorf("stop of nothing: %+v", ack)
	}
	if ack := recruiter.ask("recording-start", nil); !ack.OK || ack.Status.State != "waiting" {
		t.Errorf("start: %+v", ack)
	}
	candidate.until(func(s signaling.RecordingStatus) bool {
		return s.State == "waiting" && slices.Contains(s.Pending, candidate.ID())
	})
	if ack := recruiter.ask("recording-start", nil); ack.OK || ack.Code != "already" {
		t.Errorf("another start: %+v", ack)
	}
	if ack := candidate.ask("recording-consent", map[string]any{"agreed": true}); !ack.OK {
		t.Errorf("consent: %+v", ack)
	}
	status := recruiter.untilState("recording")
	if status.Recording == "" || status.Since == nil || len(status.Pending) != 0 {
		t.Errorf("told %+v", status)
	}
	recruiter.wait("chat-message", func(e sioclient.Event) bool {
		return strings.Contains(e.Text(), "This interview is being recorded") && strings.Contains(e.Text(), `"sender":"system"`)
	})
	for _, said := range []struct{ event, name, value string }{{"chat-message", "content", "hello"}, {"code-update", "code", "x = 1"}} {
		if err := candidate.Emit(said.event, map[string]any{"interviewId": "iv", "questionId": "q", said.name: said.value}); err != nil {
			t.Fatal(err)
		}
	}
	recruiter.wait("chat-message", func(e sioclient.Event) bool { return strings.Contains(e.Text(), "hello") })
	time.Sleep(2 * time.Second) // of picture and voice
	if ack := recruiter.ask("recording-stop", nil); !ack.OK {
		t.Errorf("stop: %+v", ack)
	}
	candidate.until(func(s signaling.RecordingStatus) bool {
		return s.State == "off" && s.Reason == "requested" && s.Recording == status.Recording
	})
	folder, m := p.finished(dir, status.Recording)
	wantFiles(t, folder, m, recruiter.ID(), candidate.ID())
	if m.Interview != "iv" || m.Reason != manifest.Requested || m.Consent.Policy != manifest.ConsentRequired || m.Duration < 2 {
		t.Errorf("%+v", m)
	}
	types := typesOf(m, candidate.ID())
	for _, want := range []manifest.EventType{manifest.ConsentAsked, manifest.ConsentGiven, manifest.Chat, manifest.Code} {
		if !slices.Contains(types, want) {
			t.Errorf("%s is not among the candidate's %q", want, types)
		}
	}
	if candidate.Count("chat-message") != 1 {
		t.Error("a page that shows recordings was written to")
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) { // the events, which are in the manifest now
			return nil
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// Who agreed once is not asked again. The server finishes what runs when it ends, and says so.
	if ack := recruiter.ask("recording-start", nil); !ack.OK {
		t.Errorf("start: %+v", ack)
	}
	again := candidate.until(func(s signaling.RecordingStatus) bool {
		return s.State == "recording" && s.Recording != status.Recording
	})
	time.Sleep(time.Second)
	p.signal(syscall.SIGTERM)
	candidate.until(func(s signaling.RecordingStatus) bool { return s.State == "off" && s.Reason == "shutdown" })
	if code := p.exit(20 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	folder, m = p.finished(dir, again.Recording)
	wantFiles(t, folder, m, recruiter.ID(), candidate.ID())
	if m.Reason != manifest.Shutdown {
		t.Errorf("ended by %s", m.Reason)
	}
}

// TestRecordedPeerToPeerRoom: a call from browser to browser is built anew through the server, and recorded.
func TestRecordedPeerToPeerRoom(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kept")
	p := startServer(t, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_RELAY_MODE=p2p", "SKILLSAGE_RELAY_ROOM_MODE=recruiter",
		"SKILLSAGE_RECORDING_MODE=on-request", "SKILLSAGE_RECORDING_DIR="+dir, "SKILLSAGE_RECORDING_MIN_FREE=1MiB")
	recruiter, candidate := p.enter("recruiter", nil), p.enter("candidate", nil)
	recruiter.see()
	candidate.see()
	if ack := recruiter.ask("recording-start", nil); !ack.OK {
		t.Fatalf("start: %+v", ack)
	}
	candidate.wait("room-mode", nil)
	candidate.wait("user-left", nil)
	candidate.see()
	status := candidate.untilState("recording")
	// The camera is recorded when it has come to the server.
	running := filepath.Join(dir, "iv", status.Recording)
	p.eventually("two files", func() bool {
		files, err := filepath.Glob(filepath.Join(running, "*.webm"))
		return err == nil && len(files) == 2
	})
	time.Sleep(time.Second)
	if ack := recruiter.ask("recording-stop", nil); !ack.OK {
		t.Errorf("stop: %+v", ack)
	}
	folder, m := p.finished(dir, status.Recording)
	wantFiles(t, folder, m, recruiter.ID(), candidate.ID())
}

func TestRecordingsCanNotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, []string{"SKILLSAGE_RECORDING_MODE=always", "SKILLSAGE_RECORDING_DIR=" + file, "PORT=" + freePort(t), "SKILLSAGE_SERVER_ADDRESS=127.0.0.1"})
	if code := p.exit(20 * time.Second); code != exitFailed || !strings.Contains(p.out.String(), file) || !strings.Contains(p.out.String(), "recording.dir") {
		t.Errorf("exit code %d:\n%s", code, p.out.String())
	}
}

// TestRecordingWordsAreDocumented: clients see them.
func TestRecordingWordsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, described, _ := strings.Cut(string(text), "## Errors")
	for _, code := range []recording.Code{recording.CodeOff, recording.CodeNoRoom, recording.CodeNotAllowed, recording.CodeAlready,
		recording.CodeNotRecording, recording.CodeDisk, recording.CodeBusy} {
		wire, ok := refused(&recording.Error{Code: code}).(*signaling.RecordingError)
		if !ok || !strings.Contains(described, "`"+wire.Code+"`") {
			t.Errorf("%s is not in the protocol's description", code)
		}
	}
	for _, reason := range []manifest.Reason{manifest.Requested, manifest.Left, manifest.Disk, manifest.Error, manifest.Shutdown, manifest.Refused, manifest.Limit} {
		if !strings.Contains(described, "`"+string(reason)+"`") {
			t.Errorf("%s is not in the protocol's description", reason)
		}
	}
}
