package sfu_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"

	"skillsage/sfu"
	"skillsage/sfu/media"
)

// levelMeter tells how loud everybody in a room is.
type levelMeter struct {
	show    func(member string, dBov int, muted bool) // called by several goroutines
	readers sync.WaitGroup
}

// SourceStarted is called on the room's goroutine, so that the reading is done by another one.
func (m *levelMeter) SourceStarted(s *sfu.TapSource) {
	if s.Kind() != "audio" || s.Screen() {
		return
	}
	// A meter rather leaves a packet out than wait for it.
	reader, err := s.Open(media.TapOptions{Wait: 100 * time.Millisecond})
	if err != nil {
		return // it has ended already
	}
	m.readers.Go(func() {
		defer reader.Close()
		m.read(s.Member(), reader)
	})
}

// SourceEnded has nothing to do: the reader gets io.EOF.
func (m *levelMeter) SourceEnded(*sfu.TapSource) {}

func (m *levelMeter) read(member string, reader *media.TapReader) {
	for {
		event, err := reader.Next(context.Background())
		if err != nil {
			return
		}
		switch event.Kind {
		case media.TapPacket:
			if event.Level >= 0 { // the browser tells it, nothing has to be decoded
				m.show(member, -event.Level, false)
			}
		case media.TapMuted:
			m.show(member, -127, true)
		}
	}
}

// An audio level meter.
func ExampleEngine_Tap() {
	engine, err := sfu.New(sfu.Options{}) // in the server, the one that there is
	if err != nil {
		panic(err)
	}
	meter := &levelMeter{show: func(member string, dBov int, muted bool) {
		fmt.Printf("%s: %d dBov, muted: %v\n", member, dBov, muted)
	}}
	stop, err := engine.Tap("interview-1", meter)
	if errors.Is(err, sfu.ErrNoRoom) {
		fmt.Println("nobody is there yet")
		return
	}
	time.Sleep(time.Minute)
	stop()               // no more sources
	meter.readers.Wait() // until those that were there have ended
	// Output: nobody is there yet
}

// opusPipe hands each voice to a command of its own, as an Ogg stream that begins with the
// first packet and is as long as the time that passes.
type opusPipe struct {
	ctx     context.Context // ends the commands
	command func(context.Context, *sfu.TapSource) *exec.Cmd
	log     *slog.Logger
	running sync.WaitGroup
}

func (p *opusPipe) SourceStarted(s *sfu.TapSource) {
	if s.Kind() != "audio" {
		return
	}
	reader, err := s.Open(media.TapOptions{})
	if err != nil {
		return
	}
	p.running.Go(func() {
		defer reader.Close()
		if err := p.run(s, reader); err != nil {
			p.log.Warn("a voice is not processed any more", "member", s.Member(), "error", err)
		}
	})
}

func (p *opusPipe) SourceEnded(*sfu.TapSource) {}

func (p *opusPipe) run(s *sfu.TapSource, reader *media.TapReader) error {
	cmd := p.command(p.ctx, s)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// A command that does not read keeps this goroutine waiting, and nobody else: what
	// it misses comes as a gap.
	err = copyOpus(p.ctx, stdin, reader)
	return errors.Join(err, stdin.Close(), cmd.Wait())
}

// silence is an Opus packet of 20 ms.
var silence = []byte{0xf8, 0xff, 0xfe}

func copyOpus(ctx context.Context, to io.Writer, reader *media.TapReader) error {
	const (
		frame = 20 * time.Millisecond // what browsers send
		apart = 3 * frame             // from here on it is no jitter
	)
	ogg, err := oggwriter.NewWith(to, 48000, 2)
	if err != nil {
		return err
	}
	var next time.Time // the end of what has been written
	for {
		event, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if event.Kind != media.TapPacket {
			continue
		}
		// What was lost, and what a browser does not send while nobody speaks (DTX).
		if next.IsZero() {
			next = event.Captured
		}
		for event.Captured.Sub(next) > apart {
			next = next.Add(frame)
			if err := ogg.WriteRTP(&rtp.Packet{Payload: silence}); err != nil {
				return err
			}
		}
		if err := ogg.WriteRTP(&rtp.Packet{Payload: event.Payload}); err != nil {
			return err
		}
		next = next.Add(frame)
	}
}

// Opus handed to an external command.
func ExampleTapSource_Open() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	engine, err := sfu.New(sfu.Options{})
	if err != nil {
		panic(err)
	}
	pipe := &opusPipe{ctx: ctx, log: slog.Default(), command: func(ctx context.Context, s *sfu.TapSource) *exec.Cmd {
		// Members name themselves: their ids are never part of a path or a command.
		return exec.CommandContext(ctx, "ffmpeg", "-loglevel", "error", "-i", "pipe:0", fmt.Sprintf("voice-%d.flac", s.ID()))
	}}
	stop, err := engine.Tap("interview-1", pipe)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pipe.running.Wait()
	defer stop()
	// Output: sfu: nobody is in that room
}
