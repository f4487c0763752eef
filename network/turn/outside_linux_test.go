package turn

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/pion/stun/v4"
	"golang.org/x/sys/unix"
)

// The tests here need addresses of the public internet. They run in a process with a network of its own, where all
// addresses for documentation (RFC 5737, RFC 3849) lead to it, though it does not have them.
const namespaceVariable = "SKILLSAGE_TEST_NAMESPACE"

func inNamespace() bool { return os.Getenv(namespaceVariable) != "" }

func setUpNamespace() {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"route", "add", "local", "203.0.113.0/24", "dev", "lo"},
		{"route", "add", "local", "198.51.100.0/24", "dev", "lo"},
		{"route", "add", "local", "10.0.0.0/8", "dev", "lo"},
		{"address", "add", "192.0.2.1/32", "dev", "lo"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "ip %v: %v\n%s", args, err, out)
			os.Exit(3)
		}
	}
}

// namespaced runs the calling test in that process; false: this is it.
func namespaced(t *testing.T) bool {
	t.Helper()
	if inNamespace() {
		return false
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), namespaceVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() == 3) {
		t.Skipf("no network namespace: %v\n%s", err, out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return true
}

func openAt(t *testing.T, text string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(text)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// outsideOptions are those of a server for peer-to-peer rooms, in which all members but those called "inside" are.
func outsideOptions() Options {
	return Options{
		RelayPorts: PortRange{40_000, 40_009},
		Member:     func(id string) (bool, bool) { return true, id != "inside" },
	}
}

// With ports for it a member of a peer-to-peer room reaches the public internet, and is reached from there.
func TestOutside(t *testing.T) {
	if namespaced(t) {
		return
	}
	transports(t, func(t *testing.T, transport string) {
		r := start(t, outsideOptions(), netip.MustParseAddr("203.0.113.1"))
		peerConn := openAt(t, "198.51.100.7:5000")
		client := r.client(transport, "here")
		relayed := addrPortOf(client.LocalAddr())
		if relayed.Addr() != r.media().Addr() || relayed.Port() < 40_000 || relayed.Port() > 40_009 {
			t.Fatalf("relayed address %s", relayed)
		}
		exchange(t, client, peerConn)
		// The other relays of the server and its media port are reached without that socket.
		exchange(t, client, r.client(transport, "another"))
		exchange(t, client, r.client(transport, "inside"))
		for range 7 {
			r.client(transport, "here")
		}
		last := r.raw(transport, "here") // one port is the first one's, one another's
		if _, code := last.allocate(); code != 0 {
			t.Errorf("the last port: %d", code)
		}
		if _, code := r.raw(transport, "here").allocate(); code != 508 {
			t.Errorf("one more than there are ports: %d", code)
		}
	})
}

// No network behind the server, and neither the machine itself, is reached from a relay that leads outside; and one of a
// member of another room does not lead there at all.
func TestOutsideIsThePublicInternetAlone(t *testing.T) {
	if namespaced(t) {
		return
	}
	r := start(t, outsideOptions(), netip.MustParseAddr("203.0.113.1"))
	client, inside := r.raw("udp", "here"), r.raw("udp", "inside")
	client.mustAllocate()
	inside.mustAllocate()
	for _, text := range append([]string{"192.0.2.1"}, forbidden...) { // the first is the machine's own
		addr := netip.MustParseAddr(text)
		if !addr.Unmap().Is4() {
			continue // see TestOnlyTheMediaPortCanBeReached
		}
		if code, _ := client.do(stun.MethodCreatePermission, peer(netip.AddrPortFrom(addr, 5000))); code != 403 {
			t.Errorf("permission for %s: %d", text, code)
		}
		if code, _ := client.do(stun.MethodChannelBind, peer(netip.AddrPortFrom(addr, 5000)), channelNumber(0x4000)); code != 401 {
			t.Errorf("channel to %s: %d", text, code)
		}
	}
	if code, _ := inside.do(stun.MethodCreatePermission, peer(netip.MustParseAddrPort("198.51.100.7:5000"))); code != 403 {
		t.Errorf("permission for a member of another room: %d", code)
	}
	// Ports that permissions do not tell apart: other ones of the server's own address, and those of services.
	reachable := openAt(t, "198.51.100.7:5000")
	targets := []*net.UDPConn{openAt(t, "198.51.100.7:53"), openAt(t, "203.0.113.1:7000"), openAt(t, "10.1.2.3:5000"), openAt(t, "127.0.0.1:5000"), openAt(t, "192.0.2.1:5000")}
	for _, text := range []string{"198.51.100.7:5000", "203.0.113.1:7000"} {
		if code, _ := client.do(stun.MethodCreatePermission, peer(netip.MustParseAddrPort(text))); code != 0 {
			t.Fatalf("permission for %s: %d", text, code)
		}
	}
	for _, target := range append(targets, reachable) {
		client.sendTo(addrPortOf(target.LocalAddr()), []byte("data"))
	}
	if code, _ := client.do(stun.MethodRefresh); code != 0 {
		t.Fatal(code)
	}
	if waiting(t, reachable) != 4 {
		t.Error("nothing goes outside")
	}
	for _, target := range targets {
		if n := waiting(t, target); n > 0 {
			t.Errorf("%s got %d bytes", target.LocalAddr(), n)
		}
	}
}
