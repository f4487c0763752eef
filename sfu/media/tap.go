package media

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	tapWait     = 3 * time.Second // default of TapOptions.Wait
	maxTapWait  = 10 * time.Second
	maxTaps     = 8           // of one source
	tapPace     = int64(50e6) // packets are taken together that come within
	videoBuffer = 4 << 20     // defaults of TapOptions.Buffer: 3 s of 8 Mbit/s with what belongs to each packet,
	audioBuffer = 1 << 19     // and more than that of a voice
)

// TapOptions says how a tap is to be read.
type TapOptions struct {
	// Wait is how long a missing packet is waited for, and asked for again, before
	// those behind it are handed out; default 3 s, at most 10 s.
	Wait time.Duration
	// Buffer bounds the memory in bytes for what waits to be read or for a missing
	// packet; the default is enough for 3 s. At least 64 KiB are used.
	Buffer int
}

// TapEventKind says what a TapEvent is.
type TapEventKind int

// The kinds of events.
const (
	// TapPacket is the next packet.
	TapPacket TapEventKind = iota + 1
	// TapGap stands for packets that will not be handed out, because they never came,
	// or because the reader did not read in time.
	TapGap
	// TapSwitch says that the packets from here on are of another encoder: another
	// connection of the publisher's carries the source, or another simulcast layer is
	// read. Video begins with a key frame. What came of the picture before may be
	// incomplete.
	TapSwitch
	// TapCodec says of what format the packets from here on are; the first event of
	// every tap that has a packet.
	TapCodec
	// TapMuted says that the publisher sends nothing although its connection lives, or a
	// voice only silence (an audio level of 127) for a second. A screen may show nothing
	// new for as long as it likes.
	TapMuted
	// TapUnmuted is the end of TapMuted.
	TapUnmuted
)

func (k TapEventKind) String() string {
	if k < TapPacket || k > TapUnmuted {
		return "unknown"
	}
	return [...]string{"packet", "gap", "switch", "codec", "muted", "unmuted"}[k-1]
}

// GapReason says why packets are missing.
type GapReason int

// The reasons of gaps.
const (
	// GapLost: they did not arrive, and asking for them did not help.
	GapLost GapReason = iota
	// GapOverflow: they were not read in time, or there was no memory to wait for them.
	GapOverflow
)

func (r GapReason) String() string {
	if r == GapOverflow {
		return "overflow"
	}
	return "lost"
}

// Codec is a payload format as it was negotiated.
type Codec struct {
	MimeType  string // "audio/opus", "video/VP8", ...
	ClockRate uint32 // Hz
	Channels  uint16 // of audio
	FMTP      string // format parameters
}

// TapEvent is what TapReader.Next returns. Fields that a kind does not speak of
// have no meaning.
type TapEvent struct {
	Kind TapEventKind
	// Sequence counts packets from 1 on, missing ones included, without wrapping
	// around. Of TapGap it is the number of the first missing packet.
	Sequence uint64
	// Last is the number of the last missing packet (TapGap).
	Last   uint64
	Reason GapReason // of TapGap

	// Of TapPacket: the RTP timestamp in units of the codec's clock, without wraps; it
	// starts anywhere and goes on over carriers and layers. It may be before that of the
	// last packet where an encoder reorders pictures.
	Timestamp int64
	Marker    bool
	KeyFrame  bool   // the first packet of a key frame
	Payload   []byte // valid until the next call of Next; not to be changed
	// Level is the audio level (RFC 6464) in -dBov, 0 (loudest) to 127; -1: not known.
	Level int

	// Codec is the format of a packet, or the new one (TapCodec).
	Codec Codec

	// Captured is when the picture or sound was taken, by the server's clock. It is the
	// instant at which it would have arrived with the least delay, and it is right in relation
	// to the other sources of the same publisher, since all are moved by the same. It never goes
	// back by more than Timestamp does: corrections are made slowly. Of TapMuted it is when that began; of the other
	// kinds that of the last packet, zero before the first.
	Captured time.Time
	// Exact: Captured follows from a sender report of the publisher. False: it is
	// guessed from arrivals, or still on its way from such a guess.
	Exact bool
}

// Errors of taps.
var (
	ErrTapEnded    = errors.New("the source has ended")
	ErrTooManyTaps = errors.New("the source has too many taps")
	ErrTapClosed   = errors.New("the tap is closed")
)

