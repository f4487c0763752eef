package media

import (
	"slices"
	"testing"
)

func newMissing(numbers ...uint16) *missingPackets {
	m := &missingPackets{enabled: true}
	for _, n := range numbers {
		m.packet(n, 0)
	}
	return m
}

// asks runs the ticker for a time (ms) and returns when which numbers were asked
// for.
func asks(m *missingPackets, from, to, rtt int64) (at []int64, numbers []uint16, givenUp int) {
	for now := from; now < to; now++ {
		due, given, _ := m.due(nil, now*ms, rtt*ms)
		givenUp += given
		if len(due) > 0 {
			at = append(at, now)
			numbers = append(numbers, due...)
		}
	}
	return at, numbers, givenUp
}

func TestMissingPacketsAreAskedForTogether(t *testing.T) {
	m := newMissing(65533, 65535, 2)
	at, numbers, _ := asks(m, 0, 50, 100)
	if !equal(at, []int64{10}) || !slices.Equal(numbers, []uint16{65534, 0, 1}) {
		t.Fatalf("asked for %v at %v", numbers, at)
	}
}

func TestReorderedPacketsAreNotAskedFor(t *testing.T) {
	m := newMissing(1, 3, 5)
	m.packet(2, 4*ms)
	m.packet(4, 9*ms)
	if at, numbers, _ := asks(m, 0, 2000, 50); len(at) != 0 {
		t.Fatalf("asked for %v at %v", numbers, at)
	}
}

func TestRepairedPacketIsNotAskedForAgain(t *testing.T) {
	m := newMissing(1, 3)
	asks(m, 0, 30, 50)
	m.packet(2, 31*ms)
	if _, numbers, givenUp := asks(m, 31, 3000, 50); len(numbers) != 0 || givenUp != 0 {
		t.Fatalf("asked for %v, gave up %d", numbers, givenUp)
	}
	if m.takeUnrepairable() {
		t.Fatal("a repaired hole counts as unrepairable")
	}
}

func TestMissingPacketIsGivenUp(t *testing.T) {
	m := newMissing(1, 3)
	at, _, givenUp := asks(m, 0, 5000, 40)
	if len(at) < 3 || len(at) > nackTries || givenUp != 1 {
		t.Fatalf("asked at %v, gave up %d", at, givenUp)
	}
	for i := 1; i < len(at); i++ {
		if pause := at[i] - at[i-1]; pause < 40 {
			t.Errorf("asked again after %d ms, less than a round trip", pause)
		}
	}
	if at[len(at)-1] > 1100 {
		t.Errorf("still asked at %v ms", at[len(at)-1])
	}
	if !m.takeUnrepairable() || m.takeUnrepairable() {
		t.Error("the loss is not reported exactly once")
	}
	if _, _, next := m.due(nil, 6000*ms, 0); next != 0 {
		t.Error("it wants to be called again for nothing")
	}
}

func TestMissingPacketsAreBounded(t *testing.T) {
	m := newMissing(0)
	if found := m.packet(1000, 0); found != 999 || len(m.list) != 0 || !m.takeUnrepairable() {
		t.Fatalf("a gap of 999: found %d, waits for %d", found, len(m.list))
	}
	for n := uint16(1002); n < 4000; n += 2 {
		m.packet(n, 0)
	}
	if len(m.list) != missingLimit || !m.takeUnrepairable() {
		t.Fatalf("it waits for %d packets", len(m.list))
	}
	if !slices.IsSortedFunc(m.list, func(a, b missingPacket) int { return int(int64(a.sequence - b.sequence)) }) {
		t.Fatal("the list is not in order")
	}
	off := &missingPackets{}
	off.packet(1, 0)
	if found := off.packet(10, 0); found != 8 || len(off.list) != 0 {
		t.Fatalf("audio: found %d, waits for %d", found, len(off.list))
	}
}

func TestResendLimiter(t *testing.T) {
	var l resendLimiter
	if !l.allow(7, 1000*ms, 0) || l.allow(7, 1010*ms, 0) || !l.allow(7, 1020*ms, 0) {
		t.Error("a packet is not sent again each 20 ms at most")
	}
	if l.allow(7, 1060*ms, 100*ms) || !l.allow(7, 1120*ms, 100*ms) {
		t.Error("a packet is not sent again each round trip at most")
	}
	allowed := 0
	for now := int64(2000); now < 10_000; now += 100 {
		if l.allow(7, now*ms, 0) {
			allowed++
		}
	}
	if allowed != resendLimit-3 {
		t.Errorf("a packet was sent %d times", allowed+3)
	}
	var flood resendLimiter
	allowed = 0
	for i := range uint64(20_000) {
		if i%20 == 0 {
			flood.forwarded() // 1,000 of them
		}
		if flood.allow(i, int64(i)*ms/10+1, 0) {
			allowed++
		}
	}
	if most := resendBurst + 1000/resendPart; allowed < most-1 || allowed > most {
		t.Errorf("%d packets were sent again beside 1,000 others, want %d", allowed, most)
	}
}

// Far away and with losses each request goes out twice, one tick apart, and counts once.
func TestRequestsAreRepeatedOnALossyPath(t *testing.T) {
	for _, tt := range []struct {
		lossy bool
		rtt   int64
		at    []int64
	}{
		{true, 200, []int64{10, 30, 250, 270}},
		{true, 50, []int64{10, 70, 130, 210, 310}},
		{false, 200, []int64{10, 250}},
	} {
		m := newMissing(1, 3)
		m.lossy = tt.lossy
		at, _, _ := asks(m, 0, 320, tt.rtt)
		if len(at) < len(tt.at) || !equal(at[:2], tt.at[:2]) || tt.rtt >= 100 && !equal(at, tt.at) {
			t.Errorf("%+v: asked at %v", tt, at)
		}
	}
}
