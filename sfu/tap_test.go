package sfu

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"skillsage/internal/testkit/impair"
	"skillsage/sfu/media"
)

// recordings is a Tapper that reads everything.
type recordings struct {
	t    *testing.T
	opts media.TapOptions
	wg   sync.WaitGroup

	mu   sync.Mutex
	all  []*recording
	told []string // what the Tapper was told
}

// recording is what was read of one source.
type recording struct {
	of     *TapSource
	reader *media.TapReader

	mu      sync.Mutex
	packets []tapPacket
	others  []media.TapEvent // all that are no packets
	ended   bool
}

type tapPacket struct {
	media.TapEvent
	number uint32 // that its sender gave it
}

// record taps a call.
func (c *call) record(opts media.TapOptions) *recordings {
	c.t.Helper()
	r := &recordings{t: c.t, opts: opts}
	stop, err := c.engine.Tap("room", r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		stop()
		r.mu.Lock()
		for _, one := range r.all {
			one.reader.Close()
		}
		r.mu.Unlock()
		r.wg.Wait()
	})
	return r
}

func nameOf(s *TapSource) string {
	name := s.Member() + " " + s.Kind()
	if s.Screen() {
		name += " screen"
	}
	return name
}

func (r *recordings) SourceStarted(s *TapSource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, "+"+nameOf(s))
	reader, err := s.Open(r.opts)
	if err != nil {
		r.t.Errorf("%s: %v", nameOf(s), err)
		return
	}
	one := &recording{of: s, reader: reader}
	r.all = append(r.all, one)
	r.wg.Go(func() { one.read(r.t) })
}

func (r *recordings) SourceEnded(s *TapSource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, "-"+nameOf(s))
	if !slices.ContainsFunc(r.all, func(one *recording) bool { return one.of == s }) {
		r.t.Errorf("%s ends and has not begun", nameOf(s))
	}
}

// read reads a source until its end, and checks what holds always.
func (r *recording) read(t *testing.T) {
	sequence, last := uint64(0), media.TapEvent{}
	for {
		event, err := r.reader.Next(context.Background())
		r.mu.Lock()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, media.ErrTapClosed):
			r.ended = err == io.EOF
			r.mu.Unlock()
			return
		case event.Kind == media.TapPacket:
			if event.Sequence != sequence+1 || event.Timestamp < last.Timestamp || event.Captured.Before(last.Captured) {
				t.Errorf("%s: %d, %d, %v follows %d, %d, %v", nameOf(r.of), event.Sequence, event.Timestamp, event.Captured, sequence, last.Timestamp, last.Captured)
			}
			sequence, last = event.Sequence, event
			event.Payload = slices.Clone(event.Payload)
			p := tapPacket{TapEvent: event}
			if n := len(event.Payload); n >= 4 {
				p.number = binary.BigEndian.Uint32(event.Payload[n-4:])
			}
			r.packets = append(r.packets, p)
		default:
			if event.Kind == media.TapGap {
				if event.Sequence != sequence+1 || event.Last < event.Sequence {
					t.Errorf("%s: a gap from %d to %d after %d", nameOf(r.of), event.Sequence, event.Last, sequence)
				}
				sequence = event.Last
			}
			r.others = append(r.others, event)
		}
		r.mu.Unlock()
	}
}

// look is what has been read up to now.
func (r *recording) look() ([]tapPacket, []media.TapEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.packets), slices.Clone(r.others)
}

func (r *recording) count(kind media.TapEventKind) (n int) {
	packets, others := r.look()
	if kind == media.TapPacket {
		return len(packets)
	}
	for _, event := range others {
		if event.Kind == kind {
			n++
		}
	}
	return n
}

// of waits for the recording of a source, the newest of that name.
func (r *recordings) of(c *call, name string) (found *recording) {
	c.t.Helper()
	c.eventually("a source "+name, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, one := range r.all {
			if nameOf(one.of) == name {
				found = one
			}
		}
		return found != nil
	})
	return found
}

// goesOn waits until many more packets have been read.
func (r *recording) goesOn(c *call) {
	c.t.Helper()
	before := r.count(media.TapPacket)
	c.eventually(nameOf(r.of)+" goes on", func() bool { return r.count(media.TapPacket) > before+20 })
}

