package media

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// An hour of a call in virtual time: what a viewer, computing as browsers do,
// takes for the moments of capture of voice and picture is compared with the true
// ones.

// changing is how long a change of carriers may show: its first key frame takes
// longer than the pictures before, and nothing but its arrival is known yet.
const changing = int64(500e6)

// event is something that arrives at the server.
type event struct {
	at  int64
	run func(now int64)
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// estimator is how libwebrtc leads from RTP to NTP time: a line through the last
// 20 sender reports (modules/.../rtp_to_ntp_estimator).
type estimator struct {
	reports    [][2]float64 // ntp s, unwrapped rtp s
	rate       float64
	last       uint32
	unwrapped  int64
	began      bool
	slope, off float64
	invalid    int
}

func (e *estimator) unwrap(timestamp uint32) float64 {
	if !e.began {
		e.began, e.last, e.unwrapped = true, timestamp, int64(timestamp)
	}
	return float64(e.unwrapped+int64(int32(timestamp-e.last))) / e.rate
}

func (e *estimator) report(ntp float64, timestamp uint32) {
	r := e.unwrap(timestamp)
	for _, old := range e.reports {
		if old[0] == ntp || old[1] == r {
			return
		}
	}
	if n := len(e.reports); n > 0 && (ntp <= e.reports[n-1][0] || r <= e.reports[n-1][1] || r-e.reports[n-1][1] > 1<<25/e.rate) {
		if e.invalid++; e.invalid < 3 {
			return
		}
		e.reports = nil
	}
	e.invalid = 0
	e.unwrapped += int64(int32(timestamp - e.last))
	e.last = timestamp
	if len(e.reports) == 20 {
		e.reports = e.reports[1:]
	}
	e.reports = append(e.reports, [2]float64{ntp, r})
	var meanN, meanR, covariance, variance float64
	for _, p := range e.reports {
		meanN += p[0] / float64(len(e.reports))
		meanR += p[1] / float64(len(e.reports))
	}
	for _, p := range e.reports {
		covariance += (p[1] - meanR) * (p[0] - meanN)
		variance += (p[1] - meanR) * (p[1] - meanR)
	}
	if variance > 0 {
		e.slope = covariance / variance
		e.off = meanN - e.slope*meanR
	}
}

func (e *estimator) ntp(timestamp uint32) (float64, bool) {
	return e.slope*e.unwrap(timestamp) + e.off, len(e.reports) >= 2
}

// ear is a viewer's end of a feed.
type ear struct {
	feed      *Feed
	estimator estimator
	arrived   bool
	timestamp uint32
}

func (e *ear) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	e.arrived, e.timestamp = true, h.Timestamp
	return len(payload), nil
}

func (e *ear) Write(b []byte) (int, error) { return len(b), nil }

func newEar(t *testing.T, source *Source, kind webrtc.RTPCodecType, rate float64) *ear {
	port := newPort(PortOptions{})
	port.SetConnected(true)
	e := &ear{feed: port.NewFeed(kind, "camera", "track"), estimator: estimator{rate: rate}}
	codecs := opusCodecs
	if kind == video {
		codecs = vp8Codecs
	}
	if _, err := e.feed.Bind(&senderContext{ssrc: 5, codecs: codecs, writer: e}); err != nil {
		t.Fatal(err)
	}
	e.feed.SetSource(source)
	return e
}

// crystal is one stream as its publisher makes it.
type crystal struct {
	upstream *Upstream
	rate     float64 // ticks per true second
	start    uint32
	sequence uint16
	packets  uint32
	arrived  int64 // of the last packet: none overtakes another
}

func (c *crystal) timestamp(at int64) uint32 { return c.start + uint32(int64(float64(at)/1e9*c.rate)) }

