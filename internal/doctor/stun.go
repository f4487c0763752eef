package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/pion/stun/v4"

	"skillsage/network/public"
)

const (
	areaUDP = "media over UDP"
	areaTCP = "media over TCP"
)

// repeat is the time between two repetitions of a question.
const repeat = 500 * time.Millisecond

// checkUDP asks the media port as a STUN server: it answers Binding requests without credentials.
func checkUDP(ctx context.Context, c public.Candidate, from place) Check {
	check := Check{Area: areaUDP, Tried: fmt.Sprintf("sent a STUN request to %s over UDP", c.Addr)}
	took, err := askUDP(ctx, c.Addr)
	check.conclude(c, from, took, err, "nobody gets media there")
	return check
}

// conclude says what an answer, or its absence, means for an address. lost is what people lose without it.
func (check *Check) conclude(c public.Candidate, from place, took time.Duration, err error, lost string) {
	number := fmt.Sprintf("%s port %d", strings.ToUpper(c.Protocol), c.Addr.Port())
	switch {
	case err == nil:
		check.Status, check.Result = OK, fmt.Sprintf("the server answered after %s", round(took))
		if from == inside {
			check.Result += " (" + fromInside + ")"
		}
	case errors.Is(err, errFamily):
		check.Status, check.Result = Warn, "this machine has no way to addresses of that family, so nothing can be told about it from here"
		check.Advice = otherSide(c)
	case errors.Is(err, errOther):
		check.Status, check.Result = Fail, "something else answers there: "+lost
		check.Advice = "Another program has that port, or a web server or load balancer before this server does not pass on what is no HTTP. Let the port lead to this server itself"
	case from == here:
		check.Status, check.Result = Fail, "no answer from this machine's own address ("+err.Error()+"): "+lost
		check.Advice = "See that the server runs, and that no firewall on this machine drops " + number
	case from == inside:
		check.Status, check.Result = Warn, "no answer ("+err.Error()+"). "+hairpin
		check.Advice = otherSide(c)
	default:
		check.Status, check.Result = Fail, "no answer ("+err.Error()+"): from this network "+lost
		check.Advice = "Let " + number + " in where the server is (firewall, security group, router) and on to its machine. If other networks get an answer, this one lets nothing out to there"
	}
}

// errFamily means that the machine has no route to IPv6, or none to IPv4.
var errFamily = errors.New("no route")

// askUDP sends Binding requests until an answer comes.
func askUDP(ctx context.Context, addr netip.AddrPort) (time.Duration, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return 0, dialError(err)
	}
	defer conn.Close()
	defer closeWith(ctx, conn)()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for begin := time.Now(); time.Since(begin) < answerTime && ctx.Err() == nil; {
		if _, err := conn.Write(request.Raw); err != nil {
			return 0, dialError(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(repeat))
		for {
			n, err := conn.Read(buf)
			if err == nil && isAnswer(buf[:n], request) {
				return time.Since(begin), nil
			}
			if isTimeout(err) {
				break
			}
			if err != nil && ctx.Err() == nil {
				return 0, dialError(err)
			}
			if err != nil {
				return 0, errNoAnswer
			}
		}
	}
	return 0, errNoAnswer
}

var errNoAnswer = errors.New("silence")

func isAnswer(raw []byte, request *stun.Message) bool {
	var message stun.Message
	return stun.Decode(raw, &message) == nil && message.Type == stun.BindingSuccess && message.TransactionID == request.TransactionID
}

// checkTCP asks the TCP port in the way of ICE-TCP: the same question, framed as RFC 4571 says.
func checkTCP(ctx context.Context, c public.Candidate, from place) Check {
	check := Check{Area: areaTCP, Tried: fmt.Sprintf("connected to %s and sent a STUN request as ICE over TCP does", c.Addr)}
	took, err := askTCP(ctx, c.Addr)
	check.conclude(c, from, took, err, "people whose own network lets no UDP through get no media there")
	return check
}

// errOther means that what answered is not what was asked for.
var errOther = errors.New("not the protocol that was spoken")

func askTCP(ctx context.Context, addr netip.AddrPort) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	begin := time.Now()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return 0, dialError(err)
	}
	defer conn.Close()
	defer closeWith(ctx, conn)()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return 0, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(request.Raw))), request.Raw...)); err != nil {
		return 0, err
	}
	var header [2]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return 0, readError(ctx, err)
	}
	size := binary.BigEndian.Uint16(header[:])
	if size > 1500 {
		return 0, errOther
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(conn, raw); err != nil {
		return 0, readError(ctx, err)
	}
	if !isAnswer(raw, request) {
		return 0, errOther
	}
	return time.Since(begin), nil
}

// closeWith closes conn when ctx ends, until the function that it returns is called.
func closeWith(ctx context.Context, conn io.Closer) func() {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return func() { stop() }
}

// dialError says in plain words why there is no connection.
func dialError(err error) error {
	switch {
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return errFamily
	case errors.Is(err, syscall.EHOSTUNREACH):
		return errors.New("nothing has that address, or a firewall refuses it")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the port is closed there")
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return errNoAnswer
	}
	return err
}

// readError says why nothing came.
func readError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil, isTimeout(err):
		return errNoAnswer
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return errors.New("the connection was closed without an answer")
	}
	return err
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// round leaves two digits or so of a time.
func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
