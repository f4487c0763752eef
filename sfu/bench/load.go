package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// keepalive is the pause between two packets on an upload that the relay leaves
// on but does not forward. An upload without any packets counts as a dead camera.
const keepalive = int64(time.Second)

// row is one measurement.
type row struct {
	rooms, viewers int
	rate           float64 // forwarded packets per second, all rooms together
}

// perRoom is what each publisher sends, in packets per second.
func (r row) perRoom() float64 { return r.rate / float64(r.rooms*r.viewers) }

func (r row) String() string {
	return fmt.Sprintf("1->%d, %d rooms, %.0f/s", r.viewers, r.rooms, r.rate)
}

// room is one interview of the load: a candidate who publishes and recruiters who watch.
type room struct {
	name      string
	api       *webrtc.API
	picture   *picture
	carrier   atomic.Uint32 // the leg whose packets the viewers get
	changed   chan struct{} // a connection's state has
	candidate *page
	viewers   []*page
	sent      uint32 // measured packets
}

// rooms is the whole load on a relay.
type rooms struct {
	row      row
	all      []*room
	measured atomic.Bool
	begun    chan struct{}
	done     chan struct{}
	pacers   sync.WaitGroup
}

// connect joins everybody and waits until all connections are up.
func connect(ctx context.Context, url string, r row) (*rooms, error) {
	api, err := newAPI()
	if err != nil {
		return nil, err
	}
	load := &rooms{row: r, begun: make(chan struct{}), done: make(chan struct{})}
	for i := range r.rooms {
		room := &room{name: fmt.Sprintf("bench-%d", i), api: api, picture: newPicture(r.perRoom()), changed: make(chan struct{}, 1)}
		load.all = append(load.all, room)
		for range r.viewers {
			viewer, err := room.newPage(ctx, url, "recruiter")
			if err != nil {
				return load, err
			}
			room.viewers = append(room.viewers, viewer)
		}
		if room.candidate, err = room.newPage(ctx, url, "candidate"); err != nil {
			return load, err
		}
		if err := room.awaitConnected(ctx); err != nil {
			return load, err
		}
		load.pacers.Go(func() { pace(r.perRoom(), load.begun, load.done, room.sender(&load.measured)) })
	}
	return load, nil
}

func (r *room) awaitConnected(ctx context.Context) error {
	for {
		connected := 0
		for _, p := range append([]*page{r.candidate}, r.viewers...) {
			p.mu.Lock()
			for _, l := range p.legs {
				if l.connected.Load() {
					connected++
				}
			}
			p.mu.Unlock()
		}
		if connected == 2*len(r.viewers) {
			return nil
		}
		select {
		case <-r.changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: %d of %d connections are up: %w", r.name, connected, 2*len(r.viewers), ctx.Err())
		}
	}
}

func (l *rooms) legs() int { return 2 * l.row.rooms * l.row.viewers }

// begin lets the publishers send at their rate, and waits until every viewer sees something.
func (l *rooms) begin(ctx context.Context) error {
	close(l.begun)
	for {
		blind := 0
		for _, v := range l.viewers() {
			if v.any.Load() == 0 {
				blind++
			}
		}
		if blind == 0 {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d viewers see nothing: %w", blind, ctx.Err())
		}
	}
}

// sender makes the function that sends a room's next packet.
func (r *room) sender(measured *atomic.Bool) func() {
	packet := rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, packetSize-headerSize-8)} // 8: transport-wide sequence number
	r.candidate.mu.Lock()
	legs := make([]*pageLeg, len(r.candidate.legs))
	for _, l := range r.candidate.legs {
		legs[l.index] = l
	}
	r.candidate.mu.Unlock()
	return func() {
		s := stamp{sent: int64(time.Since(start)), number: r.sent, measured: measured.Load()}
		// A browser sends on every connection whose direction allows it. A relay that leaves several
		// on gets the picture on one of them only: what the others would cost is not forwarding.
		carrier := int(r.carrier.Load())
		if carrier >= len(legs) || !legs[carrier].allowed.Load() {
			for i, l := range legs {
				if l.allowed.Load() {
					carrier = i
					break
				}
			}
		}
		packet.Timestamp, packet.Marker = r.picture.next(packet.Payload)
		for i, l := range legs {
			if !l.allowed.Load() || i != carrier && s.sent-l.said < keepalive {
				continue
			}
			s.leg = l.index
			on := s
			on.measured = s.measured && i == carrier
			on.put(packet.Payload)
			packet.SequenceNumber = l.sequence
			l.sequence++
			l.said = s.sent
			_ = l.track.WriteRTP(&packet)
		}
		if s.measured {
			r.sent++
		}
	}
}

func (l *rooms) viewers() []*tally {
	var all []*tally
	for _, r := range l.all {
		for _, v := range r.viewers {
			all = append(all, &v.tally)
		}
	}
	return all
}

// uploads is how many of the candidates' connections may send.
func (l *rooms) uploads() int {
	n := 0
	for _, r := range l.all {
		for _, leg := range r.candidate.legs {
			if leg.allowed.Load() {
				n++
			}
		}
	}
	return n
}

// sent is how many measured packets every viewer of every room should have got, all together.
func (l *rooms) sent() int {
	n := 0
	for _, r := range l.all {
		n += int(r.sent) * len(r.viewers)
	}
	return n
}

func (l *rooms) setMeasured(on bool) { l.measured.Store(on) }

// stop ends the publishers.
func (l *rooms) stop() {
	close(l.done)
	l.pacers.Wait()
}

func (l *rooms) close() {
	for _, r := range l.all {
		for _, p := range append([]*page{r.candidate}, r.viewers...) {
			if p != nil {
				p.close()
			}
		}
	}
}
