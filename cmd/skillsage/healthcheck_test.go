package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The command says of a running server whether it takes new people, with TLS and without, and when there is none.
func TestHealthcheck(t *testing.T) {
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	writeCertificate(t, cert, key)
	for name, environ := range map[string][]string{
		"HTTP":  {"SKILLSAGE_SHUTDOWN_DRAIN=1h"},
		"HTTPS": {"SKILLSAGE_SHUTDOWN_DRAIN=1h", "SKILLSAGE_SERVER_TLS_CERT=" + cert, "SKILLSAGE_SERVER_TLS_KEY=" + key, "SKILLSAGE_SERVER_PLAIN_HTTP=serve"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startServer(t, environ...)
			port := p.base[strings.LastIndex(p.base, ":")+1:]
			ask := func(want int, text string) {
				t.Helper()
				c := startProcess(t, append(environ, "PORT="+port), "healthcheck")
				if code := c.exit(10 * time.Second); code != want || !strings.Contains(c.out.String(), text) {
					t.Errorf("exit code %d: %s", code, c.out.String())
				}
			}
			ask(exitOK, "200")
			conn := p.join("one")
			p.hear(conn, `42["code-state"`)
			p.signal(syscall.SIGTERM)
			p.eventually("draining", func() bool { return p.status("/healthz") == 503 })
			ask(exitFailed, "503")
			p.say(conn, "41")
			p.exit(10 * time.Second)
			ask(exitFailed, "healthcheck: Get ")
		})
	}
	c := startProcess(t, []string{"PORT=0"}, "healthcheck")
	if code := c.exit(10 * time.Second); code != exitUsage || !strings.Contains(c.out.String(), "server.port is 0") {
		t.Errorf("exit code %d: %s", code, c.out.String())
	}
}
