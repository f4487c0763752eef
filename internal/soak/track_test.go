package soak

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// out is a track that a client sends on one connection.
type out struct {
	track   *webrtc.TrackLocalStaticRTP
	sender  *webrtc.RTPSender
	kind    string
	video   bool
	allowed atomic.Bool
	wantKey atomic.Bool
	swapped atomic.Bool // another camera

	// Owned by the client's sending goroutine.
	sending bool
	seq     uint16
	last    picture
	keyAt   time.Time
}

func (c *client) add(one *conn, stream string, kinds ...string) error {
	for _, kind := range kinds {
		capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
		if kind == "audio" {
			capability = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
		}
		track, err := webrtc.NewTrackLocalStaticRTP(capability, kind+"-"+stream, stream)
		if err != nil {
			return err
		}
		sender, err := one.pc.AddTrack(track)
		if err != nil {
			return err
		}
		o := &out{track: track, sender: sender, kind: kind, video: kind == "video", seq: uint16(rand.Uint32())}
		o.allowed.Store(true)
		one.mu.Lock()
		one.outs = append(one.outs, o)
		one.mu.Unlock()
		c.wg.Go(func() {
			for {
				packets, _, err := sender.ReadRTCP()
				if err != nil {
					return
				}
				for _, p := range packets {
					switch p.(type) {
					case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
						o.wantKey.Store(true)
					}
				}
			}
		})
	}
	return nil
}

// send is the client's camera, microphone and screen.
func (c *client) send() {
	ticker := time.NewTicker(voiceEvery)
	defer ticker.Stop()
	begin := time.Now()
	var list []*out
	for tick := 0; ; tick++ {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		list = list[:0]
		c.mu.Lock()
		for _, one := range c.conns {
			one.mu.Lock()
			list = append(list, one.outs...)
			one.mu.Unlock()
		}
		c.mu.Unlock()
		now := time.Now()
		for _, o := range list {
			if !o.video || tick%int(pictureEvery/voiceEvery) == 0 {
				o.write(now, now.Sub(begin))
			}
		}
	}
}

func (o *out) write(now time.Time, at time.Duration) {
	if !o.allowed.Load() {
		o.sending = false
		return
	}
	packet := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: o.seq, Marker: o.video}}
	if o.video {
		o.last.n++
		begins := o.swapped.Swap(false) || !o.sending
		o.last.key = begins || o.wantKey.Load() && now.Sub(o.keyAt) > 100*time.Millisecond
		if begins {
			o.last.encoder, o.last.n = rand.Uint64(), 0
		}
		if o.last.key {
			o.wantKey.Store(false)
			o.keyAt = now
		}
		packet.Timestamp = uint32(at.Seconds() * 90000)
		packet.Payload = o.last.payload()
	} else {
		packet.Timestamp = uint32(at.Seconds() * 48000)
		packet.Payload = make([]byte, 80)
		packet.Payload[0] = 0x78
	}
	o.sending = true
	o.seq++
	_ = o.track.WriteRTP(packet)
}

// replaceCamera has the picture come from another camera.
func (c *client) replaceCamera() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, one := range c.conns {
		one.mu.Lock()
		for _, o := range one.outs {
			if o.video && !key.screen {
				o.swapped.Store(true)
			}
		}
		one.mu.Unlock()
	}
}

// changeCamera takes tracks of these kinds off every connection, adds those of a new stream and offers.
func (c *client) changeCamera(stream string, kinds []string) {
	c.mu.Lock()
	conns := maps.Clone(c.conns)
	for _, kind := range kinds {
		c.camera[kind] = stream
	}
	c.mu.Unlock()
	for key, one := range conns {
		if key.screen {
			continue
		}
		one.mu.Lock()
		var gone []*out
		one.outs = slices.DeleteFunc(one.outs, func(o *out) bool {
			if slices.Contains(kinds, o.kind) {
				gone = append(gone, o)
				return true
			}
			return false
		})
		one.mu.Unlock()
		for _, o := range gone {
			if err := one.pc.RemoveTrack(o.sender); err != nil {
				c.trouble("removes a track", err)
			}
		}
		if err := c.add(one, stream, kinds...); err != nil {
			c.trouble("adds a track", err)
			continue
		}
		one.stale = true
		c.offer(key, false)
	}
}
