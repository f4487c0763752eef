package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// EnvPrefix starts every environment variable that belongs to the server.
const EnvPrefix = "SKILLSAGE_"

// option is one line of the configuration: its name, its default in the notation of config.yaml,
// and how text becomes the typed value.
type option struct {
	key   string
	def   string
	help  string // one line for --help; config.yaml tells the whole story
	value value
}

// env is the option's environment variable: SKILLSAGE_<SECTION>_<KEY>.
func (o option) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(o.key, ".", "_"))
}

// defaultSTUN are two of different operators, so that one sees what the other sees.
const defaultSTUN = "stun.cloudflare.com:3478,stun.l.google.com:19302"

// defaultAdmin is where the operator's pages are when nobody says otherwise.
const defaultAdmin = "127.0.0.1:9090"

// What pages without a sign of their own say of a recording.
const (
	defaultNoticeStarted = "This interview is being recorded: cameras, voices, shared screens, chat and code."
	defaultNoticeStopped = "The recording has ended."
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// options lists every option in the order of config.yaml, bound to the fields of c.
func options(c *Config) []option {
	s, g, r, n, t, rec := &c.Server, &c.Signaling, &c.Relay, &c.Network, &c.TURN, &c.Recording
	return []option{
		{"server.address", "", "host name or IP address to listen on; empty means every interface", host(&s.Address)},
		{"server.port", "5000", "TCP port of the page and the signaling; 0 picks a free one", integer(&s.Port, 0, 65535)},
		{"server.cors_origins", "*", "web origins whose pages may connect", origins(&s.CORSOrigins)},
		{"server.trusted_proxies", "", "reverse proxies whose X-Forwarded-For is believed", prefixes(&s.TrustedProxies)},
		{"server.max_header_size", "16KiB", "largest header of one HTTP request", size(&s.MaxHeaderSize, 4*kib, mib)},
		{"server.max_pending", "2048", "TCP connections that have not said yet what they carry", integer(&s.MaxPending, 16, 1_000_000)},
		{"server.tls_cert", "", "PEM file of the certificate; empty means none", file(&s.TLSCert)},
		{"server.tls_key", "", "PEM file of its private key", file(&s.TLSKey)},
		{"server.acme_domains", "", "names to get certificates for by ACME", domains(&s.ACMEDomains)},
		{"server.acme_email", "", "where the certificate authority may write to", email(&s.ACMEEmail)},
		{"server.acme_dir", "acme", "folder where certificates by ACME and their keys are kept", file(&s.ACMEDir)},
		{"server.acme_ca", "", "URL of the certificate authority's directory; empty means Let's Encrypt", httpsURL(&s.ACMECA)},
		{"server.plain_http", "redirect", "what happens to HTTP without TLS where there is TLS", oneOf(&s.PlainHTTP, "redirect", "serve")},

		{"signaling.grace", "5s", "how long a member whose connection broke may take to come back", duration(&g.Grace, "0s", "10m")},
		{"signaling.ping_interval", "10s", "time between two heartbeats", duration(&g.PingInterval, "100ms", "10m")},
		{"signaling.ping_timeout", "10s", "how long the answer to a heartbeat may take", duration(&g.PingTimeout, "100ms", "10m")},
		{"signaling.upgrade_timeout", "10s", "how long the change from polling to WebSocket may take", duration(&g.UpgradeTimeout, "100ms", "10m")},
		{"signaling.connect_timeout", "45s", "how long a new connection may stay without entering the namespace", duration(&g.ConnectTimeout, "100ms", "10m")},
		{"signaling.read_timeout", "20s", "how long one message of a client may take to arrive", duration(&g.ReadTimeout, "100ms", "10m")},
		{"signaling.write_timeout", "10s", "how long one write to a socket may take", duration(&g.WriteTimeout, "100ms", "10m")},
		{"signaling.max_payload", "1MB", "largest message a client may send", size(&g.MaxPayload, 16*kib, 64*mib)},
		{"signaling.max_sockets", "100000", "sockets of the whole server", integer(&g.MaxSockets, 1, 10_000_000)},
		{"signaling.max_sockets_per_address", "10000", "sockets from one IP address", integer(&g.MaxSocketsPerAddress, 1, 10_000_000)},
		{"signaling.max_rooms", "10000", "rooms at the same time", integer(&g.MaxRooms, 1, 1_000_000)},
		{"signaling.max_members", "32", "sockets in one room", integer(&g.MaxMembers, 2, 10_000)},
		{"signaling.event_rate", "2000", "events per second that one socket may send over time", rate(&g.EventRate, 1, 1_000_000)},
		{"signaling.event_burst", "1000", "events that one socket may send at once", integer(&g.EventBurst, 10, 10_000_000)},
		{"signaling.max_signal", "256KiB", "largest session description", size(&g.MaxSignal, 16*kib, 64*mib)},
		{"signaling.max_candidate", "8KiB", "largest ICE candidate", size(&g.MaxCandidate, kib, mib)},
		{"signaling.chat_messages", "500", "chat messages kept per room", integer(&g.ChatMessages, 1, 100_000)},
		{"signaling.max_chat_message", "16KiB", "largest chat message", size(&g.MaxChatMessage, 256, mib)},
		{"signaling.chat_size", "256KiB", "bytes of chat kept per room", size(&g.ChatSize, kib, gib)},
		{"signaling.questions", "64", "questions per room whose code is kept", integer(&g.Questions, 1, 10_000)},
		{"signaling.max_code", "128KiB", "largest code of one question", size(&g.MaxCode, kib, 64*mib)},
		{"signaling.code_size", "512KiB", "bytes of code kept per room", size(&g.CodeSize, kib, gib)},
		{"signaling.queue_messages", "2048", "messages that may wait for one slow socket", integer(&g.QueueMessages, 16, 1_000_000)},
		{"signaling.queue_size", "4MiB", "bytes that may wait for one slow socket", size(&g.QueueSize, 64*kib, gib)},

		{"relay.mode", "relay", "who carries the media: the server, or the browsers themselves", oneOf(&r.Mode, "relay", "p2p")},
		{"relay.room_mode", "server", "who chooses the mode of a room", oneOf(&r.RoomMode, "server", "recruiter")},
		{"relay.udp_port", "0", "UDP port of the media; 0 means the number of the HTTP port", integer(&r.UDPPort, 0, 65535)},
		{"relay.max_legs", "8192", "media connections of the whole server", integer(&r.MaxLegs, 2, 1_000_000)},
		{"relay.max_legs_per_room", "512", "media connections of one room", integer(&r.MaxLegsPerRoom, 2, 1_000_000)},
		{"relay.first_answer_timeout", "1m", "how long a socket may take to answer its first offer", duration(&r.FirstAnswerTimeout, "1s", "1h")},
		{"relay.answer_timeout", "10s", "how long a socket that has answered before may take", duration(&r.AnswerTimeout, "1s", "10m")},
		{"relay.glare_timeout", "1.5s", "how long an offer that crossed the server's own waits", duration(&r.GlareTimeout, "100ms", "10s")},
		{"relay.connect_timeout", "30s", "how long a media connection may take to come up", duration(&r.ConnectTimeout, "1s", "10m")},
		{"relay.restart_after", "2.5s", "how long a client may not be heard of until the server restarts ICE", duration(&r.RestartAfter, "1s", "1m")},
		{"relay.lost_timeout", "20s", "how long a media connection may be dead until its call is made anew", duration(&r.LostTimeout, "6s", "10m")},
		{"relay.media_timeout", "5s", "how long media may not come until both sides are told", duration(&r.MediaTimeout, "1s", "10m")},
		{"relay.uploads", "once", "whether a client sends each of its tracks once or on every leg", oneOf(&r.Uploads, "once", "every_leg")},
		{"relay.small_uploads", "on", "whether a client sends a second, small picture for viewers with little bandwidth", oneOf(&r.SmallUploads, "on", "off")},
		{"relay.panel_percentile", "25", "which viewer, by bandwidth, a picture's publisher is held to", integer(&r.PanelPercentile, 0, 100)},
		{"relay.quality_interval", "3s", "how often members are told how their media connections do; 0s means never", duration(&r.QualityInterval, "0s", "1m")},
		{"relay.video_codecs", "vp8,h264,vp9,av1", "video codecs by preference", words(&r.VideoCodecs, "vp8", "h264", "vp9", "av1")},

		{"network.addresses", "", "addresses of this machine that carry media; empty means all", addresses(&n.Addresses)},
		{"network.interfaces", "", "network interfaces that carry media; empty means all", names(&n.Interfaces)},
		{"network.loopback", "auto", "whether media may use the loopback interface", oneOf(&n.Loopback, "auto", "yes", "no")},
		{"network.advertise", "", "public addresses that browsers are told", advertised(&n.Advertise)},
		{"network.advertise_inside", "yes", "whether browsers are told the machine's private addresses too", oneOf(&n.AdvertiseInside, "yes", "no")},
		{"network.stun_servers", defaultSTUN, "who is asked for the public address when none is known", stunServers(&n.STUNServers)},
		{"network.ice_tcp", "on", "whether media may use TCP, on the HTTP port, where UDP does not pass", oneOf(&n.ICETCP, "on", "off")},
		{"network.ssltcp", "on", "whether it may also begin with what looks like a TLS handshake", oneOf(&n.SSLTCP, "on", "off")},

		{"turn.enabled", "on", "whether the server is a TURN server too", oneOf(&t.Enabled, "on", "off")},
		{"turn.host", "", "DNS name or address by which clients reach it; empty means its own addresses, and the certificate's name over TLS", host(&t.Host)},
		{"turn.realm", "skillsage", "realm of the credentials", realm(&t.Realm)},
		{"turn.secret", "", "what credentials are made of; empty means something random", secret(&t.Secret, 16)},
		{"turn.credential_ttl", "12h", "how long credentials can be used to begin with", duration(&t.CredentialTTL, "1m", "168h")},
		{"turn.relay_ports", "", "UDP ports that members of peer-to-peer rooms reach the internet from; empty means they do not", ports(&t.RelayPorts)},
		{"turn.max_allocations", "4096", "relayed addresses of the whole server", integer(&t.MaxAllocations, 1, 16_000)},
		{"turn.max_allocations_per_member", "64", "relayed addresses of one member", integer(&t.MaxAllocationsPerMember, 1, 16_000)},
		{"turn.max_bandwidth_per_member", "4MiB", "bytes per second that are relayed for one member", size(&t.MaxBandwidthPerMember, 64*kib, gib)},
		{"turn.external_urls", "", "other STUN and TURN servers that members are told of", iceURLs(&t.ExternalURLs)},
		{"turn.external_secret", "", "what credentials for them are made of", secret(&t.ExternalSecret, 1)},

		{"recording.mode", "off", "whether interviews are recorded", oneOf(&rec.Mode, "off", "on-request", "always")},
		{"recording.dir", "recordings", "folder where recordings are kept", file(&rec.Dir)},
		{"recording.consent", "notice", "what members of a recorded interview are asked", oneOf(&rec.Consent, "none", "notice", "required")},
		{"recording.notice_started", defaultNoticeStarted, "chat line about a recording for pages that do not show it themselves; empty means none", sentence(&rec.NoticeStarted)},
		{"recording.notice_stopped", defaultNoticeStopped, "chat line about its end for the same pages; empty means none", sentence(&rec.NoticeStopped)},
		{"recording.min_free", "1GiB", "space on the disk that recordings leave free", size(&rec.MinFree, mib, 1024*gib)},
		{"recording.max_duration", "12h", "longest recording", duration(&rec.MaxDuration, "1s", "168h")},
		{"recording.webhook_urls", "", "URLs that are told when a recording starts, is finished or fails", webhookURLs(&rec.WebhookURLs)},
		{"recording.webhook_secrets", "", "what webhooks are signed with, by each of them", webhookSecrets(&rec.WebhookSecrets)},
		{"recording.webhook_retry_for", "72h", "how long a webhook is tried", duration(&rec.WebhookRetryFor, "1m", "720h")},
		{"recording.webhook_timeout", "15s", "how long one attempt may take", duration(&rec.WebhookTimeout, "1s", "2m")},
		{"recording.webhook_max_queued", "10000", "webhooks that may wait, counted once for each URL", integer(&rec.WebhookMaxQueued, 16, 1_000_000)},
		{"recording.upload_url", "", "bucket that recordings are uploaded to; empty means none", bucketURL(&rec.UploadURL)},
		{"recording.upload_prefix", "", "what the keys of uploaded files begin with", keyPrefix(&rec.UploadPrefix)},
		{"recording.upload_parallel", "2", "recordings that are uploaded at the same time", integer(&rec.UploadParallel, 1, 64)},
		{"recording.upload_bandwidth", "0", "bytes per second that uploads may take; 0 means no bound", bandwidth(&rec.UploadBandwidth, 64*kib, 100*gib)},
		{"recording.exec", "", "program that is run for each recording when it has ended, and its arguments", program(&rec.Exec)},
		{"recording.exec_timeout", "1h", "how long it may run", duration(&rec.ExecTimeout, "1s", "48h")},
		{"recording.exec_parallel", "1", "how many of it may run at the same time", integer(&rec.ExecParallel, 1, 256)},
		{"recording.delete_after_upload", "false", "whether a recording is removed here when it has been uploaded", boolean(&rec.DeleteAfterUpload)},
		{"recording.keep_for", "0s", "how long recordings are kept here; 0s means for ever", duration(&rec.KeepFor, "0s", "87600h")},
		{"recording.keep_share", "0", "percentage of the disk that recordings may take together; 0 means no bound", integer(&rec.KeepShare, 0, 100)},
		{"recording.link_secret", "", "what links to recordings are signed with; empty means something random that is kept", secret(&rec.LinkSecret, 16)},
		{"recording.link_ttl", "24h", "how long a link to a recording is good", duration(&rec.LinkTTL, "1m", "720h")},
		{"recording.link_url", "", "address of this server for browsers, which links begin with; empty means they are paths", origin(&rec.LinkURL)},

		{"shutdown.drain", "0s", "how long running calls may go on after SIGTERM", duration(&c.Shutdown.Drain, "0s", "24h")},

		{"log.level", "info", "least important line that is logged", level(&c.Log.Level)},
		{"log.format", "text", "shape of a log line", oneOf(&c.Log.Format, "text", "json")},

		{"admin.listen", defaultAdmin, "host:port of the operator's listener (metrics, debug page, profiles); empty means off", hostPort(&c.Admin.Listen)},
		{"admin.token", "", "password of the operator's pages; empty means none", secret(&c.Admin.Token, 16)},
		{"admin.public", "false", "whether they are on the public listener too, below /admin/", boolean(&c.Admin.Public)},
	}
}

// check looks at options that must fit together, after each has been found good by itself.
func (c *Config) check() []error {
	problems := c.Server.check()
	if c.Relay.MaxLegsPerRoom > c.Relay.MaxLegs {
		problems = append(problems, fmt.Errorf("relay.max_legs_per_room: %d is more than relay.max_legs (%d)",
			c.Relay.MaxLegsPerRoom, c.Relay.MaxLegs))
	}
	if c.Signaling.MaxSocketsPerAddress > c.Signaling.MaxSockets {
		problems = append(problems, fmt.Errorf("signaling.max_sockets_per_address: %d is more than signaling.max_sockets (%d)",
			c.Signaling.MaxSocketsPerAddress, c.Signaling.MaxSockets))
	}
	for _, pair := range []struct {
		small, large         string
		smallValue, largeMax int
	}{
		{"signaling.max_chat_message", "signaling.chat_size", c.Signaling.MaxChatMessage, c.Signaling.ChatSize},
		{"signaling.max_code", "signaling.code_size", c.Signaling.MaxCode, c.Signaling.CodeSize},
		{"signaling.max_payload", "signaling.queue_size", c.Signaling.MaxPayload, c.Signaling.QueueSize},
	} {
		if pair.smallValue > pair.largeMax {
			problems = append(problems, fmt.Errorf("%s: %s is more than %s (%s)",
				pair.small, formatSize(pair.smallValue), pair.large, formatSize(pair.largeMax)))
		}
	}
	if c.Relay.QualityInterval > 0 && c.Relay.QualityInterval < time.Second {
		problems = append(problems, fmt.Errorf("relay.quality_interval: %s is too short; allowed: 0s, or a time from 1s to 1m", c.Relay.QualityInterval))
	}
	if c.TURN.MaxAllocationsPerMember > c.TURN.MaxAllocations {
		problems = append(problems, fmt.Errorf("turn.max_allocations_per_member: %d is more than turn.max_allocations (%d)",
			c.TURN.MaxAllocationsPerMember, c.TURN.MaxAllocations))
	}
	if c.TURN.RelayPorts != (Ports{}) && c.Relay.Mode == "relay" && c.Relay.RoomMode == "server" {
		problems = append(problems, errors.New("turn.relay_ports: every room of this server is in relay mode, where nothing is relayed to others; allowed with relay.mode: p2p or relay.room_mode: recruiter"))
	}
	if c.TURN.ExternalSecret == "" && slices.ContainsFunc(c.TURN.ExternalURLs, func(url string) bool { return strings.HasPrefix(url, "turn") }) {
		problems = append(problems, errors.New("turn.external_urls: TURN servers need turn.external_secret"))
	}
	problems = append(problems, c.checkRecording()...)
	if c.Admin.Listen != "" && !c.Admin.Loopback() && c.Admin.Token == "" {
		problems = append(problems, fmt.Errorf("admin.listen: %s can be reached from other machines, which needs admin.token; allowed without it: a loopback address, for example %s",
			c.Admin.Listen, defaultAdmin))
	}
	if c.Admin.Public && c.Admin.Token == "" {
		problems = append(problems, errors.New("admin.public: true needs admin.token, since everybody reaches the public listener"))
	}
	if c.Admin.Chosen && c.Server.Port != 0 && c.Admin.Listen == c.Server.Listen() {
		problems = append(problems, fmt.Errorf("admin.listen: %s is the address of the server itself", c.Admin.Listen))
	}
	return problems
}

func (c *Config) checkRecording() []error {
	r := c.Recording
	var problems []error
	if r.On() && c.Relay.Mode == "p2p" && c.Relay.RoomMode == "server" {
		problems = append(problems, fmt.Errorf("recording.mode: %s needs media that pass through this server, and relay.mode: p2p sends them from browser to browser; "+
			"allowed with relay.mode: relay, or with relay.room_mode: recruiter, where a room is relayed from the start of its recording on", r.Mode))
	}
	if r.On() && r.Dir == "" {
		problems = append(problems, fmt.Errorf("recording.dir: is empty; recording.mode: %s needs a folder to keep recordings in", r.Mode))
	}
	if len(r.WebhookURLs) > 0 && len(r.WebhookSecrets) == 0 {
		problems = append(problems, errors.New("recording.webhook_secrets: is empty; recording.webhook_urls needs at least one, by which receivers know who is speaking"))
	}
	if r.DeleteAfterUpload && r.UploadURL == "" {
		problems = append(problems, errors.New("recording.delete_after_upload: true needs recording.upload_url"))
	}
	return problems
}

func (s Server) check() []error {
	var problems []error
	if s.TLSCert != "" && s.TLSKey == "" {
		problems = append(problems, errors.New("server.tls_key: is empty; server.tls_cert needs the key of its certificate"))
	}
	if s.TLSKey != "" && s.TLSCert == "" {
		problems = append(problems, errors.New("server.tls_cert: is empty; server.tls_key needs the certificate that it is the key of"))
	}
	if len(s.ACMEDomains) > 0 && s.TLSCert != "" {
		problems = append(problems, errors.New("server.acme_domains: certificates come from an authority or from server.tls_cert, not from both; leave one empty"))
	}
	if len(s.ACMEDomains) > 0 && s.ACMEDir == "" {
		problems = append(problems, errors.New("server.acme_dir: is empty; server.acme_domains needs a folder to keep certificates in"))
	}
	return problems
}