func (r *recording) ends(c *call) {
	c.t.Helper()
	c.eventually(nameOf(r.of)+" ends", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ended
	})
}

// TestTapGetsAllInOrder loses each twentieth packet of both ways: the tap has every
// picture packet, and of the voice all that came.
func TestTapGetsAllInOrder(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	line := c.line()
	k, r := c.joinThrough(line, "C", "candidate"), c.join("R", "recruiter")
	tape := c.record(media.TapOptions{})
	begun := time.Now()
	r.offer("C")
	r.gets("C")
	bad := impair.Settings{Loss: 0.05, Delay: 20 * time.Millisecond}
	if err := errors.Join(line.SetUp(bad), line.SetDown(bad)); err != nil {
		t.Fatal(err)
	}
	picture, voice := tape.of(c, "C video"), tape.of(c, "C audio")
	from := picture.count(media.TapPacket)
	c.eventually("300 pictures", func() bool { return picture.count(media.TapPacket) > from+300 })
	c.eventually("300 sounds", func() bool { return voice.count(media.TapPacket) > from+300 })
	if up, _ := line.Counters(); up.Lost < 10 {
		t.Errorf("only %d packets were lost", up.Lost)
	}
	if err := errors.Join(line.SetUp(impair.Settings{}), line.SetDown(impair.Settings{})); err != nil {
		t.Fatal(err)
	}
	picture.goesOn(c) // the last repairs are there
	k.leave()
	picture.ends(c)
	voice.ends(c)

	packets, others := picture.look()
	for i, p := range packets {
		if p.number != packets[0].number+uint32(i) || p.Sequence != uint64(i)+1 {
			t.Fatalf("picture %d is number %d at %d, the first was %d; %+v", i, p.number, p.Sequence, packets[0].number, others)
		}
	}
	if first := packets[0]; !first.KeyFrame || len(others) != 1 || others[0].Kind != media.TapCodec || others[0].Codec.MimeType != "video/VP8" {
		t.Errorf("it began with %+v after %+v", first, others)
	}
	packets, others = voice.look()
	for i, p := range packets {
		if uint64(p.number-packets[0].number) != p.Sequence-1 {
			t.Fatalf("sound %d is number %d at %d, the first was %d", i, p.number, p.Sequence, packets[0].number)
		}
	}
	if voice.count(media.TapGap) == 0 || others[0].Codec.MimeType != "audio/opus" || others[0].Codec.Channels != 2 {
		t.Errorf("voice: %+v", others)
	}
	for _, one := range []*recording{picture, voice} {
		packets, _ := one.look()
		first, last := packets[0], packets[len(packets)-1]
		if !first.Exact || first.Captured.Before(begun) || last.Captured.After(time.Now().Add(time.Second)) {
			t.Errorf("%s: captured from %v (exact: %v) to %v, was there from %v on", nameOf(one.of), first.Captured, first.Exact, last.Captured, begun)
		}
	}
}

// TestTapGoesOnWithAnotherCarrier: the recruiter leaves on whose leg the candidate
// uploads.
func TestTapGoesOnWithAnotherCarrier(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	k := c.join("C", "candidate")
	tape := c.record(media.TapOptions{Wait: time.Second})
	recruiters := map[string]*client{}
	for _, id := range []string{"R1", "R2"} {
		recruiters[id] = c.join(id, "recruiter")
		recruiters[id].offer("C")
	}
	for _, r := range recruiters {
		r.gets("C")
	}
	picture, voice := tape.of(c, "C video"), tape.of(c, "C audio")
	at := c.uploadsOnce("C", "video", 1)
	picture.goesOn(c)
	recruiters[at[0]].leave()
	k.closeConnection(at[0], false)
	c.eventually("the picture switches", func() bool { return picture.count(media.TapSwitch) > 0 })
	picture.goesOn(c)
	voice.goesOn(c)
	k.leave()
	picture.ends(c)
	packets, _ := picture.look()
	restarts := 0
	for i, p := range packets[1:] {
		if p.number != packets[i].number+1 {
			restarts++
			if !p.KeyFrame {
				t.Errorf("the new carrier begins with %+v", p)
			}
		}
	}
	if restarts == 0 {
		t.Error("all packets came from one carrier")
	}
	tape.mu.Lock()
	defer tape.mu.Unlock()
	if n := len(tape.all); n != 6 {
		t.Errorf("%d sources were seen, want 6: %v", n, tape.told)
	}
}

