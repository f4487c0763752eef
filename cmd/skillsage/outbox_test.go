package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"skillsage/sfu"
)

func TestConnectionQuality(t *testing.T) {
	for _, c := range []struct {
		q    sfu.Quality
		want string
	}{
		{
			sfu.Quality{Peer: "P", Level: sfu.Good, LossUp: -1, LossDown: -1, Path: sfu.Path{Transport: "udp", Local: "host", Remote: "prflx"}},
			`{"userId":"P","isScreenShare":false,"quality":"good","peerQuality":null,"rtt":null,"lossUp":null,"lossDown":null,"bitrateUp":0,"bitrateDown":0,"transport":"udp","candidateType":"prflx","estimate":null}`,
		},
		{
			sfu.Quality{Peer: "P", Screen: true, Level: sfu.Poor, PeerLevel: sfu.Fair, RTT: 12345 * time.Microsecond, LossUp: 0, LossDown: 1. / 3, BitrateUp: 1, BitrateDown: 2_000_000, Path: sfu.Path{Transport: "tcp", Local: "host", Remote: "relay"}, Estimate: 500_000},
			`{"userId":"P","isScreenShare":true,"quality":"poor","peerQuality":"fair","rtt":12.3,"lossUp":0,"lossDown":0.3333,"bitrateUp":1,"bitrateDown":2000000,"transport":"tcp","candidateType":"relay","estimate":500000}`,
		},
	} {
		got, err := json.Marshal(connectionQuality(&c.q))
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v\nwant %s", got, err, c.want)
		}
	}
}

func TestMediaReasonsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range sfu.MediaReasons {
		for _, word := range []string{string(why.State), string(why.Reason)} {
			if !strings.Contains(string(text), "`"+word+"`") {
				t.Errorf("%s is not in the protocol's description", word)
			}
		}
	}
}
