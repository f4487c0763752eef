package media

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// status is what feedback says of one packet.
type status struct {
	number uint16
	tick   uint32 // of feedbackDelta; 0: not received
}

// decodeFeedback has Pion take a feedback packet apart.
func decodeFeedback(t testing.TB, raw []byte) (*rtcp.TransportLayerCC, []status) {
	t.Helper()
	packets, err := rtcp.Unmarshal(raw)
	if err != nil {
		t.Fatalf("%v: % x", err, raw)
	}
	packet, ok := packets[0].(*rtcp.TransportLayerCC)
	if !ok || len(packets) != 1 {
		t.Fatalf("no feedback packet: % x", raw)
	}
	if packet.MarshalSize() != len(raw) {
		t.Fatalf("%d bytes, want %d: % x", len(raw), packet.MarshalSize(), raw)
	}
	var symbols []uint16
	for _, chunk := range packet.PacketChunks {
		switch chunk := chunk.(type) {
		case *rtcp.RunLengthChunk:
			symbols = append(symbols, slices.Repeat([]uint16{chunk.PacketStatusSymbol}, int(chunk.RunLength))...)
		case *rtcp.StatusVectorChunk:
			symbols = append(symbols, chunk.SymbolList...)
		}
	}
	if len(symbols) < int(packet.PacketStatusCount) || slices.Max(append(symbols[packet.PacketStatusCount:], 0)) != 0 {
		t.Fatalf("%d symbols for %d packets: % x", len(symbols), packet.PacketStatusCount, raw)
	}
	var statuses []status
	tick, deltas := packet.ReferenceTime*ticksPerReference, packet.RecvDeltas
	for i, symbol := range symbols[:packet.PacketStatusCount] {
		s := status{number: packet.BaseSequenceNumber + uint16(i)}
		if symbol != rtcp.TypeTCCPacketNotReceived {
			tick += uint32(deltas[0].Delta / 250)
			deltas = deltas[1:]
			s.tick = tick
		}
		statuses = append(statuses, s)
	}
	if len(deltas) > 0 {
		t.Fatalf("%d deltas too many: % x", len(deltas), raw)
	}
	return packet, statuses
}