// TestStalledTapDisturbsNobody: what is not read is left out, and the viewer gets all.
func TestStalledTapDisturbsNobody(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{})
	var mu sync.Mutex
	readers := map[string]*media.TapReader{}
	stop, err := c.engine.Tap("room", tapperFunc(func(s *TapSource) {
		mu.Lock()
		defer mu.Unlock()
		if reader, err := s.Open(media.TapOptions{Buffer: 1}); err == nil {
			readers[nameOf(s)] = reader
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c.eventually("all sources", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(readers) == 4
	})
	mu.Lock()
	defer mu.Unlock()
	for _, reader := range readers {
		defer reader.Close()
	}
	for range 10 { // more than there is room for
		r.gets("C")
	}
	reader, packets, gap := readers["C video"], 0, media.TapEvent{}
	for gap.Kind == 0 {
		event, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch event.Kind {
		case media.TapPacket:
			packets++
		case media.TapGap:
			gap = event
		}
	}
	if packets == 0 || packets > 200 || gap.Reason != media.GapOverflow || gap.Last-gap.Sequence < 20 {
		t.Errorf("read %d packets, then %+v", packets, gap)
	}
	event, err := reader.Next(t.Context())
	if err != nil || event.Kind != media.TapPacket || event.Sequence != gap.Last+1 {
		t.Errorf("after the gap: %+v, %v", event, err)
	}
	k.gets("R")
}

// tapperFunc is called for each source that begins.
type tapperFunc func(*TapSource)

func (f tapperFunc) SourceStarted(s *TapSource) { f(s) }
func (f tapperFunc) SourceEnded(*TapSource)     {}

// endTapper is called when the room ends.
type endTapper struct {
	tapperFunc
	ended func()
}

func (e endTapper) RoomEnded() { e.ended() }

// TestTapsHearOfTheEndOfTheRoom: once, after its sources, and not when they were stopped.
func TestTapsHearOfTheEndOfTheRoom(t *testing.T) {
	t.Parallel()
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	ended := make(chan string, 4)
	tap := func(name string) func() {
		stop, err := e.Tap("room", endTapper{func(*TapSource) {}, func() { ended <- name }})
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}
	e.Join("room", "first", "recruiter")
	tap("kept")
	tap("stopped")()
	// The next room is there before the first one has ended.
	e.Leave("room", "first")
	e.Join("room", "second", "recruiter")
	tap("next")
	if got := <-ended; got != "kept" {
		t.Errorf("%q heard of the end", got)
	}
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := <-ended; got != "next" || len(ended) > 0 {
		t.Errorf("%q heard of the end, and %d more", got, len(ended))
	}
}

// TestTapsFollowSources: a camera that is opened again, a share, a member and a room
// that end.
func TestTapsFollowSources(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{})
	tape := c.record(media.TapOptions{Wait: time.Second})
	first := tape.of(c, "C video")
	first.goesOn(c)
	if first.of.Role() != "candidate" || first.of.Stream() != "camera-C" || first.of.Member() != "C" {
		t.Errorf("%+v", first.of)
	}
	late := c.record(media.TapOptions{}) // hears of what is there already
	late.of(c, "C video").goesOn(c)

	k.addTracks(k.connection(clientKey{"R", true}, false), "screen", "video")
	k.offerOn(clientKey{"R", true}, false)
	screen := tape.of(c, "C video screen")
	screen.goesOn(c)
	k.closeConnection("R", true)
	screen.ends(c)
	if _, err := screen.of.Open(media.TapOptions{}); !errors.Is(err, media.ErrTapEnded) {
		t.Errorf("opening what has ended: %v", err)
	}

	// The page makes its connection anew with another camera.
	k.closeConnection("R", false)
	k.stream = "another"
	c.eventually("the leg ends", func() bool { return c.hasState("closed C>R false") })
	first.ends(c)
	k.offer("R")
	r.gets("C")
	again := tape.of(c, "C video")
	if again == first || again.of.ID() == first.of.ID() || again.of.Stream() != "another" {
		t.Errorf("the new camera is %+v", again.of)
	}
	again.goesOn(c)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.engine.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"C video", "C audio", "R video", "R audio"} {
		tape.of(c, name).ends(c)
		late.of(c, name).ends(c)
	}
	for _, one := range []*recordings{tape, late} {
		one.mu.Lock()
		begun := map[string]int{}
		for _, line := range one.told {
			begun[line[1:]] += map[byte]int{'+': 1, '-': -1}[line[0]]
		}
		for name, n := range begun {
			if n != 0 {
				t.Errorf("%s has begun %d times more than it ended: %v", name, n, one.told)
			}
		}
		one.mu.Unlock()
	}
}

