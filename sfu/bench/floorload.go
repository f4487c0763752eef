package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// floorLoad is the same load without WebRTC.
type floorLoad struct {
	row      row
	profile  srtp.ProtectionProfile
	all      []*floorRoom
	measured atomic.Bool
	begun    chan struct{}
	done     chan struct{}
	pacers   sync.WaitGroup
}

type floorRoom struct {
	picture *picture
	conn    *net.UDPConn
	viewers []*floorViewer
	sent    uint32
}

type floorViewer struct {
	tally
	conn *net.UDPConn
}

// connectFloor hands the plan to the floor program.
func connectFloor(p *process, r row, profile srtp.ProtectionProfile) (*floorLoad, error) {
	load := &floorLoad{row: r, profile: profile, begun: make(chan struct{}), done: make(chan struct{})}
	plan := floorPlan{Profile: profile}
	loopback := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	for i := range r.rooms {
		room := &floorRoom{picture: newPicture(r.perRoom())}
		load.all = append(load.all, room)
		var addrs []netip.AddrPort
		for j := range r.viewers {
			conn, err := net.ListenUDP("udp4", loopback)
			if err != nil {
				return load, err
			}
			v := &floorViewer{conn: conn}
			room.viewers = append(room.viewers, v)
			addrs = append(addrs, conn.LocalAddr().(*net.UDPAddr).AddrPort())
			state, err := floorContext(profile)
			if err != nil {
				return load, err
			}
			go v.watch(state, floorSSRC(i, j)) // ends with the socket
		}
		plan.Rooms = append(plan.Rooms, addrs)
	}
	if err := json.NewEncoder(p.stdin).Encode(plan); err != nil {
		return load, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return load, fmt.Errorf("the floor program says nothing: %w", err)
	}
	addr, err := netip.ParseAddrPort(strings.TrimSpace(line))
	if err != nil {
		return load, err
	}
	for i, room := range load.all {
		if room.conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr)); err != nil {
			return load, err
		}
		send, err := room.sender(i, load)
		if err != nil {
			return load, err
		}
		load.pacers.Go(func() { pace(r.perRoom(), load.begun, load.done, send) })
		time.Sleep(burst / time.Duration(r.rooms)) // their ticks are spread
	}
	return load, nil
}

func (v *floorViewer) watch(state *srtp.Context, ssrc uint32) {
	buffer := make([]byte, floorBuffer)
	var header rtp.Header
	for {
		n, _, err := v.conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		plain, err := state.DecryptRTP(buffer, buffer[:n], &header)
		if err != nil || header.SSRC != ssrc {
			log.Println("the floor program sent something else:", err)
			continue
		}
		if s, ok := getStamp(plain[headerSize:]); ok {
			v.add(s)
		}
	}
}

func (l *floorLoad) begin(context.Context) error {
	close(l.begun)
	return nil
}

func (r *floorRoom) sender(i int, l *floorLoad) (func(), error) {
	state, err := floorContext(l.profile)
	if err != nil {
		return nil, err
	}
	packet := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SSRC: uint32(i + 1)}, Payload: make([]byte, packetSize-headerSize)}
	plain, secret := make([]byte, packetSize), make([]byte, floorBuffer)
	var header rtp.Header
	return func() {
		s := stamp{sent: int64(time.Since(start)), number: r.sent, measured: l.measured.Load()}
		packet.Timestamp, packet.Marker = r.picture.next(packet.Payload)
		s.put(packet.Payload)
		if _, err := packet.MarshalTo(plain); err != nil {
			return
		}
		packet.SequenceNumber++
		out, err := state.EncryptRTP(secret[:0], plain, &header)
		if err != nil {
			return
		}
		_, _ = r.conn.Write(out)
		if s.measured {
			r.sent++
		}
	}, nil
}

func (l *floorLoad) setMeasured(on bool) { l.measured.Store(on) }

func (l *floorLoad) viewers() []*tally {
	var all []*tally
	for _, r := range l.all {
		for _, v := range r.viewers {
			all = append(all, &v.tally)
		}
	}
	return all
}

func (l *floorLoad) sent() int {
	n := 0
	for _, r := range l.all {
		n += int(r.sent) * len(r.viewers)
	}
	return n
}

func (l *floorLoad) stop() {
	close(l.done)
	l.pacers.Wait()
}

func (l *floorLoad) close() {
	for _, r := range l.all {
		if r.conn != nil {
			_ = r.conn.Close()
		}
		for _, v := range r.viewers {
			_ = v.conn.Close()
		}
	}
}
