package media

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// asPion reads one packet in place and makes of it what Pion would have. known is false for what is not read at all.
func asPion(raw []byte) (p rtcp.Packet, ok, known bool) {
	switch format := raw[0] & rtcpCount; rtcp.PacketType(raw[1]) {
	case rtcp.TypeSenderReport:
		sr, blocks, ok := readSenderReport(raw)
		sr.Reports = receptionReports(blocks)
		return &sr, ok, true
	case rtcp.TypeReceiverReport:
		blocks, ok := reportBlocks(raw, receiverReportSize)
		return &rtcp.ReceiverReport{Reports: receptionReports(blocks)}, ok, true
	case rtcp.TypeTransportSpecificFeedback:
		if format == rtcp.FormatTLN {
			media, pairs, ok := readNACK(raw)
			nack := &rtcp.TransportLayerNack{MediaSSRC: media}
			for ; ok && len(pairs) > 0; pairs = pairs[nackPairSize:] {
				nack.Nacks = append(nack.Nacks, rtcp.NackPair{
					PacketID:    uint16(pairs[0])<<8 | uint16(pairs[1]),
					LostPackets: rtcp.PacketBitmap(pairs[2])<<8 | rtcp.PacketBitmap(pairs[3]),
				})
			}
			return nack, ok, true
		}
	case rtcp.TypePayloadSpecificFeedback:
		switch format {
		case rtcp.FormatPLI:
			media, _, ok := readFeedback(raw)
			return &rtcp.PictureLossIndication{MediaSSRC: media}, ok, true
		case rtcp.FormatFIR:
			entries, ok := readFIR(raw)
			fir := &rtcp.FullIntraRequest{}
			for ; ok && len(entries) > 0; entries = entries[firEntrySize:] {
				ssrc := uint32(entries[0])<<24 | uint32(entries[1])<<16 | uint32(entries[2])<<8 | uint32(entries[3])
				fir.FIR = append(fir.FIR, rtcp.FIREntry{SSRC: ssrc, SequenceNumber: entries[4]})
			}
			return fir, ok, true
		case rtcp.FormatREMB:
			bitrate, ok := readREMB(raw)
			return &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: float32(bitrate)}, ok, true
		}
	}
	return nil, false, false
}

func receptionReports(blocks []byte) (reports []rtcp.ReceptionReport) {
	for ; len(blocks) > 0; blocks = blocks[receptionReportSize:] {
		reports = append(reports, readReceptionReport(blocks))
	}
	return reports
}

// checkAgainstPion reads one packet in place and by Pion, which must refuse and understand the same. It reports
// whether they understood it.
func checkAgainstPion(t *testing.T, raw []byte) bool {
	t.Helper()
	got, ok, known := asPion(raw)
	if !known {
		return false
	}
	packets, err := rtcp.Unmarshal(raw)
	if ok != (err == nil) {
		t.Fatalf("%x: read %t, Pion says %v", raw, ok, err)
	}
	if !ok {
		return false
	}
	switch want := packets[0].(type) { // what is not read
	case *rtcp.SenderReport:
		want.ProfileExtensions = nil
	case *rtcp.ReceiverReport:
		want.SSRC, want.ProfileExtensions = 0, nil
	case *rtcp.TransportLayerNack:
		want.SenderSSRC = 0
	case *rtcp.PictureLossIndication:
		want.SenderSSRC = 0
	case *rtcp.FullIntraRequest:
		want.SenderSSRC, want.MediaSSRC = 0, 0
	case *rtcp.ReceiverEstimatedMaximumBitrate:
		want.SenderSSRC, want.SSRCs = 0, nil
		if raw[17]&3|raw[18]|raw[19] == 0 {
			want.Bitrate = 0 // Pion takes a mantissa of 0 for one of 2^23
		}
	}
	if !reflect.DeepEqual(got, packets[0]) {
		t.Fatalf("%x: read\n%+v, Pion\n%+v", raw, got, packets[0])
	}
	return true
}

func randomReceptionReport() rtcp.ReceptionReport {
	return rtcp.ReceptionReport{
		SSRC: rand.Uint32(), FractionLost: uint8(rand.Uint32()), TotalLost: rand.Uint32() >> 8,
		LastSequenceNumber: rand.Uint32(), Jitter: rand.Uint32(), LastSenderReport: rand.Uint32(), Delay: rand.Uint32(),
	}
}

func randomSenderReport() rtcp.SenderReport {
	return rtcp.SenderReport{
		SSRC: rand.Uint32(), NTPTime: rand.Uint64(), RTPTime: rand.Uint32(), PacketCount: rand.Uint32(), OctetCount: rand.Uint32(),
	}
}

