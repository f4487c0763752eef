package sfu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func (c *call) snapshot() []RoomStats {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	rooms, err := c.engine.Snapshot(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return rooms
}

// TestSnapshot describes a call of two with a share, as the debug page shows it.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{})
	c.engine.ScreenShareStatus("room", "C", true)
	pc := k.connection(clientKey{"R", true}, false)
	k.addTracks(pc, "screen-C", "video")
	k.offerOn(clientKey{"R", true}, false)
	r.receives("C video screen")

	var rooms []RoomStats
	c.eventually("all legs measured", func() bool {
		rooms = c.snapshot()
		n := 0
		for _, m := range rooms[0].Members {
			for _, l := range m.Legs {
				if l.State == LegConnected && l.RTT > 0 && l.BitrateUp+l.BitrateDown > 0 && l.Level != "" {
					n++
				}
			}
		}
		return n == 4
	})
	if len(rooms) != 1 || rooms[0].ID != "room" || len(rooms[0].Members) != 2 {
		t.Fatalf("%+v", rooms)
	}
	candidate := rooms[0].Members[0]
	if candidate.ID != "C" || candidate.Role != "candidate" || len(candidate.Legs) != 2 {
		t.Fatalf("%+v", candidate)
	}
	classes := map[string]PublishedSource{}
	for _, s := range candidate.Sources {
		classes[s.Class] = s
		if s.Carrier != "R" || s.Viewers != 1 || s.Packets == 0 || s.Kind == "audio" && s.Codec != "opus" || s.Kind == "video" && (s.Codec != "vp8" || s.KeyFrames == 0 || len(s.Layers) == 0) {
			t.Errorf("source %+v", s)
		}
	}
	if len(classes) != 3 {
		t.Errorf("sources %+v", candidate.Sources)
	}
	for _, l := range candidate.Legs {
		if l.Peer != "R" || l.Transport != "udp" || l.Local != "host" || l.Remote == "" || l.Remote == "unknown" || l.ConnectedMs <= 0 {
			t.Errorf("leg %+v", l)
		}
		if l.LossUp == nil || *l.LossUp > 0.5 || l.BitrateUp == 0 {
			t.Errorf("of what it sends on a leg nothing is known: %+v", l)
		}
		for _, u := range l.Receives {
			if !u.Carrier || u.Counts.Packets == 0 || u.Counts.Expected == 0 || (l.Screen != (u.Class == "screen")) {
				t.Errorf("received %+v", u)
			}
		}
		if l.Screen {
			if l.LossDown != nil || l.BitrateDown != 0 {
				t.Errorf("a share is sent nothing: %+v", l)
			}
			continue
		}
		if len(l.Receives) != 2 || len(l.Sends) != 2 || l.LossDown == nil {
			t.Errorf("leg %+v", l)
		}
		for _, f := range l.Sends {
			if f.Source != "R" || !f.Sending || f.Counts.Packets == 0 || f.Bitrate == 0 {
				t.Errorf("sent %+v", f)
			}
		}
	}
	text, err := json.Marshal(rooms)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"rttMs":`, `"lossUp":0`, `"transport":"udp"`, `"remoteCandidate":"`, `"role":"candidate"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

// TestSnapshotWhileRoomsEnd asks while rooms come and go: no answer is missing.
func TestSnapshotWhileRoomsEnd(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range 200 {
				id := fmt.Sprint("room", n, i%3)
				c.engine.Join(id, "A", "candidate")
				c.engine.Leave(id, "A")
			}
		})
	}
	for range 100 {
		c.snapshot()
	}
	wg.Wait()
	if rooms := c.snapshot(); len(rooms) != 0 {
		t.Errorf("rooms left: %+v", rooms)
	}
	c.engine.Join("room", "A", "candidate")
	busy := make(chan struct{})
	c.engine.room("room").inbox.push(func() { <-busy })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.engine.Snapshot(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a room that is busy: %v", err)
	}
	close(busy)
}

// TestTotalsNeverSink: what legs have counted stays when they end, to the last packet.
func TestTotalsNeverSink(t *testing.T) {
	t.Parallel()
	c, r, k := up(t, Options{})
	check := func(before Totals) Totals {
		t.Helper()
		now := c.engine.Totals()
		for class := range now.Media {
			for i, n := range now.Media[class] {
				if n < before.Media[class][i] {
					t.Fatalf("%s, counter %d: %d after %d", Class(class), i, n, before.Media[class][i])
				}
			}
		}
		for d := range now.Distributions {
			if now.Distributions[d].Count < before.Distributions[d].Count {
				t.Fatalf("distribution %d: %d after %d", d, now.Distributions[d].Count, before.Distributions[d].Count)
			}
		}
		return now
	}
	connected := func(t Totals) (n int) {
		for path, legs := range t.Connected {
			if path.Transport == "udp" && path.Local == "host" {
				n += legs
			}
		}
		return n
	}
	var now Totals
	c.eventually("two legs are measured", func() bool {
		now = check(now)
		return connected(now) == 2 && now.Distributions[RoundTrip].Count > 2 && now.Distributions[SentLoss].Count > 2 &&
			now.Distributions[SetUp].Count == 2 && now.Media[ClassCamera][KeyFramesReceived] > 1
	})
	r.gets("C")
	k.leave()
	seen := r.count("C audio") + r.count("C video") + k.count("R audio") + k.count("R video")
	r.leave()
	c.eventually("all has ended", func() bool {
		now = check(now)
		return c.engine.Stats().Legs == 0 && connected(now) == 0
	})
	c.eventually("the last packets are counted", func() bool {
		now = check(now)
		return now.Media[ClassAudio][SentPackets]+now.Media[ClassCamera][SentPackets] >= seen
	})
	if now.Media[ClassScreen] != (Counts{}) {
		t.Errorf("a screen was counted: %v", now.Media[ClassScreen])
	}
	if now.Media[ClassCamera][ReceivedPackets] == 0 || now.Media[ClassCamera][ReceivedExpected] == 0 || now.Media[ClassAudio][ReceivedBytes] == 0 {
		t.Errorf("%v", now.Media)
	}
}

// TestQuality: both members are told how their legs do, and nobody where it is off.
func TestQuality(t *testing.T) {
	t.Parallel()
	c, _, _ := up(t, Options{QualityInterval: time.Second})
	told := func(member, peer string) Quality {
		c.mu.Lock()
		defer c.mu.Unlock()
		if legs := c.quality[member]; len(legs) == 1 && legs[0].Peer == peer {
			return legs[0]
		}
		return Quality{}
	}
	for _, pair := range [][2]string{{"R", "C"}, {"C", "R"}} {
		c.eventually(pair[0]+" is told", func() bool {
			q := told(pair[0], pair[1])
			return q.Level != "" && q.PeerLevel != "" && q.RTT > 0 && q.BitrateUp > 0 && q.BitrateDown > 0 && q.LossUp >= 0 && q.LossDown >= 0 && q.Path.Transport == "udp"
		})
	}
	off, _, _ := up(t, Options{QualityInterval: -1})
	time.Sleep(2 * sampleInterval)
	off.mu.Lock()
	defer off.mu.Unlock()
	if len(off.quality) != 0 {
		t.Errorf("told all the same: %+v", off.quality)
	}
}
