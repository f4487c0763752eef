package soak

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxFreeze = 2 * time.Second
	// maxBegin is what a picture may take that a viewer never had before: a call is set up.
	maxBegin = 10 * time.Second
)

// span is a time in which no picture can be expected; it goes on while to is zero.
type span struct{ from, to time.Time }

// spans is safe for concurrent use.
type spans struct {
	mu  sync.Mutex
	all []span
}

func (s *spans) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.all); n == 0 || !s.all[n-1].to.IsZero() {
		s.all = append(s.all, span{from: now})
	}
}

func (s *spans) end(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.all); n > 0 && s.all[n-1].to.IsZero() {
		s.all[n-1].to = now
	}
}

func (s *spans) add(from, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 256 {
		s.all = slices.Delete(s.all, 0, 128)
	}
	s.all = append(s.all, span{from, to})
}

// within lists the parts between from and to.
func (s *spans) within(from, to time.Time) (list []span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if one.to.IsZero() || one.to.After(to) {
			one.to = to
		}
		if one.from.Before(from) {
			one.from = from
		}
		if one.from.Before(one.to) {
			list = append(list, one)
		}
	}
	return list
}

// without is the time between from and to that none of the spans covers.
func without(from, to time.Time, excused ...*spans) time.Duration {
	var list []span
	for _, s := range excused {
		list = append(list, s.within(from, to)...)
	}
	slices.SortFunc(list, func(a, b span) int { return a.from.Compare(b.from) })
	left, end := to.Sub(from), from
	for _, one := range list {
		if one.from.Before(end) {
			one.from = end
		}
		if one.from.Before(one.to) {
			left -= one.to.Sub(one.from)
			end = one.to
		}
	}
	return left
}

// pauses notes when this process itself did not run: a busy machine freezes every viewer at once.
type pauses struct {
	spans
	total time.Duration // guarded by spans.mu
}

func (p *pauses) watch(done <-chan struct{}) {
	const step, late = 20 * time.Millisecond, 150 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		if now := time.Now(); now.Sub(last) > late {
			p.add(last, now)
			p.mu.Lock()
			p.total += now.Sub(last)
			p.mu.Unlock()
			last = now
		} else {
			last = now
		}
	}
}

// flow is one picture that one viewer should see: the camera or the screen of one other.
type flow struct {
	room           *room
	viewer, source *client
	screen         bool
	due            time.Time // static
	outages        spans     // of the connection that it comes on

	mu     sync.Mutex
	begun  bool
	last   time.Time // when a picture was shown; due before the first
	frames uint64
	failed bool
}

func (f *flow) String() string {
	what := "camera"
	if f.screen {
		what = "screen"
	}
	return fmt.Sprintf("%s's %s at %s", f.source.id, what, f.viewer.id)
}

// shown notes a picture.
func (f *flow) shown(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gap := f.gap(now)
	if f.begun {
		f.room.note(gap)
		f.judge(gap, maxFreeze, "was frozen for", now)
	} else {
		f.room.began(gap)
		f.judge(gap, maxBegin, "took", now)
	}
	f.begun, f.last = true, now
	f.frames++
}

// check looks at a picture that does not come.
func (f *flow) check(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gap := f.gap(now)
	if f.begun {
		f.room.note(gap)
		f.judge(gap, maxFreeze, "is frozen for", now)
	} else {
		f.judge(gap, maxBegin, "did not come for", now)
	}
}

// gap is the time since the last picture without what excuses it.
func (f *flow) gap(now time.Time) time.Duration {
	return without(f.last, now, &f.outages, &f.viewer.outages, &f.viewer.squeezes, &f.source.outages, &f.room.soak.pauses.spans)
}

func (f *flow) judge(gap, limit time.Duration, verb string, now time.Time) {
	if gap > limit && !f.failed {
		f.failed = true // once is enough
		f.room.fail(now, fmt.Sprintf("%s %s %s; %s", f, verb, gap.Round(time.Millisecond), f.explain()))
	}
}

// explain is what the server thinks of the picture.
func (f *flow) explain() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	rooms, err := f.room.soak.engine.Snapshot(ctx)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, r := range rooms {
		for _, m := range r.Members {
			for _, s := range m.Sources {
				if r.ID == f.room.id && m.ID == f.source.id && s.Kind == "video" && s.Screen == f.screen {
					fmt.Fprintf(&text, "published %s on the leg to %q, %.0f ms ago, %d viewers; ", s.Stream, s.Carrier, s.SilentMs, s.Viewers)
				}
			}
			for _, l := range m.Legs {
				if r.ID != f.room.id || m.ID != f.viewer.id {
					continue
				}
				fmt.Fprintf(&text, "leg to %s, screen %v: %s, %d of %d bit/s, limited %v", l.Peer, l.Screen, l.State, l.BitrateDown, l.Estimate, l.Limited)
				for _, s := range l.Sends {
					fmt.Fprintf(&text, ", %s of %q sent %v", s.Class, s.Source, s.Sending)
				}
				text.WriteString("; ")
			}
		}
	}
	return text.String()
}
