package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

// checkTURN tries one URL (RFC 7065) of a server as a browser would: a STUN server is asked for an address, a TURN server
// for a relayed one, through which a question goes to the media port.
func checkTURN(ctx context.Context, url string, server TURNServer, media []netip.AddrPort) Check {
	check := Check{Area: areaTURN, Tried: "asked " + url + " for a relayed address"}
	uri, err := stun.ParseURI(url)
	if err != nil {
		check.Status, check.Result = Fail, "that is no address of a STUN or TURN server: "+err.Error()
		return check
	}
	if uri.Scheme != stun.SchemeTypeTURN && uri.Scheme != stun.SchemeTypeTURNS {
		return checkSTUN(ctx, url, uri)
	}
	r, err := relay(ctx, uri, server, "", media)
	local := server.local(uri)
	if errors.Is(err, errUnreached) && local != "" {
		if r, again := relay(ctx, uri, server, local, media); again == nil {
			check.Tried += ", and then at " + local
			check.Status, check.Result = Warn, fmt.Sprintf("no way to the first (%v), but at its own address the server relays (%s). %s", err, r, hairpin)
			check.Advice = "Try a call from another network; if that does not come up, let " + transportOf(uri) + fmt.Sprintf(" port %d in (firewall, security group, router) and on to this machine", uri.Port)
			return check
		}
	}
	var step *turnError
	switch {
	case err == nil:
		check.Status, check.Result = OK, r.String()
		if server.External && r.peer.IsValid() {
			check.Result += ": it is reached from outside"
		}
	case errors.As(err, &step):
		check.Status, check.Result, check.Advice = Fail, step.Error(), step.advice
	default:
		check.Status, check.Result = Fail, err.Error()
	}
	return check
}

// checkSTUN asks a STUN server, which some clients need to find their own address.
func checkSTUN(ctx context.Context, url string, uri *stun.URI) Check {
	check := Check{Area: areaTURN, Tried: "asked " + url + " for this machine's address"}
	addr, err := net.ResolveUDPAddr("udp", net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port)))
	var took time.Duration
	if err == nil {
		took, err = askUDP(ctx, addr.AddrPort())
	}
	if err != nil {
		check.Status, check.Result = Warn, "no answer: "+plain(err)
		check.Advice = "Clients are told of a server that does not help them: see to it, or take it out of turn.external_urls"
		return check
	}
	check.Status, check.Result = OK, fmt.Sprintf("it answered after %s", round(took))
	return check
}

// relayed is what came of an allocation.
type relayed struct {
	peer netip.AddrPort // of the media port, that answered; invalid: none was asked
	took time.Duration
}

func (r relayed) String() string {
	if !r.peer.IsValid() {
		return "one was given"
	}
	return fmt.Sprintf("one was given, and through it the media port at %s answered after %s", r.peer, round(r.took))
}

// turnError says which step failed.
type turnError struct {
	step   string
	err    error
	advice string
}

func (e *turnError) Error() string { return e.step + ": " + e.err.Error() }
func (e *turnError) Unwrap() error { return e.err }

// errUnreached means that nothing came back at all.
var errUnreached = errors.New("no connection")

// unreached is an error of a way that may be good for others.
type unreached struct{ error }

func (unreached) Is(target error) bool { return target == errUnreached }

// relay makes an allocation and asks one of the addresses of the media port through it, of the family that the allocation
// has. With an address in dial it goes there by the name in uri.
func relay(ctx context.Context, uri *stun.URI, server TURNServer, dial string, media []netip.AddrPort) (relayed, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime+answerTime)
	defer cancel()
	if dial == "" {
		dial = net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	}
	conn, err := dialTURN(ctx, uri, dial, server.Roots)
	if err != nil {
		return relayed{}, &turnError{"no connection", whyUnreached(err), "See that the server runs, that the name leads to it, and that no firewall is between"}
	}
	defer conn.Close()
	defer closeWith(ctx, conn)()
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: dial, Conn: conn, Username: server.Username, Password: server.Password,
		LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		return relayed{}, err
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		return relayed{}, err
	}
	allocating, stop := context.WithTimeout(ctx, connectTime)
	defer stop()
	allocation, err := client.AllocateWithContext(allocating)
	if err != nil {
		return relayed{}, &turnError{"no relayed address was given", turnReason(allocating, err),
			"If the credentials were refused: the clocks of both machines must agree, and with another server the shared secret (turn.external_secret)"}
	}
	defer allocation.Close()
	own, ok := allocation.LocalAddr().(*net.UDPAddr)
	if !ok {
		return relayed{}, errOther
	}
	for _, peer := range media {
		if peer.Addr().Is4() == (own.IP.To4() != nil) {
			return askThrough(ctx, allocation, peer)
		}
	}
	return relayed{}, nil
}

// askThrough asks the media port at peer through an allocation.
func askThrough(ctx context.Context, allocation net.PacketConn, peer netip.AddrPort) (relayed, error) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return relayed{}, err
	}
	buf := make([]byte, 1500)
	for begin := time.Now(); ctx.Err() == nil && time.Since(begin) < answerTime; {
		if _, err := allocation.WriteTo(request.Raw, net.UDPAddrFromAddrPort(peer)); err != nil {
			return relayed{}, &turnError{"it relays nothing to the media port", turnReason(ctx, err),
				"A TURN server that is not this one must be allowed to send to " + peer.String()}
		}
		_ = allocation.SetReadDeadline(time.Now().Add(repeat))
		for {
			n, _, err := allocation.ReadFrom(buf)
			if err != nil {
				break
			}
			if isAnswer(buf[:n], request) {
				return relayed{peer, time.Since(begin)}, nil
			}
		}
	}
	return relayed{}, &turnError{"it relays, but the media port at " + peer.String() + " did not answer through it", errNoAnswer,
		fmt.Sprintf("Let UDP port %d in for the TURN server, and on to this machine", peer.Port())}
}

// transportOf is the protocol below TURN.
func transportOf(uri *stun.URI) string {
	if uri.Scheme == stun.SchemeTypeTURNS || uri.Proto == stun.ProtoTypeTCP {
		return "TCP"
	}
	return "UDP"
}

// dialTURN opens the transport of a URL to an address.
func dialTURN(ctx context.Context, uri *stun.URI, address string, roots *x509.CertPool) (net.PacketConn, error) {
	dialer := &net.Dialer{Timeout: connectTime}
	switch {
	case uri.Scheme == stun.SchemeTypeTURNS:
		conn, err := (&tls.Dialer{NetDialer: dialer, Config: &tls.Config{RootCAs: roots, ServerName: uri.Host}}).DialContext(ctx, "tcp", address)
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

// whyUnreached says why there is no connection. A bad certificate is bad whatever the way to it.
func whyUnreached(err error) error {
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return err
	}
	return unreached{errors.New(plain(err))}
}

// turnReason says in plain words what a TURN server meant.
func turnReason(ctx context.Context, err error) error {
	var refused *stun.TurnError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("refused with code %d", refused.ErrorCodeAttr.Code)
	case ctx.Err() != nil, isTimeout(err):
		return unreached{errNoAnswer}
	}
	return err
}
