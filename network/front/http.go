package front

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// tlsKey is the key of a connection's *tls.ConnectionState in the contexts of its requests.
type tlsKey struct{}

// Attach prepares a server for the connections of Front.HTTP: it gives Request.TLS to what came through TLS. Package http
// does so only for a bare *tls.Conn, which a connection that was looked into can't be. The server's Handler must be
// set before, its ConnContext must not be.
func Attach(server *http.Server) {
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if conn, ok := conn.(*tlsConn); ok {
			state := conn.ConnectionState()
			return context.WithValue(ctx, tlsKey{}, &state)
		}
		return ctx
	}
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.TLS, _ = r.Context().Value(tlsKey{}).(*tls.ConnectionState)
		handler.ServeHTTP(w, r)
	})
}
