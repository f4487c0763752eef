package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skillsage/signaling"
	"skillsage/signaling/socketio"
)

// serves is the server as far as a visitor sees it.
func serves(t *testing.T) http.Handler {
	t.Helper()
	s := signaling.New(signaling.Options{SocketIO: socketio.Options{}})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", s)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"ok"}`) })
	return mux
}

// without takes from a handler what it does with a path.
func without(h http.Handler, path string, instead http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, path) {
			instead(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func TestPage(t *testing.T) {
	t.Parallel()
	type check struct {
		area   string
		status Status
		part   string
	}
	for _, c := range []struct {
		name    string
		handler http.Handler
		want    []check
	}{
		{"all is well", serves(t), []check{{areaPage, OK, "healthy"}, {areaSignaling, OK, "both work"}}},
		{"no upgrades", without(serves(t), "/socket.io/", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "" {
				http.Error(w, "no", http.StatusBadRequest)
				return
			}
			_, _ = io.WriteString(w, `0{"sid":"abc"}`)
		}), []check{{areaPage, OK, "healthy"}, {areaSignaling, Warn, "400 Bad Request"}}},
		{"no signaling", without(serves(t), "/socket.io/", http.NotFound), []check{{areaPage, OK, "healthy"}, {areaSignaling, Fail, "404 Not Found"}}},
		{"full", without(serves(t), "/socket.io/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }),
			[]check{{areaPage, OK, "healthy"}, {areaSignaling, Fail, "signaling.max_sockets"}}},
		{"draining", without(serves(t), "/healthz", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			_, _ = io.WriteString(w, `{"status":"draining"}`)
		}), []check{{areaPage, Warn, "the server is draining"}, {areaSignaling, OK, "both work"}}},
		{"a stranger", http.NotFoundHandler(), []check{{areaPage, Fail, "something else answers there (404 Not Found)"}}},
		{"sends on", http.RedirectHandler("https://elsewhere.example/", http.StatusPermanentRedirect), []check{{areaPage, Warn, "https://elsewhere.example/"}}},
		{"hangs up", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), []check{{areaPage, Fail, "the connection was closed"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.handler)
			defer server.Close()
			got := checkPage(t.Context(), Page{URL: server.URL}, false)
			if len(got) != len(c.want) {
				t.Fatalf("%+v", got)
			}
			for i, want := range c.want {
				wants(t, got[i], want.status, want.part, server.URL)
				if got[i].Area != want.area {
					t.Errorf("%s, want %s", got[i].Area, want.area)
				}
			}
		})
	}
}

func TestPageThatIsNotThere(t *testing.T) {
	t.Parallel()
	for url, parts := range map[string][]string{
		"http://" + closedPort(t, "tcp").String() + "/": {"the port is closed", "See that the server runs"},
		"https://page.invalid/":                         {"page.invalid"},
		"page.example":                                  {"no http or https address"},
		"ftp://page.example/":                           {"no http or https address"},
		"http:///":                                      {"no http or https address"},
	} {
		got := checkPage(t.Context(), Page{URL: url}, false)
		if len(got) != 1 {
			t.Fatalf("%s: %+v", url, got)
		}
		wants(t, got[0], Fail, parts...)
	}
}

// Without https a page is only good on its own machine.
func TestPageWithoutHTTPS(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(serves(t))
	defer server.Close()
	got := checkPage(t.Context(), Page{URL: "http://interviews.example/", Dial: server.Listener.Addr().String()}, false)
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	wants(t, got[0], Warn, "camera and microphone to https pages only", "server.tls_cert")
	wants(t, got[1], OK)
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: "A test's authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	a.pool = x509.NewCertPool()
	a.pool.AddCert(a.cert)
	return a
}