// TapReader hands out a copy of a source's packets in order, each once. It belongs
// to one goroutine, except that Close and RequestKeyFrame may be called from any.
//
// The live path copies each packet into the reader's queue and never waits; all
// that takes thought is done by the goroutine that calls Next.
type TapReader struct {
	// Static.
	source *Source
	kind   webrtc.RTPCodecType
	wait   int64
	wake   chan struct{} // holds one token

	closed atomic.Bool
	queue  tapQueue // locks itself

	// Owned by the reading goroutine.
	timer *time.Timer
	idle  bool // nothing came lately: the next packet is to wake the reader
	tapOrder
}

// Tap begins to copy the source's packets. Video begins with the next key frame,
// which is asked for. The reader must be closed.
func (s *Source) Tap(opts TapOptions) (*TapReader, error) {
	if opts.Wait <= 0 {
		opts.Wait = tapWait
	}
	if opts.Buffer <= 0 {
		opts.Buffer = videoBuffer
		if s.kind == webrtc.RTPCodecTypeAudio {
			opts.Buffer = audioBuffer
		}
	}
	t := &TapReader{
		source: s,
		kind:   s.kind,
		wait:   int64(min(opts.Wait, maxTapWait)),
		wake:   make(chan struct{}, 1),
		timer:  time.NewTimer(time.Hour),
	}
	t.timer.Stop()
	t.queue.init(s.kind, opts.Buffer)
	t.tapOrder.init(t)
	if err := s.attachTap(t); err != nil {
		return nil, err
	}
	s.RequestKeyFrame()
	return t, nil
}

// Next returns the next event; it waits for one. The error is io.EOF when the source
// has ended and all has been handed out, ErrTapClosed after Close, or that of ctx, which
// ends the waiting.
func (t *TapReader) Next(ctx context.Context) (TapEvent, error) {
	t.done()
	for {
		now := monotonic()
		event, again, err := t.step(now)
		if err != nil || event.Kind != 0 {
			return event, err
		}
		if !t.idle { // more will come soon, and nobody has to wake this goroutine for each
			t.idle, again = true, now+tapPace
		}
		if again != 0 {
			t.timer.Reset(time.Duration(max(again-now, int64(time.Millisecond))))
		}
		select {
		case <-t.wake:
		case <-t.timer.C:
		case <-ctx.Done():
			t.timer.Stop()
			return TapEvent{}, ctx.Err()
		}
		t.timer.Stop()
	}
}

// step is the next event; of kind 0 if there is none. Then again is when to look again;
// 0: not before something new has come.
func (t *TapReader) step(now int64) (event TapEvent, again int64, err error) {
	for {
		if t.closed.Load() {
			return TapEvent{}, 0, ErrTapClosed
		}
		if event, ok := t.ready(); ok {
			return event, 0, nil
		}
		arrived, state := t.queue.take(t.arrived[:0], t.given, t.idle)
		clear(t.given)
		t.arrived, t.given, t.queueState = arrived, t.given[:0], state
		for _, r := range arrived {
			t.intake(r)
		}
		if len(arrived) > 0 {
			clear(arrived)
			t.idle = false
			continue
		}
		event, ok, again := t.overdue(now)
		switch {
		case ok:
			return event, 0, nil
		case t.ended && len(t.pending) == 0:
			return TapEvent{}, 0, io.EOF
		case again == 0 || again > now:
			return TapEvent{}, again, nil
		}
	}
}

// RequestKeyFrame asks the publisher for a key frame of what is read, no more often than
// Source.RequestKeyFrame does.
func (t *TapReader) RequestKeyFrame() {
	if l := t.queue.current(); l != nil && l.active.Load() {
		l.requestKeyFrame()
		return
	}
	t.source.RequestKeyFrame()
}

// Close ends the copying and makes Next return. It may be called more than once.
func (t *TapReader) Close() {
	t.closed.Store(true)
	t.source.detachTap(t)
	t.queue.close()
	t.poke()
}

func (t *TapReader) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// taps are the readers of a source.
type taps struct {
	readers []*TapReader
	wait    int64 // the longest of theirs
}

