package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"skillsage/config"
	"skillsage/internal/doctor"
	"skillsage/network"
	"skillsage/network/certs"
	"skillsage/network/public"
	"skillsage/network/turn"
)

// doctorFlags are those of the command doctor alone.
type doctorFlags struct {
	json  bool
	url   string
	reach []string
}

func (f *doctorFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.json, "json", false, "doctor: print the report for programs")
	flags.StringVar(&f.url, "url", "", "doctor: `address` by which people open the page, https://interviews.example.com, checked too")
	flags.StringSliceVar(&f.reach, "reach", nil, "doctor: from another machine, try these `addresses` of a server instead: udp:203.0.113.5:5000")
}

// diagnose runs the command doctor and returns what the process ends with.
func diagnose(cfg *config.Config, flags *doctorFlags, out, errOut io.Writer) int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	var report *doctor.Report
	if len(flags.reach) > 0 {
		candidates, err := toReach(flags.reach)
		if err != nil {
			fmt.Fprintln(errOut, err)
			return exitUsage
		}
		report = doctor.Run(ctx, doctor.Options{Candidates: candidates, Pages: pagesOf(flags.url)})
	} else {
		report = diagnoseHere(ctx, cfg)
		if flags.url != "" {
			report.Add(doctor.Run(ctx, doctor.Options{Pages: pagesOf(flags.url)}))
		}
	}
	if ctx.Err() != nil {
		return exitFailed // cut short: half of a report says what is not so
	}
	var err error
	if flags.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.Write(out)
	}
	if err != nil || report.Failed {
		return exitFailed
	}
	return exitOK
}

func pagesOf(url string) []doctor.Page {
	if url == "" {
		return nil
	}
	return []doctor.Page{{URL: url}}
}

// toReach reads --reach.
func toReach(texts []string) ([]public.Candidate, error) {
	var all []public.Candidate
	for _, text := range texts {
		protocol, rest, _ := strings.Cut(text, ":")
		addr, err := netip.ParseAddrPort(rest)
		if err != nil || protocol != public.UDP && protocol != public.TCP {
			return nil, fmt.Errorf("--reach: %q is not allowed; allowed: udp:203.0.113.5:5000, tcp:[2001:db8::5]:443 and the like", text)
		}
		all = append(all, public.Candidate{Protocol: protocol, Addr: addr, Origin: public.Advertised})
	}
	return all, nil
}

// diagnoseHere asks the running server for its report, since it knows best what it tells browsers; where that can't be had,
// it tries what the configuration tells.
func diagnoseHere(ctx context.Context, cfg *config.Config) *doctor.Report {
	report, err := askForReport(ctx, cfg)
	if err == nil {
		return report
	}
	page := pageAddress(cfg)
	options := doctor.Options{Page: cfg.Server.Listen(), Exposed: reachable(cfg, page), Machine: machineOf(cfg), TURN: externalTURN(cfg)}
	asked := doctor.Check{Area: "server", Tried: "asked the running server for its own report", Result: err.Error()}
	if !answers(ctx, cfg) {
		asked.Status, asked.Result = doctor.Warn, fmt.Sprintf("no server runs with this configuration, so only the machine was looked at (%v)", err)
		asked.Advice = "Start it, and run this again"
		options.Before = append([]doctor.Check{asked}, portsAreFree(cfg)...)
		return doctor.Run(ctx, options)
	}
	asked.Status = doctor.Warn
	asked.Result += ". What follows is tried by the configuration alone: an address that the server found by STUN is not known, nor what it was granted"
	asked.Advice = "Set admin.listen (and pass admin.token to this command as to the server)"
	options.Before = append([]doctor.Check{asked}, plainPage(cfg, page)...)
	if cfg.TURN.Enabled == "on" {
		options.Before = append(options.Before, doctor.Check{Area: "TURN", Status: doctor.Skip, Tried: "looked for credentials for this server's own TURN server",
			Result: "only the running server can give them"})
	}
	options.Pages = []doctor.Page{pageHere(cfg.Server.Address, page, cfg.Server.TLS(), certificateName(cfg))}
	if options.Machine.Asked > 0 {
		options.Candidates, err = candidatesByConfig(cfg)
		if err != nil {
			options.Before = append(options.Before, doctor.Check{Area: "media port", Status: doctor.Fail, Tried: "chose the addresses for media", Result: err.Error()})
		}
	}
	return doctor.Run(ctx, options)
}

