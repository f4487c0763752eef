package doctor

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"go.uber.org/goleak"

	"skillsage/internal/testkit/stunserver"
	"skillsage/network/public"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mirror(from netip.AddrPort) netip.AddrPort { return from }

// wants compares a check with a status and parts of its words.
func wants(t *testing.T, got Check, status Status, parts ...string) {
	t.Helper()
	text := got.Tried + ": " + got.Result + " -> " + got.Advice
	ok := got.Status == status
	for _, part := range parts {
		ok = ok && strings.Contains(text, part)
	}
	if !ok {
		t.Errorf("%s %s\nwant %s with %q", got.Status, text, status, parts)
	}
	if got.Area == "" || got.Tried == "" || got.Result == "" {
		t.Errorf("says too little: %+v", got)
	}
}

func candidate(protocol string, addr netip.AddrPort, origin public.Origin) public.Candidate {
	return public.Candidate{Protocol: protocol, Addr: addr, Origin: origin}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T, network string) netip.AddrPort {
	t.Helper()
	if network == "tcp" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().(*net.TCPAddr).AddrPort()
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestUDP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		addr   netip.AddrPort
		from   place
		status Status
		parts  []string
	}{
		{"its own", stunserver.Open(t, "127.0.0.1:0", mirror).Addr, here, OK, []string{"the server answered"}},
		{"IPv6", stunserver.Open(t, "[::1]:0", mirror).Addr, here, OK, []string{"the server answered"}},
		{"named", stunserver.Open(t, "127.0.0.1:0", mirror).Addr, inside, OK, []string{"the server answered", "only from another network"}},
		{"closed", closedPort(t, "udp"), here, Fail, []string{"the port is closed", "no firewall on this machine drops UDP port"}},
		{"closed, named", closedPort(t, "udp"), inside, Warn, []string{"may be harmless", "skillsage doctor --reach udp:"}},
		{"open, from outside", stunserver.Open(t, "127.0.0.1:0", mirror).Addr, outside, OK, []string{"the server answered after"}},
		{"closed, from outside", closedPort(t, "udp"), outside, Fail, []string{"from this network nobody gets media there", "Let UDP port"}},
		{"silent", stunserver.OpenRaw(t, "127.0.0.1:0", func(*stun.Message, netip.AddrPort) *stun.Message { return nil }).Addr, here, Fail, []string{"silence"}},
		{"an answer to another question", stunserver.OpenRaw(t, "127.0.0.1:0", func(*stun.Message, netip.AddrPort) *stun.Message {
			return stun.MustBuild(stun.TransactionID, stun.BindingSuccess)
		}).Addr, inside, Warn, []string{"silence", "may be harmless"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wants(t, checkUDP(t.Context(), candidate(public.UDP, c.addr, public.Advertised), c.from), c.status, append(c.parts, c.addr.String())...)
		})
	}
}

// A question that gets lost is asked again.
func TestUDPAsksAgain(t *testing.T) {
	t.Parallel()
	var once sync.Once
	server := stunserver.Open(t, "127.0.0.1:0", func(from netip.AddrPort) (mapped netip.AddrPort) {
		mapped = from
		once.Do(func() { mapped = netip.AddrPort{} })
		return mapped
	})
	wants(t, checkUDP(t.Context(), candidate(public.UDP, server.Addr, public.Listening), here), OK)
}

// serveTCP gives each connection to handle, until the test ends.
func serveTCP(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// answerFramed is a server of ICE-TCP as far as one question goes.
func answerFramed(conn net.Conn) {
	var header [2]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return
	}
	raw := make([]byte, binary.BigEndian.Uint16(header[:]))
	if _, err := io.ReadFull(conn, raw); err != nil {
		return
	}
	var request stun.Message
	if stun.Decode(raw, &request) != nil || request.Type != stun.BindingRequest {
		return
	}
	answer := stun.MustBuild(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(127, 0, 0, 1), Port: 1})
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer.Raw))), answer.Raw...))
}

func TestTCP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		addr   netip.AddrPort
		from   place
		status Status
		parts  []string
	}{
		{"its own", serveTCP(t, answerFramed), here, OK, []string{"the server answered"}},
		{"named", serveTCP(t, answerFramed), inside, OK, []string{"only from another network"}},
		{"closed", closedPort(t, "tcp"), here, Fail, []string{"the port is closed", "drops TCP port"}},
		{"closed, named", closedPort(t, "tcp"), inside, Warn, []string{"may be harmless", "skillsage doctor --reach tcp:"}},
		{"closed, from outside", closedPort(t, "tcp"), outside, Fail, []string{"lets no UDP through get no media there", "Let TCP port"}},
		{"hangs up", serveTCP(t, func(net.Conn) {}), here, Fail, []string{"closed without an answer"}},
		{"silent", serveTCP(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), here, Fail, []string{"silence"}},
		{"a web server", serveTCP(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }), inside, Fail, []string{"something else answers", "does not pass on what is no HTTP"}},
		{"a stranger's answer", serveTCP(t, func(conn net.Conn) { _, _ = conn.Write([]byte{0, 1, 'x'}) }), here, Fail, []string{"something else answers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wants(t, checkTCP(t.Context(), candidate(public.TCP, c.addr, public.Advertised), c.from), c.status, append(c.parts, c.addr.String())...)
		})
	}
}

