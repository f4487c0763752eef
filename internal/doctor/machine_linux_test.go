package doctor

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

func TestBuffers(t *testing.T) {
	const asked = 4 << 20
	wants(t, checkBuffers(&Buffers{asked, 2 * asked}, asked), OK, "4 MiB")
	wants(t, checkBuffers(&Buffers{212992, asked}, asked), Warn, "208 KiB to receive and 4 MiB to send", "net.core.rmem_max=4194304 net.core.wmem_max=4194304")
	wants(t, checkBuffers(&Buffers{2 * asked, 212992}, asked), Warn, "4 MiB to receive and 208 KiB to send")
	wants(t, checkBuffers(nil, 1), OK, "rmem_max")
	wants(t, checkBuffers(nil, math.MaxInt), Warn, "rmem_max")
}

func TestFiles(t *testing.T) {
	limit, err := fileLimit()
	if err != nil || limit < 3 {
		t.Fatalf("%d, %v", limit, err)
	}
	wants(t, checkFiles(limit, true), OK, fmt.Sprint(limit), "of the server")
	wants(t, checkFiles(1, false), OK, "of this command")
	status := OK
	if limit <= fewFiles {
		status = Warn
	}
	wants(t, checkFiles(limit+1, true), status, "LimitNOFILE")
}

// What the kernel says of itself stands behind the lines.
func TestClockAndConntrack(t *testing.T) {
	synchronised, err := clockSynchronised()
	if err != nil {
		t.Fatal(err)
	}
	wants(t, checkClock(), map[bool]Status{true: OK, false: Warn}[synchronised])

	count, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	got := checkConntrack()
	if err != nil {
		wants(t, got, Skip)
	} else if got.Status == Skip || !strings.Contains(got.Result, " of ") {
		t.Errorf("%s entries: %+v", count, got)
	}
}
