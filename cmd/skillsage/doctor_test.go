package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"skillsage/internal/doctor"
	"skillsage/internal/testkit/stunserver"
)

// consult runs the doctor and returns its exit code and report.
func consult(t *testing.T, environ []string, args ...string) (int, *doctor.Report) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"doctor", "--json"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"SKILLSAGE_NETWORK_STUN_SERVERS=", "SKILLSAGE_SERVER_ADDRESS=127.0.0.1"}, environ...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run()
	var report doctor.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("exit code %d: %v\n%s%s", cmd.ProcessState.ExitCode(), err, &out, &errOut)
	}
	if failed := cmd.ProcessState.ExitCode() != 0; failed != report.Failed {
		t.Errorf("exit code %d, but %q", cmd.ProcessState.ExitCode(), report.Verdict)
	}
	return cmd.ProcessState.ExitCode(), &report
}

// line is the first check of an area whose words have a part.
func line(t *testing.T, r *doctor.Report, area, part string) doctor.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Area == area && strings.Contains(c.Tried+": "+c.Result, part) {
			return c
		}
	}
	t.Fatalf("no line of %q with %q in %+v", area, part, r.Checks)
	return doctor.Check{}
}

// TestDoctorOfARunningServer asks the server, which knows what it has been granted and what it tells browsers.
func TestDoctorOfARunningServer(t *testing.T) {
	admin := freePort(t)
	environ := []string{"SKILLSAGE_ADMIN_LISTEN=127.0.0.1:" + admin, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_ADMIN_TOKEN=open-Sesame-0123456789"}
	p := startServer(t, environ...)
	port := p.base[strings.LastIndex(p.base, ":")+1:]
	environ = append(environ, "PORT="+port)
	code, report := consult(t, environ)
	if code != exitOK || report.Page != "127.0.0.1:"+port {
		t.Errorf("exit code %d: %+v", code, report)
	}
	for _, want := range [][2]string{
		{"public addresses", "127.0.0.1:" + port},
		{"media over UDP", "127.0.0.1:" + port + " over UDP: the server answered"},
		{"media over TCP", "connected to 127.0.0.1:" + port + " and sent a STUN request as ICE over TCP does: the server answered"},
		{"TURN", "turn:127.0.0.1:" + port + "?transport=udp for a relayed address: one was given, and through it the media port at 127.0.0.1:" + port + " answered"},
		{"TURN", "turn:127.0.0.1:" + port + "?transport=tcp for a relayed address: one was given, and through it the media port at 127.0.0.1:" + port + " answered"},
		{"page", "healthy"}, {"signaling", "both work"}, {"open files", "of the server"}, {"socket buffers", "granted the media port"},
	} {
		if got := line(t, report, want[0], want[1]); got.Status == doctor.Fail {
			t.Errorf("%+v", got)
		}
	}
	// For people it says the same.
	plain := startProcess(t, append([]string{"SKILLSAGE_SERVER_ADDRESS=127.0.0.1"}, environ...), "doctor")
	<-plain.done
	if out := plain.out.String(); !strings.Contains(out, "\nok    media over UDP: sent a STUN request to 127.0.0.1:"+port) || !strings.HasSuffix(out, report.Verdict+"\n") {
		t.Errorf("%s", out)
	}
	// The page's public address is tried by the command itself.
	proxy := httptest.NewServer(http.NotFoundHandler())
	defer proxy.Close()
	code, report = consult(t, environ, "--url", proxy.URL)
	if got := line(t, report, "page", proxy.URL); code != exitFailed || got.Status != doctor.Fail {
		t.Errorf("exit code %d: %+v", code, got)
	}

	// Without its own pages the server is tried by the configuration alone.
	for _, c := range []struct{ environ, reason string }{
		{"SKILLSAGE_ADMIN_LISTEN=", "admin.listen is empty"},
		{"SKILLSAGE_ADMIN_TOKEN=another-0123456789", "does not take the admin.token"},
		{"SKILLSAGE_ADMIN_LISTEN=127.0.0.1:" + freePort(t), "refused"},
	} {
		code, report = consult(t, append(environ, c.environ))
		if got := line(t, report, "server", c.reason); code != exitOK || got.Status != doctor.Warn {
			t.Errorf("exit code %d: %+v", code, got)
		}
		if got := line(t, report, "media over UDP", "127.0.0.1:"+port); got.Status != doctor.OK {
			t.Errorf("%+v", got)
		}
		line(t, report, "media over TCP", "the server answered")
		line(t, report, "signaling", "both work")
		line(t, report, "open files", "of this command")
		line(t, report, "TURN", "only the running server")
	}

	// Another server's pages are not taken for this one's.
	other := startServer(t, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1")
	_, report = consult(t, append(environ, "PORT="+other.base[strings.LastIndex(other.base, ":")+1:]))
	line(t, report, "server", "is another one, whose page is at 127.0.0.1:"+port)
}

// A page without TLS is of no use to others; a proxy is asked for by its own address.
func TestDoctorOfAPlainPage(t *testing.T) {
	for environ, want := range map[string]int{"SKILLSAGE_SERVER_ADDRESS=": 1, "SKILLSAGE_SERVER_ADDRESS=127.0.0.1": 0, "SKILLSAGE_SERVER_TRUSTED_PROXIES=127.0.0.1": 0} {
		admin := freePort(t)
		all := []string{"SKILLSAGE_ADMIN_LISTEN=127.0.0.1:" + admin, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", environ}
		p := startServer(t, all...)
		for _, listen := range []string{"127.0.0.1:" + admin, ""} {
			_, report := consult(t, append(all, "PORT="+p.base[strings.LastIndex(p.base, ":")+1:], "SKILLSAGE_ADMIN_LISTEN="+listen))
			warned := 0
			for _, c := range report.Checks {
				if c.Area == "https" && c.Status == doctor.Warn {
					warned++
				}
			}
			if warned != want {
				t.Errorf("%s, asked at %q: %d warnings in %+v", environ, listen, warned, report.Checks)
			}
			line(t, report, "page", "the server is healthy")
		}
	}
}

func TestDoctorWithoutAServer(t *testing.T) {
	environ := []string{"PORT=" + freePort(t), "SKILLSAGE_ADMIN_LISTEN=", "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1"}
	code, report := consult(t, environ)
	if got := line(t, report, "server", "no server runs"); code != exitOK || got.Status != doctor.Warn {
		t.Errorf("exit code %d: %+v", code, got)
	}
	line(t, report, "ports", "TCP port 127.0.0.1:"+strings.TrimPrefix(environ[0], "PORT=")+" for a moment: it is free")
	line(t, report, "ports", "UDP port "+strings.TrimPrefix(environ[0], "PORT=")+" for a moment: it is free")

	// A port that somebody else has would stop the start.
	media := stunserver.Open(t, "127.0.0.1:0", nil)
	_, taken, _ := strings.Cut(media.Addr.String(), ":")
	code, report = consult(t, append(environ, "SKILLSAGE_RELAY_UDP_PORT="+taken))
	if got := line(t, report, "ports", "taken by another program"); code != exitFailed || got.Status != doctor.Fail || !strings.Contains(got.Advice, "relay.udp_port") {
		t.Errorf("exit code %d: %+v", code, got)
	}
	_, report = consult(t, append(environ, "SKILLSAGE_RELAY_MODE=p2p", "SKILLSAGE_TURN_ENABLED=off"))
	for _, c := range report.Checks {
		if strings.Contains(c.Tried, "UDP") {
			t.Errorf("p2p: %+v", c)
		}
	}
}

// From another machine a server's addresses are tried, and nothing is said of this machine.
func TestDoctorFromOutside(t *testing.T) {
	p := startServer(t, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1")
	addr := strings.TrimPrefix(p.base, "http://")
	code, report := consult(t, nil, "--reach", "udp:"+addr, "--url", p.base)
	if code != exitOK || len(report.Checks) != 3 {
		t.Errorf("exit code %d: %+v", code, report.Checks)
	}
	line(t, report, "media over UDP", "the server answered after")
	line(t, report, "signaling", "both work")
	code, report = consult(t, nil, "--reach", "tcp:"+addr)
	line(t, report, "media over TCP", "the server answered after")
	if code != exitOK {
		t.Errorf("exit code %d: %+v", code, report.Checks)
	}
	code, report = consult(t, nil, "--reach", "udp:"+addr+",udp:127.0.0.1:"+freePort(t))
	if got := line(t, report, "media over UDP", "from this network nobody gets media there"); code != exitFailed || len(report.Checks) != 2 {
		t.Errorf("exit code %d: %+v", code, got)
	}
	for _, bad := range []string{"127.0.0.1:5000", "udp:host:5000", "sctp:127.0.0.1:5000", "udp:127.0.0.1"} {
		wrong := startProcess(t, nil, "doctor", "--reach", bad)
		<-wrong.done
		if code := wrong.cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(wrong.out.String(), "--reach: ") {
			t.Errorf("%s: exit code %d\n%s", bad, code, wrong.out.String())
		}
	}
}