type lipSync struct {
	t          *testing.T
	rnd        *rand.Rand
	queue      events
	wrong, ppm float64 // of the publisher's NTP clock: s, and its drift
	publisher  *Publisher
	port       *Port
	ssrc       uint32
	base       int64 // delay of the network
	// By kind, audio first.
	sources    [2]*Source
	ears       [2]*ear
	streams    [2]*crystal
	drift      [2]float64 // of the RTP clocks
	wrongBy    [2]float64 // where the viewer sees the last packet, against the truth
	seen       [2]bool
	changed    int64 // when a carrier last was changed
	taps       [2]*tapEar
	tapWorst   [2]float64
	tapWorstAt [2]int64
	worst      [2]float64 // [1]: while the first packets of a new carrier arrive
	worstAt    [2]int64
}

func (l *lipSync) delay() int64 { return l.base + int64(l.rnd.ExpFloat64()*15e6) }

func (l *lipSync) after(at int64, run func(now int64)) { heap.Push(&l.queue, event{at, run}) }

// carry makes a new stream, on the present port, the carrier of a source.
func (l *lipSync) carry(kind int) {
	l.ssrc++
	what, codecs, rate := audio, opusCodecs, 48000.0
	if kind == 1 {
		what, codecs, rate = video, vp8Codecs, 90000
	}
	u := newUpstream(l.port, remote{kind: what, ssrc: webrtc.SSRC(l.ssrc)}, "", webrtc.RTPParameters{Codecs: codecs})
	upstreams := append([]*Upstream{u}, *l.port.upstreams.Load()...)
	l.port.upstreams.Store(&upstreams)
	l.streams[kind] = &crystal{upstream: u, rate: rate * (1 + l.drift[kind]*1e-6), start: l.rnd.Uint32()}
	l.sources[kind].SetCarrier(u)
}

// capture sends what was captured now. extra is delay besides the network's.
func (l *lipSync) capture(kind int, now, extra int64) {
	c, source, e := l.streams[kind], l.sources[kind], l.ears[kind]
	payload := []byte{0x78, 1, 2}
	if kind == 1 {
		payload = []byte{0x10, 0x11, 0}
		if c.packets%300 == 0 {
			payload = []byte{0x10, 0x10, 0, 0, 0x9d, 1, 0x2a}
		}
	}
	payload = binary.BigEndian.AppendUint64(payload, uint64(now))
	number, timestamp := c.sequence, c.timestamp(now)
	c.sequence++
	c.packets++
	pt := []uint8{111, 96}[kind]
	c.arrived = max(now+extra+l.delay(), c.arrived)
	l.after(c.arrived, func(arrival int64) {
		e.arrived = false
		c.upstream.received(&passage{in: packet{payloadType: pt, sequence: number, timestamp: timestamp, ssrc: c.upstream.ssrc, payload: payload, marker: true}}, false, arrival)
		l.takeReports(arrival)
		l.listen(arrival)
		if source == nil || !e.arrived {
			return
		}
		if at, ok := e.estimator.ntp(e.timestamp); ok {
			l.wrongBy[kind] = at - float64(ntpEpoch+now)/1e9
			l.seen[kind] = true
			when := 0
			if now-l.changed < changing {
				when = 1
			}
			if apart := l.wrongBy[0] - l.wrongBy[1]; l.seen[0] && l.seen[1] && max(apart, -apart) > l.worst[when] {
				l.worst[when], l.worstAt[when] = max(apart, -apart), now
			}
		}
	})
}

// report sends a sender report about a stream.
func (l *lipSync) report(kind int, now int64) {
	c := l.streams[kind]
	seconds := float64(now) / 1e9
	ntp := ntpEpoch + int64((seconds*(1+l.ppm*1e-6)+l.wrong)*1e9)
	sr := &rtcp.SenderReport{SSRC: c.upstream.ssrc, NTPTime: nanosecondsToNTP(ntp), RTPTime: c.timestamp(now)}
	delay := l.delay()
	if l.rnd.IntN(50) == 0 {
		delay += 2e9
	}
	l.after(now+delay, func(arrival int64) {
		c.upstream.reported(sr, arrival)
		l.takeReports(arrival)
	})
}

func (l *lipSync) takeReports(now int64) {
	for _, e := range l.ears {
		if sr, _, ok := e.feed.takeReport(now); ok {
			e.estimator.report(float64(ntpToNanoseconds(sr.NTPTime))/1e9, sr.RTPTime)
		}
	}
}

