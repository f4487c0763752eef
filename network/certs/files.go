package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// files is a certificate from files. They are compared by content: names that lead elsewhere than before (symbolic links, as
// Kubernetes and certbot have them) and preserved times need no care then.
type files struct {
	*workers
	opts    Options                         // static
	current atomic.Pointer[tls.Certificate] // never nil
	seen    [sha256.Size]byte               // of the last pair that was tried, good or bad; the watching goroutine's
}

func openFiles(opts Options) (Source, error) {
	f := &files{workers: newWorkers(), opts: opts}
	pair, err := f.read()
	if err == nil {
		err = f.use(pair)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// pair is the content of both files.
type pair struct{ cert, key []byte }

func (p pair) sum() [sha256.Size]byte {
	cert, key := sha256.Sum256(p.cert), sha256.Sum256(p.key)
	return sha256.Sum256(append(cert[:], key[:]...))
}

func (f *files) read() (p pair, err error) {
	if p.cert, err = os.ReadFile(f.opts.CertFile); err != nil {
		return p, fmt.Errorf("certificate: %w", err)
	}
	if p.key, err = os.ReadFile(f.opts.KeyFile); err != nil {
		return p, fmt.Errorf("key of the certificate: %w", err)
	}
	return p, nil
}

// use takes a pair that fits together.
func (f *files) use(p pair) error {
	f.seen = p.sum()
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", f.opts.CertFile, f.opts.KeyFile, err)
	}
	f.current.Store(&cert)
	level, text := slog.LevelInfo, "certificate loaded"
	if time.Now().After(cert.Leaf.NotAfter) {
		level, text = slog.LevelWarn, "certificate has expired"
	}
	f.opts.Logger.Log(f.ctx, level, text, "file", f.opts.CertFile, "names", cert.Leaf.DNSNames, "until", cert.Leaf.NotAfter)
	return nil
}

func (f *files) TLS() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil }}
}

func (f *files) Name() string {
	for _, name := range f.current.Load().Leaf.DNSNames {
		if !strings.HasPrefix(name, "*") {
			return name
		}
	}
	return ""
}

func (f *files) Begin(*net.TCPAddr) { f.group.Go(f.watch) }

// watch takes what is new. When it is bad, the certificate at hand is kept; that is said once.
func (f *files) watch() {
	tick := time.NewTicker(f.opts.Interval)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-tick.C:
		case <-f.ctx.Done():
			return
		}
		p, err := f.read()
		if err == nil && p.sum() != f.seen {
			err = f.use(p)
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != said && text != "" {
			f.opts.Logger.Warn("the certificate stays as it was: the new one can't be used", "error", text)
		}
		said = text
	}
}
