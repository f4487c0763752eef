package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"skillsage/internal/testkit/freeport"
	"skillsage/internal/testkit/journal"
)

// binary is the program itself, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "skillsage")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "skillsage")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// process is one running server.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	base string // http://127.0.0.1:PORT
	out  journal.Journal
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read after done
}

// startProcess starts the binary in an empty folder with nothing in its environment but environ, and the wish that it asks
// nobody outside for its address.
func startProcess(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"SKILLSAGE_NETWORK_STUN_SERVERS="}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%v:\n%s", args, p.out.String())
		}
	})
	return p
}

// startServer starts a server on a port of its own, on loopback, and waits until it is healthy.
func startServer(t *testing.T, environ ...string) *process {
	t.Helper()
	port := freePort(t)
	p := startProcess(t, append([]string{"PORT=" + port, "SKILLSAGE_SERVER_ADDRESS=127.0.0.1"}, environ...))
	p.base = "http://127.0.0.1:" + port
	p.eventually("healthy", func() bool { return p.status("/healthz") == 200 })
	p.eventually("introduced", func() bool { return strings.Contains(p.out.String(), " listens on TCP ") })
	return p
}

func (p *process) eventually(what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
		select {
		case <-p.done:
			p.t.Fatalf("not %s: the process has ended: %v", what, p.err)
		default:
		}
	}
	p.t.Fatalf("not %s in time", what)
}

// status is the code of a GET, 0 when there was no answer.
func (p *process) status(path string) int {
	resp, err := http.Get(p.base + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and returns the code.
func (p *process) exit(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("still running after %s", limit)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	if p.err != nil {
		p.t.Fatal(p.err)
	}
	return 0
}

// dial opens a WebSocket and asks to enter the namespace.
func (p *process) dial() *websocket.Conn {
	p.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.base, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	p.say(conn, "40")
	return conn
}

// join opens a WebSocket and joins a room with it.
func (p *process) join(room string) *websocket.Conn {
	p.t.Helper()
	conn := p.dial()
	p.hear(conn, "40{")
	p.say(conn, `42["join-room",{"interviewId":"`+room+`","userRole":"candidate"}]`)
	return conn
}

func (p *process) say(conn *websocket.Conn, text string) {
	p.t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

// hear reads up to a message that begins like this, and returns what follows.
func (p *process) hear(conn *websocket.Conn, prefix string) string {
	p.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			p.t.Fatalf("waiting for %q: %v", prefix, err)
		}
		if rest, ok := strings.CutPrefix(string(text), prefix); ok {
			return rest
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	return strconv.Itoa(freeport.Find(t))
}

// modes runs a test in both modes.
func modes(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range []string{"relay", "p2p"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			test(t, "SKILLSAGE_RELAY_MODE="+mode)
		})
	}
}

// Nobody is in a room: even with a long drain the end is quick and clean.
func TestStopWithoutRooms(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		p := startServer(t, mode, "SKILLSAGE_SHUTDOWN_DRAIN=1h")
		p.signal(syscall.SIGTERM)
		if code := p.exit(10 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// Without a drain a call does not delay the end, and its socket is told.
func TestStopWithARoom(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		p := startServer(t, mode)
		conn := p.join("one")
		p.hear(conn, `42["code-state"`)
		begin := time.Now()
		p.signal(syscall.SIGINT)
		if code := p.exit(10 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if took := time.Since(begin); took > stopTime+500*time.Millisecond {
			t.Errorf("took %s", took)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				if !websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
					t.Errorf("the socket ended without a word: %v", err)
				}
				break
			}
		}
	})
}

