package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// load runs Load in an empty folder, with file as its config.yaml unless it is empty.
func load(t *testing.T, file string, environ []string, args ...string) (*Loaded, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		if err := os.WriteFile(DefaultFile, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(args, environ, &bytes.Buffer{})
}

func TestDefaultsWithoutAFile(t *testing.T) {
	l, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.File != "" || l.Server.Listen() != ":5000" || l.Relay.Mode != "relay" || l.Relay.UDPPort != 0 ||
		l.Signaling.Grace != 5*time.Second || l.Shutdown.Drain != 0 || l.Server.MaxHeaderSize != 16<<10 ||
		l.Signaling.MaxPayload != 1_000_000 || l.Log.Level != slog.LevelInfo || l.Admin != (Admin{Listen: "127.0.0.1:9090"}) || l.Relay.QualityInterval != 3*time.Second ||
		len(l.Server.CORSOrigins) != 1 || l.Server.CORSOrigins[0] != "*" {
		t.Fatalf("defaults: %+v", l.Config)
	}
}

// Each layer is taken away in turn; the next one must show.
func TestPrecedence(t *testing.T) {
	file := "server:\n  port: 1001\n"
	flag := []string{"--server.port", "1004"}
	for _, c := range []struct {
		name, file string
		environ    []string
		args       []string
		want       int
		source     string
	}{
		{"flag", file, []string{"PORT=1002", "SKILLSAGE_SERVER_PORT=1003"}, flag, 1004, "flag --server.port"},
		{"variable", file, []string{"PORT=1002", "SKILLSAGE_SERVER_PORT=1003"}, nil, 1003, "SKILLSAGE_SERVER_PORT"},
		{"variable in another order", file, []string{"SKILLSAGE_SERVER_PORT=1003", "PORT=1002"}, nil, 1003, "SKILLSAGE_SERVER_PORT"},
		{"PORT", file, []string{"PORT=1002"}, nil, 1002, "PORT"},
		{"empty PORT", file, []string{"PORT="}, nil, 1001, "config.yaml"},
		{"file", file, nil, nil, 1001, "config.yaml"},
		{"empty entry", "server:\n  port:\n", nil, nil, 5000, "default"},
		{"default", "", nil, nil, 5000, "default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := load(t, c.file, c.environ, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if l.Server.Port != c.want || l.Source("server.port") != c.source {
				t.Fatalf("port %d from %q, want %d from %q", l.Server.Port, l.Source("server.port"), c.want, c.source)
			}
		})
	}
}

