package compose

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	frameRate  = 30
	background = "0x15181c"
	soundRate  = 48000 // samples/s

	preroll = 100 * time.Millisecond // which a decoder of Opus should have before what is heard (RFC 7845, section 4.6)
)

// command is what ffmpeg is told: its inputs, and the filter graph that makes [picture] and [sound] of them.
type command struct {
	inputs []string
	graph  strings.Builder
	count  int // of inputs
}

// read adds an input of one kind of media, from a point before a time from which it can be decoded. Sound and
// picture of a file are read apart, so that neither waits in memory while the other pauses.
func (c *command) read(in input, from time.Duration, without string) int {
	// ffmpeg seeks by the picture where there is one, and would leave out the sound before its beginning.
	first := in.sound
	if len(in.picture) > 0 {
		first = in.picture
	}
	if from -= preroll; len(first) > 0 && from > first[0].from {
		c.inputs = append(c.inputs, "-noaccurate_seek", "-seek_timestamp", "1", "-ss", secs(from))
	}
	c.inputs = append(c.inputs, "-copyts", "-reinit_filter", "0", "-threads", "2", without, "-f", "matroska", "-i", local(in.path))
	c.count++
	return c.count - 1
}

// command makes it of a plan for a picture of w by h.
func (p plan) command(inputs []input, w, h int) *command {
	c := new(command)
	fmt.Fprintf(&c.graph, "color=c=%s:s=%dx%d:r=%d:d=%s,format=yuv420p[canvas0]", background, w, h, frameRate, secs(p.length()))
	p.pictures(c, inputs)
	fmt.Fprintf(&c.graph, ";[canvas%d]null[picture]", len(p.shows))
	p.sounds(c, inputs)
	return c
}

// pictures lays all that is shown over each other.
func (p plan) pictures(c *command, inputs []input) {
	for begin, end := 0, 0; begin < len(p.shows); begin = end {
		one := p.shows[begin].input
		for end < len(p.shows) && p.shows[end].input == one {
			end++
		}
		// Of one input as many copies are made as it has places. Half a frame is taken off the times, so that each
		// picture is in that frame of the composed one which is nearest.
		fmt.Fprintf(&c.graph, ";[%d:v:0]setpts=PTS-%s/TB,split=%d", c.read(inputs[one], p.window.from, "-an"),
			secs(p.window.from+time.Second/frameRate/2), end-begin)
		for n := begin; n < end; n++ {
			fmt.Fprintf(&c.graph, "[part%d]", n)
		}
	}
	for n, s := range p.shows {
		// A picture whose size changes is fitted anew (eval=frame). It is made what overlay takes in the same step: the one that ffmpeg
		// would put between them keeps to the first size.
		fmt.Fprintf(&c.graph, ";[part%d]scale=w=%d:h=%d:force_original_aspect_ratio=decrease:force_divisible_by=2:eval=frame,format=yuva420p,setsar=1[fit%d]",
			n, s.place.w, s.place.h, n)
		x, y := fmt.Sprintf("%d+(%d-w)/2", s.place.x, s.place.w), fmt.Sprintf("%d+(%d-h)/2", s.place.y, s.place.h)
		if s.place.corner {
			x, y = fmt.Sprintf("%d-w", s.place.x+s.place.w), fmt.Sprintf("%d-h", s.place.y+s.place.h)
		}
		fmt.Fprintf(&c.graph, ";[canvas%d][fit%d]overlay=x='%s':y='%s':eval=frame:eof_action=repeat:enable='%s'[canvas%d]", n, n, x, y, during(s.times), n+1)
	}
}

// sounds mixes all that is heard.
func (p plan) sounds(c *command, inputs []input) {
	for n, v := range p.voices {
		// What is missing is filled with silence from 20 ms on, the length of a packet; less is the rounding of the times in files.
		fmt.Fprintf(&c.graph, ";[%d:a:0]atrim=start=%s:end=%s,aresample=%d:async=1:min_hard_comp=0.020:first_pts=%d,"+
			"aformat=sample_fmts=fltp:channel_layouts=stereo,asetpts=N/SR/TB,adelay=delays=%dS:all=1[voice%d]",
			c.read(inputs[v.input], v.from, "-vn"), secs(v.from), secs(v.to), soundRate, samples(v.from), samples(v.from-p.window.from), n)
	}
	c.graph.WriteByte(';')
	for n := range p.voices {
		fmt.Fprintf(&c.graph, "[voice%d]", n)
	}
	switch len(p.voices) {
	case 0:
		fmt.Fprintf(&c.graph, "anullsrc=r=%d:cl=stereo,", soundRate)
	case 1:
	default:
		fmt.Fprintf(&c.graph, "amix=inputs=%d:duration=longest:dropout_transition=0:normalize=0,alimiter=limit=0.95:level=0,", len(p.voices))
	}
	fmt.Fprintf(&c.graph, "apad,atrim=end=%s[sound]", secs(p.length()))
}

// during is an expression of ffmpeg's for times.
func during(times []span) string {
	var terms []string
	for _, t := range times {
		terms = append(terms, fmt.Sprintf("gte(t,%s)*lt(t,%s)", secs(t.from), secs(t.to)))
	}
	return strings.Join(terms, "+")
}

func secs(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

func samples(d time.Duration) int64 { return int64(d) * soundRate / int64(time.Second) }
