package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"skillsage/internal/doctor"
	"skillsage/internal/testkit/pebble"
)

// writeCertificate makes the files of a certificate for localhost, and what trusts it.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certFile, public, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

// visitor is an HTTP client that follows no redirect.
func visitor(t *testing.T, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A call over HTTPS, and what the same port says to HTTP. The address of a client behind a proxy is the one that the proxy tells.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	trusted := &tls.Config{RootCAs: writeCertificate(t, cert, key), ServerName: "localhost"}
	for _, plain := range []string{"redirect", "serve"} {
		t.Run(plain, func(t *testing.T) {
			t.Parallel()
			p := startServer(t, "SKILLSAGE_SERVER_TLS_CERT="+cert, "SKILLSAGE_SERVER_TLS_KEY="+key, "SKILLSAGE_SERVER_PLAIN_HTTP="+plain,
				"SKILLSAGE_SERVER_TRUSTED_PROXIES=127.0.0.1")
			secure := "https" + strings.TrimPrefix(p.base, "http")
			port := p.base[strings.LastIndex(p.base, ":")+1:]
			if !strings.Contains(p.out.String(), "https://localhost:"+port+"/") || strings.Contains(p.out.String(), "http://localhost") {
				t.Errorf("the links:\n%s", p.out.String())
			}
			client := visitor(t, trusted)
			for url, want := range map[string]map[string]int{
				secure + "/":        {"redirect": 200, "serve": 200},
				p.base + "/?a=b":    {"redirect": 308, "serve": 200},
				p.base + "/healthz": {"redirect": 200, "serve": 200},
				secure + "/healthz": {"redirect": 200, "serve": 200},
				p.base + "/nothing": {"redirect": 308, "serve": 404},
				secure + "/nothing": {"redirect": 404, "serve": 404},
				p.base + "/socket.io/?EIO=4&transport=polling": {"redirect": 308, "serve": 200},
			} {
				resp, err := client.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != want[plain] {
					t.Errorf("%s: %d", url, resp.StatusCode)
				}
				if to := resp.Header.Get("Location"); resp.StatusCode == 308 && to != "https"+strings.TrimPrefix(url, "http") {
					t.Errorf("%s leads to %q", url, to)
				}
			}

			dialer := websocket.Dialer{TLSClientConfig: trusted}
			conn, _, err := dialer.Dial("wss"+strings.TrimPrefix(p.base, "http")+"/socket.io/?EIO=4&transport=websocket",
				http.Header{"X-Forwarded-For": {"203.0.113.9"}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			p.say(conn, "40")
			p.hear(conn, "40{")
			p.say(conn, `42["join-room",{"interviewId":"one","userRole":"candidate"}]`)
			p.hear(conn, `42["code-state"`)
			p.eventually("told the client's address", func() bool { return strings.Contains(p.out.String(), "remote=203.0.113.9") })
			p.signal(syscall.SIGTERM)
			if code := p.exit(10 * time.Second); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// The doctor goes in by TLS, looks at the certificate, and asks the server for its report also where the pages are public.
func TestDoctorOfAServerWithTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	for _, admin := range []string{"SKILLSAGE_ADMIN_PUBLIC=true", "SKILLSAGE_ADMIN_PUBLIC=false"} {
		environ := []string{"SKILLSAGE_SERVER_TLS_CERT=" + cert, "SKILLSAGE_SERVER_TLS_KEY=" + key, "SKILLSAGE_ADMIN_LISTEN=",
			"SKILLSAGE_ADMIN_TOKEN=open-Sesame-0123456789", admin, "SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_TURN_HOST=localhost"}
		p := startServer(t, environ...)
		port := p.base[strings.LastIndex(p.base, ":")+1:]
		_, report := consult(t, append(environ, "PORT="+port))
		byItself := slices.ContainsFunc(report.Checks, func(c doctor.Check) bool { return c.Area == "server" })
		if byItself == strings.HasSuffix(admin, "true") {
			t.Errorf("%s: %+v", admin, report.Checks)
		}
		for area, part := range map[string]string{
			"page": "https://localhost:" + port + "/healthz at 127.0.0.1:" + port + ": the server is healthy", "signaling": "both work", "certificate": "nobody vouches for it",
		} {
			line(t, report, area, part)
		}
		if admin == "SKILLSAGE_ADMIN_PUBLIC=true" { // browsers would look at the certificate here too
			line(t, report, "TURN", "turns:localhost:"+port+"?transport=tcp for a relayed address: no connection: tls: failed to verify certificate")
		}
	}
}

// With a certificate that the machine trusts, TURN over TLS relays.
func TestDoctorOfTURNOverTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	port := freePort(t)
	environ := []string{"SKILLSAGE_SERVER_TLS_CERT=" + cert, "SKILLSAGE_SERVER_TLS_KEY=" + key, "SKILLSAGE_ADMIN_LISTEN=127.0.0.1:" + port,
		"SKILLSAGE_NETWORK_ADDRESSES=127.0.0.1", "SKILLSAGE_TURN_HOST=localhost", "SSL_CERT_FILE=" + cert}
	p := startServer(t, environ...)
	page := p.base[strings.LastIndex(p.base, ":")+1:]
	code, report := consult(t, append(environ, "PORT="+page))
	if code != exitOK {
		t.Errorf("exit code %d: %+v", code, report.Checks)
	}
	line(t, report, "TURN", "turns:localhost:"+page+"?transport=tcp for a relayed address: one was given, and through it the media port at 127.0.0.1:"+page+" answered")
	line(t, report, "certificate", "it is good, but ends in 0 days")
}

// A page on a certificate that the server has got for itself.
func TestACME(t *testing.T) {
	port, dir := freePort(t), t.TempDir()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	authority := pebble.Start(t, number, time.Hour)
	p := startProcess(t, []string{"PORT=" + port, "SKILLSAGE_SERVER_ADDRESS=127.0.0.1", "SKILLSAGE_SERVER_ACME_DOMAINS=interviews.example.com",
		"SKILLSAGE_SERVER_ACME_CA=" + authority.Directory, "SKILLSAGE_SERVER_ACME_DIR=" + dir, "SKILLSAGE_SERVER_ACME_EMAIL=a@b.example.com",
		"SSL_CERT_FILE=" + authority.RootsFile})
	client := visitor(t, &tls.Config{RootCAs: authority.Issued, ServerName: "interviews.example.com"})
	p.eventually("serving https", func() bool {
		resp, err := client.Get("https://127.0.0.1:" + port + "/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	if !strings.Contains(p.out.String(), "https://interviews.example.com:"+port+"/") {
		t.Errorf("the links:\n%s", p.out.String())
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A server whose authority does not answer stops as quickly as any other.
func TestStopWithoutACertificate(t *testing.T) {
	p := startServer(t, "SKILLSAGE_SERVER_ACME_DOMAINS=interviews.example.com", "SKILLSAGE_SERVER_ACME_CA=https://127.0.0.1:1/dir")
	p.eventually("failing", func() bool { return strings.Contains(p.out.String(), "connection refused") })
	p.signal(syscall.SIGTERM)
	if code := p.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestBadCertificatesStopTheStart(t *testing.T) {
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	writeCertificate(t, cert, key)
	writeCertificate(t, filepath.Join(dir, "third.pem"), other)
	for want, environ := range map[string][]string{
		"certificate: open " + dir + "/none.pem": {"SKILLSAGE_SERVER_TLS_CERT=" + dir + "/none.pem", "SKILLSAGE_SERVER_TLS_KEY=" + key},
		"private key does not match":             {"SKILLSAGE_SERVER_TLS_CERT=" + cert, "SKILLSAGE_SERVER_TLS_KEY=" + other},
		"certificates can't be kept in " + cert:  {"SKILLSAGE_SERVER_ACME_DOMAINS=a.example.com", "SKILLSAGE_SERVER_ACME_DIR=" + cert},
	} {
		p := startProcess(t, append(environ, "PORT="+freePort(t)))
		if code := p.exit(10 * time.Second); code != exitFailed || !strings.Contains(p.out.String(), want) {
			t.Errorf("exit code %d, no %q in\n%s", code, want, p.out.String())
		}
	}
}
