package webhook

import (
	"bytes"
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"skillsage/internal/testkit/freeport"
	"skillsage/internal/testkit/journal"
)

// The receivers of the manual take what is sent, and nothing that was signed by somebody else or altered.
func TestManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/recording-delivery.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		language, file string
		command        []string
	}{
		{"js", "receiver.mjs", []string{"node", "receiver.mjs"}},
		{"go", "receiver.go", []string{"go", "build", "-o", "receiver", "receiver.go"}},
	} {
		t.Run(c.language, func(t *testing.T) {
			if _, err := exec.LookPath(c.command[0]); err != nil {
				t.Skip(err)
			}
			block := regexp.MustCompile("(?s)\n```" + c.language + "\n(.*?)\n```").FindSubmatch(manual)
			if block == nil {
				t.Fatal("there is none in the manual")
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c.file), block[1], 0o600); err != nil {
				t.Fatal(err)
			}
			command := c.command
			if c.language == "go" {
				build := exec.Command(command[0], command[1:]...)
				build.Dir = dir
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				command = []string{filepath.Join(dir, "receiver")}
			}
			address, said := serve(t, dir, command)
			for name, sender := range map[string]struct {
				secrets [][]byte
				want    Stats
			}{
				"the right secret":     {[][]byte{secret}, Stats{Delivered: 1}},
				"the new one too":      {[][]byte{bytes.Repeat([]byte{9}, 32), secret}, Stats{Delivered: 1}},
				"somebody else's only": {[][]byte{bytes.Repeat([]byte{9}, 32)}, Stats{Failed: 1, Dead: 1}},
			} {
				opts := quick(folder(t), "http://"+address+"/")
				opts.Secrets, opts.RetryFor = sender.secrets, time.Nanosecond
				q := open(t, opts)
				if err := q.Add(Message{ID: "msg_1", Body: []byte(`{"type":"recording.finished","data":{"recording":"r-1","folder":"iv/r-1"}}`)}); err != nil {
					t.Fatal(err)
				}
				eventually(t, "an empty queue", func() bool { return q.Stats().Queued == 0 })
				eventually(t, name, func() bool { return q.Stats() == sender.want })
			}
			if n := strings.Count(said.String(), "recording.finished r-1 iv/r-1"); n != 2 {
				t.Errorf("it said %d times what it should:\n%s", n, said)
			}
		})
	}
}

// serve runs a receiver until the end of the test.
func serve(t *testing.T, dir string, command []string) (address string, said *journal.Journal) {
	t.Helper()
	port := strconv.Itoa(freeport.Find(t))
	address, said = net.JoinHostPort("127.0.0.1", port), new(journal.Journal)
	process := exec.Command(command[0], command[1:]...)
	process.Dir, process.Stdout, process.Stderr = dir, said, said
	process.Env = append(os.Environ(), "PORT="+port, "WEBHOOK_SECRET=whsec_"+base64.StdEncoding.EncodeToString(secret))
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return address, said
		}
		if time.Now().After(end) {
			t.Fatalf("%v\n%s", err, said)
		}
	}
}
