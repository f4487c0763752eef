package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"golang.org/x/sys/unix"
)

const (
	floorBatch   = 64   // packets per system call
	floorBuffer  = 2048 // bytes
	socketBuffer = 4 << 20
)

// floorPlan is what the floor program reads from its standard input. Room i is
// published with the SSRC i+1; its viewer j gets floorSSRC(i, j).
type floorPlan struct {
	Profile srtp.ProtectionProfile
	Rooms   [][]netip.AddrPort // the viewers
}

func floorSSRC(room, viewer int) uint32 { return uint32(1000 + room*100 + viewer) }

// floorContext is the SRTP state of one connection. The key is no secret: nobody is there to keep it from.
func floorContext(profile srtp.ProtectionProfile) (*srtp.Context, error) {
	key, err := profile.KeyLen()
	if err != nil {
		return nil, err
	}
	salt, err := profile.SaltLen()
	if err != nil {
		return nil, err
	}
	return srtp.CreateContext(make([]byte, key), make([]byte, salt), profile, srtp.SRTPNoReplayProtection())
}

// mmsghdr is the kernel's struct of that name (recvmmsg(2)).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// messages are the arguments of recvmmsg and sendmmsg.
type messages struct {
	headers [floorBatch]mmsghdr
	vectors [floorBatch]unix.Iovec
	data    [floorBatch][floorBuffer]byte
}

func newMessages() *messages {
	m := new(messages)
	for i := range m.headers {
		m.vectors[i].Base = &m.data[i][0]
		m.vectors[i].SetLen(floorBuffer)
		m.headers[i].hdr.Iov = &m.vectors[i]
		m.headers[i].hdr.SetIovlen(1)
	}
	return m
}

// viewer is one who gets a copy.
type viewer struct {
	name    unix.RawSockaddrInet4
	context *srtp.Context
	ssrc    uint32
}

// runFloor is what any relay has to do and nothing else, on one thread: receive,
// decrypt, encrypt for each viewer, send; with batched system calls. It runs until it is killed.
func runFloor(in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // nothing is allocated below
	var plan floorPlan
	if err := json.NewDecoder(in).Decode(&plan); err != nil {
		return err
	}
	from := make([]*srtp.Context, len(plan.Rooms))
	to := make([][]viewer, len(plan.Rooms))
	for i, viewers := range plan.Rooms {
		var err error
		if from[i], err = floorContext(plan.Profile); err != nil {
			return err
		}
		for j, addr := range viewers {
			v := viewer{ssrc: floorSSRC(i, j)}
			if v.context, err = floorContext(plan.Profile); err != nil {
				return err
			}
			v.name.Family = unix.AF_INET
			v.name.Addr = addr.Addr().As4()
			port := (*[2]byte)(unsafe.Pointer(&v.name.Port))
			port[0], port[1] = byte(addr.Port()>>8), byte(addr.Port())
			to[i] = append(to[i], v)
		}
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	file, err := conn.File()
	if err != nil {
		return err
	}
	fd := file.Fd() // a blocking one, with which the runtime's poller has nothing to do
	fmt.Fprintln(out, conn.LocalAddr())

	received, sending := newMessages(), newMessages()
	var header rtp.Header
	n := 0
	flush := func() error {
		for done := 0; done < n; {
			sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&sending.headers[done])), uintptr(n-done), 0, 0, 0)
			if errno != 0 && errno != unix.EINTR && errno != unix.ECONNREFUSED {
				return os.NewSyscallError("sendmmsg", errno)
			}
			if errno == 0 {
				done += int(sent)
			}
		}
		n = 0
		return nil
	}
	for {
		got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&received.headers[0])), floorBatch, unix.MSG_WAITFORONE, 0, 0)
		if errno == unix.EINTR || errno == unix.ECONNREFUSED {
			continue
		}
		if errno != 0 {
			return os.NewSyscallError("recvmmsg", errno)
		}
		for i := range int(got) {
			packet := received.data[i][:received.headers[i].len]
			if _, err := header.Unmarshal(packet); err != nil || header.SSRC == 0 || int(header.SSRC) > len(from) {
				continue
			}
			room := int(header.SSRC) - 1
			plain, err := from[room].DecryptRTP(packet, packet, &header)
			if err != nil {
				continue
			}
			for j := range to[room] {
				v := &to[room][j]
				plain[8], plain[9], plain[10], plain[11] = byte(v.ssrc>>24), byte(v.ssrc>>16), byte(v.ssrc>>8), byte(v.ssrc)
				secret, err := v.context.EncryptRTP(sending.data[n][:0], plain, &header)
				if err != nil {
					continue
				}
				sending.vectors[n].SetLen(len(secret))
				sending.headers[n].hdr.Name = (*byte)(unsafe.Pointer(&v.name))
				sending.headers[n].hdr.Namelen = unix.SizeofSockaddrInet4
				if n++; n == floorBatch {
					if err := flush(); err != nil {
						return err
					}
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
}
