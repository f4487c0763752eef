package clapper

import (
	"context"
	"fmt"
	"time"
)

// File is a media file with claps in it, at each full second of its own times where nothing else is said.
type File struct {
	Options
	Start, End time.Duration    // of what is in it: its times need not begin at 0
	Late       time.Duration    // by how much a flash comes after its beep
	Shift      time.Duration    // of all claps
	Gap        [2]time.Duration // times without any sound packets, in multiples of 20 ms from Start
	Mute       bool             // it has no track of sound
	Blind      bool             // it has no track of pictures
}

// Write makes the file with ffmpeg; WebM or Matroska by the name.
func (f File) Write(ctx context.Context, name string) error {
	o := f.Options.withDefaults()
	args := []string{"-nostdin", "-v", "error", "-y"}
	length := (f.End - f.Start).Seconds()
	// Claps where the time, less the shift, is a full second. The remainder of a negative number would be negative.
	phase := func(shift time.Duration) string {
		return fmt.Sprintf("lt(mod(t+1000+%.6f,1),%g)", (f.Start - shift).Seconds(), Length.Seconds()-0.001)
	}
	if !f.Blind {
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("color=c=%s:s=%dx%d:r=%d:d=%.6f,drawbox=c=white:t=fill:enable='%s'%s,setpts=PTS+%.6f/TB",
			o.Color, o.Width, o.Height, FrameRate, length, phase(f.Shift+f.Late), o.noise(), f.Start.Seconds()))
	}
	if !f.Mute {
		graph := fmt.Sprintf("aevalsrc='0.5*sin(2*PI*%d*t)*%s':s=48000:c=mono:d=%.6f:nb_samples=960", o.Tone, phase(f.Shift), length)
		if f.Gap[1] > f.Gap[0] {
			graph += fmt.Sprintf(",aselect='not(gte(t,%.6f)*lt(t,%.6f))'", (f.Gap[0]-f.Start).Seconds()-0.001, (f.Gap[1]-f.Start).Seconds()-0.001)
		}
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("%s,asetpts=PTS+%.6f/TB", graph, f.Start.Seconds()))
	}
	args = append(args, "-copyts", "-avoid_negative_ts", "disabled", "-fps_mode", "passthrough")
	if !f.Blind {
		args = append(args, "-map", "0:v", "-c:v", "libvpx", "-b:v", "500k", "-g", "150", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-auto-alt-ref", "0")
	}
	if !f.Mute {
		input := 1
		if f.Blind {
			input = 0
		}
		args = append(args, "-map", fmt.Sprintf("%d:a", input), "-c:a", "libopus", "-b:a", "32k")
	}
	_, err := run(ctx, "ffmpeg", append(args, name)...)
	return err
}