// errNoAdmin means that the configuration has no operator's pages that could be asked.
var errNoAdmin = errors.New("admin.listen is empty")

// askForReport fetches /doctor.json of the server that runs with this configuration.
func askForReport(ctx context.Context, cfg *config.Config) (*doctor.Report, error) {
	var base string
	switch host, port, err := net.SplitHostPort(cfg.Admin.Listen); {
	case err == nil:
		number, _ := strconv.Atoi(port)
		base = "http://" + localAddress(host, number) + "/"
	case cfg.Admin.Public && cfg.Server.TLS():
		base = "https://" + localAddress(cfg.Server.Address, cfg.Server.Port) + "/admin/"
	case cfg.Admin.Public:
		base = "http://" + localAddress(cfg.Server.Address, cfg.Server.Port) + "/admin/"
	default:
		return nil, errNoAdmin
	}
	ctx, cancel := context.WithTimeout(ctx, 2*doctor.Limit)
	defer cancel()
	for {
		report, err := fetchReport(ctx, base+"doctor.json", cfg.Admin.Token)
		if !errors.Is(err, errBusy) || ctx.Err() != nil {
			if err == nil && cfg.Server.Port != 0 && !strings.HasSuffix(report.Page, ":"+strconv.Itoa(cfg.Server.Port)) {
				return nil, fmt.Errorf("the server at %s is another one, whose page is at %s", base, report.Page)
			}
			return report, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// errBusy means that the server makes a report for somebody else.
var errBusy = errors.New("it makes a report for somebody else all the time")

const maxReport = 1 << 20 // bytes

func fetchReport(ctx context.Context, url, token string) (*doctor.Report, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// The address is of this machine, which is no name that a certificate has.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusTooManyRequests:
		return nil, errBusy
	case http.StatusUnauthorized:
		return nil, fmt.Errorf("%s does not take the admin.token of this configuration", url)
	default:
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	var report doctor.Report
	if err := json.NewDecoder(io.LimitReader(response.Body, maxReport)).Decode(&report); err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return &report, nil
}

// localAddress is where this machine reaches a listener.
func localAddress(host string, port int) string {
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// pageHere is the page at the listener of host, by a name of its certificate where it has one.
func pageHere(host string, tcp *net.TCPAddr, secure bool, name string) doctor.Page {
	at := localAddress(host, tcp.Port)
	if !secure { // plainPage says what that means to others
		return doctor.Page{URL: "http://localhost:" + strconv.Itoa(tcp.Port) + "/", Dial: at}
	}
	return doctor.Page{URL: pageURL(tcp, true, name), Dial: at}
}

// plainPage warns where browsers on other machines get the page without TLS.
func plainPage(cfg *config.Config, page net.Addr) []doctor.Check {
	if cfg.Server.TLS() || !reachable(cfg, page) || len(cfg.Server.TrustedProxies) > 0 {
		return nil
	}
	return []doctor.Check{{
		Area: "https", Status: doctor.Warn, Tried: "looked at how the page is served",
		Result: "without TLS: browsers give camera and microphone to https pages only (and to localhost)",
		Advice: "Set server.acme_domains or server.tls_cert. If a proxy before this server ends TLS, name it in server.trusted_proxies, and pass --url to see whether it passes everything on",
	}}
}

// externalTURN are the other servers that clients are told of.
func externalTURN(cfg *config.Config) []doctor.TURNServer {
	c := cfg.TURN
	if len(c.ExternalURLs) == 0 {
		return nil
	}
	account := turn.Account{URLs: c.ExternalURLs, Secret: c.ExternalSecret, TTL: c.CredentialTTL}.For("doctor")
	return []doctor.TURNServer{{URLs: account.URLs, Username: account.Username, Password: account.Credential, External: true}}
}

// pageAddress is where the configuration opens the page.
func pageAddress(cfg *config.Config) *net.TCPAddr {
	page, err := net.ResolveTCPAddr("tcp", cfg.Server.Listen())
	if err != nil {
		page = &net.TCPAddr{Port: cfg.Server.Port}
	}
	if page.IP == nil {
		page.IP = net.IPv6unspecified
	}
	return page
}

// certificateName is a name that the certificate of the configuration has, empty if none is known.
func certificateName(cfg *config.Config) string {
	if len(cfg.Server.ACMEDomains) > 0 {
		return cfg.Server.ACMEDomains[0]
	}
	certificate, err := certs.Open(certOptions(cfg, newLogger(cfg.Log, io.Discard)))
	if err != nil {
		return ""
	}
	defer certificate.Close(context.Background())
	return certificate.Name()
}

// answers tells whether a server of ours runs with this configuration.
func answers(ctx context.Context, cfg *config.Config) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+localAddress(cfg.Server.Address, cfg.Server.Port)+"/healthz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK || response.StatusCode == http.StatusServiceUnavailable
}

// portsAreFree tries the ports that the server would open.
func portsAreFree(cfg *config.Config) []doctor.Check {
	page := doctor.Check{Area: "ports", Status: doctor.OK, Tried: "opened TCP port " + cfg.Server.Listen() + " for a moment", Result: "it is free"}
	listener, err := net.Listen("tcp", cfg.Server.Listen())
	if err == nil {
		defer listener.Close()
	} else {
		explainPort(&page, err, "server.port")
	}
	checks := []doctor.Check{page}
	if err != nil || machineOf(cfg).Asked == 0 {
		return checks
	}
	options := networkOptions(cfg, listener.Addr(), newLogger(cfg.Log, io.Discard))
	media := doctor.Check{Area: "ports", Status: doctor.OK, Tried: fmt.Sprintf("opened UDP port %d for a moment", options.Port), Result: "it is free"}
	if port, err := network.Open(options); err == nil {
		_ = port.Close()
	} else {
		explainPort(&media, err, "relay.udp_port")
	}
	return append(checks, media)
}

func explainPort(check *doctor.Check, err error, option string) {
	check.Status, check.Result = doctor.Fail, err.Error()
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		check.Advice = "Another program has it: end that one, or choose another port by " + option
	case errors.Is(err, os.ErrPermission):
		check.Advice = "Ports below 1024 need a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or sysctl net.ipv4.ip_unprivileged_port_start"
	}
}

// machineOf says what the server asks of its machine.
func machineOf(cfg *config.Config) *doctor.Machine {
	m := &doctor.Machine{Files: cfg.Signaling.MaxSockets}
	if relays(cfg) || cfg.TURN.Enabled == "on" {
		m.Asked = network.SocketBuffer
	}
	return m
}

// candidatesByConfig works out what browsers are told, as far as nobody outside has to be asked.
func candidatesByConfig(cfg *config.Config) ([]public.Candidate, error) {
	page := pageAddress(cfg)
	options := networkOptions(cfg, page, newLogger(cfg.Log, io.Discard))
	addrs, err := network.Addresses(options)
	if err != nil {
		return nil, err
	}
	var listening []netip.AddrPort
	for _, addr := range addrs {
		listening = append(listening, netip.AddrPortFrom(addr, uint16(options.Port)))
	}
	settings := publicOptions(cfg, page, listening)
	settings.STUN = nil
	addresses := public.New(settings)
	addresses.Close()
	return addresses.Candidates(), nil
}

// diagnose makes the report of this server.
func (s *server) diagnose(cfg *config.Config) func(context.Context) *doctor.Report {
	return func(ctx context.Context) *doctor.Report {
		page := s.front.Addr().(*net.TCPAddr)
		options := doctor.Options{
			Page:    page.String(),
			Exposed: reachable(cfg, page),
			Pages:   []doctor.Page{pageHere(page.IP.String(), page, s.certs != nil, s.certificateName())},
			Machine: machineOf(cfg),
			Before:  plainPage(cfg, page),
		}
		options.Machine.Process = true
		if s.media != nil {
			options.Candidates, options.Findings = s.addresses.Candidates(), s.addresses.Findings()
			if granted := s.media.Buffers(); granted.Receive > 0 {
				options.Machine.Granted = &doctor.Buffers{Receive: granted.Receive, Send: granted.Send}
			}
		}
		if s.turn != nil {
			account := s.turn.Account(s.turnReach(cfg).URLs()).For(s.visitor)
			options.TURN = append(options.TURN, doctor.TURNServer{
				URLs: account.URLs, Username: account.Username, Password: account.Credential,
				LocalUDP: s.media.Addresses()[0].String(), LocalTCP: localAddress(page.IP.String(), page.Port),
			})
		}
		options.TURN = append(options.TURN, externalTURN(cfg)...)
		return doctor.Run(ctx, options)
	}
}