// make makes a certificate; without a signer it signs itself.
func (a *authority) make(template *x509.Certificate, signer *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, by := template, key
	if signer != nil {
		parent, by = signer.cert, signer.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// leaf is a certificate for names, good from one time to another.
func (a *authority) leaf(from, to time.Duration, names ...string) tls.Certificate {
	template := &x509.Certificate{DNSNames: names, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to), Subject: pkix.Name{CommonName: "leaf"}}
	cert, key := a.make(template, a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t), newAuthority(t)
	const day = 24 * time.Hour
	alone, key := a.make(&x509.Certificate{DNSNames: []string{"page.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * day), Subject: pkix.Name{CommonName: "alone"}}, nil)
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		status Status
		parts  []string
	}{
		{"good", a.leaf(-time.Hour, 90*day, "page.example"), OK, []string{"good until", "A test's authority"}},
		{"good for all below", a.leaf(-time.Hour, 90*day, "*.example"), OK, nil},
		{"ends soon", a.leaf(-time.Hour, 5*day+time.Hour, "page.example"), Warn, []string{"ends in 5 days", "Renew it"}},
		{"has ended", a.leaf(-90*day, -time.Hour, "page.example"), Fail, []string{"has ended on"}},
		{"begins later", a.leaf(time.Hour, 90*day, "page.example"), Fail, []string{"begins only on", "clock"}},
		{"for others", a.leaf(-time.Hour, 90*day, "other.example", "third.example"), Fail, []string{"it is for other.example, third.example, not for page.example"}},
		{"of a stranger", other.leaf(-time.Hour, 90*day, "page.example"), Fail, []string{"its issuer (A test's authority) is not known", "full chain"}},
		{"self-signed", tls.Certificate{Certificate: [][]byte{alone.Raw}, PrivateKey: key, Leaf: alone}, Fail, []string{"self-signed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(serves(t))
			server.TLS = &tls.Config{Certificates: []tls.Certificate{c.cert}}
			server.StartTLS()
			defer server.Close()
			got := checkPage(t.Context(), Page{URL: "https://page.example/", Dial: server.Listener.Addr().String(), Roots: a.pool}, false)
			if len(got) != 3 {
				t.Fatalf("%+v", got)
			}
			// Whatever is wrong with the certificate, all else is checked.
			wants(t, got[0], OK, "healthy")
			wants(t, got[1], c.status, append(c.parts, "page.example at "+server.Listener.Addr().String())...)
			wants(t, got[2], OK, "both work")
		})
	}
}

// An intermediate certificate that the server sends along is enough.
func TestCertificateChain(t *testing.T) {
	t.Parallel()
	root := newAuthority(t)
	middle := &authority{t: t}
	middle.cert, middle.key = root.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: "In between"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, root)
	cert := middle.leaf(-time.Hour, 90*24*time.Hour, "page.example")
	for _, whole := range []bool{true, false} {
		chain := cert
		if whole {
			chain.Certificate = append(chain.Certificate, middle.cert.Raw)
		}
		server := httptest.NewUnstartedServer(serves(t))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{chain}}
		server.StartTLS()
		got := checkPage(t.Context(), Page{URL: "https://page.example/", Dial: server.Listener.Addr().String(), Roots: root.pool}, false)
		server.Close()
		if whole {
			wants(t, got[1], OK)
		} else {
			wants(t, got[1], Fail, "In between", "intermediate")
		}
	}
}

func TestPageThatSpeaksNoTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(serves(t))
	defer server.Close()
	got := checkPage(t.Context(), Page{URL: "https://page.example/", Dial: server.Listener.Addr().String()}, false)
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	wants(t, got[0], Fail, "HTTP")
}

// A server that says nothing does not hold the report up.
func TestPageThatIsSilent(t *testing.T) {
	t.Parallel()
	addr := serveTCP(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	got := checkPage(ctx, Page{URL: "http://" + addr.String() + "/"}, false)
	if len(got) != 1 || time.Since(begin) > connectTime {
		t.Fatalf("%+v after %s", got, time.Since(begin))
	}
	wants(t, got[0], Fail, "silence")
}
