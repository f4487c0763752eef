package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"skillsage/signaling/engineio"
	"skillsage/signaling/socketio/jsonraw"
)

// credentials is the content of a CONNECT packet.
type credentials struct {
	auth      json.RawMessage // without what concerns recovery
	sessionID string          // of the connection to recover, or ""
	offset    string          // of the last packet received then; "" if there was none
}

// parseCredentials copies what it keeps.
func parseCredentials(payload []byte, recovery bool) (credentials, error) {
	var c credentials
	if payload == nil {
		c.auth = json.RawMessage("{}")
		return c, nil
	}
	rest := []byte{'{'}
	found := false
	err := jsonraw.Members(payload, func(name, value []byte) bool {
		if recovery && (string(name) == "pid" || string(name) == "offset") {
			found = true
			if text, err := jsonraw.Text(value); err == nil {
				if name[0] == 'p' {
					c.sessionID = string(text)
				} else {
					c.offset = string(text)
				}
			}
			return true
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		rest = append(appendString(rest, string(name)), ':')
		rest = append(rest, value...)
		return true
	})
	switch {
	case errors.Is(err, jsonraw.ErrDepth):
		return c, errDepth
	case err != nil:
		return c, fmt.Errorf("%w: CONNECT: %w", errPayload, err)
	case found:
		c.auth = append(rest, '}')
	default:
		c.auth = bytes.Clone(payload)
	}
	return c, nil
}

// connect acts on a CONNECT packet. Within exec.
func (c *conn) connect(p packet) error {
	if c.socketIn(p.namespace) != nil {
		return errInvalidState
	}
	if len(p.payload) > c.server.opts.MaxAuthBytes {
		return errAuthSize
	}
	creds, err := parseCredentials(p.payload, c.server.opts.Recovery > 0)
	if err != nil {
		return err
	}
	ns := c.server.namespace(p.namespace)
	if ns == nil {
		c.refuse(string(p.namespace), &ConnectError{Message: "Invalid namespace"})
		return nil
	}
	if creds.sessionID == "" || !c.reclaim(ns, creds) {
		c.admit(ns, creds)
	}
	return nil
}

// admit makes a new socket and asks the middleware about it. Within exec.
func (c *conn) admit(ns *Namespace, creds credentials) {
	s := newSocket(c, ns, creds)
	middleware := ns.middlewares()
	if len(middleware) == 0 {
		c.accept(s, nil)
		return
	}
	c.deciding = s
	c.exec.hold()
	c.server.tracker.start(func() {
		err := ns.decide(s, middleware)
		c.exec.run(func() {
			c.deciding = nil
			c.exec.release()
			c.accept(s, err)
		})
	})
}

// accept answers a CONNECT when the middleware has spoken. Within exec.
func (c *conn) accept(s *Socket, err error) {
	if c.closing {
		s.abandon()
		return
	}
	if err == nil {
		if s.establish() {
			c.server.stats.connected.Add(1)
			c.server.log.Info("socket connected", "namespace", s.ns.name, "socket", s.id, "remote", c.session.RemoteAddr(), "transport", c.session.Transport())
			for _, handler := range s.ns.connectHandlers() {
				s.protect(func() { handler(s) })
			}
			return
		}
		err = &ConnectError{Message: "Disconnected"}
	}
	s.abandon()
	c.server.log.Info("socket refused", "namespace", s.ns.name, "remote", c.session.RemoteAddr(), "reason", err)
	c.refuse(s.ns.name, err)
}

// refuse sends a CONNECT_ERROR.
func (c *conn) refuse(namespace string, reason error) {
	c.server.stats.refused.Add(1)
	text := appendNamespace([]byte{'0' + byte(packetConnectError)}, namespace)
	text = appendString(append(text, `{"message":`...), reason.Error())
	if refusal := (*ConnectError)(nil); errors.As(reason, &refusal) && refusal.Data != nil {
		if withData, err := appendJSON(append(text, `,"data":`...), refusal.Data); err == nil {
			text = withData
		} else {
			c.server.log.Error("data of a ConnectError can't be encoded", "namespace", namespace, "error", err)
		}
	}
	c.session.Send(engineio.NewText(text, []byte{'}'})) // a closed session tells by Closed
}

// connectAnswer is the server's CONNECT packet.
func connectAnswer(namespace, socketID, sessionID string) engineio.Packet {
	text := appendNamespace([]byte{'0' + byte(packetConnect)}, namespace)
	text = append(append(append(text, `{"sid":"`...), socketID...), '"')
	if sessionID != "" {
		text = append(append(append(text, `,"pid":"`...), sessionID...), '"')
	}
	return engineio.NewText(text, []byte{'}'})
}
