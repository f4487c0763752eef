package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// What the operator names is what the start tells, and what a browser reads in the server's description.
func TestAdvertisedAddresses(t *testing.T) {
	p := startServer(t, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_NETWORK_ADVERTISE=203.0.113.5,udp:[2001:db8::5]:443")
	port := p.base[strings.LastIndex(p.base, ":")+1:]
	want := "UDP     203.0.113.5:" + port + " (network.advertise), [2001:db8::5]:443 (network.advertise), 127.0.0.1:" + port + "\n"
	p.eventually("told", func() bool { return strings.Contains(p.out.String(), want) })

	recruiter, candidate := p.join("one"), p.join("one")
	p.hear(candidate, `42["code-state"`)
	id := ""
	for id == "" {
		_, text, err := recruiter.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if joined := regexp.MustCompile(`^42\["user-joined",\{"userId":"([^"]+)"`).FindSubmatch(text); joined != nil {
			id = string(joined[1])
		}
	}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	message, err := json.Marshal([]any{"signal", map[string]any{"to": id, "from": "me", "type": "offer", "signal": offer}})
	if err != nil {
		t.Fatal(err)
	}
	p.say(recruiter, "42"+string(message))
	_ = candidate.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		_, text, err := candidate.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), `42["signal"`) {
			continue
		}
		var got []string
		for _, match := range regexp.MustCompile(`a=candidate:\d+ 1 (udp|tcp) \d+ (\S+ \d+) typ host`).FindAllSubmatch(text, -1) {
			got = append(got, string(match[2]))
		}
		if want := fmt.Sprintf("[203.0.113.5 %s 2001:db8::5 443 127.0.0.1 %[1]s 127.0.0.1 %[1]s]", port); fmt.Sprint(got) != want {
			t.Errorf("%v, want %s in\n%s", got, want, text)
		}
		return
	}
}

// A server that only its own machine reaches says so, where its page is for others; a private one as well.
func TestWarnsWhenNobodyGetsMedia(t *testing.T) {
	for _, c := range []struct {
		name, want string
		environ    []string
	}{
		{"for this machine alone", "", nil},
		{"behind a proxy", "WARNING: Only browsers on this machine", []string{"SKILLSAGE_SERVER_TRUSTED_PROXIES=127.0.0.1"}},
		{"private", "WARNING: Nobody outside this network", []string{"SKILLSAGE_NETWORK_ADVERTISE=192.168.1.5", "SKILLSAGE_SERVER_TRUSTED_PROXIES=127.0.0.1"}},
		{"public", "", []string{"SKILLSAGE_NETWORK_ADVERTISE=203.0.113.5", "SKILLSAGE_SERVER_TRUSTED_PROXIES=127.0.0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startServer(t, append(c.environ, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1")...)
			p.eventually("told", func() bool {
				out := p.out.String()
				return strings.Contains(out, "browsers are told to reach the media at\n") && strings.Contains(out, c.want)
			})
			if out := p.out.String(); c.want == "" && strings.Contains(out, "WARNING") {
				t.Errorf("warned for no reason:\n%s", out)
			}
		})
	}
	p := startServer(t, "SKILLSAGE_RELAY_MODE=p2p")
	if out := p.out.String(); strings.Contains(out, "browsers are told") {
		t.Errorf("p2p:\n%s", out)
	}
}
