package media

import "testing"

const ms = int64(1e6)

// polls runs the policy for a time in steps of 10 ms and returns when requests
// were sent, in ms.
func polls(k *keyRequests, from, to int64) (sent []int64) {
	for now := from; now < to; now += 10 {
		if send, _ := k.poll(now * ms); send {
			sent = append(sent, now)
		}
	}
	return sent
}

func equal(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestKeyRequestIsRepeatedWithGrowingPauses(t *testing.T) {
	k := keyRequests{limits: &cameraKeyLimits}
	k.request(0)
	got := polls(&k, 0, 200_000)
	if want := []int64{0, 500, 1000, 1500, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 10_000, 14_000, 22_000, 32_000}; !equal(got, want) {
		t.Fatalf("sent at %v, want %v", got, want)
	}
	if send, next := k.poll(300_000 * ms); send || next != 0 {
		t.Fatal("it never gives up")
	}
	k.request(300_000 * ms)
	if send, _ := k.poll(300_000 * ms); !send {
		t.Fatal("a new request after giving up is not sent")
	}
}

func TestKeyRequestsAreThrottledWithATrailingOne(t *testing.T) {
	k := keyRequests{limits: &cameraKeyLimits}
	k.request(0)
	if send, _ := k.poll(0); !send {
		t.Fatal("the first request is not sent at once")
	}
	k.passed()
	for now := int64(10); now < 400; now += 10 {
		k.request(now * ms)
		if send, next := k.poll(now * ms); send || next != 500*ms {
			t.Fatalf("at %d ms: %v, next %d", now, send, next)
		}
	}
	if send, _ := k.poll(500 * ms); !send {
		t.Fatal("the trailing request is not sent")
	}
	k.passed()
	if got := polls(&k, 510, 60_000); len(got) != 0 {
		t.Fatalf("requests after the key frame: %v", got)
	}
}

func TestKeyRequestShortensThePauseButExpectDoesNot(t *testing.T) {
	k := keyRequests{limits: &cameraKeyLimits}
	k.request(0)
	polls(&k, 0, 11_000) // the last one was sent at 10000; the next would be at 14000
	for now := int64(11_000); now < 12_000; now += 10 {
		k.expect(now * ms)
	}
	if got := polls(&k, 11_000, 12_000); len(got) != 0 {
		t.Fatalf("packets that wait for a key frame made requests at %v", got)
	}
	k.request(12_000 * ms)
	if send, _ := k.poll(12_000 * ms); !send {
		t.Fatal("a viewer's request waits for the longer pause")
	}
}

func TestKeyRequestExpectStartsAgain(t *testing.T) {
	k := keyRequests{limits: &cameraKeyLimits}
	k.expect(0)
	if send, _ := k.poll(0); !send {
		t.Fatal("a waiting feed alone makes no request")
	}
	k.passed()
	if !k.expect(100*ms) || k.expect(110*ms) {
		t.Error("it does not say when there is something new to poll for")
	}
	if got := polls(&k, 100, 900); !equal(got, []int64{500}) {
		t.Fatalf("sent at %v", got)
	}
}

// TestKeyRequestsOfAScreen: a big key frame is not asked for twice while it
// arrives, and one that never came is asked for much longer than a camera's.
func TestKeyRequestsOfAScreen(t *testing.T) {
	k := keyRequests{limits: &screenKeyLimits}
	k.request(0)
	if got := polls(&k, 0, 14_000); !equal(got, []int64{0, 1500, 3000, 4500, 6000, 9000, 12000}) {
		t.Fatalf("sent at %v", got)
	}
	if got := polls(&k, 14_000, 120_000); len(got) < 30 {
		t.Fatalf("only %d more requests in two minutes", len(got))
	}
	k.passed()
	k.request(130_000 * ms)
	polls(&k, 130_000, 130_010)
	k.passed() // it has begun to arrive
	for now := int64(130_100); now < 130_900; now += 100 {
		k.request(now * ms)
	}
	if got := polls(&k, 130_900, 131_600); !equal(got, []int64{131_000}) {
		t.Fatalf("repeated requests were sent on at %v", got)
	}
}

func TestSourceOfAScreenHasItsOwnLimits(t *testing.T) {
	_, a := newTestUpstream(t, video)
	_, b := newTestUpstream(t, video)
	for _, screen := range []bool{false, true} {
		source := NewSource(SourceOptions{Kind: video, Screen: screen})
		for _, carrier := range []*Upstream{a.upstream, nil, b.upstream} {
			source.SetCarrier(carrier)
			source.mu.Lock()
			limits := source.order[0].keys.limits
			source.mu.Unlock()
			if want := map[bool]*keyLimits{false: &cameraKeyLimits, true: &screenKeyLimits}[screen]; limits != want {
				t.Errorf("screen %v: the limits are %+v", screen, limits)
			}
		}
	}
}

// TestKeyFrameAskedForBeforeTheViewerIsThere asks for one, lets it pass and then
// connects the viewer, who begins with it.
func TestKeyFrameAskedForBeforeTheViewerIsThere(t *testing.T) {
	source := NewSource(SourceOptions{Kind: video})
	port, to := newTestUpstream(t, video)
	source.SetCarrier(to.upstream)
	eventually(t, "the request that a new carrier gets", func() bool { return to.upstream.Stats().PLIs == 1 })
	f := &feeding{t: t, port: port, to: to, source: source}
	f.video(0, keyPayload)
	for i := range uint16(300) {
		f.video(i+1, deltaPayload)
	}
	f.age(1e9)
	source.RequestKeyFrame()
	eventually(t, "the request", func() bool { return to.upstream.Stats().PLIs == 2 })
	f.video(301, keyPayload)
	f.video(302, deltaPayload)
	f.late()
	f.replay()
	f.wantNumbers(0, 1)
	if f.asked() {
		t.Error("another key frame is asked for")
	}
}
