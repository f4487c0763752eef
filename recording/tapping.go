package recording

import (
	"errors"
	"slices"
	"time"

	"skillsage/recording/manifest"
)

// tap begins to hear of the room's sources.
func (iv *interview) tap(now time.Time) {
	if now.Before(iv.retap) {
		return
	}
	iv.retap = now.Add(retapAfter)
	if err := iv.recorder.opts.Relayed(iv.room); errors.Is(err, ErrNoRoom) {
		return
	} else if err != nil {
		iv.mu.Lock()
		iv.endWishLocked(&ending{at: now, reason: manifest.Error, detail: "the room's media do not go through this server: " + err.Error()})
		iv.mu.Unlock()
		return
	}
	t := &tapping{iv}
	iv.tapping = t
	untap, err := iv.recorder.opts.Media.Tap(iv.room, t)
	if err != nil {
		iv.log.Debug("no media yet to be recorded", "error", err)
		iv.tapping = nil
		return
	}
	iv.untap = untap
}

// endTap ends tap.
func (iv *interview) endTap() {
	if iv.tapping == nil {
		return
	}
	iv.untap()
	iv.tapping, iv.untap, iv.retap = nil, nil, time.Time{}
	for _, t := range iv.tracks {
		iv.close(t)
	}
	iv.tracks = nil
}

// tapping hears of sources, on the goroutine of the relay's room.
type tapping struct{ iv *interview }

func (t *tapping) SourceStarted(s Source) {
	t.iv.post(func() {
		if t.iv.tapping == t {
			t.iv.tracks = append(t.iv.tracks, &roomTrack{source: s})
		}
	})
}

func (t *tapping) SourceEnded(s Source) {
	t.iv.post(func() {
		i := slices.IndexFunc(t.iv.tracks, func(known *roomTrack) bool { return known.source.ID() == s.ID() })
		if t.iv.tapping != t || i < 0 {
			return
		}
		t.iv.close(t.iv.tracks[i])
		t.iv.tracks = slices.Delete(t.iv.tracks, i, i+1)
	})
}

// RoomEnded comes when the last member leaves, and where the next one has joined in between and so is in another room of the
// relay's: then there is always somebody here, and nothing else tells of it.
func (t *tapping) RoomEnded() {
	t.iv.post(func() {
		if t.iv.tapping == t {
			t.iv.endTap()
		}
	})
}

// roomTrack is one source of the room.
type roomTrack struct {
	source   Source
	sink     *sink   // where the session puts it; nil: not known
	reader   *reader // that records it; nil: none
	unusable bool    // for this session
}

// close says that a source has ended.
func (iv *interview) close(t *roomTrack) {
	if t.reader != nil {
		t.reader.ended.Store(true)
		t.reader = nil
	}
}

// openTracks begins to record the sources of those who may be recorded. Where one follows another the last one is.
func (iv *interview) openTracks(s *session) {
	type place struct {
		sink *sink
		kind string
	}
	var may []*roomTrack
	for _, t := range iv.tracks {
		role, agreed := iv.agrees(t.source.Member())
		if !agreed || t.unusable {
			continue
		}
		if t.sink == nil {
			t.sink = s.sinkFor(t, role)
		}
		if t.sink != nil {
			may = append(may, t)
		}
	}
	taken := make(map[place]bool)
	for _, t := range slices.Backward(may) {
		at := place{t.sink, t.source.Kind()}
		if t.reader == nil && !taken[at] {
			s.open(t)
		}
		taken[at] = taken[at] || t.reader != nil
	}
}
