package sfu

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func TestDataChannelsAreCounted(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	var arrived, closed atomic.Int64
	k.connection(clientKey{"R", false}, true).OnDataChannel(func(*webrtc.DataChannel) { arrived.Add(1) })
	pc := r.connection(clientKey{"C", false}, true)
	for i := range maxChannels + 4 {
		dc, err := pc.CreateDataChannel(fmt.Sprint("channel", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		dc.OnClose(func() { closed.Add(1) })
	}
	r.offer("C")
	c.eventually("the channels are there", func() bool { return arrived.Load() == maxChannels && closed.Load() == 4 })
	if n := c.engine.Stats().DataChannels; n != maxChannels {
		t.Errorf("%d counted, want %d", n, maxChannels)
	}
}

// TestDataChannelWithoutAFarSide: nobody takes the messages; they are kept up to
// the bound, then the channel ends, which its client sees.
func TestDataChannelWithoutAFarSide(t *testing.T) {
	t.Parallel()
	c := newCall(t, Options{AnswerTimeout: time.Hour})
	r, k := c.join("R", "recruiter"), c.join("C", "candidate")
	r.offer("C")
	r.gets("C")
	k.silent.Store(true) // the far side never learns of the channel
	pc := r.connection(clientKey{"C", false}, false)
	dc, err := pc.CreateDataChannel("flood", nil)
	if err != nil {
		t.Fatal(err)
	}
	var closed atomic.Bool
	dc.OnClose(func() { closed.Store(true) })
	dc.OnOpen(func() {
		for range maxChannelWaiting/(16<<10) + 4 {
			if dc.Send(make([]byte, 16<<10)) != nil {
				return
			}
		}
	})
	r.offerOn(clientKey{"C", false}, false)
	c.eventually("the channel is given up", func() bool { return c.engine.Stats().DataChannelsLost == 1 && closed.Load() })
	within(t, c.engine, func(room *room) {
		for _, l := range room.order {
			for _, b := range l.channels {
				b.mu.Lock()
				if len(b.waiting) != 0 {
					t.Errorf("%d messages are still kept", len(b.waiting))
				}
				b.mu.Unlock()
			}
		}
	})
	r.gets("C")
	k.gets("R")
}