// TestTapReadsTheBiggestLayer of a simulcast picture.
func TestTapReadsTheBiggestLayer(t *testing.T) {
	t.Parallel()
	c, publisher, from, _ := simulcastCall(t)
	tape := c.record(media.TapOptions{Wait: time.Second})
	from.roll(publisher)
	picture := tape.of(c, "C video")
	c.eventually("the biggest layer is read", func() bool {
		packets, _ := picture.look()
		return len(packets) > 50 && len(packets[len(packets)-1].Payload) == 100<<2
	})
	packets, _ := picture.look()
	for i, p := range packets[1:] {
		if len(p.Payload) != len(packets[i].Payload) && !p.KeyFrame {
			t.Errorf("another layer begins with %+v", p)
		}
	}
	if picture.count(media.TapGap) != 0 {
		t.Error("packets were left out")
	}
}

// TestTapShowsATrackOnce, though it is uploaded in two codecs: the second one follows the first.
func TestTapShowsATrackOnce(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	k := c.join("C", "candidate", "vp8", "h264")
	tape := c.record(media.TapOptions{Wait: time.Second})
	r1 := c.join("R1", "recruiter", "vp8", "h264")
	r1.offer("C")
	r1.sees("C", "vp8")
	r2 := c.join("R2", "recruiter", "h264")
	r2.offer("C")
	r2.sees("C", "h264")
	first := tape.of(c, "C video")
	first.goesOn(c)
	if packets, _ := first.look(); packets[0].Codec.MimeType != "video/VP8" {
		t.Errorf("%+v", packets[0])
	}
	r1.leave()
	k.closeConnection("R1", false)
	first.ends(c)
	second := tape.of(c, "C video")
	second.goesOn(c)
	if packets, _ := second.look(); packets[0].Codec.MimeType != "video/H264" || second.of.Stream() != first.of.Stream() {
		t.Errorf("%+v", packets[0])
	}
	tape.mu.Lock()
	defer tape.mu.Unlock()
	var pictures []string
	for _, line := range tape.told {
		if line[1:] == "C video" {
			pictures = append(pictures, line)
		}
	}
	if want := []string{"+C video", "-C video", "+C video"}; !slices.Equal(pictures, want) {
		t.Errorf("told of %v, want %v", pictures, want)
	}
}

// TestTappersAreBounded, and a stopped one hears no more.
func TestTappersAreBounded(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	if _, err := c.engine.Tap("room", tapperFunc(nil)); !errors.Is(err, ErrNoRoom) {
		t.Errorf("a room without members: %v", err)
	}
	r := c.join("R", "recruiter")
	c.join("C", "candidate")
	heard := make(chan string, 100)
	var stops []func()
	for i := range maxTappers {
		stop, err := c.engine.Tap("room", tapperFunc(func(s *TapSource) { heard <- fmt.Sprint(i, s.Kind()) }))
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, stop)
	}
	if _, err := c.engine.Tap("room", tapperFunc(nil)); !errors.Is(err, ErrTooManyTappers) {
		t.Errorf("one too many: %v", err)
	}
	for _, stop := range stops[1:] {
		stop()
		stop()
	}
	stop, err := c.engine.Tap("room", tapperFunc(func(*TapSource) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r.offer("C")
	r.gets("C")
	for len(heard) > 0 {
		if who := <-heard; who[0] != '0' {
			t.Errorf("%s was told after it had stopped", who)
		}
	}
	stops[0]()
}
