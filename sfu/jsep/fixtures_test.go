package jsep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Descriptions of browsers: Chromium's and Firefox's as the browsers wrote them,
// Safari's in the recorded shape; addresses, ids and credentials are neutral.

func fixture(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".sdp"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func fixtures(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d recorded descriptions found, error %v", len(files), err)
	}
	all := make(map[string]string, len(files))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sdp")
		all[name] = fixture(t, name)
	}
	return all
}

func parse(t testing.TB, text string) *Description {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// minimal is the least that Parse accepts, to be broken in one place.
const minimal = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"a=group:BUNDLE 0\r\n" +
	"a=fingerprint:sha-256 00:11\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" +
	"a=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=setup:actpass\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