// samplePackets are packets of all kinds that are read, with random contents.
func samplePackets() []rtcp.Packet {
	sr, rr := randomSenderReport(), rtcp.ReceiverReport{SSRC: rand.Uint32()}
	for range rand.IntN(32) {
		sr.Reports = append(sr.Reports, randomReceptionReport())
		rr.Reports = append(rr.Reports, randomReceptionReport())
	}
	nack := rtcp.TransportLayerNack{SenderSSRC: rand.Uint32(), MediaSSRC: rand.Uint32()}
	fir := rtcp.FullIntraRequest{SenderSSRC: rand.Uint32()}
	remb := rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: rand.Uint32(), Bitrate: 1 + rand.Float32()*float32(uint64(1)<<rand.IntN(64))}
	for range 1 + rand.IntN(20) {
		nack.Nacks = append(nack.Nacks, rtcp.NackPair{PacketID: uint16(rand.Uint32()), LostPackets: rtcp.PacketBitmap(rand.Uint32())})
		fir.FIR = append(fir.FIR, rtcp.FIREntry{SSRC: rand.Uint32(), SequenceNumber: uint8(rand.Uint32())})
		remb.SSRCs = append(remb.SSRCs, rand.Uint32())
	}
	extended := sr
	extended.ProfileExtensions = []byte{1, 2, 3, 4}
	return []rtcp.Packet{
		&sr, &extended, &rr, &nack, &fir, &remb, &rtcp.PictureLossIndication{SenderSSRC: rand.Uint32(), MediaSSRC: rand.Uint32()},
	}
}

// Whole packets and truncated ones, whatever their headers say.
func TestRTCPIsReadAsPionReadsIt(t *testing.T) {
	for range 200 {
		for _, p := range samplePackets() {
			raw := mustMarshal(t, p)
			if !checkAgainstPion(t, raw) {
				t.Fatalf("%+v was not understood", p)
			}
			for size := len(raw) - 4; size >= rtcpHeaderSize; size -= 4 {
				short := slices.Clip(raw[:size])
				short[2], short[3] = byte((size/4-1)>>8), byte(size/4-1)
				checkAgainstPion(t, short)
			}
		}
	}
}

func TestCompoundsAreCut(t *testing.T) {
	var compound []byte
	var want [][]byte
	for _, p := range samplePackets() {
		want = append(want, mustMarshal(t, p))
		compound = append(compound, want[len(want)-1]...)
	}
	for i, rest := 0, compound; len(rest) > 0; i++ {
		first, next, ok := nextRTCP(rest)
		if !ok || !bytes.Equal(first, want[i]) {
			t.Fatalf("packet %d is %x", i, first)
		}
		rest = next
	}
	for name, raw := range map[string][]byte{
		"nothing":        {},
		"half a header":  {0x80, 201, 0},
		"wrong version":  {0x40, 201, 0, 1, 0, 0, 0, 1},
		"longer than it": {0x80, 201, 0, 2, 0, 0, 0, 1},
	} {
		if _, _, ok := nextRTCP(raw); ok {
			t.Errorf("%s is taken", name)
		}
	}
}

// FuzzRTCPReaders: what is read in place is what Pion reads, and nothing beyond it.
func FuzzRTCPReaders(f *testing.F) {
	for _, p := range samplePackets() {
		raw, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for len(raw) > 0 {
			first, rest, ok := nextRTCP(raw)
			if !ok {
				return
			}
			checkAgainstPion(t, append(make([]byte, 0, len(first)), first...))
			raw = rest
		}
	})
}