func (l *lipSync) until(now int64) {
	for len(l.queue) > 0 && l.queue[0].at <= now {
		e := heap.Pop(&l.queue).(event)
		e.run(e.at)
	}
}

func TestVoiceAndPictureStayTogether(t *testing.T) {
	cases := []struct{ ntp, audio, video float64 }{
		{100, -100, 100}, {0, 0, 0}, {100, 100, 100}, {-100, 100, -50}, {-100, 0, 100},
	}
	if raceEnabled {
		cases = cases[:1] // an hour of packets takes ten times as long then
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("ppm %v, %v, %v", c.ntp, c.audio, c.video), func(t *testing.T) {
			publisher := new(Publisher)
			l := &lipSync{
				t: t, rnd: rand.New(rand.NewPCG(7, 11)), wrong: -3600 * 37, ppm: c.ntp, drift: [2]float64{c.audio, c.video},
				publisher: publisher, port: newPort(PortOptions{Publisher: publisher}), base: 20e6, ssrc: 100,
			}
			for kind, what := range []webrtc.RTPCodecType{audio, video} {
				l.sources[kind] = NewSource(SourceOptions{Kind: what})
				l.taps[kind] = newTapEar(t, l.sources[kind])
				l.ears[kind] = newEar(t, l.sources[kind], what, []float64{48000, 90000}[kind])
				l.carry(kind)
			}
			l.hour()
			t.Logf("at most %.1f ms apart, at %v; %.1f ms at %v, just after a carrier was changed",
				l.worst[0]*1e3, time.Duration(l.worstAt[0]), l.worst[1]*1e3, time.Duration(l.worstAt[1]))
			l.judgeTaps()
			if l.worst[0] > 0.040 || l.worst[1] > 0.120 {
				t.Error("voice and picture are too far apart")
			}
		})
	}
}

// hour is what happens.
func (l *lipSync) hour() {
	const tick = int64(20e6)
	reportAt := [2]int64{2_500_000_000, 500_000_000}
	var slow [2]int64 // extra delay of a new carrier's first packets, until
	for now := tick; now < int64(time.Hour); now += tick {
		minute := float64(now) / 60e9
		in := func(from, to float64) bool { return minute >= from && minute < to }
		at := func(m float64) bool { return minute >= m && minute < m+float64(tick)/60e9 }
		switch {
		case in(20, 21): // a full queue
			l.base = 400e6
		case minute >= 45: // another network
			l.base = 90e6
		default:
			l.base = 20e6
		}
		change := func(kind int) {
			l.changed = now
			l.carry(kind)
			slow[kind] = now + 200e6
			reportAt[kind] = now + []int64{2_500_000_000, 500_000_000}[kind]
		}
		switch {
		case at(30): // the leg that carried both goes
			l.port = newPort(PortOptions{Publisher: l.publisher})
			change(0)
			change(1)
		case at(35): // only the picture moves
			l.port = newPort(PortOptions{Publisher: l.publisher})
			change(1)
		case at(38): // and the voice follows it
			change(0)
		case at(50), at(50.05), at(55):
			l.port = newPort(PortOptions{Publisher: l.publisher})
			change(1)
			change(0)
		}
		muted, dark := in(12, 20.5) || in(41, 43), in(25, 28)
		quiet := in(5, 10) || in(35, 37) || in(55, 58) // DTX: a packet now and then
		if !muted && (!quiet || now%(20*tick) == 0) {
			l.capture(0, now, 0)
		}
		if !dark && now%(2*tick) == 0 {
			extra := int64(0)
			if now < slow[1] {
				extra = 60e6 // a key frame is big
			}
			l.capture(1, now, extra)
		}
		for kind, off := range []bool{muted, dark} {
			if now >= reportAt[kind] {
				if !off {
					l.report(kind, now)
				}
				reportAt[kind] = now + []int64{5e9, 1e9}[kind]
			}
		}
		l.until(now)
	}
}