func (s *Source) attachTap(t *TapReader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return ErrTapEnded
	}
	next := &taps{}
	if now := s.taps.Load(); now != nil {
		next.readers = slices.Clone(now.readers)
	}
	if len(next.readers) == maxTaps {
		return ErrTooManyTaps
	}
	next.readers = append(next.readers, t)
	s.setTaps(next)
	// What is known of the publisher's clock already.
	if s.active == nil {
		return nil
	}
	streams := *s.active.streams.Load()
	for _, l := range s.order {
		if l.live && l.index < len(streams) {
			t.tellClock(streams[l.index])
		}
	}
	return nil
}

func (s *Source) detachTap(t *TapReader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.taps.Load()
	if now == nil {
		return
	}
	s.setTaps(&taps{readers: slices.DeleteFunc(slices.Clone(now.readers), func(other *TapReader) bool { return other == t })})
}

// longestWait is how long a missing packet is of use to any of them; 0: to none.
func (t *taps) longestWait() int64 {
	if t == nil {
		return 0
	}
	return t.wait
}

// setTaps is what attachTap and detachTap have in common. s.mu is held.
func (s *Source) setTaps(next *taps) {
	for _, t := range next.readers {
		next.wait = max(next.wait, t.wait)
	}
	if len(next.readers) == 0 {
		s.taps.Store(nil)
		return
	}
	s.taps.Store(next)
}

// End says that nothing more will come: readers get io.EOF when they have read what
// there is, and there are no new ones. It does not change the carrier.
func (s *Source) End() {
	s.mu.Lock()
	s.ended = true
	readers := s.taps.Load()
	s.mu.Unlock()
	if readers == nil {
		return
	}
	for _, t := range readers.readers {
		t.queue.end()
		t.poke()
	}
}

// copied gives a packet that is being delivered to the taps and reports whether
// one of them waits for a key frame of this layer.
func (t *taps) copied(l *layer, u *Upstream, last *outgoing) (awaitingKey bool) {
	clock := u.port.shared.Load()
	for n := min(last.missing, last.red.headers-1); n > 0; n-- {
		t.recovered(l, u, last, n, clock)
	}
	for _, reader := range t.readers {
		wakes, waits := reader.queue.packet(l, u, last, clock)
		if wakes {
			reader.poke()
		}
		awaitingKey = awaitingKey || waits
	}
	return awaitingKey
}

// recovered gives the taps the packet that came n before one that repeats it, because it is
// missing.
func (t *taps) recovered(l *layer, u *Upstream, last *outgoing, n int, clock *sharedClock) {
	payload, earlier := last.red.copyOf(n)
	out := outgoing{
		sequence: last.sequence - uint64(n), timestamp: last.timestamp - earlier, source: last.source - earlier,
		format: last.format, payload: payload, level: last.level, arrival: last.arrival,
	}
	if len(payload) == 0 || earlier == 0 || int32(out.timestamp-last.before) <= 0 {
		return
	}
	for _, reader := range t.readers {
		if wakes, _ := reader.queue.packet(l, u, &out, clock); wakes {
			reader.poke()
		}
	}
}

// missingBefore counts the packets that are missing in front of one, and tells the
// timestamp of the one before those. None are if that is not known. s.mu is held.
func (l *layer) missingBefore(sequence uint64) (missing int, timestamp uint32) {
	for missing := range l.cache.Len() / 2 {
		if info, ok := l.cache.Info(sequence - uint64(missing) - 1); ok {
			return missing, info.Timestamp
		}
	}
	return 0, 0
}

// tellClocks tells all taps what a stream's last sender report says. s.mu is held.
func (s *Source) tellClocks(u *Upstream) {
	now := s.taps.Load()
	if now == nil {
		return
	}
	for _, t := range now.readers {
		t.tellClock(u)
	}
}

func (t *TapReader) tellClock(u *Upstream) {
	u.mu.Lock()
	report := u.report
	u.mu.Unlock()
	clock := u.port.shared.Load()
	if !report.received {
		clock = nil
	} else if clock == nil || clock.setting != report.clockAge {
		return
	}
	if t.queue.report(u, report.instant, clock) {
		t.poke()
	}
}

// sendsSince tells whether the source's publisher is there although no packet has come
// since a time: others of its carrier's connection have.
func (s *Source) sendsSince(last int64) bool {
	s.mu.Lock()
	active, next := s.active, s.next
	s.mu.Unlock()
	return active != nil && next == nil && active.port.lastHeard.Load()-last > tapSilence/3
}
