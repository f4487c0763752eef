package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skillsage/internal/testkit/freeport"
	"skillsage/internal/testkit/journal"
	"skillsage/internal/testkit/pebble"
	"skillsage/network/front"
)

// acme is an authority, and what a server is to be that gets its certificates from it.
type acme struct {
	*pebble.Authority
	t         *testing.T
	log       *journal.Journal
	opts      Options
	listening *net.TCPAddr
}

func newACME(t *testing.T, validity time.Duration, domains ...string) *acme {
	t.Helper()
	listening := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: freeport.Find(t)}
	authority, log := pebble.Start(t, listening.Port, validity), new(journal.Journal)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", log)
		}
	})
	return &acme{authority, t, log, Options{
		Domains: domains,
		Email:   "somebody@example.com",
		Dir:     filepath.Join(t.TempDir(), "made", "for", "them"),
		CA:      authority.Directory,
		Roots:   authority.Roots,
		Logger:  log.Logger(),
	}, listening}
}

// run has a server for the time of a function.
func (a *acme) run(use func(Source)) {
	a.t.Helper()
	s, err := Open(a.opts)
	if err != nil {
		a.t.Fatal(err)
	}
	defer closeSource(a.t, s)
	f, err := front.Open(front.Options{Address: a.listening.String(), TLS: s.TLS(), Logger: a.opts.Logger})
	if err != nil {
		a.t.Fatal(err)
	}
	defer f.Close()
	use(s)
}

// leaf connects as a client that asks for name, and trusts the authority if it asks for one.
func (a *acme) leaf(name string, protocols ...string) (*x509.Certificate, error) {
	config := &tls.Config{ServerName: name, RootCAs: a.Issued, NextProtos: protocols, InsecureSkipVerify: name == ""}
	conn, err := tls.Dial("tcp", a.listening.String(), config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// Certificates for two names, got from an authority through the port that serves them, and found again by the next start.
func TestACME(t *testing.T) {
	domains := []string{"interviews.example.com", "calls.example.com"}
	a := newACME(t, 90*24*time.Hour, domains...) // as usual: nothing is renewed meanwhile
	serials := make(map[string]string)
	a.run(func(s Source) {
		if s.Name() != domains[0] {
			t.Errorf("name %q", s.Name())
		}
		if _, err := a.leaf(domains[0]); err == nil {
			t.Error("a certificate before the beginning")
		}
		s.Begin(a.listening)
		for _, domain := range domains {
			eventually(t, "a certificate for "+domain, func() bool {
				cert, err := a.leaf(domain)
				if err == nil {
					serials[domain] = cert.SerialNumber.String()
				}
				return err == nil
			})
		}
		if cert, err := a.leaf(""); err != nil || cert.SerialNumber.String() != serials[domains[0]] {
			t.Errorf("without a name: %v", err)
		}
		if _, err := a.leaf("other.example.com"); err == nil {
			t.Error("a certificate for another name")
		}
		// Strangers who pretend to validate get nothing and write no log.
		for _, name := range append(domains, "other.example.com") {
			if _, err := a.leaf(name, challenge); err == nil {
				t.Errorf("a challenge for %s", name)
			}
		}
		if n := a.log.Count("level=ERROR"); n != 0 {
			t.Errorf("%s", a.log)
		}
	})
	if n := a.log.Count(`msg="certificates: certificate obtained successfully"`); n != 2 {
		t.Errorf("obtained %d times:\n%s", n, a.log)
	}

	// What is kept is nobody else's to read, and needs no authority.
	err := filepath.WalkDir(a.opts.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Stop()
	a.run(func(s Source) {
		s.Begin(a.listening)
		eventually(t, "the certificate again", func() bool {
			cert, err := a.leaf(domains[1])
			return err == nil && cert.SerialNumber.String() == serials[domains[1]]
		})
	})
}

// A certificate that has expired while the server was off is renewed at once.
func TestRenewal(t *testing.T) {
	const domain = "renewed.example.com" // certmagic remembers failures by name, for the life of the process
	a := newACME(t, 6*time.Second, domain)
	var first *x509.Certificate
	a.run(func(s Source) {
		s.Begin(a.listening)
		eventually(t, "a certificate", func() bool {
			var err error
			first, err = a.leaf(domain)
			return err == nil
		})
	})
	time.Sleep(time.Until(first.NotAfter))
	a.run(func(s Source) {
		s.Begin(a.listening)
		eventually(t, "another certificate", func() bool {
			second, err := a.leaf(domain)
			return err == nil && second.SerialNumber.Cmp(first.SerialNumber) != 0
		})
	})
}

// An authority that can't be reached is no reason not to start, and does not delay the end.
func TestNoAuthority(t *testing.T) {
	log := new(journal.Journal)
	s, err := Open(Options{Domains: []string{"a.example.com"}, Dir: t.TempDir(), CA: "https://127.0.0.1:1/dir", Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	s.Begin(&net.TCPAddr{IP: net.IPv6unspecified, Port: 1})
	eventually(t, "a failure", func() bool { return log.Count("level=ERROR") > 0 })
	if served(t, s, "a.example.com") != nil {
		t.Error("a certificate")
	}
	closeSource(t, s)
	if !strings.Contains(log.String(), "127.0.0.1:1: connect: connection refused") {
		t.Errorf("%s", log)
	}
}

func TestFolderCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(Options{Domains: []string{"a.example.com"}, Dir: filepath.Join(file, "below")}); s != nil || err == nil || !strings.Contains(err.Error(), "can't be kept in "+file) {
		t.Errorf("%v", err)
	}
}
