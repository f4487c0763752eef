package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

const areaTURN = "TURN"

// checkTURN allocates a relayed address by one URL (RFC 7065) and sends a question through it to the media port.
func checkTURN(ctx context.Context, url string, server TURNServer, peer netip.AddrPort) Check {
	check := Check{Area: areaTURN, Tried: "relayed a STUN request to " + peer.String() + " through " + url}
	if !peer.IsValid() {
		check.Tried = "asked " + url + " for a relayed address"
	}
	took, err := relay(ctx, url, server, peer)
	var step *turnError
	switch {
	case err == nil && !peer.IsValid():
		check.Status, check.Result = OK, "it was given"
	case err == nil && server.External:
		check.Status, check.Result = OK, fmt.Sprintf("the media port answered after %s: it is reached from outside", round(took))
	case err == nil:
		check.Status, check.Result = OK, fmt.Sprintf("the media port answered after %s", round(took))
	case errors.As(err, &step):
		check.Status, check.Result, check.Advice = step.status, step.Error(), step.advice
	default:
		check.Status, check.Result = Fail, err.Error()
	}
	return check
}

// turnError says which step failed.
type turnError struct {
	step   string
	err    error
	status Status
	advice string
}

func (e *turnError) Error() string { return e.step + ": " + e.err.Error() }

func relay(ctx context.Context, url string, server TURNServer, peer netip.AddrPort) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime+answerTime)
	defer cancel()
	uri, err := stun.ParseURI(url)
	if err != nil {
		return 0, &turnError{"that is no TURN URL", err, Fail, ""}
	}
	conn, err := dialTURN(ctx, uri, server)
	if err != nil {
		status, advice := Fail, "See that the server runs, that the name leads to it, and that no firewall is between"
		if server.External {
			advice = "See to that server: clients in strict networks depend on it"
		}
		return 0, &turnError{"no connection", errors.New(plain(err)), status, advice}
	}
	defer conn.Close()
	defer closeWith(ctx, conn)()
	address := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: address, Conn: conn, Username: server.Username, Password: server.Password,
		LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		return 0, &turnError{"no connection", err, Fail, ""}
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		return 0, err
	}
	relayed, err := client.AllocateWithContext(ctx)
	if err != nil {
		return 0, &turnError{"no relayed address was given", turnReason(ctx, err), Fail,
			"If the credentials were refused: the clocks of both machines must agree, and with an external server the shared secret"}
	}
	defer relayed.Close()
	if !peer.IsValid() {
		return 0, nil
	}
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	buf := make([]byte, 1500)
	for ctx.Err() == nil && time.Since(begin) < answerTime {
		if _, err := relayed.WriteTo(request.Raw, net.UDPAddrFromAddrPort(peer)); err != nil {
			return 0, &turnError{"it relays nothing to the media port", turnReason(ctx, err), Fail, "A TURN server that is not this one must be allowed to send to " + peer.String()}
		}
		_ = relayed.SetReadDeadline(time.Now().Add(repeat))
		for {
			n, _, err := relayed.ReadFrom(buf)
			if err != nil {
				break
			}
			if isAnswer(buf[:n], request) {
				return time.Since(begin), nil
			}
		}
	}
	return 0, &turnError{"it relays, but the media port did not answer through it", errNoAnswer, Fail,
		fmt.Sprintf("Let UDP port %d in for the TURN server, and on to this machine", peer.Port())}
}

// dialTURN opens the transport of a URL.
func dialTURN(ctx context.Context, uri *stun.URI, server TURNServer) (net.PacketConn, error) {
	address := net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	dialer := &net.Dialer{Timeout: connectTime}
	switch {
	case uri.Scheme == stun.SchemeTypeTURNS:
		conn, err := (&tls.Dialer{NetDialer: dialer, Config: &tls.Config{RootCAs: server.Roots, ServerName: uri.Host}}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return turn.NewSTUNConn(conn), nil
	case uri.Proto == stun.ProtoTypeTCP:
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return turn.NewSTUNConn(conn), nil
	}
	// A socket of the family that the server has.
	probe, err := dialer.DialContext(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	local := probe.LocalAddr().(*net.UDPAddr)
	_ = probe.Close()
	return net.ListenUDP("udp", &net.UDPAddr{IP: local.IP, Zone: local.Zone})
}

// turnReason says in plain words what a TURN server meant.
func turnReason(ctx context.Context, err error) error {
	var refused *stun.TurnError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("refused with code %d", refused.ErrorCodeAttr.Code)
	case ctx.Err() != nil, isTimeout(err):
		return errNoAnswer
	}
	return err
}