// Each malformed packet of a compound counts, and the others are taken.
func TestMalformedRTCPIsCounted(t *testing.T) {
	f := newFeeding(t, video)
	port := f.feed.port
	for name, raw := range map[string][]byte{
		"no header":                         {0x80, 201},
		"another version":                   {0x00, 201, 0, 1, 0, 0, 0, 1},
		"longer than what came":             {0x80, 201, 0xff, 0xff, 0, 0, 0, 1},
		"sender report that is too short":   {0x80, 200, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"receiver report without its block": {0x81, 201, 0, 1, 0, 0, 0, 1},
		"receiver report without a sender":  {0x80, 201, 0, 0},
		"NACK of nothing":                   {0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5},
		"feedback of nothing":               {0x8f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5},
		"PLI without a source":              {0x81, 206, 0, 1, 0, 0, 0, 1},
		"FIR with half an entry":            {0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5},
		"REMB that is none":                 {0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 'R', 'E', 'M', 'A', 0, 0, 0, 1},
		"REMB without its SSRC":             {0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 'R', 'E', 'M', 'B', 1, 0, 0, 1},
		"REMB with padding":                 {0xaf, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 'R', 'E', 'M', 'B', 0, 0, 0, 1},
	} {
		errors, plis := port.Stats().RTCPErrors, f.feed.Stats().PLIs
		pli := mustMarshal(t, &rtcp.PictureLossIndication{MediaSSRC: 5})
		port.receivedRTCP(append(pli, raw...), 5)
		if n := port.Stats().RTCPErrors - errors; n != 1 {
			t.Errorf("%s: counted %d times", name, n)
		}
		if n := f.feed.Stats().PLIs - plis; n != 1 {
			t.Errorf("%s: of the packet before it came %d requests", name, n)
		}
	}
	if port.Stats().REMB != 0 {
		t.Error("a malformed estimate was taken")
	}
	errors := port.Stats().RTCPErrors
	var compound []byte
	for _, p := range []rtcp.Packet{
		&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 1}}}, &rtcp.Goodbye{Sources: []uint32{1}},
		&rtcp.ApplicationDefined{Name: "name"}, &rtcp.ExtendedReport{SenderSSRC: 1}, &rtcp.RapidResynchronizationRequest{},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6},
	} {
		compound = append(compound, mustMarshal(t, p)...)
	}
	port.receivedRTCP(compound, anySSRC)
	if s := port.Stats(); s.RTCPErrors != errors || s.REMB != 1e6 {
		t.Errorf("behind what is of no use: %+v", s)
	}
}

func TestRTCPIsWrittenAsPionWritesIt(t *testing.T) {
	for range 200 {
		before := []byte("before") // appended to, not written over
		check := func(got []byte, p rtcp.Packet) {
			t.Helper()
			if want := append([]byte("before"), mustMarshal(t, p)...); !bytes.Equal(got, want) {
				t.Errorf("wrote\n%x, Pion\n%x of %+v", got, want, p)
			}
		}
		sr := randomSenderReport()
		check(appendSenderReport(before, &sr), &sr)

		var names []canonicalName
		var sdes rtcp.SourceDescription
		for range rand.IntN(maxSenders + 1) {
			n := canonicalName{rand.Uint32(), strings.Repeat("n", rand.IntN(maxCNAME+1))}
			names = append(names, n)
			sdes.Chunks = append(sdes.Chunks, rtcp.NewCNAMESourceDescription(n.ssrc, n.name).Chunks...)
		}
		check(appendCanonicalNames(before, names), &sdes)

		rr := rtcp.ReceiverReport{SSRC: rand.Uint32()}
		raw := beginRTCP(before, rr.SSRC)
		for range rand.IntN(maxReports + 1) {
			block := randomReceptionReport()
			rr.Reports = append(rr.Reports, block)
			raw = appendReceptionReport(raw, &block)
		}
		putRTCPHeader(raw[len(before):], rtcp.TypeReceiverReport, uint8(len(rr.Reports)))
		check(raw, &rr)

		nack := rtcp.TransportLayerNack{SenderSSRC: rand.Uint32(), MediaSSRC: rand.Uint32()}
		numbers := []uint16{uint16(rand.Uint32())}
		for range rand.IntN(200) {
			numbers = append(numbers, numbers[len(numbers)-1]+1+uint16(rand.ExpFloat64()*8))
		}
		nack.Nacks = rtcp.NackPairsFromSequenceNumbers(numbers)
		raw = appendNACKPairs(beginFeedback(before, nack.SenderSSRC, nack.MediaSSRC), numbers)
		putRTCPHeader(raw[len(before):], rtcp.TypeTransportSpecificFeedback, rtcp.FormatTLN)
		check(raw, &nack)

		pli := rtcp.PictureLossIndication{SenderSSRC: rand.Uint32(), MediaSSRC: rand.Uint32()}
		raw = beginFeedback(before, pli.SenderSSRC, pli.MediaSSRC)
		putRTCPHeader(raw[len(before):], rtcp.TypePayloadSpecificFeedback, rtcp.FormatPLI)
		check(raw, &pli)
	}
	long := appendCanonicalNames(nil, []canonicalName{{1, strings.Repeat("n", maxCNAME+1)}})
	if want := mustMarshal(t, rtcp.NewCNAMESourceDescription(1, strings.Repeat("n", maxCNAME))); !bytes.Equal(long, want) {
		t.Errorf("a name that is too long makes %x", long)
	}
}

