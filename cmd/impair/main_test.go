package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A program that speaks the lines can send through the link, change it and read its counters.
func TestLines(t *testing.T) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	stdin, requests := io.Pipe()
	answers, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(place{listen: "127.0.0.1:0", target: server.LocalAddr().String(), seed: 1}, stdin, stdout)
		stdout.Close()
		ended <- err
	}()
	lines := bufio.NewScanner(answers)
	next := func(into any) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("no line: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), into); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
	}
	ask := func(line string) (r reply) {
		t.Helper()
		if _, err := io.WriteString(requests, line+"\n"); err != nil {
			t.Fatal(err)
		}
		next(&r)
		return r
	}

	var hello struct{ Listen string }
	next(&hello)
	client, err := net.Dial("udp4", hello.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func() {
		t.Helper()
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	received := func() (port int) {
		t.Helper()
		buffer := make([]byte, 16)
		_ = server.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, from, err := server.ReadFromUDP(buffer)
		if err != nil || string(buffer[:n]) != "hello" {
			t.Fatalf("the server got %q, %v", buffer[:n], err)
		}
		return from.Port
	}
	send()
	first := received()

	if r := ask(`{"id":1,"rebind":true}`); r.Error != "" || r.Clients != 1 {
		t.Fatalf("%+v", r)
	}
	send()
	if port := received(); port == first {
		t.Errorf("the client still comes from port %d", port)
	}
	if r := ask(`{"id":1,"up":{"loss":1}}`); r.ID != 1 || r.Error != "" || r.Up == nil || r.Up.Packets != 2 || r.Clients != 1 {
		t.Fatalf("%+v", r)
	}
	send()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if r := ask(`{"id":2}`); r.Up.Lost == 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the packet is not counted as lost: %+v", r.Up)
		}
	}
	for _, bad := range []string{`{"id":3,"up":{"loss":2}}`, `{"id":3,"sideways":{}}`, `{`, `{"id":3,"down":{"rate":-1}}`} {
		if r := ask(bad); r.Error == "" {
			t.Errorf("%s was accepted", bad)
		}
	}
	requests.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// Two TAP devices are there while the program runs, and are steered by the same lines.
func TestTAPs(t *testing.T) {
	near, far := fmt.Sprintf("near%d", os.Getpid()), fmt.Sprintf("far%d", os.Getpid())
	var out strings.Builder
	err := run(place{taps: near + "," + far}, strings.NewReader(`{"id":1,"up":{"loss":1}}`+"\n"), &out)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no TAP devices here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(out.String(), "\n")
	if want := fmt.Sprintf(`{"taps":["%s","%s"]}`, near, far); answers[0] != want {
		t.Errorf("the first line is %s, want %s", answers[0], want)
	}
	var r reply
	if err := json.Unmarshal([]byte(answers[1]), &r); err != nil || r.ID != 1 || r.Error != "" || r.Up == nil || r.Down == nil {
		t.Errorf("answered by %s, %v", answers[1], err)
	}
}

func TestBadFlags(t *testing.T) {
	for _, p := range []place{
		{listen: "nowhere", target: "127.0.0.1:1"},
		{listen: "127.0.0.1:0"},
		{listen: "127.0.0.1:0", target: "localhost:5000"},
		{taps: "one"},
		{taps: "one,"},
		{taps: "far-too-long-for-a-device,two"},
	} {
		if err := run(p, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
}
