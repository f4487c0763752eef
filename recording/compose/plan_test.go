package compose

import (
	"slices"
	"strings"
	"testing"
	"time"

	"skillsage/recording/manifest"
)

const s = time.Second

func made(participant string, kind manifest.Kind, start, end time.Duration, picture ...span) input {
	if picture == nil {
		picture = []span{{start, end}}
	}
	return input{
		File:    manifest.File{Participant: participant, Kind: kind, Start: manifest.ToSeconds(start), Duration: manifest.ToSeconds(end - start)},
		content: content{picture: picture, sound: []span{{start, end}}},
	}
}

// timesOf are those at which an input is seen in any place.
func timesOf(p plan, i int) (all []span) {
	for _, show := range p.shows {
		if show.input == i {
			all = append(all, show.times...)
		}
	}
	slices.SortFunc(all, func(a, b span) int { return int(a.from - b.from) })
	return all
}

func TestPlanFollowsWhoIsThere(t *testing.T) {
	p := makePlan([]input{
		made("a", manifest.Camera, 0, 60*s),
		made("b", manifest.Camera, 10*s, 50*s),
		made("a", manifest.Screen, 20*s, 30*s),
	}, span{0, 60 * s}, 1280, 720)
	want := []struct {
		input int
		place place
		times []span
	}{
		{2, place{rect{0, 0, 1280, 720}, false}, []span{{20 * s, 30 * s}}},
		{0, place{rect{0, 0, 1280, 720}, false}, []span{{0, 10 * s}, {50 * s, 60 * s}}},
		{0, place{rect{0, 0, 636, 720}, false}, []span{{10 * s, 20 * s}, {30 * s, 50 * s}}},
		{0, place{rect{1008, 560, 256, 144}, true}, []span{{20 * s, 30 * s}}},
		{1, place{rect{644, 0, 636, 720}, false}, []span{{10 * s, 20 * s}, {30 * s, 50 * s}}},
		{1, place{rect{736, 560, 256, 144}, true}, []span{{20 * s, 30 * s}}},
	}
	if len(p.shows) != len(want) {
		t.Fatalf("%d shows: %v", len(p.shows), p.shows)
	}
	for n, w := range want {
		if got := p.shows[n]; got.input != w.input || got.place != w.place || !slices.Equal(got.times, w.times) {
			t.Errorf("show %d: %v, want %v", n, got, w)
		}
	}
	if len(p.voices) != 3 {
		t.Errorf("voices: %v", p.voices)
	}
}

func TestPlanOfAPart(t *testing.T) {
	p := makePlan([]input{made("a", manifest.Camera, 0, 60*s), made("b", manifest.Camera, 40*s, 50*s)}, span{10 * s, 20 * s}, 1280, 720)
	if len(p.shows) != 1 || !slices.Equal(p.shows[0].times, []span{{0, 10 * s}}) {
		t.Errorf("shows: %v", p.shows)
	}
	if !slices.Equal(p.voices, []voice{{0, span{10 * s, 20 * s}}}) {
		t.Errorf("voices: %v", p.voices)
	}
}

// TestNextFileOfAPerson: a person's next file takes the place of the one before, without a step in between.
func TestNextFileOfAPerson(t *testing.T) {
	p := makePlan([]input{
		made("a", manifest.Camera, 0, 10*s), made("b", manifest.Camera, 0, 30*s), made("a", manifest.Camera, 11*s, 30*s),
	}, span{0, 30 * s}, 1280, 720)
	for _, show := range p.shows {
		if show.place.w == 1280 {
			t.Errorf("the other camera fills the picture meanwhile: %v", show)
		}
	}
	if !slices.Equal(timesOf(p, 0), []span{{0, 10 * s}}) || !slices.Equal(timesOf(p, 2), []span{{11 * s, 30 * s}}) {
		t.Errorf("%v, %v", timesOf(p, 0), timesOf(p, 2))
	}
}

// TestPauses: a camera that is off leaves its place to the others, a screen on which nothing moves does not.
func TestPauses(t *testing.T) {
	pause := []span{{0, 10 * s}, {20 * s, 30 * s}}
	p := makePlan([]input{made("a", manifest.Camera, 0, 30*s, pause...)}, span{0, 30 * s}, 1280, 720)
	if got := timesOf(p, 0); !slices.Equal(got, []span{{0, 10*s + linger}, {20 * s, 30 * s}}) {
		t.Errorf("a camera is seen at %v", got)
	}
	for _, c := range []struct {
		screen bool
		want   []span
	}{
		{false, []span{{0, 4 * s}, {9 * s, 9 * s}}},
		{true, []span{{0, 9 * s}}},
	} {
		read, err := readPackets(strings.NewReader("video,0.000000,0.03\naudio,0.000000,0.02\nvideo,2.0,N/A\nvideo,N/A,N/A\nvideo,4.000000\n\nvideo,9.000000\naudio,29.0,0.02\naudio,60.0,0.02\n"), c.screen)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(read.picture, c.want) {
			t.Errorf("screen %v: pictures at %v", c.screen, read.picture)
		}
		if want := []span{{0, 29*s + 20*time.Millisecond}, {60 * s, 60*s + 20*time.Millisecond}}; !slices.Equal(read.sound, want) {
			t.Errorf("sound at %v", read.sound)
		}
	}
}
