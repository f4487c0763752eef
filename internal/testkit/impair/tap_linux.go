package impair

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// OpenTAP makes a TAP device: each Read takes a frame that the system sends to it, each Write gives the system one.
// The device goes when it is closed, and may be moved to another network namespace before that. It needs
// CAP_NET_ADMIN in the namespace.
func OpenTAP(name string) (io.ReadWriteCloser, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("TAP device %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("TAP device %q: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