func TestArrivals(t *testing.T) {
	const tick = feedbackDelta
	type arrival struct {
		number uint16
		at     int64 // ticks
	}
	// sequence is packets that arrive one tick after the other.
	sequence := func(first uint16, at int64, n int) (list []arrival) {
		for i := range n {
			list = append(list, arrival{first + uint16(i), at + int64(i)})
		}
		return list
	}
	// received is how feedback tells of what sequence makes, missing what has not been received.
	received := func(first uint16, at uint32, n int) (list []status) {
		for i := range n {
			list = append(list, status{first + uint16(i), at + uint32(i)})
		}
		return list
	}
	missing := func(first uint16, n int) []status {
		list := received(first, 0, n)
		for i := range list {
			list[i].tick = 0
		}
		return list
	}
	type interval struct {
		arrivals []arrival
		packets  [][]status
	}
	for name, intervals := range map[string][]interval{
		"in order": {
			{sequence(10, 1000, 3), [][]status{received(10, 1000, 3)}},
			{sequence(13, 1400, 2), [][]status{received(13, 1400, 2)}},
			{},
		},
		"lost": {
			{[]arrival{{10, 1000}, {12, 1002}}, [][]status{{{10, 1000}, {11, 0}, {12, 1002}}}},
			{[]arrival{{15, 1400}}, [][]status{{{13, 0}, {14, 0}, {15, 1400}}}},
		},
		"late, and all that follow it again": {
			{[]arrival{{10, 1000}, {12, 1002}, {13, 1003}}, [][]status{{{10, 1000}, {11, 0}, {12, 1002}, {13, 1003}}}},
			{[]arrival{{11, 1400}, {14, 1401}}, [][]status{{{11, 1400}, {12, 1002}, {13, 1003}, {14, 1401}}}},
			{[]arrival{{15, 1800}}, [][]status{{{15, 1800}}}},
		},
		"repeated": {
			{[]arrival{{10, 1000}, {10, 1001}, {11, 1002}}, [][]status{{{10, 1000}, {11, 1002}}}},
			{arrivals: []arrival{{10, 1400}, {11, 1401}}},
		},
		"the first ones in another order": {
			{[]arrival{{11, 1000}, {10, 1001}}, [][]status{{{10, 1001}, {11, 1000}}}},
			{[]arrival{{9, 1400}}, [][]status{{{9, 1400}, {10, 1001}, {11, 1000}}}},
		},
		"numbers wrap around": {
			{sequence(65534, 1000, 4), [][]status{received(65534, 1000, 4)}},
		},
		"the reference time wraps around": {
			{sequence(10, 1<<32-2, 2), [][]status{received(10, 1<<32-2, 2)}},
			{[]arrival{{12, 1 << 32}, {13, 1<<32 + 1}}, [][]status{{{12, 1}, {13, 1}}}}, // 0 would be none
			{sequence(14, 1<<32+300, 2), [][]status{received(14, 300, 2)}},
		},
		"deltas of one byte and of two": {
			{[]arrival{{10, 1000}, {11, 1255}, {12, 1511}, {13, 1511}, {14, 1<<15 + 1510}},
				[][]status{{{10, 1000}, {11, 1255}, {12, 1511}, {13, 1511}, {14, 1<<15 + 1510}}}},
		},
		"a delta that is too big": {
			{[]arrival{{10, 1000}, {11, 1<<15 + 1000}, {13, 1<<15 + 1001}},
				[][]status{{{10, 1000}}, {{11, 1<<15 + 1000}, {12, 0}, {13, 1<<15 + 1001}}}},
			{[]arrival{{12, 1<<16 + 1002}}, [][]status{{{12, 1<<16 + 1002}}, {{13, 1<<15 + 1001}}}},
		},
		"a gap": {
			{sequence(10, 1000, 1), [][]status{received(10, 1000, 1)}},
			{sequence(10+arrivalsKept, 1400, 2), [][]status{slices.Concat(missing(12, arrivalsKept-2), received(10+arrivalsKept, 1400, 2))}},
			{[]arrival{{12, 1800}}, [][]status{slices.Concat([]status{{12, 1800}}, missing(13, arrivalsKept-3), received(10+arrivalsKept, 1400, 2))}},
			{arrivals: []arrival{{11, 2200}}}, // too late
		},
		"the greatest gap": {
			{sequence(10, 1000, 5), [][]status{received(10, 1000, 5)}},
			{sequence(15+32767, 1400, 1), [][]status{slices.Concat(missing(16+32767-arrivalsKept, arrivalsKept-1), received(15+32767, 1400, 1))}},
		},
		"a sender that begins anew": {
			{sequence(30000, 1000, 5), [][]status{received(30000, 1000, 5)}},
			{sequence(0, 1500, 5), nil},
			{sequence(5, 3100, 2), [][]status{received(5, 3100, 2)}},
			{[]arrival{{3, 3500}}, [][]status{{{3, 3500}, {4, 0}, {5, 3100}, {6, 3101}}}},
		},
		"more than is kept": {
			{sequence(0, 1000, 3*arrivalsKept), [][]status{
				received(2*arrivalsKept, 1000+2*arrivalsKept, 965),
				received(2*arrivalsKept+965, 1965+2*arrivalsKept, 965),
				received(2*arrivalsKept+1930, 2930+2*arrivalsKept, arrivalsKept-1930),
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var a arrivals
			count := uint8(0)
			for i, interval := range intervals {
				for _, arrival := range interval.arrivals {
					a.record(5, arrival.number, arrival.at*tick+tick/2)
				}
				var packets [][]status
				for a.pending > 0 {
					packet, statuses := decodeFeedback(t, a.feedback(new(feedbackBuffer), 9))
					if packet.SenderSSRC != 9 || packet.MediaSSRC != 5 || packet.FbPktCount != count {
						t.Errorf("interval %d: %v", i, packet)
					}
					count++
					packets = append(packets, statuses)
				}
				if !reflect.DeepEqual(packets, interval.packets) {
					t.Errorf("interval %d:\n%v, want\n%v", i, packets, interval.packets)
				}
			}
		})
	}
}

// TestFeedbackIsThatOfPion: packets get lost, come late and twice.
func TestFeedbackIsThatOfPion(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var own arrivals
	pion := twcc.NewRecorder(9)
	type arrival struct {
		number uint16
		at     int64
	}
	var list []arrival
	for i := range 5000 {
		at := 1e9 + int64(i)*1e6 + random.Int64N(5e6)
		switch random.IntN(20) {
		case 0: // lost
			continue
		case 1: // late
			at += random.Int64N(200e6)
		}
		list = append(list, arrival{uint16(60000 + i), at})
	}
	slices.SortFunc(list, func(a, b arrival) int { return int(a.at - b.at) })
	next, again := uint16(0), 0
	for i, arrival := range list {
		for range 1 + random.IntN(2) {
			own.record(5, arrival.number, arrival.at)
		}
		pion.Record(5, arrival.number, arrival.at/1000)
		if i%100 != 99 {
			continue
		}
		for _, packet := range pion.BuildFeedbackPacket() {
			raw, err := packet.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			expected, want := decodeFeedback(t, raw)
			if own.pending == 0 {
				t.Fatalf("nothing to be reported, want %v", expected)
			}
			packet, statuses := decodeFeedback(t, own.feedback(new(feedbackBuffer), 9))
			if packet.SenderSSRC != expected.SenderSSRC || packet.MediaSSRC != expected.MediaSSRC ||
				packet.BaseSequenceNumber != expected.BaseSequenceNumber || packet.PacketStatusCount != expected.PacketStatusCount ||
				packet.FbPktCount != expected.FbPktCount {
				t.Fatalf("%v, want %v", packet, expected)
			}
			for i, s := range statuses {
				// Pion rounds, and counts from a rounded one.
				if off := want[i].tick - s.tick; (s.tick == 0) != (want[i].tick == 0) || off > 1 {
					t.Fatalf("packet %d at %d, want %d", s.number, s.tick, want[i].tick)
				}
			}
			if int16(packet.BaseSequenceNumber-next) < 0 {
				again++
			}
			next = packet.BaseSequenceNumber + packet.PacketStatusCount
		}
		if own.pending > 0 {
			t.Fatalf("%d packets more to be reported", own.pending)
		}
	}
	if again < 20 {
		t.Errorf("%d times were some reported again", again)
	}
}

// arrivalsModel is what arrivals is to know, with numbers that do not wrap around.
type arrivalsModel struct {
	ticks          map[int64]uint32
	next, reported int64
}

func (m *arrivalsModel) record(number uint16, tick uint32) {
	if m.ticks == nil {
		m.restart(number)
	}
	n := m.next + int64(int16(number-uint16(m.next)))
	switch {
	case n >= m.next:
		m.next = n + 1
	case m.known(n) != 0:
		return
	case n >= m.next-arrivalsKept:
		m.reported = min(m.reported, n)
	case tick-m.known(m.next-1) < 2000:
		return
	default:
		m.restart(number)
		n, m.next = m.next, m.next+1
	}
	m.ticks[n] = tick
	m.reported = max(m.reported, m.next-arrivalsKept)
}

func (m *arrivalsModel) restart(number uint16) {
	m.ticks = map[int64]uint32{}
	m.next, m.reported = 1<<20|int64(number), 1<<20|int64(number)
}

// known is when a packet arrived; 0: it has not, or too long ago.
func (m *arrivalsModel) known(n int64) uint32 {
	if n < m.next-arrivalsKept {
		return 0
	}
	return m.ticks[n]
}

// FuzzArrivals has a sender make up the numbers: each four bytes are how far one is from the one before, when it
// comes, in ticks after that, and what follows.
func FuzzArrivals(f *testing.F) {
	f.Add(uint32(1000), []byte{0, 1, 0, 4, 0, 1, 0, 5, 0, 2, 1, 0x80, 0xff, 0xff, 0, 4, 0, 3, 0, 0x84})
	f.Add(^uint32(0), []byte{0x10, 0, 0, 1, 0xef, 0xff, 0xff, 1, 0x70, 0, 0, 1, 0x90, 0, 0xff, 0x85})
	f.Add(uint32(5), slices.Repeat([]byte{0, 2, 0x10, 7}, 500))
	f.Add(uint32(5), slices.Repeat([]byte{0, 2, 0xff, 7}, 700))
	f.Add(uint32(5), []byte{0, 1, 0, 1, 0, 0, 1, 1, 0xe0, 0, 1, 1, 0xff, 0xff, 0xff, 7, 0, 2, 1, 0x81})
	f.Add(uint32(5), slices.Repeat([]byte{0, 1, 1, 7, 0, 9, 0, 1, 0xff, 0xfc, 2, 0, 0, 1, 0, 0x81}, 300))
	f.Fuzz(func(t *testing.T, start uint32, script []byte) {
		var a arrivals
		var model arrivalsModel
		now, number := int64(start), uint16(start)
		count := uint8(0)
		report := func() {
			for a.pending > 0 {
				if a.pending > arrivalsKept || int64(a.pending) != model.next-model.reported {
					t.Fatalf("%d are pending, want %d", a.pending, model.next-model.reported)
				}
				raw := a.feedback(new(feedbackBuffer), 9)
				if len(raw) > feedbackMost {
					t.Fatalf("%d bytes", len(raw))
				}
				packet, statuses := decodeFeedback(t, raw)
				if packet.SenderSSRC != 9 || packet.MediaSSRC != 5 || packet.FbPktCount != count || packet.BaseSequenceNumber != uint16(model.reported) {
					t.Fatalf("%v, want packet %d from %d on", packet, count, uint16(model.reported))
				}
				count++
				for _, s := range statuses {
					if tick := model.known(model.reported); s.tick != tick {
						t.Fatalf("%d came at %d, want %d", s.number, s.tick, tick)
					}
					model.reported++
				}
			}
			if model.reported != model.next {
				t.Fatalf("%d to %d are not reported", model.reported, model.next)
			}
		}
		script = script[:min(len(script), 8192)]
		for reports := 0; len(script) >= 4; script = script[4:] {
			number += binary.BigEndian.Uint16(script)
			now += int64(script[2]) << (script[3] >> 1 & 7)
			a.record(5, number, now*feedbackDelta)
			model.record(number, max(uint32(now), 1))
			if script[3]&0x80 != 0 && reports < 20 {
				reports++
				report()
			}
		}
		report()
	})
}

// TestTransportFeedbackIsSent by either way: through the stack, and past it.
func TestTransportFeedbackIsSent(t *testing.T) {
	for name, past := range map[string]bool{"through the stack": false, "past it": true} {
		t.Run(name, func(t *testing.T) {
			p := newPort(PortOptions{})
			stack, wire := &rawRTCP{}, &recordingWire{}
			p.rtcp = stack
			r := &reporter{wake: make(chan struct{}, 1)} // that does nothing
			r.next.Store(never)
			p.reporter = r
			if past {
				goDirectWith(t, p, wire)
			}
			begin := p.together(5000 * ms)
			if next := p.sendTransportFeedback(begin); next != 0 {
				t.Errorf("feedback of nothing is due at %d ms", next/ms)
			}
			for i := range 30 {
				p.recordArrival(5, uint16(i), begin+int64(i)*ms)
			}
			if todo := task(p.todo.Swap(0)); todo != taskFeedback || len(r.wake) == 0 {
				t.Errorf("the reporter is told to do %b", todo)
			}
			if next := p.sendTransportFeedback(begin + 99*ms); next != begin+100*ms {
				t.Errorf("feedback is due after %d ms", (next-begin)/ms)
			}
			if next := p.sendTransportFeedback(begin + 100*ms); next != begin+200*ms {
				t.Errorf("feedback is next due after %d ms", (next-begin)/ms)
			}
			p.recordArrival(6, 30, begin+150*ms)
			if todo := task(p.todo.Load()); todo != 0 {
				t.Errorf("the reporter is told of each packet: %b", todo)
			}
			if next := p.sendTransportFeedback(begin + 200*ms); next != begin+300*ms {
				t.Errorf("feedback is next due after %d ms", (next-begin)/ms)
			}
			if next := p.sendTransportFeedback(begin + 300*ms); next != 0 {
				t.Errorf("feedback of nothing is due after %d ms", (next-begin)/ms)
			}
			sent := stack.packets
			for _, sealed := range wire.packets {
				plain, err := p.direct.Load().local.DecryptRTCP(nil, sealed, nil)
				if err != nil {
					t.Fatal(err)
				}
				sent = append(sent, plain)
			}
			if len(sent) != 2 || p.Stats().TWCCFeedback != 2 || p.Stats().RTCPErrors != 0 || past != (len(stack.packets) == 0) {
				t.Fatalf("%d packets, %+v", len(sent), p.Stats())
			}
			for i, want := range []int{30, 1} {
				packet, statuses := decodeFeedback(t, sent[i])
				if packet.SenderSSRC != p.ssrc || packet.MediaSSRC != uint32(5+i) || len(statuses) != want {
					t.Errorf("packet %d: %v", i, packet)
				}
			}
		})
	}
}

// TestMadeUpTimesDoNotHoldUpTheReporter: where each packet fills a feedback packet by itself.
func TestMadeUpTimesDoNotHoldUpTheReporter(t *testing.T) {
	p := newPort(PortOptions{})
	p.rtcp = discardRTCP{}
	at := p.together(5000 * ms)
	for i := range 20 {
		p.recordArrival(5, uint16(i), at)
		at += 10_000 * ms
	}
	for _, want := range []uint64{8, 16, 20} {
		if next := p.sendTransportFeedback(at); next <= at {
			t.Errorf("feedback is next due after %d ms", (next-at)/ms)
		}
		at += 200 * ms
		if sent := p.Stats().TWCCFeedback; sent != want {
			t.Errorf("%d packets, want %d", sent, want)
		}
	}
}

// rawRTCP keeps what is written, as bytes.
type rawRTCP struct{ packets [][]byte }

func (w *rawRTCP) WriteRTCP(packets []rtcp.Packet) error {
	raw, err := rtcp.Marshal(packets)
	w.packets = append(w.packets, slices.Clone(raw))
	return err
}

func TestArrivalsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	p := newPort(PortOptions{})
	goDirectWith(t, p, nullWire{})
	number, now := uint16(0), p.together(5000*ms)
	if n := testing.AllocsPerRun(2000, func() {
		for range 30 {
			p.recordArrival(5, number, now)
			number++
			now += 6 * ms
		}
		number++
		p.sendTransportFeedback(now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s := p.Stats(); s.TWCCFeedback < 2000 || s.RTCPErrors != 0 {
		t.Errorf("%+v", s)
	}
}

// BenchmarkArrivals is 16 packets of which one is lost, and the feedback of them.
func BenchmarkArrivals(b *testing.B) {
	const packets = 16
	arrive := func(b *testing.B, record func(number uint16, now int64), feedback func()) {
		number, now := uint16(0), int64(5e9)
		b.ReportAllocs()
		for b.Loop() {
			for i := range packets {
				if i != 7 {
					record(number, now)
				}
				number++
				now += 6 * ms
			}
			feedback()
		}
	}
	b.Run("own", func(b *testing.B) {
		var a arrivals
		buf := new(feedbackBuffer)
		arrive(b, func(number uint16, now int64) { a.record(5, number, now) }, func() { a.feedback(buf, 9) })
	})
	b.Run("pion", func(b *testing.B) {
		recorder := twcc.NewRecorder(9)
		arrive(b, func(number uint16, now int64) { recorder.Record(5, number, now/1000) }, func() {
			if _, err := rtcp.Marshal(recorder.BuildFeedbackPacket()); err != nil {
				b.Fatal(err)
			}
		})
	})
}
