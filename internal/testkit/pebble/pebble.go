// Package pebble runs Pebble, Let's Encrypt's test authority, for tests of ACME. It validates for real, at port numbers of the
// test's choice, and issues what nobody else trusts.
package pebble

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"skillsage/internal/testkit/freeport"
)

const module = "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1"

// Authority is a running Pebble.
type Authority struct {
	Directory string         // URL
	Roots     *x509.CertPool // trusted for the connection to it
	RootsFile string         // the same in PEM
	Issued    *x509.CertPool // trusts what it has issued

	stop func()
}

// Stop ends it before the test does.
func (a *Authority) Stop() { a.stop() }

// Start starts an authority that finds every name at 127.0.0.1, validates it at port by TLS-ALPN, and issues certificates for
// a time in whole seconds. It ends with the test. The test is skipped where Pebble can't be fetched.
func Start(t *testing.T, port int, validity time.Duration) *Authority {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "install", module)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("go install %s: %v\n%s", module, err, out)
	}
	a := &Authority{RootsFile: filepath.Join(dir, "cert.pem")}
	a.Roots = writePair(t, a.RootsFile, filepath.Join(dir, "key.pem"))

	public, management := freePort(t), freePort(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": public, "managementListenAddress": management, "tlsPort": port, "httpPort": 1,
		"certificate": a.RootsFile, "privateKey": filepath.Join(dir, "key.pem"), "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]int{"validityPeriod": int(validity.Seconds())}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.Command(filepath.Join(dir, "pebble"), "-config", filepath.Join(dir, "config.json"), "-dnsserver", nameServer(t))
	run.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	a.stop = sync.OnceFunc(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	})
	t.Cleanup(func() {
		if a.stop(); t.Failed() {
			t.Logf("pebble:\n%s", &out)
		}
	})

	a.Directory = "https://" + public + "/dir"
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Roots}}}
	defer client.CloseIdleConnections()
	root := get(t, client, "https://"+management+"/roots/0")
	get(t, client, a.Directory)
	a.Issued = x509.NewCertPool()
	if !a.Issued.AppendCertsFromPEM(root) {
		t.Fatalf("no certificate: %q", root)
	}
	return a
}

// get asks until there is an answer.
func get(t *testing.T, client *http.Client, url string) []byte {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(url)
		if err == nil {
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s, %v", url, resp.Status, err)
			}
			return body
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// writePair makes the certificate of the authority's own pages.
func writePair(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{certFile: public, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

func freePort(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freeport.Find(t))
}

// nameServer is a DNS server for which every name has the address 127.0.0.1. Pebble asks over TCP.
func nameServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				for answerName(conn) == nil {
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		group.Wait()
	})
	return l.Addr().String()
}

// answerName answers one question (RFC 1035; each message has its length before it).
func answerName(conn net.Conn) error {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	question := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, question); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	for _, q := range m.Questions {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			})
		}
	}
	answer, err := m.AppendPack(make([]byte, 2))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
	_, err = conn.Write(answer)
	return err
}