func TestAddresses(t *testing.T) {
	inside := candidate(public.UDP, netip.MustParseAddrPort("10.0.0.5:5000"), public.Listening)
	outside := candidate(public.UDP, netip.MustParseAddrPort("203.0.113.5:5000"), public.Discovered)
	finding := public.Finding{Local: inside.Addr, Found: outside.Addr, Servers: []string{"stun.example.com:3478"}}
	for _, c := range []struct {
		opts     Options
		statuses string
		part     string
	}{
		{Options{Machine: &Machine{}, Exposed: true, Candidates: []public.Candidate{inside}}, "warn", "Nobody outside this network"},
		{Options{Machine: &Machine{}, Candidates: []public.Candidate{inside}}, "ok", "for this machine alone"},
		{Options{Machine: &Machine{}, Exposed: true, Candidates: []public.Candidate{outside, inside}}, "ok", "browsers everywhere"},
		{Options{Machine: &Machine{}, Exposed: true, Candidates: []public.Candidate{outside, inside}, Findings: []public.Finding{finding}}, "ok", "stun.example.com:3478"},
		{Options{Machine: &Machine{}}, "", ""},
		{Options{Exposed: true, Candidates: []public.Candidate{outside, inside}}, "", ""}, // asked from another machine
	} {
		var statuses []string
		text := ""
		for _, check := range checkAddresses(&c.opts) {
			statuses = append(statuses, string(check.Status))
			text += check.Result
		}
		if got := strings.Join(statuses, " "); got != c.statuses || !strings.Contains(text, c.part) {
			t.Errorf("%s: %s, want %s: %s", got, text, c.statuses, c.part)
		}
	}
}

// The checks of a report stand in the order in which they are asked for, and its verdict is that of the worst.
func TestRun(t *testing.T) {
	t.Parallel()
	udp, tcp := stunserver.Open(t, "127.0.0.1:0", mirror).Addr, serveTCP(t, answerFramed)
	opts := Options{
		Page: "127.0.0.1:5000", Machine: &Machine{Asked: 1, Granted: &Buffers{1, 1}, Files: 1},
		Candidates: []public.Candidate{
			candidate(public.UDP, udp, public.Listening), candidate(public.TCP, tcp, public.Listening), candidate(public.SSLTCP, tcp, public.Listening),
		},
		Before: []Check{{Area: "before", Status: OK, Tried: "a", Result: "b"}},
	}
	areas := func(r *Report) string {
		var all []string
		for _, c := range r.Checks {
			all = append(all, c.Area)
		}
		return strings.Join(all, ", ")
	}
	report := Run(t.Context(), opts)
	if got, want := areas(report), "before, public addresses, media over UDP, media over TCP, socket buffers, open files, clock, connection tracking"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if report.Failed || report.Page != opts.Page || report.Took <= 0 || time.Since(report.Time) > time.Minute {
		t.Errorf("%+v", report)
	}
	opts.Candidates = append(opts.Candidates, candidate(public.UDP, closedPort(t, "udp"), public.Listening))
	if report := Run(t.Context(), opts); !report.Failed || !strings.HasPrefix(report.Verdict, "1 thing does not work.") {
		t.Errorf("%+v", report)
	}
	// Who does not want to wait any longer does not have to.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	opts.Candidates = []public.Candidate{candidate(public.TCP, serveTCP(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), public.Listening)}
	begin := time.Now()
	if report := Run(ctx, opts); !report.Failed || time.Since(begin) > answerTime {
		t.Errorf("%+v after %s", report, time.Since(begin))
	}
}

func TestVerdict(t *testing.T) {
	for statuses, want := range map[string]string{
		"":               "Everything that could be tried from here works.",
		"ok skip":        "Everything that could be tried from here works.",
		"ok warn":        "What could be tried from here works; 1 line is marked warn and needs a look.",
		"warn warn":      "What could be tried from here works; 2 lines are marked warn and need a look.",
		"warn fail":      "1 thing does not work. Begin with the first line marked fail.",
		"fail fail skip": "2 things do not work. Begin with the first line marked fail.",
	} {
		r := &Report{}
		for status := range strings.FieldsSeq(statuses) {
			r.Checks = append(r.Checks, Check{Status: Status(status)})
		}
		r.judge()
		if r.Verdict != want || r.Failed != strings.Contains(statuses, "fail") {
			t.Errorf("%s: %v %q", statuses, r.Failed, r.Verdict)
		}
	}
}

func TestWrite(t *testing.T) {
	r := &Report{Verdict: "All is lost.", Checks: []Check{
		{"clock", OK, "asked", "it is right", ""},
		{"media over UDP", Fail, "asked " + strings.Repeat("word ", 30), "no answer.", "Do something. Then " + strings.Repeat("wait ", 30)},
		{"page", Warn, strings.Repeat("x", 200), "long", ""},
	}}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{"ok    clock: asked: it is right.\n", "fail  media over UDP: asked word", "\n      word", "no answer.\n", "      -> Do something. Then wait", "\n         wait", "\n\nAll is lost.\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if len(line) > lineWidth+1 && !strings.Contains(line, "xxx") {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
	if fmt.Sprint(strings.Count(got, "word"), strings.Count(got, "wait")) != "30 30" {
		t.Errorf("words are lost:\n%s", got)
	}
}
