// Command conformance serves what the public Engine.IO and Socket.IO test suites
// expect to find, so that they can be pointed at this server.
//
// Listener A is the counterpart of the two protocol suites, listener B of
// socket.io-client's own tests.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// service is one listener with the servers behind it.
type service struct {
	http  *http.Server
	close []func(context.Context) error
}

func main() {
	a := flag.String("a", "localhost:3000", "`address` for the protocol suites")
	b := flag.String("b", "localhost:3210", "`address` for socket.io-client's tests")
	verbose := flag.Bool("v", false, "log every life event")
	flag.Parse()
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if err := run(*a, *b, log); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(addressA, addressB string, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listenerA, err := net.Listen("tcp", addressA)
	if err != nil {
		return err
	}
	listenerB, err := net.Listen("tcp", addressB)
	if err != nil {
		listenerA.Close()
		return err
	}
	services := []*service{protocolService(log), clientService(log)}
	failed := make(chan error, len(services))
	for i, listener := range []net.Listener{listenerA, listenerB} {
		go func() { failed <- services[i].http.Serve(listener) }()
	}
	fmt.Printf("protocol suites: http://%s  client tests: http://%s\n", listenerA.Addr(), listenerB.Addr())

	var serveErr error
	served := 0
	select {
	case <-ctx.Done():
	case serveErr = <-failed:
		served++
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, s := range services {
		for _, closeServer := range s.close {
			closeServer(ctx) // connections that are left are cut below
		}
		s.http.Close()
	}
	for ; served < len(services); served++ {
		<-failed
	}
	return serveErr
}

func httpServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}
