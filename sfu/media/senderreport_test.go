package media

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestNTPConversion(t *testing.T) {
	for _, ns := range []int64{0, 1, 1e9, 3_900_000_000_123_456_789, ntpEpoch} {
		back := ntpToNanoseconds(nanosecondsToNTP(ns))
		if d := back - ns; d > 0 || d < -1 {
			t.Errorf("%d became %d", ns, back)
		}
	}
	// 2026-11-22T12:00:00Z
	when := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	if got := nanosecondsToNTP(when.UnixNano()+2_208_988_800*1e9) >> 32; got != uint64(when.Unix()+2_208_988_800) {
		t.Errorf("seconds are %d", got)
	}
}

// TestLipSync runs an hour of a publisher's sender reports, whose clock is wrong
// and drifts, over a network with jitter that changes, and demands that audio and
// video as a viewer would align them are never more than 40 ms apart.
func TestLipSync(t *testing.T) {
	const ppm = 80 // drift of the publisher's clock
	rnd := rand.New(rand.NewPCG(1, 2))
	var offset ntpOffset
	wrong := int64(-37 * time.Hour)
	publisher := func(now int64) int64 { return ntpEpoch + now + now/1_000_000*ppm + wrong }
	delay := func(now int64) int64 {
		base := int64(20e6)
		switch minute := now / int64(time.Minute); {
		case minute >= 20 && minute < 21: // a busy network
			base = int64(400e6)
		case minute >= 40: // another network
			base = int64(90e6)
		}
		return base + int64(rnd.ExpFloat64()*15e6)
	}
	// error is by how much a stream's last report moves its media, against the
	// publisher's clock. Audio and video are apart by the difference.
	var audioError, videoError int64
	haveAudio, haveVideo := false, false
	worst := int64(0)
	for now := int64(time.Second); now < int64(time.Hour); now += int64(time.Second) {
		sent := now + rnd.Int64N(1e8)
		videoError = offset.observe(publisher(sent), sent+delay(sent)) - publisher(sent)
		haveVideo = true
		if now%int64(5*time.Second) == 0 {
			sent += int64(2e8)
			audioError = offset.observe(publisher(sent), sent+delay(sent)) - publisher(sent)
			haveAudio = true
		}
		if haveAudio && haveVideo {
			worst = max(worst, abs(audioError-videoError))
		}
	}
	if worst > int64(40e6) {
		t.Errorf("audio and video were %v apart", time.Duration(worst))
	}
	t.Logf("at most %v apart", time.Duration(worst))
	now := int64(time.Hour)
	at := offset.observe(publisher(now), now+int64(90e6))
	if d := at - (ntpEpoch + now); d < 0 || d > int64(300e6) {
		t.Errorf("after an hour the publisher's clock is mapped %v away from the server's", time.Duration(d))
	}
}

func TestNTPOffsetFollowsAClockThatWasSet(t *testing.T) {
	for _, set := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		var offset ntpOffset
		for s := int64(0); s < 60; s++ {
			now := s*1e9 + 1
			shift := int64(0)
			if s >= 30 {
				shift = int64(set)
			}
			got := offset.observe(ntpEpoch+now-int64(20e6)+shift, now)
			if s >= 30 && s < 30+offsetLate {
				continue // not yet believed
			}
			if d := abs(got - (ntpEpoch + now)); d > int64(100e6) {
				t.Fatalf("set by %v: at %d s the report is mapped %v away", set, s, time.Duration(d))
			}
		}
	}
}

func TestNTPOffsetDoesNotBelieveALateReport(t *testing.T) {
	var offset ntpOffset
	for s := int64(0); s < 60; s++ {
		now := s * 1e9
		delay := int64(20e6)
		if s%20 == 10 {
			delay = int64(3e9)
		}
		got := offset.observe(ntpEpoch+now, now+delay)
		if d := abs(got - (ntpEpoch + now + int64(20e6))); d > int64(10e6) {
			t.Fatalf("at %d s the report is mapped %v away", s, time.Duration(d))
		}
	}
}
