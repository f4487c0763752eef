package media

import (
	"bytes"
	"slices"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

var redCodecs = []webrtc.RTPCodecParameters{
	{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: mimeTypeRED, ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111"}, PayloadType: 63},
	opusCodecs[0],
}

// redPayload is a RED payload with a copy of the packet before.
func redPayload(payloadType uint8, copied, primary []byte) []byte {
	const offset = 960
	b := []byte{redMore | payloadType, offset >> 6, offset<<2&0xff | byte(len(copied)>>8), byte(len(copied)), payloadType}
	return append(append(b, copied...), primary...)
}

func TestParseRED(t *testing.T) {
	two := redPayload(111, []byte("copy"), []byte("primary"))
	for _, c := range []struct {
		name    string
		payload []byte
		primary string
		headers int
		uniform bool
		ok      bool
	}{
		{"primary alone", []byte{111, 'a', 'b'}, "ab", 1, true, true},
		{"one copy", two, "primary", 2, true, true},
		{"two copies", []byte{239, 0, 0, 1, 239, 0, 0, 2, 111, 'x', 'y', 'y', 'p'}, "p", 3, true, true},
		{"an empty copy", []byte{239, 0, 0, 0, 111, 'p'}, "p", 2, true, true},
		{"a copy of another format", []byte{128 | 13, 0, 0, 1, 111, 'x', 'p'}, "p", 2, false, true},
		{"an empty primary", []byte{239, 0, 0, 1, 111, 'x'}, "", 2, true, true},
		{"nothing", nil, "", 0, false, false},
		{"half a header", []byte{239, 0, 0}, "", 0, false, false},
		{"no primary header", []byte{239, 0, 0, 1}, "", 0, false, false},
		{"a copy longer than the packet", []byte{239, 0, 0, 9, 111, 'x'}, "", 0, false, false},
		{"headers without end", bytes.Repeat([]byte{239, 0, 0, 0}, 100), "", 0, false, false},
	} {
		primary, payloadType, r, uniform, ok := parseRED(c.payload)
		if ok != c.ok || string(primary) != c.primary || r.headers != c.headers || uniform != c.uniform || ok && payloadType != 111 {
			t.Errorf("%s: %q of type %d, %d headers, uniform %v, ok %v", c.name, primary, payloadType, r.headers, uniform, ok)
		}
	}
}

func FuzzParseRED(f *testing.F) {
	f.Add(redPayload(111, []byte("copy"), []byte("primary")))
	f.Add([]byte{111})
	f.Add(bytes.Repeat([]byte{0xff}, 70))
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := slices.Clone(payload)
		primary, payloadType, r, uniform, ok := parseRED(payload)
		if !bytes.Equal(payload, before) {
			t.Fatal("parsing has changed the payload")
		}
		if !ok {
			if primary != nil || r.payload != nil {
				t.Fatal("a payload that failed has blocks")
			}
			return
		}
		size := len(primary)
		if !bytes.HasSuffix(payload, primary) {
			t.Fatal("the primary block is not the last one")
		}
		named := r.named(12)
		again, renamed, _, same, ok := parseRED(named)
		if !ok || renamed != 12 || !same || len(again) != size || &named[0] != &payload[0] {
			t.Fatal("the renamed payload does not parse as before")
		}
		if uniform {
			if !bytes.Equal(r.named(payloadType), before) {
				t.Fatal("renaming there and back changes more than payload types")
			}
		}
	})
}

// listener is a viewer's feed with formats of its own.
func listener(t testing.TB, codecs []webrtc.RTPCodecParameters, keep bool) (*Feed, *sink) {
	t.Helper()
	port := newPort(PortOptions{})
	port.SetConnected(true)
	f, s := port.NewFeed(audio, "camera", "track"), &sink{keep: keep}
	codec, err := f.Bind(&senderContext{ssrc: 5, codecs: codecs, writer: s})
	if err != nil {
		t.Fatal(err)
	}
	if isRED(codec.RTPCodecCapability) {
		t.Error("Pion was told that the feed sends RED")
	}
	return f, s
}

func withTypes(red, opus webrtc.PayloadType) []webrtc.RTPCodecParameters {
	codecs := slices.Clone(redCodecs)
	codecs[0].PayloadType, codecs[1].PayloadType = red, opus
	return codecs
}

// redUpstream is an upstream of a publisher with RED.
func redUpstream(t testing.TB) (*Port, *binding) {
	t.Helper()
	port, to := newTestUpstream(t, audio)
	u := newUpstream(port, remote{kind: audio, ssrc: 1000}, "0", webrtc.RTPParameters{Codecs: redCodecs, HeaderExtensions: extensionsUp})
	if got := u.Codec().MimeType; got != webrtc.MimeTypeOpus {
		t.Fatalf("the stream is said to be %s", got)
	}
	port.upstreams.Store(&[]*Upstream{u})
	to.upstream = u
	return port, to
}

