// Package network opens the ports that media arrives on and hands them to the ICE agents.
package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pion/ice/v4"
)

// SocketBuffer is asked of the kernel for each direction, in bytes. With the usual 208 KiB the burst
// of one key frame to several viewers is lost.
const SocketBuffer = 4 << 20

// Options say where a Port is opened.
type Options struct {
	Port       int          // UDP port; 0 lets the system choose one, the same on every address
	Addresses  []netip.Addr // of this machine; empty: every suitable one
	Interfaces []string     // by name; empty: every one
	Loopback   Loopback     // without effect on Addresses, which say it themselves
	Logger     *slog.Logger // nil: slog.Default
}

// Loopback says whether a Port is opened on 127.0.0.1 and ::1 too.
type Loopback int

const (
	LoopbackAuto Loopback = iota // only when there is nothing else
	LoopbackYes
	LoopbackNo
)

// Port is one UDP port, open on several addresses of the machine, that all media connections share.
// ICE tells them apart by the user name fragment of their connectivity checks (RFC 8445).
type Port struct {
	// Static.
	mux     *ice.MultiUDPMuxDefault
	addrs   []netip.AddrPort
	sockets []*socket // of the addresses
	buffers Buffers   // the least of the sockets

	virtualMu sync.Mutex // held while the address of a Virtual is chosen

	count counters
	conns atomic.Int64 // that the muxes hold
}

// Open opens the port on every chosen address, or on none: an error names the address that failed.
func Open(opts Options) (*Port, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	addrs, err := Addresses(opts)
	if err != nil {
		return nil, err
	}
	p := &Port{}
	muxes := make([]ice.UDPMux, 0, len(addrs))
	port := opts.Port
	for _, addr := range addrs {
		conn, err := listen(netip.AddrPortFrom(addr, uint16(port)))
		// A machine may list an address that can't be used (yet): IPv6 still checking for duplicates.
		if errors.Is(err, syscall.EADDRNOTAVAIL) && len(opts.Addresses) == 0 {
			opts.Logger.Warn("address can't be used for media", "address", addr)
			continue
		}
		if err != nil {
			closeAll(muxes)
			return nil, explain(addr, port, err)
		}
		port = conn.LocalAddr().(*net.UDPAddr).Port
		granted := buffersOf(conn)
		socket, err := newSocket(conn, &p.count)
		if err != nil {
			_ = conn.Close()
			closeAll(muxes)
			return nil, explain(addr, port, err)
		}
		mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: socket, Logger: muxLogger{opts.Logger}})
		muxes = append(muxes, newCountedMux(mux, &p.conns))
		p.addrs = append(p.addrs, netip.AddrPortFrom(addr, uint16(port)))
		p.sockets = append(p.sockets, socket)
		if len(p.sockets) > 1 {
			granted = Buffers{min(p.buffers.Receive, granted.Receive), min(p.buffers.Send, granted.Send)}
		}
		p.buffers = granted
	}
	if len(muxes) == 0 {
		return nil, fmt.Errorf("UDP port %d: none of this machine's addresses can be used", port)
	}
	p.mux = ice.NewMultiUDPMuxDefault(muxes...)
	return p, nil
}

func closeAll(muxes []ice.UDPMux) {
	for _, mux := range muxes {
		_ = mux.Close()
	}
}

func listen(addr netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	// The kernel cuts the size to net.core.rmem_max and wmem_max without an error.
	_ = conn.SetReadBuffer(SocketBuffer)
	_ = conn.SetWriteBuffer(SocketBuffer)
	return conn, nil
}

func explain(addr netip.Addr, port int, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("UDP port %d on %s is taken by another program: %w", port, addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this machine: %w", addr, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("UDP port %d may not be opened by this user: %w", port, err)
	}
	return fmt.Errorf("UDP port %d on %s: %w", port, addr, err)
}

// Addresses lists those on which Open would open the port, loopback ones last.
func Addresses(opts Options) ([]netip.Addr, error) {
	if len(opts.Addresses) > 0 {
		return opts.Addresses, nil
	}
	all, err := machineAddresses(opts.Interfaces)
	if err != nil {
		return nil, err
	}
	var real, loopback []netip.Addr
	for _, addr := range all {
		if addr.IsLoopback() {
			loopback = append(loopback, addr)
		} else {
			real = append(real, addr)
		}
	}
	if opts.Loopback == LoopbackYes || opts.Loopback == LoopbackAuto && len(real) == 0 {
		real = append(real, loopback...)
	}
	if len(real) == 0 {
		if len(opts.Interfaces) > 0 {
			return nil, fmt.Errorf("no address to carry media on %s", strings.Join(opts.Interfaces, ", "))
		}
		return nil, errors.New("this machine has no address to carry media")
	}
	return real, nil
}

// machineAddresses lists the addresses of the named interfaces that are up, or of all. Link-local ones
// are left out: a browser can't use them without naming its own interface.
func machineAddresses(names []string) ([]netip.Addr, error) {
	var ifaces []net.Interface
	if len(names) == 0 {
		all, err := net.Interfaces()
		if err != nil {
			return nil, fmt.Errorf("network interfaces: %w", err)
		}
		ifaces = all
	}
	for _, name := range names {
		iface, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("network interface %q: %w", name, err)
		}
		ifaces = append(ifaces, *iface)
	}
	var found []netip.Addr
	for _, iface := range ifaces {
		if iface.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := iface.Addrs()
		if err != nil {
			return nil, fmt.Errorf("network interface %s: %w", iface.Name, err)
		}
		for _, a := range addrs {
			prefix, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			addr, _ := netip.AddrFromSlice(prefix.IP)
			if addr = addr.Unmap(); addr.IsValid() && !addr.IsLinkLocalUnicast() && !addr.IsMulticast() {
				found = append(found, addr)
			}
		}
	}
	return found, nil
}

// Mux is what the ICE agents take their connections from.
func (p *Port) Mux() ice.UDPMux { return p.mux }

// Addresses lists where the port is open.
func (p *Port) Addresses() []netip.AddrPort { return p.addrs }

// Number is the port's number, the same on every address.
func (p *Port) Number() int { return int(p.addrs[0].Port()) }

// HasLoopback tells whether a loopback address is among them.
func (p *Port) HasLoopback() bool {
	for _, a := range p.addrs {
		if a.Addr().IsLoopback() {
			return true
		}
	}
	return false
}

// Buffers are the sizes of a socket's buffers, in bytes.
type Buffers struct{ Receive, Send int }

// Buffers is what the kernel has granted each socket of the SocketBuffer that was asked for; zero where it does not tell.
func (p *Port) Buffers() Buffers { return p.buffers }

// Close ends the port and every connection on it.
func (p *Port) Close() error {
	for _, s := range p.sockets {
		if turn := s.turn.Load(); turn != nil {
			_ = turn.Close()
		}
	}
	return p.mux.Close()
}
