package compose

import (
	"cmp"
	"slices"
	"time"

	"skillsage/recording/manifest"
)

// sameSeat is the longest time without a picture after which a person's next file is in the place of the last one.
const sameSeat = 2 * time.Second

// input is one file of the recording, and what there is in it.
type input struct {
	manifest.File
	path string
	content
}

// show is where and when the picture of an input is seen. Its times begin at the zero of what is composed.
type show struct {
	input int
	place place
	times []span
}

// voice is a stretch of sound of an input, on the room clock.
type voice struct {
	input int
	span
}

// plan is what is seen and heard.
type plan struct {
	window span // of the room clock
	shows  []show
	voices []voice
}

func (p plan) length() time.Duration { return p.window.to - p.window.from }

// seat is a place at the table: that of a person's camera, or of a screen.
type seat struct {
	participant string
	screen      bool
	first       time.Duration
	times       []span
	inputs      []int
}

// makePlan works out what is where and when.
func makePlan(inputs []input, window span, w, h int) plan {
	p := plan{window: window}
	for i, in := range inputs {
		for _, s := range in.sound {
			if s = s.cut(window); !s.empty() {
				p.voices = append(p.voices, voice{i, s})
			}
		}
	}
	seats := seatsOf(inputs, window)
	var screens, cameras []*seat
	shown := make(map[int]*[]show) // by input
	for _, now := range steps(seats, window) {
		screens, cameras = screens[:0], cameras[:0]
		for _, s := range seats {
			if !slices.ContainsFunc(s.times, func(t span) bool { return t.from <= now.from && now.from < t.to }) {
				continue
			}
			if s.screen {
				screens = append(screens, s)
			} else {
				cameras = append(cameras, s)
			}
		}
		forScreens, forCameras := arrange(len(screens), len(cameras), w, h)
		for n, s := range append(slices.Clone(screens), cameras...) {
			at := append(slices.Clone(forScreens), forCameras...)[n]
			for _, i := range s.inputs {
				for _, t := range visible(inputs[i]) {
					if t = t.cut(now); !t.empty() {
						put(shown, i, at, span{t.from - window.from, t.to - window.from})
					}
				}
			}
		}
	}
	for _, s := range seats { // screens first, so that cameras are before them
		for _, i := range s.inputs {
			if all := shown[i]; all != nil {
				p.shows = append(p.shows, *all...)
			}
		}
	}
	return p
}

// put notes that an input is seen in a place.
func put(shown map[int]*[]show, i int, at place, t span) {
	all := shown[i]
	if all == nil {
		all = new([]show)
		shown[i] = all
	}
	n := slices.IndexFunc(*all, func(s show) bool { return s.place == at })
	if n < 0 {
		*all = append(*all, show{i, at, []span{t}})
		return
	}
	times := &(*all)[n].times
	if last := len(*times) - 1; (*times)[last].to == t.from {
		(*times)[last].to = t.to
	} else {
		*times = append(*times, t)
	}
}

// visible tells when there is something to see of an input.
func visible(in input) (times []span) {
	end := (in.Start + in.Duration).Duration()
	for n, t := range in.picture {
		next := end
		if n+1 < len(in.picture) {
			next = in.picture[n+1].from
		}
		if in.Kind == manifest.Screen {
			t.to = max(t.to, next)
		} else {
			t.to = max(t.to, min(t.to+linger, next))
		}
		times = append(times, t)
	}
	return times
}

// seatsOf lists the seats, screens first, else in the order in which they were taken.
func seatsOf(inputs []input, window span) []*seat {
	var seats []*seat
	for i, in := range inputs {
		times := visible(in)
		if len(times) == 0 {
			continue
		}
		screen := in.Kind == manifest.Screen
		var mine *seat
		if n := slices.IndexFunc(seats, func(s *seat) bool { return !screen && !s.screen && s.participant == in.Participant }); n >= 0 {
			mine = seats[n]
		} else {
			mine = &seat{participant: in.Participant, screen: screen, first: times[0].from}
			seats = append(seats, mine)
		}
		mine.inputs = append(mine.inputs, i)
		mine.first = min(mine.first, times[0].from)
		mine.times = append(mine.times, times...)
	}
	for _, s := range seats {
		slices.SortFunc(s.times, func(a, b span) int { return cmp.Compare(a.from, b.from) })
		joined := spans{pause: sameSeat}
		for _, t := range s.times {
			joined.add(t.from, t.to-t.from)
		}
		s.times = s.times[:0]
		for _, t := range joined.all {
			if t = t.cut(window); !t.empty() {
				s.times = append(s.times, t)
			}
		}
	}
	slices.SortStableFunc(seats, func(a, b *seat) int {
		if a.screen != b.screen {
			if a.screen {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.first, b.first)
	})
	return seats
}

// steps divides the window where a seat is taken or left.
func steps(seats []*seat, window span) (steps []span) {
	moments := []time.Duration{window.from, window.to}
	for _, s := range seats {
		for _, t := range s.times {
			moments = append(moments, t.from, t.to)
		}
	}
	slices.Sort(moments)
	moments = slices.Compact(moments)
	for n := range len(moments) - 1 {
		steps = append(steps, span{moments[n], moments[n+1]})
	}
	return steps
}
