package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skillsage/internal/testkit/journal"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// certmagic has one of these for each authority, for the life of the process.
		goleak.IgnoreTopFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).permit"),
		goleak.IgnoreTopFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		// It finds out within five seconds that its lock has been given back.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

func closeSource(t *testing.T, s Source) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// made is a self-signed certificate with its key, in PEM.
type made struct{ cert, key []byte }

func newPair(t *testing.T, until time.Time, names ...string) made {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: until.Add(-2 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return made{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

// folder is where the files of a test are.
type folder string

func (f folder) cert() string { return filepath.Join(string(f), "cert.pem") }
func (f folder) key() string  { return filepath.Join(string(f), "key.pem") }

// write writes what m has of both, the certificate first.
func (f folder) write(t *testing.T, m made) {
	t.Helper()
	for _, file := range []struct {
		name    string
		content []byte
	}{{f.cert(), m.cert}, {f.key(), m.key}} {
		if file.content == nil {
			continue
		}
		if err := os.WriteFile(file.name, file.content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// served is what a client sees.
func served(t *testing.T, s Source, name string) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer there.Close()
		tls.Server(there, s.TLS()).Handshake()
	}()
	var seen []byte
	client := tls.Client(here, &tls.Config{ServerName: name, InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
		seen = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: state.PeerCertificates[0].Raw})
		return nil
	}})
	client.Handshake()
	here.Close()
	<-done
	return seen
}

// New files are served within an interval, to whoever connects from then on. As long as they are not good the old ones are,
// and the log says so once.
func TestReload(t *testing.T) {
	dir, log := folder(t.TempDir()), new(journal.Journal)
	tomorrow := time.Now().Add(24 * time.Hour)
	first, second, third := newPair(t, tomorrow, "*.a.example", "a.example"), newPair(t, tomorrow, "b.example"), newPair(t, tomorrow, "c.example")
	dir.write(t, first)
	s, err := Open(Options{CertFile: dir.cert(), KeyFile: dir.key(), Interval: 10 * time.Millisecond, Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeSource(t, s)
	if !bytes.Equal(served(t, s, "a.example"), first.cert) || s.Name() != "a.example" {
		t.Errorf("another certificate, of %q", s.Name())
	}
	s.Begin(nil)

	for _, bad := range []made{
		{cert: second.cert, key: first.key},
		{cert: []byte("half"), key: second.key},
	} {
		before := log.Count("the certificate stays as it was")
		dir.write(t, bad)
		eventually(t, "a warning", func() bool { return log.Count("the certificate stays as it was") > before })
		if !bytes.Equal(served(t, s, "a.example"), first.cert) {
			t.Error("another certificate")
		}
	}
	dir.write(t, second)
	eventually(t, "the second", func() bool { return bytes.Equal(served(t, s, "b.example"), second.cert) })
	if s.Name() != "b.example" {
		t.Errorf("name %q", s.Name())
	}

	before := log.Count("the certificate stays as it was")
	if err := os.Remove(dir.key()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a warning", func() bool { return log.Count("the certificate stays as it was") > before })
	time.Sleep(100 * time.Millisecond)
	if n := log.Count("the certificate stays as it was"); n != before+1 {
		t.Errorf("%d warnings", n-before)
	}
	dir.write(t, third)
	eventually(t, "the third", func() bool { return bytes.Equal(served(t, s, "c.example"), third.cert) })
}

// Names that lead to other files from one moment to the next, with the times that they had.
func TestSymbolicLinks(t *testing.T) {
	dir, log := t.TempDir(), new(journal.Journal)
	tomorrow := time.Now().Add(24 * time.Hour)
	var all []made
	for _, name := range []string{"one", "two"} {
		m := newPair(t, tomorrow, name+".example")
		all = append(all, m)
		at := folder(filepath.Join(dir, name))
		if err := os.Mkdir(string(at), 0o700); err != nil {
			t.Fatal(err)
		}
		at.write(t, m)
		for _, file := range []string{at.cert(), at.key()} {
			if err := os.Chtimes(file, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	now := folder(filepath.Join(dir, "now"))
	if err := os.Symlink("one", string(now)); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{CertFile: now.cert(), KeyFile: now.key(), Interval: 10 * time.Millisecond, Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeSource(t, s)
	s.Begin(nil)
	if err := os.Symlink("two", string(now)+"~"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(string(now)+"~", string(now)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second", func() bool { return bytes.Equal(served(t, s, "two.example"), all[1].cert) })
	if n := log.Count("level=WARN"); n != 0 {
		t.Errorf("%s", log)
	}
}

func TestBadFiles(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	good, other := newPair(t, tomorrow, "a.example"), newPair(t, tomorrow, "a.example")
	for name, c := range map[string]struct {
		files made
		want  string
	}{
		"no certificate": {made{key: good.key}, "certificate: open "},
		"no key":         {made{cert: good.cert}, "key of the certificate: open "},
		"no match":       {made{cert: good.cert, key: other.key}, "key.pem: tls: private key does not match"},
		"no PEM":         {made{cert: []byte("x"), key: good.key}, "cert.pem with key "},
	} {
		dir := folder(t.TempDir())
		dir.write(t, c.files)
		s, err := Open(Options{CertFile: dir.cert(), KeyFile: dir.key()})
		if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// It may be the only one there is; the log tells.
func TestExpired(t *testing.T) {
	dir, log := folder(t.TempDir()), new(journal.Journal)
	old := newPair(t, time.Now().Add(-time.Minute), "a.example")
	dir.write(t, old)
	s, err := Open(Options{CertFile: dir.cert(), KeyFile: dir.key(), Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeSource(t, s)
	if log.Count("level=WARN msg=\"certificate has expired\"") != 1 || !bytes.Equal(served(t, s, "a.example"), old.cert) {
		t.Errorf("%s", log)
	}
}
