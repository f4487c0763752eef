package delivery

import (
	"bufio"
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skillsage/recording"
	"skillsage/recording/command"
	"skillsage/recording/retry"
	"skillsage/recording/store"
	"skillsage/recording/upload"
	"skillsage/recording/webhook"
)

// killed is the process of TestKill that gets killed: it delivers what it finds in the store.
func killed(dir string) error {
	folders, err := store.Open(filepath.Join(dir, "recordings"))
	if err != nil {
		return err
	}
	if err := folders.Sweep(); err != nil { // as the recorder does at its start
		return err
	}
	u, err := upload.New(upload.Options{URL: "file://" + filepath.Join(dir, "bucket")})
	if err != nil {
		return err
	}
	c, err := command.New(command.Options{Args: []string{"sh", "-c", "echo $RECORDING_ID >> " + filepath.Join(dir, "runs")}, Parallel: 2})
	if err != nil {
		return err
	}
	quick := retry.Policy{First: time.Millisecond, Most: 10 * time.Millisecond}
	_, err = New(Options{
		Store:    folders,
		Webhooks: &webhook.Options{URLs: []string{os.Getenv("KILL_TEST_URL")}, Secrets: [][]byte{secret}, Retry: quick},
		Upload:   u, Command: c, DeleteUploaded: true, Retry: quick, Interval: 5 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	select {} // until it is killed
}

// However often the process is killed, and whenever, each recording arrives, is told of in order and not before it has
// arrived, and is handed to the program; and nothing is left of it here.
func TestKill(t *testing.T) {
	if dir := os.Getenv("KILL_TEST_DIR"); dir != "" {
		t.Fatal(killed(dir))
	}
	s := newStage(t)
	dir := t.TempDir()
	for _, name := range []string{"recordings", "bucket"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	folders, err := store.Open(filepath.Join(dir, "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	defer folders.Close()

	content := func(id string) string { return strings.Repeat(id, 20_000) }
	arrived := func(id string) string {
		names, _ := filepath.Glob(filepath.Join(dir, "bucket", "*", id, "*"))
		got, err := os.ReadFile(filepath.Join(dir, "bucket", "interview", id, "candidate-1.webm"))
		switch {
		case err != nil:
			return err.Error()
		case string(got) != content(id):
			return "it is not what was recorded"
		case len(names) != 2:
			return "not just two files: " + strings.Join(names, " ")
		}
		return ""
	}
	s.onHearing(func(h told) {
		if h.Type == recording.EventFinished {
			if wrong := arrived(h.Data.Recording); wrong != "" {
				t.Errorf("%s was told of too early: %s", h.Data.Recording, wrong)
			}
		}
	})

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	var ids []string
	process, logged := start(t, dir, s.server.URL)
	for range 15 {
		folder, m := begin(t, folders, "interview", time.Now())
		ids = append(ids, m.ID)
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		end(t, folder, m, content(m.ID))
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		kill(process)
		process, logged = start(t, dir, s.server.URL)
	}
	defer func() {
		kill(process)
		if t.Failed() {
			t.Logf("%s", logged)
		}
	}()
	eventually(t, "all removed", func() bool {
		left, _ := filepath.Glob(filepath.Join(dir, "recordings", "interview", "*"))
		hidden, _ := filepath.Glob(filepath.Join(dir, "recordings", "interview", ".*"))
		waiting, _ := filepath.Glob(filepath.Join(dir, "recordings", webhooksDir, "queue", "*"))
		return len(left)+len(hidden)+len(waiting) == 0
	})
	runs, err := os.ReadFile(filepath.Join(dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	twice := 0
	for _, id := range ids {
		if wrong := arrived(id); wrong != "" {
			t.Errorf("%s: %s", id, wrong)
		}
		if !bytes.Contains(runs, []byte(id)) {
			t.Errorf("%s was not handed to the program", id)
		}
		heard := s.heard(id)
		if !strings.HasPrefix(heard, "started") || !strings.HasSuffix(heard, "finished") || strings.Contains(heard, "finished started") {
			t.Errorf("%s: told of as %q", id, heard)
		}
		twice += len(strings.Fields(heard)) - 2
	}
	if dead, _ := filepath.Glob(filepath.Join(dir, "recordings", webhooksDir, "dead", "*")); len(dead) > 0 {
		t.Errorf("given up: %v", dead)
	}
	t.Logf("%d messages came twice, and %d runs of the program", twice, bytes.Count(runs, []byte("\n"))-len(ids))
}

// start starts the process that gets killed, and waits until it is at work.
func start(t *testing.T, dir, url string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	process := exec.Command(os.Args[0], "-test.run", "^TestKill$")
	process.Env = append(os.Environ(), "KILL_TEST_DIR="+dir, "KILL_TEST_URL="+url)
	logged := new(bytes.Buffer)
	process.Stderr = logged
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		kill(process)
		t.Fatalf("%q, %v\n%s", line, err, logged)
	}
	return process, logged
}

func kill(process *exec.Cmd) {
	_ = process.Process.Kill()
	_ = process.Wait()
}
