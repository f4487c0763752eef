package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/srtp/v3"
)

// TestSmoke runs the benchmark at a low rate, against the real server and the
// floor program, for what both must do: forward every packet to every viewer.
// Nothing is timed.
func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	for name, from := range map[string]string{"skillsage": "skillsage/cmd/skillsage", "bench": "skillsage/sfu/bench"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), from).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	o := options{binary: filepath.Join(dir, "skillsage"), self: filepath.Join(dir, "bench"), window: 2 * time.Second, warm: time.Second}
	r := row{rooms: 2, viewers: 2, rate: 200}

	relay, err := measureRelay(o, r, "")
	if err != nil {
		t.Fatal(err)
	}
	checkForwarded(t, "relay", relay)
	if !gcm(relay.relay.cipher) {
		t.Errorf("SRTP with %s", relay.relay.cipher)
	}
	if want := r.rooms; relay.relay.uploads != want {
		t.Errorf("%d uploads are on, want %d: one for each candidate", relay.relay.uploads, want)
	}

	recorded, err := measureRecorded(o, r)
	if err != nil {
		t.Fatal(err)
	}
	checkForwarded(t, "recorded", recorded)

	floor, err := measureFloor(o, r, srtp.ProtectionProfileAeadAes256Gcm)
	if err != nil {
		t.Fatal(err)
	}
	checkForwarded(t, "floor", floor)
}

func checkForwarded(t *testing.T, name string, res result) {
	t.Helper()
	t.Logf("%s: %d packets, %d lost", name, res.sent, res.lost)
	if res.sent < 100 || res.lost != 0 {
		t.Errorf("%s: %d of %d packets did not arrive", name, res.lost, res.sent)
	}
	if res.perPacket <= 0 {
		t.Errorf("%s: no CPU time was measured", name)
	}
}
