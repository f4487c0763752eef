// Package certs provides the server's certificates for TLS: from files, which are read again when they change, or from a
// certificate authority that speaks ACME (RFC 8555).
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Options say where certificates come from: CertFile and KeyFile, or Domains.
type Options struct {
	// CertFile and KeyFile are PEM files: the certificate with those that its issuers have, and its private key.
	CertFile, KeyFile string
	// Interval between two looks at the files; default 10 s.
	Interval time.Duration

	// Domains are the names to get a certificate for, one each. Getting them accepts the terms of the authority.
	Domains []string
	Email   string         // where the authority may write to; may be empty
	Dir     string         // where accounts, certificates and keys are kept; it is made if need be
	CA      string         // URL of the authority's directory; empty: Let's Encrypt
	Roots   *x509.CertPool // trusted for the connection to it; nil: those of the system

	Logger *slog.Logger // nil: slog.Default
}

const defaultInterval = 10 * time.Second

// Source is where a server's certificates come from. Its methods are safe for concurrent use.
type Source interface {
	// TLS is the part of a server's configuration that gives the certificates.
	TLS() *tls.Config
	// Name is a host name that they hold for, empty if none is known.
	Name() string
	// Begin keeps them up to date from now on, until Close. By then the configuration must be in use where the server listens:
	// an authority connects there, through port 443 of each domain.
	Begin(listening *net.TCPAddr)
	// Close ends what Begin has begun. An error means that it had not ended when ctx did.
	Close(ctx context.Context) error
}

// Open reads the files, or prepares to ask the authority.
func Open(opts Options) (Source, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Interval <= 0 {
		opts.Interval = defaultInterval
	}
	open := openFiles
	if len(opts.Domains) > 0 {
		open = openACME
	}
	return open(opts)
}

// workers are the goroutines of a Source.
type workers struct {
	ctx    context.Context // ends with them
	cancel context.CancelFunc
	group  sync.WaitGroup
}

func newWorkers() *workers {
	w := &workers{}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (w *workers) Close(ctx context.Context) error {
	w.cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.group.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
