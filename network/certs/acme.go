package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// challenge is the protocol that an authority speaks to validate a name (RFC 8737).
const challenge = "acme-tls/1"

var (
	errNotBegun    = errors.New("there are no certificates yet")
	errNoChallenge = errors.New("no certificate is being asked for")
)

// authority gets certificates by ACME and renews them, through certmagic.
type authority struct {
	*workers
	opts  Options                          // static
	magic atomic.Pointer[certmagic.Config] // nil before Begin
}

func openACME(opts Options) (Source, error) {
	// What can't be kept would be asked for again and again, and authorities allow that only so often.
	if err := writable(opts.Dir); err != nil {
		return nil, fmt.Errorf("certificates can't be kept in %s: %w", opts.Dir, err)
	}
	return &authority{workers: newWorkers(), opts: opts}, nil
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func (a *authority) Name() string { return a.opts.Domains[0] }

func (a *authority) TLS() *tls.Config {
	return &tls.Config{
		NextProtos: []string{challenge},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			magic := a.magic.Load()
			if magic == nil {
				return nil, errNotBegun
			}
			// Anybody may pretend to validate. certmagic would log an error for each.
			if slices.Equal(hello.SupportedProtos, []string{challenge}) {
				if _, ok := certmagic.GetACMEChallenge(strings.ToLower(hello.ServerName)); !ok {
					return nil, errNoChallenge
				}
			}
			return magic.GetCertificate(hello)
		},
	}
}

func (a *authority) Begin(listening *net.TCPAddr) {
	log := zap.New(core{handler: a.opts.Logger.Handler()})
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic.Load(), nil },
		Logger:           log,
	})
	magic := certmagic.New(cache, certmagic.Config{
		Storage:           &certmagic.FileStorage{Path: a.opts.Dir},
		DefaultServerName: a.opts.Domains[0], // for clients that name none
		Logger:            log,
	})
	host := ""
	if !listening.IP.IsUnspecified() {
		host = listening.IP.String()
	}
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, certmagic.ACMEIssuer{
		CA:           a.opts.CA,
		Email:        a.opts.Email,
		TrustedRoots: a.opts.Roots,
		Agreed:       true,
		// The one challenge that comes to the server's own port. certmagic finds the port taken and leaves the answer to TLS.
		DisableHTTPChallenge:      true,
		DisableDistributedSolvers: true,
		ListenHost:                host,
		AltTLSALPNPort:            listening.Port,
		Logger:                    log,
	})}
	a.magic.Store(magic)

	for _, domain := range a.opts.Domains {
		a.group.Go(func() {
			if err := manage(a.ctx, magic, cache, domain); err != nil && a.ctx.Err() == nil {
				a.opts.Logger.Error("no certificate", "domain", domain, "error", err)
			}
		})
	}
	a.group.Go(func() {
		<-a.ctx.Done()
		cache.Stop()
	})
}

// manage loads a certificate, or gets it, trying again for as long as it takes (certmagic: some 30 days, the less often
// the longer). The cache renews it then.
func manage(ctx context.Context, magic *certmagic.Config, cache *certmagic.Cache, domain string) error {
	cert, err := magic.CacheManagedCertificate(ctx, domain)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := magic.ObtainCertAsync(ctx, domain); err != nil {
			return err
		}
		_, err = magic.CacheManagedCertificate(ctx, domain)
	case err == nil && cert.NeedsRenewal(magic):
		// It fell due while the server was off; the cache's first look would be ten minutes away.
		err = cache.RenewManagedCertificates(ctx)
	}
	return err
}
