package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
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
		err := run("127.0.0.1:0", server.LocalAddr().String(), 1, stdin, stdout)
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

func TestBadFlags(t *testing.T) {
	for _, c := range [][2]string{{"nowhere", "127.0.0.1:1"}, {"127.0.0.1:0", ""}, {"127.0.0.1:0", "localhost:5000"}} {
		if err := run(c[0], c[1], 1, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("-listen %q -target %q was accepted", c[0], c[1])
		}
	}
}
