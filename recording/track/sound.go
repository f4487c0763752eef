package track

import (
	"encoding/binary"
	"strings"
	"time"

	"skillsage/recording/frames"
	"skillsage/recording/matroska"
	"skillsage/sfu/media"
)

// The stream of sound in a file has no holes and no overlaps. Chromium, for one, plays packets
// one after the other whatever their timestamps say: after a hole all sound would
// be early, and where the publisher's sound card is not exact, more and more so.
// What is missing is silence that is written, and what the clocks differ by is put in or
// left out, preferably where nobody hears it.
const (
	maxShift   = 20 * time.Millisecond // between a packet's time and where it is in the file
	quietShift = 5 * time.Millisecond  // the same where it is quiet
	quiet      = 50                    // -dBov, and below
)

// soundTrack keeps the sound of a file without holes.
type soundTrack struct {
	started bool
	next    time.Duration // where what has been written ends
}

// write puts a packet of Opus where it belongs.
func (s *soundTrack) write(at time.Duration, packet []byte, level int, put func(time.Duration, []byte)) {
	if !s.started {
		s.started, s.next = true, at
	}
	shift, length := maxShift, frames.OpusDuration(packet)
	if level >= quiet {
		shift = quietShift
	}
	switch late := at - s.next; {
	case late < -max(shift, length/2): // without it the time is met better
		return
	case late >= shift:
		s.fill(at, put)
	}
	put(s.next, packet)
	s.next += length
}

// fill puts silence up to a time.
func (s *soundTrack) fill(until time.Duration, put func(time.Duration, []byte)) {
	if !s.started {
		return
	}
	for {
		packet := silence(until - s.next)
		if packet == nil {
			return
		}
		put(s.next, packet)
		s.next += frames.OpusDuration(packet)
	}
}

// silence is a packet of Opus of at most a duration; nil if that is shorter than any. Each of its frames
// is one of CELT at full bandwidth that says nothing but that it is silent (RFC 6716 sections 3.1 and 4.3).
func silence(atMost time.Duration) []byte {
	const mono, several = 28 << 3, 3
	for size := 3; size >= 0; size-- { // frames of 20, 10, 5 and 2.5 ms
		length := 2500 * time.Microsecond << size
		count := min(atMost/length, 120*time.Millisecond/length, 6)
		if count < 1 {
			continue
		}
		toc := byte(mono | size<<3)
		if count == 1 {
			return []byte{toc, 0xff, 0xfe}
		}
		packet := []byte{toc | several, byte(count)}
		for range count {
			packet = append(packet, 0xff, 0xfe)
		}
		return packet
	}
	return nil
}

const (
	opusRate    = 48000 // Hz
	opusPreSkip = 312   // samples: what encoders of browsers look ahead
)

// opusTrack describes a track of Opus (RFC 7845 section 5.1, and Matroska's mapping of Opus).
func opusTrack(codec media.Codec, packet []byte) matroska.Track {
	const stereo = 0x04 // of the first byte of a packet
	channels := 1
	if packet[0]&stereo != 0 {
		channels = 2
	}
	for _, parameter := range strings.Split(strings.ToLower(codec.FMTP), ";") {
		switch strings.TrimSpace(parameter) {
		case "stereo=1", "sprop-stereo=1":
			channels = 2
		}
	}
	private := append([]byte("OpusHead"), 1, byte(channels))
	private = binary.LittleEndian.AppendUint16(private, opusPreSkip)
	private = binary.LittleEndian.AppendUint32(private, opusRate)
	private = append(private, 0, 0, 0) // gain, mapping family
	return matroska.Track{
		Codec:    matroska.Opus,
		Private:  private,
		Channels: channels,
		Delay:    opusPreSkip * time.Second / opusRate,
		PreRoll:  80 * time.Millisecond,
	}
}