func TestKindsFromFileAndEnvironment(t *testing.T) {
	l, err := load(t, `
server:
  cors_origins: ["https://a.example", "http://B.example:8080"]
  trusted_proxies:
    - 10.1.2.3/8
    - 127.0.0.1
signaling:
  max_payload: 65536
  event_rate: 12.5
network:
  addresses: ["::1"]
log: {level: debug}
`, []string{
		"SKILLSAGE_SIGNALING_QUEUE_SIZE=2 MiB", "SKILLSAGE_RELAY_ANSWER_TIMEOUT=1m30s",
		"SKILLSAGE_NETWORK_INTERFACES=eth0, wlan0", "SKILLSAGE_ADMIN_LISTEN=[::1]:9090", "HOME=/root",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(l.Server.CORSOrigins, " "); got != "https://a.example http://b.example:8080" {
		t.Errorf("origins %q", got)
	}
	if p := l.Server.TrustedProxies; len(p) != 2 || p[0] != netip.MustParsePrefix("10.0.0.0/8") || p[1] != netip.MustParsePrefix("127.0.0.1/32") {
		t.Errorf("proxies %v", p)
	}
	if l.Signaling.MaxPayload != 65536 || l.Signaling.EventRate != 12.5 || l.Signaling.QueueSize != 2<<20 ||
		l.Relay.AnswerTimeout != 90*time.Second || l.Log.Level != slog.LevelDebug || l.Admin.Listen != "[::1]:9090" ||
		len(l.Network.Addresses) != 1 || len(l.Network.Interfaces) != 2 || l.Network.Interfaces[1] != "wlan0" {
		t.Errorf("got %+v", l.Config)
	}
}

func TestTLS(t *testing.T) {
	for _, c := range []struct {
		args []string
		want bool
	}{
		{nil, false},
		{[]string{"--server.tls_cert=a.pem", "--server.tls_key=b.pem"}, true},
		{[]string{"--server.acme_domains=Interviews.example.com"}, true},
	} {
		l, err := load(t, "", nil, c.args...)
		if err != nil || l.Server.TLS() != c.want {
			t.Errorf("%q: %v", c.args, err)
		}
		if len(l.Server.ACMEDomains) > 0 && l.Server.ACMEDomains[0] != "interviews.example.com" {
			t.Errorf("%q", l.Server.ACMEDomains)
		}
	}
}

// An empty variable clears a list, so that a container can undo what the file says.
func TestEmptyVariableClearsAList(t *testing.T) {
	l, err := load(t, "server:\n  trusted_proxies: [10.0.0.0/8]\n", []string{"SKILLSAGE_SERVER_TRUSTED_PROXIES="})
	if err != nil || len(l.Server.TrustedProxies) != 0 {
		t.Fatalf("%v, %v", l, err)
	}
}

// Every problem is on a line of its own with the option's name and what is allowed.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, file string
		environ    []string
		args       []string
		want       []string // in the lines of the error, in any order
	}{
		{"unknown key", "relay:\n  mod: p2p\n", nil, nil, []string{"relay.mod: unknown option in config.yaml; the section relay has mode,"}},
		{"unknown section", "sip:\n  port: 1\n", nil, nil, []string{"sip.port: unknown option", "the sections are server,"}},
		{"value where a section belongs", "relay: p2p\n", nil, nil, []string{"relay: unknown option"}},
		{"section where a value belongs", "relay:\n  mode:\n    x: 1\n", nil, nil, []string{"relay.mode.x: unknown option"}},
		{"unknown variable", "", []string{"SKILLSAGE_RELAY_MOD=p2p"}, nil, []string{"SKILLSAGE_RELAY_MOD: unknown variable; the section relay has mode,"}},
		{"unknown flag", "", nil, []string{"--relay.mod", "p2p"}, []string{"--relay.mod"}},
		{"stray argument", "", nil, []string{"start"}, []string{`"start"`}},
		{"bad variable", "", []string{"SKILLSAGE_RELAY_MODE=sfu"}, nil, []string{`relay.mode: "sfu" (SKILLSAGE_RELAY_MODE) is not allowed; allowed: relay or p2p`}},
		{"bad port", "", []string{"PORT=http"}, nil, []string{`server.port: "http" (PORT) is not allowed; allowed: a whole number from 0 to 65535`}},
		{"time without unit", "signaling:\n  grace: 5\n", nil, nil, []string{`signaling.grace: "5" (config.yaml) is not allowed; allowed: a time with its unit`}},
		{"bad size", "", nil, []string{"--signaling.max_payload=1XB"}, []string{`signaling.max_payload: "1XB" (flag --signaling.max_payload)`}},
		{"star among origins", "", nil, []string{"--server.cors_origins=*,https://a.example"}, []string{"server.cors_origins:"}},
		{"origin with a path", "", nil, []string{"--server.cors_origins=https://a.example/"}, []string{"server.cors_origins:"}},
		{"address with a port", "", nil, []string{"--server.address=127.0.0.1:80"}, []string{"server.address:"}},
		{"certificate without a key", "", nil, []string{"--server.tls_cert=a.pem"}, []string{"server.tls_key: is empty"}},
		{"key without a certificate", "", []string{"SKILLSAGE_SERVER_TLS_KEY=a.pem"}, nil, []string{"server.tls_cert: is empty"}},
		{"certificates from two places", "server: {tls_cert: a.pem, tls_key: b.pem, acme_domains: [a.example]}\n", nil, nil, []string{"server.acme_domains: certificates come from"}},
		{"nowhere to keep certificates", "", nil, []string{"--server.acme_domains=a.example", "--server.acme_dir="}, []string{"server.acme_dir: is empty"}},
		{"wildcard", "", nil, []string{"--server.acme_domains=*.a.example"}, []string{"server.acme_domains:", "without wildcards"}},
		{"address as a name", "", nil, []string{"--server.acme_domains=192.0.2.1"}, []string{"server.acme_domains:"}},
		{"name with a port", "", nil, []string{"--server.acme_domains=a.example:443"}, []string{"server.acme_domains:"}},
		{"the same name twice", "", nil, []string{"--server.acme_domains=a.example,A.example"}, []string{"server.acme_domains:", "at most once"}},
		{"no e-mail address", "", nil, []string{"--server.acme_email=Some Body <a@b.example>"}, []string{"server.acme_email:"}},
		{"authority without TLS", "", nil, []string{"--server.acme_ca=http://ca.example/dir"}, []string{"server.acme_ca:", "https://"}},
		{"path with a quote", "", nil, []string{`--server.tls_cert=a".pem`}, []string{"server.tls_cert:"}},
		{"plain HTTP", "", nil, []string{"--server.plain_http=refuse"}, []string{"allowed: redirect or serve"}},
		{"together", "", nil, []string{"--relay.max_legs=10"}, []string{"relay.max_legs_per_room: 512 is more than relay.max_legs (10)"}},
		{"admin on its server's address", "", nil, []string{"--server.address=127.0.0.1", "--server.port=9091", "--admin.listen=127.0.0.1:9091"}, []string{"admin.listen: 127.0.0.1:9091 is the address of the server itself"}},
		{"admin for everybody", "", nil, []string{"--admin.listen=:9090"}, []string{"admin.listen: :9090 can be reached from other machines, which needs admin.token"}},
		{"admin by a name", "", nil, []string{"--admin.listen=host.example:9090"}, []string{"admin.listen:", "admin.token"}},
		{"public admin", "", []string{"SKILLSAGE_ADMIN_PUBLIC=true"}, nil, []string{"admin.public: true needs admin.token"}},
		{"neither true nor false", "", nil, []string{"--admin.public=on"}, []string{`admin.public: "on" (flag --admin.public) is not allowed; allowed: true or false`}},
		{"advertised name", "", nil, []string{"--network.advertise=media.example.com"}, []string{`network.advertise: "media.example.com" (flag --network.advertise) is not allowed; allowed: a list of at most 8 public addresses such as 203.0.113.5`}},
		{"STUN server without a port", "", []string{"SKILLSAGE_NETWORK_STUN_SERVERS=stun.example.com"}, nil, []string{"network.stun_servers:", "as host:port"}},
		{"STUN server without a name", "", []string{"SKILLSAGE_NETWORK_STUN_SERVERS=:3478"}, nil, []string{"network.stun_servers:"}},
		{"too many STUN servers", "", []string{"SKILLSAGE_NETWORK_STUN_SERVERS=a:1,b:1,c:1,d:1,e:1"}, nil, []string{"network.stun_servers:", "at most 4"}},
		{"inside or not", "", []string{"SKILLSAGE_NETWORK_ADVERTISE_INSIDE=auto"}, nil, []string{"network.advertise_inside:", "allowed: yes or no"}},
		{"short token", "", []string{"SKILLSAGE_ADMIN_TOKEN=sesame"}, nil, []string{"admin.token: what SKILLSAGE_ADMIN_TOKEN says is not allowed; allowed: 16 to 256"}},
		{"relay ports without rooms that use them", "", nil, []string{"--turn.relay_ports=40000-40999"}, []string{"turn.relay_ports: every room of this server is in relay mode", "allowed with relay.mode: p2p"}},
		{"relay ports of services", "", nil, []string{"--turn.relay_ports=53-60"}, []string{`turn.relay_ports: "53-60" (flag --turn.relay_ports) is not allowed; allowed: two ports from 1024 to 65535`}},
		{"relay ports backwards", "", nil, []string{"--turn.relay_ports=40999-40000"}, []string{"turn.relay_ports:"}},
		{"one relay port", "", nil, []string{"--turn.relay_ports=40000"}, []string{"turn.relay_ports:"}},
		{"a member with more than all", "", nil, []string{"--turn.max_allocations=10"}, []string{"turn.max_allocations_per_member: 64 is more than turn.max_allocations (10)"}},
		{"external TURN without a secret", "", nil, []string{"--turn.external_urls=stun:a.example,turns:a.example"}, []string{"turn.external_urls: TURN servers need turn.external_secret"}},
		{"no URL of TURN", "", nil, []string{"--turn.external_urls=https://a.example"}, []string{"turn.external_urls:", "such as turns:turn.example.com:443?transport=tcp"}},
		{"an odd transport", "", nil, []string{"--turn.external_urls=turn:a.example?transport=sctp"}, []string{"turn.external_urls:"}},
		{"short TURN secret", "", []string{"SKILLSAGE_TURN_SECRET=sesame"}, nil, []string{"turn.secret: what SKILLSAGE_TURN_SECRET says is not allowed"}},
		{"odd realm", "", nil, []string{"--turn.realm=a b"}, []string{"turn.realm:"}},
		{"quality too often", "", nil, []string{"--relay.quality_interval=200ms"}, []string{"relay.quality_interval: 200ms is too short; allowed: 0s, or a time from 1s"}},
		{"recording what does not pass through", "relay: {mode: p2p}\nrecording: {mode: always}\n", nil, nil,
			[]string{"recording.mode: always needs media that pass through this server", "allowed with relay.mode: relay, or with relay.room_mode: recruiter"}},
		{"recordings nowhere", "", nil, []string{"--recording.mode=on-request", "--recording.dir="}, []string{"recording.dir: is empty"}},
		{"unknown kind of consent", "", nil, []string{"--recording.consent=asked"}, []string{"allowed: none, notice or required"}},
		{"links that are good for ever", "", nil, []string{"--recording.link_ttl=2000h"}, []string{"recording.link_ttl", "from 1m to 720h"}},
		{"links to a page", "", nil, []string{"--recording.link_url=https://a.example/watch"}, []string{"recording.link_url", "scheme, host and port only"}},
		{"notice of two lines", "", nil, []string{"--recording.notice_started=a\nb"}, []string{"recording.notice_started:", "without quotes, backslashes and line breaks"}},
		{"webhooks without a secret", "recording: {mode: always, webhook_urls: [\"https://example.com/hook\"]}\n", nil, nil, []string{"recording.webhook_secrets: is empty"}},
		{"webhooks without a secret for earlier recordings", "recording: {webhook_urls: [\"https://example.com/hook\"]}\n", nil, nil, []string{"recording.webhook_secrets: is empty"}},
		{"webhook with a password", "", nil, []string{"--recording.webhook_urls=https://a:b@example.com/"}, []string{"recording.webhook_urls:"}},
		{"short webhook secret", "", []string{"SKILLSAGE_RECORDING_WEBHOOK_SECRETS=whsec_c2VzYW1l"}, nil, []string{"recording.webhook_secrets: what SKILLSAGE_RECORDING_WEBHOOK_SECRETS says is not allowed", "24 to 64 random bytes"}},
		{"removed without an upload", "", nil, []string{"--recording.mode=always", "--recording.delete_after_upload=true"}, []string{"recording.delete_after_upload: true needs recording.upload_url"}},
		{"bucket without a kind", "", nil, []string{"--recording.upload_url=recordings"}, []string{"recording.upload_url:", "s3://bucket"}},
		{"relative folder", "", nil, []string{"--recording.upload_url=file://folder/a"}, []string{"recording.upload_url:"}},
		{"prefix that leads out", "", nil, []string{"--recording.upload_prefix=a/../b"}, []string{"recording.upload_prefix:"}},
		{"bandwidth of nearly nothing", "", nil, []string{"--recording.upload_bandwidth=1kB"}, []string{"recording.upload_bandwidth:", "0, or a number of bytes"}},
		{"more than the disk", "", nil, []string{"--recording.keep_share=101"}, []string{"recording.keep_share:"}},
		{"not YAML", "relay: [", nil, nil, []string{"config file config.yaml:"}},
		{"no such file", "", nil, []string{"--config", "missing.yaml"}, []string{"config file missing.yaml:"}},
		{"all at once", "relay:\n  mode: x\n  z: 1\n", []string{"SKILLSAGE_A_B=1", "PORT=-1"}, []string{"--log.level=loud"},
			[]string{"relay.mode:", "relay.z:", "SKILLSAGE_A_B:", "server.port:", "log.level:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.file, c.environ, c.args...)
			if err == nil {
				t.Fatal("was accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
			if lines := strings.Split(err.Error(), "\n"); c.name == "all at once" && len(lines) != len(c.want) {
				t.Errorf("%d lines:\n%v", len(lines), err)
			}
		})
	}
}

func TestRecording(t *testing.T) {
	l, err := load(t, "relay: {mode: p2p, room_mode: recruiter}\nrecording: {mode: on-request, notice_stopped: \"\"}\n", []string{"SKILLSAGE_RECORDING_MIN_FREE=5GB"})
	if err != nil {
		t.Fatal(err)
	}
	if r := l.Recording; !r.On() || r.Dir != "recordings" || r.Consent != "notice" || r.NoticeStarted == "" || r.NoticeStopped != "" || r.MinFree != 5_000_000_000 || r.MaxDuration != 12*time.Hour {
		t.Errorf("%+v", r)
	}
	if l, err = load(t, "", nil); err != nil || l.Recording.On() {
		t.Errorf("records by default: %v", err)
	}
}

func TestAfterRecording(t *testing.T) {
	secrets := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ", whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 24))
	l, err := load(t, `
recording:
  mode: on-request
  webhook_urls: ["https://example.com/hook?token=1", "http://10.0.0.7:8080/"]
  upload_url: "s3://bucket?region=eu-central-1&endpoint=https://minio.example.com"
  upload_prefix: "interviews/2026"
  upload_bandwidth: 2MB
  exec: ["/usr/local/bin/archive", "--name=a b", "$HOME"]
  delete_after_upload: true
  keep_for: 720h
  keep_share: 80
`, []string{"SKILLSAGE_RECORDING_WEBHOOK_SECRETS=" + secrets})
	if err != nil {
		t.Fatal(err)
	}
	r := l.Recording
	if len(r.WebhookURLs) != 2 || len(r.WebhookSecrets) != 2 || r.UploadPrefix != "interviews/2026" || r.UploadBandwidth != 2_000_000 ||
		len(r.Exec) != 3 || r.Exec[2] != "$HOME" || !r.DeleteAfterUpload || r.KeepFor != 30*24*time.Hour || r.KeepShare != 80 {
		t.Errorf("%+v", r)
	}
	var out bytes.Buffer
	l.Print(&out)
	if strings.Contains(out.String(), "whsec_") {
		t.Errorf("secrets are printed:\n%s", &out)
	}
}

func TestTURN(t *testing.T) {
	l, err := load(t, `
relay: {mode: p2p}
turn:
  host: turn.example
  relay_ports: 40000-40999
  external_urls: ["turn:a.example:3478?transport=udp", "turns:[2001:db8::1]:443?transport=tcp", "stun:b.example"]
`, []string{"SKILLSAGE_TURN_EXTERNAL_SECRET=north", "SKILLSAGE_TURN_MAX_BANDWIDTH_PER_MEMBER=1MB"})
	if err != nil {
		t.Fatal(err)
	}
	c := l.TURN
	if c.Enabled != "on" || c.Host != "turn.example" || c.RelayPorts != (Ports{40000, 40999}) || len(c.ExternalURLs) != 3 || c.ExternalSecret != "north" ||
		c.MaxBandwidthPerMember != 1_000_000 || c.CredentialTTL != 12*time.Hour {
		t.Errorf("%+v", c)
	}
	if l, err = load(t, "", []string{"SKILLSAGE_TURN_RELAY_PORTS=", "SKILLSAGE_TURN_EXTERNAL_URLS=stun:b.example"}); err != nil || l.TURN.RelayPorts != (Ports{}) {
		t.Errorf("%v", err)
	}
}

func TestHelpListsEveryOption(t *testing.T) {
	var out bytes.Buffer
	t.Chdir(t.TempDir())
	if _, err := Load([]string{"--help"}, nil, &out); !errors.Is(err, pflag.ErrHelp) {
		t.Fatalf("got %v", err)
	}
	for _, o := range options(&Config{}) {
		if !strings.Contains(out.String(), "--"+o.key+" ") {
			t.Errorf("--%s is missing", o.key)
		}
	}
}

// config.yaml is the manual: it has exactly the options that exist, in the same order, with their
// true defaults, and each is explained.
func TestManual(t *testing.T) {
	path, err := filepath.Abs("../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := load(t, "", nil, "--config", path)
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	file := viper.New()
	file.SetConfigFile(path)
	if err := file.ReadInConfig(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	manual, at := string(raw), 0
	for i, o := range l.options {
		if !file.IsSet(o.key) {
			t.Errorf("%s is missing in config.yaml", o.key)
			continue
		}
		if got, want := o.value.get(), defaults.options[i].value.get(); got != want {
			t.Errorf("%s is %q in config.yaml, its default is %q", o.key, got, want)
		}
		section, entry, _ := strings.Cut(o.key, ".")
		line := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(entry+": "+notation(o.value)) + `$`).FindStringIndex(manual[at:])
		if line == nil {
			t.Errorf("%s: no line %q after the option before it, in section %s", o.key, entry+": "+notation(o.value), section)
			continue
		}
		// A comment stands above it, or above the block of options it belongs to.
		block := manual[:at+line[0]]
		block = block[strings.LastIndex(block, "\n\n")+1:]
		if !strings.Contains(block, "  # ") {
			t.Errorf("%s is not explained", o.key)
		}
		at += line[1]
	}
}

func TestPrintCanBeReadBack(t *testing.T) {
	first, err := load(t, "", []string{"SKILLSAGE_SERVER_TRUSTED_PROXIES=10.0.0.0/8,::1", "SKILLSAGE_SIGNALING_MAX_PAYLOAD=123456",
		"SKILLSAGE_SERVER_ACME_DOMAINS=A.example, b.c.example", "SKILLSAGE_SERVER_ACME_DIR=/var/lib/a folder",
		"SKILLSAGE_SERVER_ACME_EMAIL=a@b.example", "SKILLSAGE_SERVER_ACME_CA=https://ca.example:14000/dir",
		"SKILLSAGE_RELAY_MODE=p2p", "SKILLSAGE_TURN_RELAY_PORTS=40000-40999", "SKILLSAGE_TURN_EXTERNAL_URLS=stun:a.example,stuns:b.example:5349"},
		"--admin.listen=127.0.0.1:9090", "--shutdown.drain=2h", "--network.advertise=203.0.113.5,tcp:[2001:db8::5]:443", "--network.advertise_inside=no")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	first.Print(&out)
	if !strings.Contains(out.String(), "# flag --admin.listen") || !strings.Contains(out.String(), "# SKILLSAGE_SIGNALING_MAX_PAYLOAD") {
		t.Errorf("the sources are missing:\n%s", &out)
	}
	second, err := load(t, out.String(), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, &out)
	}
	for i, o := range first.options {
		if got := second.options[i].value.get(); got != o.value.get() {
			t.Errorf("%s: %q became %q", o.key, o.value.get(), got)
		}
	}
}

const token = "open-Sesame-0123456789"

// The token opens everything, so it is in no output of ours, whatever is wrong with it.
func TestTokenIsNeverShown(t *testing.T) {
	l, err := load(t, "admin: {token: "+token+", public: true, listen: 0.0.0.0:9090}\n", nil)
	if err != nil || l.Admin.Token != token || !l.Admin.Public {
		t.Fatalf("%v", err)
	}
	var out bytes.Buffer
	l.Print(&out)
	if strings.Contains(out.String(), token) || !regexp.MustCompile(`(?m)^  token: "" +# config.yaml, not shown$`).Match(out.Bytes()) {
		t.Errorf("printed:\n%s", &out)
	}
	for _, bad := range []string{token + " and more", token + `"`, token + "ä", strings.Repeat(token, 20)} {
		_, err := load(t, "", []string{"SKILLSAGE_ADMIN_TOKEN=" + bad})
		if err == nil || strings.Contains(err.Error(), token[:8]) {
			t.Errorf("%v", err)
		}
	}
}

func TestAdvertised(t *testing.T) {
	addr := netip.MustParseAddr
	for text, want := range map[string]Advertised{
		"203.0.113.5":               {"", addr("203.0.113.5"), 0},
		"203.0.113.5:443":           {"", addr("203.0.113.5"), 443},
		"2001:db8::5":               {"", addr("2001:db8::5"), 0},
		"[2001:db8::5]:443":         {"", addr("2001:db8::5"), 443},
		"udp:203.0.113.5:3478":      {"udp", addr("203.0.113.5"), 3478},
		"tcp:2001:db8::5":           {"tcp", addr("2001:db8::5"), 0},
		"tcp:[2001:db8::5]:443":     {"tcp", addr("2001:db8::5"), 443},
		"::ffff:203.0.113.5":        {"", addr("203.0.113.5"), 0},
		"[::ffff:203.0.113.5]:5000": {"", addr("203.0.113.5"), 5000},
		"192.168.1.5":               {"", addr("192.168.1.5"), 0}, // for a container in a private network
		"127.0.0.1":                 {"", addr("127.0.0.1"), 0},   // for one on somebody's own machine
	} {
		l, err := load(t, "", nil, "--network.advertise="+text)
		if err != nil || len(l.Network.Advertise) != 1 || l.Network.Advertise[0] != want {
			t.Errorf("%q: %v, %v", text, l, err)
			continue
		}
		again, err := load(t, "", nil, "--network.advertise="+want.String())
		if err != nil || again.Network.Advertise[0] != want {
			t.Errorf("%q is written %q, which is not read as the same: %v", text, want, err)
		}
	}
	for _, text := range []string{
		"0.0.0.0", "::", "224.0.0.1", "ff02::1", "169.254.1.1", "fe80::1%eth0", "2001:db8::1%eth0", "203.0.113.5:0", "203.0.113.5:65536", "203.0.113.5:http",
		"[2001:db8::5]", "[203.0.113.5]:443", "media.example.com", "203.0.113.0/24", "udp:", "sctp:203.0.113.5", "udp:tcp:203.0.113.5", "https://203.0.113.5", "203.0.113.5-203.0.113.9",
		"192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5,192.0.2.6,192.0.2.7,192.0.2.8,192.0.2.9",
	} {
		if l, err := load(t, "", nil, "--network.advertise="+text); err == nil {
			t.Errorf("%q was taken for %v", text, l.Network.Advertise)
		}
	}
}

// A list of servers that somebody has written down is another thing than the default.
func TestSTUNServersAreChosen(t *testing.T) {
	for _, c := range []struct {
		file    string
		env     []string
		servers int
		chosen  bool
	}{
		{"", nil, 2, false},
		{"network: {stun_servers: [\"stun.cloudflare.com:3478\", \"stun.l.google.com:19302\"]}\n", nil, 2, false},
		{"network: {stun_servers: [\"stun.example.com:3478\", \"[2001:db8::1]:3478\"]}\n", nil, 2, true},
		{"network: {stun_servers: []}\n", nil, 0, true},
		{"", []string{"SKILLSAGE_NETWORK_STUN_SERVERS="}, 0, true},
	} {
		if l, err := load(t, c.file, c.env); err != nil || len(l.Network.STUNServers) != c.servers || l.Network.STUNChosen != c.chosen {
			t.Errorf("%q %v: %v, %v", c.file, c.env, l, err)
		}
	}
}

// Nobody has chosen the default, whatever file repeats it.
func TestAdminListenIsChosen(t *testing.T) {
	for _, c := range []struct {
		file string
		env  []string
		want bool
	}{
		{"", nil, false},
		{"admin: {listen: 127.0.0.1:9090}\n", nil, false},
		{"admin: {listen: 127.0.0.1:9091}\n", nil, true},
		{"admin: {listen: \"\"}\n", nil, true},
		{"", []string{"SKILLSAGE_ADMIN_LISTEN=127.0.0.1:9090"}, true},
	} {
		if l, err := load(t, c.file, c.env); err != nil || l.Admin.Chosen != c.want {
			t.Errorf("%q %v: %v, %v", c.file, c.env, l, err)
		}
	}
}

func TestAdminOnLoopback(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:9090": true, "127.8.9.10:1": true, "[::1]:9090": true, "localhost:9090": true, "[::ffff:127.0.0.1]:9090": true,
		"": false, ":9090": false, "0.0.0.0:9090": false, "[::]:9090": false, "192.0.2.1:9090": false, "localhost.example:9090": false,
	} {
		if got := (Admin{Listen: listen}).Loopback(); got != want {
			t.Errorf("%q: %v", listen, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "1": 1, "16KiB": 16384, "16 kib": 16384, "1MB": 1_000_000, "2GiB": 2 << 30, "7B": 7, "3kB": 3000} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5MB", "1 M", "99999999999GiB", "1MBMB", "0x10"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q was taken for %d", text, got)
		}
	}
	for _, n := range []int{0, 1, 1000, 1024, 16384, 1_000_000, 1 << 30, 123456, 3 << 20} {
		if got, ok := parseSize(formatSize(n)); !ok || got != n {
			t.Errorf("%d became %q, %d", n, formatSize(n), got)
		}
	}
}
