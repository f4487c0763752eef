package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

const (
	areaPage        = "page"
	areaCertificate = "certificate"
	areaSignaling   = "signaling"
)

const (
	maxBody = 64 << 10 // bytes that are read of an answer
	// renewal is when a certificate should have been renewed: ACME clients do so a month before the end.
	renewal = 14 * 24 * time.Hour
)

// checkPage fetches what a browser fetches: the page's certificate, an answer, and the signaling by both transports.
// outside: from another machine than the server's.
func checkPage(ctx context.Context, page Page, outside bool) []Check {
	u, err := url.Parse(page.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return []Check{{areaPage, Fail, "read the address " + page.URL, "it is no http or https address", ""}}
	}
	u.Path, u.RawQuery, u.Fragment = "/", "", ""
	v := &visit{url: u, page: page, outside: outside}
	check := v.answer(ctx)
	if check.Status == Fail || check.Status == Warn && v.certificate == nil && !v.healthy {
		return []Check{check}
	}
	checks := []Check{check}
	if u.Scheme == "https" {
		checks = append(checks, v.checkCertificate(time.Now()))
	}
	return append(checks, v.checkSignaling(ctx))
}

// visit is the way to one page.
type visit struct {
	url     *url.URL
	page    Page
	outside bool

	healthy     bool
	certificate *tls.ConnectionState // nil: none was seen
}

// client goes the way. Certificates are looked at by checkCertificate, so that all else is checked too where one is bad: what is sent
// here is nobody's secret.
func (v *visit) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: v.dial, TLSClientConfig: v.tls(), DisableKeepAlives: true, TLSHandshakeTimeout: connectTime},
		// Where a page sends its visitors is told, not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       2 * connectTime,
	}
}

func (v *visit) tls() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func (v *visit) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if v.page.Dial != "" {
		addr = v.page.Dial
	}
	return (&net.Dialer{Timeout: connectTime}).DialContext(ctx, network, addr)
}

// by says how the page was reached, where that is not by its name.
func (v *visit) by() string {
	if v.page.Dial == "" || v.page.Dial == v.url.Host {
		return ""
	}
	return " at " + v.page.Dial
}

// get fetches a path of the page.
func (v *visit) get(ctx context.Context, path string, query url.Values) (*http.Response, []byte, error) {
	u := *v.url
	u.Path, u.RawQuery = path, query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := v.client().Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	return response, body, err
}

// answer asks whether the server is healthy.
func (v *visit) answer(ctx context.Context) Check {
	check := Check{Area: areaPage, Tried: "fetched " + v.url.JoinPath("healthz").String() + v.by()}
	response, body, err := v.get(ctx, "/healthz", nil)
	if err != nil {
		check.Status, check.Result = Fail, "no answer: "+plain(err)
		check.Advice = "See that the server runs, that the name leads to it, and that no firewall is between"
		if v.elsewhere(ctx) {
			check.Status = Warn
			check.Result += ". " + hairpin
			check.Advice = "Open the page from another network, a phone without Wi-Fi for example"
		}
		return check
	}
	v.certificate = response.TLS
	var health struct{ Status string }
	switch unmarshal := json.Unmarshal(body, &health); {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		check.Status, check.Result = Warn, "visitors are sent on to "+response.Header.Get("Location")
		check.Advice = "Give pages and clients that address at once: Socket.IO clients do not follow"
	case unmarshal != nil || health.Status == "":
		check.Status, check.Result = Fail, fmt.Sprintf("something else answers there (%s)", response.Status)
		check.Advice = "Another program has that port, or the proxy before the server sends the request elsewhere"
	case health.Status != "ok":
		v.healthy = true
		check.Status, check.Result = Warn, "the server is "+health.Status+": it opens no new rooms and will end"
	default:
		v.healthy = true
		check.Status, check.Result = OK, "the server is healthy"
	}
	if v.healthy && v.url.Scheme == "http" && !isLoopbackHost(v.url.Hostname()) {
		check.Status, check.Advice = Warn, "Serve the page by https: server.acme_domains or server.tls_cert, or a proxy that ends TLS"
		check.Result += ", but browsers give camera and microphone to https pages only (and to localhost)"
	}
	return check
}