func TestREDReachesEachViewerInItsOwnTerms(t *testing.T) {
	port, to := redUpstream(t)
	source := NewSource(SourceOptions{Kind: audio})
	source.SetCarrier(to.upstream)
	var sinks []*sink
	var feeds []*Feed
	for _, codecs := range [][]webrtc.RTPCodecParameters{withTypes(63, 111), withTypes(110, 109), opusCodecs, withTypes(63, 111)} {
		f, s := listener(t, codecs, true)
		f.SetSource(source)
		feeds, sinks = append(feeds, f), append(sinks, s)
	}
	send := func(number uint16, payloadType uint8, payload []byte) {
		port.received(rtpBytes(t, rtp.Header{PayloadType: payloadType, SSRC: 1000, SequenceNumber: number, Timestamp: 960 * uint32(number)}, number, 0, payload), to)
	}
	send(1, 63, redPayload(111, []byte("copy"), []byte("primary")))
	send(2, 111, []byte("plain"))                                 // as a browser sends when there is nothing to repeat
	send(3, 63, []byte{128 | 13, 0, 0, 1, 111, 'x', 'p'})         // a copy that is no Opus
	send(4, 63, []byte{239, 0, 0, 9, 111})                        // malformed
	send(5, 63, redPayload(63, []byte("red"), []byte("in red")))  // nonsense
	send(6, 63, redPayload(111, []byte("again"), []byte("last"))) //
	type got struct {
		payloadType uint8
		payload     string
	}
	inRED := func(red, opus uint8) []got {
		return []got{
			{red, string(redPayload(opus, []byte("copy"), []byte("primary")))}, {opus, "plain"}, {opus, "p"},
			{red, string(redPayload(opus, []byte("again"), []byte("last")))},
		}
	}
	for i, want := range [][]got{
		inRED(63, 111), inRED(110, 109), {{111, "primary"}, {111, "plain"}, {111, "p"}, {111, "last"}}, inRED(63, 111),
	} {
		var have []got
		for _, p := range sinks[i].packets {
			have = append(have, got{p.PayloadType, string(p.Payload)})
		}
		if !slices.Equal(have, want) {
			t.Errorf("viewer %d got %q, want %q", i, have, want)
		}
		numbers := sinks[i].packets
		for k := 1; k < len(numbers); k++ {
			// One format follows another without a break: the feed does not begin anew.
			if step := numbers[k].SequenceNumber - numbers[k-1].SequenceNumber; step != []uint16{0, 1, 1, 3}[k] ||
				numbers[k].Timestamp-numbers[k-1].Timestamp != 960*uint32(step) {
				t.Errorf("viewer %d: packet %d is %d numbers after the one before", i, k, step)
			}
		}
	}
	if stats := to.upstream.Stats(); stats.Malformed != 2 || stats.Redundant != 5 || stats.Packets != 4 {
		t.Errorf("upstream: %+v", stats)
	}
	if stats := feeds[2].Stats(); stats.Redundant != 0 || stats.Unsupported != 0 || stats.Packets != 4 {
		t.Errorf("viewer without RED: %+v", stats)
	}
	if stats := feeds[1].Stats(); stats.Redundant != 2 {
		t.Errorf("viewer with RED: %+v", stats)
	}
}

func TestREDForwardingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	port, to := redUpstream(t)
	source := NewSource(SourceOptions{Kind: audio})
	source.SetCarrier(to.upstream)
	var last *sink
	for _, codecs := range [][]webrtc.RTPCodecParameters{withTypes(63, 111), opusCodecs, withTypes(110, 109)} {
		f, s := listener(t, codecs, false)
		f.SetSource(source)
		last = s
	}
	payload := redPayload(111, make([]byte, 80), make([]byte, 80))
	raw := rtpBytes(t, rtp.Header{PayloadType: 63, SSRC: 1000}, 0, 40, payload)
	inside := raw[len(raw)-len(payload):]
	sequence := uint16(0)
	deliver := func() {
		sequence++
		raw[2], raw[3] = byte(sequence>>8), byte(sequence)
		raw[17], raw[18] = byte(sequence>>8), byte(sequence)
		inside[0], inside[4] = redMore|111, 111 // the last viewer's numbers stand there
		port.received(raw, to)
	}
	for range 3000 {
		deliver()
	}
	before := last.count.Load()
	if n := testing.AllocsPerRun(5000, deliver); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
	if got := last.count.Load() - before; got < 5000 {
		t.Errorf("only %d packets were written", got)
	}
}
