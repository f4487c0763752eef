package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"skillsage/config"
)

// healthLimit is how long the server may take to say that it is well.
const healthLimit = 3 * time.Second

// healthcheck asks the server that runs with this configuration whether it takes new people. It is for supervisors that
// start a command to know, as Docker does, in containers that have no other one.
func healthcheck(cfg *config.Config, out, errOut io.Writer) int {
	if cfg.Server.Port == 0 {
		fmt.Fprintln(errOut, "skillsage: healthcheck: server.port is 0, so nobody knows where the server listens")
		return exitUsage
	}
	host := cfg.Server.Address
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if cfg.Server.TLS() {
		scheme = "https"
	}
	// Whose certificate it is matters to people, not to who asks its own machine; and it has no name of this one.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Proxy: nil}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: healthLimit}
	resp, err := client.Get(scheme + "://" + net.JoinHostPort(host, strconv.Itoa(cfg.Server.Port)) + "/healthz")
	if err != nil {
		fmt.Fprintln(errOut, "skillsage: healthcheck:", err)
		return exitFailed
	}
	resp.Body.Close()
	fmt.Fprintln(out, resp.Status)
	if resp.StatusCode != http.StatusOK {
		return exitFailed
	}
	return exitOK
}