// elsewhere tells whether the page's name leads to an address that is not the machine's own.
func (v *visit) elsewhere(ctx context.Context) bool {
	if v.page.Dial != "" || v.outside {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", v.url.Hostname())
	if err != nil {
		return false
	}
	for _, addr := range addrs {
		// Only an address of the machine can be listened on.
		if ln, err := net.Listen("tcp", net.JoinHostPort(addr.Unmap().String(), "0")); err == nil {
			_ = ln.Close()
			return false
		}
	}
	return true
}

func isLoopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// checkCertificate looks at what the server showed as a browser would.
func (v *visit) checkCertificate(now time.Time) Check {
	host := v.url.Hostname()
	check := Check{Area: areaCertificate, Tried: "looked at the certificate that is shown for " + host + v.by()}
	if v.certificate == nil || len(v.certificate.PeerCertificates) == 0 {
		check.Status, check.Result = Fail, "there is none"
		return check
	}
	leaf := v.certificate.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, c := range v.certificate.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	until := leaf.NotAfter.UTC().Format("2 January 2006")
	issuer := leaf.Issuer.CommonName
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: v.page.Roots, Intermediates: intermediates, CurrentTime: now})
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	check.Status = Fail
	switch left := leaf.NotAfter.Sub(now); {
	case err == nil && left < renewal:
		check.Status, check.Result = Warn, fmt.Sprintf("it is good, but ends in %.0f days (%s)", left.Hours()/24, until)
		check.Advice = "Renew it now, and see why that has not happened by itself: the log of this server (ACME) or of the program that renews the files"
	case err == nil:
		check.Status, check.Result = OK, fmt.Sprintf("it is good until %s (by %s)", until, issuer)
	case left < 0:
		check.Result, check.Advice = "it has ended on "+until+": browsers refuse it", "Renew it. If it is new, the clock of this machine is wrong"
	case now.Before(leaf.NotBefore):
		check.Result, check.Advice = "it begins only on "+leaf.NotBefore.UTC().Format("2 January 2006 15:04")+" UTC", "Most likely the clock of this machine is wrong: set it"
	case errors.As(err, &name):
		check.Result, check.Advice = fmt.Sprintf("it is for %s, not for %s: browsers refuse it", strings.Join(names(leaf), ", "), host), "Get one for that name, or open the page by one of those"
	case errors.As(err, &authority) && leaf.Issuer.String() == leaf.Subject.String():
		check.Result, check.Advice = "nobody vouches for it (it is self-signed): browsers refuse it", "Get one of a public authority, which server.acme_domains does"
	case errors.As(err, &authority):
		check.Result = fmt.Sprintf("its issuer (%s) is not known to this machine: browsers may refuse it", issuer)
		check.Advice = "If that is a public authority, the file lacks the intermediate certificates: put the full chain into it. If it is your own, every client must know it"
	default:
		check.Result = "it is refused: " + err.Error()
	}
	return check
}

// names are those that a certificate is for.
func names(c *x509.Certificate) []string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		all = append(all, "nobody")
	}
	return all[:min(len(all), 5)]
}

// checkSignaling opens a session as stock clients do: by long polling, then the change to WebSocket. It joins nothing.
func (v *visit) checkSignaling(ctx context.Context) Check {
	check := Check{Area: areaSignaling, Tried: "opened a Socket.IO connection at " + v.url.String() + v.by() + ", by long polling and then by WebSocket"}
	query := url.Values{"EIO": {"4"}, "transport": {"polling"}}
	response, body, err := v.get(ctx, "/socket.io/", query)
	var hello struct{ SID string }
	switch {
	case err != nil:
		check.Status, check.Result = Fail, "no answer to the first poll: "+plain(err)
		return check
	case response.StatusCode != http.StatusOK, len(body) == 0, body[0] != '0', json.Unmarshal(body[1:], &hello) != nil, hello.SID == "":
		check.Status, check.Result = Fail, fmt.Sprintf("the first poll was answered with %s: nobody gets in", response.Status)
		check.Advice = "Where a proxy stands before the server, it must pass on everything below /socket.io/"
		if response.StatusCode == http.StatusServiceUnavailable || response.StatusCode == http.StatusTooManyRequests {
			check.Advice = "A limit is reached (signaling.max_sockets, max_sockets_per_address)"
		}
		return check
	}
	query.Set("transport", "websocket")
	query.Set("sid", hello.SID)
	begin := time.Now()
	if err := v.upgrade(ctx, query); err != nil {
		check.Status, check.Result = Warn, "long polling works, WebSocket does not ("+err.Error()+"): calls come up, but more slowly, and every message costs a request"
		check.Advice = "A proxy before the server must pass upgrades on (nginx: proxy_http_version 1.1, and the headers Upgrade and Connection)"
		return check
	}
	check.Status, check.Result = OK, fmt.Sprintf("both work; a WebSocket message is answered after %s", round(time.Since(begin)))
	return check
}

// upgrade changes the session of a query to WebSocket and ends it (Engine.IO protocol 4: probe, upgrade, close).
func (v *visit) upgrade(ctx context.Context, query url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, 2*connectTime)
	defer cancel()
	u := *v.url
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	u.Path, u.RawQuery = "/socket.io/", query.Encode()
	dialer := websocket.Dialer{NetDialContext: v.dial, TLSClientConfig: v.tls(), HandshakeTimeout: connectTime}
	conn, response, err := dialer.DialContext(ctx, u.String(), nil)
	if err != nil {
		if response != nil {
			return errors.New("the upgrade was answered with " + response.Status)
		}
		return errors.New(plain(err))
	}
	defer conn.Close()
	defer closeWith(ctx, conn)()
	conn.SetReadLimit(maxBody)
	if err := conn.WriteMessage(websocket.TextMessage, []byte("2probe")); err != nil {
		return err
	}
	_, text, err := conn.ReadMessage()
	if err != nil {
		return errors.New(plain(readError(ctx, err)))
	}
	if string(text) != "3probe" {
		return errOther
	}
	for _, packet := range []string{"5", "1"} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
			return err
		}
	}
	return nil
}

// plain is an error in the words of dialError, or its own.
func plain(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the name " + dns.Name + " is not known"
	case errors.As(err, &dns):
		return "the name " + dns.Name + " can't be looked up"
	case errors.Is(err, io.EOF):
		return "the connection was closed"
	}
	return dialError(err).Error()
}