// A browser keeps spare connections and a stock client starts with long polls; neither delays the end.
func TestStopWithIdleConnections(t *testing.T) {
	p := startServer(t)
	spare, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	resp, err := http.Get(p.base + "/socket.io/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	handshake, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	sid := regexp.MustCompile(`"sid":"([^"]+)"`).FindSubmatch(handshake)
	if err != nil || sid == nil {
		t.Fatalf("%s: %v", handshake, err)
	}
	poll, err := http.NewRequest("GET", p.base+"/socket.io/?EIO=4&transport=polling&sid="+string(sid[1]), nil)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	poll = poll.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(written) },
	}))
	polled := make(chan string, 1)
	go func() {
		resp, err := http.DefaultClient.Do(poll)
		if err != nil {
			polled <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		polled <- string(body)
	}()
	<-written
	time.Sleep(500 * time.Millisecond) // for the server to have read it
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took > stopTime {
		t.Errorf("took %s", took)
	}
	if body := <-polled; body != "1" {
		t.Errorf("the poll was answered %q, not with the close packet", body)
	}
}

// During the drain the call goes on, new people are turned away, and the end of the last room is the end.
func TestDrain(t *testing.T) {
	modes(t, func(t *testing.T, mode string) {
		p := startServer(t, mode, "SKILLSAGE_SHUTDOWN_DRAIN=1h")
		conn := p.join("one")
		p.hear(conn, `42["code-state"`)
		p.signal(syscall.SIGTERM)
		p.eventually("draining", func() bool { return p.status("/healthz") == 503 })

		late := p.join("another")
		p.hear(late, `42["join-error"`)
		second := p.join("one")
		p.hear(second, `42["code-state"`)
		p.say(conn, `42["chat-message",{"interviewId":"one","content":"still here","userRole":"candidate"}]`)
		p.hear(second, `42["chat-message"`)
		select {
		case <-p.done:
			t.Fatalf("ended during a call: %v", p.err)
		default:
		}

		p.say(second, "41")
		p.say(conn, "41")
		if code := p.exit(10 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func TestDrainHasALimit(t *testing.T) {
	p := startServer(t, "SKILLSAGE_SHUTDOWN_DRAIN=700ms")
	conn := p.join("one")
	p.hear(conn, `42["code-state"`)
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took < 700*time.Millisecond {
		t.Errorf("did not wait: %s", took)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := startServer(t, "SKILLSAGE_SHUTDOWN_DRAIN=1h")
	conn := p.join("one")
	p.hear(conn, `42["code-state"`)
	p.signal(syscall.SIGTERM)
	p.eventually("draining", func() bool { return p.status("/healthz") == 503 })
	p.signal(syscall.SIGTERM)
	if code := p.exit(time.Second); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

// Several servers live side by side; the UDP port follows PORT. A port that is taken is named.
func TestSideBySide(t *testing.T) {
	first, second := startServer(t), startServer(t)
	for _, p := range []*process{first, second} {
		port := p.base[strings.LastIndex(p.base, ":")+1:]
		if !strings.Contains(p.out.String(), "media on UDP "+port+" at ") {
			t.Errorf("on port %s:\n%s", port, p.out.String())
		}
	}
	port := first.base[strings.LastIndex(first.base, ":")+1:]
	third := startProcess(t, []string{"PORT=" + port, "SKILLSAGE_SERVER_ADDRESS=127.0.0.1"})
	if code := third.exit(10 * time.Second); code != exitFailed || !strings.Contains(third.out.String(), "is taken by another program; server.port, or the variable PORT,") {
		t.Errorf("exit code %d:\n%s", code, third.out.String())
	}
	fourth := startProcess(t, []string{"PORT=" + freePort(t), "SKILLSAGE_SERVER_ADDRESS=127.0.0.1", "SKILLSAGE_RELAY_UDP_PORT=" + port})
	if code := fourth.exit(10 * time.Second); code != exitFailed || !strings.Contains(fourth.out.String(), "UDP port "+port+" on ") {
		t.Errorf("exit code %d:\n%s", code, fourth.out.String())
	}
}

func TestListensOnEveryInterfaceByDefault(t *testing.T) {
	port := freePort(t)
	p := startProcess(t, []string{"PORT=" + port})
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		p.base = "http://" + host + ":" + port
		p.eventually("healthy on "+host, func() bool { return p.status("/healthz") == 200 })
	}
}

func TestConfigFileIsOptionalAndRead(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "my.yaml")
	port := freePort(t)
	if err := os.WriteFile(file, []byte("server: {address: 127.0.0.1, port: "+port+"}\nrelay: {mode: p2p}\nlog: {format: json}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, nil, "serve", "--config", file)
	p.base = "http://127.0.0.1:" + port
	p.eventually("healthy", func() bool { return p.status("/healthz") == 200 })
	if out := p.out.String(); strings.Contains(out, "media on UDP") || !strings.Contains(out, "relay.mode is p2p") {
		t.Errorf("p2p, but:\n%s", out)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != 0 || !strings.Contains(p.out.String(), `"msg":"stopped"`) {
		t.Errorf("exit code %d", code)
	}
}

func TestBadStartsAreRefusedByName(t *testing.T) {
	for _, c := range []struct {
		environ, args []string
		want          []string
	}{
		{[]string{"SKILLSAGE_RELAY_MOD=p2p", "PORT=0"}, nil, []string{"SKILLSAGE_RELAY_MOD: unknown variable"}},
		{[]string{"SKILLSAGE_RELAY_MODE=sfu", "PORT=x"}, nil, []string{"allowed: relay or p2p", "server.port"}},
		{nil, []string{"--config", "none.yaml"}, []string{"none.yaml"}},
		{nil, []string{"start"}, []string{`unknown command "start"`, "serve, check-config, compose, doctor, healthcheck and version"}},
		{[]string{"SKILLSAGE_ADMIN_LISTEN=0.0.0.0:9090"}, nil, []string{"admin.listen: 0.0.0.0:9090", "needs admin.token"}},
		{[]string{"SKILLSAGE_ADMIN_PUBLIC=true"}, nil, []string{"admin.public: true needs admin.token"}},
		{nil, []string{"check-config", "--log.format=xml"}, []string{"log.format", "text or json"}},
	} {
		p := startProcess(t, c.environ, c.args...)
		code := p.exit(10 * time.Second)
		for _, want := range c.want {
			if code != exitUsage || !strings.Contains(p.out.String(), want) {
				t.Errorf("%v %v: exit code %d, no %q in\n%s", c.environ, c.args, code, want, p.out.String())
			}
		}
	}
	foreign := startProcess(t, []string{"PORT=" + freePort(t), "SKILLSAGE_NETWORK_ADDRESSES=198.51.100.7"})
	if code := foreign.exit(10 * time.Second); code != exitFailed || !strings.Contains(foreign.out.String(), "198.51.100.7 is no address of this machine") {
		t.Errorf("exit code %d:\n%s", code, foreign.out.String())
	}
}

func TestCommandsThatOnlyPrint(t *testing.T) {
	for args, want := range map[string]string{
		"version":      `^skillsage \S+ go1`,
		"check-config": `(?m)^  mode: p2p +# SKILLSAGE_RELAY_MODE$`,
		"--help":       `--relay.mode `,
	} {
		p := startProcess(t, []string{"SKILLSAGE_RELAY_MODE=p2p"}, args)
		if code := p.exit(10 * time.Second); code != 0 || !regexp.MustCompile(want).MatchString(p.out.String()) {
			t.Errorf("%s: exit code %d:\n%s", args, code, p.out.String())
		}
	}
}

func TestAdminListener(t *testing.T) {
	port := freePort(t)
	p := startServer(t, "SKILLSAGE_ADMIN_LISTEN=127.0.0.1:"+port)
	conn := p.join("one")
	p.hear(conn, `42["code-state"`)
	resp, err := http.Get("http://127.0.0.1:" + port + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		seen[lines.Text()] = true
	}
	for _, want := range []string{"skillsage_rooms 1", "skillsage_members 1", "skillsage_legs 0", "skillsage_joins_total 1"} {
		if !seen[want] {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
	for _, path := range []string{"/metrics", "/admin/metrics", "/admin", "/rooms.json", "/debug/pprof/"} {
		if p.status(path) != 404 {
			t.Errorf("the public listener has %s too", path)
		}
	}
}

// The default address of the operator's pages may be taken; one that somebody has chosen may not.
func TestAdminListenerThatIsTaken(t *testing.T) {
	if other, err := net.Listen("tcp", "127.0.0.1:9090"); err == nil { // else some other program has it
		defer other.Close()
	}
	p := startServer(t)
	if out := p.out.String(); !strings.Contains(out, "127.0.0.1:9090 is taken by another program") || strings.Contains(out, "rooms, metrics and profiles at") {
		t.Errorf("no word of it, or a wrong one:\n%s", out)
	}
	chosen := startProcess(t, []string{"PORT=" + freePort(t), "SKILLSAGE_SERVER_ADDRESS=127.0.0.1", "SKILLSAGE_ADMIN_LISTEN=127.0.0.1:9090"})
	if code := chosen.exit(10 * time.Second); code != exitFailed || !strings.Contains(chosen.out.String(), "127.0.0.1:9090 is taken by another program; admin.listen chooses another port") {
		t.Errorf("exit code %d:\n%s", code, chosen.out.String())
	}
}

// With a token the pages are on the public listener too, and nothing that the server says holds it.
func TestAdminToken(t *testing.T) {
	const token = "open-Sesame-0123456789"
	port := freePort(t)
	p := startServer(t, "SKILLSAGE_ADMIN_LISTEN=0.0.0.0:"+port, "SKILLSAGE_ADMIN_TOKEN="+token, "SKILLSAGE_ADMIN_PUBLIC=true", "SKILLSAGE_LOG_LEVEL=debug")
	for _, url := range []string{p.base + "/admin/metrics", p.base + "/admin/rooms.json", p.base + "/admin/", "http://127.0.0.1:" + port + "/metrics", "http://127.0.0.1:" + port + "/"} {
		for _, c := range []struct {
			token string
			want  int
		}{{"", 401}, {token + "x", 401}, {token, 200}} {
			request, err := http.NewRequest("GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				request.SetBasicAuth("operator", c.token)
			}
			resp, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("%s with %q: %d", url, c.token, resp.StatusCode)
			}
		}
	}
	check := startProcess(t, []string{"SKILLSAGE_ADMIN_TOKEN=" + token}, "check-config")
	if code := check.exit(10 * time.Second); code != 0 || !strings.Contains(check.out.String(), "# SKILLSAGE_ADMIN_TOKEN, not shown") {
		t.Errorf("exit code %d:\n%s", code, check.out.String())
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, out := range []string{p.out.String(), check.out.String()} {
		if strings.Contains(out, token) {
			t.Errorf("the token is in the output:\n%s", out)
		}
	}
}