// reportingFeeds are feeds of one port that have something to report. It has no reporter but the test.
func reportingFeeds(t testing.TB, n int) (*Port, []*Feed) {
	t.Helper()
	f := newFeeding(t, video)
	port := f.feed.port
	feeds := []*Feed{f.feed}
	for i := 1; i < n; i++ {
		feed := port.NewFeed(video, strings.Repeat("s", i), "track")
		if _, err := feed.Bind(&senderContext{ssrc: webrtc.SSRC(5 + i), codecs: vp8Codecs, writer: &sink{}}); err != nil {
			t.Fatal(err)
		}
		feed.SetSource(f.source)
		feeds = append(feeds, feed)
	}
	f.video(1, keyPayload)
	now := monotonic()
	f.to.upstream.reported(&rtcp.SenderReport{SSRC: 1000, NTPTime: nanosecondsToNTP(ntpEpoch + now), RTPTime: 100}, now)
	return port, feeds
}

// unstartedUpstreams are upstreams of one port that has no reporter but the test.
func unstartedUpstreams(t testing.TB, n int) *Port {
	t.Helper()
	port := newPort(PortOptions{})
	port.SetConnected(true)
	var upstreams []*Upstream
	for i := range n {
		u := newUpstream(port, remote{kind: video, ssrc: webrtc.SSRC(1000 + i)}, "0", webrtc.RTPParameters{Codecs: vp8Codecs})
		u.receive.packet(uint16(i), 0, 0)
		upstreams = append(upstreams, u)
	}
	port.upstreams.Store(&upstreams)
	return port
}

// readRTCP keeps what is written as Pion reads it.
type readRTCP struct {
	t       *testing.T
	packets []rtcp.Packet
}

func (r *readRTCP) WriteRTCP(packets []rtcp.Packet) error {
	r.t.Helper()
	raw, err := rtcp.Marshal(packets)
	if err != nil {
		r.t.Fatal(err)
	}
	if packets, err = rtcp.Unmarshal(raw); err != nil {
		r.t.Fatal(err)
	}
	r.packets = append(r.packets, packets...)
	return nil
}

// TestReportsAreWritten: sender reports in compounds of a few, each with the names of its senders; receiver reports,
// NACKs and key frame requests.
func TestReportsAreWritten(t *testing.T) {
	port, feeds := reportingFeeds(t, maxSenders+2)
	w := &readRTCP{t: t}
	port.rtcp = w
	port.sendSenderReports(new(reportScratch), monotonic())
	port.sendSenderReports(new(reportScratch), monotonic()) // nothing more
	if len(w.packets) != len(feeds)+2 {
		t.Fatalf("%d packets", len(w.packets))
	}
	var senders []uint32
	for _, p := range w.packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			senders = append(senders, p.SSRC)
			if p.PacketCount != 1 || p.OctetCount != uint32(len(keyPayload)) || p.NTPTime == 0 {
				t.Errorf("%+v", p)
			}
		case *rtcp.SourceDescription:
			for i, chunk := range p.Chunks {
				feed := feeds[chunk.Source-5]
				if chunk.Source != senders[i] || len(chunk.Items) != 1 || chunk.Items[0] != (rtcp.SourceDescriptionItem{Type: rtcp.SDESCNAME, Text: feed.StreamID()}) {
					t.Errorf("%+v", chunk)
				}
			}
			if len(p.Chunks) != len(senders) || len(senders) > maxSenders {
				t.Errorf("%d reports, %d names", len(senders), len(p.Chunks))
			}
			senders = nil
		}
	}

	port, w = unstartedUpstreams(t, maxReports+1), &readRTCP{t: t}
	port.rtcp = w
	port.sendReceiverReport(new(reportScratch), monotonic())
	rr, ok := w.packets[0].(*rtcp.ReceiverReport)
	if !ok || rr.SSRC != port.ssrc || len(rr.Reports) != maxReports || rr.Reports[maxReports-1].SSRC != 1000+maxReports-1 {
		t.Errorf("%+v", w.packets)
	}

	u := (*port.upstreams.Load())[0]
	source := NewSource(SourceOptions{Kind: video})
	source.SetCarrier(u)
	source.RequestKeyFrame()
	u.missing.packet(0, 0)
	u.missing.packet(40, 0)
	w.packets = nil
	port.sendNACK(new(reportScratch), u, nackDelay)
	port.sendPLI(new(reportScratch), u, monotonic())
	if len(w.packets) != 2 {
		t.Fatalf("%+v", w.packets)
	}
	nack, ok := w.packets[0].(*rtcp.TransportLayerNack)
	if !ok || nack.SenderSSRC != port.ssrc || nack.MediaSSRC != 1000 || len(nack.Nacks) != 3 || nack.Nacks[0] != (rtcp.NackPair{PacketID: 1, LostPackets: 0xffff}) {
		t.Errorf("%+v", w.packets[0])
	}
	if pli, ok := w.packets[1].(*rtcp.PictureLossIndication); !ok || *pli != (rtcp.PictureLossIndication{SenderSSRC: port.ssrc, MediaSSRC: 1000}) {
		t.Errorf("%+v", w.packets[1])
	}
}

func TestSentRTCPDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	port, feeds := reportingFeeds(t, 3)
	port.decided = false
	goDirectWith(t, port, nullWire{})
	receiving := unstartedUpstreams(t, 3)
	receiving.decided = false
	goDirectWith(t, receiving, nullWire{})
	u := (*receiving.upstreams.Load())[0]
	source := NewSource(SourceOptions{Kind: video})
	source.SetCarrier(u)
	scratch := new(reportScratch)
	now, last := monotonic(), uint16(0)
	for name, send := range map[string]func(){
		"sender reports": func() {
			for _, f := range feeds {
				f.counters.reportsPending.Store(1)
			}
			port.sendSenderReports(scratch, now)
		},
		"receiver reports": func() {
			now += 2 * reportInterval
			receiving.sendReceiverReport(scratch, now)
		},
		"NACKs": func() {
			now += missingLifetime
			last += 10
			u.missing.packet(last, now)
			now += nackDelay
			receiving.sendNACK(scratch, u, now)
		},
		"key frame requests": func() {
			now += 60e9
			source.RequestKeyFrame()
			receiving.sendPLI(scratch, u, now)
		},
	} {
		for range 10 {
			send()
		}
		if n := testing.AllocsPerRun(500, send); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if s := u.Stats(); s.NACKed < 500 || s.PLIs < 400 {
		t.Errorf("%+v", s)
	}
	if port.Stats().RTCPErrors+receiving.Stats().RTCPErrors != 0 {
		t.Error("not everything was written")
	}
}

// TestReceivedRTCPDoesNotAllocate: from the wire, all kinds that come often in one compound.
func TestReceivedRTCPDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := newFeeding(t, video)
	f.video(1, keyPayload)
	viewer := f.feed.port
	viewer.decided = false
	peer := goDirectWith(t, viewer, nullWire{})
	u := newUpstream(viewer, remote{kind: video, ssrc: 2000}, "0", webrtc.RTPParameters{Codecs: vp8Codecs})
	viewer.upstreams.Store(&[]*Upstream{u})
	number := uint16(f.feed.sequence.highest)
	var compound []byte
	for _, p := range []rtcp.Packet{
		&rtcp.SenderReport{SSRC: 2000, NTPTime: nanosecondsToNTP(ntpEpoch), Reports: []rtcp.ReceptionReport{{SSRC: 5}}},
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 5, LastSequenceNumber: 1<<16 | uint32(number)}, {SSRC: 7}}},
		rtcp.NewCNAMESourceDescription(1, "name"),
		&rtcp.TransportLayerNack{MediaSSRC: 5, Nacks: []rtcp.NackPair{{PacketID: number}}},
		&rtcp.PictureLossIndication{MediaSSRC: 5},
		&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 5}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{5}},
		&rtcp.Goodbye{Sources: []uint32{7}},
	} {
		compound = append(compound, mustMarshal(t, p)...)
	}
	buffer := make([]byte, 0, maxPacket)
	deliver := func() {
		if l := &f.feed.resends; l.recent != nil { // made with the first retransmission
			l.spent, *l.recent = 0, [resendHistory]resent{}
		}
		sealed, err := peer.EncryptRTCP(buffer, compound, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !viewer.Deliver(sealed) {
			t.Fatal("not taken")
		}
	}
	for range 10 {
		deliver()
	}
	if n := testing.AllocsPerRun(500, deliver); n != 0 {
		t.Errorf("%v allocations per compound", n)
	}
	port, feed := viewer.Stats(), f.feed.Stats()
	if port.RTCPErrors != 0 || port.Undecrypted != 0 || port.REMB != 1e6 || feed.PLIs < 1000 || feed.Retransmitted < 500 || !u.report.received {
		t.Errorf("%+v\n%+v", port, feed)
	}
}
